"""Export, and the routes of its downloads, on models made by the storage functions."""

from __future__ import annotations

import io
import os
import shutil
import zipfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from unittest.mock import Mock

import pytest

from pages.components.state import LOCAL_OWNER
from pages.server.downloads import BLOCK_BYTES, download_url, held_zip_blocks, zip_blocks
from pages.server.export_files import export_url
from tests.download_server import Answered, Get
from tests.finished_runs import MODEL_BYTES, OWNER, all_text, open_step, press, table_with
from tests.signing import cookie_of
from tlcore.config import ModelConfig
from tlcore.errors import LockedError
from tlcore.export.entries import Entry
from tlcore.results.prediction_code import OLDEST_KERAS, prediction_code
from tlcore.settings.locks import check_job
from tlcore.storage.card_words import CardWords, read_card_words
from tlcore.storage.class_settings import change_class_settings
from tlcore.storage.datasets import commit_version
from tlcore.storage.exams import open_exam
from tlcore.storage.exports import export_dir
from tlcore.storage.images import ImageStore
from tlcore.storage.jobs import claim_job, create_job, end_job, list_jobs, read_request
from tlcore.storage.model_settings import ModelSettings, change_model_settings
from tlcore.storage.requests import ExportRequest, FormatReport
from tlcore.storage.sharing import create_share, open_share


def test_export_names_sizes_settings_and_code(make_finished) -> None:
    finished = make_finished()
    run_id = finished.add_run()
    page = open_step("export", finished.project_id)
    links = {link.url: link.label for link in page.get("link_button")}
    assert links[download_url(run_id, "model.keras")] == "model.keras (3.0 MB)"
    assert links[download_url(run_id, "model.zip")] == "All of these (ZIP, 3.0 MB)"
    assert any("EfficientNet-Lite0" in value for value in page.table[0].value["Value"])
    assert page.code[0].value.strip() == prediction_code(ModelConfig()).strip()
    assert f"Keras {OLDEST_KERAS} or newer" in all_text(page)


def test_the_program_on_the_page_scales_deep_pictures_as_the_data_set_did(make_finished) -> None:
    finished = make_finished()
    scans = replace(finished.dataset, grey_range=(0.0, 4095.0))
    version = commit_version(
        finished.engine, finished.project_id, scans, "scans", parent=finished.version, home=finished.home
    )
    replace(finished, version=version).add_run()
    page = open_step("export", finished.project_id)
    assert page.code[0].value.strip() == prediction_code(ModelConfig(), (0.0, 4095.0)).strip()


def test_the_program_of_a_model_from_before_is_in_its_readme(make_finished) -> None:
    finished = make_finished()
    (finished.home.run_dir(finished.add_run()) / "pixels.py").unlink()
    page = open_step("export", finished.project_id)
    assert not page.code
    assert "README.txt" in all_text(page)


def test_export_says_so_when_the_files_are_gone(make_finished) -> None:
    finished = make_finished()
    (finished.home.run_dir(finished.add_run()) / "model.keras").unlink()
    assert "Train again" in open_step("export", finished.project_id).info[0].value


@pytest.mark.parametrize("kept", [0, 1, 2_999_000])
def test_a_cut_model_is_not_offered(make_finished, get: Get, kept: int) -> None:
    finished = make_finished(OWNER)
    run_id = finished.add_run()
    (finished.home.run_dir(run_id) / "model.keras").write_bytes(MODEL_BYTES[:kept])
    for file in ("model.keras", "model.zip"):
        assert get(download_url(run_id, file)).status == 404
    assert get(download_url(run_id, "labels.txt")).status == 200


def test_the_page_says_that_a_model_is_cut_and_how_to_get_another(make_finished) -> None:
    finished = make_finished()
    (finished.home.run_dir(finished.add_run()) / "model.keras").write_bytes(MODEL_BYTES[:-10])
    page = open_step("export", finished.project_id)
    assert "is damaged, so it is not offered. Train again" in page.error[0].value
    assert not page.get("link_button")


