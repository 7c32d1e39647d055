"""The ZIP in which a model leaves: its files, all that goes with them, and a test of the whole.

Nothing here needs TensorFlow: it is put together while it is sent.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from pathlib import Path

from tlcore.documents import write_document
from tlcore.errors import TransferLabError
from tlcore.export import self_test
from tlcore.export.card import CARD_FILES, model_card
from tlcore.export.entries import Entry
from tlcore.export.examples import example_entries, read_examples
from tlcore.export.formats import FORMATS
from tlcore.export.manifest import MANIFEST_FILE, manifest_of
from tlcore.export.readme import SELF_TEST_FILE, bundle_readme
from tlcore.export.source import ExportSource
from tlcore.export.training_code import code_entries
from tlcore.export.web import web_entries
from tlcore.home import DataRoot
from tlcore.intake.pictures import pixels
from tlcore.results.prediction_code import LABELS_FILE, PIXELS_FILE, README_FILE, labels_text
from tlcore.settings.words import count
from tlcore.storage.card_words import CardWords
from tlcore.storage.requests import ExportResult

logger = logging.getLogger(__name__)


def bundle_entries(
    source: ExportSource,
    result: ExportResult,
    folder: Path,
    words: CardWords,
    home: DataRoot,
    *,
    exam_opened: bool,
    present: Collection[str] | None = None,
) -> Iterator[Entry]:
    """Yield the files of a bundle, the README first.

    Args:
        source: The model, with the whole data set that it learned from: what is said of it is true of that.
        result: Its certificates.
        folder: Holds the files that were made, under their names of `FORMATS`.
        words: What a person says of it.
        home: The data root.
        exam_opened: Whether its test result may be shown.
        present: The keys of the pictures that may leave as pictures or names, those which nobody has deleted since;
            `None` for all.
    """
    images = {item.image for item in source.dataset.items}
    num_deleted = 0 if present is None else len(images.difference(present))
    missing = []
    if num_deleted:
        were = "was" if num_deleted == 1 else "were"
        missing.append(
            f"{num_deleted:,} of the {count(len(images), 'picture')} of its data set {were} deleted since, and not "
            "one of them comes along."
        )
    examples, why_no_examples = _examples(result, folder, present)
    code, why_no_code = _code(source, folder, home, present)
    missing += [why for why in (why_no_examples, why_no_code) if why]
    card = model_card(source, result, words, exam_opened=exam_opened, num_deleted=num_deleted)
    entries = [
        Entry(LABELS_FILE, labels_text(source.class_names).encode()),
        Entry(PIXELS_FILE, Path(pixels.__file__)),
        Entry(MANIFEST_FILE, write_document(manifest_of(source, result, exam_opened=exam_opened)).encode()),
        *_models(result, folder),
        *examples,
        *code,
        *web_entries(source, result),
        Entry(CARD_FILES[0], card.markdown.encode()),
        Entry(CARD_FILES[1], card.html.encode()),
    ]
    names = [README_FILE, *(entry.name for entry in entries)]
    readme = bundle_readme(source, result, names, exam_opened=exam_opened, missing=missing)
    yield Entry(README_FILE, readme.encode())
    yield from entries


def _models(result: ExportResult, folder: Path) -> Iterator[Entry]:
    for report in result.reports:
        if report.is_made:
            spec = FORMATS[report.format]
            path = folder / spec.file.rstrip("/")
            if not spec.file.endswith("/"):
                yield Entry(spec.file, path)
            for inside in sorted(path.rglob("*")) if spec.file.endswith("/") else ():
                if inside.is_file():
                    yield Entry(spec.file + inside.relative_to(path).as_posix(), inside)


def _code(
    source: ExportSource, folder: Path, home: DataRoot, present: Collection[str] | None
) -> tuple[list[Entry], str]:
    """Return the code that trains the model again, or why there is none."""
    try:
        return list(code_entries(source, home, folder, present)), ""
    except TransferLabError as error:
        logger.warning("A bundle leaves without code: %s", error)
        return [], f"There is no folder code, with which to train it again: {error}"


def _examples(result: ExportResult, folder: Path, present: Collection[str] | None) -> tuple[list[Entry], str]:
    """Return the examples that were kept when the files were made, and their test, or why there are none."""
    if not any(report.is_made for report in result.reports):
        return [], ""
    entries = example_entries(folder, result, present)
    if entries:
        return [Entry(SELF_TEST_FILE, Path(self_test.__file__)), *entries], ""
    kept = read_examples(folder)
    if kept is None:
        why = "none were kept when the files were made. Make them again on Export."
    elif present is not None and not any(one.image in present for one in kept.pictures):
        why = "their pictures were deleted since. Make the files again on Export to have others."
    else:
        why = "none of these files was asked about them. Make them again on Export."
    return [], f"There are no examples and no self test: {why}"
