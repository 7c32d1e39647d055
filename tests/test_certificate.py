"""The certificate for HTTPS: for which names, how long, who may read its key, when a new one is made; in a browser."""

from __future__ import annotations

import ssl
import stat
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from websockets.sync.client import connect

from pages.server.asgi import certificate_words
from tests.browser import PageWatch, open_context
from tests.page_tests import ROOT_DIR
from tests.server import serving
from tlcore import certificate
from tlcore.certificate import RENEWED_DAYS, VALID_DAYS, ensure_certificate, fingerprint
from tlcore.errors import StorageError
from tlcore.home import DataRoot
from tlcore.network import HOSTS_VARIABLE

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(autouse=True)
def hosts(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A machine with one name and one address, which a test can change."""

    def change(*addresses: str) -> None:
        monkeypatch.setattr(certificate, "own_addresses", lambda: addresses)

    monkeypatch.setattr(certificate, "own_names", lambda: ("teacher.local", "a name that is none"))
    monkeypatch.setenv(HOSTS_VARIABLE, "lab.school.example")
    change("192.168.1.5", "fd00::2")
    return change


def names_of(path: Path) -> set[str]:
    read = x509.load_pem_x509_certificate(path.read_bytes())
    places = read.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {*places.get_values_for_type(x509.DNSName), *map(str, places.get_values_for_type(x509.IPAddress))}


def test_it_is_good_for_the_names_and_addresses_of_this_machine_and_what_was_added(home: DataRoot) -> None:
    path = ensure_certificate(home)
    own = {"localhost", "127.0.0.1", "::1", "teacher.local", "192.168.1.5", "fd00::2"}
    assert names_of(path) == {*own, "lab.school.example"}
    read = x509.load_pem_x509_certificate(path.read_bytes())
    assert read.not_valid_before_utc < datetime.now(UTC)
    # What Apple's devices ask of a certificate.
    assert read.not_valid_after_utc - read.not_valid_before_utc <= timedelta(days=398)


@pytest.mark.skipif(sys.platform == "win32", reason="accounts are kept apart in another way")
def test_its_key_is_for_this_account_alone(home: DataRoot) -> None:
    path = ensure_certificate(home)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    assert stat.S_IMODE(ensure_certificate(home).stat().st_mode) == 0o600


def test_it_is_kept_while_it_fits_and_made_anew_with_its_key_where_not(
    home: DataRoot, hosts: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = fingerprint(ensure_certificate(home))
    assert fingerprint(ensure_certificate(home)) == first
    hosts("10.0.0.7")
    path = ensure_certificate(home)
    second, key = fingerprint(path), x509.load_pem_x509_certificate(path.read_bytes()).public_key()
    assert second != first
    hosts("192.168.1.5", "fd00::2")  # back in the first network
    assert fingerprint(ensure_certificate(home)) == second
    monkeypatch.setattr(certificate, "RENEWED_DAYS", VALID_DAYS)  # as when it ends soon
    assert fingerprint(ensure_certificate(home)) != second
    assert x509.load_pem_x509_certificate(path.read_bytes()).public_key() == key
    assert RENEWED_DAYS > 183  # a half-year


def test_a_damaged_one_is_made_anew(home: DataRoot) -> None:
    path = ensure_certificate(home)
    for damaged in (b"", path.read_bytes()[:300], b"\xff" * 100):
        path.write_bytes(damaged)
        assert "localhost" in names_of(ensure_certificate(home))


def test_a_folder_that_cannot_be_written_is_said(home: DataRoot, capsys: pytest.CaptureFixture[str]) -> None:
    home.path.write_text("a file")
    with pytest.raises(StorageError):
        ensure_certificate(home)
    assert certificate.main() == 1
    assert capsys.readouterr().err


def test_the_class_reads_the_fingerprint_that_others_compute(home: DataRoot) -> None:
    path = ensure_certificate(home)
    words = certificate_words(fingerprint(path))
    digest = ":".join(words[-2:])
    assert bytes.fromhex(digest.replace(":", "")) == x509.load_pem_x509_certificate(path.read_bytes()).fingerprint(
        certificate.hashes.SHA256()
    )
    assert max(map(len, words)) <= 118


@pytest.mark.slow
def test_a_browser_that_goes_on_has_the_app_with_its_camera(home: DataRoot, browser: Browser) -> None:
    command = [sys.executable, "-m", "tlcore.certificate"]
    path = subprocess.run(command, cwd=ROOT_DIR, capture_output=True, text=True, check=True).stdout.strip()
    options = ("--server.address", "0.0.0.0", "--server.sslCertFile", path, "--server.sslKeyFile", path)
    with serving(home, options=options) as app:
        trust = ssl.create_default_context(cafile=path)  # which checks the name too
        with urllib.request.urlopen(app.address, context=trust, timeout=30) as answer:
            assert "Secure" in answer.headers["set-cookie"]
        stream = app.address.replace("https", "wss") + "/_stcore/stream"
        with connect(stream, subprotocols=["streamlit"], origin=app.address, ssl=trust, proxy=None):
            pass
        context = open_context(browser, ignore_https_errors=True)
        # As a person does it: the first visit meets the warning, on each connection of its own, and is gone on from.
        # Chromium may give one of its files up meanwhile; what counts is the page as it opens from then on.
        first = context.new_page()
        first.goto(app.address)
        first.close()
        watch = PageWatch(context, app.address)
        page = context.new_page()
        page.goto(app.address)
        page.get_by_role("button", name="Try it now").wait_for()
        camera = "navigator.mediaDevices.getUserMedia({video: true}).then((stream) => stream.active)"
        assert page.evaluate(camera)
        watch.check()
        context.close()
        assert fingerprint(Path(path))[:47] in app.log
        assert f"https://localhost:{app.port}" in app.log
        assert app.outgoing == []
