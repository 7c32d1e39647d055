"""Which picture a name in a label file means; text is compared with text, no file is looked for."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from tlcore.dataset import Split
from tlcore.intake.meaning.parts import part_of
from tlcore.intake.names import PICTURE_SUFFIXES

# Pictures were often something else when the labels were written.
_ENDINGS = {*PICTURE_SUFFIXES, ".ppm", ".pgm", ".dcm", ".dicom", ".nii", ".svs", ".dng", ".nef", ".cr2", ".arw", ".npy"}
# Folders beyond this depth tell no two pictures apart; it bounds what is kept of 50,000 paths.
_MAX_PARTS = 8

_Parts = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Match:
    """What was found for one name.

    Attributes:
        picture: Its place in the list of paths; `None` where nothing or more than one thing fits.
        certainty: 1 where the name is exactly that of the file, less where only a part of it is alike; 0 for nothing.
        is_ambiguous: Whether several pictures fit.
        is_partial: Whether the folders before the name are other ones than those of the picture.
    """

    picture: int | None = None
    certainty: float = 0.0
    is_ambiguous: bool = False
    is_partial: bool = False


_NOTHING = Match()


class PictureNames:
    """The paths of all pictures, to be found by what label files call them."""

    def __init__(self, paths: Sequence[_Parts]):
        self._paths = [tuple(unicodedata.normalize("NFC", part) for part in path) for path in paths]
        self._folders = {folder.casefold() for path in self._paths for folder in path[:-1]}
        self._indexes: dict[Callable[[_Parts], _Parts | None], dict[_Parts, list[int]]] = {}
        self._inside: dict[tuple[_Parts, _Parts, Split | None], int | None] = {}

    def __len__(self) -> int:
        return len(self._paths)

    def find(self, names: Iterable[str], folder: _Parts, part: Split | None = None) -> dict[str, Match]:
        """Return what each name means.

        As much of a path counts as the name gives: of two `1.jpg` the one below the label file's own folder, the one
        in the folder that the name says, or the one in the part that the label file is for. Upper and lower case, the
        ending and leading zeros count only where the name as it is fits nothing.

        Args:
            names: As they stand in the label file.
            folder: The folders of the label file, the name of what was brought first.
            part: What its name or its folder says: `train.csv`.
        """
        folder = tuple(unicodedata.normalize("NFC", part) for part in folder)
        found = {name: self._find(name, folder, part) for name in names}
        claims: defaultdict[int | None, list[str]] = defaultdict(list)
        whole = {match.picture for match in found.values() if not match.is_partial}
        for name, match in found.items():
            if match.is_partial:
                claims[match.picture].append(name)
        for picture, rivals in claims.items():
            if len(rivals) > 1 or picture in whole:
                found |= dict.fromkeys(rivals, _NOTHING)
        return found

    def _find(self, name: str, folder: _Parts, part: Split | None) -> Match:
        given, target = _resolve(unicodedata.normalize("NFC", name.strip()), folder)
        if not given:
            return _NOTHING
        for of_picture, of_name, certainty in _WAYS:
            wanted = of_name(target)
            if wanted is None:
                continue
            index = self._index(of_picture)
            for length in range(min(len(wanted), _MAX_PARTS), 0, -1):
                pictures = index.get(wanted[-length:])
                if pictures is None:
                    continue
                picture: int | None = pictures[0]
                if len(pictures) > 1:
                    picture = self._one_inside(wanted[-length:], pictures, folder, part)
                if picture is None:
                    return Match(None, certainty, is_ambiguous=True)
                path = self._paths[picture]
                if length < len(given) and self._contradicts(given[-length - 1], path[: len(path) - length]):
                    return _NOTHING
                return Match(picture, certainty, is_partial=length < min(len(given), len(path) - 1))
        return _NOTHING

    def _contradicts(self, said: str, folders: _Parts) -> bool:
        """Return whether a label file says another one of the folders here, or another part."""
        around = {folder.casefold() for folder in folders}
        parts = {part_of(said), part_of(folders[-1]) if folders else None}
        is_elsewhere = said.casefold() in self._folders and said.casefold() not in around
        return is_elsewhere or (len(parts) == 2 and None not in parts)

    def _index(self, key: Callable[[_Parts], _Parts | None]) -> dict[_Parts, list[int]]:
        if key not in self._indexes:
            index: defaultdict[_Parts, list[int]] = defaultdict(list)
            for number, path in enumerate(self._paths):
                whole = key(path)
                if whole is not None:
                    for length in range(1, min(len(whole), _MAX_PARTS) + 1):
                        index[whole[-length:]].append(number)
            self._indexes[key] = dict(index)
        return self._indexes[key]

    def _one_inside(self, ending: _Parts, pictures: list[int], folder: _Parts, part: Split | None) -> int | None:
        """Return the only one of these pictures below the label file's folder, or of those the only one of its part."""
        asked = (ending, folder, part)
        if asked not in self._inside:
            inside = [number for number in pictures if self._paths[number][: len(folder)] == folder]
            if len(inside) > 1 and part is not None:
                inside = [n for n in inside if part in map(part_of, self._paths[n][:-1])]
            self._inside[asked] = inside[0] if len(inside) == 1 else None
        return self._inside[asked]


def without_ending(name: str) -> str:
    """Return a file name without the ending of a picture; what follows another dot stays."""
    stem, dot, ending = name.rpartition(".")
    return stem if dot and stem and f".{ending.lower()}" in _ENDINGS else name


def has_picture_ending(name: str) -> bool:
    """Return whether a text ends as the name of a picture does."""
    return PurePath(name).suffix.lower() in _ENDINGS


def _resolve(name: str, folder: _Parts) -> tuple[_Parts, _Parts]:
    """Return the parts of a name and those of the path that it means; nothing for a path that climbs out."""
    given: list[str] = []
    target = list(folder)
    for part in re.split(r"[/\\]", name):
        if part == "..":
            given.clear()
            if len(target) < 2:  # the first part is the name of what was brought
                return (), ()
            target.pop()
        elif part not in ("", "."):
            given.append(part)
            target.append(part)
    return tuple(given), tuple(target)


def _as_is(parts: _Parts) -> _Parts:
    return parts


def _stem(parts: _Parts) -> _Parts:
    return (*parts[:-1], without_ending(parts[-1]))


def _folded(parts: _Parts) -> _Parts:
    return tuple(part.casefold() for part in _stem(parts))


def _number(parts: _Parts) -> _Parts | None:
    """Spreadsheets drop the zeros of 0007."""
    name = without_ending(parts[-1])
    return (*parts[:-1], name.lstrip("0") or "0") if name.isascii() and name.isdigit() else None


_WAYS: tuple[tuple[Callable[[_Parts], _Parts | None], Callable[[_Parts], _Parts | None], float], ...] = (
    (_as_is, _as_is, 1.0),
    (_stem, _as_is, 0.9),
    (_stem, _stem, 0.8),
    (_folded, _folded, 0.7),
    (_number, _number, 0.5),
)
