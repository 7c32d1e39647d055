"""Programs and the web page that leave with a model: run as a person would, they answer as the app does."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from tests.browser import PageWatch, open_browser, open_context
from tests.test_export_graph import PHOTOS, SMALL, make_run, source_of
from tlcore.export.converting import convert
from tlcore.export.entries import Entry
from tlcore.export.formats import FORMATS
from tlcore.export.graph import build_any_size, build_square
from tlcore.export.snippets import Snippet, snippets_for
from tlcore.export.source import ExportSource
from tlcore.export.web import PAGE_FILES, web_entries
from tlcore.home import DataRoot
from tlcore.intake.pictures import pixels
from tlcore.results.calibration import calibrated
from tlcore.results.prediction import load_predictor
from tlcore.results.prediction_code import LABELS_FILE, PIXELS_FILE
from tlcore.storage.requests import ExportResult, FormatName, FormatReport

PICTURE = "picture.jpg"
NAMES = ("cat", "<img src=x onerror=alert(1)>", "Fisch & Co")
TEMPERATURE = 1.5
FORMATS_MADE: tuple[FormatName, ...] = ("keras", "savedmodel", "litert", "litert-int8", "onnx")
INSTALL_SECONDS = 120


@dataclass(frozen=True)
class Bundle:
    """An unpacked bundle with a picture in it, and the app's answer to that picture."""

    folder: Path
    source: ExportSource
    result: ExportResult
    answer: tuple[float, ...]


def result_of(source: ExportSource, *reports: FormatReport) -> ExportResult:
    return ExportResult("", source.settings, 0, 0, 1.0, "", reports)


def with_threshold(source: ExportSource, threshold: float) -> ExportSource:
    """A model whose threshold was changed after its files were made."""
    return replace(source, settings=replace(source.settings, threshold=threshold))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("bundle")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("tlcore.features.engines.TRIAL_SECONDS", 0.01)
        home = DataRoot(tmp_path_factory.mktemp("home"))
        part = make_run(home.path / "run", SMALL, home, sureness=5)
        predictor = load_predictor(part.folder, home)
        source = source_of((replace(part, spec=replace(part.spec, class_names=NAMES)),), TEMPERATURE)
        Image.fromarray(PHOTOS[0]).save(folder / PICTURE, quality=95)
        square = pixels.read_square(folder / PICTURE, SMALL.image_size, SMALL.resize_mode)
        answer = calibrated(predictor, TEMPERATURE).predict([square])[0]
        for name in FORMATS_MADE:
            model = (build_any_size if FORMATS[name].takes_any_size else build_square)(source, home)
            convert(model, name, folder, [square])
    (folder / LABELS_FILE).write_text("\n".join(NAMES) + "\n", encoding="utf-8")
    shutil.copyfile(pixels.__file__, folder / PIXELS_FILE)
    result = result_of(source, *(FormatReport(name, size=1) for name in FORMATS_MADE))
    for entry in web_entries(source, result):
        write(entry, folder)
    keras.utils.clear_session()
    return Bundle(folder, source, result, tuple(map(float, answer)))


def write(entry: Entry, folder: Path) -> None:
    path = folder / entry.name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(entry.content.read_bytes() if isinstance(entry.content, Path) else entry.content)


def snippet_of(bundle: Bundle, title: str, threshold: float = 0.0) -> Snippet:
    source = with_threshold(bundle.source, threshold)
    return next(one for one in snippets_for(source, bundle.result) if one.title == title)


def run_python(bundle: Bundle, title: str, threshold: float = 0.0) -> str:
    code = snippet_of(bundle, title, threshold).code
    command = [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, '.')\n{code}"]
    done = subprocess.run(command, cwd=bundle.folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("title", "tolerance"),
    [
        ("Python with Keras", 0.002),
        ("Python with TensorFlow", 0.002),
        ("Python with LiteRT", 0.002),
        ("Python with LiteRT, 8-bit integers", 0.05),  # it was calibrated on one picture
        ("Python with ONNX Runtime", 0.002),
    ],
)
def test_a_program_in_python_answers_as_the_app(title: str, tolerance: float, bundle: Bundle) -> None:
    lines = dict(reversed(line.strip().split("% ", 1)) for line in run_python(bundle, title).splitlines())
    assert list(map(float, lines.values())) == sorted(map(float, lines.values()), reverse=True)
    said = [float(lines[name]) / 100 for name in NAMES]
    np.testing.assert_allclose(said, bundle.answer, atol=tolerance)
    assert 0.4 < max(bundle.answer) < 0.99  # an answer that could be otherwise


def test_programs_say_that_the_model_does_not_know(bundle: Bundle) -> None:
    assert run_python(bundle, "Python with LiteRT", 0.9999).startswith("I don't know\n")
    for snippet in snippets_for(with_threshold(bundle.source, 0.65), bundle.result):
        assert "I don't know" in snippet.code
        assert "0.65" in snippet.code or "classifier.threshold" in snippet.code
    for snippet in snippets_for(bundle.source, bundle.result):
        assert "I don't know" not in snippet.code or "classifier.threshold" in snippet.code


