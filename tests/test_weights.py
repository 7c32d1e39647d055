"""Weights are fetched whole or not at all, go on where they stopped, and nothing wrong gets in."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import keras
import numpy as np
import pytest

from tlcore.backbones.keras_models import build_backbone, build_network
from tlcore.backbones.registry import BackboneSpec, get_backbone
from tlcore.backbones.spec import HDF5_SIGNATURE
from tlcore.backbones.weights.status import download_weights, published_weights, require_weights, weights_status
from tlcore.config import RANDOM
from tlcore.downloading import hash_of, megabytes
from tlcore.errors import StorageError, WeightsError
from tlcore.home import DataRoot

CONTENT = HDF5_SIGNATURE + bytes(range(256)) * 8000


@dataclass
class Publisher:
    """A server on loopback and what it was asked."""

    url: str = ""
    content: bytes = CONTENT
    cut_after: list[int] = field(default_factory=list)
    ranges: list[str | None] = field(default_factory=list)
    supports_ranges: bool = True
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Published:
    """A row, the bytes of its file, and the network that it was saved from."""

    spec: BackboneSpec
    content: bytes
    network: keras.Model


@pytest.fixture
def publisher(monkeypatch: pytest.MonkeyPatch) -> Iterator[Publisher]:
    state = Publisher()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            state.ranges.append(wanted)
            start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and state.supports_ranges else 0
            if state.status != 200 or (start and start >= len(state.content)):
                self.send_error(state.status if state.status != 200 else 416)
                return
            body = state.content[start:]
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(body)))
            for name, value in state.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body[: state.cut_after.pop(0)] if state.cut_after else body)

        def log_message(self, *_: object) -> None:
            pass

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}"
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BackboneSpec:
    """VGG16 whose published file is `CONTENT`, with an empty cache of Keras."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    row = get_backbone("vgg16")
    md5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
    return replace(row, weights=replace(row.weights, file_hash=md5, size_bytes=len(CONTENT)))


def at(spec: BackboneSpec, url: str) -> BackboneSpec:
    """The same row, with its weights published elsewhere."""
    return replace(spec, weights=replace(spec.weights, url=f"{url}/{spec.weights.name}"))


def names_in_cache(spec: BackboneSpec) -> list[str]:
    return sorted(path.name for path in published_weights(spec).path.parent.glob("*") if path.suffix != ".lock")


def test_a_download_ends_in_kerass_own_cache_with_progress(spec: BackboneSpec, publisher: Publisher) -> None:
    seen: list[tuple[int, int]] = []
    path = download_weights(
        at(spec, publisher.url),
        progress=lambda done, total: seen.append((done, total)),
    )
    assert path.parent.parts[-2:] == ("keras", "models")
    assert path.read_bytes() == CONTENT
    assert names_in_cache(spec) == [spec.weights.name]
    assert seen[0] == (0, len(CONTENT))
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert seen == sorted(seen)
    assert len(seen) > 4


def test_weights_that_are_there_are_not_fetched_again(spec: BackboneSpec, publisher: Publisher) -> None:
    download_weights(at(spec, publisher.url))
    download_weights(at(spec, publisher.url))
    assert len(publisher.ranges) == 1
    assert weights_status(spec, DataRoot.configured()).state == "ready"
    assert require_weights(spec, DataRoot.configured()) == published_weights(spec).path


def test_a_cut_connection_goes_on_where_it_broke(spec: BackboneSpec, publisher: Publisher) -> None:
    publisher.cut_after = [600_000, 300_000]
    assert download_weights(at(spec, publisher.url)).read_bytes() == CONTENT
    assert publisher.ranges == [None, "bytes=600000-", "bytes=900000-"]


def test_a_download_that_gave_up_goes_on_in_the_next_call(spec: BackboneSpec, publisher: Publisher) -> None:
    publisher.cut_after = [600_000, 0, 0, 0]
    with pytest.raises(WeightsError, match=r"stopped after 0\.6 MB of 2 MB .*it goes on from there"):
        download_weights(at(spec, publisher.url))
    assert names_in_cache(spec) == [spec.weights.name + ".part"]
    assert weights_status(spec, DataRoot.configured()).download_bytes == len(CONTENT) - 600_000
    assert download_weights(at(spec, publisher.url)).read_bytes() == CONTENT
    assert publisher.ranges[-1] == "bytes=600000-"


