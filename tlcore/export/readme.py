"""`README.txt` of a bundle: what each file is, its certificate, and how to use it."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from tlcore.export.card import CARD_FILES
from tlcore.export.certificates import certificate_rows, certificate_words, shows_accuracy
from tlcore.export.examples import EXAMPLES_DIR
from tlcore.export.formats import FORMATS, FormatSpec
from tlcore.export.manifest import MANIFEST_FILE
from tlcore.export.self_test import PACKAGES
from tlcore.export.source import ExportSource
from tlcore.export.training_code import readme_lines
from tlcore.results.prediction_code import LABELS_FILE, OLDEST_KERAS, PIXELS_FILE, README_FILE
from tlcore.settings.escaping import plain
from tlcore.settings.words import count
from tlcore.storage.requests import ExportResult

SELF_TEST_FILE = "self_test.py"
WIDTH = 100

PICTURE_PACKAGES = "numpy pillow opencv-python-headless"
"""What `pixels.py` needs from PyPI."""

_TEXTS = {
    README_FILE: "this text",
    LABELS_FILE: "the names of the classes, one on each line, in the order of the probabilities",
    PIXELS_FILE: "the app's own way from a picture's file to pixels, as a Python module",
    MANIFEST_FILE: "the same as data: classes, threshold, certificates",
    SELF_TEST_FILE: "asks each file about the examples and compares: python self_test.py",
    f"{EXAMPLES_DIR}/": "pictures, with the original's answers in expected.json",
    CARD_FILES[0]: "what it learned from, how good it is, what nobody has tried (model card)",
    CARD_FILES[1]: "the model card to read in a browser or to print",
    "code/": "a program that trains this model again, to read and to change",
    "web/": "a page that asks the LiteRT file in the browser",
}


def bundle_readme(
    source: ExportSource, result: ExportResult, names: Sequence[str], *, exam_opened: bool, missing: Sequence[str] = ()
) -> str:
    """Return the text.

    Args:
        source: The model.
        result: Its certificates.
        names: All files of the bundle.
        exam_opened: Whether its test result may be shown.
        missing: What is not in it and why, in sentences.
    """
    made = [FORMATS[report.format] for report in result.reports if report.is_made]
    absent = [report for report in result.reports if not report.is_made]
    with_accuracy = shows_accuracy(result, exam_opened=exam_opened)
    columns = certificate_rows(result, with_accuracy=with_accuracy)
    parts = [
        f"{plain(source.title)}: an image classifier for {count(len(source.class_names), 'class', 'classes')}, made "
        "with Transfer Lab.",
        _title("The files"),
        _table([[name, words] for name, words in _files(made, names)]),
        *map(plain, missing),
        _title("How to feed them"),
        *_feeding(source, made),
        _title("What they need"),
        _table([[spec.file, f"pip install {PACKAGES[spec.runtime]} {PICTURE_PACKAGES}"] for spec in made]),
        f"In Python with Keras {OLDEST_KERAS} or newer, Pillow 11.3 or newer. OpenCV is needed for pixels.py alone.",
        _title("Certificates"),
        certificate_words(source, result, with_accuracy=with_accuracy),
        _table(columns),
        *(f"WARNING, {FORMATS[one.format].file}: {plain(one.warning)}" for one in result.reports if one.warning),
        *(f"{FORMATS[one.format].title} does not come along: {plain(one.problem)}" for one in absent),
        *_training(source, names),
    ]
    return "\n\n".join(part if "\n" in part else textwrap.fill(part, WIDTH) for part in parts if part) + "\n"


def _training(source: ExportSource, names: Sequence[str]) -> list[str]:
    if not any(name.startswith("code/") for name in names):
        return []
    return [_title("Train it again"), " ".join(readme_lines(source))]


def _title(text: str) -> str:
    return f"{text}\n{'-' * len(text)}"


def _files(made: Sequence[FormatSpec], names: Sequence[str]) -> list[tuple[str, str]]:
    """Return what lies in the bundle, folders as one line, and what each is."""
    models = {spec.file: f"{spec.title}. {spec.sentence}" for spec in made}
    known = {**models, **_TEXTS}
    found: dict[str, str] = {}
    for name in names:
        folder = name.partition("/")[0] + "/"
        if name in known:
            found[name] = known[name]
        elif "/" in name:
            found[folder] = known.get(folder, "")
    return list(found.items())


def _feeding(source: ExportSource, made: Sequence[FormatSpec]) -> list[str]:
    first = source.parts[0].spec
    size = max(part.spec.prefix.image_size for part in source.parts)
    free = [spec for spec in made if spec.takes_any_size]
    fixed = [spec for spec in made if not spec.takes_any_size]
    texts = []
    if free:
        texts.append(
            f"{_names(free)}: one picture of any height and width, as float32 of shape (1, height, width, 3), RGB "
            "pixels from 0 to 255. The way to the square that the model sees is inside, and so is all scaling: do not "
            "divide by 255."
        )
    if fixed:
        texts.append(
            f"{_names(fixed)}: the square picture, as uint8 of shape (1, {size}, {size}, 3), RGB pixels from 0 to 255. "
            f'It is made by read_square("picture.jpg", {size}, "{first.resize_mode}") of {PIXELS_FILE}. The answers '
            "are whole numbers too: the file says their scale and zero point."
        )
    texts.append(
        f"All return float32 probabilities of shape (1, {len(source.class_names)}), which add up to 1, in the order of "
        f"{LABELS_FILE}."
        if not fixed
        else f"They return one probability for each class, in the order of {LABELS_FILE}."
    )
    if source.settings.temperature != 1:
        texts.append("The probabilities are calibrated (temperature scaling), as those on Predict are.")
    if source.settings.threshold:
        texts.append(
            f"Below a probability of {source.settings.threshold:g} the app says that it does not know. The files "
            "always answer: leave out answers whose largest probability is below."
        )
    if first.grey_range is not None:
        low, high = first.grey_range
        texts.append(
            f"Pictures of more than 8 bits: give grey_range=({low:g}, {high:g}) to the functions of {PIXELS_FILE}."
        )
    return texts


def _names(specs: Sequence[FormatSpec]) -> str:
    return ", ".join(spec.file for spec in specs)


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Return rows with columns under each other."""
    if not rows:
        return ""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(f"  {line}" for line in lines)
