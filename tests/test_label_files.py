"""Label files beside pictures: what each column means is found by its content, and whatever is not used is named."""

import io
import json
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import openpyxl
import pytest

from tlcore.dataset import MAX_CLASSES
from tlcore.intake.label_files.files import LabelFile, LabelFilesRead, is_label_file, read_label_files
from tlcore.intake.label_files.picture_names import has_picture_ending
from tlcore.intake.meaning.readings import FileLabels, Readings
from tlcore.intake.meaning.tree import read_tree

PICTURES = [f"{number}.jpg" for number in range(12)]


def pet(number: int) -> str:
    return ("dog", "cat")[number % 2]


def rows(head: str, row: Callable[[int], Sequence[object]], count: int = 12, separator: str = ",") -> str:
    """Return a table; of each row its number makes the cells."""
    lines = [separator.join(map(str, row(number))) for number in range(count)]
    return "\n".join([head] * bool(head) + lines) + "\n"


def read(files: dict[str, str | bytes], paths: Sequence[str] = PICTURES) -> LabelFilesRead:
    """Read label files; what was brought is called `up`."""
    label_files = [
        LabelFile(("up", *name.split("/")), data if isinstance(data, bytes) else data.encode())
        for name, data in files.items()
    ]
    return read_label_files(label_files, [("up", *path.split("/")) for path in paths])


def only(files: dict[str, str | bytes], paths: Sequence[str] = PICTURES) -> FileLabels:
    """Return what the only column of classes says."""
    found = read(files, paths)
    (said,) = found.said
    return said


def why_unused(files: dict[str, str | bytes], paths: Sequence[str] = PICTURES) -> str:
    found = read(files, paths)
    assert found.said == ()
    (note,) = found.notes
    assert note.startswith("Not used: ")
    return note


def classes(said: FileLabels) -> list[str | None]:
    return [label and label.class_name for label in said.labels]


def splits(said: FileLabels) -> list[str | None]:
    return [label and label.split for label in said.labels]


PETS = [pet(number) for number in range(12)]


@pytest.mark.parametrize(
    ("head", "row", "paths", "column"),
    [
        ("file,label", lambda n: (PICTURES[n], pet(n)), PICTURES, "label"),
        ("label,file", lambda n: (pet(n), PICTURES[n]), PICTURES, "label"),
        ("", lambda n: (PICTURES[n], pet(n)), PICTURES, ""),
        ("Datei,Art", lambda n: (f"Bilder/{PICTURES[n]}", pet(n)), [f"Bilder/{p}" for p in PICTURES], "Art"),
        ("image_id,dx", lambda n: (f"IMG_{n}", pet(n)), [f"part_{n % 2}/IMG_{n}.jpg" for n in range(12)], "dx"),
        ("id,breed", lambda n: (n, pet(n)), [f"{n:04d}.jpg" for n in range(12)], "breed"),
        (",path,species", lambda n: (n, f"/home/me/{n}.png", pet(n)), PICTURES, "species"),
        ("n,IMAGE,what", lambda n: (11 - n, f"PIC{n}.JPG", pet(n)), [f"pic{n}.jpg" for n in range(12)], "what"),
        ("name,class_id,class_name", lambda n: (PICTURES[n], n % 2, pet(n)), PICTURES, "class_name"),
        ("file,width,height,x,y,label", lambda n: (PICTURES[n], 90, 80 + n % 2, 3, n % 2, pet(n)), PICTURES, "label"),
        (
            "file,date,url,age,label",
            lambda n: (n, f"2026-01-{n % 3 + 1:02d}", "http://x/y", 3, pet(n)),
            PICTURES,
            "label",
        ),
        (
            "file,caption,label",
            lambda n: (n, f"one of the two {pet(n)}s in the very big house", pet(n)),
            PICTURES,
            "label",
        ),
        ("file,mask,category", lambda n: (PICTURES[n], f"m{n % 2}.png", pet(n)), PICTURES, "category"),
        ("file,lesion_type,view", lambda n: (PICTURES[n], pet(n), "above"), PICTURES, "lesion_type"),
        ("file,score,label", lambda n: (PICTURES[n], 0.5 + n % 2, pet(n)), PICTURES, "label"),
        ("file,label,source", lambda n: (PICTURES[n], pet(n), "the zoo"), PICTURES, "label"),
    ],
)
def test_the_columns_of_files_and_classes_are_found(
    head: str, row: Callable[[int], Sequence[object]], paths: list[str], column: str
):
    said = only({"list.csv": rows(head, row)}, paths)
    assert (said.source, said.column) == ("list.csv", column)
    assert classes(said) == PETS
    assert set(splits(said)) == {None}


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_other_separators_and_encodings_are_read(separator: str):
    text = rows(separator.join(("file", "label")), lambda n: (PICTURES[n], pet(n)), separator=separator)
    for encoding in ("utf-8-sig", "utf-16"):
        assert classes(only({"list.csv": text.encode(encoding)})) == PETS


