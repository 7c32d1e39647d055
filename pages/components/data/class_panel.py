"""The pictures of one class: look at them, move or delete some, rename, merge or delete the class."""

from __future__ import annotations

import streamlit as st

from pages.components.data.edits import save_edit
from pages.components.errors import errors_shown
from pages.components.gallery import gallery
from pages.components.state import Context
from pages.components.text import count, label, plain
from tlcore.dataset import (
    SPLITS,
    ClassLabel,
    Dataset,
    Item,
    delete_class,
    delete_images,
    merge_class,
    move_images,
    rename_class,
    with_class,
)

MAX_PILLS = 12
_NAME_LENGTH = 40
_TYPED = "typed-class-name"


@st.fragment
def class_panel(context: Context, dataset: Dataset) -> None:
    """Draw the choice of a class, what can be done with it, and its gallery."""
    chosen = _choose_class(dataset)
    with st.container(horizontal=True, vertical_alignment="center", key="class-actions"):
        split = st.segmented_control(
            "Part", ["all", *SPLITS], default="all", required=True, key="shown-split", label_visibility="collapsed"
        )
        if not context.is_guest:
            _rename(context, dataset, chosen)
            if dataset.num_classes > 1:
                _merge(context, dataset, chosen)
            _delete_class(context, dataset, chosen)
    items = [item for item in dataset.of_class(chosen.id) if split in ("all", item.split)]
    if not items:
        part = "" if split == "all" else f"{split} "
        st.info(f"There are no {part}pictures in {label(chosen.name)}.", icon=":material/image:")
        return
    key = f"gallery-{context.project.version}-{chosen.id}-{split}"
    ticked = gallery(
        context,
        items,
        key=key,
        caption=lambda item: item.split if split == "all" else item.name.rsplit("/", 1)[-1],
        can_choose=not context.is_guest,
    )
    if context.is_guest:
        return
    with st.container(horizontal=True, vertical_alignment="center", key="picture-actions"):
        if not ticked:
            st.caption("Tick pictures to move or delete them.")
        else:
            st.markdown(f"{count(len(ticked), 'picture')} ticked:", width="content")
            _move_pictures(context, dataset, chosen, ticked)
            if st.button("Delete them", key="delete-pictures", icon=":material/delete:"):
                edited = delete_images(dataset, chosen.id, [item.image for item in ticked])
                save_edit(context, edited, f"deleted {count(len(ticked), 'picture')} from {chosen.name}")


def _choose_class(dataset: Dataset) -> ClassLabel:
    ids = [c.id for c in dataset.classes]
    counts = dataset.counts()
    totals = {c.id: sum(counts[c.id, split] for split in SPLITS) for c in dataset.classes}
    # Another key when classes come and go: a chosen class that is no longer there is forgotten.
    key = f"shown-class-{hash(tuple(ids))}"
    if len(ids) <= MAX_PILLS:
        names = {c.id: f"{label(plain(c.name, _NAME_LENGTH))}  {totals[c.id]:,}" for c in dataset.classes}
        chosen = st.pills(
            "Class",
            ids,
            format_func=lambda class_id: names[class_id],
            default=ids[0],
            required=True,
            key=key,
            label_visibility="collapsed",
        )
    else:
        names = {c.id: f"{plain(c.name)} ({totals[c.id]:,})" for c in dataset.classes}
        chosen = st.selectbox("Class", ids, format_func=lambda class_id: names[class_id], key=key, width=420)
    return dataset.find_class(chosen)


def _rename(context: Context, dataset: Dataset, chosen: ClassLabel) -> None:
    # What was typed when another tab came first stands there again for the next try.
    of_class, typed = st.session_state.pop(_TYPED, ("", ""))
    with (
        st.popover("Rename", icon=":material/edit:", key=_key("rename", context, chosen)),
        st.form(_key("rename-form", context, chosen), border=False),
    ):
        name = st.text_input(
            "New name", value=typed if of_class == chosen.id else chosen.name, key=_key("rename-name", context, chosen)
        )
        if st.form_submit_button("Rename"):
            st.session_state[_TYPED] = (chosen.id, name)
            with errors_shown():
                save_edit(context, rename_class(dataset, chosen.id, name), f"renamed {chosen.name} to {name}")


def _merge(context: Context, dataset: Dataset, chosen: ClassLabel) -> None:
    with st.popover("Merge", icon=":material/merge:", key=_key("merge", context, chosen)):
        others = {c.id: plain(c.name) for c in dataset.classes if c.id != chosen.id}
        st.markdown(f"Put all pictures of **{label(plain(chosen.name, _NAME_LENGTH))}** into another class:")
        into = st.selectbox(
            "Into",
            list(others),
            format_func=lambda class_id: others[class_id],
            key=_key("merge-into", context, chosen),
            label_visibility="collapsed",
        )
        if st.button("Merge", key=_key("merge-yes", context, chosen)):
            save_edit(context, merge_class(dataset, chosen.id, into), f"merged {chosen.name} into {others[into]}")


def _delete_class(context: Context, dataset: Dataset, chosen: ClassLabel) -> None:
    with st.popover("Delete class", icon=":material/delete:", key=_key("delete-class", context, chosen)):
        total = len(dataset.of_class(chosen.id))
        st.markdown(
            f"**{label(plain(chosen.name, _NAME_LENGTH))}** goes away with {count(total, 'picture')}. "
            "You can undo this."
        )
        if st.button("Delete class", key=_key("delete-class-yes", context, chosen)):
            save_edit(context, delete_class(dataset, chosen.id), f"deleted the class {chosen.name}")


def _move_pictures(context: Context, dataset: Dataset, chosen: ClassLabel, ticked: list[Item]) -> None:
    with st.popover("Move them", icon=":material/drive_file_move:", key=_key("move", context, chosen)):
        target = st.selectbox(
            "To which class?",
            [c.name for c in dataset.classes if c.id != chosen.id],
            index=None,
            accept_new_options=True,
            placeholder="Choose, or type a new name",
            key=_key("move-to", context, chosen),
        )
        if st.button("Move", key=_key("move-yes", context, chosen), disabled=not target) and target:
            with errors_shown():
                extended, into = with_class(dataset, target)
                edited = move_images(extended, chosen.id, [item.image for item in ticked], into.id)
                save_edit(context, edited, f"moved {count(len(ticked), 'picture')} to {into.name}")


def _key(name: str, context: Context, chosen: ClassLabel) -> str:
    # With the version in it, an edit closes the popover and forgets what was typed.
    return f"{name}-{context.project.version}-{chosen.id}"
