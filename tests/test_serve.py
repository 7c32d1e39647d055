"""The prediction service, as a process of its own: right answers, and words for everything that is no picture."""

from __future__ import annotations

import json
import re
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.awkward_pictures import shared
from tests.coloured_pictures import picture, png
from tests.ready_bundle import NAMES, SIDE, TITLE, expected, manifest, model_files, write_bundle
from tests.service import Service, form, refused, serving_model
from tlcore.jobs.processes import ROOT_DIR
from tlcore.storage.requests import FormatName

PLAIN = np.full((40, 60, 3), (250, 20, 30), np.uint8)
RED = png(PLAIN)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[FormatName, Path]:
    return dict(model_files(tmp_path_factory.mktemp("formats")))


@pytest.fixture(scope="module")
def bundle(files: dict[FormatName, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("bundle") / "model.zip", files)


@pytest.fixture(scope="module")
def service(bundle: Path) -> Iterator[Service]:
    with serving_model(bundle, "--max-mb", "1", "--max-at-once", "4", "--max-seconds", "1") as started:
        yield started


def problem(answered: tuple[int, dict[str, str], bytes]) -> str:
    status, headers, body = answered
    assert status >= 400
    assert headers["content-type"] == "application/json"
    (words,) = json.loads(body).values()
    assert str(ROOT_DIR) not in words
    assert "/tmp" not in words
    return str(words)


def test_a_picture_is_answered_as_bytes_and_as_a_form(service: Service) -> None:
    for name in NAMES:
        pixels = picture(name, 5, width=48, height=48)
        probabilities = expected(pixels.mean((0, 1)))
        for sent in ((png(pixels), "image/png"), (png(pixels), "application/octet-stream"), form(png(pixels))):
            status, answer = service.predict(*sent)
            assert status == 200, answer
            assert answer["class"] == name
            assert answer["known"] is True
            assert answer["threshold"] == 0.5
            assert answer["probability"] == pytest.approx(probabilities.max(), abs=0.01)
            values = [answer["probabilities"][one] for one in NAMES]
            assert values == pytest.approx(probabilities, abs=0.01)
            assert list(answer["probabilities"].values()) == sorted(values, reverse=True)


def test_it_does_not_know_below_the_threshold_and_says_as_many_classes_as_asked(service: Service) -> None:
    grey = png(np.full((30, 30, 3), (130, 120, 110), np.uint8))
    status, answer = service.predict(grey, "image/png", "?top=2")
    assert status == 200
    assert answer["class"] is None
    assert answer["known"] is False
    assert list(answer["probabilities"]) == ["red", "green"]
    assert "whole number" in problem(service.ask("/predict?top=0", grey))


def test_the_pages_need_nobody_else(service: Service) -> None:
    for path in ("/", "/docs"):
        status, headers, body = service.ask(path)
        page = body.decode()
        assert status == 200
        assert "&lt;b&gt;of" in page  # the title is text
        assert TITLE not in page
        assert "<script" not in page
        assert re.findall(r'(?:src|href|action)="([^"]*)"', page)
        assert all(link.startswith(("/", "data:")) for link in re.findall(r'(?:src|href|action)="([^"]*)"', page))
        assert set(re.findall(r"https?://([\w.]+)", page)) <= {"ADDRESS"}
        assert headers["content-security-policy"].startswith("default-src 'none'")
    status, _, body = service.ask("/openapi.json")
    described = json.loads(body)
    assert status == 200
    assert set(described["paths"]) == {"/predict", "/health"}
    assert set(described["paths"]["/predict"]["post"]["requestBody"]["content"]) == {
        *("multipart/form-data", "image/*", "application/octet-stream")
    }
    docs = service.ask("/docs")[2].decode()
    for said in ("POST /predict", "GET /health", "?top=", "probabilities", "413", "503"):
        assert said in docs


def test_the_front_page_tries_a_picture(service: Service) -> None:
    status, _, body = service.ask("/", *form(RED))
    assert status == 200
    assert f"red ({100 * expected(PLAIN.mean((0, 1))).max():.1f} %)" in body.decode()
    grey = png(np.full((30, 30, 3), (130, 120, 110), np.uint8))
    assert "I don’t know. The best guess, red, has" in service.ask("/", *form(grey))[2].decode()
    status, headers, body = service.ask("/", *form(b"no picture"))
    assert status == 422
    assert headers["content-type"].startswith("text/html")
    assert 'role="alert"' in body.decode()


def test_health(service: Service) -> None:
    status, _, body = service.ask("/health")
    assert status == 200
    said = json.loads(body)
    assert said == {"status": "ok", "model": TITLE, "format": "LiteRT", "classes": list(NAMES), "threshold": 0.5}


def test_what_is_no_picture_is_refused_in_words(service: Service) -> None:
    assert "not a picture" in problem(service.ask("/predict", b"hello, I am a text", "image/png"))
    assert "empty" in problem(service.ask("/predict", b"", "image/png"))
    assert "damaged" in problem(service.ask("/predict", RED[:60], "image/png"))
    assert "Content-Type: image/jpeg" in problem(service.ask("/predict", RED, "text/plain"))
    assert "no picture in this form" in problem(service.ask("/predict", *form(RED, field_name="other")))
    assert "several requests" in problem(service.ask("/predict", *form(RED, RED)))
    assert "cannot be read" in problem(service.ask("/predict", RED, "multipart/form-data"))
    assert "cannot be read" in problem(service.ask("/predict", RED, "multipart/form-data; boundary=edge"))
    assert "nothing at this address" in problem(service.ask("/../model.json"))
    assert "another way" in problem(service.ask("/predict"))
    assert "by that name" in problem(service.ask("/health", Host="foreign.example"))


def test_awkward_and_hostile_files_leave_it_well(service: Service, shared_data: Path) -> None:
    outcomes = {"answered": 0, "refused": 0}
    for name, data in shared(shared_data).items():
        if len(data) > 1_000_000:
            continue
        status, answer = service.predict(data)
        assert status in (200, 422), (name, answer)
        if status == 200:
            outcomes["answered"] += 1
        else:
            outcomes["refused"] += 1
            assert len(answer["problem"]) > 10
    assert min(outcomes.values()) >= 5, outcomes
    assert service.predict(RED, "image/png")[1]["class"] == "red"


def everything(client: socket.socket) -> bytes:
    answer = b""
    while part := client.recv(65536):
        answer += part
    return answer


def test_a_large_picture_gets_its_answer_also_when_all_of_it_is_sent_first(service: Service) -> None:
    """A client of Python sends the whole picture before it reads."""
    for sent in ((bytes(3_000_000), "image/png"), form(bytes(3_000_000))):
        assert "more than 1 MB" in problem(service.ask("/predict", *sent))


def test_too_many_bytes_are_refused_before_they_are_read(service: Service) -> None:
    for head in (b"Content-Length: 50000000000", b"Transfer-Encoding: chunked"):
        with socket.create_connection(("127.0.0.1", service.port), timeout=10) as client:
            client.sendall(
                b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n" + head + b"\r\n\r\n"
            )
            if b"chunked" in head:
                client.sendall(b"100001\r\n" + bytes(0x100001) + b"\r\n")  # and never an end
            answer = everything(client)
        assert answer.startswith(b"HTTP/1.1 413")
        assert b"more than 1 MB" in answer


def test_one_that_sends_too_slowly_is_not_waited_for(service: Service) -> None:
    started = time.monotonic()
    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as client:
        client.sendall(
            b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\nContent-Length: 9\r\n\r\n"
        )
        answer = everything(client)
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"longer than 1 seconds" in answer
    assert time.monotonic() - started < 9


def test_many_threads_get_their_own_answers(service: Service) -> None:
    wrong: list[object] = []

    def ask(name: str) -> None:
        for number in range(5):
            status, answer = service.predict(png(picture(name, number)))
            if status != 200 or answer["class"] != name:
                wrong.append((name, status, answer))

    threads = [threading.Thread(target=ask, args=(name,)) for name in NAMES]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_another_format_answers_and_nothing_is_left_when_it_is_stopped(
    bundle: Path, files: dict[FormatName, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: signal.Signals
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)
    place = tmp_path / "temporary"
    place.mkdir()
    if how == signal.SIGINT:
        served, wanted, note = bundle, "litert-int8", ""
    else:
        said = manifest(warnings={"litert-int8": "It errs more often."})
        served = write_bundle(tmp_path / "int8.zip", {"litert-int8": files["litert-int8"]}, said)
        wanted, note = "onnx", "holds no ONNX; LiteRT, 8-bit integers answers in its place."
    with serving_model(served, "--format", wanted, TMPDIR=str(place)) as service:
        status, answer = service.predict(RED)
        assert (status, answer["class"]) == (200, "red")
        assert json.loads(service.ask("/health")[2])["format"] == "LiteRT, 8-bit integers"
        assert service.stop(how) == 0
        shown = "\n".join(service.said)
        assert note in shown
        assert ("It errs more often." in shown) == bool(note)
        assert "Traceback" not in shown
        assert list(place.iterdir()) == []


def greedy_model(path: Path) -> Path:
    """Write an ONNX model that makes a row of 40 GB of the sides of any picture."""
    from onnx import TensorProto, helper, numpy_helper, save

    def constant(name: str, values: object, kind: type[np.generic]) -> TensorProto:
        return numpy_helper.from_array(np.array(values, kind), name)

    nodes = [
        helper.make_node("Shape", ["pixels"], ["sides"]),
        helper.make_node("ReduceSum", ["sides"], ["sum"], keepdims=1),
        helper.make_node("Mul", ["sum", "many"], ["length"]),
        helper.make_node("ConstantOfShape", ["length"], ["row"]),
        helper.make_node("ReduceMax", ["row"], ["zero"], keepdims=1),
        helper.make_node("Add", ["zero", "third"], ["thirds"]),
        helper.make_node("Unsqueeze", ["thirds", "first"], ["answer"]),
    ]
    known = [
        constant("many", [10_000_000_000 // (1 + SIDE + SIDE + 3)], np.int64),
        constant("third", [1 / 3] * 3, np.float32),
        constant("first", [0], np.int64),
    ]
    pixels = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [1, "height", "width", 3])
    answer = helper.make_tensor_value_info("answer", TensorProto.FLOAT, [1, 3])
    graph = helper.make_graph(nodes, "greedy", [pixels], [answer], known)
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.mark.skipif(sys.platform != "linux", reason="other systems set no such limit")
def test_a_model_that_takes_all_memory_is_stopped(tmp_path: Path) -> None:
    greedy = write_bundle(tmp_path / "greedy.zip", {"onnx": greedy_model(tmp_path / "greedy.onnx")})
    said = refused(greedy, "--max-gb", "1")
    assert "needs more than 1 GB of memory" in said
    assert "Traceback" not in said


def test_what_cannot_be_served_is_said(bundle: Path, tmp_path: Path, service: Service) -> None:
    assert "no file" in refused(tmp_path / "missing.zip")
    assert "may hold code" in refused(bundle, "--format", "keras")
    (tmp_path / "text.zip").write_text("no ZIP")
    said = refused(tmp_path / "text.zip")
    assert "no model that Transfer Lab has exported" in said
    assert "Traceback" not in said
    assert "another port" in refused(bundle, "--port", str(service.port))
