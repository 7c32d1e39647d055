"""What pip and the system say, put into sentences that a person can act on."""

import errno
import os

import pytest

from tlcore.setup.installing import clean_environment, explain


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "The disk is full"),
        ("WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError'", "no answer from"),
        ("SSLError(SSLCertVerificationError(1, 'CERTIFICATE_VERIFY_FAILED'))", "certificate was refused"),
        ("ERROR: Could not install: [Errno 13] Permission denied: 'x'", "cannot be written"),
        ("[WinError 5] Zugriff verweigert: 'x'", "cannot be written"),
        ("ERROR: No matching distribution found for tensorflow==2.21.0", "no ready-made tensorflow==2.21.0 for Python"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.", "not the one that was published"),
        ("ERROR: something new", "could not be made:\nERROR: something new"),
    ],
)
def test_each_cause_has_its_own_sentence(said: str, sentence: str) -> None:
    assert sentence in explain(said)


@pytest.mark.parametrize(
    ("number", "sentence"), [(errno.ENOSPC, "is full"), (errno.EACCES, "cannot be written"), (errno.EROFS, "written")]
)
def test_what_the_system_says_is_understood(number: int, sentence: str) -> None:
    assert sentence in explain(str(OSError(number, os.strerror(number), "x")))


def test_variables_that_mix_in_other_packages_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    monkeypatch.setenv("PIP_INDEX_URL", "kept")
    variables = clean_environment()
    assert "PYTHONPATH" not in variables
    assert variables["PIP_INDEX_URL"] == "kept"
