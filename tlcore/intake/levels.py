"""Which levels of folders may be the classes, which are groups, and when a careful person would hesitate."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from tlcore.dataset import MAX_CLASSES
from tlcore.intake.file_names import NEARLY_ALL, are_numbered, are_pieces, is_group_name
from tlcore.intake.folders import MOST, Branch

LevelKind = Literal["names", "factor", "group", "same"]
"""What tells things apart; what is a circumstance (magnification, number); what belongs together; one folder only."""

# More classes than this on either side are no two ways of sorting the same things, such as fruit and freshness.
_FEW = 20
_CIRCUMSTANCE = re.compile(
    r"(x|mag|zoom|res|size|scale|level|angle|view|rot)?[\s._-]*\d+([.,]\d+)?\s*(x\d*|px|mm|cm|m|nm|um|µm|deg|°|dpi|k|s|ms|%)?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Level:
    """The folders at one depth below parts and what lies around everything.

    Attributes:
        at: The depth; 0 is the outermost.
        kind: What its names look like.
        names: Pictures below each name.
        repeats: Share of the pictures whose folder's name stands below several outermost folders.
        tops: The outermost folders that are so deep.
        is_everywhere: Whether most pictures lie so deep.
    """

    at: int
    kind: LevelKind
    names: Counter[str]
    repeats: float
    tops: frozenset[str]
    is_everywhere: bool


@dataclass(frozen=True, slots=True)
class Choice:
    """Which levels may be the classes.

    Attributes:
        order: Levels, the likeliest first.
        is_clear: Whether the first is taken without a question.
        crossed: The levels that tell the same pictures apart in two ways, joined in one of the readings.
        groups: The levels of groups, outermost first.
    """

    order: tuple[int, ...]
    is_clear: bool
    crossed: tuple[int, ...]
    groups: tuple[int, ...]


def find_levels(branches: Sequence[Branch]) -> list[Level]:
    """Return the levels of these folders, outermost first."""
    depth = max((len(branch.left) for branch in branches), default=0)
    return [_level(branches, at) for at in range(depth)]


def _level(branches: Sequence[Branch], at: int) -> Level:
    names: Counter[str] = Counter()
    tops: defaultdict[str, set[str]] = defaultdict(set)
    folders: set[tuple[str, ...]] = set()
    for branch in branches:
        name, top = branch.name(at), branch.name(0)
        if name is not None and top is not None and branch.weight:
            names[name] += branch.weight
            tops[name].add(top)
            folders.add(tuple(folder for _, folder in branch.left[: at + 1]))
    weight = sum(names.values())
    repeated = sum(names[name] for name, above in tops.items() if len(above) > 1)
    repeats = repeated / max(1, weight) if at else 0.0
    reaching = frozenset().union(*tops.values())
    per_top = len(folders) / max(1, len(reaching))
    is_everywhere = weight >= MOST * sum(branch.weight for branch in branches)
    return Level(at, _kind(names, repeats, per_top), names, repeats, reaching, is_everywhere)


def _kind(names: Counter[str], repeats: float, folders_per_class: float) -> LevelKind:
    """Return what the names of a level look like.

    Groups have a word for it in their names (patient, slide, clip ...), or numbers, at least three of them in each
    outermost folder on average, and are not the same few in each.
    """
    if len(names) < 2:
        return "same"
    if _share(is_group_name(name) for name in names) >= NEARLY_ALL:
        return "group"
    if are_pieces(names):
        return "factor"
    with_digits = _share(any(c.isdigit() for c in name) for name in names) >= NEARLY_ALL
    if with_digits and folders_per_class >= 3 and (repeats < 0.5 or len(names) > _FEW):
        return "group"
    return "factor" if all(_CIRCUMSTANCE.fullmatch(name.strip()) for name in names) else "names"


def _share(found: Iterable[bool]) -> float:
    answers = list(found)
    return sum(answers) / len(answers)


def choose_levels(levels: Sequence[Level]) -> Choice:
    """Decide which level is the class.

    1. The outermost one that differs is the class, as in Keras and torchvision; what lies deeper is of no meaning, or
       a group.
    2. If the outermost folders are patients, slides ... (or very many numbered ones) that all hold the same few
       folders, these are the classes.
    3. A careful person hesitates, and is asked, where two levels cross each other (each name of one lies in several
       folders of the other), both have few names and neither is a circumstance, such as a magnification, or lies below
       a group; and where the outermost folders differ by a number only, or one of them holds nearly everything, and
       there are folders with names inside.
    """
    if not levels or not levels[0].names:
        return Choice((), True, (), ())
    top, *below = levels
    usable = [level for level in below if level.kind != "same" and level.is_everywhere]
    groups = [level.at for level in below if level.kind == "group" and level.is_everywhere]
    crossing = [level for level in usable if level.repeats >= 0.5]
    fit = [level for level in crossing if level.kind != "group" and len(level.names) <= _FEW]
    if (inner := _class_in_groups(top, fit)) is not None:
        order = _ordered(levels, [inner, 0])
        return Choice(order, top.kind == "group", (), tuple(g for g in (0, *groups) if g != inner))
    crossed = [level.at for level in fit if level.kind == "names" and not any(group < level.at for group in groups)]
    named = [level.at for level in usable if level.kind == "names"]
    # Bare numbers are the classes of many a set (digits); `shop_1` and `shop_2` rarely are.
    only_numbered = are_numbered(top.names) and top.kind == "names"
    if crossed and len(top.names) <= _FEW:
        first = [*crossed, 0] if only_numbered else [0, *crossed]
        return Choice(_ordered(levels, first), False, (0, *crossed), tuple(groups))
    if named and only_numbered and not any(group < named[0] for group in groups):
        return Choice(_ordered(levels, [named[0], 0]), False, (), tuple(groups))
    if (inner := _inside_largest(levels)) is not None:
        return Choice(_ordered(levels, [inner, 0]), False, (), tuple(groups))
    if len(top.names) > MAX_CLASSES and named and len(levels[named[0]].names) <= MAX_CLASSES:
        return Choice(_ordered(levels, [named[0], 0]), False, (), tuple(groups))
    return Choice(_ordered(levels, [0]), True, (), tuple(groups))


def _ordered(levels: Sequence[Level], first: Sequence[int]) -> tuple[int, ...]:
    """Return the levels that can be offered: these first, circumstances and groups last, deeper ones before."""
    rank: dict[LevelKind, int] = {"names": 0, "factor": 1, "group": 2, "same": 3}
    others = [level for level in levels if level.at not in first and level.kind != "same" and level.is_everywhere]
    others.sort(key=lambda level: (rank[level.kind], level.at))
    return (*first, *(level.at for level in others if len(level.names) <= MAX_CLASSES))


def _class_in_groups(top: Level, fit: Sequence[Level]) -> int | None:
    """Return the level of the classes if the outermost folders are groups that hold all classes."""
    numbered = _share(any(c.isdigit() for c in name) for name in top.names) >= NEARLY_ALL
    for level in sorted(fit, key=lambda level: (level.kind != "names", level.at)):
        are_many = numbered and len(top.names) >= max(_FEW, 5 * len(level.names))
        if level.repeats >= MOST and (top.kind == "group" or are_many):
            return level.at
    return None


def _inside_largest(levels: Sequence[Level]) -> int | None:
    """Return the level inside the one folder that holds nearly everything, if only this one has folders with names."""
    largest, count = levels[0].names.most_common(1)[0]
    if len(levels[0].names) < 2 or count < MOST * sum(levels[0].names.values()):
        return None
    return next((lv.at for lv in levels[1:] if lv.is_everywhere and lv.kind == "names" and lv.tops == {largest}), None)
