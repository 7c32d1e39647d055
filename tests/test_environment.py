"""The environment of the two commands: when it is made anew, and what is said and left when it cannot be."""

import ast
import errno
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tlcore.setup import environment
from tlcore.setup.environment import (
    FOLDER,
    INCOMPLETE,
    check_modules,
    ensure_environment,
    environment_version,
    exclusive,
    is_ready,
    os_problem,
    pins,
    python_path,
    remove_environment,
    stamp,
    stamp_path,
)
from tlcore.setup.installing import SetupError
from tlcore.setup.python_version import python_problem

ROOT = Path(__file__).resolve().parents[1]
READ_BY_OLD_PYTHONS = (
    "app.py",
    "tests/__init__.py",
    "tests/__main__.py",
    "tlcore/__init__.py",
    "tlcore/setup/python_version.py",
    "tlcore/setup/__init__.py",
)
ENSURE = (
    "from pathlib import Path; from tlcore.setup.environment import ensure_environment; ensure_environment(Path({!r}))"
)


SOME = f"some-package==1.0 \\\n    --hash=sha256:{'0' * 64}\n"
OTHER = f"other-package==2.0 \\\n    --hash=sha256:{'1' * 64}\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project folder with requirements and no environment yet."""
    root = tmp_path / "project"
    root.mkdir()
    (root / "requirements.lock").write_text(SOME)
    (root / "requirements-dev.lock").write_text(SOME + OTHER)
    return root


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Point pip at a closed port of this machine and take every other source of packages away."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")


@pytest.fixture
def empty_environment(root: Path) -> Path:
    """A working environment without packages of its own; it borrows pip from the one that runs the tests."""
    folder = root / FOLDER
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    site_packages = next(folder.glob("lib/python*/site-packages"), folder / "Lib" / "site-packages")
    (site_packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder


def write_stamps(folder: Path, *requirements_paths: Path) -> None:
    """Mark an environment as made from these files for this Python."""
    for path in requirements_paths:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        stamp_path(folder, path).write_text(stamp(path, version), encoding="utf-8")


@pytest.mark.parametrize("version", [(2, 7), (3, 6), (3, 9, 18), (3, 10)])
def test_an_old_python_is_told_what_is_needed(version: tuple[int, ...]) -> None:
    problem = python_problem(version)
    assert problem.startswith(f"Transfer Lab needs Python 3.11 or newer; this is {version[0]}.{version[1]}.")


@pytest.mark.parametrize("version", [(3, 11), (3, 13, 0), (4, 0)])
def test_a_new_python_is_welcome(version: tuple[int, ...]) -> None:
    assert python_problem(version) == ""


@pytest.mark.parametrize("name", READ_BY_OLD_PYTHONS)
def test_what_runs_before_the_version_check_is_readable_by_python_3_6(name: str) -> None:
    tree = ast.parse((ROOT / name).read_text(encoding="utf-8"), feature_version=(3, 6))
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module == "__future__"]


def old_pythons() -> Iterator[str]:
    """Find Pythons that are too old, those of pyenv included."""
    installed = [str(path) for path in Path.home().glob(".pyenv/versions/3.*/bin/python")]
    on_path = [shutil.which(f"python3.{minor}") or "" for minor in range(6, 11)]
    for python in filter(None, installed + on_path):
        answer = subprocess.run([python, "-c", "import sys; print(sys.version_info < (3, 11))"], capture_output=True)
        if answer.stdout.strip() == b"True":
            yield python


@pytest.mark.parametrize("command", [["app.py"], ["-m", "tests"]])
def test_a_real_old_python_says_one_plain_sentence(command: list[str]) -> None:
    old = next(old_pythons(), None)
    if old is None:
        pytest.skip("no Python older than 3.11 on this machine")
    done = subprocess.run([old, *command], cwd=ROOT, capture_output=True, encoding="utf-8")
    assert done.returncode == 1
    assert done.stderr.startswith("Transfer Lab needs Python 3.11 or newer; this is 3.")
    assert "Traceback" not in done.stderr


