"""Files that are left aside because of their place or name: thumbnails, hidden copies, placeholders of a cloud."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal

from tlcore.intake.meaning.file_names import words_of
from tlcore.intake.meaning.folders import is_container
from tlcore.intake.meaning.parts import part_of
from tlcore.intake.names import PICTURE_SUFFIXES, printable

Kind = Literal["masks", "thumbnails", "deleted", "hidden", "cloud", "system"]

_SYSTEM_FILES = {"thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "icon\r"}
# What programs note beside a picture.
_SIDECARS = (".aae", ".xmp")
_SYSTEM_FOLDERS = {"__macosx", ".appledouble", ".git", ".svn", ".hg"}
_BINS = {"$recycle.bin", "#recycle", "@recycle", "recycler", ".trash", ".trashes"}
# Small copies that programs and network disks (Synology, QNAP) make of every picture.
_THUMBNAIL_FOLDERS = {"@eadir", ".@__thumb", "@__thumb", ".thumbnails", ".thumbs", ".thumb", "_vti_cnf"}
_THUMBNAIL_ENDINGS = (".lrdata", ".lrcat-data")  # previews of Lightroom
_COPIES = {".ipynb_checkpoints", ".picasaoriginals"}
# What stands for a file that was not downloaded.
_CLOUDS = {
    ".icloud": ("iCloud", " (in Finder: Download Now)"),
    ".nextcloud": ("Nextcloud", ""),
    ".owncloud": ("ownCloud", ""),
    ".cloud": ("the cloud", ""),
    ".cloudf": ("the cloud", ""),
}
# Folders with these words hold drawings of what is where in a picture; the first ones hardly mean anything else.
_MASKS = {"masks", "groundtruth", "groundtruths", "segmentations", "trimaps", "segmentationclass", "segmentationobject"}
_PERHAPS_MASKS = {"mask", "gt", "ground", "truth", "seg", "segmentation", "trimap"}
_LABEL_PICTURES = {"labels", "label", "annotations", "annotation", "annot"}
_THUMBNAILS = {"thumbs", "thumb", "thumbnails", "thumbnail"}
_BESIDE = {"binary", "png", "pngs", "jpg", "image", "images", "img", "imgs", "pictures"}
_ORIGINALS = {"original", "originals", "input", "inputs", "rgb", "raw", "scans", "slices", "source", "src"}
_ENDING = re.compile(
    r"(?P<picture>.+?)[\s._-]+((?P<mask>masks?|seg|segmentation|gt|ground[ _-]?truth)|(?P<label>labels?)|thumb(nail)?)"
    r"([\s._-]?\d+)?",
    re.IGNORECASE,
)
_GOOGLE = {".gdoc", ".gsheet", ".gslides", ".gdraw", ".gform", ".gmap", ".gsite", ".gtable", ".gshortcut"}


@dataclass(frozen=True, slots=True)
class Aside:
    """Why a file is left aside; equal ones are counted together.

    Attributes:
        kind: What it is; what a system left behind is `system`, holds no picture and needs no line.
        one: What follows the number 1: `mask (in the folder masks)`.
        many: What follows any other number: `masks (in the folder masks)`.
    """

    kind: Kind
    one: str
    many: str

    def counted(self, count: int) -> str:
        """Return the line for so many files."""
        return f"{count:,} {self.one if count == 1 else self.many}"


def why_aside(parts: tuple[str, ...]) -> Aside | None:
    """Return why a file is left aside by its own path, `None` if it may be used.

    Files that may be pictures (by their ending, or without one) are told from the leftovers of a system, so that
    each of them is counted. What needs the other paths too, such as masks, is not seen here.

    Args:
        parts: Its folders and its name, without the name of the ZIP or folder that was brought. Of a folder: the
            answer says whether it is left aside; it need not be counted.
    """
    *folders, name = parts
    if (placeholder := _placeholder(name)) is not None:
        return placeholder
    system = Aside("system", "file of the operating system", "files of the operating system")
    lower = [folder.strip().lower() for folder in folders]
    if name.lower() in _SYSTEM_FILES or (name.startswith(".") and not _is_picture(name)) or name.startswith("._"):
        return system
    if name.lower().endswith(_SIDECARS):
        return system
    for folder, key in zip(folders, lower, strict=True):
        shown = printable(folder)
        if key in _SYSTEM_FOLDERS or key in _SYSTEM_FILES:
            return _hidden_in(shown) if _is_picture(name) else system
        if key in _BINS or key.startswith(".trash-"):
            found = Aside("deleted", f"deleted picture (in {shown})", f"deleted pictures (in {shown})")
        elif key in _THUMBNAIL_FOLDERS or key.endswith(_THUMBNAIL_ENDINGS):
            found = Aside("thumbnails", f"thumbnail (in {shown})", f"thumbnails (in {shown})")
            if key == "@eadir":
                found = Aside(
                    "thumbnails",
                    f"thumbnail that a network disk made ({shown})",
                    f"thumbnails that a network disk made ({shown})",
                )
        elif key in _COPIES:
            found = Aside("hidden", f"hidden copy ({shown})", f"hidden copies ({shown})")
        elif folder.startswith("."):
            found = _hidden_in(shown)
        else:
            continue
        may_be_picture = _is_picture(name) or (found.kind == "hidden" and not PurePath(name).suffix)
        return found if may_be_picture else system
    if name.lower() in _SYSTEM_FOLDERS | _BINS | _THUMBNAIL_FOLDERS:  # such a folder itself
        return system
    if name.startswith("."):
        return Aside(
            "hidden",
            "hidden picture (its name begins with a dot: rename it to use it)",
            "hidden pictures (their names begin with a dot: rename them to use them)",
        )
    return None


def aside_among(paths: Sequence[tuple[str, ...]]) -> tuple[Aside | None, ...]:
    """Return for each picture why it is left aside because of what else is there: masks and thumbnails of others.

    A folder of masks or thumbnails lies beside the pictures (`images`, `train` ...) or among them; where its name may
    mean something else (`mask`, `labels`), nothing but such folders is there and its files are called like the
    pictures. A class called `mask` beside `no_mask` stays one. A file that is called like one beside it with `_mask`,
    `_seg`, `_thumb` at the end is left aside too.

    Args:
        paths: For each picture its parts: what was brought, folders, file name; those of `why_aside` are not in it.
    """
    members: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
    inside: defaultdict[tuple[str, ...], set[str]] = defaultdict(set)
    for path in paths:
        members[path[:-1]].append(path[-1])
    for folder in members:
        for depth in range(len(folder)):
            inside[folder[:depth]].add(folder[depth])
    stems = {folder: {PurePath(name).stem.casefold() for name in names} for folder, names in members.items()}
    below: defaultdict[tuple[str, ...], set[str]] = defaultdict(set)
    for folder, found in stems.items():
        for depth in range(len(folder) + 1):
            below[folder[:depth]] |= found
    verdicts = {
        folder[: depth + 1]: _folder_aside(folder[: depth + 1], inside[folder[:depth]], stems, below)
        for folder in members
        for depth in range(len(folder))
        if _kind_of_folder(folder[depth])
    }
    answers: list[Aside | None] = []
    for *folders, name in paths:
        folder = tuple(folders)
        by_folder = (verdicts.get(folder[: depth + 1]) for depth in range(len(folder)))
        answers.append(next((found for found in by_folder if found), None) or _file_aside(name, stems[folder]))
    return tuple(answers)


def _kind_of_folder(name: str) -> tuple[Kind, bool, str] | None:
    """Return what a folder's name may mean: its kind, whether it hardly means anything else, and what it holds."""
    words = set(words_of(name.replace("SegmentationC", "Segmentationc").replace("SegmentationO", "Segmentationo")))
    rest = {word for word in words if not (word in _BESIDE or word.isdigit() or part_of(word))}
    if not rest or part_of(name):
        return None
    if rest <= _MASKS | _PERHAPS_MASKS:
        return "masks", bool(rest & _MASKS) or {"ground", "truth"} <= rest, "mask"
    if rest <= _LABEL_PICTURES:
        return "masks", False, "label picture"
    return ("thumbnails", False, "thumbnail") if rest <= _THUMBNAILS else None


