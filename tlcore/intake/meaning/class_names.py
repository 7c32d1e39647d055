"""From the names of folders, and what label files say, to usable names of classes; only text, no files."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable

from tlcore.dataset import MAX_CLASS_NAME_LENGTH, clean_class_name
from tlcore.intake.names import similarity_key


def class_names(folders: Iterable[str]) -> dict[str, str]:
    """Give each folder name a usable class name; different folders never get the same one."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    for folder in sorted(set(folders), key=lambda f: (len(f), f)):
        name = unique = _usable(folder)
        number = 2
        while unique in taken:
            unique = f"{name} ({number})"
            number += 1
        taken.add(unique)
        names[folder] = unique
    return names


def similar_names(names: Iterable[str]) -> tuple[tuple[str, ...], ...]:
    """Return the groups of different names that look alike to a person, sorted."""
    groups: defaultdict[str, set[str]] = defaultdict(set)
    for name in names:
        groups[similarity_key(re.sub(r" \(\d+\)$", "", name))].add(name)
    return tuple(tuple(sorted(group)) for _, group in sorted(groups.items()) if len(group) > 1)


def natural(name: str) -> tuple[list[tuple[int, str]], str]:
    """Sort as people do: 2 before 10, whatever the case."""
    pieces = re.findall(r"[0-9]+|[^0-9]+", name.casefold())
    return [(int(p), "") if p.isascii() and p.isdigit() else (-1, p) for p in pieces], name


def _usable(folder: str) -> str:
    text = unicodedata.normalize("NFC", folder)
    text = " ".join("".join(c for c in text if c.isprintable() or c.isspace()).split())
    return clean_class_name(text[: MAX_CLASS_NAME_LENGTH - 6] or "unnamed")  # room for a number