def test_other_columns_that_can_be_classes_are_offered_behind():
    table = rows(
        "lesion_id,image_id,dx,dx_type,age,sex,localization",
        lambda n: (
            f"L{n // 2}",
            n,
            ("nv", "mel")[n // 2 % 2],
            "histo",
            45.5,
            ("m", "f")[n // 3 % 2],
            ("back", "arm")[n // 6],
        ),
    )
    found = read({"skin.csv": table})
    assert [said.column for said in found.said] == ["dx", "sex", "localization"]
    assert [said.is_sure for said in found.said] == [True, False, False]


def test_a_column_is_sure_if_it_calls_itself_a_class_or_is_the_only_one():
    alone = rows("file,what", lambda n: (n, pet(n)))
    named = rows("file,author,species", lambda n: (n, "me", pet(n)))
    unsure = rows("file,author,what", lambda n: (n, "me", pet(n)))
    assert [only({"list.csv": table}).is_sure for table in (alone, named, unsure)] == [True, True, False]


def read_all(table: str, paths: Sequence[str]) -> Readings:
    """Read folders and a label file together."""
    return read_tree([("up", *path.split("/")) for path in paths], read({"list.csv": table}, paths).said)


def test_a_column_that_does_not_call_itself_a_class_never_overrules_folders():
    paths = [f"{('sick', 'well')[n // 6]}/{n}.jpg" for n in range(12)]
    readings = read_all(rows("file,patient_id,sex", lambda n: (n, f"P{n // 3}", "mf"[n // 3 % 2])), paths)
    assert readings.is_clear
    assert readings.found[0].classes == ("sick", "well")
    assert [label.group for label in readings.found[0].labels] == [f"P{n // 3}" for n in range(12)]
    assert readings.found[-1].classes == ("f", "m")


def test_of_several_columns_that_can_be_the_class_a_person_chooses():
    one = read_all(rows("file,author,what", lambda n: (n, "me", pet(n))), PICTURES)
    two = read_all(rows("file,colour,what", lambda n: (n, "rb"[n // 6], pet(n))), PICTURES)
    assert ([reading.key for reading in one.found[:1]], one.is_clear) == (["list.csv: what"], True)
    assert ([reading.key for reading in two.found[:2]], two.is_clear) == (["list.csv: colour", "list.csv: what"], False)


def test_columns_without_a_word_for_classes_are_possible_but_not_sure():
    table = rows("file,colour,site", lambda n: (n, ("red", "blue")[n % 2], ("back", "arm")[n // 6]))
    found = read({"list.csv": table})
    assert [(said.column, said.is_sure) for said in found.said] == [("colour", False), ("site", False)]


def test_a_file_of_parts_and_groups_says_them_without_classes():
    table = rows("file,patient,split", lambda n: (n, f"P{n // 3}", ("train", "test")[n // 9]))
    said = only({"list.csv": table})
    assert set(classes(said)) == {None}
    assert [label.group for label in said.labels if label] == [f"P{n // 3}" for n in range(12)]
    assert splits(said) == ["train"] * 9 + ["test"] * 3
    with_more = rows("file,patient_id,sex,view", lambda n: (n, f"P{n // 3}", "mf"[n // 6], "ab"[n % 2]))
    found = read({"list.csv": with_more})
    assert [(said.column, said.is_sure) for said in found.said] == [("", True), ("sex", False), ("view", False)]


def test_numbers_and_true_and_false_stay_as_they_are_written():
    for written in [("0", "1"), ("01", "02"), ("1.0", "2.0"), ("True", "False"), ("None", "some")]:
        said = only({"list.csv": rows("file,label", lambda n, w=written: (n, w[n % 2]))})
        assert set(classes(said)) == set(written)


def test_one_hot_columns_are_classes():
    table = rows("image,MEL,NV,BKL", lambda n: (n, *(float(n % 3 == column) for column in range(3))))
    said = only({"truth.csv": table})
    assert (said.column, classes(said)) == ("", ["MEL", "NV", "BKL"] * 4)
    marked = rows("image,blurred,cat,dog", lambda n: (n, int(n < 5), n % 2, 1 - n % 2))
    assert classes(only({"truth.csv": marked})) == PETS


def test_a_row_with_none_or_several_marks_leaves_its_picture_without_a_class():
    table = rows("image,cat,dog", lambda n: (n, int(n % 2 or n == 20), int(not n % 2 and n != 30)), 40)
    said = only({"truth.csv": table}, [f"{n}.jpg" for n in range(40)])
    assert [number for number, name in enumerate(classes(said)) if name is None] == [20, 30]
    assert any("none or several" in note and ": 2." in note for note in said.notes)


def test_pictures_with_several_classes_each_are_not_for_this():
    marks = rows("image,cat,dog,bird", lambda n: (n, 1, n % 2, n % 3 // 2))
    assert "several classes" in why_unused({"truth.csv": marks})
    boxes = rows("image,label", lambda n: (n // 2, pet(n)), 24)
    assert "several classes" in why_unused({"boxes.csv": boxes})


@pytest.mark.parametrize(
    "words", [("train", "val", "test"), ("Training", "Validation", "Testing"), ("TRAIN", "dev", "eval")]
)
def test_a_column_says_the_part(words: tuple[str, str, str]):
    said = only({"list.csv": rows("file,label,set", lambda n: (n, pet(n), words[n % 3]))})
    expected = ["train", "validation", "validation" if words[2] == "eval" else "test"]
    assert splits(said) == expected * 4
    assert any("column set" in note for note in said.notes)


def test_a_mark_says_the_part():
    assert (
        splits(only({"l.csv": rows("file,label,is_test", lambda n: (n, pet(n), n % 3 // 2))}))
        == ["train", "train", "test"] * 4
    )
    assert (
        splits(only({"l.csv": rows("file,label,is_train", lambda n: (n, pet(n), n % 3 // 2))}))
        == ["test", "test", "train"] * 4
    )


def test_a_class_called_train_is_no_part():
    said = only({"list.csv": rows("file,label", lambda n: (n, ("train", "bus")[n % 2]))})
    assert classes(said) == ["train", "bus"] * 6
    assert set(splits(said)) == {None}


def test_a_column_says_what_belongs_together():
    table = rows("file,patient_id,slide,dx", lambda n: (n, f"P{n // 3}", f"S{n // 2}", ("mel", "nv")[n // 6]))
    said = only({"list.csv": table})
    assert [label.group for label in said.labels if label] == [f"P{n // 3}" for n in range(12)]
    assert "Pictures with the same patient_id stay together: 4 groups." in said.notes


def test_a_column_of_people_is_the_class_where_nothing_else_is():
    assert (
        classes(only({"list.csv": rows("file,person", lambda n: (n, ("Ada", "Alan")[n % 2]))})) == ["Ada", "Alan"] * 6
    )


def test_files_alike_are_one_and_say_their_part():
    pictures = [f"{part}/{number}.jpg" for part in ("train", "test") for number in range(6)]
    lines = "\n".join(json.dumps({"file_name": f"{n}.jpg", "label": pet(n)}) for n in range(6))
    said = only({"train/metadata.jsonl": lines, "test/metadata.jsonl": lines}, pictures)
    assert (said.source, classes(said)) == ("metadata.jsonl", PETS)
    assert splits(said) == ["train"] * 6 + ["test"] * 6
    lists = {f"{part}.txt": rows("", lambda n, p=part: (f"{p}/{n}.jpg", n % 2), 6, " ") for part in ("train", "test")}
    said = only({**lists, "classes.txt": "dog\ncat\n"}, pictures)
    assert (said.source, classes(said), splits(said)) == ("train.txt, test.txt", PETS, ["train"] * 6 + ["test"] * 6)


def test_lists_of_parts_take_the_classes_from_their_paths():
    pictures = [f"images/{pet(n)}/{n}.jpg" for n in range(12)]
    lists = {
        f"{part}.txt": rows("", lambda n, s=start: (f"{pet(n + s)}/{n + s}",), 6)
        for part, start in (("train", 0), ("test", 6))
    }
    said = only(lists, pictures)
    assert (classes(said), splits(said)) == (PETS, ["train"] * 6 + ["test"] * 6)


def test_a_class_that_lists_its_pictures_is_read():
    content = {name: [f"{name}/{n}" for n in range(12) if pet(n) == name] for name in ("cat", "dog")}
    assert classes(only({"all.json": json.dumps(content)}, [f"images/{pet(n)}/{n}.jpg" for n in range(12)])) == PETS


@pytest.mark.parametrize(
    "content",
    [
        {PICTURES[n]: pet(n) for n in range(12)},
        [{"image": PICTURES[n], "choice": pet(n), "id": n + 500} for n in range(12)],
        [
            {
                "id": n,
                "data": {"image": f"/data/upload/1/{n}.jpg"},
                "annotations": [{"result": [{"value": {"choices": [pet(n)]}}]}],
            }
            for n in range(12)
        ],
        {
            "_via_img_metadata": {
                f"{n}.jpg123": {"filename": PICTURES[n], "file_attributes": {"pet": pet(n)}} for n in range(12)
            }
        },
        {
            "version": 1,
            "files": [
                {
                    "path": PICTURES[n],
                    "name": str(n),
                    "category": "training",
                    "label": {"type": "label", "label": pet(n)},
                }
                for n in range(12)
            ],
        },
        {
            "version": 1,
            "type": "bounding-box-labels",
            "boundingBoxes": {
                PICTURES[n]: [{"label": pet(n), "x": n, "y": n, "width": 5, "height": 5}] for n in range(12)
            },
        },
        {
            "images": [{"id": n, "file_name": PICTURES[n]} for n in range(12)],
            "annotations": [{"image_id": n, "category_id": n % 2} for n in range(12)],
            "categories": [{"id": 0, "name": "dog"}, {"id": 1, "name": "cat"}],
        },
    ],
    ids=["map", "list", "Label Studio", "VIA", "Edge Impulse", "Edge Impulse boxes", "COCO"],
)
def test_exports_of_other_tools_are_read(content: object):
    assert classes(only({"export.json": json.dumps(content)})) == PETS


def test_edge_impulse_says_the_part():
    files = [
        {"path": f"{n}.jpg", "category": ("training", "testing")[n // 9], "label": {"label": pet(n)}} for n in range(12)
    ]
    assert splits(only({"info.labels": json.dumps({"files": files})})) == ["train"] * 9 + ["test"] * 3


def test_the_sheet_that_names_pictures_is_used():
    book = openpyxl.Workbook()
    book.active.append(["How these were taken"])
    sheet = book.create_sheet("Labels")
    for row in [("number", "pet"), *((number, pet(number)) for number in range(12))]:
        sheet.append(row)
    stream = io.BytesIO()
    book.save(stream)
    found = read({"list.xlsx": stream.getvalue()}, [f"{number:03d}.jpg" for number in range(12)])
    assert [(said.source, said.column, classes(said)) for said in found.said] == [("list.xlsx/Labels", "pet", PETS)]
    assert found.notes == ("Not used: list.xlsx/Sheet (names no picture that is here).",)


def test_a_list_of_classes_says_the_names_of_numbers():
    numbers = {"train.csv": rows("image_id,label", lambda n: (PICTURES[n], n % 2))}
    for name, text in [
        ("names.json", '{"0": "dog", "1": "cat"}'),
        ("names.json", '{"cat": 1, "dog": 0}'),
        ("data.yaml", "names: [dog, cat]\n"),
        ("classes.txt", "dog\ncat\n"),
        ("labels.txt", "0 dog\n1 cat\n"),
        ("signs.csv", "ClassId,SignName\n0,dog\n1,cat\n"),
    ]:
        said = only({**numbers, name: text})
        assert classes(said) == PETS, name
        assert f"{name} says the names of its classes." in said.notes
        said = only({name: text}, [f"train/{n % 2:05d}/{n}.jpg" for n in range(12)])
        assert (said.source, classes(said)) == (name, PETS)


def test_one_table_per_class_folder_is_one():
    folders = {
        f"0000{c}/GT-0000{c}.csv": rows("Filename;Width;ClassId", lambda n, c=c: (f"{n}.ppm", 29 + n, c), 6, ";")
        for c in (0, 1)
    }
    said = only(folders, [f"0000{c}/{n}.ppm" for c in (0, 1) for n in range(6)])
    assert (said.column, classes(said)) == ("ClassId", ["0"] * 6 + ["1"] * 6)


def test_what_a_careful_person_wants_to_know_is_said():
    table = (
        "file,label\n0.jpg,cat\n0.jpg,cat\n1.jpg,dog\n1.jpg,cat\n2.jpg,\n3.jpg,NaN\n4.jpg,dog\n5.jpg,cat\n6.jpg,bird\n"
        + rows("x.jpg,cat", lambda n: (f"y{n}.jpg", "dog"), 4)
    )
    said = only({"list.csv": table})
    assert classes(said)[:8] == ["cat", None, None, None, "dog", "cat", "bird", None]
    assert said.labels[1] is not None
    assert said.labels[7] is None
    assert said.notes == (
        "Rows that name pictures which are not here: 5 (x.jpg, y0.jpg, y1.jpg and 2 more).",
        "Rows that say the same of a picture again: 1. Each picture counts once.",
        "Pictures that get more than one class: 1 (1.jpg: dog, cat). They are left without a class.",
        "Pictures without a class in it: 2. They are left aside.",
        "Classes with a single picture: bird, dog.",
        "Pictures that it does not name: 5.",
    )


def test_names_that_fit_several_pictures_are_said_and_not_guessed():
    pictures = ["a/1.jpg", "b/1.jpg", "a/2.jpg", "b/3.jpg"]
    said = only({"list.csv": "file,label\n1.jpg,cat\n2.jpg,dog\n3.jpg,cat\n"}, pictures)
    assert classes(said) == [None, None, "dog", "cat"]
    assert any("fits several pictures: 1 (1.jpg)" in note for note in said.notes)
    note = why_unused(
        {"list.csv": "file,label\n1.jpg,cat\n2.jpg,dog\n"}, [f"{a}/{n}.jpg" for a in "ab" for n in (1, 2)]
    )
    assert "fit several pictures" in note


def test_formulas_and_web_code_are_plain_text_and_named():
    names = ["=HYPERLINK(1)", "@SUM(A1)", "+1+1", "<script>x</script>", "[x](javascript:y)", "-1", "a < b"]
    text = rows("file,label", lambda n: (f"{n}.jpg", names[n % 7]), 14)
    said = only({"list.csv": text}, [f"{n}.jpg" for n in range(14)])
    assert classes(said) == names * 2
    (note,) = (note for note in said.notes if "plain text" in note)
    assert "+1+1, <script>x</script>, =HYPERLINK(1) and 2 more" in note


def test_names_that_differ_only_in_spaces_are_one_with_a_word():
    said = only({"list.csv": rows("file,label", lambda n: (n, '"cat "' if n == 3 else pet(n)))})
    assert set(classes(said)) == {"cat", "dog"}
    assert "Class names that differ only in spaces or signs that cannot be seen are one: cat." in said.notes


@pytest.mark.parametrize(
    ("name", "text", "word"),
    [
        ("sample_submission.csv", "file,species\n0.jpg,cat\n1.jpg,cat\n", "competition"),
        ("list.csv", "file,label\nnope.jpg,cat\nnada.jpg,dog\n", "not here: nope.jpg, nada.jpg"),
        ("list.csv", "file,label\n../../etc/passwd,cat\n/etc/hostname,dog\n", "no column names pictures"),
        ("list.csv", "file,label\n", "no rows"),
        ("list.csv", "file,label\n0.jpg,\n1.jpg, \n2.jpg,NULL\n", "blank in every row"),
        ("list.csv", rows("file,width,height", lambda n: (n, 640, 480 + n % 2)), "no column of classes"),
        (
            "list.csv",
            rows("file,caption", lambda n: (n, f"a photo of {n} cats in a garden behind the very old house")),
            "no",
        ),
        (
            "list.csv",
            rows("patient,age,sex", lambda n: (f"p{n}", n % 5, ("m", "f")[n % 2]), 40),
            "its columns: patient, age, sex",
        ),
        ("list.csv", rows("label,pixel0,pixel1", lambda n: (n % 10, n % 7, n % 5), 60), "no column names pictures"),
        ("list.csv", rows("image,mask", lambda n: (PICTURES[n], f"masks/{PICTURES[n]}")), "paths"),
        ("list.csv", rows("n,file,label", lambda n: (n, f"other{n}.png", pet(n))), "not here: other0.png"),
        ("labels.txt", rows("", lambda n: (n % 2, 0.5, 0.5, 0.25, 0.25), separator=" "), "boxes"),
        ("notes.txt", "These are my pictures.\nThey show cats.\n", "no picture"),
        ("data.yaml", "names: [left, right]\n", "nothing here has its numbers"),
        ("big.json", "[" * 99_999, "JSON"),
    ],
)
def test_a_file_that_is_not_used_is_named_with_the_reason(name: str, text: str, word: str):
    note = why_unused({name: text})
    assert note.startswith(f"Not used: {name} (")
    assert word in note


def test_more_classes_than_a_data_set_may_have_are_said():
    pictures = [f"{number}.jpg" for number in range(2 * MAX_CLASSES + 2)]
    table = rows("file,label", lambda n: (n, f"c{n // 2}"), len(pictures))
    assert f"at most {MAX_CLASSES} classes" in why_unused({"list.csv": table}, pictures)


def test_two_files_that_say_the_same_are_one():
    table = rows("file,label", lambda n: (PICTURES[n], pet(n)))
    found = read({"a.csv": table, "b.json": json.dumps({PICTURES[n]: pet(n) for n in range(12)})})
    assert [said.source for said in found.said] == ["a.csv"]
    assert found.notes == ("Not used: b.json (says the same as a.csv).",)
    lists = {"all.txt": rows("", lambda n: (f"{n}.jpg", pet(n)), separator=" ")}
    lists |= {
        f"{part}.txt": rows("", lambda n, s=start: (f"{n + s}.jpg", pet(n + s)), 6, " ")
        for part, start in (("train", 0), ("test", 6))
    }
    found = read(lists)
    assert [said.source for said in found.said] == ["train.txt, test.txt"]
    assert found.notes == ("Not used: all.txt (says the same as train.txt, test.txt).",)


def test_files_for_one_reason_are_one_line():
    boxes = {f"labels/{n}.txt": "0 0.5 0.5 0.25 0.25\n1 0.1 0.1 0.2 0.2\n" for n in range(12)}
    assert (
        why_unused(boxes)
        == "Not used: 0.txt, 1.txt, 2.txt and 9 more (holds boxes or outlines in pictures, not classes)."
    )


def test_no_files_and_no_pictures_are_nothing():
    assert read({}) == LabelFilesRead((), ())
    assert read({"a.csv": "file,label\n1.jpg,cat\n"}, []).said == ()


def test_a_hundred_thousand_rows_take_seconds():
    paths = [f"images/p{n % 7}/IMG_{n:06d}.jpg" for n in range(50_000)]
    table = rows(
        "image_id,patient_id,dx,sex", lambda n: (f"IMG_{n:06d}", f"P{n // 5}", f"c{n % 40}", "mf"[n % 2]), 100_000
    )
    start = time.process_time()
    found = read({"list.csv": table}, paths)
    assert time.process_time() - start < 10
    assert [said.column for said in found.said] == ["dx", "sex"]
    assert Counter(classes(found.said[0])) == {f"c{c}": 1_250 for c in range(40)}


CASES = {
    "02_csv_parts.zip": {"mel": 6, "nv": 6},
    "08_flat_test.zip": {},
    "09_class_in_file_name.zip": {},
    "17_ppm_pgm.zip": {},
    "27a_metadata_jsonl.zip": {"cat": 5, "dog": 5},
    "28_zip_in_zip.zip": {},
}
UNUSED = {
    "08_flat_test.zip": "sample_submission.csv",
    "17_ppm_pgm.zip": "GT-00000.csv, GT-00001.csv",
    "28_zip_in_zip.zip": "sampleSubmission.csv",
}


@pytest.mark.parametrize("name", CASES)
def test_files_after_reports_of_people_are_read_as_they_meant(name: str, shared_data: Path):
    with zipfile.ZipFile(shared_data / "cases" / name) as archive:
        names = [entry for entry in archive.namelist() if not entry.endswith("/")]
        files = {entry: archive.read(entry) for entry in names if is_label_file(entry.split("/"))}
    found = read(files, [entry for entry in names if has_picture_ending(entry)])
    assert [Counter(classes(said)) for said in found.said] == [CASES[name]] * bool(CASES[name])
    assert [note.split(" (")[0] for note in found.notes] == [f"Not used: {UNUSED.get(name)}"] * (name in UNUSED)


HOSTILE: dict[str, tuple[set[str], str]] = {
    "c01_formula.csv": ({"=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(A1)"}, "plain text"),
    "c03_unknown_files.csv": (set(), "pictures that are not here: nope.jpg, nada.jpg"),
    "c05_utf16.csv": ({"чат", "犬"}, ""),
    "c07_latin1.csv": ({"été"}, "not in UTF-8"),
    "c09_path_traversal.csv": (set(), "pictures that are not here: ../../../../etc/passwd"),
    "c11_huge_field.csv": (set(), "5,242,880 characters in row 2"),
    "c13_quoted_newline.csv": ({"ca t"}, ""),
    "c15_header_only.csv": (set(), "no rows"),
    "c17_blank_labels.csv": (set(), "blank in every row"),
    "c19_html_labels.csv": (
        {"<script>alert(1)</script>", "[x](javascript:alert(1))", "![](http://127.0.0.1:9/t.png)"},
        "plain text",
    ),
}


def test_hostile_label_files_do_what_the_manifest_says(shared_data: Path):
    pictures = [f"{number:04d}.jpg" for number in range(5)] + [f"{number}.jpg" for number in range(10, 13)]
    pictures += ["1.jpg", "2.jpg", "3.jpg", "4.jpg", "x.jpg"]
    with zipfile.ZipFile(shared_data / "hostile.zip") as archive:
        manifest = json.loads(archive.read("hostile/manifest.json"))
        names = [entry["file"].removeprefix("csv/") for entry in manifest if entry["area"] == "csv"]
        assert set(names) <= HOSTILE.keys()
        for name in names:
            wanted, word = HOSTILE[name]
            found = read({name: archive.read(f"hostile/csv/{name}")}, pictures)
            got = {label for said in found.said for label in classes(said)} - {None}
            assert got == wanted, name
            assert any(
                word in note for note in (*found.notes, *(note for said in found.said for note in said.notes))
            ), name


@pytest.mark.parametrize("name", ["train.csv", "trainLabels.csv"])
def test_a_name_in_several_parts_is_that_of_the_files_own(name: str):
    paths = [f"{part}/{number}.png" for part in ("test", "train") for number in range(12)]
    said = only({name: rows("id,label", lambda n: (n, pet(n)))}, paths)
    assert classes(said) == [None] * 12 + PETS
