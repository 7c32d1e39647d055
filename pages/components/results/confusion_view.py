"""The confusion matrix of a model, worked with: counts or percent, look-alikes together, the pictures of a cell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import streamlit as st

from pages.components.colors import is_dark
from pages.components.figures.confusion import (
    FEW_CLASSES,
    MANY_CLASSES,
    confusion_figure,
    confusion_height,
    confusion_width,
    confusion_words,
)
from pages.components.figures.live_plot import live_plot
from pages.components.results.answered_pictures import show_answered
from pages.components.text import count, label, plain
from tlcore.dataset import Split
from tlcore.results.confusion import ConfusionCell, alike_order, answered_in, confusion_cells
from tlcore.results.evaluation import Answered, Evaluation, confusion_matrix
from tlcore.storage.images import ImageStore

Unit = Literal["pictures", "percent"]
UNITS: dict[Unit, str] = {"pictures": "Pictures", "percent": "Percent of the row"}

MATRIX_KEY = "confusion"


@st.fragment
def show_confusion(
    evaluation: Evaluation,
    split: Split,
    images: ImageStore,
    *,
    key: str,
    below: Callable[[Answered], object] | None = None,
    beside: Callable[[], object] | None = None,
) -> None:
    """Show which class is taken for which, and the pictures of the cell that a person taps or chooses.

    Args:
        evaluation: Answers to pictures.
        split: Which ones.
        images: Where the pictures are.
        key: Of these answers alone; with another one no cell is chosen.
        below: Draws more below each picture of a cell, right or wrong.
        beside: Draws what stands beside a small matrix, and below a large one.
    """
    cells = {(cell.y_true, cell.y_pred): cell for cell in confusion_cells(confusion_matrix(evaluation))}
    cell_key = f"confusion-cell-{key}"
    if st.session_state.get(cell_key) not in cells:  # none yet, or one without pictures
        st.session_state[cell_key] = None
    is_small = len(evaluation.class_names) <= FEW_CLASSES
    if is_small and beside is not None:
        matrix, table = st.columns(2, gap="large")
        with matrix:
            _draw_matrix(evaluation, split, cells, cell_key)
        with table:
            beside()
    else:
        _draw_matrix(evaluation, split, cells, cell_key)
    chosen = st.session_state[cell_key]
    if chosen is not None:
        _show_cell(evaluation, cells[chosen], images, key, below)
    if not is_small and beside is not None:
        beside()


def _draw_matrix(
    evaluation: Evaluation, split: Split, cells: dict[tuple[int, int], ConfusionCell], cell_key: str
) -> None:
    names, matrix = evaluation.class_names, confusion_matrix(evaluation)
    st.subheader(
        "What is taken for what",
        anchor=False,
        help="The field calls this table the **confusion matrix**. Each row is what the pictures are, each column "
        "what the model said. On the diagonal they agree; every other cell counts one kind of mistake.",
    )
    said = st.container()
    with st.container(horizontal=True, vertical_alignment="center"):
        unit = st.segmented_control(
            "What the cells say",
            list(UNITS),
            format_func=lambda name: UNITS[name],
            default="pictures",
            required=True,
            key="confusion-unit",
            label_visibility="collapsed",
        )
        together = len(names) > 2 and st.toggle(
            "Look-alikes together",
            key="confusion-alike",
            help="Puts classes beside each other that the model takes for each other, so that groups of look-alikes "
            "become blocks along the diagonal. (Hierarchical clustering of the shares that are mixed up, average "
            "linkage, optimal leaf ordering.)",
        )
    said.caption(
        f"{_meaning(len(names), split, unit)} Those on the diagonal are right. Tap a cell to see its pictures."
    )
    order = alike_order(matrix) if together else tuple(range(len(names)))

    def take_tapped() -> None:
        place = st.session_state[MATRIX_KEY].clicked
        if isinstance(place, int):  # a finger's tap may come twice, so the second one must not take it back
            st.session_state[cell_key] = divmod(place, len(names))

    live_plot(
        confusion_figure(
            matrix,
            names,
            order,
            in_percent=unit == "percent",
            chosen=st.session_state[cell_key],
            dark=is_dark(),
        ),
        key=MATRIX_KEY,
        height=confusion_height(len(names)),
        description=confusion_words(matrix, names),
        on_click=take_tapped,
        toolbar=False,
        min_width=confusion_width(len(names)),
    )
    st.selectbox(
        "See the pictures of a cell",
        list(cells),
        format_func=lambda place: _cell_words(cells[place], names),
        index=None,
        placeholder="What it is → what the model said",
        key=cell_key,
    )


def _meaning(num_classes: int, split: Split, unit: Unit) -> str:
    """Say what the cells say."""
    if num_classes > MANY_CLASSES:
        what = f"the {split} pictures of its row" if unit == "percent" else f"{split} pictures"
        return (
            f"The stronger the colour of a cell, the {'larger its share of' if unit == 'percent' else 'more'} {what}."
        )
    if unit == "percent":
        return f"Each row is the {split} pictures of one class: each number says how many of 100 got which answer."
    return f"Each number counts {split} pictures."


def _cell_words(cell: ConfusionCell, class_names: tuple[str, ...]) -> str:
    said = "right" if cell.y_true == cell.y_pred else f"→ {plain(class_names[cell.y_pred])}"
    return f"{plain(class_names[cell.y_true])} {said}: {cell.count:,}"


def _show_cell(
    evaluation: Evaluation,
    cell: ConfusionCell,
    images: ImageStore,
    key: str,
    below: Callable[[Answered], object] | None,
) -> None:
    """Show the pictures of a cell."""
    names = evaluation.class_names
    is_name, said = label(names[cell.y_true]), label(names[cell.y_pred])
    is_right = cell.y_true == cell.y_pred

    def clear() -> None:
        st.session_state[f"confusion-cell-{key}"] = None

    with st.container(key="confusion-pictures"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(
                f"##### {count(cell.count, 'picture')} of {is_name} that the model called {said}", width="content"
            )
            st.button("Clear", key="confusion-clear", icon=":material/close:", type="tertiary", on_click=clear)
        first = "These are right. The model was least sure" if is_right else "The model was most sure"
        if cell.count > 1:
            st.caption(f"{first} of the first ones.")
        show_answered(
            answered_in(evaluation, cell.y_true, cell.y_pred),
            names,
            images,
            key=f"confusion-page-{key}-{cell.y_true}-{cell.y_pred}",
            below=below,
        )
