"""What the folders of an import mean: the tree as it was understood, and the readings to choose from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import streamlit as st

from pages.components.data.edits import save_edit
from pages.components.errors import errors_shown, show_error
from pages.components.state import Context
from pages.components.text import count, first_of, label, plain
from tlcore.dataset import Dataset, Import
from tlcore.errors import ImageError, UnreadableError
from tlcore.intake.brought import Brought, labels_with_class, read_again
from tlcore.intake.meaning.readings import Folder, Reading, Role
from tlcore.storage.brought import load_brought

SAMPLES = 3
MAX_CLASSES_WITH_SAMPLES = 4
MAX_NAMED = 8
MAX_FOLDERS = 40

ROLES: dict[Role, tuple[str, str]] = {
    "class": ("class", "violet"),
    "part": ("part", "blue"),
    "group": ("belongs together", "orange"),
    "passed": ("passed over", "gray"),
    "aside": ("left aside", "red"),
}
"""What a folder means: its word and the colour behind it."""


def ask_reading(context: Context, dataset: Dataset) -> None:
    """Draw the one question of an import whose folders can be read in several ways."""
    one = next(one for one in dataset.imports if one.is_open)
    brought = _brought_or_error(context, one)
    if brought is None:
        return
    st.subheader("What are the classes?", anchor=False)
    st.markdown(
        f"What you brought can be read in {count(len(brought.readings.found), 'way')}. Which one do you mean? "
        "Nothing is learned before you say so, and you can change it later."
    )
    _cards(context, dataset, one, brought)
    with st.expander("The folders, as they lie", icon=":material/account_tree:"):
        draw_folders(brought.readings.found[0].folders)


def reading_choice(context: Context, dataset: Dataset) -> None:
    """Draw a way to read the folders of earlier imports differently, where that is possible."""
    for one in dataset.imports:
        brought = _brought_or_error(context, one)
        if brought is None:
            continue
        taken = next((reading for reading in brought.readings.found if reading.key == one.reading), None)
        title = label(taken.title) if taken else "What the folders mean"
        with st.expander(f"{title}. Read them differently?", icon=":material/account_tree:"):
            st.markdown(
                "Your pictures are still here, so nothing has to be brought again. What you moved by hand since then "
                "goes back into its folder's class; what you deleted stays deleted."
            )
            _cards(context, dataset, one, brought)


def draw_folders(folders: Sequence[Folder]) -> None:
    """Draw folders as a small tree, each with what it means."""
    lines = []
    for folder in folders[:MAX_FOLDERS]:
        word, color = ROLES[folder.role]
        why = f" · {label(folder.why)}" if folder.why else ""
        name = label(plain(folder.path[-1], 60)) or "(no folder)"
        indent = "    " * (len(folder.path) - 1)
        lines.append(f"{indent}- **{name}** :{color}-badge[{word}] {count(folder.pictures, 'picture')}{why}")
    more = len(folders) - MAX_FOLDERS
    st.markdown("\n".join(lines) + (f"\n- and {count(more, 'more folder')}" if more > 0 else ""))


def _cards(context: Context, dataset: Dataset, one: Import, brought: Brought) -> None:
    here = {item.image for item in dataset.items} | {picture.image for picture in dataset.unlabelled}
    readings = brought.readings.found
    grid = st.grid(min(len(readings), 3), min_column_width=280, border=True, key=f"readings-{one.id}")
    for index, reading in enumerate(readings):
        with grid.cell(), st.container(key=f"reading-card-{one.id}-{index}"):
            by_class = _by_class(brought, reading, here)
            st.markdown(f"**{label(reading.title)}**")
            st.markdown(_classes_line(by_class))
            if reading.key == one.reading and not one.is_open:
                st.markdown(":material/check: This is how they are read now.")
            else:
                # The likeliest is the first; the page has one main button.
                is_main = one.is_open and index == 0
                if st.button(
                    "This is right" if one.is_open else "Read them like this",
                    key=f"reading-{one.id}-{index}-{context.version}",
                    type="primary" if is_main else "secondary",
                ):
                    with errors_shown():
                        edited = read_again(dataset, one.id, brought, reading.key)
                        num_classes = len(reading.classes)
                        save_edit(context, edited, f"read the folders as {count(num_classes, 'class', 'classes')}")
            for name in list(by_class)[:MAX_CLASSES_WITH_SAMPLES]:
                _samples(context, name, by_class[name])
            for note in reading.notes:
                st.caption(label(note))


def _classes_line(by_class: dict[str, list[str]]) -> str:
    named = [f"{label(plain(name, 40))} {len(images):,}" for name, images in by_class.items()]
    return f"{count(len(by_class), 'class', 'classes')}: {first_of(named, MAX_NAMED)}"


def _samples(context: Context, name: str, images: Sequence[str]) -> None:
    shown = list(_thumbnails(context, images))
    if not shown:
        return
    st.caption(label(plain(name, 40)))
    st.image(shown, width=76, alt=[f"{plain(name, 40)}, example {number}" for number, _ in enumerate(shown, start=1)])


def _thumbnails(context: Context, images: Sequence[str]) -> Iterator[bytes]:
    """Yield some thumbnails from all over a class: the first ones are often of one moment."""
    step = max(1, len(images) // SAMPLES)
    for image in images[::step][:SAMPLES]:
        try:
            yield context.images.thumbnail(image)
        except ImageError:
            continue


def _by_class(brought: Brought, reading: Reading, here: set[str]) -> dict[str, list[str]]:
    """Return the pictures of each class that are still in the data set, the empty classes too."""
    found: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for picture, one in zip(brought.pictures, labels_with_class(reading), strict=True):
        if one.class_name is not None and picture.image in here:
            found[one.class_name][picture.image] = None
    names = dict.fromkeys((*reading.classes, *found))
    return {name: list(found[name]) for name in names}


def _brought_or_error(context: Context, one: Import) -> Brought | None:
    try:
        return _brought(context, one.id)
    except UnreadableError as error:
        if one.is_open:
            show_error(error)
        return None


@st.cache_resource(max_entries=8, show_spinner=False)
def _brought(_context: Context, import_id: str) -> Brought:
    return load_brought(_context.engine, import_id)
