"""Mistakes, worked on: correct the data set from each one, and what waits for the next run."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import streamlit as st

from pages.components.amounts import accuracy_with_interval
from pages.components.data.edits import save_edit, undo_button
from pages.components.frame import step_link
from pages.components.results.exam import opened_models
from pages.components.results.trained_models import Model, answers_of, short_name, validation_answers
from pages.components.state import Context
from pages.components.text import count, label, plain
from tlcore.dataset import Dataset, Split
from tlcore.doctor.changes import Changes, changes_between
from tlcore.doctor.findings import Suspect, keep, relabel, remove
from tlcore.errors import TransferLabError
from tlcore.results.evaluation import Answered
from tlcore.storage.runs import Run


def draw_waiting(context: Context, model: Model) -> None:
    """Say what the next run would learn from that a model did not, with a way back and a way on.

    Where the person went back behind the pictures that the model learned from, there is only the way on.
    """
    # Its place is there from the start: the charts below would be made anew when something comes in before them.
    with st.container(horizontal=True, vertical_alignment="center", key="waiting-changes"):
        if context.version == model.version:
            return
        try:
            changes = changes_between(context.dataset_of(context.project, model.version), context.dataset)
        except TransferLabError:  # a damaged list of pictures, which is said above
            return
        if changes.total:
            st.markdown(waiting_words(changes), width="content")
        if context.version > model.version:
            undo_button(context)  # of pictures that were kept as right too, which no run learns from
        if changes.total:
            step_link("train", "Train again", ":material/model_training:", context.project.id)


def waiting_words(changes: Changes) -> str:
    """Say how many changes wait for the next run, and which."""
    waits = "waits" if changes.total == 1 else "wait"
    return f"**{count(changes.total, 'change')} {waits} for the next run**: {_changes_in_words(changes)}."


def _changes_in_words(changes: Changes) -> str:
    words = {
        "moved to another class": changes.relabelled,
        "removed": changes.removed,
        "added": changes.added,
        "moved to another part": changes.moved,
    }
    return ", ".join(f"{number:,} {word}" for word, number in words.items() if number)


def draw_brought(context: Context, model: Model, shown: Split) -> None:
    """Say what changed in the pictures since the run before, and what that brought, by the exams if both are open."""
    if not isinstance(model, Run):
        return
    earlier = (run for run in context.runs if run.has_model and run.number < model.number)
    before = next((run for run in earlier if run.version != model.version), None)
    if before is None:
        return
    with suppress(TransferLabError):  # damaged files, which is said where they are shown
        old, new = (context.dataset_of(context.project, run.version) for run in (before, model))
        changes = changes_between(old, new)
        split: Split = "test" if shown == "test" and before.id in opened_models(context) else "validation"
        was, now = (
            answers_of(context, run, split) if split == "test" else validation_answers(context, run)
            for run in (before, model)
        )
        if not changes.total or was is None or now is None:
            return
        from tlcore.doctor.changes import judged_alike
        from tlcore.results.comparison import verdict

        was, now = judged_alike(was, now, old, new)
        accuracies = " and ".join(
            f"{short_name(run)} {accuracy_with_interval(found.correct, found.total)}"
            for run, found in ((before, was), (model, now))
        )
        by = f"On the {count(now.total, f'{split} picture')} that both answered, by today's classes: {accuracies}. "
        settings = " The settings are others too." if model.config != before.config else ""
        names = short_name(model), short_name(before)
        st.markdown(
            f"**Pictures changed since {names[1]}**: {_changes_in_words(changes)}. {by if now.total else ''}"
            f"{verdict(now, was, names, split)}{settings}"
        )


def fixes_of(context: Context, model: Model, key: str = "mistake") -> Callable[[Answered], None] | None:
    """Return what draws, below an answered picture, the buttons that correct the data set.

    Args:
        context: What the page works on.
        model: Whose answers they are.
        key: Tells the buttons of one place on the page from those of another, where the same picture may stand.

    Returns:
        `None` where the data set cannot be read, and for guests.
    """
    if context.is_guest:
        return None
    try:
        learned, now = context.dataset_of(context.project, model.version), context.dataset
    except TransferLabError:  # said above
        return None

    def draw(answered: Answered) -> None:
        is_class, said = learned.classes[answered.y_true], learned.classes[answered.y_pred]
        is_other = said != is_class and said.id in {label.id for label in now.classes}
        suspect = Suspect(answered.image, is_class.id, said.id if is_other else None)
        _draw_fixes(context, now, suspect, key, is_right=said == is_class)

    return draw


def _draw_fixes(context: Context, dataset: Dataset, suspect: Suspect, place: str, *, is_right: bool) -> None:
    held = [item for item in dataset.items if item.image == suspect.image]
    if not held:
        st.caption(":material/delete: removed")
        return
    if all(item.class_id != suspect.class_id for item in held):
        st.caption(f":material/label: now {label(plain(dataset.find_class(held[0].class_id).name, 40))}")
        return
    if (suspect.image, suspect.class_id) in dataset.checked:
        st.caption(":material/check: kept: the class is right")
        return
    key = f"{context.project.version}-{suspect.class_id}-{suspect.image[:20]}"
    with st.container(horizontal=True, gap="xsmall", key=f"{place}-{key}"):
        if suspect.to_class is not None:
            name = dataset.find_class(suspect.to_class).name
            if st.button(f"It is {label(plain(name, 24))}", key=f"{place}-relabel-{key}", type="tertiary"):
                save_edit(context, relabel(dataset, [suspect]), f"moved 1 picture to {name}")
        if st.button("Remove", key=f"{place}-remove-{key}", type="tertiary"):
            save_edit(context, remove(dataset, [suspect]), "removed 1 picture")
        if not is_right and st.button(
            "Keep", key=f"{place}-keep-{key}", type="tertiary", help="The class is right, the model is wrong."
        ):
            save_edit(context, keep(dataset, [suspect]), "kept 1 picture as right")