def test_the_owner_gets_the_files_as_attachments(make_finished, get: Get) -> None:
    run_id = make_finished(OWNER).add_run()
    answer = get(download_url(run_id, "model.keras"))
    assert answer == Answered(200, MODEL_BYTES, 'attachment; filename="model.keras"')
    assert get(download_url(run_id, "labels.txt")).content == b"red\ngreen\n"


def test_the_zip_holds_all_files(make_finished, get: Get) -> None:
    run_id = make_finished(OWNER).add_run()
    answer = get(download_url(run_id, "model.zip"))
    assert answer.disposition == 'attachment; filename="model.zip"'
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["model.keras", "labels.txt", "pixels.py", "README.txt"]
        assert archive.read("model.keras") == MODEL_BYTES


def test_another_owner_gets_the_same_answer_as_for_a_run_that_is_not_there(make_finished, get: Get) -> None:
    run_id = make_finished(OWNER).add_run()
    missing = get(download_url("nothing", "model.keras"))
    assert missing.status == 404
    for cookie in (cookie_of("x" * 24), "lab_user=", f"lab_user={LOCAL_OWNER}", "other=1", None):
        for file in ("model.keras", "model.zip"):
            assert get(download_url(run_id, file), cookie) == missing


@pytest.mark.parametrize(
    "file",
    [
        "worker.log",
        "evaluation.npz",
        "../../lab.sqlite",
        "..%2F..%2Flab.sqlite",
        "..%5Clab.sqlite",
        "MODEL.KERAS",
        "..",
    ],
)
def test_nothing_else_leaves_the_folder(make_finished, get: Get, file: str) -> None:
    run_id = make_finished(OWNER).add_run()
    assert get(f"/download/{run_id}/{file}").status == 404


@pytest.mark.parametrize("prefix", ["..%2Fruns%2F", "%2E%2E/runs/", "./"])
def test_a_run_id_is_never_a_path(make_finished, get: Get, prefix: str) -> None:
    run_id = make_finished(OWNER).add_run()
    assert get(f"/download/{prefix}{run_id}/model.keras").status == 404


LITERT = FormatReport("litert", 13_000_000, 40, 36, 40, 0.0004, 6.1)
INT8 = FormatReport("litert-int8", 3_600_000, 40, 35, 38, 0.12, 1.5, warning="It answers 2 of 40 otherwise.")
SAVED = FormatReport("savedmodel", 14_000_000, 40, 36, 40, 0.0, 9.0)
NO_ONNX = FormatReport("onnx", problem="The converter does not know a layer of this model.")


def test_the_usual_formats_are_ticked_and_what_is_chosen_is_asked_for(make_finished, no_runner: None) -> None:
    finished = make_finished()
    run_id = finished.add_run()
    page = open_step("export", finished.project_id)
    assert {str(box.key).removeprefix(f"format-{run_id}-") for box in page.checkbox if box.value} == {
        "keras",
        "litert",
        "litert-int8",
    }
    page.checkbox(key=f"format-{run_id}-onnx").check()
    page.checkbox(key=f"format-{run_id}-keras").uncheck()
    press(page, "make")
    [job] = list_jobs(finished.engine, states=("queued",))
    asked = read_request(finished.engine, job.id, ExportRequest)
    assert (job.kind, asked.model_id, asked.formats) == ("export", run_id, ("litert", "litert-int8", "onnx"))
    assert page.button(key="make").disabled  # it is made already
    assert page.button(key=f"stop-{job.id}").label == "Stop"
    for format_name in asked.formats:
        page.checkbox(key=f"format-{run_id}-{format_name}").uncheck()
    page.run()
    assert page.button(key="make").disabled


