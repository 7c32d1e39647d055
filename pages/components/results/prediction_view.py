"""A model's answers to many pictures: how often it was right, a table to sort and filter, all of it as a file."""

from __future__ import annotations

import base64
from pathlib import Path

import streamlit as st

from pages.components.amounts import accuracy_with_interval, percent
from pages.components.errors import errors_kept, errors_shown
from pages.components.gallery import page_of
from pages.components.results.answers import DO_NOT_KNOW
from pages.components.results.many_pictures import prediction_titles, show_next
from pages.components.results.nearest import UNUSUAL, rough_words
from pages.components.results.prediction_table import STRANGE, yes_or_no
from pages.components.state import Context
from pages.components.text import count, label, plain
from pages.server.downloads import answers_url
from tlcore.storage.answers import AnswerFilter, Order, StoredAnswer, count_answers, read_answers, read_refused
from tlcore.storage.model_settings import ModelSettings
from tlcore.storage.predictions import Prediction, answers_path, delete_prediction
from tlcore.storage.requests import PredictionSummary

ROWS_PER_PAGE = 100
"""With thumbnails of 3 kB some 400 kB, which a page of the table sends to the browser."""
REFUSED_AT_MOST = 500
ROW_HEIGHT = 56
ORDERS: dict[Order, str] = {
    "brought": "As they came",
    "least sure": "Least sure first",
    "surest": "Surest first",
    "answer": "By answer",
}
ANY, UNKNOWN = -1, -2
"""Stand for all classes, and for none of them, in the choice of one."""


def show_prediction(context: Context, prediction: Prediction) -> None:
    """Show the answers to many pictures, a page at a time."""
    summary, path = prediction.summary, answers_path(prediction.job_id, context.home)
    [title] = prediction_titles(context, [prediction])
    st.subheader(label(title), anchor=False)
    if prediction.message:
        st.caption(label(prediction.message))
    if summary.known:
        st.markdown(right_words(summary))
    if summary.strange is not None:
        st.markdown(
            strange_words(summary.strange, summary.answered),
            help=f"The features of such a picture are {UNUSUAL}. The model picks one of its classes all the same: do "
            "not trust these answers. About 5 in 100 new pictures of your own classes are counted here too."
            f"{rough_words(summary.judged_by)}",
        )
    st.caption(settings_words(summary.settings))
    with errors_shown():
        _draw_table(prediction, path)
        _draw_refused(summary, path)
    with st.container(horizontal=True):
        st.link_button("All answers (CSV)", answers_url(prediction.job_id), icon=":material/table:")
        if st.button("Close", icon=":material/close:", key="close-many"):
            show_next(None)
            st.rerun()
        with st.popover("Delete these answers", icon=":material/delete:", type="tertiary"):
            st.markdown("The answers and the small pictures go away. Your own files stay as they are.")
            if st.button("Delete", key=f"delete-{prediction.job_id}"):
                with errors_kept():
                    delete_prediction(context.engine, context.project.id, prediction.job_id, context.home)
                st.rerun()


def right_words(summary: PredictionSummary) -> str:
    """Return how often the model was right where folders say the classes, in markdown.

    With a threshold an "I don't know" is neither right nor wrong, so it counts apart.
    """
    pictures = f"{count(summary.known, 'picture')} whose folder is called like a class"
    if not summary.settings.threshold:
        return f"**{accuracy_with_interval(summary.correct, summary.known)} right** of the {pictures}."
    if not summary.sure:
        return f"It answered **none** of the {pictures}: each time it said \u201c{DO_NOT_KNOW}\u201d."
    return (
        f"It answered **{summary.sure:,}** of the {pictures} and was right in "
        f"**{accuracy_with_interval(summary.correct, summary.sure)}** of those."
    )


def settings_words(settings: ModelSettings) -> str:
    """Say how the model answered, for what was chosen for it may be something else by now."""
    is_calibrated = settings.temperature != 1
    kind = f"calibrated (temperature {settings.temperature:.2f})" if is_calibrated else "the original ones"
    words = f"Its probabilities are {kind}"
    if not settings.threshold:
        return f"{words}, and it always answered."
    return f"{words}, and it said \u201c{DO_NOT_KNOW}\u201d below {percent(settings.threshold)}."


def strange_words(strange: int, answered: int) -> str:
    """Return how many of the pictures look like none of the classes, in markdown."""
    look = "looks" if 1 in {strange, answered} else "look"
    return f"**{strange:,} of {count(answered, 'picture')}** {look} like none of your classes."


