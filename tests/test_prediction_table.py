"""Answers as a table and as bars, and numbers in words."""

from __future__ import annotations

import csv
import io

import pytest

from pages.components.amounts import chance, file_size, interval_words
from pages.components.figures.results import probability_figure
from pages.components.results.answers import Answer
from pages.components.results.prediction_table import defused, prediction_csv


@pytest.mark.parametrize("text", ["=1+1", "+x", "-x", "@x", "\tx", "\rx", "  =x", "\xa0=x"])
def test_a_text_that_acts_as_a_formula_is_defused(text: str) -> None:
    assert defused(text) == f"'{text}"


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("\nx", "'\nx"),
        ("\n=x", "'\n'=x"),
        ("cat;=1+1", "cat;'=1+1"),
        ("cat; =1+1;@x", "cat;' =1+1;'@x"),
        ('cat;"=1+1"', 'cat;\'"=1+1"'),
        ("cat\t-1", "cat\t'-1"),
        ("cat|+1", "cat|'+1"),
        ("two\r\n=1", "two\r\n'=1"),
        ("\uff1d1", "'\uff1d1"),
        ("cat;\uff0b1", "cat;'\uff0b1"),
        ("\uff0d1", "'\uff0d1"),
        ("\uff20x", "'\uff20x"),
        ("\ufeff=1", "'\ufeff=1"),
        ('"=1', "'\"=1"),
        ("\u22121", "'\u22121"),
    ],
)
def test_what_some_program_may_take_for_a_formula_is_defused_where_it_begins(text: str, safe: str) -> None:
    assert defused(text) == safe


@pytest.mark.parametrize(
    "text", ["a-b", "a=b", "mail@school.example", "1;2", "a; b", "cat (1)", "", "'=x", "a;'=x", " x"]
)
def test_a_harmless_text_stays_as_it_is(text: str) -> None:
    assert defused(text) == text


def test_the_table_has_one_line_per_picture_and_refused_ones_their_reason() -> None:
    text = prediction_csv(
        ["=cat", "dog"], [Answer("a.png", probabilities=(0.25, 0.75)), Answer("-b.png", reason="It is empty.")]
    )
    rows = list(csv.reader(io.StringIO(text.removeprefix("\ufeff"))))
    assert rows[0] == ["file", "answer", "probability", "'=cat", "dog", "refused because"]
    assert rows[1] == ["a.png", "dog", "0.750000", "0.250000", "0.750000", ""]
    assert rows[2] == ["'-b.png", "", "", "", "", "It is empty."]


def test_the_table_says_what_looks_like_none_of_the_classes_where_that_is_known() -> None:
    answers = [Answer(name, probabilities=(0.25, 0.75)) for name in ("shoe.png", "cat.png")]
    answers.append(Answer("c.png", reason="No."))
    text = prediction_csv(["cat", "dog"], answers, is_strange=lambda answer: answer.name == "shoe.png")
    rows = list(csv.reader(io.StringIO(text.removeprefix("\ufeff"))))
    assert [row[3] for row in rows] == ["like none of your classes", "yes", "no", ""]
    assert {len(row) for row in rows} == {7}


def test_probability_bars_are_ranked_coloured_and_name_the_rest() -> None:
    probabilities = [0.0, 0.1, 0.6, 0.02, 0.03, 0.05, 0.05, 0.05, 0.05, 0.05]
    figure = probability_figure(probabilities, [f"c{index}" for index in range(10)], [f"#{i:06x}" for i in range(10)])
    bars = figure.data[0]
    assert bars.y[0] == "c2"
    assert bars.marker.color[0] == "#000002"
    assert bars.text[0] == "60 %"
    assert bars.y[-1] == "3 others"
    assert sum(bars.x) == pytest.approx(1.0)


def test_numbers_in_words() -> None:
    assert chance(0.9999) == "over 99 %"
    assert chance(1.0) == "100 %"
    assert chance(0.0001) == "under 1 %"
    assert file_size(14_230_000) == "14.2 MB"
    assert interval_words(284, 300) == "between 92 and 97 %"
    assert interval_words(4974, 5000) == "between 99.2 and 99.6 %"
