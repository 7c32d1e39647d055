"""Ready data sets as cards: what they show, where they are from, and a button that takes them."""

from __future__ import annotations

import streamlit as st

from pages.components.text import count
from tlcore.errors import TransferLabError
from tlcore.intake.images import clean_pixels
from tlcore.intake.samples import SAMPLES, build_sample, get_sample

PREVIEW_PICTURES = 6


def sample_cards() -> str | None:
    """Draw a card for each ready data set; return the name of the one that was taken."""
    taken = None
    grid = st.grid(2, min_column_width=280, border=True, key="samples")
    for spec in SAMPLES:
        with grid.cell():
            st.markdown(f"**{spec.title}**")
            _preview(spec.name)
            st.markdown(spec.sentence)
            st.caption(f"{count(spec.num_images, 'picture')}, {count(len(spec.class_names), 'class', 'classes')}")
            with st.container(horizontal=True, vertical_alignment="center"):
                if st.button("Use these", key=f"sample-{spec.name}", icon=":material/add:"):
                    taken = spec.name
                with st.popover("About", type="tertiary"):
                    st.markdown(f"{spec.teaches}\n\nFrom: {spec.source}\n\nLicence: {spec.licence}")
    return taken


def _preview(name: str) -> None:
    try:
        pictures = _first_pictures(name)
    except TransferLabError as error:
        st.caption(str(error))
        return
    grid = st.grid(PREVIEW_PICTURES, min_column_width=36, gap="xsmall")
    for class_name, thumbnail in pictures:
        grid.image(thumbnail, width="stretch", alt=class_name)


@st.cache_data(max_entries=len(SAMPLES), show_spinner=False)
def _first_pictures(name: str) -> list[tuple[str, bytes]]:
    """Return one small picture of each of the first classes."""
    wanted = get_sample(name).class_names[:PREVIEW_PICTURES]
    found: dict[str, bytes] = {}
    for picture in build_sample(name):
        if picture.class_name in wanted and picture.class_name not in found:
            found[picture.class_name] = clean_pixels(picture.pixels).thumbnail
        if len(found) == len(wanted):
            break
    return sorted(found.items())