def test_certificates_warnings_and_what_could_not_be_made_stand_on_the_page(make_finished) -> None:
    finished = make_finished()
    run_id = finished.add_run()
    job_id = finished.add_export(run_id, LITERT, INT8, SAVED, NO_ONNX)
    page = open_step("export", finished.project_id)
    rows = table_with(page.table, "Answers as the original")
    assert list(rows["Format"]) == ["LiteRT", "LiteRT, 8-bit integers", "SavedModel"]
    assert list(rows["Answers as the original"]) == ["40 of 40", "38 of 40", "40 of 40"]
    assert list(rows["Largest difference"]) == ["below 0.1 points", "12.0 points", "below 0.1 points"]
    assert list(rows["Milliseconds"]) == ["6.1", "1.5", "9.0"]
    assert "Accuracy" not in rows  # the exam is closed
    assert "It answers 2 of 40 otherwise" in page.warning[0].value
    assert "**ONNX** is not among the files" in page.error[0].value
    links = {str(link.url): link.label for link in page.get("link_button")}
    assert links[export_url(job_id, "model.zip")] == "Download all (ZIP, 30.6 MB)"
    assert links[export_url(job_id, "model-int8.tflite")] == "model-int8.tflite (3.6 MB, see the warning)"
    assert export_url(job_id, "saved_model.zip") in links
    assert export_url(job_id, "model.onnx") not in links
    alt = str(page.get("plotly_chart")[0].proto.alt)
    assert alt.startswith("Answers as the original against time per picture. LiteRT, 40 of 40 as the original")
    assert "36 of 40" not in all_text(page) + alt
    assert page.button(key="make-again").disabled is False  # ONNX is ticked and not there
    page.checkbox(key=f"format-{run_id}-onnx").uncheck().run()
    assert page.button(key="make-again").disabled


def test_files_that_were_made_earlier_stay_beside_newer_ones_and_each_format_stands_once(make_finished) -> None:
    finished = make_finished()
    run_id = finished.add_run()
    first = finished.add_export(run_id, LITERT, SAVED)
    second = finished.add_export(run_id, LITERT)
    third = finished.add_export(run_id, NO_ONNX)
    page = open_step("export", finished.project_id)
    links = [str(link.url) for link in page.get("link_button")]
    assert {url for url in links if url.startswith("/exports")} == {
        export_url(second, "model.tflite"),
        export_url(second, "pictures.zip"),
        export_url(second, "model.zip"),
        export_url(first, "saved_model.zip"),
        export_url(first, "model.zip"),
    }
    assert not [url for url in links if third in url]
    assert "**ONNX** is not among the files" in page.error[0].value
    assert [list(table.value["Format"]) for table in page.table if "Format" in table.value] == [
        ["LiteRT"],
        ["SavedModel"],
    ]
    assert all(page.checkbox(key=f"format-{run_id}-{name}").value for name in ("litert", "savedmodel", "onnx"))


def test_a_file_that_was_cut_is_not_offered(make_finished, get: Get) -> None:
    finished = make_finished(OWNER)
    run_id = finished.add_run()
    job_id = finished.add_export(run_id, LITERT, SAVED)
    os.truncate(export_dir(job_id, finished.home) / "model.tflite", 999)
    assert get(export_url(job_id, "model.tflite")).status == 404
    names = bundle_of(get(export_url(job_id, "model.zip")))
    assert "saved_model/saved_model.pb" in names
    assert "model.tflite" not in names
    assert b"damaged or was deleted since" in b" ".join(names["README.txt"].split())


def test_the_page_says_that_a_file_was_cut_and_makes_it_again(make_finished) -> None:
    finished = make_finished()
    run_id = finished.add_run()
    job_id = finished.add_export(run_id, LITERT, SAVED)
    os.truncate(export_dir(job_id, finished.home) / "model.tflite", 999)
    page = open_step("export", finished.project_id)
    assert "**LiteRT** is not among the files. Its file is damaged" in page.error[0].value
    assert export_url(job_id, "model.tflite") not in {str(link.url) for link in page.get("link_button")}
    assert not page.button(key="make-again").disabled