def _folder_aside(
    folder: tuple[str, ...],
    beside: set[str],
    stems: dict[tuple[str, ...], set[str]],
    below: dict[tuple[str, ...], set[str]],
) -> Aside | None:
    *around, name = folder
    parent = tuple(around)
    kind, is_sure, what = _kind_of_folder(name) or ("masks", False, "mask")
    others = beside - {name}
    holders = {other for other in others if is_container(other) or other.lower() in _ORIGINALS or part_of(other)}
    pictures = set(stems.get(parent, ()))
    for other in holders:
        pictures |= below[(*parent, other)]
    if not pictures and is_sure and not set(words_of(name)) <= {"mask", "masks"}:
        # Beside a folder of any name, if called like the pictures there.
        of_others = set().union(*(below[(*parent, other)] for other in others))
        pictures = of_others if 5 * len(below[folder] & of_others) >= 4 * len(below[folder]) else set()
    if not pictures or not (is_sure or all(other in holders or _kind_of_folder(other) for other in others)):
        return None
    own = below[folder]
    alike = sum(stem in pictures or _without_ending(stem) in pictures for stem in own)
    if not is_sure and alike < 0.8 * len(own):
        return None
    return Aside(kind, f"{what} (in the folder {printable(name)})", f"{what}s (in the folder {printable(name)})")


