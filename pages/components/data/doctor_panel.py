"""Check my pictures: what looks wrong in the data set, each with its pictures and one tap that mends it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import streamlit as st

from pages.components.amounts import percent
from pages.components.data.background_panel import background_panel
from pages.components.data.edits import save_edit
from pages.components.errors import errors_shown, show_error
from pages.components.forms import SettingsForm, work_state
from pages.components.gallery import page_of, thumbnail
from pages.components.job_view import request_of, watch_job
from pages.components.state import Context
from pages.components.text import count, label, plain
from pages.components.train.schedule_form import UNEVEN
from tlcore.dataset import Dataset, Item
from tlcore.doctor.findings import (
    DoctorReport,
    Finding,
    Fix,
    Suspect,
    keep,
    move,
    open_backgrounds,
    open_findings,
    relabel,
    remove,
)
from tlcore.errors import TransferLabError
from tlcore.jobs.control import start_job
from tlcore.settings.words import CHOICES
from tlcore.storage.jobs import JobStatus, last_job, read_result
from tlcore.storage.requests import DoctorRequest
from tlcore.storage.simple_heads import frozen_backbone

SUSPECTS_PER_PAGE = 12
OFTEN_RIGHT = 0.8
"""Of a classifier at least this good, most of what it took for mislabelled was; measured with swapped labels."""
FIX_WORDS: dict[Fix, str] = {
    "remove": "Remove {}",
    "relabel": "Move {} to the class shown",
    "move": "Move the training pictures to their side",
}
FIX_ICONS: dict[Fix, str] = {
    "remove": ":material/delete:",
    "relabel": ":material/label:",
    "move": ":material/drive_file_move:",
}


def doctor_panel(context: Context, dataset: Dataset) -> None:
    """Draw the button that has the pictures checked, and what was found last."""
    job = last_job(context.engine, context.project.id, "doctor")
    report = None
    if job is not None and job.is_active:
        watch_job(context, job.id)
    elif job is not None and job.state == "failed":
        show_error(job.message)
    elif job is not None:
        with errors_shown():
            report = read_result(context.engine, job.id, DoctorReport)
    if job is not None and report is not None:
        _draw_report(context, dataset, job, report)
    if (job is None or not job.is_active) and not context.is_guest:
        _draw_button(context, is_first=report is None)


def _draw_button(context: Context, *, is_first: bool) -> None:
    if is_first:
        st.caption(
            "Looks for pictures with a wrong class, copies across the parts, blank, dark, blurred, tiny and oddly "
            "shaped ones, and for classes that their background gives away. It changes nothing by itself."
        )
    name = "Check my pictures" if is_first else "Check again"
    if st.button(name, key="doctor", icon=":material/stethoscope:", **work_state(context, "doctor")):
        with errors_shown():
            request = DoctorRequest(context.version, frozen_backbone(context.project.config.model))
            start_job(context.engine, context.home, "doctor", context.project.id, request, key=context.project.id)
            st.rerun()


def _draw_report(context: Context, dataset: Dataset, job: JobStatus, report: DoctorReport) -> None:
    findings, backgrounds = open_findings(report, dataset), open_backgrounds(report, dataset)
    if findings:
        faulty = len({image for finding in findings if finding.kind != "near_copies" for image in finding.images})
        st.markdown(
            f"**{faulty:,} of {count(report.pictures, 'picture')} may be wrong.** Look at them: tick some, or take "
            "all. Every step can be undone."
        )
    elif backgrounds:
        st.markdown(f"{count(report.pictures, 'picture')} checked. Each looks right by itself.")
    else:
        st.success(
            f"{count(report.pictures, 'picture')} checked, nothing left that looks wrong.", icon=":material/verified:"
        )
    if report.judged < report.pictures:
        st.caption(f"Whether the class is right could be judged of {report.judged:,} of {report.pictures:,}.")
    since = _came_since(context, dataset, job)
    if since:
        st.caption(f"{count(since, 'picture')} came since then. Check again to look at these too.")
    for number, finding in enumerate(findings):
        with st.expander(finding.title, icon=":material/search:", expanded=number == 0, key=f"doctor-{finding.kind}"):
            _draw_finding(context, dataset, report, finding)
    background_panel(context, dataset, backgrounds, opened=not findings)
    _draw_uneven(context, dataset)


def _draw_uneven(context: Context, dataset: Dataset) -> None:
    """Say that the classes are uneven, and let rare ones count more in the next run at a tap."""
    sizes = {one.id: 0 for one in dataset.classes} | Counter(item.class_id for item in dataset.subset("train"))
    smallest, largest = (choose(sizes, key=sizes.__getitem__) for choose in (min, max))
    if not sizes[smallest] or sizes[largest] < UNEVEN * sizes[smallest]:
        return
    form, balance = SettingsForm(context, "training"), context.project.config.training.balance
    with st.expander("The classes are uneven", icon=":material/balance:", key="doctor-uneven"):
        names = [label(plain(dataset.find_class(one).name, 40)) for one in (smallest, largest)]
        st.markdown(
            f"{count(sizes[smallest], 'training picture')} of {names[0]}, {sizes[largest]:,} of {names[1]}. The model "
            "will lean towards the large classes. More pictures of the small ones help most; here are those of "
            f"{names[0]}:"
        )
        with st.grid(min_column_width=104, gap="small", key="doctor-uneven-grid"):
            for item in dataset.of_class(smallest)[:SUSPECTS_PER_PAGE]:
                thumbnail(context, item)
        if balance == "none":
            st.button(
                "Let rare classes count more",
                key="doctor-balance",
                icon=":material/balance:",
                on_click=form.change,
                args=(lambda part: replace(part, balance="weights"),),
                **form.state(
                    "balance", help="Class weights, for all runs from now on. You can change it on Train too."
                ),
            )
            return
        st.caption(f"Done for the next run: {CHOICES['balance'][balance].words}.")
        st.button(
            "Undo: every picture counts the same",
            key="doctor-balance-undo",
            icon=":material/undo:",
            on_click=form.change,
            args=(lambda part: replace(part, balance="none"),),
            **form.state("balance"),
        )


def _came_since(context: Context, dataset: Dataset, job: JobStatus) -> int:
    """Return how many pictures were not there when the others were checked."""
    request = request_of(context, job, DoctorRequest)
    if request is None:
        return 0
    try:
        checked = {item.image for item in context.dataset_of(context.project, request.version).items}
    except TransferLabError:  # a damaged list of pictures says nothing of what came since
        return 0
    return len({item.image for item in dataset.items} - checked)


@st.fragment
def _draw_finding(context: Context, dataset: Dataset, report: DoctorReport, finding: Finding) -> None:
    """Draw the pictures of a finding and what can be done with those that are ticked, or with all."""
    st.markdown(finding.sentence)
    items = {(item.image, item.class_id): item for item in dataset.items}
    tests = sum(items[one.image, one.class_id].split == "test" for one in finding.suspects)
    if finding.kind == "mislabelled":
        agreed = report.agreed / report.judged
        often = (
            " Where it is so often wrong, half of these or more are its own mistakes." if agreed < OFTEN_RIGHT else ""
        )
        st.caption(f"The classifier agrees with the class of {percent(agreed)} of your pictures.{often}")
        if tests:
            st.caption(
                f"{count(tests, 'of them is a test picture', 'of them are test pictures')}. Correct these only where "
                "you see that the class is wrong: what a model doubts is not wrong for that."
            )
    key = f"doctor-{finding.kind}-{context.project.version}"
    place = st.container()
    shown = page_of(finding.suspects, SUSPECTS_PER_PAGE, f"{key}-page")
    with place, st.grid(min_column_width=150, gap="medium", vertical_alignment="bottom", key=f"{key}-grid"):
        ticked = [one for one in shown if _draw_suspect(context, dataset, items, one, key)]
    if context.is_guest:
        return
    chosen = ticked or finding.suspects
    number = len(chosen)
    which = f"the {number:,} ticked" if ticked else f"all {number:,}" if number > 1 else "it"
    with st.container(horizontal=True, key=f"{key}-actions"):
        if finding.fix != "move" and st.button(
            FIX_WORDS[finding.fix].format(which), key=f"{key}-fix", icon=FIX_ICONS[finding.fix], type="secondary"
        ):
            _fix(context, dataset, finding.fix, chosen)
        if finding.fix == "move" and st.button(FIX_WORDS["move"], key=f"{key}-fix", icon=FIX_ICONS["move"]):
            _move(context, dataset, report)
        if finding.fix != "remove" and st.button(
            FIX_WORDS["remove"].format(which), key=f"{key}-remove", icon=FIX_ICONS["remove"]
        ):
            _fix(context, dataset, "remove", chosen)
        right = "They are right" if number > 1 else "It is right"
        if st.button(f"{right}: keep {which}", key=f"{key}-keep", icon=":material/check:"):
            save_edit(context, keep(dataset, chosen), f"kept {count(number, 'picture')} as right")


def _draw_suspect(
    context: Context, dataset: Dataset, items: dict[tuple[str, str], Item], suspect: Suspect, key: str
) -> bool:
    """Draw a picture, beside it the one that it is like; return whether it is ticked."""
    item = items[suspect.image, suspect.class_id]
    with st.container(gap="xxsmall"):
        if suspect.other is None:
            thumbnail(context, item)
        else:
            other = next(one for (image, _), one in items.items() if image == suspect.other)
            for column, one in zip(st.columns(2, gap="xsmall"), (item, other), strict=True):
                with column:
                    thumbnail(context, one)
                    st.caption(one.split)
        if context.is_guest:
            st.caption(_words_of(dataset, suspect))
            return False
        return st.checkbox(_words_of(dataset, suspect), key=f"{key}-{suspect.class_id}-{suspect.image[:20]}")


def _words_of(dataset: Dataset, suspect: Suspect) -> str:
    """Return the class of a picture, and the one in which it probably belongs."""
    name = label(plain(dataset.find_class(suspect.class_id).name, 24))
    if suspect.to_class is None:
        return name
    return f"{name} → {label(plain(dataset.find_class(suspect.to_class).name, 24))}?"


def _fix(context: Context, dataset: Dataset, fix: Fix, chosen: Sequence[Suspect]) -> None:
    number = count(len(chosen), "picture")
    if fix == "relabel":
        save_edit(context, relabel(dataset, chosen), f"moved {number} to another class")
    save_edit(context, remove(dataset, chosen), f"removed {number}")


def _move(context: Context, dataset: Dataset, report: DoctorReport) -> None:
    edited = move(dataset, report)
    moved = sum(one.split != other.split for one, other in zip(dataset.items, edited.items, strict=True))
    if moved:
        save_edit(context, edited, f"moved {count(moved, 'training picture')} to their near-copies")
    st.info("They are all that a class could learn from, so they stay. Bring more pictures of it first.")
