"""Fixtures that many tests need: a data root of their own, a browser, the shared data folder."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Callable, Generator, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from tests.browser import open_browser
from tlcore.config import ModelConfig, RunConfig
from tlcore.home import ENVIRONMENT_VARIABLE, DataRoot, holding
from tlcore.storage.database import open_database

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.download_server import Get
    from tests.finished_runs import Finished
    from tests.server import AppServer

SHARED_DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what looks at everything where otherwise a sample stands for the rest."""
    parser.addoption("--every-backbone", action="store_true", help="save and train every backbone, not one per family")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest tests, so that no process still has one of them when the others are done."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Put what its servers said last beside a failed test: a page only names an error, the log has the traceback."""
    report = yield
    if report.failed and "tests.server" in sys.modules:
        from tests.server import AppServer

        for name, server in getattr(item, "funcargs", {}).items():
            if isinstance(server, AppServer):
                with contextlib.suppress(OSError):
                    report.sections.append((f"Log of the server `{name}`", server.last_words))
    return report


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataRoot:
    """An empty data root, set for this test and the processes that it starts."""
    root = DataRoot(tmp_path / "home")
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(root.path))
    return root


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all test processes of a run share: what is slow to make is made once, under a lock."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@pytest.fixture(scope="session")
def prepared_home(shared_folder: Path) -> DataRoot:
    """A data root with the embedded backbone ready for pictures of 64 pixels; for copying, as it is shared."""
    from tlcore.features import engines
    from tlcore.features.compiled import ensure_compiled, is_compiled
    from tlcore.model.cut import plan_model
    from tlcore.progress import TerminalProgress

    root, plan = DataRoot(shared_folder / "prepared"), plan_model(ModelConfig(image_size=64))
    with holding(shared_folder / "prepared.lock"):
        if not is_compiled(plan, root):
            with pytest.MonkeyPatch.context() as patched:
                patched.setattr(engines, "TRIAL_SECONDS", 0.05)
                ensure_compiled(plan, TerminalProgress(), root)
            # Not the faster engine of a busy moment, but always the one that needs no TensorFlow.
            always = engines.EngineSpeeds(engines.this_machine(), litert=2, tensorflow=1)
            engines.write_engine_speeds(plan.prefix, always, root)
    return root


@pytest.fixture
def ready_home(prepared_home: DataRoot, home: DataRoot) -> DataRoot:
    """A data root of this test's own, with the embedded backbone ready for pictures of 64 pixels."""
    shutil.copytree(prepared_home.path, home.path)
    return home


@pytest.fixture(scope="session")
def common_home(shared_folder: Path) -> DataRoot:
    """A data root as the app's first start leaves it; for copying, as it is shared."""
    from tests.server import prepare_home

    root = DataRoot(shared_folder / "common")
    with holding(shared_folder / "common.lock"):
        prepare_home(root)  # it returns at once where another process has done it
    return root


@pytest.fixture
def full_home(common_home: DataRoot, home: DataRoot) -> DataRoot:
    """A data root of this test's own, with the embedded backbone ready for pictures of its usual size."""
    shutil.copytree(common_home.compiled_dir, home.compiled_dir)
    return home


@pytest.fixture
def no_runner(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no process take the jobs that pages in the process of this test start: the test plays their worker."""
    monkeypatch.setattr("tlcore.jobs.control.start_module", lambda *_args, **_kwargs: None)


@pytest.fixture
def sleepers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Workers that sleep and a runner that soon leaves; whatever process a test leaves is ended."""
    import psutil

    before = set(psutil.Process().children(recursive=True))
    monkeypatch.setattr("tlcore.jobs.runner.WORKER_MODULE", "tests.workers.sleeper")
    monkeypatch.setattr("tlcore.jobs.control.RUNNER_MODULE", "tests.workers.short_runner")
    yield
    for process in set(psutil.Process().children(recursive=True)) - before:
        with contextlib.suppress(psutil.Error):
            process.kill()
            process.wait(5)


@pytest.fixture
def new_run(engine: sa.Engine) -> Callable[[], str]:
    """Puts a run of a project of its own in line."""
    from tests.queued_run import create_run
    from tlcore.storage.projects import create_project

    return lambda: create_run(engine, create_project(engine, "ann", "Cats").id, 1, RunConfig())


@pytest.fixture
def make_finished(home: DataRoot, no_runner: None) -> Callable[..., Finished]:
    """What makes a project of two colours, to which tests add finished runs: `tests.finished_runs.make_finished`."""
    from tests import finished_runs

    return partial(finished_runs.make_finished, home)


@pytest.fixture
def predictor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every run answer by the mean colour."""
    from tests.finished_runs import RED_OR_GREEN

    monkeypatch.setattr("tlcore.results.prediction.load_predictor", lambda _folder, _home=None: RED_OR_GREEN)


@pytest.fixture
def get(home: DataRoot) -> Iterator[Get]:
    """What asks a real server of the routes of downloads, for this test's data root."""
    from tests.download_server import asking

    with asking() as get:
        yield get


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser for the tests of one file; without one they are skipped."""
    try:
        with open_browser() as opened:
            yield opened
    except LookupError as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="module")
def engine(app: AppServer) -> sa.Engine:
    """The database of the app that the tests of a file have served."""
    return open_database(app.home)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The shared data folder beside the checkout, with real images for tests only."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the shared data folder is not beside the checkout")
    return SHARED_DATA
