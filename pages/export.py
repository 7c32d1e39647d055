"""Export page: take the model away, and see what was chosen to make it."""

import streamlit as st

from pages.components.amounts import file_size, percent
from pages.components.errors import errors_shown
from pages.components.frame import next_step, open_page
from pages.components.results.answers import DO_NOT_KNOW
from pages.components.results.run_choice import choose_run
from pages.components.results.trained_models import settings_of
from pages.components.train.run_settings import run_settings
from pages.server.downloads import ARCHIVE_NAME, RUN_FILES, download_url
from tlcore.documents import to_json
from tlcore.results.model_file import is_whole_model
from tlcore.results.prediction_code import (
    LABELS_FILE,
    MODEL_FILE,
    OLDEST_KERAS,
    PACKAGES,
    PIXELS_FILE,
    README_FILE,
    VERSIONS,
    prediction_code,
)
from tlcore.settings.locks import LOCKED

FILE_WORDS = {
    MODEL_FILE: f"the model itself, for Keras {OLDEST_KERAS} or newer",
    LABELS_FILE: "the names of the classes, in the order of the answers",
    PIXELS_FILE: "the app's own way from a file to pixels, for the program below",
    README_FILE: "how to feed it",
}

context = open_page("export")
if not any(run.has_model for run in context.runs):
    st.info(
        "Simple heads have no file of their own to take away. Train a network: it comes with its file.",
        icon=":material/info:",
    )
    next_step("Train a network", "train")
    st.stop()
if "download" in context.locked:
    st.info(f"{LOCKED} The model stays here; you can go on asking it on Predict.", icon=":material/lock:")
    next_step("Go to Predict", "predict")
    st.stop()
run = choose_run(context)
folder = context.home.run_dir(run.id)
paths = {name: folder / name for name in RUN_FILES if (folder / name).is_file()}
if not is_whole_model(folder / MODEL_FILE):
    why = "is damaged, so it is not offered" if MODEL_FILE in paths else "was deleted"
    st.error(
        f"The model's file of run {run.number} {why}. Train again to make it anew: the same settings and pictures make "
        "the same model.",
        icon=":material/error:",
    )
    next_step("Train again", "train")
    st.stop()
sizes = {name: path.stat().st_size for name, path in paths.items()}

with st.bottom, st.container(horizontal=True, horizontal_alignment="right"):
    st.link_button(
        f"Download all (ZIP, {file_size(sum(sizes.values()))})",
        download_url(run.id, ARCHIVE_NAME),
        type="primary",
        icon=":material/download:",
    )

left, right = st.columns(2, gap="large")
with left:
    st.subheader("What you get", anchor=False)
    for name in paths:
        with st.container(horizontal=True, vertical_alignment="center"):
            link = f"{name} ({file_size(sizes[name])})"
            st.link_button(link, download_url(run.id, name), icon=":material/download:", key=name)
            st.markdown(FILE_WORDS[name], width="content")
    settings = settings_of(context, run)
    if settings.temperature != 1:
        st.caption(
            "Predict uses calibrated probabilities of this model, the files give the original ones. To calibrate them "
            f"too: `p ** (1 / {settings.temperature:.3f})`, divided by the sum over the classes."
        )
    if settings.threshold:
        st.caption(
            f"Predict says \u201c{DO_NOT_KNOW}\u201d below {percent(settings.threshold)}, the files always answer. In "
            "your own program, leave out answers whose largest "
            f"{'calibrated ' if settings.temperature != 1 else ''}probability is below {settings.threshold:g}."
        )
with right:
    st.subheader("How it was made", anchor=False)
    choices, values = zip(*run_settings(run), strict=True)
    st.table({"Choice": choices, "Value": values}, hide_header=True, hide_index=True, border="horizontal")
    st.download_button(
        "All settings (JSON)",
        to_json(run.config),
        f"run-{run.number}.json",
        "application/json",
        icon=":material/data_object:",
        on_click="ignore",
        help="Everything that was chosen. The same settings on the same pictures make the same model again.",
    )

st.subheader("Use it in Python", anchor=False)
if PIXELS_FILE in paths:
    st.markdown(
        f"Put the files beside a picture and run this. It needs `pip install {' '.join(PACKAGES)}` ({VERSIONS}). "
        "The model scales the pixels itself, so it takes them as they are."
    )
    with errors_shown():
        grey_range = context.dataset_of(context.project, run.version).grey_range
        # Coloured words would be too pale to read.
        st.code(prediction_code(run.config.model, grey_range), language=None)
else:
    st.markdown("This model is from an earlier version of the app. Its program is in `README.txt`.")
