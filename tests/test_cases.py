"""Inputs after public bug reports of this field: what each must come to, row by row of their list."""

import csv
import hashlib
import io
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pages.components.data.advice import data_advice
from tlcore.dataset import Dataset
from tlcore.intake.collection import Gathered, ImportReport, gather
from tlcore.intake.pictures.decoding import pixels_of
from tlcore.intake.pictures.pixels import read_square, square
from tlcore.intake.sources import ArchiveSource


class MemoryStore:
    """A picture store without a disk."""

    def __init__(self) -> None:
        self.pictures: dict[str, bytes] = {}

    def add(self, data: bytes, thumbnail: bytes) -> str:
        key = hashlib.sha256(data).hexdigest()
        self.pictures[key] = data
        return key

    def pixels(self) -> list[np.ndarray]:
        return [np.asarray(Image.open(io.BytesIO(data)).convert("RGB")) for data in self.pictures.values()]


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def cases(shared_data: Path) -> Path:
    folder = shared_data / "cases"
    if not folder.is_dir():
        pytest.skip("the shared data folder has no cases")
    return folder


def brought(cases: Path, store: MemoryStore, *names: str) -> Gathered:
    return gather([ArchiveSource(cases / name, name) for name in names], Dataset(), store)


def classes(report: ImportReport) -> dict[str, int]:
    names = {label.id: label.name for label in report.dataset.classes}
    found = Counter(names[item.class_id] for item in report.dataset.items)
    return {name: found[name] for name in names.values()}


def parts(report: ImportReport) -> dict[str, int]:
    return dict(Counter(item.split for item in report.dataset.items))


def read_as(gathered: Gathered) -> list[dict[str, int]]:
    """The classes of each reading that is offered."""
    return [classes(gathered.into(Dataset(), reading=reading)) for reading in gathered.brought.readings.found]


def is_clear(gathered: Gathered) -> bool:
    return gathered.brought.readings.is_clear


def said(report: ImportReport) -> str:
    return "\n".join([*report.notes, *(f"{one.name}: {one.reason}" for one in report.refused)])


def test_flat_archives_are_a_class_each(cases: Path, store: MemoryStore):
    gathered = brought(cases, store, "01a_Class_1-samples.zip", "01b_Class_2-samples.zip")
    assert is_clear(gathered)
    found = classes(gathered.into(Dataset()))
    assert list(found.values()) == [6, 6]
    assert all(f"Class_{number}-samples" in name for number, name in enumerate(found, start=1))
    one = classes(brought(cases, store, "01a_Class_1-samples.zip").into(Dataset()))
    assert list(one.values()) == [6]
    assert all("Class_1-samples" in name for name in one)


def test_table_says_the_class_and_folders_of_parts_are_none(cases: Path, store: MemoryStore):
    gathered = brought(cases, store, "02_csv_parts.zip")
    assert is_clear(gathered)
    assert classes(gathered.into(Dataset())) == {"mel": 6, "nv": 6}


def test_masks_are_left_out_and_named(cases: Path, store: MemoryStore):
    report = brought(cases, store, "03_images_and_masks.zip").into(Dataset())
    assert classes(report) == {"Ill": 6, "Normal": 6}
    assert "12 masks" in said(report)


def test_outermost_level_is_the_class_and_a_slide_stays_together(cases: Path, store: MemoryStore):
    gathered = brought(cases, store, "04_magnification_leaves.zip")
    report = gathered.into(Dataset())
    assert classes(report) == {"benign": 12, "malignant": 12}
    readings = read_as(gathered)
    assert {"40X": 12, "100X": 12} in readings
    assert any(all("slide" in name for name in reading) and len(reading) == 4 for reading in readings)
    splits: dict[str, set[str]] = {}
    slides = {
        one.image: next(part for part in one.path.split("/") if "slide" in part) for one in gathered.brought.pictures
    }
    for item in report.dataset.items:
        splits.setdefault(slides[item.image], set()).add(item.split)
    assert len(splits) == 4
    assert all(len(found) == 1 for found in splits.values())