def test_programs_are_those_of_the_formats_that_were_made(bundle: Bundle) -> None:
    failed = FormatReport("onnx", problem="no converter")
    titles = [one.title for one in snippets_for(bundle.source, result_of(bundle.source, failed))]
    assert titles == []
    half = FormatReport("litert-float16", size=1)
    codes = [one.code for one in snippets_for(bundle.source, result_of(bundle.source, half, failed))]
    assert len(codes) == 4
    assert all("model-float16" in code for code in codes[:3])
    deep = replace(bundle.source, dataset=replace(bundle.source.dataset, grey_range=(0.0, 4095.0)))
    assert "(0.0, 4095.0)" in snippets_for(deep, bundle.result)[0].code


def test_programs_in_javascript_can_be_read_by_node(bundle: Bundle, tmp_path: Path) -> None:
    node = needed_command("node")
    for number, snippet in enumerate(snippets_for(bundle.source, bundle.result)):
        if snippet.language == "javascript":
            path = tmp_path / f"{number}.mjs"
            path.write_text(snippet.code, encoding="utf-8")
            subprocess.run([node, "--check", str(path)], check=True, timeout=60)


def test_the_page_takes_a_file_without_a_warning_and_is_not_there_without_one(bundle: Bundle) -> None:
    def model(*reports: FormatReport) -> str | None:
        entries = {
            entry.name: entry.content for entry in web_entries(bundle.source, result_of(bundle.source, *reports))
        }
        if not entries:
            return None
        assert set(entries) == {f"web/{name}" for name in ("settings.json", "README.txt", *PAGE_FILES)}
        content = entries["web/settings.json"]
        assert isinstance(content, bytes)
        return str(json.loads(content)["model"])

    assert model(FormatReport("onnx", size=1), FormatReport("litert-int8", size=1)) is None
    assert model(FormatReport("litert", problem="no converter")) is None
    whole, half = FormatReport("litert", size=1), FormatReport("litert-float16", size=1)
    assert model(half, whole) == "../model.tflite"
    assert model(replace(whole, warning="differs"), half) == "../model-float16.tflite"
    assert model(replace(whole, warning="differs")) == "../model.tflite"


@pytest.mark.slow
def test_the_page_answers_in_a_browser_as_the_app(bundle: Bundle) -> None:
    web = bundle.folder / "web"
    npm = needed_command("npm")
    options = ["--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error"]
    done = subprocess.run([npm, "install", *options], cwd=web, capture_output=True, text=True, timeout=INSTALL_SECONDS)
    if done.returncode != 0:
        pytest.skip(f"npm's registry cannot be reached: {done.stderr[-300:]}")
    try:
        with serving_page(web) as address, open_browser() as browser:
            context = open_context(browser, width=390)
            watch, page = PageWatch(context, address), context.new_page()
            page.goto(address)
            page.get_by_text("Choose a picture or start the camera.").wait_for()
            assert page.get_by_role("heading").inner_text() == bundle.source.title
            page.set_input_files("#file", bundle.folder / PICTURE)
            rows = page.locator("#answers li[data-probability]")
            rows.first.wait_for()
            said = [float(row.get_attribute("data-probability") or "nan") for row in rows.all()]
            np.testing.assert_allclose(said, bundle.answer, atol=0.02)
            assert page.locator("#answers .name").all_inner_texts() == list(NAMES)
            assert page.get_by_role("status").inner_text() == NAMES[int(np.argmax(bundle.answer))]

            shown = page.locator("#answers").inner_text()
            page.get_by_role("button", name="Start the camera").click()
            page.get_by_role("button", name="Stop the camera").wait_for()
            page.wait_for_function("before => document.querySelector('#answers').innerText !== before", arg=shown)
            page.get_by_role("button", name="Stop the camera").click()
            page.get_by_role("button", name="Start the camera").wait_for()
            page.set_input_files("#file", {"name": "a.png", "mimeType": "image/png", "buffer": b"no picture"})
            page.get_by_text("This file is no picture").wait_for()

            settings = json.loads((web / "settings.json").read_text("utf-8"))
            (web / "settings.json").write_text(json.dumps({**settings, "threshold": 0.9999}), encoding="utf-8")
            page.reload()
            page.get_by_text("Choose a picture or start the camera.").wait_for()
            page.set_input_files("#file", bundle.folder / PICTURE)
            page.get_by_text("I don’t know").wait_for()
            assert not watch.foreign_requests
            # What the runtime says of itself goes to the console as errors.
            assert not [words for words in watch.complaints if not re.match(r"(INFO|WARNING): ", words)]
            assert page.request.get(f"{address}/{LABELS_FILE}").status == 404
            assert page.request.get(f"{address}/web/..%2f{LABELS_FILE}").status == 404
    except LookupError as error:
        pytest.skip(str(error))


@contextmanager
def serving_page(web: Path) -> Iterator[str]:
    """Serve the page as `npm start` does, on a free port."""
    process = subprocess.Popen(
        [needed_command("node"), "serve.mjs"],
        cwd=web,
        env={**os.environ, "PORT": "0"},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        found = re.search(r":(\d+) ", process.stdout.readline())
        assert found is not None
        yield f"http://127.0.0.1:{found[1]}"
    finally:
        process.terminate()
        process.wait(10)


def needed_command(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path
