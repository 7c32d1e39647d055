"""From the folders in which pictures lie to their class names and splits; only text, no files."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tlcore.dataset import MAX_CLASS_NAME_LENGTH, Split, clean_class_name
from tlcore.intake.names import similarity_key

_SPLIT_NAMES: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}
_SPLIT_FOLDER = re.compile(rf"^({'|'.join(_SPLIT_NAMES)})([ _-]?(set|data|images|pictures))?$")
# Folders that only hold the pictures of the class above them.
_CONTAINER_FOLDER = re.compile(r"^(images?|imgs?|pictures?|photos?|jpe?gs?|pngs?|frames?|(batch|part)[ _-]?\d*)$")
# Some pictures may lie elsewhere (a cover beside the class folders) without changing what the rest means.
_MOST = 0.8


@dataclass(frozen=True, slots=True)
class Label:
    """Where one picture belongs; `None` where its path does not say."""

    class_name: str | None
    split: Split | None


@dataclass(slots=True)
class _Place:
    """The folders of a path that are left to look at, and the split found so far."""

    folders: tuple[str, ...]
    split: Split | None = None


def assign_labels(paths: Sequence[tuple[str, ...]]) -> tuple[Label, ...]:
    """Decide the class name and the split of each picture by its folders.

    A folder around everything is passed over. Folders called train, validation or test right below count as
    splits when most pictures lie in them; anywhere else such a name is a class like any other. The class is the
    topmost folder below these that holds pictures itself.

    Args:
        paths: For each picture its folders, outermost first, and its file name as the last part.
    """
    places = [_Place(parts[:-1]) for parts in paths]
    while _take_split(places, 0) or _take_wrap(places):
        pass
    _take_split_below_class(places)
    _take_containers(places)
    holders = {place.folders for place in places}
    names = _class_names(_class_folder(place.folders, holders) for place in places)
    return tuple(Label(names.get(_class_folder(place.folders, holders)), place.split) for place in places)


def similar_names(names: Iterable[str]) -> tuple[tuple[str, ...], ...]:
    """Return the groups of different names that look alike to a person, sorted."""
    groups: defaultdict[str, set[str]] = defaultdict(set)
    for name in names:
        groups[similarity_key(re.sub(r" \(\d+\)$", "", name))].add(name)
    return tuple(tuple(sorted(group)) for _, group in sorted(groups.items()) if len(group) > 1)


def _split_of(folder: str) -> Split | None:
    match = _SPLIT_FOLDER.match(folder.strip().lower())
    return _SPLIT_NAMES[match.group(1)] if match else None


def _take_split(places: list[_Place], level: int) -> bool:
    """Pass over folders of splits, if most pictures lie in them; return whether there were any."""
    inside = [place for place in places if len(place.folders) > level and _split_of(place.folders[level])]
    if not inside or len(inside) < _MOST * len(places):
        return False
    splits = {_split_of(place.folders[level]) for place in inside}
    deeper = sum(len(place.folders) > level + 1 for place in inside)
    if len(splits) == 1 and deeper < _MOST * len(inside):
        return False  # one folder of pictures that happens to be called "train"
    if any(place.split not in (None, _split_of(place.folders[level])) for place in inside):
        return False
    for place in inside:
        place.split = _split_of(place.folders[level])
        place.folders = place.folders[:level] + place.folders[level + 1 :]
    return True


def _take_wrap(places: list[_Place]) -> bool:
    """Pass over one folder that lies around most pictures with further folders inside."""
    outermost = Counter(place.folders[0] for place in places if place.folders)
    if not outermost:
        return False
    folder, count = outermost.most_common(1)[0]
    inside = Counter(place.folders[1] for place in places if len(place.folders) > 1 and place.folders[0] == folder)
    share_inside = inside.total() / count
    is_wrap = share_inside >= _MOST or (len(inside) > 1 and share_inside >= 0.5)
    if count < _MOST * len(places) or not is_wrap:
        return False
    for place in places:
        if place.folders[:1] == (folder,):
            place.folders = place.folders[1:]
    return True


def _take_split_below_class(places: list[_Place]) -> None:
    """Read `cat/train/1.jpg`, where each class has its own splits."""
    if all(place.split is None for place in places):
        splits = {_split_of(place.folders[1]) for place in places if len(place.folders) == 2}
        if len(splits - {None}) > 1:
            _take_split(places, 1)


def _take_containers(places: list[_Place]) -> None:
    """Read `cat/images/1.jpg` and `dog/images/1.jpg` as cat and dog."""
    for place in places:
        while len(place.folders) > 1 and _CONTAINER_FOLDER.match(place.folders[-1].strip().lower()):
            place.folders = place.folders[:-1]


def _class_folder(folders: tuple[str, ...], holders: set[tuple[str, ...]]) -> str | None:
    for depth in range(1, len(folders) + 1):
        if folders[:depth] in holders:
            return folders[depth - 1]
    return None


def _class_names(folders: Iterable[str | None]) -> dict[str | None, str]:
    """Give each folder name a usable class name; different folders never get the same one."""
    names: dict[str | None, str] = {}
    taken: set[str] = set()
    for folder in sorted({folder for folder in folders if folder is not None}, key=lambda f: (len(f), f)):
        name = unique = _usable(folder)
        number = 2
        while unique in taken:
            unique = f"{name} ({number})"
            number += 1
        taken.add(unique)
        names[folder] = unique
    return names


def _usable(folder: str) -> str:
    text = unicodedata.normalize("NFC", folder)
    text = " ".join("".join(c for c in text if c.isprintable() or c.isspace()).split())
    return clean_class_name(text[: MAX_CLASS_NAME_LENGTH - 6] or "unnamed")  # room for a number
