"""A paged gallery of thumbnails, with pictures to choose."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import streamlit as st

from pages.components.state import Context
from pages.components.text import label, plain
from tlcore.dataset import Item
from tlcore.errors import ImageError

PAGE_SIZE = 24

T = TypeVar("T")


def gallery(
    context: Context,
    items: Sequence[Item],
    *,
    key: str,
    caption: Callable[[Item], str] = lambda item: item.name,
    can_choose: bool = False,
) -> list[Item]:
    """Draw a page of thumbnails and, below, the numbers of the other pages.

    Args:
        context: Where the pictures are.
        items: What to show, in this order.
        key: Names the gallery; another key begins on page 1 with nothing chosen.
        caption: What stands beside the box of a picture; its name when not given.
        can_choose: Whether each picture has a box to tick.

    Returns:
        The items of this page that are ticked.
    """
    place = st.container()
    shown = page_of(items, PAGE_SIZE, f"{key}-page")
    chosen = []
    grid = place.grid(min_column_width=104, gap="small", vertical_alignment="bottom", key=f"{key}-grid")
    for item in shown:
        with grid.cell():
            thumbnail(context, item)
            if can_choose and st.checkbox(
                label(plain(caption(item), 14)) or "picture", key=f"{key}-{item.class_id}-{item.image[:20]}"
            ):
                chosen.append(item)
    return chosen


def page_of(items: Sequence[T], page_size: int, key: str) -> Sequence[T]:
    """Draw the numbers of the pages, if there are several, and return the items on the chosen one."""
    num_pages = -(-len(items) // page_size)
    # A key of its own for each number of pages: a page that no longer exists is never asked for.
    page = st.pagination(num_pages, key=f"{key}-{num_pages}") if num_pages > 1 else 1
    return items[(page - 1) * page_size : page * page_size]


def thumbnail(context: Context, item: Item) -> None:
    """Draw a small picture, as wide as there is room."""
    try:
        st.image(context.images.thumbnail(item.image), width="stretch", alt=plain(item.name))
    except ImageError:
        st.caption("This picture is missing. Delete it.")
