"""Pictures of a ready data set to ask a model about: shown, and tapped."""

from __future__ import annotations

import streamlit as st

from pages.components.text import label, plain
from tlcore.home import DataRoot
from tlcore.ready_sets.previews import Preview, PreviewStrip, has_pictures_to_ask, load_pictures_to_ask
from tlcore.ready_sets.registry import READY_SETS, get_ready_set


def choose_ready_pictures(home: DataRoot) -> list[tuple[str, Preview]]:
    """Draw the ready data sets whose pictures are at hand; return those that were tapped, each with a name."""
    titles = {spec.title: spec for spec in READY_SETS if has_pictures_to_ask(spec, home)}
    title = st.selectbox(
        "Ready set",
        list(titles),
        index=None,
        placeholder="Choose a ready set",
        key="ask-set",
        width=420,
    )
    if title is None:
        return []
    spec = titles[title]
    pictures = [(f"{spec.title} {number}", one) for number, one in enumerate(_pictures(spec.name, home).pictures, 1)]
    st.caption("Tap a picture to ask about it. They come from the test part of the set, if it has one.")
    grid = st.grid(min_column_width=104, gap="small", vertical_alignment="bottom", key="ask-grid")
    tapped = []
    for number, (name, picture) in enumerate(pictures):
        with grid.cell(), st.container(gap="xxsmall"):
            st.image(picture.image, width="stretch", alt=plain(picture.class_name))
            if st.button(label(picture.class_name), key=f"ask-{spec.name}-{number}", width="stretch"):
                tapped.append((name, picture))
    return pictures if st.button(f"Ask about all {len(pictures)}", key="ask-all") else tapped


@st.cache_data(max_entries=len(READY_SETS), show_spinner=False)
def _pictures(name: str, home: DataRoot) -> PreviewStrip:
    return load_pictures_to_ask(get_ready_set(name), home)
