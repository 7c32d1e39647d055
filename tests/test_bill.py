"""The bill of materials: every locked package once, what the app asks for itself, the same words each time."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tests.page_tests import ROOT_DIR
from tests.test_requirements import locked, pin, requirements
from tlcore.setup.bill import bill_of_materials
from tlcore.setup.installing import SetupError

HASH = f"    --hash=sha256:{'1' * 64}\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project of three packages, one of which asks for another, one only on Windows."""
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "small-app"\nversion = "1.2"\ndescription = "Small."\nlicense = "Apache-2.0"\n'
    )
    (tmp_path / "requirements.txt").write_text("# Reasons.\nBig_One==2.0.1    # a reason\n")
    lines = ("big-one==2.0.1 \\", "needed-by.it==0.1 \\", "other==3 ; sys_platform == 'win32' \\")
    (tmp_path / "requirements.lock").write_text("# made by hand\n" + "".join(f"{line}\n{HASH}" for line in lines))
    return tmp_path


def test_a_small_project_has_this_bill(root: Path) -> None:
    bill = bill_of_materials(root)
    assert (bill["bomFormat"], bill["specVersion"], bill["version"]) == ("CycloneDX", "1.6", 1)
    assert bill["components"] == [
        {
            "type": "library",
            "bom-ref": f"pkg:pypi/{spelled}@{version}",
            "name": name,
            "version": version,
            "purl": f"pkg:pypi/{spelled}@{version}",
            **more,
        }
        for name, spelled, version, more in (
            ("big-one", "big-one", "2.0.1", {}),
            ("needed-by.it", "needed-by-it", "0.1", {}),
            (
                "other",
                "other",
                "3",
                {"properties": [{"name": "transfer-lab:needed-where", "value": "sys_platform == 'win32'"}]},
            ),
        )
    ]
    assert bill["dependencies"] == [{"ref": "pkg:generic/small-app@1.2", "dependsOn": ["pkg:pypi/big-one@2.0.1"]}]


def test_another_lock_has_another_number_and_the_same_one_the_same_bill(root: Path) -> None:
    bill = bill_of_materials(root)
    assert bill_of_materials(root) == bill
    with (root / "requirements.lock").open("a") as lock:
        lock.write(f"one-more==1 \\\n{HASH}")
    assert bill_of_materials(root)["serialNumber"] != bill["serialNumber"]


def test_the_command_lists_every_locked_package_once_and_needs_none_of_them() -> None:
    command = [sys.executable, "-S", "-m", "tlcore.setup.bill"]
    done = subprocess.run(command, cwd=ROOT_DIR, capture_output=True, text=True, check=True, timeout=60)
    bill = json.loads(done.stdout)
    components = bill["components"]
    assert {f"{one['purl'].removeprefix('pkg:pypi/').replace('@', '==')}" for one in components} == {
        pin(line) for line, _ in locked("requirements")
    }
    assert len({one["bom-ref"] for one in components}) == len(components) > 50
    ours = {pin(line) for line in requirements(ROOT_DIR / "requirements.txt")}
    (direct,) = bill["dependencies"]
    assert {url.removeprefix("pkg:pypi/").replace("@", "==") for url in direct["dependsOn"]} == ours


def test_the_bill_keeps_to_its_published_schema() -> None:
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    assert validator.validate_str(json.dumps(bill_of_materials())) is None
    wrong = bill_of_materials() | {"components": [{"name": "no type"}]}
    assert validator.validate_str(json.dumps(wrong)) is not None


def test_where_there_is_no_lock_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"made from requirements\.lock.*folder of the project's source"):
        bill_of_materials(tmp_path)
