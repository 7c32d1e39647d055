"""Open a page of the app as a test: the router, a project in the address, no browser."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from pathlib import Path

from streamlit.components.v2 import manifest_scanner
from streamlit.runtime.scriptrunner import script_runner
from streamlit.testing.v1 import AppTest

from tlcore.home import DataRoot

ROOT_DIR = Path(__file__).resolve().parents[1]
PAGES_DIR = ROOT_DIR / "pages"
OWNER = "local"
"""Who AppTest is: it has no cookies, so pages see the local owner."""

# Each AppTest looks for components in all installed packages, half a second of work with one and the same result.
manifest_scanner.scan_component_manifests = functools.cache(manifest_scanner.scan_component_manifests)
# After each run Streamlit clears Keras's state. Pages never load Keras, but other tests of the same process have, and
# then it takes a second.
script_runner._clean_problem_modules = lambda: None


def open_app(page: str | None = None, **query: str) -> AppTest:
    """Run the router, then, when a page is named, go there with the given part of the address.

    Args:
        page: Name of the page's file without `.py`.
        **query: What the address carries, such as `project`.
    """
    app = AppTest.from_file(PAGES_DIR / "router.py", default_timeout=30)
    if page is None:
        app.query_params.update(query)
        return check(app.run())
    app.run()
    for name, value in query.items():
        app.query_params[name] = value
    return check(app.switch_page(str(PAGES_DIR / f"{page}.py")).run())


def check(app: AppTest) -> AppTest:
    """Return the app when no exception reached the page."""
    assert not app.exception, [error.stack_trace for error in app.exception]
    return app


def texts(app: AppTest) -> str:
    """Return all text of the page that Streamlit reads as Markdown, and its messages."""
    parts = [*app.title, *app.subheader, *app.markdown, *app.caption, *app.info, *app.warning, *app.error]
    return "\n".join(str(part.value) for part in parts)


def modules_after(page: str, home: DataRoot, project: str | None = None, run: str | None = None) -> set[str]:
    """Return the top-level modules in memory after a fresh process has run a page.

    Pages must never load `keras` or `tensorflow`: Streamlit clears Keras's state after each run.
    """
    query = {name: value for name, value in (("project", project), ("run", run)) if value}
    script = (
        "import sys\n"
        "from tests.page_tests import open_app\n"
        f"open_app({None if page == 'home' else page!r}, **{query!r})\n"
        "print(' '.join({name.partition('.')[0] for name in sys.modules}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT_DIR,
        env={**os.environ, "TRANSFER_LAB_HOME": str(home.path), "PYTHONPATH": str(ROOT_DIR)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split("\n")[-2].split())
