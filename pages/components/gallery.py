"""A paged gallery of thumbnails, with pictures to choose."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

from pages.components.state import Context
from pages.components.text import label, plain
from tlcore.dataset import Item
from tlcore.errors import ImageError

PAGE_SIZE = 24


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
    num_pages = max(1, -(-len(items) // PAGE_SIZE))
    page = min(int(st.session_state.get(f"{key}-page", 1)), num_pages)
    shown = items[(page - 1) * PAGE_SIZE : page * PAGE_SIZE]
    chosen = []
    grid = st.grid(min_column_width=104, gap="small", vertical_alignment="bottom", key=f"{key}-grid")
    for item in shown:
        with grid.cell():
            _thumbnail(context, item)
            if can_choose and st.checkbox(
                label(plain(caption(item), 14)) or "picture", key=f"{key}-{item.class_id}-{item.image[:20]}"
            ):
                chosen.append(item)
    if num_pages > 1:
        st.pagination(num_pages, key=f"{key}-page")
    return chosen


def _thumbnail(context: Context, item: Item) -> None:
    try:
        st.image(context.images.thumbnail(item.image), width="stretch", alt=plain(item.name))
    except ImageError:
        st.caption("This picture is missing. Delete it.")