def test_the_environment_is_made_with_the_standard_library_alone() -> None:
    code = "import sys; sys.path.insert(0, '.'); import tlcore.setup.environment, tests.chromium"
    subprocess.run([sys.executable, "-I", "-S", "-c", code], cwd=ROOT, check=True)


def test_an_environment_from_these_requirements_is_used_as_it_is(root: Path, empty_environment: Path) -> None:
    write_stamps(empty_environment, root / "requirements.lock")
    started = time.monotonic()
    assert ensure_environment(root) == python_path(empty_environment)
    assert time.monotonic() - started < 10
    assert not is_ready(empty_environment, root / "requirements-dev.lock")


def test_a_changed_requirement_makes_the_environment_out_of_date(root: Path, empty_environment: Path) -> None:
    both = (root / "requirements.lock", root / "requirements-dev.lock")
    write_stamps(empty_environment, *both)
    assert all(is_ready(empty_environment, path) for path in both)
    both[0].write_text(SOME.replace("1.0", "1.1"))
    assert not is_ready(empty_environment, both[0])
    assert is_ready(empty_environment, both[1])


def test_an_environment_of_another_python_is_out_of_date(root: Path, empty_environment: Path) -> None:
    path = root / "requirements.lock"
    stamp_path(empty_environment, path).write_text(stamp(path, "3.1"), encoding="utf-8")
    assert not is_ready(empty_environment, path)


def test_an_interrupted_creation_is_never_used(root: Path, empty_environment: Path) -> None:
    write_stamps(empty_environment, root / "requirements.lock")
    (empty_environment / INCOMPLETE).touch()
    assert not is_ready(empty_environment, root / "requirements.lock")
    assert environment_version(empty_environment) is None


def test_an_environment_whose_python_is_gone_is_not_used(root: Path, empty_environment: Path) -> None:
    write_stamps(empty_environment, root / "requirements.lock")
    python_path(empty_environment).unlink()
    assert not is_ready(empty_environment, root / "requirements.lock")


def test_line_endings_do_not_make_an_environment_out_of_date(root: Path) -> None:
    path = root / "requirements.lock"
    before = stamp(path, "3.12")
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert stamp(path, "3.12") == before


@pytest.mark.parametrize("name", ["requirements", "requirements-dev", "requirements-bench"])
def test_a_lock_pins_all_that_is_asked_for_with_hashes_and_without_an_address(name: str) -> None:
    asked: list[str] = []
    waiting = [f"{name}.txt"]
    for file in waiting:
        for line in (ROOT / file).read_text(encoding="utf-8").splitlines():
            asked_for = line.split("#")[0].strip()
            if included := re.match(r"-r (\S+)", asked_for):
                waiting.append(included[1])
            elif asked_for:
                asked.append(asked_for)
    assert all("==" in line for line in asked)
    lock_path = ROOT / f"{name}.lock"
    text = lock_path.read_text(encoding="utf-8")
    locked = {line.split(";")[0].strip() for line in pins(lock_path)}
    assert {line.split(";")[0].strip() for line in asked} <= locked
    assert "://" not in text
    entries = re.split(r"^(?=\S)", text, flags=re.MULTILINE)
    assert all("--hash=sha256:" in entry for entry in entries if entry.strip())


def test_what_the_tests_need_has_all_that_the_app_needs() -> None:
    assert pins(ROOT / "requirements.lock") <= pins(ROOT / "requirements-dev.lock")


@pytest.mark.usefixtures("no_network")
def test_without_network_it_says_so_and_leaves_nothing(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SetupError, match="no answer from the package index") as caught:
        ensure_environment(root)
    assert "run the same command again" in str(caught.value)
    assert not (root / FOLDER).exists()
    said = capsys.readouterr().out
    assert "Creating the environment" in said


