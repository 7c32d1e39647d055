"""What the web server will be told, found as Streamlit does it, before there is an environment with Streamlit."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

SETTINGS_FILE = Path(".streamlit") / "config.toml"


def server_setting(name: str, options: Sequence[str], folders: Iterable[Path]) -> tuple[str, ...]:
    """Return the values of a setting of the section `server`, none where nobody sets it.

    Args:
        name: Such as `allowedHosts`.
        options: Those of the command line that go to Streamlit; they count first, then the environment.
        folders: Where files with settings may lie, that which counts most first.
    """
    option = f"--server.{name}"
    following = dict(enumerate(options[1:]))
    given = [following.get(place, "") for place, one in enumerate(options) if one == option]
    given += [one.partition("=")[2] for one in options if one.startswith(f"{option}=")]
    if given:
        return tuple(given)
    variable = "STREAMLIT_SERVER_" + re.sub("([A-Z])", r"_\1", name).upper()
    if os.environ.get(variable):
        return tuple(re.findall(r"[^\s,;\"'\[\]]+", os.environ[variable]))
    for folder in folders:
        with suppress(OSError, ValueError):  # Streamlit itself says what is wrong with it
            section = tomllib.loads((folder / SETTINGS_FILE).read_text("utf-8")).get("server", {})
            if name in section:
                found = section[name]
                return tuple(map(str, found)) if isinstance(found, list) else (str(found),)
    return ()
