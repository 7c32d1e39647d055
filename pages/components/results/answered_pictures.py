"""Pictures with what they are and what the model said, page by page."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

from pages.components.amounts import chance
from pages.components.gallery import page_of
from pages.components.text import label, plain
from tlcore.errors import ImageError
from tlcore.results.evaluation import Answered
from tlcore.storage.images import ImageStore

PICTURES_PER_PAGE = 12


def show_answered(
    answered: Sequence[Answered],
    class_names: Sequence[str],
    images: ImageStore,
    *,
    key: str,
    below: Callable[[Answered], object] | None = None,
) -> None:
    """Draw a page of pictures and, below, the numbers of the other pages.

    Args:
        answered: What to show, in this order.
        class_names: In the order of the model's outputs.
        images: Where the pictures are.
        key: Names the pages; another key begins on page 1.
        below: Draws more below each picture.
    """
    grid = st.container()
    shown = page_of(answered, PICTURES_PER_PAGE, key)
    with grid, st.grid(min_column_width=150, gap="medium", vertical_alignment="bottom"):
        for one in shown:
            with st.container(gap="xxsmall"):
                _show_picture(one, class_names, images)
                if below is not None:
                    below(one)


def _show_picture(one: Answered, class_names: Sequence[str], images: ImageStore) -> None:
    is_name, said = class_names[one.y_true], class_names[one.y_pred]
    answer = "answered right" if one.y_true == one.y_pred else f"taken for {plain(said)}"
    try:
        st.image(images.thumbnail(one.image), width="stretch", alt=f"{plain(is_name)}, {answer}")
    except ImageError:
        st.caption("This picture was deleted.")
    st.markdown(f"is **{label(is_name)}**,  \nmodel said **{label(said)}** {chance(one.probability)}")
