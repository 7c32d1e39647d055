"""What belongs together: groups of near-copies and those that came as such, and near-copies across given parts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from pages.components.data.edits import save_edit
from pages.components.errors import errors_shown
from pages.components.gallery import page_of, thumbnail
from pages.components.state import Context
from pages.components.text import count, label, plain
from tlcore.dataset import Dataset, Item, Split
from tlcore.intake.leaks import leak_name, leaks, without_leaks
from tlcore.intake.splitting import HELD_BACK, share_anew

SHOWN_GROUPS = 12
SHOWN_OF_GROUP = 6
PAIRS_PER_PAGE = 6
NAMED_GROUPS = 4


def groups_panel(context: Context, dataset: Dataset) -> None:
    """Draw what belongs together, whether it is on one side, and the switch for near-copies."""
    scenes, groups = _by(dataset, "scene"), _by(dataset, "group")
    if groups:
        st.markdown(groups_words(dataset))
    if scenes:
        st.markdown(scenes_words(dataset))
        _switch(context, dataset)
    if any(item.scene is None for item in dataset.items):
        _search(context, dataset)
    elif not scenes:
        st.caption("No near-copies were found: no two pictures show the same scene.")
    if scenes or groups:
        with st.expander("Look at the groups", icon=":material/burst_mode:"):
            _show_groups(context, sorted([*scenes, *groups], key=len, reverse=True))
    _draw_leaks(context, dataset)


def scenes_words(dataset: Dataset) -> str:
    """Say how many groups of near-copies there are, and where they are."""
    scenes = _by(dataset, "scene")
    words = f"**{count(len(scenes), 'group')} of near-copies**, {count(sum(map(len, scenes)), 'picture')}"
    return f"{words}; {_where(scenes)}."


def groups_words(dataset: Dataset) -> str:
    """Say how many groups came with the pictures, what they are called, and where they are."""
    groups = _by(dataset, "group")
    names = [label(plain(items[0].group or "", 40)) for items in groups[:NAMED_GROUPS]]
    more = f" and {len(groups) - NAMED_GROUPS:,} more" if len(groups) > NAMED_GROUPS else ""
    words = f"**{count(sum(map(len, groups)), 'picture')} in {count(len(groups), 'group')}**"
    return f"{words} ({', '.join(names)}{more}); {_where(groups)}."


def _where(groups: list[list[Item]]) -> str:
    apart = sum(len({item.split for item in items}) > 1 for items in groups)
    if not apart:
        return "each group is on one side" if len(groups) > 1 else "it is on one side"
    return f"{apart:,} of them {'is' if apart == 1 else 'are'} in more than one part"


def _by(dataset: Dataset, kind: str) -> list[list[Item]]:
    """Return the pictures of each scene or group, the largest first."""
    found: defaultdict[str, list[Item]] = defaultdict(list)
    for item in dataset.items:
        name = item.scene if kind == "scene" else item.group
        if name:
            found[name].append(item)
    return sorted(found.values(), key=len, reverse=True)


def _switch(context: Context, dataset: Dataset) -> None:
    together = st.toggle(
        "Keep near-copies together",
        dataset.scenes_together,
        key=f"scenes-together-{context.project.version}",
        disabled=context.is_guest,
        help="Frames of one scene are easy questions for a model that has learned the others: the accuracy would look "
        "better than it is. The switch shares out anew what was shared out here. You can undo this.",
    )
    if together != dataset.scenes_together and not context.is_guest:
        edited = share_anew(replace(dataset, scenes_together=together))
        save_edit(context, edited, "kept near-copies together" if together else "shared out near-copies one by one")


def _search(context: Context, dataset: Dataset) -> None:
    if context.is_guest:
        return
    key = f"near-copies-{context.project.version}"
    if not st.button(
        "Look for near-copies",
        key=key,
        icon=":material/burst_mode:",
        type="tertiary",
        help="Finds pictures of the same scene, such as the frames of a burst, so that they are not on both sides.",
    ):
        return
    from tlcore.intake.near_copies import with_scenes

    bar = st.progress(0.0, "Looking for near-copies")
    with errors_shown():
        edited = with_scenes(dataset, context.images.thumbnail, _showing(bar))
        found_some = any(item.scene for item in edited.items)
        save_edit(context, share_anew(edited) if found_some else edited, "looked for near-copies")


def _showing(bar: DeltaGenerator) -> Callable[[int, int], None]:
    def show(done: int, total: int) -> None:
        bar.progress(done / total, "Looking for near-copies")

    return show


def _show_groups(context: Context, groups: list[list[Item]]) -> None:
    names = {label.id: label.name for label in context.dataset.classes}
    for items in groups[:SHOWN_GROUPS]:
        classes = ", ".join(dict.fromkeys(label(plain(names[item.class_id], 40)) for item in items))
        parts = ", ".join(dict.fromkeys(item.split for item in items))
        st.caption(f"{count(len(items), 'picture')}, {classes}: {parts}")
        with st.grid(SHOWN_OF_GROUP, min_column_width=40, gap="xsmall", vertical_alignment="bottom"):
            for item in items[:SHOWN_OF_GROUP]:
                thumbnail(context, item)
    if len(groups) > SHOWN_GROUPS:
        st.caption(f"These are the {SHOWN_GROUPS} largest of {len(groups):,}.")


def leak_words(dataset: Dataset, split: Split, found: dict[str, str]) -> str:
    """Say how many held-back pictures have something that belongs to them among the training pictures.

    Args:
        dataset: The data set.
        split: Validation or test.
        found: From `leaks`, of that split; not empty.
    """
    number, total = len(found), count(len({item.image for item in dataset.subset(split)}), f"{split} picture")
    return f"**{number:,} of {total} {'is' if number == 1 else 'are'} {leak_name(dataset, found, number)}**"


def _draw_leaks(context: Context, dataset: Dataset) -> None:
    """Report held-back pictures whose near-copies are learned, and offer to move those, unless that was chosen."""
    found = {split: of_split for split in HELD_BACK if (of_split := leaks(dataset, split))}
    if not found:
        return
    words = ". ".join(leak_words(dataset, split, of_split) for split, of_split in found.items())
    effect = "A model that has learned these has an easy time with them, so its accuracy looks better than it is."
    if not dataset.scenes_together:
        st.caption(f"{words}. {effect}")
        return
    st.warning(f"{words}. {effect}", icon=":material/content_copy:")
    with st.expander("Look at them, side by side", icon=":material/compare:"):
        items = {item.image: item for item in dataset.items}
        pairs = [(items[one], items[other]) for of_split in found.values() for one, other in of_split.items()]
        place = st.container()
        shown = page_of(pairs, PAIRS_PER_PAGE, f"leaks-{context.project.version}")
        with place, st.grid(3, min_column_width=200, gap="medium"):
            for pair in shown:
                with st.container(gap="xxsmall"):
                    for column, item in zip(st.columns(2, gap="xsmall"), pair, strict=True):
                        with column:
                            thumbnail(context, item)
                            st.caption(item.split)
    if not context.is_guest and st.button(
        "Move the training pictures to their side", key="move-leaks", icon=":material/drive_file_move:"
    ):
        edited = without_leaks(dataset)
        moved = sum(one.split != other.split for one, other in zip(dataset.items, edited.items, strict=True))
        if moved:
            save_edit(context, edited, f"moved {count(moved, 'training picture')} to their near-copies")
        st.info("They are all that a class could learn from, so they stay. Bring more pictures of it first.")
