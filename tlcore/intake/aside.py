"""Files that are left aside because of their place or name: thumbnails, hidden copies, placeholders of a cloud."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal

from tlcore.intake.decoding import PICTURE_SUFFIXES
from tlcore.intake.names import printable

Kind = Literal["masks", "thumbnails", "deleted", "hidden", "cloud", "system"]

_SYSTEM_FILES = {"thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "icon\r", "folder.lock"}
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
    if suffix not in _CLOUDS:
        return None
    cloud, how = _CLOUDS[suffix]
    what = "picture" if _is_picture(path.stem) else "file"
    return Aside(
        "cloud",
        f"{what} is still in {cloud}: download it{how}, then bring the folder again",
        f"{what}s are still in {cloud}: download them{how}, then bring the folder again",
    )