def _draw_table(prediction: Prediction, path: Path) -> None:
    summary, job_id = prediction.summary, prediction.job_id
    which, order = _filter(summary, job_id)
    number = count_answers(path, which)
    place = st.container()
    # A page of its own for each filter: the third page of all is none of the few that are wrong.
    shown = page_of(range(number), ROWS_PER_PAGE, f"many-{job_id}-{order}-{which}")
    with place:
        if not number:
            st.info("No answer is like that. Choose less above.", icon=":material/filter_alt_off:")
            return
        of_all = f" of {summary.answered:,}" if number < summary.answered else ""
        here = f", {shown[0] + 1:,} to {shown[-1] + 1:,} are here" if len(shown) < number else ""
        st.caption(f"{number:,}{of_all} answers{here}. A tap on the head of a column sorts what is here.")
        rows = read_answers(path, which, order, start=shown[0], number=len(shown))
        st.dataframe(
            table_columns(rows, prediction),
            hide_index=True,
            row_height=ROW_HEIGHT,
            key=f"many-table-{job_id}",
            column_config={
                "Picture": st.column_config.ImageColumn(width="small"),
                "Sure": st.column_config.NumberColumn(format="percent"),
            },
        )


def _filter(summary: PredictionSummary, job_id: str) -> tuple[AnswerFilter, Order]:
    threshold = summary.settings.threshold
    words = {ANY: "Anything", UNKNOWN: DO_NOT_KNOW}
    with st.container(horizontal=True, vertical_alignment="bottom", key="many-filter"):
        order = st.selectbox(
            "Order", list(ORDERS), format_func=ORDERS.__getitem__, key=f"many-order-{job_id}", width=200
        )
        said = st.selectbox(
            "What the model says",
            [ANY, *([UNKNOWN] if threshold else []), *range(len(summary.class_names))],
            format_func=lambda index: words.get(index) or plain(summary.class_names[index], 60),
            key=f"many-said-{job_id}",
            width=220,
        )
        below = st.slider(
            "Only answers less sure than", 0, 100, 100, 5, format="%d %%", key=f"many-below-{job_id}", width=220
        )
        only_wrong = bool(summary.known) and st.toggle("Only wrong ones", key=f"many-wrong-{job_id}")
        only_strange = bool(summary.strange) and st.toggle(
            "Only those like none of your classes", key=f"many-strange-{job_id}"
        )
    which = AnswerFilter(
        None if said < 0 else said,
        None if below == 100 else below / 100,
        only_wrong,
        only_strange=only_strange,
        only_unknown=said == UNKNOWN,
        threshold=threshold,
    )
    return which, order


def table_columns(rows: list[StoredAnswer], prediction: Prediction) -> dict[str, list[object]]:
    """Return the columns of the table of some answers.

    What the folders say is there only where some of them say a class, and which pictures look like none of the classes
    only where something could say so.
    """
    summary = prediction.summary
    names = [plain(name, 60) for name in summary.class_names]
    columns: dict[str, list[object]] = {"Picture": [], "Answer": [], "Sure": [], "File": []}
    if summary.strange is not None:
        columns[STRANGE] = []
    if summary.known:
        columns |= {"Folder says": [], "Right": []}
    for row in rows:
        said, is_sure = row.said or 0, row.is_sure(summary.settings.threshold)
        columns["Picture"].append(f"data:image/jpeg;base64,{base64.b64encode(row.thumbnail).decode()}")
        columns["Answer"].append(names[said] if is_sure else f"{DO_NOT_KNOW} (perhaps {names[said]})")
        columns["Sure"].append(row.probabilities[said])
        columns["File"].append(plain(row.name))
        if summary.strange is not None:
            columns[STRANGE].append(yes_or_no(row.strange))
        if summary.known:
            columns["Folder says"].append("" if row.truth is None else names[row.truth])
            columns["Right"].append(yes_or_no(row.truth == said if is_sure and row.truth is not None else None))
    return columns


def _draw_refused(summary: PredictionSummary, path: Path) -> None:
    if summary.aside:
        st.caption(f"{count(summary.aside, 'file')} left aside: thumbnails, tables and the like.")
    if not summary.refused:
        return
    with st.expander(f"{count(summary.refused, 'file')} could not be used", icon=":material/hide_image:"):
        refused = read_refused(path, REFUSED_AT_MOST)
        st.dataframe(
            {"File": [plain(one.name) for one in refused], "Why": [plain(one.reason) for one in refused]},
            hide_index=True,
            column_config={"Why": st.column_config.TextColumn(width="large")},
        )
        if len(refused) < summary.refused:
            st.caption(f"The first {len(refused):,}; the CSV file has all of them.")
