"""Pictures from the camera: recorded while a button is held, each such session a group of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain, count

from tlcore.dataset import Dataset, Item, Split, unique_items, with_class
from tlcore.errors import ImageError
from tlcore.intake.collection import PictureStore
from tlcore.intake.near_copies import find_scenes
from tlcore.intake.pictures.decoders import read_image
from tlcore.intake.splitting import TEST_FRACTION, VALIDATION_FRACTION

MAX_PICTURE_BYTES = 500_000
"""Of one picture as the browser sends it; 512 pixels as JPEG have about 50,000."""
MAX_PER_SECOND = 8
"""Pictures a second that are taken on average; what comes faster is left out."""
MAX_AT_ONCE = 8
"""Pictures that one message may bring."""
MAX_PER_SESSION = 600
"""Pictures of one session, about 100 seconds; more of the same scene teach nothing new."""

MAX_COMPARED = 300
"""Pictures of its class to which a session is compared: less than a second."""

_FRACTIONS: dict[Split, float] = {
    "train": 1 - VALIDATION_FRACTION - TEST_FRACTION,
    "validation": VALIDATION_FRACTION,
    "test": TEST_FRACTION,
}


@dataclass(frozen=True, slots=True)
class Session:
    """A session of the camera while it goes on: which pictures are stored, without their bytes.

    Attributes:
        id: Tells it from the sessions before and after.
        class_name: The class that it records into.
        began: When, in seconds of `time.monotonic`.
        images: Keys of the stored pictures, in the order of recording.
        refused: Why a picture was not taken, the last reason; empty while all were.
    """

    id: str
    class_name: str
    began: float
    images: tuple[str, ...] = ()
    refused: str = ""


def add_pictures(session: Session, pictures: Sequence[bytes], store: PictureStore, now: float) -> Session:
    """Decode, check and store what a message brought; return the session with it.

    Args:
        session: The session so far.
        pictures: Bytes of picture files, in the order of recording.
        store: Where clean pictures go.
        now: Seconds of `time.monotonic`.

    Raises:
        StorageError: If the disk is full or cannot be written.
    """
    images, refused = list(session.images), session.refused
    due = int(MAX_PER_SECOND * (now - session.began)) + MAX_AT_ONCE - len(images)
    for data in pictures[: max(0, min(due, MAX_AT_ONCE))]:
        if len(images) >= MAX_PER_SESSION:
            refused = (
                f"More than {MAX_PER_SESSION} pictures in one go show nothing new. Let go, and record again from "
                "another place."
            )
            break
        try:
            if len(data) > MAX_PICTURE_BYTES:
                raise ImageError(
                    f"A picture from the camera has {len(data) / 1000:,.0f} kB; the limit is "
                    f"{MAX_PICTURE_BYTES / 1000:,.0f}. Reload the page and record again."
                )
            clean = read_image(data)
        except ImageError as error:
            refused = str(error)
        else:
            images.append(store.add(clean.data, clean.thumbnail))
    return replace(session, images=tuple(images), refused=refused)


def with_session(dataset: Dataset, session: Session, when: datetime, thumbnail: Callable[[str], bytes]) -> Dataset:
    """Return the data set with the pictures of a session, all of which have one group and one split.

    A session that shows what an earlier one of its class showed, from the same place, joins its group. A picture that
    is in the data set already keeps its split.

    Args:
        dataset: What is there already.
        session: What was recorded; its class may be new.
        when: Names the group and the pictures.
        thumbnail: Returns the thumbnail of a stored picture.

    Raises:
        DatasetError: If the name of the class is not usable or there are too many classes.
    """
    dataset, label = with_class(dataset, session.class_name)
    taken, moment = {item.group for item in dataset.items}, f"camera {when:%Y-%m-%d %H-%M-%S}"
    # Two taps may come in one second.
    name = next(free for free in chain([moment], (f"{moment} ({n})" for n in count(2))) if free not in taken)
    group = name
    split = split_of_session(dataset, label.id, len(session.images))
    alike = _shown_before(dataset, label.id, session, thumbnail) if dataset.scenes_together else None
    if alike is not None:
        split, group = alike.split, alike.group or group
    decided = {item.image: item.split for item in dataset.items}
    recorded = (
        Item(image, label.id, decided.get(image, split), f"{name} {number:03}.jpg", group=group)
        for number, image in enumerate(session.images, start=1)
    )
    return replace(dataset, items=unique_items((*dataset.items, *recorded)))


def _shown_before(dataset: Dataset, class_id: str, session: Session, thumbnail: Callable[[str], bytes]) -> Item | None:
    """Return a picture of the class of which a session has a near-copy, one of the part where most of these are."""
    images = set(session.images)
    others = _some_of_each([item for item in dataset.of_class(class_id) if item.image not in images], MAX_COMPARED)
    scenes = find_scenes([*(item.image for item in others), *session.images], thumbnail) if others else {}
    recorded = {scenes[image] for image in images if image in scenes}
    alike = [item for item in others if scenes.get(item.image) in recorded]
    if not alike:
        return None
    part = Counter(item.split for item in alike).most_common(1)[0][0]
    return next(item for item in alike if item.split == part)


def _some_of_each(items: Sequence[Item], most: int) -> list[Item]:
    """Return at most so many pictures, in their order, of as many groups as possible and spread over each of them.

    Somebody may come back to the place of the very first session, so none is forgotten before there are more groups
    than that; then the oldest are. What has no group counts as one, and small groups leave their share to the others.
    """
    groups: dict[str | None, list[int]] = {}
    for place, item in enumerate(items):
        groups.setdefault(item.group, []).append(place)
    kept = sorted(groups.values(), key=lambda places: places[-1])[-most:]
    chosen: list[int] = []
    for left, places in zip(range(len(kept), 0, -1), sorted(kept, key=len), strict=True):
        share = min(len(places), (most - len(chosen)) // left)
        chosen += (places[number * len(places) // share] for number in range(share))
    return [items[place] for place in sorted(chosen)]


def split_of_session(dataset: Dataset, class_id: str, num_pictures: int) -> Split:
    """Return where a new session of a class belongs, as a whole, since its pictures are all alike.

    The first one trains and the second one tests: they are from two places, so the test tells whether the model has
    learned the thing or only the place. From the third on a session goes where most is missing. What came as
    validation or test pictures is the whole of that split in its class.

    Args:
        dataset: What is there already.
        class_id: The class of the session.
        num_pictures: Of the session.
    """
    have = {split: sum(item.split == split for item in dataset.of_class(class_id)) for split in _FRACTIONS}
    closed = {item.split for item in dataset.of_class(class_id) if item.given}
    if not have["train"]:
        return "train"
    if not have["test"] and not have["validation"]:
        return "test"
    total = sum(have.values()) + num_pictures
    missing = {s: part * total - have[s] for s, part in _FRACTIONS.items() if s == "train" or s not in closed}
    return max(missing, key=lambda split: missing[split])
