"""The file of answers to many pictures: what is written comes back, sorted, filtered, a page at a time."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import pytest

from tlcore.errors import StorageError, UnreadableError
from tlcore.home import write_atomically
from tlcore.storage import answers
from tlcore.storage.answers import (
    AnswerFilter,
    Order,
    StoredAnswer,
    all_answers,
    count_answers,
    read_answers,
    read_refused,
    writing_answers,
)

ANSWERS = (
    StoredAnswer("cat/1.jpg", (0.9, 0.1), 0, b"one", strange=False),
    StoredAnswer("cat/2.jpg", (0.25, 0.75), 0, b"two", strange=True),
    StoredAnswer("broken.jpg", reason="It is damaged."),
    StoredAnswer("3.jpg", (0.625, 0.375), None, b"three"),
    StoredAnswer("dog/4.jpg", (0.5, 0.5), 1, b"four"),
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    target = tmp_path / "answers.sqlite"

    def write(temporary: Path) -> None:
        with writing_answers(temporary) as writer:
            for answer in ANSWERS:
                writer.add(answer)

    write_atomically(target, write)
    return target


def names(path: Path, which: AnswerFilter, order: Order = "brought") -> list[str]:
    return [answer.name[0] + answer.name[-5] for answer in read_answers(path, which, order, start=0, number=9)]


def test_everything_comes_back_in_its_order_and_alone_in_its_folder(path: Path) -> None:
    for stored, answer in zip(all_answers(path), ANSWERS, strict=True):
        np.testing.assert_allclose(stored.probabilities, answer.probabilities, rtol=1e-6)
        assert (stored.name, stored.truth, stored.said) == (answer.name, answer.truth, answer.said)
        assert stored.strange is answer.strange
    assert [answer.thumbnail for answer in read_answers(path, AnswerFilter(), "brought", start=1, number=2)] == [
        b"two",
        b"three",
    ]
    assert [answer.reason for answer in read_refused(path, 5)] == ["It is damaged."]
    assert [one.name for one in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("brought", ["c1", "c2", "33", "d4"]),
        ("least sure", ["d4", "33", "c2", "c1"]),
        ("surest", ["c1", "c2", "33", "d4"]),
        ("answer", ["c1", "33", "d4", "c2"]),
    ],
)
def test_answers_are_sorted_before_they_are_paged(path: Path, order: Order, expected: list[str]) -> None:
    assert names(path, AnswerFilter(), order) == expected
    paged = [
        answer.name[0] + answer.name[-5]
        for start in range(4)
        for answer in read_answers(path, AnswerFilter(), order, start=start, number=1)
    ]
    assert paged == expected


@pytest.mark.parametrize(
    ("which", "expected"),
    [
        (AnswerFilter(), ["c1", "c2", "33", "d4"]),
        (AnswerFilter(said=0), ["c1", "33", "d4"]),
        (AnswerFilter(said=1), ["c2"]),
        (AnswerFilter(below=0.75), ["33", "d4"]),
        (AnswerFilter(only_wrong=True), ["c2", "d4"]),
        (AnswerFilter(said=0, below=0.7, only_wrong=True), ["d4"]),
        (AnswerFilter(only_strange=True), ["c2"]),
        (AnswerFilter(said=0, only_strange=True), []),
        (AnswerFilter(threshold=0.7), ["c1", "c2", "33", "d4"]),
        (AnswerFilter(said=0, threshold=0.7), ["c1"]),
        (AnswerFilter(only_wrong=True, threshold=0.7), ["c2"]),
        (AnswerFilter(only_wrong=True, threshold=0.75), ["c2"]),
        (AnswerFilter(only_wrong=True, threshold=0.76), []),
        (AnswerFilter(only_unknown=True, threshold=0.7), ["33", "d4"]),
        (AnswerFilter(below=0.6, only_unknown=True, threshold=0.7), ["d4"]),
    ],
)
def test_filters_leave_what_passes_all_of_them(path: Path, which: AnswerFilter, expected: list[str]) -> None:
    assert names(path, which) == expected
    assert count_answers(path, which) == len(expected)


def test_a_full_disk_leaves_nothing_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_new = answers._open_new

    def small(path: Path) -> sqlite3.Connection:
        connection = open_new(path)
        connection.execute("PRAGMA max_page_count = 40")  # what sqlite says then, it says of a full disk
        return connection

    monkeypatch.setattr(answers, "_open_new", small)

    def write(temporary: Path) -> None:
        with writing_answers(temporary) as writer:
            for number in range(1000):
                writer.add(StoredAnswer(f"{number}.jpg", (0.5, 0.5), None, bytes(3000)))

    with pytest.raises(StorageError, match="disk is full"):
        write_atomically(tmp_path / "answers.sqlite", write)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("spoil", [Path.unlink, lambda path: path.write_bytes(b"no answers" * 1000)])
def test_a_missing_or_damaged_file_is_said(path: Path, spoil: object) -> None:
    spoil(path)  # type: ignore[operator]
    for read in (
        lambda: count_answers(path, AnswerFilter()),
        lambda: read_answers(path, AnswerFilter(), "brought", start=0, number=1),
        lambda: list(all_answers(path)),
    ):
        with pytest.raises(UnreadableError, match="bring the pictures again"):
            read()


def test_numbers_that_are_no_probabilities_are_said(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE answers SET probabilities = x'00' WHERE number = 1")
    connection.close()
    with pytest.raises(UnreadableError):
        list(all_answers(path))