def test_a_server_that_cannot_resume_sends_everything_again(spec: BackboneSpec, publisher: Publisher) -> None:
    publisher.cut_after = [600_000]
    publisher.supports_ranges = False
    assert download_weights(at(spec, publisher.url)).read_bytes() == CONTENT


def test_a_stopped_download_keeps_what_came(spec: BackboneSpec, publisher: Publisher) -> None:
    def stop_in_the_middle(done: int, _total: int) -> None:
        if done > 500_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download_weights(at(spec, publisher.url), progress=stop_in_the_middle)
    assert not published_weights(spec).path.exists()
    assert published_weights(spec).partial_path.stat().st_size > 500_000
    assert download_weights(at(spec, publisher.url)).read_bytes() == CONTENT


@pytest.mark.parametrize("content", [CONTENT[:-1] + b"x", b"<html>Please log in</html>", b""])
def test_a_wrong_file_is_refused_and_removed(spec: BackboneSpec, publisher: Publisher, content: bytes) -> None:
    publisher.content = content
    with pytest.raises(WeightsError, match="not the published file"):
        download_weights(at(spec, publisher.url))
    assert names_in_cache(spec) == []
    assert weights_status(spec, DataRoot.configured()).state == "download"


def test_a_partial_file_that_is_too_long_is_removed(spec: BackboneSpec, publisher: Publisher) -> None:
    published_weights(spec).partial_path.parent.mkdir(parents=True)
    published_weights(spec).partial_path.write_bytes(CONTENT + b"more")
    with pytest.raises(WeightsError, match="not the published file"):
        download_weights(at(spec, publisher.url))
    assert download_weights(at(spec, publisher.url)).read_bytes() == CONTENT


def test_without_a_published_hash_the_servers_hash_and_the_size_count(spec: BackboneSpec, publisher: Publisher) -> None:
    spec = replace(spec, weights=replace(spec.weights, file_hash=""))
    publisher.headers = {"x-goog-hash": "crc32c=AAAAAA==,md5=AAAAAAAAAAAAAAAAAAAAAA=="}
    with pytest.raises(WeightsError, match="not the published file"):
        download_weights(at(spec, publisher.url))
    publisher.headers = {}
    publisher.content = CONTENT + b"more"
    with pytest.raises(WeightsError, match="not the published file"):
        download_weights(at(spec, publisher.url))
    publisher.content = CONTENT
    assert download_weights(at(spec, publisher.url)).read_bytes() == CONTENT


def test_without_a_network_nothing_is_left_and_the_way_on_is_said(spec: BackboneSpec, publisher: Publisher) -> None:
    with pytest.raises(WeightsError, match=r"could not be downloaded.*ready offline"):
        download_weights(at(spec, "http://127.0.0.1:9"))
    assert names_in_cache(spec) == []


def test_a_file_that_the_server_lacks_is_not_asked_for_again(spec: BackboneSpec, publisher: Publisher) -> None:
    publisher.status = 404
    with pytest.raises(WeightsError, match="answered 404"):
        download_weights(at(spec, publisher.url))
    assert len(publisher.ranges) == 1


def test_a_busy_server_is_asked_again(spec: BackboneSpec, publisher: Publisher) -> None:
    publisher.status = 503
    with pytest.raises(WeightsError, match="answered 503"):
        download_weights(at(spec, publisher.url))
    assert len(publisher.ranges) == 3


def test_two_downloads_at_once_fetch_one_file(spec: BackboneSpec, publisher: Publisher) -> None:
    threads = [threading.Thread(target=download_weights, args=(at(spec, publisher.url),)) for _ in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert publisher.ranges == [None]
    assert published_weights(spec).path.read_bytes() == CONTENT


def test_a_folder_that_cannot_be_made_is_said(
    spec: BackboneSpec, publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "file"))
    with pytest.raises(StorageError, match="could not be written"):
        download_weights(at(spec, publisher.url))