def test_the_page_says_which_pictures_leave_and_how_large_all_of_it_is(make_finished) -> None:
    finished = make_finished()
    job_id = finished.add_export(finished.add_run(), LITERT)
    (export_dir(job_id, finished.home) / "backbone.keras").write_bytes(bytes(2_000_000))
    page = open_step("export", finished.project_id)
    assert "takes up to 5 pictures of your data set along" in all_text(page)
    assert "deleted since" not in all_text(page)
    links = {str(link.url): link.label for link in page.get("link_button")}
    assert links[export_url(job_id, "model.zip")] == "Download all (ZIP, 15.0 MB)"
    kept = replace(finished.dataset, items=finished.dataset.items[3:])
    commit_version(finished.engine, finished.project_id, kept, "less", parent=finished.version, home=finished.home)
    page = open_step("export", finished.project_id)
    assert "3 pictures of this model were deleted since" in all_text(page)


def test_the_card_beside_older_files_tells_their_temperature(make_finished) -> None:
    finished = make_finished()
    run_id = finished.add_run()
    finished.add_export(run_id, LITERT)

    def card() -> str:
        page = open_step("export", finished.project_id)
        return next(text.value for text in page.markdown if "Model card" in text.value)

    before = card()
    change_model_settings(finished.engine, finished.project_id, run_id, lambda _: ModelSettings(2.5))
    assert card() == before


def test_accuracy_is_shown_when_the_exam_is_open(make_finished) -> None:
    finished = make_finished()
    run_id = finished.add_run()
    finished.add_export(run_id, LITERT, INT8)
    open_exam(finished.engine, finished.project_id, run_id, finished.version)
    page = open_step("export", finished.project_id)
    assert list(table_with(page.table, "Accuracy")["Accuracy"]) == ["90 %", "88 %"]
    assert "35 of 40 right (87.5 %)" in str(page.get("plotly_chart")[0].proto.alt)


def test_a_calibration_makes_the_files_old_and_a_threshold_does_not(make_finished) -> None:
    finished = make_finished()
    run_id = finished.add_run()
    finished.add_export(run_id, LITERT)
    set_to = partial(change_model_settings, finished.engine, finished.project_id, run_id)
    set_to(lambda _: ModelSettings(1.0, 0.5))
    page = open_step("export", finished.project_id)
    assert not page.warning
    assert page.button(key="make-again").disabled
    set_to(lambda _: ModelSettings(1.5, 0.5))
    page = open_step("export", finished.project_id)
    assert "You have calibrated this model since" in page.warning[0].value
    assert not page.button(key="make-again").disabled


def test_files_that_are_gone_can_be_made_again(make_finished) -> None:
    finished = make_finished()
    run_id = finished.add_run()
    shutil.rmtree(export_dir(finished.add_export(run_id, LITERT, SAVED), finished.home))
    page = open_step("export", finished.project_id)
    assert "they are in no backup" in page.info[0].value
    assert not page.button(key="make").disabled
    assert page.checkbox(key=f"format-{run_id}-savedmodel").value  # as it was chosen before


def test_a_job_that_failed_says_why(make_finished) -> None:
    finished = make_finished()
    run_id = finished.add_run()
    job_id = create_job(finished.engine, "export", finished.project_id, ExportRequest(run_id, ("onnx",)))
    job = claim_job(finished.engine, "export")
    assert job is not None
    end_job(finished.engine, job_id, job.attempt, "failed", "The disk is full. Make room, then start again.")
    page = open_step("export", finished.project_id)
    assert "The disk is full" in page.error[0].value
    assert not page.button(key="make").disabled


def test_what_is_typed_stands_in_the_card_as_it_was_typed(make_finished) -> None:
    finished = make_finished()
    run_id = finished.add_run()
    page = open_step("export", finished.project_id)
    typed = "For *our* garden <b>only</b>\n# not mushrooms"
    page.text_area(key=f"card-{run_id}-purpose").input(typed).run()
    assert read_card_words(finished.engine, finished.project_id, run_id) == CardWords(purpose=typed)
    card = next(text.value for text in page.markdown if "Model card" in text.value)
    assert "<b>" not in card
    assert not [line for line in card.splitlines() if line.startswith("# ")]
    page = open_step("export", finished.project_id)
    assert page.text_area(key=f"card-{run_id}-purpose").value == typed


