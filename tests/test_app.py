"""The start of the app: what is handed to Streamlit, and that Streamlit finds the app in `app.py`."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from streamlit.web.server.app_discovery import discover_asgi_app

import app
from tlcore.network import HOSTS_VARIABLE
from tlcore.storage.quotas import PERSON_GB, QUOTAS

ADDRESS = "STREAMLIT_SERVER_ADDRESS"
SERVE = ["python", "-m", "streamlit", "run", str(app.ROOT / "app.py")]


def test_streamlit_finds_the_app_and_its_router() -> None:
    assert discover_asgi_app(Path(app.__file__)).import_string == "app:app"
    assert app.app.script_path == app.ROOT / "pages" / "router.py"
    assert app.app.script_path.is_file()


def test_a_plain_start_leaves_port_and_browser_to_streamlit() -> None:
    assert app.server_command("python", None, False, []) == SERVE


def test_port_browser_and_other_options_reach_streamlit() -> None:
    command = app.server_command("python", 8599, True, ["--logger.level=debug"])
    assert command == [*SERVE, "--server.port", "8599", "--server.headless", "true", "--logger.level=debug"]


@pytest.mark.parametrize(
    "asked", [["--server.address", "0.0.0.0"], ["--server.address=0.0.0.0", "--server.allowedHosts", "lab.local"]]
)
def test_a_start_for_a_whole_network_keeps_the_check_of_names(asked: list[str]) -> None:
    assert app.server_command("python", None, False, asked) == [*SERVE, *asked]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], dict[str, str]]]:
    """What the start would turn into, with its variables; nothing is made or served."""
    into: list[tuple[list[str], dict[str, str]]] = []
    monkeypatch.setattr(app.os, "execve", lambda _python, command, variables: into.append((command, variables)))
    monkeypatch.setattr(app.os, "chdir", lambda _folder: None)
    monkeypatch.setattr(app.subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=0, stdout="made.pem\n"))
    monkeypatch.setattr(app.sys, "platform", "linux")
    for variable in (HOSTS_VARIABLE, ADDRESS, "STREAMLIT_SERVER_ALLOWED_HOSTS", *(quota.setting for quota in QUOTAS)):
        monkeypatch.delenv(variable, raising=False)
    return into


def test_one_option_opens_it_to_the_class_encrypted(started: list[tuple[list[str], dict[str, str]]]) -> None:
    app.start(["--installed", "--https"])
    app.start(["--installed", "--https", "--server.address", "10.0.0.7"])
    encrypted = ["--server.sslCertFile", "made.pem", "--server.sslKeyFile", "made.pem"]
    assert [command[5:] for command, _ in started] == [
        ["--server.address", "0.0.0.0", *encrypted],
        [*encrypted, "--server.address", "10.0.0.7"],
    ]
    assert all("TRANSFER_LAB_THREADS" in variables for _, variables in started)


def test_names_that_a_teacher_adds_reach_the_server(
    started: list[tuple[list[str], dict[str, str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    app.start(["--installed", "--host", "lab.local", "--host", "10.0.0.7"])
    monkeypatch.setenv(HOSTS_VARIABLE, "other.local")
    app.start(["--installed", "--host", "lab.local"])
    assert [variables[HOSTS_VARIABLE] for _, variables in started] == ["lab.local 10.0.0.7", "other.local lab.local"]


@pytest.mark.parametrize(
    ("asked", "set_before", "is_shared"),
    [
        ([], {}, False),
        (["--server.address", "127.0.0.1", "--host", "localhost"], {}, False),
        (["--host", "lab.school.example"], {}, True),  # behind a proxy on this machine
        ([], {HOSTS_VARIABLE: "lab.school.example"}, True),
        (["--server.allowedHosts", "localhost", "--server.allowedHosts=lab.local"], {}, True),
        ([], {"STREAMLIT_SERVER_ALLOWED_HOSTS": "localhost lab.local"}, True),
        (["--https"], {}, True),
        (["--server.address=0.0.0.0"], {}, True),
        ([], {ADDRESS: "0.0.0.0"}, True),
        (["--server.address", "localhost"], {ADDRESS: "0.0.0.0"}, False),  # an option counts before a variable
    ],
)
def test_a_class_has_quotas_however_the_app_is_opened_to_it(
    started: list[tuple[list[str], dict[str, str]]],
    monkeypatch: pytest.MonkeyPatch,
    asked: list[str],
    set_before: dict[str, str],
    is_shared: bool,
) -> None:
    for name, value in set_before.items():
        monkeypatch.setenv(name, value)
    app.start(["--installed", *asked])
    assert (PERSON_GB.setting in started[0][1]) == is_shared


def test_a_file_with_settings_opens_it_too(
    started: list[tuple[list[str], dict[str, str]]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(app, "ROOT", tmp_path)
    (tmp_path / ".streamlit").mkdir()
    settings = tmp_path / ".streamlit" / "config.toml"
    for text in ('address = "0.0.0.0"', 'address = "127.0.0.1"\nallowedHosts = ["lab.local"]', 'address = "::1"'):
        settings.write_text(f"[server]\n{text}\n", "utf-8")
        app.start(["--installed"])
    assert [PERSON_GB.setting in variables for _, variables in started] == [True, True, False]


def test_whether_it_is_open_is_found_without_any_package() -> None:
    program = (
        "from tlcore.network import is_shared; from tlcore.setup.server_settings import server_setting; "
        "print(is_shared(*server_setting('address', ['--server.address', '10.0.0.7'], ())))"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", program], cwd=app.ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "True"
