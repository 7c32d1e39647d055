"""The model card: what a model is for, what it learned from, how good it is, and what nobody has tried.

Source: Mitchell et al. 2019, "Model Cards for Model Reporting", https://arxiv.org/abs/1810.03993.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from tlcore.backbones.registry import get_backbone
from tlcore.backbones.weights.status import is_random
from tlcore.config import IMAGENET, ModelConfig
from tlcore.damage import DAMAGE_ERRORS
from tlcore.dataset import SPLITS, Dataset
from tlcore.errors import RunError
from tlcore.export.certificates import certificate_rows, certificate_words, shows_accuracy
from tlcore.export.formats import FORMATS
from tlcore.export.manifest import MANIFEST_FILE
from tlcore.export.pieces import Heading, Items, Link, Paragraph, Piece, Table, Text, Typed, to_html, to_markdown
from tlcore.export.source import ExportSource, Part
from tlcore.results.calibration import calibrated_evaluation, coverage_at, expected_calibration_error
from tlcore.results.confusion import confusion_cells
from tlcore.results.ensembles import ensemble_evaluation
from tlcore.results.evaluation import (
    FILE_NAME,
    VALIDATION_FILE_NAME,
    Evaluation,
    accuracy_interval,
    class_reports,
    confusion_matrix,
    load_evaluation,
    top_k_correct,
    usual_k,
)
from tlcore.results.prediction_code import MODEL_FILE
from tlcore.settings.words import backbone_rows, config_rows, count
from tlcore.storage.card_words import CardWords
from tlcore.storage.requests import ExportResult

CARD_FILES = ("MODEL_CARD.md", "MODEL_CARD.html")

MOST_CLASSES_IN_A_MATRIX = 12
"""A wider table fits no page; then the most frequent mistakes are listed."""
MOST_MISTAKES = 20
FEWEST_PICTURES = 20
"""With fewer pictures of a class the interval of its share of right answers can be more than 40 points wide."""

_CAMERA_GROUP = re.compile(r"camera \d{4}-\d\d-\d\d \d\d-\d\d-\d\d")

_UNWRITTEN = "Nobody has written anything here yet."


@dataclass(frozen=True, slots=True)
class Card:
    """A model card, twice the same.

    Attributes:
        markdown: As Markdown.
        html: As a web page of one file.
    """

    markdown: str
    html: str


def model_card(
    source: ExportSource, result: ExportResult | None, words: CardWords, *, exam_opened: bool, num_deleted: int = 0
) -> Card:
    """Write the card of a model.

    Args:
        source: The model.
        result: Its certificates; `None` before it was exported.
        words: What a person says of it.
        exam_opened: Whether its test result may be shown.
        num_deleted: Pictures of its data set that people have deleted since.
    """
    pieces = [
        Heading(1, ("Model card: ", Typed(source.title))),
        Paragraph(
            f"An image classifier for {count(len(source.class_names), 'class', 'classes')}, made with Transfer Lab by "
            "transfer learning: a network that has learned to see from other pictures learned these classes from some "
            "pictures of each."
            if any(_is_pretrained(part.model) for part in source.parts)
            else f"An image classifier for {count(len(source.class_names), 'class', 'classes')}, made with Transfer "
            "Lab. It learned from these pictures alone."
        ),
        *_typed("What it is for", words.purpose),
        *_typed("Where it must not be trusted", words.limits),
        *_typed("Whom to ask", words.contact),
        *_data(source.dataset, num_deleted),
        *_figures(source, exam_opened=exam_opened),
        *_untested(source, exam_opened=exam_opened),
        *_making(source),
    ]
    if result is not None:
        pieces += _formats(source, result, exam_opened=exam_opened)
    return Card(to_markdown(pieces), to_html(f"Model card: {source.title}", pieces))


def _typed(title: str, text: str) -> Iterator[Piece]:
    yield Heading(2, title)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        yield Paragraph(_UNWRITTEN)
    for line in lines:
        yield Paragraph(Typed(line))


def _data(dataset: Dataset, num_deleted: int) -> Iterator[Piece]:
    yield Heading(2, "What it learned from")
    counts = dataset.counts()
    rows: list[tuple[Text, ...]] = [
        (Typed(label.name), *(f"{counts[label.id, split]:,}" for split in SPLITS)) for label in dataset.classes
    ]
    totals = Counter(item.split for item in dataset.items)
    rows.append(("All", *(f"{totals[split]:,}" for split in SPLITS)))
    yield Table(("Class", "Training", "Validation", "Test"), tuple(rows), "Pictures of each class.")
    yield Paragraph(
        "It learned from the training pictures. The validation pictures are for choosing: when to stop, and which "
        "settings are better. The test pictures are kept for one exam at the end."
    )
    yield Items(tuple(_data_sentences(dataset, num_deleted)))


def _data_sentences(dataset: Dataset, num_deleted: int) -> Iterator[Text]:
    total = len(dataset.items)
    sessions = {item.group for item in dataset.items if item.group and _CAMERA_GROUP.match(item.group)}
    shot = sum(item.group in sessions for item in dataset.items)
    if shot:
        taken = f"{shot:,} of {count(total, 'picture')} were taken with the app's camera"
        yield f"{taken}, in {count(len(sessions), 'session')}."
    if total - shot:
        yield f"{count(total - shot, 'picture')} came as files or with a ready data set."
    if num_deleted:
        were = "was" if num_deleted == 1 else "were"
        yield f"{num_deleted:,} of {count(total, 'picture')} {were} deleted from the project since."
    given = sum(bool(item.given) for item in dataset.items)
    if given:
        yield (
            f"{count(given, 'picture')} came as validation or test pictures and stayed that; the others were shared "
            "out by chance."
        )
    for names, one, many, together in (
        ([item.group for item in dataset.items if item.group], "group", "groups", True),
        (
            [item.scene for item in dataset.items if item.scene],
            "set of near-copies",
            "sets of near-copies",
            dataset.scenes_together,
        ),
    ):
        if names:
            number = f"{count(len(names), 'picture')} belong to {count(len(set(names)), one, many)}"
            kept = "each was kept on one side of the split where that was the app's to choose"
            yield f"{number}; {kept if together else 'they were not kept on one side of the split'}."
    if dataset.grey_range is not None:
        low, high = dataset.grey_range
        yield f"Pictures of more than 8 bits share one scale: {low:g} became black and {high:g} white."


def _figures(source: ExportSource, *, exam_opened: bool) -> Iterator[Piece]:
    yield Heading(2, "How good it is")
    found, why = _answers(source, exam_opened=exam_opened)
    yield Paragraph(why)
    if found is None:
        return
    evaluation = calibrated_evaluation(found, source.settings.temperature)
    yield Paragraph(f"It answers {evaluation.result} right. In brackets: the 95 % interval (Wilson).")
    k = usual_k(len(evaluation.class_names))
    if k is not None:
        right = top_k_correct(evaluation, k)
        low, high = accuracy_interval(right, evaluation.total)
        share = right / evaluation.total
        yield Paragraph(
            f"The right class is among the first {k} of {100 * share:.1f} % ({100 * low:.1f} to {100 * high:.1f} %)."
        )
    yield _per_class(evaluation)
    yield from _confusion(evaluation)
    yield from _certainty(source, found, evaluation)


def _answers(source: ExportSource, *, exam_opened: bool) -> tuple[Evaluation | None, str]:
    """Return the answers that the figures are of, and which ones these are, in words."""
    reason = (
        "The exam, on the test pictures, was not opened yet: its result tells the truth only to people who do not "
        "choose by it."
    )
    if exam_opened:
        evaluation = _kept(source, FILE_NAME)
        if evaluation is not None and evaluation.total:
            return evaluation, "These figures are of the test pictures, which had no part in the training: the exam."
        reason = "There are no answers to test pictures."
    elif not source.dataset.subset("test"):
        reason = "There were no test pictures."
    evaluation = _kept(source, VALIDATION_FILE_NAME)
    if evaluation is None or not evaluation.total:
        return None, f"{reason} There are no answers to validation pictures either, so there are no figures."
    return evaluation, (
        f"{reason} These figures are of the validation pictures, by which models and settings are chosen, so they may "
        "be a little too good."
    )


def _kept(source: ExportSource, file_name: str) -> Evaluation | None:
    """Return what a model answered when it was made; `None` where that is missing or damaged."""
    try:
        found = [load_evaluation(part.folder, file_name) for part in source.parts]
        return found[0] if len(found) == 1 else ensemble_evaluation(found, [part.weight for part in source.parts])
    except RunError:
        return None


def _per_class(evaluation: Evaluation) -> Table:
    rows: list[tuple[Text, ...]] = []
    matrix = confusion_matrix(evaluation)
    for index, report in enumerate(class_reports(evaluation)):
        interval = "–"
        if report.support:
            low, high = accuracy_interval(int(matrix[index, index]), report.support)
            interval = f"{100 * low:.0f} to {100 * high:.0f} %"
        scores = [_share(score) for score in (report.precision, report.recall, report.f1)]
        rows.append((Typed(report.name), f"{report.support:,}", scores[1], interval, scores[0], scores[2]))
    columns = ("Class", "Pictures", "Found (recall)", "95 % interval", "Right when it says so (precision)", "F1")
    return Table(columns, tuple(rows), "How well it tells each class.")


def _share(score: float | None) -> str:
    return "–" if score is None else f"{100 * score:.1f} %"


def _confusion(evaluation: Evaluation) -> Iterator[Piece]:
    matrix, names = confusion_matrix(evaluation), evaluation.class_names
    if len(names) <= MOST_CLASSES_IN_A_MATRIX:
        columns: tuple[Text, ...] = ("Is / it says", *(Typed(name) for name in names))
        cells: Iterator[tuple[Text, ...]]
        cells = ((Typed(name), *map(str, row)) for name, row in zip(names, matrix.tolist(), strict=True))
        yield Table(columns, tuple(cells), "What it says of the pictures of each class (confusion matrix).")
        return
    wrong = [cell for cell in confusion_cells(matrix) if cell.y_true != cell.y_pred]
    if not wrong:
        yield Paragraph("It made no mistakes on these pictures.")
        return
    rows = tuple((Typed(names[one.y_true]), Typed(names[one.y_pred]), str(one.count)) for one in wrong[:MOST_MISTAKES])
    left = len(wrong) - len(rows)
    rest = f", the {len(rows)} most frequent of {len(wrong)} kinds" if left else ""
    yield Table(("Is", "It says", "Pictures"), rows, f"Its mistakes{rest} (from the confusion matrix).")


def _certainty(source: ExportSource, raw: Evaluation, evaluation: Evaluation) -> Iterator[Piece]:
    error = expected_calibration_error(evaluation)
    sentence = f"On average, its probability and its share of right answers are {100 * (error or 0):.1f} points apart"
    if source.settings.temperature != 1:
        before = expected_calibration_error(raw)
        sentence += (
            f"; before calibration they were {100 * (before or 0):.1f}. The probabilities are scaled with the "
            f"temperature {source.settings.temperature:.3f}, inside the files"
        )
    yield Paragraph(f"{sentence} (expected calibration error, 15 ranges).")
    threshold = source.settings.threshold
    if not threshold:
        yield Paragraph("It always answers: there is no probability below which it says that it does not know.")
        return
    covered = coverage_at(evaluation, threshold)
    words = f"Below a probability of {100 * threshold:.0f} % it does not know; the number is in {MANIFEST_FILE}. "
    if covered.accuracy is None:
        yield Paragraph(f"{words}On these pictures it never answers then.")
        return
    low, high = covered.accuracy_interval
    yield Paragraph(
        f"{words}It then answers {covered.answered:,} of {count(covered.total, 'picture')}, and "
        f"{100 * covered.accuracy:.1f} % of these right ({100 * low:.1f} to {100 * high:.1f} %)."
    )


def _untested(source: ExportSource, *, exam_opened: bool) -> Iterator[Piece]:
    yield Heading(2, "What it was not tested on")
    yield Items(tuple(_untested_sentences(source, exam_opened=exam_opened)))


def _untested_sentences(source: ExportSource, *, exam_opened: bool) -> Iterator[Text]:
    dataset = source.dataset
    yield (
        "Other circumstances: nothing here says how it answers on pictures from other cameras, in other light, or from "
        "other places and people than those in its pictures."
    )
    sentence = f"Strangers: it knows {count(len(source.class_names), 'class', 'classes')} and nothing else. "
    if source.settings.threshold:
        sentence += "A picture of something else may get a high probability all the same; how often was not measured."
    else:
        sentence += "Whatever it is shown, it names one of them."
    yield sentence
    evaluation, _ = _answers(source, exam_opened=exam_opened)
    if evaluation is not None:
        few = [one for one in class_reports(evaluation) if one.support < FEWEST_PICTURES]
        if few:
            names: list[str | Typed] = []
            for one in few:
                names += [", " if names else "", Typed(one.name), f" ({one.support})"]
            begin = (
                f"Classes with fewer than {FEWEST_PICTURES} pictures in the figures above, which say little of them: "
            )
            yield (begin, *names, ".")
    if not any(item.group for item in dataset.items):
        yield (
            "Pictures that belong together: nobody said which ones show the same person, thing or place, so the same "
            "one may be on both sides of the split, and the figures too good."
        )
    if _crosses(dataset, "group"):
        yield "Some groups have pictures on both sides of the split, so the figures may be too good."
    if any(item.scene is None for item in dataset.items):
        yield (
            "Not all of its pictures were searched for near-copies. Such copies on both sides of the split would make "
            "the figures too good."
        )
    elif _crosses(dataset, "scene"):
        yield "Some near-copies are on both sides of the split, so the figures may be too good."


def _crosses(dataset: Dataset, field: str) -> bool:
    parts = defaultdict(set)
    for item in dataset.items:
        if getattr(item, field):
            parts[getattr(item, field)].add(item.split)
    return any(len(splits) > 1 for splits in parts.values())


def _making(source: ExportSource) -> Iterator[Piece]:
    yield Heading(2, "How it was made")
    if len(source.parts) > 1:
        yield Paragraph(
            f"It is a group of {len(source.parts)} models: its probabilities are the weighted average of theirs."
        )
    for number, part in enumerate(source.parts, start=1):
        if len(source.parts) > 1:
            yield Heading(3, f"Model {number} of {len(source.parts)}, which counts {100 * part.weight:.1f} %")
        yield Table(("Choice", "Value"), tuple(_choices(part)))
    for name in dict.fromkeys(part.model.backbone for part in source.parts):
        models = [part.model for part in source.parts if part.model.backbone == name]
        yield Paragraph(_licence(name, models))


def _choices(part: Part) -> Iterator[tuple[str, str]]:
    if part.config is not None:
        yield from config_rows(part.config)
    else:
        from tlcore.simple_heads.training import find_simple_head_spec

        title = find_simple_head_spec(part.folder.name).title
        yield from backbone_rows(part.model)
        yield "Trained", "a simple head on the features of the frozen backbone (feature extraction)"
        yield "Head", title
    made = _made_with(part)
    if made:
        yield "Made with", made


def _made_with(part: Part) -> str:
    """Return the version of Keras that has written the model's file, and when; empty where that is not known."""
    with (
        suppress(*DAMAGE_ERRORS, ValueError, KeyError, TypeError),
        zipfile.ZipFile(part.folder / MODEL_FILE) as archive,
    ):
        facts = json.loads(archive.read("metadata.json"))
        return f"Keras {facts['keras_version']} on {str(facts['date_saved']).partition('@')[0]}"
    return ""


