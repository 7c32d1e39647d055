"""Progress on a terminal moves in one line; a file or a pipe gets short, plain lines."""

import io

import pytest

from tlcore import progress as progress_module
from tlcore.progress import TerminalProgress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def tell(progress: TerminalProgress) -> None:
    for done in range(41):
        progress.phase("features", done, 40)
    progress.phase("training", 0, 2)
    progress.metrics(0.5, {"loss": 9.0})
    progress.metrics(1.0, {"loss": 0.5, "accuracy": 0.75})
    progress.phase("training", 1, 2)
    progress.phase("saving")
    progress.close()


def screen(text: str) -> list[str]:
    """Return the lines as a terminal shows them: what follows a carriage return covers what was there."""
    lines = []
    for line in text.split("\n"):
        shown = ""
        for part in line.split("\r"):
            shown = part + shown[len(part) :]
        lines.append(shown.rstrip())
    return lines


def test_a_file_gets_a_line_for_each_phase_and_epoch() -> None:
    stream = io.StringIO()
    tell(TerminalProgress(stream))
    assert stream.getvalue() == "Computing features\nTraining\nepoch   1  loss 0.500  accuracy 0.750\nSaving\n"


def test_a_terminal_ends_with_the_last_state_of_each_phase() -> None:
    stream = Terminal()
    tell(TerminalProgress(stream))
    assert screen(stream.getvalue()) == [
        "Computing features 40/40",
        "epoch   1  loss 0.500  accuracy 0.750",
        "Training 1/2",
        "Saving",
        "",
    ]


def test_a_terminal_is_redrawn_at_most_ten_times_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    progress = TerminalProgress(stream)
    clock = iter(range(1000))
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: next(clock) / 100)
    for done in range(100):
        progress.phase("reading", done, 100, "pets.zip")
    assert 5 <= stream.getvalue().count("\r") <= 25


def test_a_long_line_is_covered_by_a_shorter_one() -> None:
    stream = Terminal()
    progress = TerminalProgress(stream)
    progress.phase("waiting_for_features", 0, 10)
    progress.line("short")
    assert screen(stream.getvalue()) == ["short", ""]
