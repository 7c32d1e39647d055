"""A bundle, opened to ask its model: of the ZIP only `model.json` and the file of one format are read.

Nothing in a bundle is run. The formats that are read hold numbers and a fixed list of operations; those that may hold
code are left to the libraries that they are for. No name in the ZIP becomes a path on disk.
"""

from __future__ import annotations

import math
import queue
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import numpy as np
from numpy.typing import NDArray

from tlcore.damage import DAMAGE_ERRORS
from tlcore.documents import read_document
from tlcore.errors import ArchiveError, ImageError, RunError, TransferLabError, UnreadableError
from tlcore.export.formats import FORMATS, FormatSpec
from tlcore.export.manifest import MANIFEST_FILE, Manifest
from tlcore.export.readers import Ask, open_format
from tlcore.home import storage_error
from tlcore.images.resizing import resize_image
from tlcore.intake.archives.members import Member
from tlcore.intake.archives.zip_files import zip_members
from tlcore.intake.names import printable, split_path
from tlcore.intake.pictures.decoders import pixels_of
from tlcore.quiet import without_notes
from tlcore.storage.requests import FormatName

ASKED_FORMATS: Final[tuple[FormatName, ...]] = (
    "litert",
    "litert-float16",
    "onnx",
    "litert-int8",
    "litert-dynamic",
)
"""The formats that may be asked here, the one first that answers when nobody chose another."""

MOST_MANIFEST_BYTES = 20_000_000
"""A thousand classes with long names have a hundredth of it."""
MOST_MODEL_BYTES = 2_000_000_000
"""More no LiteRT or ONNX file in one piece can have."""
MOST_SIDE = 4096
"""Of the square picture that a model sees; the largest one that can be chosen is far smaller."""
ROUNDING = 1 / 512
"""So far from the true one may a probability of 8 bits be; for each class this much may be missing from a sum of 1."""

NO_BUNDLE = "This is no model that Transfer Lab has exported, or its file is damaged. Download it again from Export."
DAMAGED_MODEL = "The model in this bundle is damaged, or is not the one that it names. Export it again."


