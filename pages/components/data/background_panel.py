"""Classes told apart by their background: what only the edges show, and what can be done about it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from itertools import islice, zip_longest

import streamlit as st

from pages.components.amounts import chance
from pages.components.data.edits import save_edit
from pages.components.gallery import page_of
from pages.components.state import Context
from pages.components.text import label, plain
from tlcore.config import ModelConfig
from tlcore.dataset import Dataset, Item
from tlcore.doctor.findings import BackgroundFinding, keep_background
from tlcore.errors import ImageError
from tlcore.home import DataRoot
from tlcore.storage.images import ImageStore

CLASSES_PER_PAGE = 3
EXAMPLES = 5
_NAME_LENGTH = 40
_MOST_KEPT = 2000
"""Small pictures of edges that the server keeps, of a few kilobytes each."""
_SHOWN_SIDE = 224


def background_panel(
    context: Context, dataset: Dataset, findings: Sequence[BackgroundFinding], *, opened: bool
) -> None:
    """Draw the classes whose background gives them away, if there are any.

    Args:
        context: What the page works on.
        dataset: The data set as it is now.
        findings: What still holds of the last check.
        opened: Whether the pictures are seen at once.
    """
    if not findings:
        return
    number = sum(len(finding.class_ids) for finding in findings)
    name = plain(dataset.find_class(findings[0].class_ids[0]).name, _NAME_LENGTH)
    title = f"Told by its edges alone: {label(name)}" if number == 1 else f"{number:,} classes are told by edges alone"
    with st.expander(
        title, icon=":material/wallpaper:", expanded=opened, key="doctor-background", on_change="rerun"
    ) as panel:
        if panel.open:
            _draw_findings(context, dataset, findings)


def _draw_findings(context: Context, dataset: Dataset, findings: Sequence[BackgroundFinding]) -> None:
    st.markdown(
        "A classifier that sees only the edges of the pictures knows the class, and knows it more surely than one that "
        "sees only their middles. So the model may learn the snow and not the dog, and be wrong as soon as the dog "
        "stands on grass. It may also be right: the sea belongs to ships. Decide by what you see."
    )
    place = st.container()
    key = f"doctor-background-{context.project.version}"
    shown = page_of(findings, CLASSES_PER_PAGE, f"{key}-page")
    with place:
        for finding in shown:
            _draw_finding(context, dataset, finding, f"{key}-{finding.class_ids[0]}")


def _draw_finding(context: Context, dataset: Dataset, finding: BackgroundFinding, key: str) -> None:
    names = [plain(dataset.find_class(one).name, _NAME_LENGTH) for one in finding.class_ids]
    marked = [label(name) for name in names]
    which = f"{marked[0]} from the other classes" if len(names) == 1 else " from ".join(marked)
    st.markdown(
        f"Told {which} by the edges alone in **{chance(finding.edges)}** of pairs of pictures, "
        f"by the middles alone in {chance(finding.middles)}."
    )
    first = _first_of_each_class(dataset)
    rows = [(name, first[one]) for name, one in zip(names, finding.class_ids, strict=True)]
    if len(rows) == 1:
        others = [items for class_id, items in first.items() if class_id != finding.class_ids[0]]
        by_turns = (item for turn in zip_longest(*others) for item in turn if item)
        rows.append(("Other classes", list(islice(by_turns, EXAMPLES))))
    model = context.project.config.model
    for number, (name, items) in enumerate(rows):
        st.caption(label(name))
        with st.grid(min_column_width=104, gap="small", key=f"{key}-grid-{number}"):
            for item in items:
                _draw_edges(context, model, item)
    if context.is_guest:
        return
    with st.container(horizontal=True, key=f"{key}-actions"):
        for number, name in enumerate(names):
            st.button(
                f"Bring {label(name)} on other backgrounds",
                key=f"{key}-bring-{number}",
                icon=":material/add_photo_alternate:",
                help="Opens the way to bring pictures, at the top of this page, for this class.",
                on_click=_open_the_way,
                args=(name, dataset.find_class(finding.class_ids[number]).name),
            )
        if st.button("The background belongs to it: keep", key=f"{key}-keep", icon=":material/check:"):
            save_edit(context, keep_background(dataset, finding), f"kept the background of {' and '.join(names)}")


def _first_of_each_class(dataset: Dataset) -> dict[str, list[Item]]:
    """Return the first few pictures of each class, by its id."""
    first: dict[str, list[Item]] = {one.id: [] for one in dataset.classes}
    for item in dataset.items:
        if len(first[item.class_id]) < EXAMPLES:
            first[item.class_id].append(item)
    return first


def _draw_edges(context: Context, model: ModelConfig, item: Item) -> None:
    """Draw what the classifier saw of a picture that was shown to it without its middle."""
    try:
        picture = _edges(item.image, model, context.home)
    except ImageError:
        st.caption("This picture is missing. Delete it.")
        return
    st.image(picture, width="stretch", alt=f"Edges of {plain(item.name)}")


@st.cache_data(max_entries=_MOST_KEPT, show_spinner=False)
def _edges(image: str, model: ModelConfig, home: DataRoot) -> bytes:
    """Return the edges of a stored picture as a small JPEG file."""
    from PIL import Image

    from tlcore.doctor.edges import only_edges
    from tlcore.images.views import square_pixels

    shown, buffer = Image.fromarray(only_edges(square_pixels(ImageStore(home).read(image), model))), io.BytesIO()
    shown.thumbnail((_SHOWN_SIDE, _SHOWN_SIDE))
    shown.save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


def _open_the_way(name: str, class_name: str) -> None:
    """Choose single pictures of this class among the ways to bring pictures."""
    st.session_state["way"] = "files"
    st.session_state["bring-class"] = class_name
    st.toast(f"Add more pictures, at the top, is ready for {label(name)}.", icon=":material/vertical_align_top:")
