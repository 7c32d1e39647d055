"""Notes of TensorFlow and LiteRT stay off the terminal on every processor; what others write gets there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.page_tests import ROOT_DIR

NOTES = (
    "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\n"
    "I0000 00:00:1795737825.841879   27512 port.cc:153] oneDNN custom operations are on.\n"
    "I0000 00:00:1795737825.841879   27512 cpu_feature_guard.cc:227] This TensorFlow binary is optimized.\n"
    "INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\n"
)


def run(program: str, *paths: Path) -> subprocess.CompletedProcess[bytes]:
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (*paths, ROOT_DIR)))}
    variables.pop("TF_CPP_MIN_LOG_LEVEL", None)
    return subprocess.run([sys.executable, "-c", program], cwd=ROOT_DIR, env=variables, capture_output=True, check=True)


def fake_tensorflow(folder: Path) -> Path:
    """Make a package called TensorFlow that writes its notes as the real one does on a new processor."""
    (folder / "tensorflow").mkdir()
    (folder / "tensorflow" / "__init__.py").write_text(
        f"import os, sys\nos.write(2, {NOTES.encode()!r})\nprint('a true error', file=sys.stderr, flush=True)\n"
    )
    return folder


def test_the_notes_reach_a_terminal_that_is_not_kept_quiet(tmp_path: Path) -> None:
    assert run("import tensorflow", fake_tensorflow(tmp_path)).stderr.startswith(NOTES.encode())


def test_while_tensorflow_is_imported_its_notes_are_held_back_and_nothing_else(tmp_path: Path) -> None:
    program = (
        "import os, sys\nfrom tlcore.quiet import silence_tensorflow\nsilence_tensorflow()\nsilence_tensorflow()\n"
        "import tensorflow\nprint('after', file=sys.stderr)\n"
        f"os.write(2, {NOTES.encode()!r})\nassert tensorflow.__spec__.loader is not None\n"
    )
    assert run(program, fake_tensorflow(tmp_path)).stderr == b"a true error\nafter\n" + NOTES.encode()


def test_a_moving_line_of_another_thread_passes_at_once() -> None:
    program = (
        "import os\nfrom tlcore.quiet import without_notes\n"
        "reading, writing = os.pipe()\nos.dup2(writing, 2)\n"
        "with without_notes():\n"
        "    os.write(2, b'\\rEpoch 1 of 9')\n    assert os.read(reading, 99) == b'\\rEpoch 1 of 9'\n"
        f"    os.write(2, {NOTES.encode()!r} + b'the end')\n"
        "assert os.read(reading, 99) == b'the end'\n"
    )
    run(program)


def test_the_real_tensorflow_and_litert_say_nothing(tmp_path: Path) -> None:
    program = (
        "from tlcore.quiet import silence_tensorflow\nsilence_tensorflow()\n"
        "from tests.coloured_pictures import RecordingProgress\n"
        "from tlcore.config import ModelConfig\nfrom tlcore.features.compiled import ensure_compiled\n"
        "from tlcore.home import DataRoot\nfrom tlcore.model.cut import plan_model\nfrom pathlib import Path\n"
        f"model = plan_model(ModelConfig('small_cnn-8', 32))\n"
        f"ensure_compiled(model, RecordingProgress(), DataRoot(Path({str(tmp_path)!r})))\n"
    )
    assert run(program).stderr == b""
