"""Progress on a terminal moves in one line; a file or a pipe gets short, plain lines."""

import io
import re
import time

from tlcore.progress import TerminalProgress


class Terminal(io.StringIO):
    encoding = "utf-8"

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
    features, epoch, training, saving, rest = screen(stream.getvalue())
    assert re.fullmatch(r"Computing features 40/40 \|█{20}\| 00:0\d, 00:00 left", features)
    assert epoch == "epoch   1  loss 0.500  accuracy 0.750"
    assert re.fullmatch(r"Training 1/2 \|█{10} +\| 00:0\d, 00:0\d left", training)
    assert re.fullmatch(r"Saving, 00:0\d", saving)
    assert rest == ""


def test_a_terminal_is_redrawn_at_most_ten_times_a_second() -> None:
    stream = Terminal()
    progress = TerminalProgress(stream)
    started = time.monotonic()
    for done in range(10_000):
        progress.phase("reading", done, 10_000, "pets.zip")
    assert stream.getvalue().count("\r") <= 2 + 10 * (time.monotonic() - started)


def test_a_phase_of_unknown_length_shows_its_time() -> None:
    stream = Terminal()
    progress = TerminalProgress(stream)
    for _ in range(12):
        progress.phase("loading")
        time.sleep(0.1)
    assert screen(stream.getvalue()) == ["Loading TensorFlow, 00:01"]


def test_a_phase_that_turns_back_is_shown_as_it_is() -> None:
    stream = Terminal()
    progress = TerminalProgress(stream)
    progress.phase("looking", 9, 10)
    progress.phase("looking", 2, 20)
    progress.close()
    assert screen(stream.getvalue())[0].startswith("Looking at the pictures 2/20 ")


def test_a_long_line_is_covered_by_a_shorter_one() -> None:
    stream = Terminal()
    progress = TerminalProgress(stream)
    progress.phase("waiting_for_features", 0, 10)
    progress.line("short")
    assert screen(stream.getvalue())[0] == "short"
