"""The model card: its figures are those of the answers, its sentences are true, and nothing typed is read as code."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import precision_recall_fscore_support

from tests.exportable import result_of
from tlcore.backbones.registry import BACKBONES
from tlcore.config import RANDOM, ModelConfig, RunConfig
from tlcore.dataset import ClassLabel, Dataset, Item, Split
from tlcore.export.card import Card, model_card
from tlcore.export.source import ExportSource, Part, part_of_run
from tlcore.model.cut import plan_model
from tlcore.results.calibration import calibrated_evaluation, coverage_at, expected_calibration_error
from tlcore.results.evaluation import FILE_NAME, VALIDATION_FILE_NAME, Evaluation, accuracy_interval, save_evaluation
from tlcore.results.prediction import PredictorSpec, save_predictor_spec
from tlcore.settings.escaping import label
from tlcore.storage.card_words import CardWords
from tlcore.storage.model_settings import ModelSettings
from tlcore.storage.requests import FormatReport
from tlcore.storage.simple_heads import frozen_backbone

HOSTILE = (
    "<script>alert(1)</script>",
    "![x](https://evil.example/x.png) | **b**",
    "<img src=//evil.example/y onerror=alert(2)>",
)
PLAIN = ("cat", "dog", "owl")
LITE0 = RunConfig(model=ModelConfig(image_size=64))
IN_TABLES = frozenset({"table", "caption", "thead", "tbody", "tr", "th", "td"})
TAGS = IN_TABLES | {"html", "head", "meta", "title", "style", "body", "h1", "h2", "h3", "p", "ul", "li", "div", "a"}
NOTHING = CardWords()
WORDS = CardWords("To tell animals\n\n# apart", "Not for <b>wolves</b>", "mail@school.example")


def dataset_of(names: tuple[str, ...], **changes: object) -> Dataset:
    """24 training, 12 validation and 30 test pictures; the classes take turns."""
    classes = tuple(ClassLabel(f"c{index}", name, index) for index, name in enumerate(names))
    splits = ["train"] * 24 + ["validation"] * 12 + ["test"] * 30
    items = tuple(
        Item(f"{number:064x}", f"c{number % len(names)}", split, f"{number}.png", scene="")  # type: ignore[arg-type]
        for number, split in enumerate(splits)
    )
    return replace(Dataset(classes, items), **changes)  # type: ignore[arg-type]


def answers(dataset: Dataset, split: str, wrong: int) -> Evaluation:
    """Answers to a part, the first ones wrong."""
    items = dataset.subset(split)  # type: ignore[arg-type]
    y_true = np.array([dataset.class_index()[item.class_id] for item in items], np.int64)
    said = np.where(np.arange(len(items)) < wrong, (y_true + 1) % dataset.num_classes, y_true)
    probabilities = np.full((len(items), dataset.num_classes), 0.2 / (dataset.num_classes - 1), np.float32)
    probabilities[np.arange(len(items)), said] = 0.8
    return Evaluation(dataset.class_names, tuple(item.image for item in items), y_true, probabilities)


def part_of(folder: Path, dataset: Dataset, config: RunConfig = LITE0, wrong: int = 4) -> Part:
    """A run as its folder tells of it."""
    folder.mkdir(exist_ok=True)
    save_predictor_spec(PredictorSpec.of(plan_model(config.model), dataset), folder)
    save_evaluation(answers(dataset, "validation", wrong=2), folder, VALIDATION_FILE_NAME)
    save_evaluation(answers(dataset, "test", wrong), folder, FILE_NAME)
    return part_of_run(folder, config)


def source_of(path: Path, names: tuple[str, ...] = PLAIN, **changes: object) -> ExportSource:
    dataset = dataset_of(names, **changes)
    return ExportSource("Run 7", (part_of(path / "run", dataset),), dataset, ModelSettings())


def card_of(
    source: ExportSource, *, exam_opened: bool = True, words: CardWords = NOTHING, split: Split = "test"
) -> Card:
    result = result_of(FormatReport("litert", 2_000_000, 30, 26, 29, 0.012, 1.5, warning="Answers drift."))
    return model_card(source, replace(result, split=split), words, exam_opened=exam_opened)


class Page(HTMLParser):
    """What a browser makes of a page: its tags, its addresses and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.addresses: set[str] = set()
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attrs)
        self.addresses.update(value or "" for name, value in attrs if name in ("src", "href", "action", "srcset"))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return "".join(self.words)