def test_equal_names_below_different_folders_are_asked_about(cases: Path, store: MemoryStore):
    gathered = brought(cases, store, "05_same_leaf_name.zip")
    readings = read_as(gathered)
    assert readings[0] == {"apple": 8, "banana": 8}
    assert not is_clear(gathered)
    assert any(sorted(reading.values()) == [4, 4, 4, 4] for reading in readings)


def test_doubled_parts_are_kept_and_pictures_without_class_put_aside(cases: Path, store: MemoryStore):
    gathered = brought(cases, store, "06_seg_train.zip")
    report = gathered.into(Dataset())
    assert is_clear(gathered)
    assert classes(report) == {"forest": 9, "sea": 9}
    assert sum(item.given is True and item.split == "test" for item in report.dataset.items) == 6
    assert parts(report)["test"] == 6
    assert len(report.dataset.unlabelled) == 6
    assert "6 pictures have no class" in said(report)


def test_set_inside_itself_counts_as_copies(cases: Path, store: MemoryStore):
    report = brought(cases, store, "07_doubled_inside.zip").into(Dataset())
    assert set(classes(report)) == {"NORMAL", "PNEUMONIA"}
    counts = Counter((item.class_id, item.split) for item in report.dataset.items)
    assert sorted(counts.values()) == [2, 2, 3, 3, 6, 6]
    assert report.already_there == 22


def test_flat_test_folder_is_put_aside(cases: Path, store: MemoryStore):
    gathered = brought(cases, store, "08_flat_test.zip")
    report = gathered.into(Dataset())
    assert is_clear(gathered)
    assert classes(report) == {"cat": 8, "dog": 8}
    assert set(parts(report)) == {"train", "validation", "test"}
    assert len(report.dataset.unlabelled) == 5
    assert "5 pictures have no class" in said(report)
    assert "sample_submission.csv" in said(report)


def test_class_in_the_file_name(cases: Path, store: MemoryStore):
    assert classes(brought(cases, store, "09_class_in_file_name.zip").into(Dataset())) == {"cat": 6, "dog": 6}


def test_thumbnails_of_network_disks_are_left_out(cases: Path, store: MemoryStore):
    report = brought(cases, store, "10_nas_thumbnails.zip").into(Dataset())
    assert classes(report) == {"cat": 6, "dog": 6}
    assert "24 thumbnails" in said(report)


def test_names_in_shift_jis(cases: Path, store: MemoryStore):
    assert classes(brought(cases, store, "11_shift_jis.zip").into(Dataset())) == {"力": 4, "能力": 4, "表": 4}


def test_a_class_called_photo_is_asked_about(cases: Path, store: MemoryStore):
    gathered = brought(cases, store, "13_class_called_photo.zip")
    assert not is_clear(gathered)
    readings = read_as(gathered)
    assert {"photo": 8, "sketch": 8} in readings
    assert {"shop_1": 8, "shop_2": 8} in readings


def test_white_on_transparent_ground_can_be_seen(cases: Path, store: MemoryStore):
    report = brought(cases, store, "14_white_on_transparent.zip").into(Dataset())
    assert classes(report) == {"arrow": 6, "cross": 6}
    assert len(store.pictures) == 12
    assert all(pixels.std() > 20 for pixels in store.pixels())


def test_twelve_bits_are_scaled_once_for_all(cases: Path, store: MemoryStore):
    report = brought(cases, store, "15_twelve_bits_in_png16.zip").into(Dataset())
    assert sum(classes(report).values()) == 8
    assert all(pixels.max() > 100 for pixels in store.pixels())
    assert any("bit" in note for note in report.notes)


def test_ppm_and_pgm_open(cases: Path, store: MemoryStore):
    report = brought(cases, store, "17_ppm_pgm.zip").into(Dataset())
    assert classes(report) == {"00000": 4, "00001": 4, "s1": 2, "s2": 2}
    assert "damaged" not in said(report)


def test_medical_files_are_named(cases: Path, store: MemoryStore):
    report = brought(cases, store, "18_medical_formats.zip").into(Dataset())
    assert not report.dataset.items
    assert len(report.refused) == 12
    assert all(word in said(report) for word in ("DICOM", "NIfTI", "NumPy"))
    assert "damaged" not in said(report)


