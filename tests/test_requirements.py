"""The lock files: what the requirements name, everything with hashes, nothing that ties them to one place."""

import ast
import re
import sys
from pathlib import Path

import pytest

from tlcore.setup.environment import pinned

ROOT = Path(__file__).resolve().parents[1]
KINDS = ("requirements", "requirements-dev")


def requirements(path: Path) -> list[str]:
    """Return the requirements of a file, and those of the file that it includes, without their reasons."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        text = line.split("#")[0].strip()
        found += requirements(path.parent / text.removeprefix("-r ")) if text.startswith("-r ") else [text]
    return [text for text in found if text]


def pin(line: str) -> str:
    """Return `name==version` in one spelling, without markers."""
    name, version = line.split(";")[0].strip().removesuffix("\\").strip().split("==")
    return re.sub(r"[-_.]+", "-", name).lower() + "==" + version


def locked(kind: str) -> list[tuple[str, list[str]]]:
    """Return the packages of a lock file, each with its hashes."""
    text = (ROOT / f"{kind}.lock").read_text(encoding="utf-8")
    entries = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", "").splitlines()
    return [
        (entry.split(" --hash")[0].strip(), re.findall(r"--hash=sha256:[0-9a-f]{64}\b", entry)) for entry in entries
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_every_requirement_is_pinned_has_a_reason_and_is_locked_at_that_version(kind: str) -> None:
    path = ROOT / f"{kind}.txt"
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith(("#", "-r "))]
    assert all(re.fullmatch(r"\S+==\S+ .*# \S.*", line) for line in lines)
    assert {pin(line) for line in requirements(path)} <= {pin(line) for line, _ in locked(kind)}


@pytest.mark.parametrize("kind", KINDS)
def test_everything_locked_has_hashes_and_nothing_says_where_it_came_from(kind: str) -> None:
    assert len(locked(kind)) > 50
    assert [line for line, hashes in locked(kind) if not hashes or "==" not in line] == []
    assert not re.search(
        r"://|^-|index|find-links", (ROOT / f"{kind}.lock").read_text(encoding="utf-8").split("\n", 2)[2]
    )


def test_an_environment_for_more_serves_those_who_need_less() -> None:
    app, tests = (pinned(ROOT / f"{kind}.lock") for kind in KINDS)
    assert app < tests


def test_what_is_imported_is_a_requirement_of_its_own() -> None:
    spelled = {"PIL": "pillow", "cv2": "opencv-python-headless", "sklearn": "scikit-learn", "skimage": "scikit-image"}
    spelled |= {"tensorflow": "tensorflow-cpu", "ai_edge_litert": "ai-edge-litert", "cyclonedx": "cyclonedx-python-lib"}
    ours = {"tlcore", "pages", "app", "tests", "pixels"}  # the last one lies beside the self test of a bundle
    for folders, kind in ((("tlcore", "pages"), "requirements"), (("tests",), "requirements-dev")):
        declared = {pin(line).split("==")[0] for line in requirements(ROOT / f"{kind}.txt")}
        files = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
        imported = {name for path in files for name in imports(path)} - ours - set(sys.stdlib_module_names)
        assert {spelled.get(name, name).replace("_", "-") for name in imported} <= declared


def imports(path: Path) -> set[str]:
    """Return the top-level modules that a file imports."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    from_others = {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level}
    return {name.split(".")[0] for name in plain | from_others}
