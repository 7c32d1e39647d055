"""A single picture of which a person says the class, such as one that a model answered wrong: put into a data set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tlcore.dataset import ClassLabel, Dataset, Item, unique_items, with_class
from tlcore.intake.near_copies import near_copies_of
from tlcore.intake.splitting import HELD_BACK

MAX_COMPARED = 300
"""Training pictures of its class to which it is compared, the newest, besides all pictures that are held back.

Of 20,000 pictures some 6,000 are held back, which takes about a second of a core.
"""


def with_picture(
    dataset: Dataset, image: str, name: str, class_name: str, thumbnail: Callable[[str], bytes]
) -> Dataset:
    """Return the data set with a stored picture in a class.

    It trains. Pictures that were chosen because a model is wrong about them would make an exam harder than what it
    stands for, and an exam with other pictures cannot be compared with those before. Only a near-copy of a picture that
    is held back is held back with it, whatever its class, so that nothing is tested on what it learned.

    Args:
        dataset: What is there already. If the picture is in it, it moves into the class and keeps its split.
        image: Key of the stored picture.
        name: What its file was called; text only.
        class_name: Its class; may be new.
        thumbnail: Returns the thumbnail of a stored picture.

    Raises:
        DatasetError: If the name of the class is not usable or there are too many classes.
    """
    dataset, label = with_class(dataset, class_name)
    unlabelled = tuple(one for one in dataset.unlabelled if one.image != image)
    if any(item.image == image for item in dataset.items):
        moved = (replace(item, class_id=label.id) if item.image == image else item for item in dataset.items)
        return replace(dataset, items=unique_items(moved), unlabelled=unlabelled)
    alike = _near_copies(dataset, label, image, thumbnail) if dataset.scenes_together else ()
    scene = min((item.scene for item in alike if item.scene), default=min((image, *(item.image for item in alike))))
    held_back = [split for split in HELD_BACK if any(item.split == split for item in alike)]
    new = Item(image, label.id, held_back[0] if held_back else "train", name, scene=scene if alike else "")
    copies = {item.image for item in alike}
    items = (replace(item, scene=item.scene or scene) if item.image in copies else item for item in dataset.items)
    return replace(dataset, items=unique_items((*items, new)), unlabelled=unlabelled)


def _near_copies(
    dataset: Dataset, label: ClassLabel, image: str, thumbnail: Callable[[str], bytes]
) -> tuple[Item, ...]:
    """Return the pictures that show the same scene as a new one, with all that are known to show it too."""
    held_back = [item for item in dataset.items if item.split != "train"]
    learned = [item for item in dataset.of_class(label.id) if item.split == "train"][-MAX_COMPARED:]
    found = near_copies_of(image, [item.image for item in (*held_back, *learned)], thumbnail)
    scenes = {item.scene for item in dataset.items if item.image in found and item.scene}
    return tuple(item for item in dataset.items if item.image in found or item.scene in scenes)