def test_the_lock_of_downloads_holds_the_files_too(make_finished, get: Get) -> None:
    finished = make_finished(OWNER)
    run_id = finished.add_run()
    job_id = finished.add_export(run_id, LITERT)
    assert get(export_url(job_id, "model.tflite")).status == 200
    change_class_settings(finished.engine, lambda settings: replace(settings, locked=("download",)))
    assert get(export_url(job_id, "model.tflite")).status == 404
    with pytest.raises(LockedError):
        check_job(finished.engine, "export")


def test_single_files_and_folders_leave_and_nothing_else(make_finished, get: Get) -> None:
    finished = make_finished(OWNER)
    job_id = finished.add_export(finished.add_run(), LITERT, SAVED, NO_ONNX)
    content = b"litert".ljust(1000, b".").ljust(LITERT.size, b"\0")
    assert get(export_url(job_id, "model.tflite")) == Answered(200, content, 'attachment; filename="model.tflite"')
    with zipfile.ZipFile(io.BytesIO(get(export_url(job_id, "saved_model.zip")).content)) as archive:
        assert archive.namelist() == ["saved_model/saved_model.pb"]
        assert archive.testzip() is None
    for file in ("model.onnx", "saved_model", "..%2F..%2Flab.sqlite", "model-int8.tflite"):
        assert get(export_url(job_id, file)).status == 404
    with zipfile.ZipFile(io.BytesIO(get(export_url(job_id, "pictures.zip")).content)) as archive:
        assert archive.testzip() is None
        assert sum(name.endswith((".png", ".jpg", ".jpeg")) for name in archive.namelist()) == 80
    missing = get(export_url("nothing", "model.tflite"))
    for cookie in (cookie_of("x" * 24), None):
        assert get(export_url(job_id, "model.tflite"), cookie) == missing
        assert get(export_url(job_id, "pictures.zip"), cookie) == missing
        assert get(export_url(job_id, "model.zip"), cookie) == missing


def test_the_bundle_is_streamed_with_card_and_readme(make_finished, get: Get) -> None:
    finished = make_finished(OWNER)
    job_id = finished.add_export(finished.add_run(), LITERT, SAVED)
    answer = get(export_url(job_id, "model.zip"))
    assert (answer.status, answer.disposition) == (200, 'attachment; filename="model.zip"')
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        names = set(archive.namelist())
        assert archive.read("model.tflite") == b"litert".ljust(1000, b".").ljust(LITERT.size, b"\0")
    assert {"README.txt", "labels.txt", "model.json", "MODEL_CARD.md", "saved_model/saved_model.pb"} <= names


def test_a_picture_that_was_deleted_since_leaves_with_nobody_and_the_figures_stay(make_finished, get: Get) -> None:
    finished = make_finished("f" * 24)
    training = replace(finished.dataset.items[0], split="train"), replace(finished.dataset.items[2], split="train")
    dataset = replace(finished.dataset, items=(*training, finished.dataset.items[1], *finished.dataset.items[3:]))
    commit = partial(commit_version, finished.engine, finished.project_id, home=finished.home)
    version = commit(dataset, "with training pictures", parent=finished.version)
    job_id = finished.add_export(replace(finished, version=version).add_run(), LITERT)
    open_share(finished.engine, create_share(finished.engine, finished.project_id, "look").code, OWNER)
    owners = cookie_of("f" * 24)
    whole = bundle_of(get(export_url(job_id, "model.zip")))
    kept = replace(dataset, items=tuple(item for item in dataset.items[1:] if item.split != "test"))
    commit(kept, "less", parent=version)
    for cookie in (owners, None):
        asked = (cookie,) if cookie else ()
        bundle = bundle_of(get(export_url(job_id, "model.zip"), *asked))
        listed = bundle["code/pictures.csv"].decode().splitlines()
        assert len(listed) == 1 + len(kept.items)
        # The exam is as closed as before, and the card tells what the model really learned from.
        assert bundle["model.json"] == whole["model.json"]
        [numbers] = [line for line in whole["MODEL_CARD.md"].splitlines() if line.startswith(b"| All |")]
        assert numbers in bundle["MODEL_CARD.md"]
        assert "is the exam, which was not opened yet" in bundle["MODEL_CARD.md"].decode()
    pictures = [name for name in bundle_of(get(export_url(job_id, "pictures.zip"), owners)) if "/" in name]
    assert len(pictures) == len(kept.items)
    assert not any(name.startswith("test/") for name in pictures)


