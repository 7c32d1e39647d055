"""What a person is told about a reading: sentences, and the small tree of folders with what each means."""

from __future__ import annotations

import difflib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence

from tlcore.dataset import SPLITS, Split
from tlcore.intake.meaning.aside import Aside, why_aside
from tlcore.intake.meaning.class_names import natural
from tlcore.intake.meaning.folders import Branch, Tree
from tlcore.intake.meaning.readings import Folder, Label, Role
from tlcore.intake.names import similarity_key, some

_MAX_ROWS = 40
_SPLIT_WORDS: dict[Split, str] = {"train": "training", "validation": "validation", "test": "test"}


def listed(names: Sequence[str]) -> str:
    """Return names in a sentence; of many the first three and the number of the others."""
    if len(names) > 4:
        return f"{', '.join(names[:3])} and {len(names) - 3:,} more"
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def notes_of(tree: Tree, labels: Sequence[Label]) -> tuple[str, ...]:
    """Return what the person should know about these labels."""
    return (*tree.notes, *_without_class(tree, labels), *_across_parts(labels))


def _without_class(tree: Tree, labels: Sequence[Label]) -> Iterator[str]:
    """Count the pictures that are left aside because nothing says their class."""
    places: Counter[str] = Counter()
    for branch in tree.branches:
        count = sum(labels[number].class_name is None for number in branch.pictures)
        if count:
            places["/".join(folder for folder in branch.folders[1:] if folder) or "no folder"] += count
    total = places.total()
    if 0 < total < len(labels):  # if none has one, they all come into a class that waits to be named
        has, is_left, them = ("picture has", "is", "it") if total == 1 else ("pictures have", "are", "them")
        yield (
            f"{total:,} {has} no class ({some(sorted(places))}) and {is_left} left aside: nothing learns from {them}. "
            f"A trained model can be asked about {them} on Predict."
        )


def _across_parts(labels: Sequence[Label]) -> Iterator[str]:
    """Name classes that are not in every part, and names that may mean the same class in different parts."""
    parts: defaultdict[str, set[Split]] = defaultdict(set)
    for label in set(labels):
        if label.class_name is not None and label.split is not None:
            parts[label.class_name].add(label.split)
    given = [split for split in SPLITS if any(split in splits for splits in parts.values())]
    for split in given if len(given) > 1 else []:
        missing = sorted((name for name, splits in parts.items() if split not in splits), key=natural)
        if missing:
            yield f"Without {_SPLIT_WORDS[split]} pictures, as you brought it: {listed(missing)}."
    for a, b in _perhaps_the_same(parts):
        yield f"{a} and {b} are never in the same part and may be the same class. If so, merge them."


def _perhaps_the_same(parts: dict[str, set[Split]]) -> Iterator[tuple[str, str]]:
    """Yield pairs of names in different parts that are nearly alike, or one in the other; not those of equal keys."""
    given = set().union(*parts.values())
    lone = sorted((name for name, splits in parts.items() if splits != given), key=natural)
    keys = {name: similarity_key(name) for name in lone}
    for at, a in enumerate(lone):
        for b in lone[at + 1 :]:
            short, long = sorted((keys[a], keys[b]), key=len)
            if parts[a] & parts[b] or short == long:
                continue
            if (len(short) > 2 and short in long) or difflib.SequenceMatcher(None, short, long).ratio() >= 0.8:
                yield a, b


def rows_of(
    tree: Tree,
    class_levels: Collection[int],
    groups: Collection[int],
    aside: Sequence[tuple[tuple[str, ...], Aside]],
) -> tuple[Folder, ...]:
    """Return the small tree, at most some forty rows: all groups, and what lies below the classes, stand in it once.

    Args:
        tree: The folders.
        class_levels: The levels that are classes in the reading.
        groups: The levels of groups.
        aside: Files that are left aside with the reason of each.
    """
    rows = _rows(tree, class_levels, groups, all_classes=True)
    if len(rows) > _MAX_ROWS:
        rows = _rows(tree, class_levels, groups, all_classes=False)[:_MAX_ROWS]
    return (*rows, *_aside_rows(tree, aside))


def _rows(tree: Tree, class_levels: Collection[int], groups: Collection[int], *, all_classes: bool) -> list[Folder]:
    found: dict[tuple[str, ...], tuple[tuple[str, ...], Role, str]] = {}
    folders: defaultdict[tuple[str, ...], set[tuple[str, ...]]] = defaultdict(set)
    pictures: Counter[tuple[str, ...]] = Counter()
    for branch in tree.branches:
        key: tuple[str, ...] = ()
        below = False
        for prefix, role, why in _roles(tree, branch, class_levels, groups):
            is_one_row = below or role == "group" or (role == "class" and not all_classes)
            # A folder cannot have a slash in its name.
            own = (*key, f"/{role}" if is_one_row else prefix[-1])
            below = below or role in ("class", "group")
            key = (*key, "/class") if role == "class" else own
            found.setdefault(own, (prefix, role, why))
            folders[own].add(prefix)
            pictures[own] += len(branch.pictures)
    order = sorted(found, key=lambda key: [(name.startswith("/"), natural(name)) for name in key])
    return [
        Folder(prefix, role, pictures[key], _why(why, folders[key]))
        for key in order
        for prefix, role, why in [found[key]]
    ]


def _roles(
    tree: Tree, branch: Branch, class_levels: Collection[int], groups: Collection[int]
) -> Iterator[tuple[tuple[str, ...], Role, str]]:
    """Yield the path, the role and its reason of each folder around a branch, down to one that is left aside."""
    levels = {at: level for level, (at, _) in enumerate(branch.left)}
    for at, name in enumerate(branch.folders):
        prefix = branch.folders[: at + 1]
        level = levels.get(at)
        if not name:
            continue
        if level is not None and not branch.is_astray:
            yield prefix, "class" if level in class_levels else "group" if level in groups else "passed", ""
            continue
        role, why = tree.roles.get(prefix, ("passed", ""))
        yield prefix, role, why
        if role == "aside":
            return


def _why(why: str, folders: set[tuple[str, ...]]) -> str:
    """Say of a row for several folders how many there are, or their names where they repeat."""
    if len(folders) == 1:
        return why
    names = sorted({folder[-1] for folder in folders}, key=natural)
    repeat = len(names) < len(folders) and len(names) <= 4
    several = f"{listed(names) if len(names) > 1 else ''} in each".strip() if repeat else f"{len(folders):,} folders"
    return f"{several}, {why}" if why else several


def _aside_rows(tree: Tree, aside: Iterable[tuple[tuple[str, ...], Aside]]) -> Iterator[Folder]:
    """Yield a row per reason for the folders of which nothing is used, at the first of them."""
    used = {branch.folders[:depth] for branch in tree.branches for depth in range(len(branch.folders) + 1)}
    places: defaultdict[Aside, Counter[tuple[str, ...]]] = defaultdict(Counter)
    for parts, reason in aside:
        if reason.kind != "system" and parts[:-1] not in used:
            depths = range(2, len(parts))
            depth = next((d for d in depths if why_aside((*parts[1:d], parts[-1])) == reason), len(parts) - 1)
            places[reason][parts[:depth]] += 1
    for reason, counts in places.items():
        yield Folder(min(counts), "aside", counts.total(), reason.one if counts.total() == 1 else reason.many)
