"""The audit of the packages: what is known is named, silence is not taken for safety, and no network is no failure."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from tests.audit import NOT_DONE, audit, report
from tests.page_tests import ROOT_DIR

FAULT = {"id": "PYSEC-1", "fix_versions": ["1.1", "2.0"], "aliases": [], "description": "It is open."}


def test_known_faults_are_named_with_the_version_that_mends_them() -> None:
    packages = [
        {"name": "good", "version": "1", "vulns": []},
        {"name": "bad", "version": "1.0", "vulns": [FAULT, FAULT | {"id": "PYSEC-2", "fix_versions": []}]},
        {"name": "hidden", "skip_reason": "not found"},
    ]
    assert report(packages).splitlines() == [
        "audit: FAULTS ARE KNOWN of what is installed; packages asked about: 2, left out: 1:",
        "  bad 1.0: PYSEC-1, mended in 1.1, 2.0",
        "  bad 1.0: PYSEC-2, not mended yet",
    ]
    assert report(packages[:1]) == "audit: no faults are known; packages asked about: 1"


def test_packages_that_nobody_answered_about_are_not_called_safe() -> None:
    assert report([{"name": "six", "skip_reason": "Dependency not found"}]) == NOT_DONE
    assert report([]) == NOT_DONE


def test_without_a_network_the_audit_says_so_within_seconds() -> None:
    nowhere = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:9")
    started = time.monotonic()
    variables = {**os.environ, **nowhere}
    assert audit(Path(sys.executable), ROOT_DIR / "requirements.lock", variables) == NOT_DONE
    assert time.monotonic() - started < 20


@pytest.mark.parametrize("text", ["print('no json')", "raise SystemExit(1)", "print('{}')"])
def test_a_broken_tool_is_no_failure(text: str, tmp_path: Path) -> None:
    (tmp_path / "pip_audit.py").write_text(text)
    variables = {**os.environ, "PYTHONPATH": str(tmp_path)}
    assert audit(Path(sys.executable), ROOT_DIR / "requirements.lock", variables) == NOT_DONE