def test_pictures_that_cannot_be_read_are_left_out_of_the_zip_file_of_pictures(make_finished, get: Get) -> None:
    finished = make_finished(OWNER)
    job_id = finished.add_export(finished.add_run(), LITERT)
    ImageStore(finished.home).path(finished.dataset.items[-1].image).unlink()
    pictures = bundle_of(get(export_url(job_id, "pictures.zip")))
    assert len([name for name in pictures if "/" in name]) == 79


def bundle_of(answer: Answered) -> dict[str, bytes]:
    """Return what a ZIP file holds."""
    assert answer.status == 200, answer.content
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def test_a_download_goes_on_when_its_files_are_deleted(tmp_path: Path) -> None:
    files = [tmp_path / "large.bin", tmp_path / "small.txt"]
    for file, size in zip(files, (3 * BLOCK_BYTES, 10), strict=True):
        file.write_bytes(b"x" * size)
    blocks = held_zip_blocks([*(Entry(file.name, file) for file in files), Entry("text.txt", b"text")])
    first = next(blocks)
    for file in files:
        file.unlink()
    with zipfile.ZipFile(io.BytesIO(first + b"".join(blocks))) as archive:
        assert archive.testzip() is None
        assert [info.file_size for info in archive.infolist()] == [3 * BLOCK_BYTES, 10, 4]
    with pytest.raises(FileNotFoundError):  # now, not with the first byte
        held_zip_blocks([Entry("gone", files[0])])


def test_files_that_cannot_be_opened_are_told_in_words(
    make_finished, get: Get, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished = make_finished(OWNER)
    job_id = finished.add_export(finished.add_run(), LITERT)
    for error, status, words in ((OSError(24, "too many"), 503, b"Try again"), (FileNotFoundError(), 404, b"not here")):
        with monkeypatch.context() as patch:
            patch.setattr("pages.server.downloads._opened", Mock(side_effect=error))
            answer = get(export_url(job_id, "model.zip"))
        assert answer.status == status
        assert words in answer.content


def test_a_guest_downloads_and_makes_nothing(make_finished, get: Get) -> None:
    finished = make_finished("f" * 24)
    run_id = finished.add_run()
    job_id = finished.add_export(run_id, LITERT)
    open_share(finished.engine, create_share(finished.engine, finished.project_id, "look").code, OWNER)
    assert get(export_url(job_id, "model.tflite")).status == 200
    assert get(export_url(job_id, "model.zip")).status == 200
    assert get(export_url(job_id, "pictures.zip")).status == 404
    open_share(finished.engine, create_share(finished.engine, finished.project_id, "look").code, LOCAL_OWNER)
    page = open_step("export", finished.project_id)
    assert page.button(key="make-again").disabled
    assert all(box.disabled for box in page.checkbox)
    assert page.text_area(key=f"card-{run_id}-purpose").disabled


def test_large_files_become_zip64_and_are_read_a_block_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 3_000_000)  # as if 4 GB were 3 MB
    large = tmp_path / "large"
    large.write_bytes(bytes(range(256)) * 20_000)
    blocks = list(zip_blocks([Entry("a/large.bin", large), Entry("small.txt", b"text"), Entry("again.bin", large)]))
    assert max(map(len, blocks)) < 2 * BLOCK_BYTES
    with zipfile.ZipFile(io.BytesIO(b"".join(blocks))) as archive:
        assert archive.testzip() is None
        assert archive.read("a/large.bin") == large.read_bytes()
        assert archive.read("small.txt") == b"text"
        assert archive.getinfo("again.bin").extra  # the fields of ZIP64
