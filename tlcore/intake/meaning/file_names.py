"""What names of files and folders say: classes (`cat.0.jpg`), clips (`clip1_frame_0007.jpg`), numbered pieces."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import PurePath

from tlcore.dataset import MAX_CLASSES

# Nearly all: a few others may lie among them without changing what the rest means.
NEARLY_ALL = 0.95

_CAMERA_WORDS = """
    img image images dsc dscn dscf dcim photo photos pic pics picture pictures frame p pxl mvimg gopr vid file scan
    page untitled download screenshot whatsapp signal sample snap capture bild foto fotos imagen kép crop tile patch
    unnamed copy test train val valid data
    edited bearbeitet kopie burst cover hdr pano portrait from at"""
_GROUP_WORDS = """
    patient patients pat subject subjects subj person participant case slide clip video vid movie film scene session
    series sequence seq track take recording rec burst specimen animal individual study exam visit shot"""
_PIECE_WORDS = """
    part pt batch fold chunk piece archive volume vol disc disk zip download drive folder set subset data dataset
    images imgs image img pictures photos bilder fotos"""
_CAMERA = frozenset(_CAMERA_WORDS.split())
_GROUPS = frozenset(_GROUP_WORDS.split())
_PIECES = frozenset(_PIECE_WORDS.split())
# Pieces of what was downloaded from Google Drive: `pets-20240101T101010Z-001`.
_DOWNLOADED = re.compile(r"-\d{8}T\d{6}Z-")
_NUMBERED = re.compile(r"(.*?)[\s._-]*[(\[]?\d+[)\]]?")
_NUMBER_FIRST = re.compile(r"\d+[\s._-]+([^\d]*[^\W\d_][^\d]*)")
_BETWEEN = re.compile(r"[\s._()-]+")
_FRAME = re.compile(r"(?P<clip>.*?)[\s._-]*(?:(?:frame|frm|fr|f|img|image)[\s._-]*)?(?P<number>\d{1,9})")
_DATE = re.compile(r"(19|20)\d\d[-_.]?[01]\d[-_.]?[0-3]\d$")
_IN_NAME = re.compile(
    rf"(?<![^\W\d_])({'|'.join(sorted(_GROUPS, key=len, reverse=True))})[\s._-]*\d+(?=\D)", re.IGNORECASE
)


def words_of(name: str) -> list[str]:
    """Return the words and numbers of a name, in small letters."""
    return re.findall(r"\d+|[^\W\d_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower())


def without_numbers(name: str) -> str:
    """Return a name without its digits; `shop_1` and `shop_2` have the same."""
    return re.sub(r"\d+", "", name).casefold().strip()


def are_numbered(names: Iterable[str]) -> bool:
    """Return whether several names differ by a number only."""
    found = set(names)
    return len(found) > 1 and all(re.search(r"\d", n) for n in found) and len({without_numbers(n) for n in found}) == 1


def are_pieces(names: Iterable[str]) -> bool:
    """Return whether names are those of one set in numbered pieces: `images_part_1`, `batch 2`, `fold3`."""
    found = set(names)
    if not are_numbered(found):
        return False
    one = next(iter(found))
    return any(word in _PIECES for word in words_of(one)) or bool(_DOWNLOADED.search(one))


def is_group_name(name: str) -> bool:
    """Return whether a name is that of a patient, a slide, a clip ...: `slide_A_benign`, `patient007`."""
    words = words_of(name)
    return len(words) > 1 and any(word in _GROUPS for word in words)


def classes_in_names(names: Sequence[str]) -> tuple[str | None, ...]:
    """Return the class that each file's name says, all `None` where the names do not tell classes.

    A class is a name without its number (`cat.0.jpg`, `dog_12.png`, `owl (3).jpg`, `12-cow.jpg`). At least two
    classes with two pictures each must cover nearly all pictures; names that cameras give are none
    (what follows them may be one: `IMG_cat_12.jpg`), and neither are
    names that differ by another number only (`clip1_001`, `clip2_001`).
    """
    said = [_class_in_name(name) for name in names]
    counts = Counter(said)
    good = {c for c, n in counts.items() if c is not None and n > 1}
    covered = sum(counts[c] for c in good)
    tells = len({without_numbers(c) for c in good}) > 1 and len(good) <= MAX_CLASSES
    if not tells or covered < NEARLY_ALL * len(names):
        return (None,) * len(names)
    return tuple(c if c in good else None for c in said)


def clips_in_names(names: Sequence[str]) -> tuple[str | None, ...]:
    """Return the clip, patient or other series to which each file of one class belongs by its name.

    Either the name says so by a word (`person12_bacteria_4.jpg`), or there are several numbered series, each of
    some frames that follow each other closely (`clip1_frame_0001.jpg`, `00003_00012.ppm`). Where a class is one
    numbered series itself (`cat.0.jpg` to `cat.999.jpg`, `IMG_1234.jpg`) nothing is known.
    """
    stems = [PurePath(name).stem for name in names]
    worded = [stem[: match.end()] if (match := _IN_NAME.search(stem)) else None for stem in stems]
    counts = Counter(worded)
    if len(counts) > 1 and counts[None] <= (1 - NEARLY_ALL) * len(names) and max(counts.values()) > 1:
        return tuple(worded)
    series: defaultdict[str, list[int]] = defaultdict(list)
    clips: list[str | None] = []
    for stem in stems:
        match = _FRAME.fullmatch(stem)
        clip = match["clip"] if match else ""
        is_clip = bool(re.search(r"\d", clip)) or any(word in _GROUPS for word in words_of(clip))
        clips.append(clip if is_clip and not _DATE.search(clip) else None)
        if match and clips[-1] is not None:
            series[clip].append(int(match["number"]))
    frames = sum(len(numbers) for numbers in series.values())
    close = sum(len(numbers) for numbers in series.values() if max(numbers) - min(numbers) <= 50 * len(numbers))
    alike = Counter(without_numbers(clip) for clip in series)
    is_series = len(series) > 1 and max(alike.values()) > 1 and frames >= 3 * len(series)
    if not is_series or close < NEARLY_ALL * len(names):
        return (None,) * len(names)
    return tuple(clips)


def _class_in_name(name: str) -> str | None:
    stem = PurePath(name).stem
    first = _NUMBER_FIRST.fullmatch(stem)
    match = _NUMBERED.fullmatch(stem)
    said = (first[1] if first else match[1] if match else stem).strip(" ._-()[]")
    pieces = [piece for piece in _BETWEEN.split(said) if piece]
    named = next((at for at, piece in enumerate(pieces) if not _is_cameras(piece)), len(pieces))
    if named == 0:
        return said
    rest = pieces[named:]  # `IMG_cat_12.jpg`; two letters, as in `IMG-20240101-WA0001`, are no name
    return said[said.index(rest[0]) :] if rest and len(max(words_of(rest[0]), key=len, default="")) > 2 else None


def _is_cameras(piece: str) -> bool:
    return all(word.isdigit() or word in _CAMERA for word in words_of(piece))
