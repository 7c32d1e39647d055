"""The certificates of a model's files: a table, a chart, what is the matter with some, and the files themselves."""

from __future__ import annotations

import streamlit as st

from pages.components.amounts import accuracy_words, file_size
from pages.components.colors import is_dark
from pages.components.export.made import Offer, bundle_bytes, count_deleted
from pages.components.state import Context
from pages.components.text import count, label
from pages.server.downloads import ARCHIVE_NAME
from pages.server.export_files import export_url, file_name
from tlcore.dataset import Dataset
from tlcore.export.certificates import certificate_words, shows_accuracy
from tlcore.export.formats import FORMATS
from tlcore.export.source import ExportSource
from tlcore.export.training_script import PICTURES_FILE
from tlcore.storage.requests import ExportResult

NO_BREAK = "\u00a0"
LEAST_SHOWN = 0.001
"""A smaller difference of probabilities is said to be below that."""


def draw_certificates(source: ExportSource, result: ExportResult, key: str, *, exam_opened: bool) -> None:
    """Draw how each file answers, how large and how quick it is, and what could not be made.

    Args:
        source: The model.
        result: The certificates.
        key: Tells them from others on the page.
        exam_opened: Whether right answers to test pictures may be shown.
    """
    with_accuracy = shows_accuracy(result, exam_opened=exam_opened)
    if any(report.is_made for report in result.reports):
        st.table(_table(result, with_accuracy=with_accuracy), hide_index=True, border="horizontal")
    for report in result.reports:
        title = FORMATS[report.format].title
        if report.warning:
            st.warning(f"**{title}**: {label(report.warning)}", icon=":material/warning:")
    draw_problems(result)
    st.caption(label(certificate_words(source, result, with_accuracy=with_accuracy)))
    if any(report.is_made and report.total for report in result.reports):
        from pages.components.figures.export import export_figure, export_words

        figure = export_figure(result, with_accuracy=with_accuracy, dark=is_dark())
        alt = export_words(result, with_accuracy=with_accuracy)
        st.plotly_chart(figure, key=f"formats-chart-{key}", config={"displayModeBar": False}, alt=alt)
        st.caption("The larger a mark, the larger the file. Point at a mark to read its figures.")


def draw_problems(result: ExportResult) -> None:
    """Say which files are not there, and why."""
    for report in result.reports:
        if report.problem:
            title = FORMATS[report.format].title
            st.error(f"**{title}** is not among the files. {label(report.problem)}", icon=":material/error:")


def draw_files(context: Context, source: ExportSource, offer: Offer, *, is_first: bool) -> None:
    """Draw a link to each file, and say which pictures leave with the ZIP file.

    Args:
        context: What the page works on.
        source: The model.
        offer: The files.
        is_first: Whether no newer files of the model are there; the pictures are offered beside these.
    """
    job_id = offer.export.job_id
    with st.container(horizontal=True):
        for report in offer.result.reports:
            if report.format not in offer.formats:
                continue
            file = file_name(report.format)
            st.link_button(
                f"{file} ({file_size(report.size)}{', see the warning' if report.warning else ''})",
                export_url(job_id, file),
                icon=":material/warning:" if report.warning else ":material/download:",
                key=f"file-{report.format}",
                help=label(report.warning) or None,
            )
        if is_first and not context.is_guest:
            st.link_button(
                PICTURES_FILE,
                export_url(job_id, PICTURES_FILE),
                icon=":material/photo_library:",
                key="file-pictures",
                help="All pictures of the data set, for the program in the folder `code` that trains the model again.",
            )
        if not is_first:
            size = file_size(bundle_bytes(offer.export, source, context.home))
            url = export_url(job_id, ARCHIVE_NAME)
            st.link_button(f"All of these (ZIP, {size})", url, icon=":material/folder_zip:", key=f"zip-{job_id}")
    if is_first:
        st.caption(pictures_words(source.dataset, context.dataset))


def pictures_words(dataset: Dataset, present: Dataset) -> str:
    """Say which pictures leave with the files of a model.

    Args:
        dataset: What it learned from.
        present: The data set as it is now.
    """
    from tlcore.export.examples import NUM_EXAMPLES

    num_gone = count_deleted(dataset, present)
    words = (
        f"The ZIP file takes up to {NUM_EXAMPLES} pictures of your data set along, with which it tests itself, and the "
        "file names of the others in a list."
    )
    if num_gone:
        words += (
            f" {count(num_gone, 'picture')} of this model {'was' if num_gone == 1 else 'were'} deleted since: neither "
            "a deleted picture nor its name leaves."
        )
    return words


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
