"""What files that leave say of themselves: warnings, deep pictures, speed, and what does not go along."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import tokenize
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.exportable import result_of
from tests.test_card import source_of
from tlcore.export.bundle import bundle_entries
from tlcore.export.certificates import certificate_words, speed_words
from tlcore.export.examples import Example, write_examples
from tlcore.export.readme import bundle_readme
from tlcore.export.snippets import snippets_for
from tlcore.export.web import PAGE_FILES, web_entries
from tlcore.home import DataRoot
from tlcore.storage.card_words import CardWords
from tlcore.storage.requests import FormatName, FormatReport

HOSTILE = 'Of "coding: unicode_escape" it answers\nall in another way.'


def failed(name: FormatName) -> FormatReport:
    return FormatReport(name, 1000, 30, 20, 21, 0.6, 1.5, warning=HOSTILE)


def test_programs_begin_with_the_warning_of_their_file_and_with_nothing_typed(tmp_path: Path) -> None:
    source = source_of(tmp_path)
    names: tuple[FormatName, ...] = ("keras", "savedmodel", "litert", "litert-int8", "onnx")
    snippets = snippets_for(source, result_of(*map(failed, names)))
    assert len(snippets) == 9
    for snippet in snippets:
        mark = "# " if snippet.language == "python" else "// "
        assert snippet.code.startswith(f"{mark}WARNING: ")
        assert "21 of 30" in snippet.code.splitlines()[0]
        assert "coding" not in snippet.code.partition("import")[0]
        if snippet.language == "python":
            assert tokenize.detect_encoding(io.BytesIO(snippet.code.encode()).readline)[0] == "utf-8"
    whole = replace(failed("onnx"), warning="")
    assert not any("WARNING" in one.code for one in snippets_for(source, result_of(whole)))


def test_programs_for_telephones_take_the_file_that_holds(tmp_path: Path) -> None:
    half = replace(failed("litert-float16"), warning="")
    codes = [one.code for one in snippets_for(source_of(tmp_path), result_of(failed("litert"), half))]
    assert ["model-float16" in code for code in codes] == [False, True, True, True, False]
    assert "WARNING" not in "".join(codes[1:])


def test_the_web_page_says_its_warning(tmp_path: Path) -> None:
    source = source_of(tmp_path)
    entries = {one.name: one.content for one in web_entries(source, result_of(failed("litert")))}
    assert isinstance(readme := entries["web/README.txt"], bytes)
    assert isinstance(settings := entries["web/settings.json"], bytes)
    assert "Warning: Of" in readme.decode()
    assert json.loads(settings)["notes"] == [f"Warning: {HOSTILE}"]
    assert set(entries) == {f"web/{name}" for name in (*PAGE_FILES, "README.txt", "settings.json")}


def test_programs_that_read_eight_bits_say_so_to_a_model_of_deeper_pictures(tmp_path: Path) -> None:
    reports = [replace(failed(name), warning="") for name in ("litert", "onnx")]
    deep, plain = source_of(tmp_path, grey_range=(0.0, 4095.0)), source_of(tmp_path)
    for snippet in snippets_for(deep, result_of(*reports)):
        said = "of which 0 became black and 4095 white" in snippet.code
        assert said == (snippet.language != "python"), snippet.title
        assert said or "4095" in snippet.code
    entries = {one.name: one.content for one in web_entries(deep, result_of(*reports))}
    assert isinstance(settings := entries["web/settings.json"], bytes)
    assert json.loads(settings)["greyRange"] == [0, 4095]
    for name in ("web/settings.json", "web/README.txt"):
        assert isinstance(content := entries[name], bytes)
        assert "4095 white" in " ".join(content.decode().split())
    assert not any("more than 8 bits" in one.code for one in snippets_for(plain, result_of(*reports)))


def test_the_web_page_knows_the_files_that_a_browser_reads_otherwise(tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node.js is not installed.")
    grey = np.arange(64, dtype=np.uint16).reshape(8, 8) * 900
    Image.fromarray(grey).save(tmp_path / "deep.png")
    Image.fromarray((grey >> 8).astype(np.uint8)).save(tmp_path / "grey.png")
    Image.fromarray((grey >> 8).astype(np.uint8)).save(tmp_path / "photo.jpg")
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "depth.mjs").write_bytes((Path(web_entries.__code__.co_filename).parent / "depth.js").read_bytes())
    program = (
        'import { isDeepGrey } from "./depth.mjs"; import { readFileSync } from "node:fs";\n'
        'const files = ["deep.png", "grey.png", "photo.jpg", "empty.png"];\n'
        "const found = files.map((name) => isDeepGrey(new Blob([readFileSync(name)])));\n"
        "console.log(JSON.stringify(await Promise.all(found)));\n"
    )
    (tmp_path / "ask.mjs").write_text(program, "utf-8")
    done = subprocess.run([node, "ask.mjs"], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(done.stdout) == [True, False, False, False]


def timed(name: FormatName, milliseconds: float) -> FormatReport:
    return FormatReport(name, 1000, 30, 28, 30, 0.01, milliseconds)


@pytest.mark.parametrize(
    ("reports", "words"),
    [
        ((timed("litert", 2.7), timed("litert-int8", 1.5)), "1.8 times as fast as LiteRT on this processor."),
        ((timed("litert", 1.5), timed("litert-int8", 1.5)), "is not faster than LiteRT on this processor."),
        ((timed("litert", 1.5), timed("litert-int8", 9.7)), "is not faster than LiteRT on this processor."),
        ((timed("litert-float16", 3.0), timed("litert-int8", 1.5)), "2.0 times as fast as LiteRT, half precision"),
        ((timed("litert-int8", 1.5), timed("onnx", 3.0)), ""),
        ((timed("litert", 2.7), timed("litert-int8", 0.0)), ""),
        ((timed("litert", 2.7), FormatReport("litert-int8", problem="none")), ""),
    ],
)
def test_whether_whole_numbers_are_faster_is_said(
    reports: tuple[FormatReport, ...], words: str, tmp_path: Path
) -> None:
    result = result_of(*reports)
    assert words in speed_words(result)
    assert bool(words) == bool(speed_words(result))
    text = certificate_words(source_of(tmp_path), result, with_accuracy=False)
    assert speed_words(result) in text
    assert "for one picture of 64 × 64 pixels" in text
    assert text == text.strip()


def test_without_pictures_nothing_is_said_of_answers(tmp_path: Path) -> None:
    result = result_of(FormatReport("litert", 1000), total=0, correct=0)
    text = certificate_words(source_of(tmp_path), result, with_accuracy=True)
    assert text == "There was no picture to ask about, so nothing is known of how the files answer."


def test_a_readme_says_what_failed_and_what_is_missing_without_hidden_characters(tmp_path: Path) -> None:
    result = result_of(failed("litert"), FormatReport("onnx", problem="No\u202e converter."))
    text = bundle_readme(source_of(tmp_path), result, ["README.txt"], exam_opened=False, missing=["There is no code."])
    assert "WARNING, model.tflite: Of" in text
    assert "ONNX does not come along: No\ufffd converter." in text
    assert "There is no code." in text
    assert "Right answers" not in text
    validation = bundle_readme(source_of(tmp_path), replace(result, split="validation"), [], exam_opened=False)
    assert "Right answers" in validation


def test_pictures_that_could_not_be_read_are_counted(tmp_path: Path) -> None:
    result = replace(result_of(timed("litert", 1.5)), unreadable=2)
    assert "2 more pictures could not be read." in certificate_words(source_of(tmp_path), result, with_accuracy=False)


def test_a_bundle_says_why_it_has_no_examples_and_no_code(tmp_path: Path) -> None:
    def readme(present: set[str] | None = None) -> str:
        entries = bundle_entries(
            source_of(tmp_path),
            result_of(timed("litert", 1.5)),
            tmp_path,
            CardWords(),
            DataRoot(tmp_path / "home"),
            exam_opened=False,
            present=present,
        )
        text = next(entries).content
        assert isinstance(text, bytes)
        return " ".join(text.decode().split())

    assert "There are no examples and no self test: none were kept" in readme()
    assert "There is no folder code, with which to train it again: None of the pictures" in readme()
    example = Example("a" * 64, np.zeros((4, 4, 3), np.uint8), "cat", np.array([0.2, 0.5, 0.3], np.float32))
    write_examples([example], {"litert": example.probabilities[None]}, tmp_path)
    assert "no self test" not in readme()
    assert "no self test: their pictures were deleted since" in readme(set())
    assert "66 of the 66 pictures of its data set were deleted since" in readme(set())
