"""What a run left when it ended: its Keras file and what belongs to it, there at once; and how it was made."""

from __future__ import annotations

from contextlib import suppress

import streamlit as st

from pages.components.amounts import file_size, percent
from pages.components.results.answers import DO_NOT_KNOW
from pages.components.results.trained_models import settings_of
from pages.components.state import Context
from pages.components.train.run_settings import run_settings
from pages.server.downloads import ARCHIVE_NAME, RUN_FILES, download_url
from tlcore.documents import to_json
from tlcore.errors import TransferLabError
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
from tlcore.storage.ensembles import Ensemble
from tlcore.storage.models import Model
from tlcore.storage.runs import Run

FILE_WORDS = {
    MODEL_FILE: f"the model itself, for Keras {OLDEST_KERAS} or newer",
    LABELS_FILE: "the names of the classes, in the order of the answers",
    PIXELS_FILE: "the app's own way from a file to pixels, for the program below",
    README_FILE: "how to feed it",
}


def damage_words(context: Context, model: Model) -> str:
    """Say which file is damaged or missing without which a model cannot leave; empty when all is well."""
    again = "Train again to make it anew: the same settings and pictures make the same model."
    run_ids = model.config.run_ids if isinstance(model, Ensemble) else [model.id] if isinstance(model, Run) else []
    for run in context.runs:
        path = context.home.run_dir(run.id) / MODEL_FILE
        if run.id in run_ids and not is_whole_model(path):
            why = "is damaged, so it is not offered" if path.is_file() else "was deleted"
            return f"The model's file of run {run.number} {why}. {again}"
    return ""


def draw_run_files(context: Context, run: Run) -> None:
    """Draw the files that a run left, and what was chosen to make it."""
    folder = context.home.run_dir(run.id)
    sizes = {name: (folder / name).stat().st_size for name in RUN_FILES if (folder / name).is_file()}
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader("The Keras file alone, at once", anchor=False)
        for name in sizes:
            with st.container(horizontal=True, vertical_alignment="center"):
                link = f"{name} ({file_size(sizes[name])})"
                st.link_button(link, download_url(run.id, name), icon=":material/download:", key=name)
                st.markdown(FILE_WORDS[name], width="content")
        all_of_them = f"All of these (ZIP, {file_size(sum(sizes.values()))})"
        st.link_button(all_of_them, download_url(run.id, ARCHIVE_NAME), icon=":material/folder_zip:", key="run-zip")
        _draw_differences(context, run)
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
    _draw_program(context, run, has_pixels=PIXELS_FILE in sizes)


def _draw_differences(context: Context, run: Run) -> None:
    """Say how the answers of this file differ from those of Predict."""
    settings = settings_of(context, run)
    if settings.temperature != 1:
        st.caption(
            "Predict uses calibrated probabilities of this model, these files give the original ones. To calibrate "
            f"them too: `p ** (1 / {settings.temperature:.3f})`, divided by the sum over the classes."
        )
    if settings.threshold:
        st.caption(
            f"Predict says \u201c{DO_NOT_KNOW}\u201d below {percent(settings.threshold)}, the files always answer. In "
            "your own program, leave out answers whose largest "
            f"{'calibrated ' if settings.temperature != 1 else ''}probability is below {settings.threshold:g}."
        )


def _draw_program(context: Context, run: Run, *, has_pixels: bool) -> None:
    st.subheader("Use that file in Python", anchor=False)
    if not has_pixels:
        st.markdown("This model is from an earlier version of the app. Its program is in `README.txt`.")
        return
    st.markdown(
        f"Put the files beside a picture and run this. It needs `pip install {' '.join(PACKAGES)}` ({VERSIONS}). "
        "The model scales the pixels itself, so it takes them as they are."
    )
    with suppress(TransferLabError):  # a list of pictures that cannot be read was told above
        grey_range = context.dataset_of(context.project, run.version).grey_range
        # Coloured words would be too pale to read.
        st.code(prediction_code(run.config.model, grey_range), language=None)
