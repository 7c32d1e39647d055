"""Label files of every kind become rows of text; what cannot be read says why."""

import csv
import io
import json
import zipfile
from datetime import datetime

import openpyxl
import pytest

from tlcore.errors import DatasetError
from tlcore.intake import limits
from tlcore.intake.label_files import tables as label_tables
from tlcore.intake.label_files.tables import LabelFile, Table, is_label_file, read_tables

ROWS = [("file", "label"), ("1.jpg", "cat"), ("2.jpg", "dog, brown"), ("3.jpg", "größer")]


def table(name: str, data: str | bytes) -> Table:
    content = data.encode() if isinstance(data, str) else data
    (found,) = read_tables(LabelFile(("up", name), content))
    return found


def refusal(name: str, data: str | bytes) -> str:
    with pytest.raises(DatasetError) as caught:
        table(name, data)
    return str(caught.value)


def separated(separator: str, rows: list[tuple[str, ...]] = ROWS) -> str:
    stream = io.StringIO()
    csv.writer(stream, delimiter=separator).writerows(rows)
    return stream.getvalue()


def workbook(**sheets: list[list[object]]) -> bytes:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def changed(data: bytes, member: str, old: bytes, new: bytes) -> bytes:
    """Return a workbook with another text in one of its parts."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as before, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as after:
        for name in before.namelist():
            content = before.read(name)
            if name == member:
                assert old in content
                content = content.replace(old, new)
            after.writestr(name, content)
    return stream.getvalue()


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("name", ["l.csv", "l.tsv", "l.txt", "L.CSV"])
def test_the_separator_is_found_by_content(separator: str, name: str):
    assert table(name, separated(separator)).rows == ROWS


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252", "latin-1"])
def test_the_encoding_is_found_by_content(encoding: str):
    found = table("l.csv", separated(";").encode(encoding))
    assert found.rows == ROWS
    assert bool(found.notes) == (encoding in ("cp1252", "latin-1"))


@pytest.mark.parametrize(
    ("encoding", "texts"),
    [
        ("cp1252", ["été", "Größe"]),
        ("cp932", ["猫", "犬"]),
        ("gb18030", ["猫", "狗"]),
        ("cp1251", ["кошка", "собака"]),
        ("cp949", ["고양이", "개"]),
    ],
)
def test_old_encodings_are_guessed_with_a_word(encoding: str, texts: list[str]):
    rows = [("file", "label"), *((f"{number}.jpg", text) for number, text in enumerate(texts))]
    found = table("l.csv", separated(",", rows).encode(encoding))
    assert found.rows == rows
    assert f"read as {encoding}" in found.notes[0]


def test_excels_line_with_the_separator_and_old_line_ends_are_read():
    assert table("l.csv", "sep=;\r\nfile;label\r\n1.jpg;a,b\r\n").rows == [("file", "label"), ("1.jpg", "a,b")]
    assert table("l.csv", "file,label\r1.jpg,cat\r").rows == [("file", "label"), ("1.jpg", "cat")]


def test_quoted_cells_hold_anything():
    rows = [("file", "label"), ("1.jpg", 'a "b", c\nd'), ("2.jpg", "=SUM(A1)")]
    assert table("l.csv", separated(",", rows)).rows == rows


def test_what_is_written_stays_as_it_is():
    rows = [("file", "label"), ("1", "007"), ("2", "1.0"), ("3", "NaN"), ("4", ""), ("5", "True"), ("6", "None")]
    assert table("l.csv", separated(",", rows)).rows == rows


def test_a_title_above_the_table_and_empty_columns_are_passed_over():
    assert table("l.csv", "Our pets\n\nfile,label,\n1.jpg,cat,\n2.jpg,dog,\n").rows == [
        ("file", "label"),
        ("1.jpg", "cat"),
        ("2.jpg", "dog"),
    ]


def test_rows_with_too_many_cells_are_named_and_short_ones_filled():
    found = table("l.csv", "file,label\n1.jpg,cat\n2.jpg,dog,brown\n3.jpg\n4.jpg,cat\n")
    assert found.rows == [("file", "label"), ("1.jpg", "cat"), ("3.jpg", ""), ("4.jpg", "cat")]
    assert found.notes == ("Rows with more cells than the others, which are left out: 1 (row 3).",)


def test_lists_of_paths_may_hold_spaces():
    assert table("train.txt", "a/my cat.jpg 0\nb/one more dog.jpg 1\n").rows == [
        ("a/my cat.jpg", "0"),
        ("b/one more dog.jpg", "1"),
    ]
    assert table("list.txt", "# name class species\nmy_1 1 2\nmy_2 3 4\n").rows == [
        ("my_1", "1", "2"),
        ("my_2", "3", "4"),
    ]
    assert table("val.txt", "a/1.jpg\na/2.jpg\n").rows == [("a/1.jpg",), ("a/2.jpg",)]


def test_cells_of_a_sheet_are_what_a_person_sees():
    data = workbook(Sheet=[["file", "label", "when"], [7, 1.0, datetime(2026, 1, 2)], [8, True, None], [9, 2.5, "x"]])
    assert table("l.xlsx", data).rows == [
        ("file", "label", "when"),
        ("7", "1", "2026-01-02 00:00:00"),
        ("8", "TRUE", ""),
        ("9", "2.5", "x"),
    ]


def test_every_sheet_that_is_not_empty_is_a_table():
    data = workbook(Notes=[["hello"]], Empty=[], Labels=[[], ["", "file", "label"], ["", "1.jpg", "cat"]])
    tables = read_tables(LabelFile(("up", "l.xlsx"), data))
    assert [found.path_parts[-1] for found in tables] == ["l.xlsx/Notes", "l.xlsx/Labels"]
    assert tables[1].rows == [("", "file", "label"), ("", "1.jpg", "cat")]


def test_a_sheet_that_lies_about_its_size_is_no_trap(monkeypatch: pytest.MonkeyPatch):
    sheet = "xl/worksheets/sheet1.xml"
    data = workbook(Sheet=[["file", "label"], ["1.jpg", "cat"]])
    assert len(table("l.xlsx", changed(data, sheet, b"A1:B2", b"A1:XFD1048576")).rows) == 2
    assert "rows" in refusal("l.xlsx", changed(data, sheet, b'<row r="2"', b'<row r="999999999"'))
    monkeypatch.setenv(limits.LABEL_ROWS.setting, "1000")
    wide = separated(",", [("x",) * 2_000] * 20)
    assert "rows of 20 columns" in refusal("l.csv", wide)
    far = changed(data, sheet, b'r="B1"', b'r="XFD1"')
    assert "cells" in refusal("l.xlsx", far)


def test_a_workbook_that_unpacks_to_too_much_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(label_tables, "_MAX_UNPACKED_BYTES", 1_000)
    assert "unpacks" in refusal("l.xlsx", workbook(Sheet=[["file"]]))


@pytest.mark.parametrize(
    "content",
    [
        [{"file": "1.jpg", "label": "cat"}, {"file": "2.jpg", "label": "dog"}],
        {"about": {"by": "me"}, "images": [{"file": "1.jpg", "label": "cat"}, {"file": "2.jpg", "label": ["dog"]}]},
    ],
)
def test_objects_in_json_are_rows(content: object):
    found = table("l.json", json.dumps(content))
    assert (found.columns, found.rows) == (("file", "label"), [("1.jpg", "cat"), ("2.jpg", "dog")])


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        ({"1.jpg": "cat", "2.jpg": 1}, [("1.jpg", "cat"), ("2.jpg", "1")]),
        ({"1.jpg": ["cat"], "2.jpg": ["dog"]}, [("1.jpg", "cat"), ("2.jpg", "dog")]),
        ({"cat": ["1.jpg", "2.jpg"], "dog": ["3.jpg"]}, [("cat", "1.jpg"), ("cat", "2.jpg"), ("dog", "3.jpg")]),
    ],
)
def test_maps_in_json_are_rows(content: object, rows: list[tuple[str, ...]]):
    assert table("l.json", json.dumps(content)).rows == rows


def test_values_inside_objects_have_the_names_of_both():
    found = table("info.labels", '{"files": [{"path": "1.jpg", "label": {"label": "a", "sure": true}, "n": 1.0}]}')
    assert found.columns == ("path", "label.label", "label.sure", "n")
    assert found.rows == [("1.jpg", "a", "true", "1.0")]


def test_a_coco_document_gives_each_picture_its_category_once():
    content = {
        "images": [{"id": 1, "file_name": "1.jpg"}, {"id": 2, "file_name": "2.jpg"}, {"id": 3, "file_name": "3.jpg"}],
        "annotations": [{"image_id": 1, "category_id": 7}] * 3 + [{"image_id": 2, "category_id": 8}],
        "categories": [{"id": 7, "name": "cat"}, {"id": 8, "name": "dog"}],
    }
    assert table("a.json", json.dumps(content)).rows == [("1.jpg", "cat"), ("2.jpg", "dog"), ("3.jpg", "")]


def test_a_broken_line_of_json_lines_costs_that_line():
    found = table("m.jsonl", '{"file": "1.jpg"}\n{"file"\n\n{"file": "2.jpg"}\n')
    assert found.rows == [("1.jpg",), ("2.jpg",)]
    assert found.notes == ("Lines that cannot be read: 1 (line 2).",)
    assert "line 1" in refusal("m.jsonl", "not json\nnor this\n")


@pytest.mark.parametrize(
    "text",
    ["names: [cat, 'dog']\nnc: 2", "nc: 2\nnames:\n- cat\n- dog\n", 'names:\n  0: cat  # the tame one\n  1: "dog"\n'],
)
def test_the_names_of_a_yolo_data_set_are_rows(text: str):
    assert table("data.yaml", text).rows == [("0", "cat"), ("1", "dog")]


@pytest.mark.parametrize(
    ("name", "data", "word"),
    [
        ("l.csv", b"", "empty"),
        ("l.csv", b"\xef\xbb\xbf \r\n", "empty"),
        ("l.json", b"[]", "no rows"),
        ("l.json", b'{"a": ', "JSON"),
        ("l.json", b"[" * 100_000, "JSON"),
        ("l.json", b"7", "JSON"),
        ("l.csv", b"file,label\n1.jpg,c\0t\n" * 9, "UTF-8"),
        ("l.csv", b'file,label\n1.jpg,cat\n2.jpg,"dog\n3.jpg,cat\n', "row 3"),
        ("l.csv", b"file,label\n1.jpg," + b"x" * 200_000, "200,000 characters in row 2"),
        ("l.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" * 99, "save it as .xlsx"),
        ("l.xlsx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" * 99, "password"),
        ("l.xlsx", b"PK\3\4 and no more", "damaged"),
        ("l.parquet", b"PAR1", "save it as CSV"),
        ("environment.yaml", b"dependencies:\n- python\n", "names no classes"),
    ],
)
def test_what_cannot_be_read_says_why(name: str, data: bytes, word: str):
    assert word in refusal(name, data)


def test_every_limit_has_its_sentence(monkeypatch: pytest.MonkeyPatch):
    text = separated(",", [("file", "label"), *((f"{number}.jpg", "cat") for number in range(20))])
    for limit, value, word in [
        (limits.LABEL_MB, "0.0001", "0.0 MB; the limit is 0.0001 MB"),
        (limits.LABEL_ROWS, "10", "the limit is 10 rows"),
        (limits.CELL_LENGTH, "4", "the limit is 4 characters"),
    ]:
        with monkeypatch.context() as patch:
            patch.setenv(limit.setting, value)
            found = refusal("l.csv", text)
            assert word in found
            assert limit.setting in found


def test_a_limit_can_be_infinite(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(limits.LABEL_ROWS.setting, "inf")
    (table,) = read_tables(LabelFile(("brought", "labels.csv"), b"1.jpg,cat\n2.jpg,dog\n"))
    assert table.rows == [("1.jpg", "cat"), ("2.jpg", "dog")]


def test_a_label_file_is_known_by_its_name():
    yes = ["a.csv", "a.tsv", "a.txt", "a.json", "a.jsonl", "a.ndjson", "a.xlsx", "a.xls", "a.parquet", "data.yaml"]
    yes += ["info.labels", "LABELS.CSV", "readme_labels.csv"]
    no = ["a.jpg", "README.txt", "readme.md", "LICENSE.txt", "README.roboflow.txt", "csv", ".csv", "a.csv.bak"]
    assert [name for name in yes + no if is_label_file(("up", name))] == yes
