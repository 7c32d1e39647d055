"""The oldest Python that works, said plainly; written so that old Pythons can read it."""

import sys

MINIMUM_PYTHON = (3, 11)


def python_problem(version: "tuple[int, ...]") -> str:
    """Say why this Python will not do, or return an empty string.

    Args:
        version: Like `sys.version_info`, at least major and minor.
    """
    if tuple(version[:2]) >= MINIMUM_PYTHON:
        return ""
    # No f-string and no newer syntax: this file runs on the Pythons that it turns away.
    return (
        "Transfer Lab needs Python {}.{} or newer; this is {}.{}.\n"
        "Install a newer Python, or start the same command with one that you have, such as python3.12."
    ).format(*(MINIMUM_PYTHON + tuple(version[:2])))


def check_python() -> None:
    """End the program with a plain sentence when this Python is too old."""
    problem = python_problem(tuple(sys.version_info[:2]))
    if problem:
        sys.exit(problem)
