"""A few small pictures of each ready data set, for its card; those of a downloaded one are kept in the data root."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tlcore.documents import read_document, write_document
from tlcore.errors import ImageError
from tlcore.home import DataRoot, write_atomically
from tlcore.intake.sources import ReadyPicture
from tlcore.ready_sets.pictures import spread_over_classes
from tlcore.ready_sets.registry import ReadySetSpec

NUM_PICTURES = 6
_EXACT_SIDE = 128


@dataclass(frozen=True, slots=True)
class Preview:
    """One picture of a card.

    Attributes:
        class_name: What it shows.
        image: A PNG file as it is stored when the picture is tiny, else a JPEG thumbnail.
    """

    class_name: str
    image: bytes


@dataclass(frozen=True, slots=True)
class PreviewStrip:
    """The pictures of a card, in order."""

    pictures: tuple[Preview, ...]


def preview_strip(spec: ReadySetSpec, pictures: Iterable[ReadyPicture]) -> PreviewStrip:
    """Return the strip of a ready data set; reads no more pictures than it must, and leaves out damaged ones.

    Raises:
        DatasetError: As reading `pictures` does.
    """
    previews = []
    for picture in spread_over_classes(pictures, spec.class_names, NUM_PICTURES):
        with suppress(ImageError):
            previews.append(_preview(picture))
    return PreviewStrip(tuple(previews))


def save_strip(spec: ReadySetSpec, strip: PreviewStrip, home: DataRoot) -> None:
    """Keep the strip of a data set that was downloaded, so that no page must open its large files.

    Raises:
        StorageError: If the disk is full or cannot be written.
    """
    text = write_document(strip)
    write_atomically(_path(spec, home), lambda temporary: temporary.write_text(text, encoding="utf-8"))


def load_strip(spec: ReadySetSpec, home: DataRoot) -> PreviewStrip | None:
    """Return the kept strip; `None` before the data set was taken for the first time."""
    try:
        return read_document(_path(spec, home).read_text(encoding="utf-8"), PreviewStrip)
    except FileNotFoundError:
        return None


def _preview(picture: ReadyPicture) -> Preview:
    clean = picture.clean()
    is_tiny = max(clean.width, clean.height) <= _EXACT_SIDE
    return Preview(picture.class_name, clean.data if is_tiny else clean.thumbnail)


def _path(spec: ReadySetSpec, home: DataRoot) -> Path:
    return home.ready_sets_dir / f"{spec.name}.json"