def test_the_figures_are_those_of_the_exam_with_their_intervals(tmp_path: Path) -> None:
    source = source_of(tmp_path)
    card = card_of(source).markdown
    low, high = (f"{100 * end:.1f}" for end in accuracy_interval(26, 30))
    assert f"It answers 86.7 % of 30 pictures ({low} to {high} %) right." in card
    assert "the exam" in card
    assert "26 of 30" in card
    evaluation = answers(source.dataset, "test", wrong=4)
    precision, recall, f1, support = precision_recall_fscore_support(evaluation.y_true, evaluation.y_pred)
    for index, name in enumerate(PLAIN):
        ends = accuracy_interval(round(recall[index] * support[index]), int(support[index]))
        interval = "{:.0f} to {:.0f} %".format(*(100 * end for end in ends))
        scores = [f"{100 * values[index]:.1f} %" for values in (recall, precision, f1)]
        assert f"| {name} | {support[index]} | {scores[0]} | {interval} | {scores[1]} | {scores[2]} |" in card
    assert "| cat | 8 | 2 | 0 |" in card, "rows of the confusion matrix"
    assert "| cat | 8 | 4 | 10 |" in card, "pictures of each part"
    assert "| All | 24 | 12 | 30 |" in card


def test_an_exam_that_nobody_opened_is_told_nowhere(tmp_path: Path) -> None:
    card = card_of(source_of(tmp_path), exam_opened=False)
    for text in (card.markdown, Page(card.html).text):
        assert "83.3 % of 12 pictures" in text
        assert "validation pictures, by which models and settings are chosen" in text
        assert "not opened yet" in text
        assert "86.7" not in text
        assert "26 of 30" not in text
        assert "29 of 30" in text


def test_without_answers_the_card_says_so(tmp_path: Path) -> None:
    source = source_of(tmp_path)
    for path in (tmp_path / "run").glob("*.npz"):
        path.write_bytes(b"garbage")
    card = card_of(source)
    assert "so there are no figures" in card.markdown
    assert "All | 24 | 12 | 30" in card.markdown


def test_without_test_pictures_validation_counts_and_certificates_tell_all(tmp_path: Path) -> None:
    whole = dataset_of(PLAIN)
    items = tuple(item for item in whole.items if item.split != "test")
    card = card_of(source_of(tmp_path, items=items), exam_opened=False, split="validation").markdown
    assert "There were no test pictures." in card
    assert "validation pictures; the original" in card
    assert "26 of 30" in card


def test_what_the_certificates_were_asked_about_is_not_guessed_from_the_pictures(tmp_path: Path) -> None:
    items = tuple(item for item in dataset_of(PLAIN).items if item.split != "test")  # they were deleted since
    card = card_of(source_of(tmp_path, items=items), exam_opened=False).markdown
    assert "test pictures; the original" in card
    assert "26 of 30" not in card
    card = card_of(source_of(tmp_path), exam_opened=False, split="train").markdown
    assert "training pictures; the original" in card
    assert "it has seen them before" in card


def test_deleted_pictures_are_counted_in_the_card(tmp_path: Path) -> None:
    source = source_of(tmp_path)
    card = model_card(source, None, NOTHING, exam_opened=False, num_deleted=3).markdown
    assert "3 of 66 pictures were deleted from the project since." in card
    assert "| All | 24 | 12 | 30 |" in card
    assert "deleted" not in card_of(source).markdown


def test_a_class_name_in_a_warning_is_not_read_as_code(tmp_path: Path) -> None:
    reports = (
        FormatReport("onnx", 1, 30, 26, 20, 0.5, 1.5, warning=f"Most of {HOSTILE[0]} changed."),
        FormatReport("keras", problem=f"It has {HOSTILE[1]}"),
    )
    card = model_card(source_of(tmp_path), result_of(*reports), NOTHING, exam_opened=True)
    page = Page(card.html)
    assert page.tags <= TAGS
    for name in HOSTILE[:2]:
        assert name in page.text
        assert name not in card.markdown


@pytest.mark.parametrize("names", [HOSTILE])
def test_nothing_that_people_typed_is_read_as_code(tmp_path: Path, names: tuple[str, ...]) -> None:
    words = CardWords(f"{names[0]}\n# {names[1]}", names[2], "javascript:alert(3)")
    source = replace(source_of(tmp_path, names), title=names[2])
    card = card_of(source, words=words)
    page = Page(card.html)
    assert page.tags <= TAGS
    assert page.attributes <= {
        "lang",
        "charset",
        "name",
        "content",
        "http-equiv",
        "class",
        "scope",
        "href",
        "rel",
        "tabindex",
    }
    assert page.addresses <= {spec.licence_source for spec in BACKBONES}
    assert all(name in page.text for name in names), "they show as they were typed"
    for name in names:
        assert label(name) in card.markdown
        assert name not in card.markdown
    assert "\n# " not in card.markdown[1:], "a line of theirs is no heading"


