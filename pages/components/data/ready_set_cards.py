"""Ready data sets as cards: what they show, where they are from, and a button that takes or downloads them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import streamlit as st

from pages.components.amounts import file_size
from pages.components.text import count, label
from tlcore.downloading import is_reachable
from tlcore.errors import TransferLabError
from tlcore.home import DataRoot
from tlcore.ready_sets.previews import NUM_PICTURES, PreviewStrip, load_strip, preview_strip
from tlcore.ready_sets.registry import READY_SETS, ReadySetSpec, get_ready_set
from tlcore.storage.requests import ImportRequest

DRAWINGS_DIR = Path(__file__).with_name("drawings")
CAPS = (100, 300, 1000, None)
DEFAULT_CAP = 100
NETWORK_SECONDS = 3.0
READY_SET = "ready_set"
"""Names in an address the data set that is shown first."""


def sample_cards(home: DataRoot) -> ImportRequest | None:
    """Draw a card for each ready data set; return the import of the one that was taken."""
    cap = st.segmented_control(
        "Pictures of each class, at most",
        CAPS,
        format_func=lambda cap: "All" if cap is None else f"{cap:,}",
        default=DEFAULT_CAP,
        required=True,
        key="per_class",
        help="Begin with few: they come in within seconds, train fast and often tell enough. Take more later: "
        "a larger choice contains the smaller one.",
    )
    taken = None
    wanted = st.query_params.get(READY_SET)
    grid = st.grid(2, min_column_width=280, border=True, key="samples")
    for spec in sorted(READY_SETS, key=lambda spec: spec.name != wanted):
        with grid.cell():
            taken = _card(spec, cap, home) or taken
    return taken


def _card(spec: ReadySetSpec, cap: int | None, home: DataRoot) -> ImportRequest | None:
    """Draw one card; return the import when its data set was taken and can be had."""
    st.markdown(f"**{spec.title}**")
    _draw_pictures(spec, home)
    st.markdown(spec.sentence)
    to_download = spec.download_bytes
    chosen = st.multiselect(
        f"Classes of {spec.title}",
        spec.class_names,
        key=f"classes-{spec.name}",
        placeholder=f"All {len(spec.classes)} classes, or only some",
        label_visibility="collapsed",
    )
    st.caption(f"{_amount(spec, cap, chosen)} · {_where(spec)}")
    with st.container(horizontal=True, vertical_alignment="center"):
        text = f"Download {file_size(to_download)} and use" if to_download else "Use these"
        icon = ":material/download:" if to_download else ":material/add:"
        pressed = st.button(text, key=f"sample-{spec.name}", icon=icon)
        with st.popover("About", type="tertiary"):
            st.markdown(_about(spec))
    if not pressed or (to_download and not _has_network(spec)):
        return None
    return ImportRequest(sample=spec.name, per_class=cap, classes=tuple(chosen))


def _amount(spec: ReadySetSpec, cap: int | None, classes: Sequence[str]) -> str:
    """Say how many pictures and classes come in."""
    chosen = spec.num_chosen(cap, classes)
    pictures = count(chosen, "picture") if chosen == spec.num_images else f"{chosen:,} of {spec.num_images:,} pictures"
    return f"{pictures}, {count(len(classes) or len(spec.classes), 'class', 'classes')}"


def _where(spec: ReadySetSpec) -> str:
    if not spec.files:
        return "ready, no network needed"
    return "needs a download once" if spec.download_bytes else "on this computer, no network needed"


def _about(spec: ReadySetSpec) -> str:
    """Say what a data set teaches, and all that one must know to use it."""
    lines = [spec.teaches, spec.parts, f"From: {spec.source}", f"Licence: {spec.licence}"]
    if spec.files:
        size = file_size(sum(file.size_bytes for file in spec.files))
        lines.append(f"The download has {size} and lands in the folder that Keras uses too, so it comes only once.")
    if not spec.has_published_hash:
        lines.append(
            "Nobody published a checksum of this file. Its size is checked, and the checksum of the first copy is kept."
        )
    return "\n\n".join(lines)


def _has_network(spec: ReadySetSpec) -> bool:
    """Ask the server, for a few seconds at most; say what is there without it when it is silent."""
    with st.spinner("Looking for the internet"):
        missing = next(file for file in spec.files if not file.is_here)
        if is_reachable(missing.url, NETWORK_SECONDS):
            return True
    here = [other.title for other in READY_SETS if not other.download_bytes]
    st.warning(
        f"{spec.title} cannot be downloaded now: its server does not answer. Connect this computer to the internet "
        f"and try again, or use what is ready without: {', '.join(here)}.",
        icon=":material/cloud_off:",
    )
    return False


def _draw_pictures(spec: ReadySetSpec, home: DataRoot) -> None:
    """Show pictures of a data set, or what it is about while there are none on this computer."""
    try:
        strip = load_strip(spec, home) if spec.files else _embedded_strip(spec.name)
    except TransferLabError as error:
        st.caption(label(str(error)))
        return
    grid = st.grid(NUM_PICTURES, min_column_width=36, gap="xsmall")
    if strip is not None:
        for preview in strip.pictures:
            grid.image(preview.image, width="stretch", alt=preview.class_name)
        return
    for drawing in set_drawings(spec.name):
        grid.image(str(drawing), width="stretch", alt="")
    st.caption(f":material/{spec.icon}: Drawn; real pictures appear here once you have used it.")


def set_drawings(name: str) -> list[Path]:
    """Return small drawings of what a ready data set shows, square PNG files; none where there are none."""
    return sorted((DRAWINGS_DIR / name).glob("*.png"))


@st.cache_data(max_entries=len(READY_SETS), show_spinner=False)
def _embedded_strip(name: str) -> PreviewStrip:
    spec = get_ready_set(name)
    with ExitStack() as stack:
        return preview_strip(spec, spec.read((), stack))
