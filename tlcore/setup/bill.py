"""`python3 -m tlcore.setup.bill`: a software bill of materials, every package that the app is made of, as CycloneDX."""

from __future__ import annotations

import hashlib
import json
import re
import sys
import tomllib
import uuid
from pathlib import Path

from tlcore.setup.environment import pinned
from tlcore.setup.installing import SetupError

ROOT = Path(__file__).resolve().parents[2]

_PACKAGE = re.compile(r"(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;\\]+)\s*(?:;\s*(?P<where>[^\\#]*))?")
"""A line of a lock file, or of requirements: name, version and, after a semicolon, on which computers."""


def bill_of_materials(root: Path = ROOT) -> dict[str, object]:
    """Return the bill of what `requirements.lock` installs; the same lock gives the same bill, word for word.

    Args:
        root: The project's folder.

    Returns:
        A JSON object of CycloneDX 1.6: the app, one component for each package with its package URL, and which of them
        the app asks for itself. A package that only some computers get says which, in a property.

    Raises:
        SetupError: If the lock file is not there, as in a copy that pip has installed.
    """
    try:
        lock = (root / "requirements.lock").read_bytes()
        requirements = (root / "requirements.txt").read_text("utf-8")
        project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    except OSError as error:
        raise SetupError(
            f"The bill is made from requirements.lock, requirements.txt and pyproject.toml, and {root} does not have "
            "all three. Run this command in the folder of the project's source."
        ) from error
    packages = [found for line in sorted(pinned(root / "requirements.lock")) if (found := _PACKAGE.match(line))]
    asked_for = {_url(found) for line in requirements.splitlines() if (found := _PACKAGE.match(line))}
    app = f"pkg:generic/{project['name']}@{project['version']}"
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, hashlib.sha256(lock).hexdigest())}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": app,
                "name": project["name"],
                "version": project["version"],
                "description": project["description"],
                "licenses": [{"license": {"id": project["license"]}}],
                "purl": app,
            },
            "properties": [{"name": "transfer-lab:lock-sha256", "value": hashlib.sha256(lock).hexdigest()}],
        },
        "components": [_component(package) for package in packages],
        "dependencies": [{"ref": app, "dependsOn": sorted(asked_for & {_url(package) for package in packages})}],
    }


def _url(package: re.Match[str]) -> str:
    # Package URLs spell names as the index does: small letters, one hyphen.
    return f"pkg:pypi/{re.sub(r'[-_.]+', '-', package['name']).lower()}@{package['version']}"


def _component(package: re.Match[str]) -> dict[str, object]:
    component: dict[str, object] = {
        "type": "library",
        "bom-ref": _url(package),
        "name": package["name"],
        "version": package["version"],
        "purl": _url(package),
    }
    where = (package["where"] or "").strip()
    if where:
        component["properties"] = [{"name": "transfer-lab:needed-where", "value": where}]
    return component


if __name__ == "__main__":
    try:
        print(json.dumps(bill_of_materials(), indent=2))
    except SetupError as problem:
        sys.exit(str(problem))