def test_a_cut_file_in_the_cache_counts_as_missing(spec: BackboneSpec) -> None:
    published_weights(spec).path.parent.mkdir(parents=True)
    published_weights(spec).path.write_bytes(CONTENT[:1000])
    assert weights_status(spec, DataRoot.configured()).state == "download"


def test_damaged_weights_stop_a_run_with_words(spec: BackboneSpec) -> None:
    published_weights(spec).path.parent.mkdir(parents=True)
    published_weights(spec).path.write_bytes(CONTENT[:-1] + b"x")
    with pytest.raises(WeightsError, match=r"damaged\. Delete this file"):
        require_weights(spec, DataRoot.configured())


def test_damaged_weights_are_replaced_by_the_next_download(spec: BackboneSpec, publisher: Publisher) -> None:
    path = download_weights(at(spec, publisher.url))
    path.write_bytes(CONTENT[:-1] + b"x")
    assert download_weights(at(spec, publisher.url)).read_bytes() == CONTENT


def test_the_default_cache_is_kerass_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KERAS_HOME", raising=False)
    assert published_weights(get_backbone("vgg16")).path.parent == Path.home() / ".keras" / "models"


@pytest.fixture(scope="module", params=["mobilenet_v2_035", "mobilenet_v3_small"])
def published(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Published:
    """A real file of Keras for two rows: one whose publisher gives neither hash nor size, one with both."""
    spec = get_backbone(request.param)
    model = build_network(spec, 32)
    path = tmp_path_factory.mktemp("published") / spec.weights.name
    model.save(path)
    if spec.weights.file_hash:
        weights = replace(spec.weights, file_hash=hash_of(path, "md5"), size_bytes=path.stat().st_size)
        spec = replace(spec, weights=weights)
    return Published(spec, path.read_bytes(), model)


def test_real_weights_arrive_over_a_cut_connection_and_fill_the_network(
    published: Published, publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    half = len(published.content) // 2
    publisher.content, publisher.cut_after = published.content, [half]
    path = download_weights(at(published.spec, publisher.url))
    assert path.read_bytes() == published.content
    assert publisher.ranges == [None, f"bytes={half}-"]
    model = build_backbone(published.spec, 32, DataRoot.configured())
    ours = [values for layer in model.layers[1:] if layer.name != "preprocessing" for values in layer.get_weights()]
    theirs = [values for layer in published.network.layers for values in layer.get_weights()]
    assert len(ours) == len(theirs) > 100
    assert all(map(np.array_equal, ours, theirs))


def test_real_weights_with_one_wrong_byte_are_refused_by_their_hash(
    published: Published, publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    middle = len(published.content) // 2
    wrong = bytes([published.content[middle] ^ 1])
    publisher.content = published.content[:middle] + wrong + published.content[middle + 1 :]
    right_md5 = hashlib.md5(published.content, usedforsecurity=False).digest()
    publisher.headers = {"x-goog-hash": f"md5={base64.b64encode(right_md5).decode()}"}
    with pytest.raises(WeightsError, match="not the published file"):
        download_weights(at(published.spec, publisher.url))
    assert names_in_cache(published.spec) == []


def test_without_a_network_real_weights_are_said_to_be_missing(
    published: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    with pytest.raises(WeightsError, match=r"could not be downloaded.*ready offline"):
        download_weights(at(published.spec, "http://127.0.0.1:9"))
    with pytest.raises(WeightsError, match="are not on this computer"):
        build_backbone(published.spec, 32, DataRoot.configured())


def test_random_weights_need_no_file(spec: BackboneSpec) -> None:
    status = weights_status(spec, weights=RANDOM, home=DataRoot.configured())
    assert (status.state, status.download_bytes, status.path) == ("ready", 0, None)
    assert require_weights(spec, weights=RANDOM, home=DataRoot.configured()) is None


def test_sizes_are_read_in_megabytes() -> None:
    assert [megabytes(size) for size in (58_889_256, 9_406_464, 300_000)] == ["59 MB", "9 MB", "0.3 MB"]


def test_the_light_modules_load_no_tensorflow() -> None:
    code = (
        "import sys, tlcore.backbones.registry, tlcore.backbones.weights.status;"
        "import tlcore.backbones.weights.brought;"
        "sys.exit(bool({'keras', 'tensorflow'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
