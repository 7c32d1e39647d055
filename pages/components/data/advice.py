"""What a data set lacks for a good model, in words; a pure decision."""

from __future__ import annotations

from pages.components.text import count
from tlcore.dataset import SPLITS, Dataset, Split
from tlcore.intake.leaks import undivided

FEW_TRAINING_PICTURES = 10
MAX_NAMED = 5
_SPLIT_PURPOSE = {
    "train": "there is nothing to learn from",
    "validation": "nobody can see during training whether the model gets better",
    "test": "nobody can tell how good the model is on new pictures",
}
_MORE = "Split again, or add pictures: a class needs three to be in all parts."
_CLASS_WITHOUT: dict[Split, tuple[str, str]] = {
    "train": ("training", "training cannot begin without them. Add some, or delete the class."),
    "validation": ("validation", f"nobody can see during training whether it gets better at these. {_MORE}"),
    "test": ("test", f"nobody can tell how well the model knows these. {_MORE}"),
}


def data_advice(dataset: Dataset) -> list[str]:
    """Return what should be better before training, most important first; names in it are as typed.

    Args:
        dataset: Any data set with at least one picture.
    """
    counts = dataset.counts()
    filled = {item.class_id for item in dataset.items}
    if len(filled) < 2:
        return ["There is only one class with pictures. A model learns to tell things apart: bring a second one."]
    advice = []
    empty = [label.name for label in dataset.classes if label.id not in filled]
    if empty:
        advice.append(f"No pictures yet in {_named(empty)}. Add some, or delete the class.")
    few = [c.name for c in dataset.classes if 0 < counts[c.id, "train"] < FEW_TRAINING_PICTURES]
    if few:
        advice.append(
            f"Fewer than {FEW_TRAINING_PICTURES} training pictures in {_named(few)}. "
            "The model may learn these pictures by heart instead of what they show. Add more if you can."
        )
    whole = undivided(dataset)
    if whole:
        advice.append(
            f"All pictures of {_named([c.name for c in whole])} belong together, so none can be kept for testing. "
            "Bring pictures from another place or day."
        )
    divided = filled - {c.id for c in whole}
    for split in SPLITS:
        if split != "train" and not divided:
            break
        if not dataset.subset(split):
            advice.append(f"The {split} part is empty: {_SPLIT_PURPOSE[split]}. Add pictures, or split again.")
            continue
        asked = filled if split == "train" else divided
        without = [c.name for c in dataset.classes if c.id in asked and not counts[c.id, split]]
        if without:
            kind, effect = _CLASS_WITHOUT[split]
            advice.append(f"No {kind} pictures in {_named(without)}: {effect}")
    sizes = [counts[c.id, "train"] for c in dataset.classes if counts[c.id, "train"]]
    if len(sizes) > 1 and max(sizes) >= 5 * min(sizes):
        advice.append(
            f"The classes are uneven: {count(max(sizes), 'training picture')} in the largest, {min(sizes):,} in the "
            "smallest. The model will lean towards the large ones."
        )
    return advice


def is_ready(dataset: Dataset) -> bool:
    """Whether there is enough to go on: pictures in at least two classes."""
    return len({item.class_id for item in dataset.items}) >= 2


def _named(names: list[str]) -> str:
    shown = ", ".join(names[:MAX_NAMED])
    more = len(names) - MAX_NAMED
    return f"{shown} and {more} more" if more > 0 else shown