def test_the_three_fields_stand_there_or_are_asked_for(tmp_path: Path) -> None:
    source = source_of(tmp_path)
    assert card_of(source).markdown.count("Nobody has written anything here yet.") == 3
    page = Page(card_of(source, words=WORDS).html)
    for line in ("To tell animals", "# apart", "Not for <b>wolves</b>", "mail@school.example"):
        assert line in page.text


def test_what_was_not_tested_is_true_of_the_data(tmp_path: Path) -> None:
    plain = card_of(source_of(tmp_path)).markdown
    assert "nobody said which ones show the same person" in plain
    assert (
        "Classes with fewer than 20 pictures in the figures above, which say little of them: cat (10), dog (10)"
        in plain
    )
    assert "both sides of the split, so" not in plain
    assert "Whatever it is shown, it names one of them." in plain
    items = dataset_of(PLAIN).items
    grouped = tuple(replace(item, group=f"patient {number // 6}") for number, item in enumerate(items))
    text = card_of(source_of(tmp_path, items=grouped)).markdown
    assert "66 pictures belong to 11 groups" in text
    assert "each was kept on one side" in text
    assert "nobody said which ones" not in text
    assert "Some groups have pictures on both sides" not in text
    crossing = tuple(replace(item, group="one patient", scene=None) for item in items)
    text = card_of(source_of(tmp_path, items=crossing)).markdown
    assert "Some groups have pictures on both sides" in text
    assert "Not all of its pictures were searched for near-copies" in text
    shot = tuple(replace(item, group="camera 2026-11-28 10-00-00") for item in items[:30]) + items[30:]
    text = card_of(source_of(tmp_path, items=shot)).markdown
    assert "30 of 66 pictures were taken with the app's camera, in 1 session." in text
    assert "36 pictures came as files" in text
    copies = tuple(replace(item, scene="same") for item in items[:5]) + items[5:]
    text = card_of(source_of(tmp_path, items=copies, scenes_together=False)).markdown
    assert "5 pictures belong to 1 set of near-copies; they were not kept" in text


def test_temperature_and_threshold_stand_with_what_they_do(tmp_path: Path) -> None:
    source = replace(source_of(tmp_path), settings=ModelSettings(1.5, 0.7))
    card = card_of(source).markdown
    raw = answers(source.dataset, "test", wrong=4)
    scaled = calibrated_evaluation(raw, 1.5)
    before, after = (100 * (expected_calibration_error(one) or 0) for one in (raw, scaled))
    assert f"are {after:.1f} points apart; before calibration they were {before:.1f}" in card
    assert "temperature 1.500" in card
    covered = coverage_at(scaled, 0.7)
    assert covered.answered == 0
    assert "Below a probability of 70 % it does not know" in card
    assert "On these pictures it never answers then." in card


def test_many_classes_have_their_mistakes_listed(tmp_path: Path) -> None:
    names = tuple(f"class {number}" for number in range(15))
    card = card_of(source_of(tmp_path, names)).markdown
    assert "Is / it says" not in card
    assert "Its mistakes (from the confusion matrix)." in card
    assert "The right class is among the first 5 of" in card


def test_groups_and_simple_heads_say_how_they_were_made(tmp_path: Path) -> None:
    dataset = dataset_of(PLAIN)
    other = RunConfig(model=ModelConfig("vgg16", 64, weights=RANDOM))
    members = (
        replace(part_of(tmp_path / "one", dataset), weight=0.25),
        replace(part_of(tmp_path / "two", dataset, other, wrong=0), weight=0.75),
    )
    group = card_of(ExportSource("Both", members, dataset, ModelSettings())).markdown
    assert "a group of 2 models" in group
    assert "Model 2 of 2, which counts 75.0 %" in group
    assert "100.0 % of 30 pictures" in group, "the better member outweighs the other"
    assert "The backbone VGG16 began with random weights" in group
    assert "EfficientNet-Lite0 have the licence Apache-2.0; see <https://" in group
    folder = tmp_path / "logistic_regression"
    head = replace(part_of(folder, dataset), kind="simple_head", model=frozen_backbone(ModelConfig()), config=None)
    text = card_of(ExportSource("logistic regression", (head,), dataset, ModelSettings())).markdown
    assert "| Head | Logistic regression |" in text
    assert "86.7 % of 30 pictures" in text


def test_certificates_and_their_warnings_stand_in_the_card(tmp_path: Path) -> None:
    card = card_of(source_of(tmp_path))
    assert "| LiteRT | model.tflite | 2.0 MB | 29 of 30 | 1.2 points | 1.5 | 26 of 30 |" in card.markdown
    assert "Warning for LiteRT: Answers drift." in Page(card.html).text


def test_every_backbone_has_a_licence_with_its_source() -> None:
    for spec in BACKBONES:
        assert spec.licence, spec.name
        assert spec.licence_source.startswith("https://"), spec.name
