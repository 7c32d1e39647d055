"""Export, and the route of its downloads, on a run made by the storage functions."""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace

import pytest

from pages.components.state import LOCAL_OWNER
from pages.server.downloads import download_url
from tests.download_server import Answered, Get
from tests.finished_runs import MODEL_BYTES, OWNER, all_text, open_step
from tests.signing import cookie_of
from tlcore.config import ModelConfig
from tlcore.results.prediction_code import OLDEST_KERAS, prediction_code
from tlcore.storage.datasets import commit_version


def test_export_names_sizes_settings_and_code(make_finished) -> None:
    finished = make_finished()
    run_id = finished.add_run()
    page = open_step("export", finished.project_id)
    links = {link.url: link.label for link in page.get("link_button")}
    assert links[download_url(run_id, "model.keras")] == "model.keras (3.0 MB)"
    assert "Download all (ZIP, 3.0 MB)" in links.values()
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
