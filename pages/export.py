"""Export page: make files of a model for other programs, with a proof that they answer alike, and take them away."""

import streamlit as st

from pages.components.amounts import file_size
from pages.components.errors import errors_shown, one_part, show_error
from pages.components.export.at_once import damage_words, draw_run_files
from pages.components.export.certificates import draw_certificates, draw_files, draw_problems
from pages.components.export.choice import USUAL, choose_formats
from pages.components.export.made import (
    all_files,
    as_exported,
    bundle_bytes,
    exports_of,
    is_stale,
    offers_of,
    only,
    request_for,
)
from pages.components.export.model_card import draw_model_card
from pages.components.export.use_it import draw_snippets
from pages.components.forms import work_state
from pages.components.frame import next_step, open_page, primary_action
from pages.components.job_view import request_of, watch_job
from pages.components.results.exam import opened_models
from pages.components.results.run_choice import choose_model
from pages.components.results.trained_models import settings_of
from pages.server.downloads import ARCHIVE_NAME
from pages.server.export_files import export_url
from tlcore.errors import TransferLabError
from tlcore.export.source import find_source
from tlcore.jobs.control import start_job
from tlcore.settings.locks import LOCKED
from tlcore.storage.jobs import last_job
from tlcore.storage.requests import ExportRequest, FormatName
from tlcore.storage.runs import Run

context = open_page("export")
if "download" in context.locked:
    st.info(f"{LOCKED} The model stays here; you can go on asking it on Predict.", icon=":material/lock:")
    next_step("Go to Predict", "predict")
    st.stop()


def is_told(error: TransferLabError) -> bool:
    """Whether the top of the page has said it: the list of pictures cannot be read."""
    try:
        context.dataset  # noqa: B018 - read again, for its error
    except TransferLabError as damage:
        return str(damage) == str(error)
    return False


model = choose_model(context, to_ask=True)
damage = damage_words(context, model)
if damage:
    st.error(damage, icon=":material/error:")
    next_step("Train again", "train")
    st.stop()
settings = settings_of(context, model)
try:
    source = find_source(context.engine, context.home, context.project.id, model.id, settings)
except TransferLabError as error:
    if isinstance(model, Run):
        draw_run_files(context, model)
    if is_told(error):
        next_step("Go to Data", "data")
    else:
        show_error(error)
        next_step("Train again", "train")
    st.stop()

exports = exports_of(context, model)
export = exports[0] if exports else None
offers = offers_of(exports, context.home)
first = offers[0] if offers else None
exam_opened = model.id in opened_models(context)
working = context.active_jobs("export")
last = last_job(context.engine, context.project.id, "export")


def start(formats: list[FormatName]) -> None:
    """Put the making of the files in line."""
    request = request_for(context, model, formats)
    with errors_shown():
        start_job(context.engine, context.home, "export", context.project.id, request, key=request.key)
        st.rerun()


def why_not(formats: list[FormatName]) -> str | None:
    """Return why these files cannot be made now, or need not be; `None` when they can."""
    if working:
        return "Files are being made."
    if not formats:
        return "Tick a format first."
    fresh = [offer for offer in offers if not is_stale(offer.export, context, model)]
    if {*formats} <= {name for offer in fresh for name in offer.formats}:
        return "These files are here already."
    return None


st.subheader("Files for other programs", anchor=False)
for job in working:
    watch_job(context, job.id)
if last is not None and not last.is_active and last.state != "finished":
    asked = request_of(context, last, ExportRequest)
    is_news = export is None or last.created > export.created
    if asked is not None and asked.model_id == model.id and is_news:
        if last.state == "failed":
            show_error(last.message)
        else:
            st.info("Stopped, so no files were made.", icon=":material/stop_circle:")
stale = [offer for offer in offers if is_stale(offer.export, context, model)]
if stale:
    stale_words = "these files" if len(stale) == len(offers) else "some of these files"
    st.warning(
        f"You have calibrated this model since {stale_words} were made: they give other probabilities than Predict. "
        "Make them again.",
        icon=":material/update:",
    )
if export is not None and first is None and any(report.is_made for report in export.result.reports):
    st.info(
        "The files that were made of this model are not here any more: they are in no backup. Make them again.",
        icon=":material/inventory_2:",
    )
asked_before = () if export is None else [report.format for report in export.result.reports]
ticked = {*asked_before, *(name for offer in offers for name in offer.formats)} or USUAL
if export is not None and first is not None:
    if export is not first.export:  # it has no file, and earlier ones stay
        draw_problems(export.result)
    for number, offer in enumerate(offers):
        exported = as_exported(source, offer.export)
        if number:
            st.subheader("Made earlier", anchor=False)
        with one_part():
            certified = offer.result if number == 0 else only(offer.result, offer.formats)
            draw_certificates(exported, certified, offer.export.job_id, exam_opened=exam_opened)
            draw_files(context, exported, offer, is_first=number == 0)
    with st.expander("Other formats, or again", icon=":material/add_box:", key="other-formats"):
        formats = choose_formats(context, source, ticked)
        reason = why_not(formats)
        state = work_state(context, "download", help=reason, disabled=reason is not None)
        if st.button("Make the files", key="make-again", icon=":material/deployed_code:", **state):
            start(formats)
    total = bundle_bytes(first.export, source, context.home)
    with st.bottom, st.container(horizontal=True, horizontal_alignment="right"):
        st.link_button(
            f"Download all (ZIP, {file_size(total)})",
            export_url(first.export.job_id, ARCHIVE_NAME),
            type="primary",
            icon=":material/download:",
            key="download-all",
        )
else:
    if export is not None:
        with one_part():
            draw_certificates(as_exported(source, export), export.result, export.job_id, exam_opened=exam_opened)
    st.markdown(
        "Choose where the model shall go. Each file is loaded again in a program of its own and asked about your test "
        "pictures, so you see whether it answers as the original does."
    )
    formats = choose_formats(context, source, ticked)
    reason = why_not(formats)
    state = work_state(context, "download", help=reason, disabled=reason is not None)
    if primary_action("Make the files", key="make", icon=":material/deployed_code:", **state):
        start(formats)
if first is not None:
    with one_part():
        draw_snippets(as_exported(source, first.export), all_files(offers))
st.subheader("Model card", anchor=False)
with one_part():
    # It is the card that lies in the ZIP file, so it tells of the model as that was exported.
    described = source if first is None else as_exported(source, first.export)
    draw_model_card(context, described, None if first is None else first.result, exam_opened=exam_opened)
if isinstance(model, Run):
    with one_part():
        draw_run_files(context, model)
