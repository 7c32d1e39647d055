"""Fixtures that many tests need: a data root of their own, the shared data folder."""

from pathlib import Path

import pytest

from tlcore.home import ENVIRONMENT_VARIABLE

SHARED_DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data root, set for this test and the processes that it starts."""
    root = tmp_path / "home"
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(root))
    return root


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The shared data folder beside the checkout, with real images for tests only."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the shared data folder is not beside the checkout")
    return SHARED_DATA