def _without_ending(stem: str) -> str:
    match = _ENDING.fullmatch(stem)
    return match["picture"] if match else stem


def _file_aside(name: str, beside: set[str]) -> Aside | None:
    match = _ENDING.fullmatch(PurePath(name).stem)
    if not match or match["picture"].casefold() not in beside:
        return None
    what = "mask" if match["mask"] else "label picture" if match["label"] else "thumbnail"
    why = "called like a picture beside"
    kind: Kind = "thumbnails" if what == "thumbnail" else "masks"
    return Aside(kind, f"{what} ({why} it)", f"{what}s ({why} them)")


def aside_lines(asides: Iterable[Aside]) -> tuple[str, ...]:
    """Return one line per reason with its number, the largest first; leftovers of a system have none."""
    counts = Counter(aside for aside in asides if aside.kind != "system")
    return tuple(
        aside.counted(count) for aside, count in sorted(counts.items(), key=lambda item: (-item[1], item[0].many))
    )


def _is_picture(name: str) -> bool:
    return PurePath(name).suffix.lower() in PICTURE_SUFFIXES


def _hidden_in(folder: str) -> Aside:
    why = f"in the hidden folder {folder} (rename the folder to use"
    return Aside("hidden", f"picture {why} it)", f"pictures {why} them)")


def _placeholder(name: str) -> Aside | None:
    """Return what a file stands for that is still in a cloud: `.IMG_1.JPG.icloud`."""
    path = PurePath(name)
    suffix = path.suffix.lower()
    if suffix in _GOOGLE:
        return Aside(
            "cloud",
            "link to a document in Google Drive (download the pictures themselves)",
            "links to documents in Google Drive (download the pictures themselves)",
        )
    if suffix not in _CLOUDS or not (suffix == ".icloud" or _is_picture(path.stem)):
        return None
    cloud, how = _CLOUDS[suffix]
    what = "picture" if _is_picture(path.stem) else "file"
    return Aside(
        "cloud",
        f"{what} is still in {cloud}: download it{how}, then bring the folder again",
        f"{what}s are still in {cloud}: download them{how}, then bring the folder again",
    )
