"""The environment of the two commands: when it is made anew, and what is said and left when it cannot be."""

import ast
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tlcore.setup import environment, installing
from tlcore.setup.environment import (
    FOLDER,
    STAMP,
    ensure_environment,
    exclusive,
    is_ready,
    pinned,
    python_path,
    remove_environment,
)
from tlcore.setup.installing import SetupError, check_modules
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


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project folder with lock files and no environment yet."""
    root = tmp_path / "project"
    root.mkdir()
    small = f"some-package==1.0 \\\n    --hash=sha256:{'1' * 64}\n"
    (root / "requirements.lock").write_text(f"# made by hand\n{small}")
    (root / "requirements-dev.lock").write_text(f"{small}other-package==2.0 \\\n    --hash=sha256:{'2' * 64}\n")
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


def write_stamp(folder: Path, lock_path: Path) -> None:
    """Mark an environment as made from this lock file for this Python."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    (folder / STAMP).write_text("\n".join([f"# Python {version}", *pinned(lock_path)]), encoding="utf-8")


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
    write_stamp(empty_environment, root / "requirements.lock")
    started = time.monotonic()
    assert ensure_environment(root) == python_path(empty_environment)
    assert time.monotonic() - started < 10
    assert not is_ready(empty_environment, root / "requirements-dev.lock")


def test_an_environment_for_the_tests_serves_the_app_too(root: Path, empty_environment: Path) -> None:
    write_stamp(empty_environment, root / "requirements-dev.lock")
    assert is_ready(empty_environment, root / "requirements.lock")


@pytest.mark.parametrize(("old", "new"), [("==1.0", "==1.1"), ("sha256:1", "sha256:2")])
def test_a_changed_lock_makes_the_environment_out_of_date(
    root: Path, empty_environment: Path, old: str, new: str
) -> None:
    lock_path = root / "requirements.lock"
    write_stamp(empty_environment, lock_path)
    lock_path.write_text(lock_path.read_text().replace(old, new))
    assert not is_ready(empty_environment, lock_path)


def test_notes_and_line_endings_do_not_make_an_environment_out_of_date(root: Path, empty_environment: Path) -> None:
    lock_path = root / "requirements.lock"
    write_stamp(empty_environment, lock_path)
    lock_path.write_bytes(b"# another note\r\n" + lock_path.read_bytes().replace(b"\n", b"\r\n"))
    assert is_ready(empty_environment, lock_path)


def test_an_environment_of_another_python_is_out_of_date(root: Path, empty_environment: Path) -> None:
    write_stamp(empty_environment, root / "requirements.lock")
    stamp_path = empty_environment / STAMP
    stamp_path.write_text(stamp_path.read_text().replace("# Python 3", "# Python 2"))
    assert not is_ready(empty_environment, root / "requirements.lock")


def test_an_interrupted_creation_is_never_used(root: Path, empty_environment: Path) -> None:
    (empty_environment / STAMP).touch()
    assert not is_ready(empty_environment, root / "requirements.lock")


def test_an_environment_whose_python_is_gone_is_not_used(root: Path, empty_environment: Path) -> None:
    write_stamp(empty_environment, root / "requirements.lock")
    python_path(empty_environment).unlink()
    assert not is_ready(empty_environment, root / "requirements.lock")


@pytest.mark.usefixtures("no_network")
def test_without_network_it_says_so_and_leaves_nothing(root: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SetupError, match="no answer from the package index") as caught:
        ensure_environment(root)
    assert "run the same command again" in str(caught.value)
    assert [path.name for path in root.iterdir() if path.is_dir()] == []
    said = capfd.readouterr()
    assert "Transfer Lab makes its own environment" in said.out
    assert "ERROR: No matching distribution" in said.err  # pip's own words


@pytest.mark.usefixtures("no_network")
def test_an_update_without_network_keeps_the_environment_that_works(root: Path, empty_environment: Path) -> None:
    write_stamp(empty_environment, root / "requirements.lock")
    with pytest.raises(SetupError, match="no answer from the package index"):
        ensure_environment(root, "requirements-dev.lock")
    assert is_ready(empty_environment, root / "requirements.lock")


def wheel(folder: Path, name: str, version: str) -> str:
    """Write a package of one module; return its line of a lock file."""
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.py", f"version = {version!r}\n")
        info = f"{name}-{version}.dist-info"
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return f"{name}=={version} \\\n    --hash=sha256:{digest}\n"


@pytest.mark.usefixtures("no_network")
def test_what_is_published_is_installed_once_and_what_is_not_is_refused(
    root: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(root))
    first, second = wheel(root, "first", "1.0"), wheel(root, "second", "2.0")
    (root / "requirements.lock").write_text(first)
    (root / "requirements-dev.lock").write_text(first + second)

    python = ensure_environment(root)
    subprocess.run([str(python), "-c", "import first"], check=True)
    capfd.readouterr()
    assert ensure_environment(root) == python
    assert capfd.readouterr().out == ""

    path = next(root.glob("second*.whl"))
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(SetupError, match="not the one that was published"):
        ensure_environment(root, "requirements-dev.lock")
    assert is_ready(root / FOLDER, root / "requirements.lock")
    path.write_bytes(path.read_bytes()[:-4])
    ensure_environment(root, "requirements-dev.lock")
    subprocess.run([str(python), "-c", "import first, second"], check=True)


def test_pip_ends_with_a_start_that_was_killed(root: Path) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    variables = {**os.environ, "PIP_CONFIG_FILE": os.devnull, "PIP_NO_CACHE_DIR": "1", "PIP_DEFAULT_TIMEOUT": "60"}
    variables["PIP_INDEX_URL"] = f"http://127.0.0.1:{listener.getsockname()[1]}/simple"
    command = [sys.executable, "-c", ENSURE.format(str(root))]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=variables)
    listener.settimeout(60)
    connection, _ = listener.accept()  # pip waits for an answer that never comes
    connection.settimeout(30)
    connection.recv(1000)
    process.kill()
    process.wait()
    assert connection.recv(1000) == b""  # pip has gone
    connection.close()
    listener.close()


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
    assert (root / FOLDER / STAMP).read_text() == ""
    monkeypatch.setattr(environment, "NEEDED_BYTES", 10**18)  # the next one clears up, then stops right here
    with pytest.raises(SetupError, match="The disk is full"):
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
    with pytest.raises(SetupError, match="The disk is full"):
        ensure_environment(root)
    assert not (root / FOLDER).exists()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="an administrator may write everywhere")
def test_a_folder_without_rights_is_said_plainly(root: Path) -> None:
    root.chmod(0o500)
    try:
        with pytest.raises(SetupError, match="cannot be written"):
            ensure_environment(root)
    finally:
        root.chmod(0o700)


def test_a_python_without_ensurepip_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installing.importlib.util, "find_spec", lambda name: None if name == "ensurepip" else name)
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
