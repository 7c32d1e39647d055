"""pip's lines turned into progress and into sentences; the progress line itself."""

import io
import sys
import time
from pathlib import Path

import pytest

from tlcore.setup.installing import PipOutput, clean_environment, run_watched
from tlcore.setup.progress_line import ProgressLine, duration


def read(*lines: str) -> PipOutput:
    """Let a `PipOutput` read these lines."""
    output = PipOutput()
    for line in lines:
        output.read(line)
    return output


def test_progress_counts_and_names_what_is_downloaded() -> None:
    output = read(
        "Collecting keras==3.15.1", "Collecting numpy", "  Downloading numpy-2.4.6-cp311-cp311-linux.whl (18.3 MB)"
    )
    assert output.status(installed=0, seconds=65) == "Downloading packages, 2 so far: numpy (18.3 MB), 1 min 05 s"
    output.read("Progress 9150000 of 18300000")
    assert "numpy (18.3 MB) 50 %" in output.status(installed=0, seconds=65)


def test_progress_of_installing_is_counted_in_packages() -> None:
    output = read("Installing collected packages: numpy, keras, pandas, plotly")
    assert output.is_installing
    assert output.status(installed=1, seconds=3) == "Installing packages: 1 of 4 (25 %), 3 s"


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
    assert sentence in read("Collecting x", line).problem()


def test_variables_that_mix_in_other_packages_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    monkeypatch.setenv("PIP_INDEX_URL", "kept")
    variables = clean_environment()
    assert "PYTHONPATH" not in variables
    assert variables["PIP_INDEX_URL"] == "kept"


def test_a_watched_program_is_read_line_by_line_and_ticks_while_silent() -> None:
    lines: list[str] = []
    ticks: list[int] = []
    code = "import time; print('a', flush=True); time.sleep(1.2); print('b'); raise SystemExit(3)"
    exit_code = run_watched([sys.executable, "-c", code], clean_environment(), lines.append, lambda: ticks.append(1))
    assert (exit_code, lines) == (3, ["a\n", "b\n"])
    assert len(ticks) > len(lines)


def test_an_interruption_ends_the_watched_program(tmp_path: Path) -> None:
    beats_path = tmp_path / "beats"
    code = (
        "import time\n"
        "print('on', flush=True)\n"
        "for _ in range(100):\n"
        f"    print('beat', file=open({str(beats_path)!r}, 'a'), flush=True)\n"
        "    time.sleep(0.05)\n"
    )

    def interrupt(line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_watched([sys.executable, "-c", code], clean_environment(), interrupt, lambda: None)
    beats = beats_path.stat().st_size if beats_path.exists() else 0
    time.sleep(0.3)
    assert (beats_path.stat().st_size if beats_path.exists() else 0) == beats


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


@pytest.mark.parametrize(("seconds", "text"), [(0.2, "0 s"), (59, "59 s"), (65, "1 min 05 s"), (3599.6, "60 min 00 s")])
def test_durations_are_written_as_people_say_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text
