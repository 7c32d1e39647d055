"""The start of the app: what is handed to Streamlit, and that Streamlit finds the app in `app.py`."""

from pathlib import Path

import pytest
from streamlit.web.server.app_discovery import discover_asgi_app

import app

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


@pytest.mark.parametrize("asked", [["--server.address", "0.0.0.0"], ["--server.address=0.0.0.0"]])
def test_a_start_for_a_whole_network_accepts_its_names(asked: list[str]) -> None:
    assert app.server_command("python", None, False, asked) == [*SERVE, "--server.allowedHosts", "*", *asked]


def test_names_that_a_person_chose_are_kept() -> None:
    asked = ["--server.address=0.0.0.0", "--server.allowedHosts", "lab.local"]
    assert app.server_command("python", None, False, asked) == [*SERVE, *asked]
