"""Which levels of folders may be the classes, which are groups, and when a careful person would hesitate."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from tlcore.dataset import MAX_CLASSES
from tlcore.intake.meaning.file_names import (
    NEARLY_ALL,
    are_numbered,
    are_pieces,
    is_group_name,
    without_numbers,
    words_of,
)
from tlcore.intake.meaning.folders import MOST, Branch
from tlcore.intake.meaning.parts import is_unlabelled, part_of

LevelKind = Literal["names", "factor", "group", "same"]
"""What tells things apart; what is a circumstance (magnification, number); what belongs together; one folder only."""

# More classes than this on either side are no two ways of sorting the same things, such as fruit and freshness.
_FEW = 20
# So many folders with digits in their names in each class are clips or places rather than kinds.
_MANY = 10
# Groups that may well be what is told apart.
_PERHAPS_CLASSES = frozenset(("person", "individual", "animal", "specimen"))
_SETS = frozenset(("set", "sets", "data", "dataset", "datasets", "image", "images", "pictures", "photos", "archive"))
_CIRCUMSTANCE = re.compile(
    r"(x|mag|zoom|res|size|scale|level|angle|view|rot)?[\s._-]*\d+([.,]\d+)?\s*(x\d*|px|mm|cm|m|nm|um|µm|deg|°|dpi|k|s|ms|%)?"
    r"|\d{1,4}([-_. ]\d{1,4}){1,2}",  # a date
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
    kind = _kind(names, repeats, per_top, weight / max(1, len(folders)))
    return Level(at, kind, names, repeats, reaching, is_everywhere)


def _kind(names: Counter[str], repeats: float, per_top: float, pictures_each: float) -> LevelKind:
    """Return what the names of a level look like.

    Groups hold several pictures and have a word for it in their names (patient, slide, clip ...), or digits, and are
    many: at least three numbers, or ten other names, in each outermost folder on average, and not the same few in each.
    """
    if len(names) < 2:
        return "same"
    if are_pieces(names):
        return "factor"
    if pictures_each >= 1.5:
        if sum(map(is_group_name, names)) >= NEARLY_ALL * len(names):
            return "group"
        many = 3 if _are_numbers(names) else _MANY
        if _have_digits(names) and per_top >= many and (repeats < 0.5 or len(names) > _FEW):
            return "group"
    return "factor" if all(_CIRCUMSTANCE.fullmatch(name.strip()) for name in names) else "names"


def _are_numbers(names: Iterable[str]) -> bool:
    """Return whether names are little else than numbers: `10253`, `B_14-22549AB`, `fish_01`; not `001.Albatross`."""
    found = list(names)
    short = sum(max(map(len, re.findall(r"[^\W\d_]+", name)), default=0) <= 3 for name in found)
    alike = len(set(map(without_numbers, found)))
    return _have_digits(found) and (short >= NEARLY_ALL * len(found) or alike <= max(1, len(found) / 5))


def _have_digits(names: Iterable[str]) -> bool:
    found = [any(c.isdigit() for c in name) for name in names]
    return sum(found) >= NEARLY_ALL * len(found)


def choose_levels(levels: Sequence[Level]) -> Choice:
    """Decide which level is the class.

    1. The outermost one that differs is the class, as in Keras and torchvision; what lies deeper is of no meaning, or
       a group.
    2. If the outermost folders are patients, slides ... (or very many numbered ones) that all hold the same few
       folders, these are the classes.
    3. A careful person hesitates, and is asked, where two levels cross each other (each name of one lies in several
       folders of the other), the outermost has few names, and the inner one is no circumstance, such as a
       magnification, and does not lie below a group; and where there are folders with names in outermost folders that
       differ by a number only, or are called sets or pictures (`lung_images`), or in one only that is called so, or a
       part, or holds nearly everything, or lies beside `unsorted` ones.
    """
    if not levels or not levels[0].names:
        return Choice((0,), True, (), ())
    top, *below = levels
    usable = [level for level in below if level.kind != "same" and level.is_everywhere]
    groups = [level.at for level in below if level.kind == "group" and level.is_everywhere]
    crossing = [level for level in usable if level.repeats >= 0.5]
    fit = [level for level in crossing if level.kind != "group" and len(level.names) <= MAX_CLASSES]
    if (inner := _class_in_groups(top, fit)) is not None:
        order = _ordered(levels, [inner, 0])
        is_clear = top.kind == "group" and not any(set(words_of(name)) & _PERHAPS_CLASSES for name in top.names)
        return Choice(order, is_clear, (), tuple(g for g in (0, *groups) if g != inner))
    crossed = [level.at for level in fit if level.kind == "names" and not any(group < level.at for group in groups)]
    named = [level.at for level in usable if level.kind == "names" and level.repeats < 0.5]
    # Digits are the classes of many a set; `shop_1` and `shop_2`, years or `128x128` around names rarely are.
    only_numbered = are_numbered(top.names) and min(map(len, top.names)) > 2
    is_circumstance = only_numbered or (top.kind == "factor" and min(map(len, top.names)) > 2)
    if crossed and len(top.names) <= _FEW:
        is_inner = is_circumstance or len(levels[crossed[0]].names) > _FEW
        first = [*crossed, 0] if is_inner else [0, *crossed]
        return Choice(_ordered(levels, first), False, (0, *crossed), tuple(groups))
    are_sets = all(map(_is_set, top.names))
    are_kinds = bool(named) and len(top.names) > 1 and not any(group < named[0] for group in groups)
    if are_kinds and (only_numbered or are_sets):
        return Choice(_ordered(levels, [named[0], 0]), False, (), tuple(groups))
    if (inner := _inside_one(levels)) is not None:
        tops = levels[inner].tops
        is_set = all(map(_is_set, tops)) or all(is_unlabelled(name) for name in top.names if name not in tops)
        return Choice(_ordered(levels, [inner, 0] if is_set else [0, inner]), False, (), tuple(groups))
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
    numbered = _are_numbers(top.names)
    for level in sorted(fit, key=lambda level: (level.kind != "names", level.at)):
        are_many = numbered and len(top.names) >= max(_FEW, 5 * len(level.names))
        if level.repeats >= MOST and (top.kind == "group" or are_many):
            return level.at
    return None


def _inside_one(levels: Sequence[Level]) -> int | None:
    """Return the level of the folders in the only one that has any, if that one may be the whole set."""
    names = levels[0].names
    for level in levels[1:]:
        if level.kind == "names" and len(level.tops) == 1 and len(names) > 1:
            (one,) = level.tops
            is_sorted = all(is_unlabelled(name) for name in names if name != one)
            if is_sorted or _is_set(one) or names[one] >= MOST * sum(names.values()):
                return level.at
    return None


def _is_set(name: str) -> bool:
    return part_of(name) is not None or bool(_SETS & set(words_of(name)))