def test_raw_files_are_refused_whole(cases: Path, store: MemoryStore):
    report = brought(cases, store, "19_camera_raw.zip").into(Dataset())
    assert not report.dataset.items
    assert len(report.refused) == 8
    assert all("as JPEG" in one.reason for one in report.refused)


def test_placeholders_of_icloud_are_counted(cases: Path, store: MemoryStore):
    report = brought(cases, store, "22_icloud_placeholders.zip").into(Dataset())
    assert classes(report) == {"cat": 2, "dog": 2}
    assert "16 pictures are still in iCloud: download them" in said(report)
    report = brought(cases, store, "22b_all_in_cloud.zip").into(Dataset())
    assert not report.dataset.items
    assert "8 pictures are still in iCloud: download them" in said(report)


def test_classes_that_differ_between_parts_are_named_on_data(cases: Path, store: MemoryStore):
    report = brought(cases, store, "26_class_sets_differ.zip").into(Dataset())
    names = {label.id: label.name for label in report.dataset.classes}
    splits = {
        name: {item.split for item in report.dataset.items if names[item.class_id] == name} for name in names.values()
    }
    advice = " ".join(data_advice(report.dataset))
    for name, found in splits.items():
        if "train" not in found or "test" not in found:
            assert name in advice
    assert any("test" not in found for found in splits.values())


def test_names_that_differ_between_parts_are_noted(cases: Path, store: MemoryStore):
    report = brought(cases, store, "26b_names_differ.zip").into(Dataset())
    assert len(classes(report)) == 4
    assert "Glioma_tumor" in said(report)
    assert "glioma" in said(report)


def test_metadata_of_hugging_face(cases: Path, store: MemoryStore):
    assert classes(brought(cases, store, "27a_metadata_jsonl.zip").into(Dataset())) == {"cat": 5, "dog": 5}


def test_archives_inside_an_archive(cases: Path, store: MemoryStore):
    report = brought(cases, store, "28_zip_in_zip.zip").into(Dataset())
    assert report.dataset.items or report.dataset.unlabelled or "npack" in said(report)


@pytest.mark.parametrize("name", ["29_bzip2.zip", "29_lzma.zip"])
def test_other_packings_are_read(cases: Path, store: MemoryStore, name: str):
    assert classes(brought(cases, store, name).into(Dataset())) == {"cat": 3, "dog": 3}


def test_deflate64_gets_one_sentence(cases: Path, store: MemoryStore):
    report = brought(cases, store, "29_deflate64.zip").into(Dataset())
    assert not report.dataset.items
    assert "Deflate64" in said(report)


def test_lookalikes_stay_apart_and_are_noted(cases: Path, store: MemoryStore):
    report = brought(cases, store, "30_lookalikes.zip").into(Dataset())
    assert list(classes(report).values()) == [2] * 6
    for names in (("cat", "cat (2)"), ("Dog", "dog"), ("strasse", "straße")):
        assert any(all(name in note for name in names) for note in report.notes)


def test_hidden_copies_of_a_notebook_are_left_out(cases: Path, store: MemoryStore):
    report = brought(cases, store, "31_ipynb_checkpoints.zip").into(Dataset())
    assert classes(report) == {"no_skip": 3, "skip": 3}
    assert "7 hidden copies" in said(report)


def test_everything_in_a_folder_called_test_is_an_ordinary_set(cases: Path, store: MemoryStore):
    report = brought(cases, store, "37_folder_called_test.zip").into(Dataset())
    assert classes(report) == {"cat": 8, "dog": 8}
    assert set(parts(report)) == {"train", "validation", "test"}


@pytest.mark.parametrize("name", ["41_transparent_cutout.png", "41_transparent_hidden_red.png", "41_float.tif"])
def test_exported_program_sees_what_the_app_sees(cases: Path, name: str):
    path = cases / name
    seen = square(pixels_of(path.read_bytes()), 224, "crop")
    assert np.array_equal(seen, read_square(path, 224, "crop"))


def test_every_row_has_a_test(cases: Path):
    with (cases / "manifest.csv").open(newline="") as file:
        names = [name for row in csv.DictReader(file) for name in row["file"].split(" + ")]
    text = Path(__file__).read_text()
    assert [name for name in names if name not in text] == []