@dataclass(frozen=True, slots=True, eq=False)
class Bundle:
    """An exported model that answers; several threads may ask it.

    Attributes:
        manifest: What the bundle says of its model.
        format: The one that answers.
        notes: What a person should know of the choice, in words: that another format was asked for, or that this one
            failed its certificate.
    """

    manifest: Manifest
    format: FormatName
    notes: tuple[str, ...]
    _asks: queue.SimpleQueue[Ask]

    def predict(self, path: str | Path) -> dict[str, float]:
        """Return the probability of each class for the picture in a file, decoded as `TrainedModel.predict` does.

        Raises:
            ImageError: If the file is no picture, or takes too much time or memory to decode.
        """
        probabilities = self.predict_bytes(Path(path).read_bytes())
        return dict(zip(self.manifest.class_names, map(float, probabilities), strict=True))

    def predict_bytes(self, data: bytes) -> NDArray[np.float32]:
        """Return the probabilities for the bytes of a picture, float32 of shape `(classes,)`; errors as `predict`."""
        return self.predict_pixels(pixels_of(data, self.manifest.grey_range))

    def predict_pixels(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the probabilities for a picture.

        Args:
            pixels: uint8 RGB of shape `(height, width, 3)`, `[0, 255]`, as `pixels_of` makes them.
        """
        manifest = self.manifest
        # A file that takes any size would do this inside, but lays out its memory anew for every other size.
        if manifest.one_square or not FORMATS[self.format].takes_any_size:
            pixels = resize_image(pixels, manifest.image_size, manifest.resize_mode)
        ask = self._asks.get()
        try:
            return ask(pixels)
        finally:
            self._asks.put(ask)


def open_bundle(
    path: str | Path, format_name: FormatName | None = None, *, at_once: int = 1, threads: int = 1
) -> Bundle:
    """Open an exported model.

    Args:
        path: The ZIP file from Export or from `tlcore.library.export`.
        format_name: The format that shall answer; the first of `ASKED_FORMATS` that is there when not given, and also
            where the bundle lacks the one that is given: `Bundle.notes` then says so.
        at_once: How many threads may get answers at the same time; the model is loaded so many times.
        threads: How many threads one answer may use.

    Raises:
        ArchiveError: If the file is no bundle, damaged, or made to do harm.
        RunError: If its model cannot be asked here.
        UnreadableError: If a newer version has written it.
    """
    if format_name is not None and format_name not in ASKED_FORMATS:
        raise RunError(_not_asked_here(format_name))
    try:
        with Path(path).open("rb") as file:
            members = _members(_listed(file))
            manifest = _read_manifest(members)
            found, notes = _choose(members, manifest, format_name)
            return Bundle(manifest, found, notes, _load(members, manifest, FORMATS[found], at_once, threads))
    except FileNotFoundError as error:
        raise ArchiveError(f"There is no file {path}. Check its name.") from error
    except TransferLabError:
        raise
    except DAMAGE_ERRORS as error:
        raise ArchiveError(NO_BUNDLE) from error


def _not_asked_here(name: FormatName) -> str:
    if name not in FORMATS:
        return f"There is no format {printable(name)}. Choose one of these: {', '.join(ASKED_FORMATS)}."
    return (
        f"The format {name} is not asked here, because such a file may hold code. Choose one of these: "
        f"{', '.join(ASKED_FORMATS)}. Or open {FORMATS[name].file.rstrip('/')} in a program of your own, as README.txt "
        "in the ZIP shows."
    )


def _listed(file: IO[bytes]) -> Sequence[Member]:
    try:
        return zip_members(file)
    except ArchiveError as error:  # which speaks of pictures
        raise ArchiveError(NO_BUNDLE) from error


def _members(listed: Sequence[Member]) -> Mapping[tuple[str, ...], Member]:
    """Return what the ZIP holds by path, as long as nothing in it is what no bundle has."""
    members: dict[tuple[str, ...], Member] = {}
    for member in listed:
        name = member.name if isinstance(member.name, str) else member.name.decode("utf-8", "replace")
        parts = split_path(name)
        if parts is None or parts in members or member.why_refused is not None:
            raise ArchiveError(
                f"The file holds something that no exported model has ({printable(name)}): nothing of it is used. "
                "Download the model again from Export."
            )
        members[parts] = member
    return members


def _read_manifest(members: Mapping[tuple[str, ...], Member]) -> Manifest:
    member = members.get((MANIFEST_FILE,))
    if member is None or member.size > MOST_MANIFEST_BYTES:
        raise ArchiveError(NO_BUNDLE)
    try:
        manifest = read_document(b"".join(member.chunks()), Manifest)
    except UnreadableError as error:
        if error.__cause__ is None:  # a newer version has written it
            raise
        raise ArchiveError(NO_BUNDLE) from error
    except ImageError as error:
        raise ArchiveError(NO_BUNDLE) from error
    problem = _problem_of(manifest)
    if problem:
        raise ArchiveError(
            f"This bundle cannot be used: {problem} Somebody may have changed its {MANIFEST_FILE}. Export it anew."
        )
    return manifest


def _problem_of(manifest: Manifest) -> str:
    """Return what is wrong with the values, if anything: somebody may have written them by hand."""
    names, grey = manifest.class_names, manifest.grey_range
    if not names:
        return "it names no class."
    twice = next((name for name, number in Counter(names).items() if number > 1), None)
    if twice is not None:
        return f"two of its classes have the same name, {printable(twice)}."
    if len(manifest.class_colors) != len(names):
        return f"it has {len(names):,} classes, and colours for {len(manifest.class_colors):,}."
    if not 0 <= manifest.threshold <= 1:
        return f"its threshold is {manifest.threshold:g}, and must be from 0 to 1."
    if not 1 <= manifest.image_size <= MOST_SIDE:
        return f"its pictures are {manifest.image_size:,} pixels wide, and must be from 1 to {MOST_SIDE:,}."
    if grey is not None and not (all(map(math.isfinite, grey)) and grey[0] < grey[1]):
        return f"its darkest grey, {grey[0]:g}, must be below its brightest, {grey[1]:g}."
    return ""


def _choose(
    members: Mapping[tuple[str, ...], Member], manifest: Manifest, wanted: FormatName | None
) -> tuple[FormatName, tuple[str, ...]]:
    there = [name for name in ASKED_FORMATS if (FORMATS[name].file,) in members]
    if not there:
        raise RunError(
            "This bundle holds no format that can be asked here. Export the model again with one of these: "
            f"{', '.join(ASKED_FORMATS)}."
        )
    found = wanted if wanted in there else there[0]
    notes = []
    if wanted is not None and found != wanted:
        notes.append(f"The bundle holds no {FORMATS[wanted].title}; {FORMATS[found].title} answers in its place.")
    for report in manifest.result.reports:
        if report.format == found and report.warning:
            notes.append(f"{FORMATS[found].title} did not pass its test against the original: {report.warning}")
    return found, tuple(notes)


def _load(
    members: Mapping[tuple[str, ...], Member], manifest: Manifest, spec: FormatSpec, at_once: int, threads: int
) -> queue.SimpleQueue[Ask]:
    """Load the file of a format, and try each copy once; it lies on the disk no longer than that takes."""
    member = members[(spec.file,)]
    if member.size > MOST_MODEL_BYTES:
        raise ArchiveError(NO_BUNDLE)
    asks: queue.SimpleQueue[Ask] = queue.SimpleQueue()
    with (
        tempfile.TemporaryDirectory(prefix="transfer-lab-bundle-", ignore_cleanup_errors=True) as name,
        without_notes(),
    ):
        _unpack(member, Path(name) / spec.file)
        try:
            for _ in range(at_once):
                asks.put(_tried(open_format(Path(name), spec.name, threads), manifest))
        except _errors_of(spec) as error:
            raise RunError(DAMAGED_MODEL) from error
    return asks


def _unpack(member: Member, target: Path) -> None:
    try:
        chunks = member.chunks()
        with target.open("wb") as file:
            for chunk in chunks:
                file.write(chunk)
    except ImageError as error:
        raise ArchiveError(NO_BUNDLE) from error
    except OSError as error:
        raise storage_error(error, target) from error


def _errors_of(spec: FormatSpec) -> tuple[type[Exception], ...]:
    """Return what the library of a format raises over a damaged file, besides an error of ours."""
    if spec.runtime != "onnx":
        return DAMAGE_ERRORS
    from onnxruntime.capi import onnxruntime_pybind11_state as onnx

    own = (
        onnx.Fail,
        onnx.InvalidArgument,
        onnx.InvalidGraph,
        onnx.InvalidProtobuf,
        onnx.NoSuchFile,
        onnx.NotImplemented,
    )
    return (*DAMAGE_ERRORS, *own, onnx.RuntimeException)


def _tried(ask: Ask, manifest: Manifest) -> Ask:
    """Ask about a grey square: the answer must be probabilities of as many classes as the bundle names."""
    answer = ask(np.full((manifest.image_size, manifest.image_size, 3), 128, np.uint8))
    tolerance = 0.02 + ROUNDING * len(manifest.class_names)
    if (
        answer.shape != (len(manifest.class_names),)
        or not np.isfinite(answer).all()
        or answer.min() < -tolerance
        or abs(float(answer.sum()) - 1) > tolerance
    ):
        raise RunError(DAMAGED_MODEL)
    return ask