def _is_pretrained(model: ModelConfig) -> bool:
    return not is_random(get_backbone(model.backbone), model.weights)


def _licence(name: str, models: list[ModelConfig]) -> Text:
    spec = get_backbone(name)
    if not any(_is_pretrained(model) for model in models):
        return f"The backbone {spec.title} began with random weights, so no licence of somebody else's weights holds."
    if not any(model.weights == IMAGENET for model in models):
        return (
            f"The weights with which {spec.title} began came from a person's file; ask that person for their licence."
        )
    return (
        f"The ImageNet weights of {spec.title} have the licence {spec.licence}; see ",
        Link(spec.licence_source),
        ".",
    )


def _formats(source: ExportSource, result: ExportResult, *, exam_opened: bool) -> Iterator[Piece]:
    yield Heading(2, "Its files and their certificates")
    with_accuracy = shows_accuracy(result, exam_opened=exam_opened)
    yield Paragraph(certificate_words(source, result, with_accuracy=with_accuracy))
    columns, *rows = certificate_rows(result, with_accuracy=with_accuracy)
    yield Table(tuple(columns), tuple(tuple(row) for row in rows))
    for report in result.reports:
        if report.warning:
            yield Paragraph((f"Warning for {FORMATS[report.format].title}: ", Typed(report.warning)))
        if report.problem:
            yield Paragraph((f"{FORMATS[report.format].title} does not come along: ", Typed(report.problem)))
