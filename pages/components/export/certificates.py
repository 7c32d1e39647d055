"""The certificates of a model's files: a table, a chart, what is the matter with some, and the files themselves."""

from __future__ import annotations

import streamlit as st

from pages.components.amounts import accuracy_words, file_size
from pages.components.colors import is_dark
from pages.components.export.made import made_files
from pages.components.state import Context
from pages.components.text import label
from pages.server.export_files import export_url, file_name
from tlcore.export.certificates import certificate_words, shows_accuracy
from tlcore.export.formats import FORMATS
from tlcore.export.source import ExportSource
from tlcore.export.training_script import PICTURES_FILE
from tlcore.storage.exports import Export
from tlcore.storage.requests import ExportResult

NO_BREAK = "\u00a0"
LEAST_SHOWN = 0.001
"""A smaller difference of probabilities is said to be below that."""


def draw_certificates(source: ExportSource, result: ExportResult, *, exam_opened: bool) -> None:
    """Draw how each file answers, how large and how quick it is, and what could not be made."""
    with_accuracy = shows_accuracy(result, exam_opened=exam_opened)
    if any(report.is_made for report in result.reports):
        st.table(_table(result, with_accuracy=with_accuracy), hide_index=True, border="horizontal")
    for report in result.reports:
        title = FORMATS[report.format].title
        if report.warning:
            st.warning(f"**{title}**: {label(report.warning)}", icon=":material/warning:")
        if report.problem:
            st.error(f"**{title}** could not be made. {label(report.problem)}", icon=":material/error:")
    st.caption(label(certificate_words(source, result, with_accuracy=with_accuracy)))
    if any(report.is_made and report.total for report in result.reports):
        from pages.components.figures.export import export_figure, export_words

        figure = export_figure(result, with_accuracy=with_accuracy, dark=is_dark())
        alt = export_words(result, with_accuracy=with_accuracy)
        st.plotly_chart(figure, key="formats-chart", config={"displayModeBar": False}, alt=alt)
        st.caption("The larger a mark, the larger the file. Point at a mark to read its figures.")


def draw_files(context: Context, export: Export) -> None:
    """Draw a link to each file that is there."""
    sizes = {report.format: report.size for report in export.result.reports}
    with st.container(horizontal=True):
        for name in made_files(export, context.home):
            file = file_name(name)
            st.link_button(
                f"{file} ({file_size(sizes[name])})",
                export_url(export.job_id, file),
                icon=":material/download:",
                key=f"file-{name}",
            )
        if not context.is_guest:
            st.link_button(
                PICTURES_FILE,
                export_url(export.job_id, PICTURES_FILE),
                icon=":material/photo_library:",
                key="file-pictures",
                help="All pictures of the data set, for the program in the folder `code` that trains the model again.",
            )


def _table(result: ExportResult, *, with_accuracy: bool) -> dict[str, list[str]]:
    made = [report for report in result.reports if report.is_made]
    columns = {
        "Format": [FORMATS[report.format].title for report in made],
        "Size": [file_size(report.size).replace(" ", NO_BREAK) for report in made],
        "Answers as the original": [f"{report.agreed:,} of {report.total:,}" for report in made],
        "Largest difference": [_points(report.largest_difference) for report in made],
        "Milliseconds": [f"{report.milliseconds:.1f}" for report in made],
    }
    if with_accuracy:
        columns["Accuracy"] = [accuracy_words(report.correct, report.total) for report in made]
    if any(report.warning for report in made):
        columns["Certificate"] = ["see the warning" if report.warning else "holds" for report in made]
    return columns


def _points(difference: float) -> str:
    """Return a difference of probabilities in words that do not promise digits which nobody can see."""
    return f"{100 * difference:.1f} points" if difference >= LEAST_SHOWN else "below 0.1 points"
