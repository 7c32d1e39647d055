"""A few pictures of each ready data set, for its card and to ask models about; those of a downloaded one are kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tlcore.documents import read_document, write_document
from tlcore.errors import ImageError
from tlcore.home import DataRoot, write_atomically
from tlcore.intake.sources import ReadyPicture
from tlcore.ready_sets.pictures import spread_over_classes
from tlcore.ready_sets.registry import ReadySetSpec

NUM_PICTURES = 6
NUM_TO_ASK = 12
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


def pictures_to_ask(spec: ReadySetSpec, pictures: Sequence[ReadyPicture]) -> PreviewStrip:
    """Return pictures of a ready data set as they are stored, to ask models about: of its test part, if it has one.

    Raises:
        DatasetError: As reading `pictures` does.
    """
    held_back = [picture for picture in pictures if picture.split == "test"] or pictures
    asked = []
    for picture in spread_over_classes(held_back, spec.class_names, NUM_TO_ASK):
        with suppress(ImageError):
            asked.append(Preview(picture.class_name, picture.clean().data))
    return PreviewStrip(tuple(asked))


def keep_previews(spec: ReadySetSpec, pictures: Sequence[ReadyPicture], home: DataRoot) -> None:
    """Keep the pictures above of a data set that was downloaded, so that no page must open its large files.

    Raises:
        DatasetError: As reading `pictures` does.
        StorageError: If the disk is full or cannot be written.
    """
    for path, make in ((_path(spec, home), preview_strip), (_ask_path(spec, home), pictures_to_ask)):
        if spec.files and not path.is_file():
            data = write_document(make(spec, pictures)).encode()
            write_atomically(path, partial(Path.write_bytes, data=data))


def load_strip(spec: ReadySetSpec, home: DataRoot) -> PreviewStrip | None:
    """Return the kept strip; `None` before the data set was taken for the first time."""
    return _load(_path(spec, home))


def has_pictures_to_ask(spec: ReadySetSpec, home: DataRoot) -> bool:
    """Whether pictures to ask about are at hand: of a data set that is downloaded, once it was taken."""
    return not spec.files or _ask_path(spec, home).is_file()


def load_pictures_to_ask(spec: ReadySetSpec, home: DataRoot) -> PreviewStrip:
    """Return the pictures to ask about, the kept ones or, of a data set that needs no files, fresh ones.

    Raises:
        DatasetError: If the package that carries them is not installed as it should be.
    """
    if spec.files:
        return _load(_ask_path(spec, home)) or PreviewStrip(())
    with ExitStack() as stack:
        return pictures_to_ask(spec, tuple(spec.read((), stack)))


def _load(path: Path) -> PreviewStrip | None:
    try:
        return read_document(path.read_text(encoding="utf-8"), PreviewStrip)
    except FileNotFoundError:
        return None


def _preview(picture: ReadyPicture) -> Preview:
    clean = picture.clean()
    is_tiny = max(clean.width, clean.height) <= _EXACT_SIDE
    return Preview(picture.class_name, clean.data if is_tiny else clean.thumbnail)


def _path(spec: ReadySetSpec, home: DataRoot) -> Path:
    return home.ready_sets_dir / f"{spec.name}.json"


def _ask_path(spec: ReadySetSpec, home: DataRoot) -> Path:
    return home.ready_sets_dir / f"{spec.name}-ask.json"
