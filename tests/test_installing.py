"""pip's failures turned into sentences; the progress line."""

import io

import pytest

from tlcore.progress import ProgressLine
from tlcore.setup.installing import clean_environment, problem


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "disk became full"),
        ("WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError'", "no answer from"),
        ("SSLError(SSLCertVerificationError(1, 'CERTIFICATE_VERIFY_FAILED'))", "certificate was refused"),
        ("ERROR: Could not install: [Errno 13] Permission denied: 'x'", "cannot be written"),
        ("ERROR: No matching distribution found for tensorflow==2.21.0", "no ready-made tensorflow==2.21.0 for Python"),
        ("ERROR: something new", "pip said:\n  ERROR: something new"),
    ],
)
def test_each_cause_has_its_own_sentence(line: str, sentence: str) -> None:
    assert sentence in problem(f"WARNING: something\n{line}\n")


def test_variables_that_mix_in_other_packages_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    monkeypatch.setenv("PIP_INDEX_URL", "kept")
    variables = clean_environment()
    assert "PYTHONPATH" not in variables
    assert variables["PIP_INDEX_URL"] == "kept"


class Terminal(io.StringIO):
    """A text stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_one_line_that_moves_and_goes() -> None:
    stream = Terminal()
    line = ProgressLine(stream)
    line.show("1 of 20")
    line.show("2 of 20")
    line.finish("Done.")
    assert stream.getvalue().count("\n") == 1
    assert stream.getvalue().endswith("\r       \rDone.\n")


def test_a_log_gets_few_lines() -> None:
    stream = io.StringIO()
    line = ProgressLine(stream, every_seconds=60)
    for number in range(100):
        line.show(f"{number} of 100")
    assert stream.getvalue() == "0 of 100\n"