@pytest.mark.usefixtures("no_network")
def test_an_update_without_network_keeps_the_environment_that_works(root: Path, empty_environment: Path) -> None:
    write_stamps(empty_environment, root / "requirements.lock")
    with pytest.raises(SetupError, match="no answer from the package index"):
        ensure_environment(root, "requirements-dev.lock")
    assert is_ready(empty_environment, root / "requirements.lock")


@pytest.mark.skipif(
    sys.platform == "win32", reason="Windows has no signal that ends a process like Ctrl-C from outside"
)
def test_ctrl_c_while_it_is_made_leaves_nothing(root: Path) -> None:
    code = ENSURE.format(str(root))
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.DEVNULL, start_new_session=True
    )
    wait_for(root / FOLDER / "pyvenv.cfg")
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=30) != 0
    assert not (root / FOLDER).exists()


def test_what_a_killed_creation_left_is_cleared_by_the_next(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    process = subprocess.Popen([sys.executable, "-c", ENSURE.format(str(root))], cwd=ROOT, stdout=subprocess.DEVNULL)
    wait_for(root / FOLDER / "pyvenv.cfg")
    process.kill()
    process.wait()
    assert (root / FOLDER / INCOMPLETE).exists()
    monkeypatch.setattr(environment, "NEEDED_BYTES", 10**18)  # the next one clears up, then stops right here
    with pytest.raises(SetupError, match="free space"):
        ensure_environment(root)
    assert not (root / FOLDER).exists()


def wait_for(path: Path) -> None:
    """Wait until a file appears."""
    deadline = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.02)


def test_a_folder_of_someone_else_is_not_removed(root: Path) -> None:
    (root / FOLDER).mkdir()
    (root / FOLDER / "precious.txt").write_text("mine")
    with pytest.raises(SetupError, match="Delete it or move it away"):
        remove_environment(root / FOLDER)
    assert (root / FOLDER / "precious.txt").read_text() == "mine"


def test_too_little_space_is_said_before_anything_is_made(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "NEEDED_BYTES", 10**18)
    with pytest.raises(SetupError, match=r"needs about 1000000000 GB of free space .* has \d+\.\d GB"):
        ensure_environment(root)
    assert not (root / FOLDER).exists()


def test_a_full_disk_and_missing_rights_are_put_into_words(root: Path) -> None:
    full = os_problem(OSError(errno.ENOSPC, "No space left on device"), root)
    assert "is full" in full
    denied = os_problem(PermissionError(errno.EACCES, "Permission denied"), root)
    assert "cannot be written" in denied
    assert "Copy Transfer Lab to a folder of your own" in denied


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="an administrator may write everywhere")
def test_a_folder_without_rights_is_said_plainly(root: Path) -> None:
    root.chmod(0o500)
    try:
        with pytest.raises(SetupError, match="cannot be written"):
            ensure_environment(root)
    finally:
        root.chmod(0o700)


def test_a_python_without_ensurepip_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment.importlib.util, "find_spec", lambda name: None if name == "ensurepip" else name)
    with pytest.raises(SetupError, match="apt install python3-venv"):
        check_modules()


def test_only_one_process_makes_the_environment_at_a_time(tmp_path: Path) -> None:
    lock_path = tmp_path / "lock"
    order: list[str] = []
    holding = threading.Event()

    def second() -> None:
        holding.wait()
        with exclusive(lock_path):
            order.append("second")

    thread = threading.Thread(target=second)
    thread.start()
    with exclusive(lock_path):
        holding.set()
        time.sleep(0.5)
        order.append("first")
    thread.join(timeout=10)
    assert order == ["first", "second"]


def test_the_lock_of_a_killed_process_is_free_again(tmp_path: Path) -> None:
    lock_path = tmp_path / "lock"
    code = (
        "import sys, time; from pathlib import Path; from tlcore.setup.environment import exclusive\n"
        f"with exclusive(Path({str(lock_path)!r})):\n"
        "    print('held', flush=True); time.sleep(60)\n"
    )
    holder = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, encoding="utf-8")
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    holder.kill()
    holder.wait()
    with exclusive(lock_path):
        pass
