"""What folders, names of files and label files mean together: the readings of everything that was brought."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from tlcore.dataset import MAX_CLASSES, Split
from tlcore.errors import DatasetError
from tlcore.intake.meaning.aside import Aside
from tlcore.intake.meaning.file_names import NEARLY_ALL, are_pieces, is_group_name
from tlcore.intake.meaning.folders import read_folders
from tlcore.intake.meaning.interpreting import (
    Outline,
    file_key,
    level_key,
    read_file,
    read_file_names,
    read_joined,
    read_leaves,
    read_level,
)
from tlcore.intake.meaning.levels import choose_levels, find_levels
from tlcore.intake.meaning.readings import FileLabels, Label, Reading, Readings
from tlcore.intake.meaning.shown import notes_of

_MAX_READINGS = 6


def read_tree(
    paths: Sequence[tuple[str, ...]],
    said: Sequence[FileLabels] = (),
    empty_folders: Sequence[tuple[str, ...]] = (),
    *,
    aside: Sequence[tuple[tuple[str, ...], Aside]] = (),
    wanted: str | int | None = None,
) -> Readings:
    """Return what folders, names of files and label files can mean, the likeliest first.

    The folders are read as `folders.py` (what lies around everything, parts) and `choose_levels` say. The
    names of files speak only where the folders tell no classes and no label file does. A label file that names most
    pictures decides where the folders tell no classes, or can be read in several ways; where both tell the same the
    folders stay, and where they differ it is a question.

    Args:
        paths: For each picture its parts: the name of what was brought (that of the ZIP without its ending, of the
            folder, "" for loose files), the folders, the name of the file. Several things brought come together.
        said: What label files say of these pictures, the likeliest first.
        empty_folders: Folders that hold nothing, likewise; they are classes without pictures.
        aside: Files that are left aside, for the tree that is shown.
        wanted: The key of a reading that is to be among those found even if nobody would propose it.
    """
    tree = read_folders(paths, empty_folders)
    places = {number: branch for branch in tree.branches for number in branch.pictures}
    levels = find_levels(tree.live)
    branches = [places[number] for number in range(len(paths))]
    outline = Outline(paths, branches, tree, levels, choose_levels(levels), aside)
    folders = [read_level(outline, at) for at in outline.choice.order]
    if outline.choice.crossed:
        folders.insert(len(outline.choice.crossed), read_joined(outline, outline.choice.crossed))
    found, is_clear = _with_files(outline, folders, said)
    found = _different(found)[:_MAX_READINGS]
    key = _key(wanted)
    if key is not None and key not in {reading.key for reading in found}:
        found += [reading for reading in _on_demand(outline, said, key) if reading.classes]
    return Readings(tuple(found), is_clear)


def choose(readings: Readings, key: str | int | None = None) -> Reading:
    """Return the reading of a key (a number N means `depth N`), or the first one if that is clear.

    Raises:
        DatasetError: If there is none of that key, or nothing was chosen where it is not clear; with all readings.
    """
    if key is None and readings.is_clear:
        return readings.found[0]
    for reading in readings.found:
        if reading.key == _key(key):
            return reading
    what = (
        "What you brought can be read in several ways. Choose one."
        if key is None
        else f"These pictures cannot be read as {key!r}. Choose another way."
    )
    raise DatasetError("\n".join((what, *(f'classes="{r.key}": {r.title} ({_counted(r)})' for r in readings.found))))


def _key(wanted: str | int | None) -> str | None:
    return level_key(wanted - 1) if isinstance(wanted, int) else "top" if wanted == "depth 1" else wanted


def _counted(reading: Reading) -> str:
    counts = Counter(label.class_name for label in reading.labels)
    shown = ", ".join(f"{name} {counts[name]:,}" for name in reading.classes[:8])
    return shown + (f" and {len(reading.classes) - 8:,} more" if len(reading.classes) > 8 else "")


def _different(readings: Iterable[Reading]) -> list[Reading]:
    """Return the readings without those that tell the same pictures apart as one before."""
    found: dict[tuple[int | None, ...], Reading] = {}
    for reading in readings:
        numbers: dict[str, int] = {}
        names = (label.class_name for label in reading.labels)
        apart = tuple(None if name is None else numbers.setdefault(name, len(numbers)) for name in names)
        found.setdefault(apart, reading)
    return list(found.values())


def _on_demand(outline: Outline, said: Sequence[FileLabels], key: str) -> list[Reading]:
    """Return the reading of a key that was not proposed, if there is one."""
    if key == "leaf":
        return [read_leaves(outline)]
    if key == "joined":
        levels = [lv.at for lv in outline.levels if lv.kind != "same" and lv.at not in outline.choice.groups]
        return [read_joined(outline, levels)]
    if key == "file names":
        return [read_file_names(outline)]
    by_level = [read_level(outline, level.at) for level in outline.levels if level_key(level.at) == key]
    return by_level or [read_file(outline, file) for file in said if file_key(file) == key]


def _with_files(outline: Outline, folders: Sequence[Reading], said: Sequence[FileLabels]) -> tuple[list[Reading], bool]:
    """Put what label files and names of files say among the readings of the folders; say whether the first is clear."""
    folders = list(folders)
    tells = _tells(folders[0])
    is_clear = outline.choice.is_clear
    confirmed: str | None = None
    others: list[Reading] = []
    unsure: list[Reading] = []
    more: list[tuple[Reading, tuple[str, ...]]] = []
    for file in said:
        reading = read_file(outline, file)
        if not reading.classes:
            notes = (*file.notes, f"{file.source} says parts or groups, no classes.")
            folders = [_merged(outline, own, reading, notes) for own in folders]
            more.append((reading, notes))
            continue
        twin = next((at for at, own in enumerate(folders) if tells and _agree(own, reading)), None)
        if twin is None:
            (others if file.is_sure else unsure).append(reading)
            continue
        notes = (*file.notes, f"{file.source} says the same as the folders.")
        folders[twin] = _merged(outline, folders[twin], reading, notes)
        if confirmed is None and _covered(outline, reading) >= NEARLY_ALL and (twin == 0 or not is_clear):
            folders.insert(0, folders.pop(twin))
            confirmed = folders[0].key
    for reading, notes in more:
        others = [_merged(outline, own, reading, notes) for own in others]
    strong = [reading for reading in others if _tells_apart(reading) and _covered(outline, reading) >= 0.5]
    weak = [reading for reading in others if reading not in strong and reading.classes]
    if not tells:
        names = read_file_names(outline)
        by_name = [names] if len(names.classes) > 1 else []
        if strong and by_name and all(map(str.isdigit, strong[0].classes)) and _agree(names, strong[0]):
            note = f"{strong[0].title.split(' says ')[0]} numbers the classes in the names of the files."
            strong[0] = _merged(outline, names, strong[0], (note,))
        if unsure and not (strong or by_name):  # columns of which none calls itself a class
            return [*unsure, *folders, *weak], len(unsure) == 1
        return [*strong, *by_name, *folders, *weak, *unsure], bool(strong or by_name) or is_clear
    if confirmed or not strong:
        return [*folders, *strong, *weak, *unsure], bool(confirmed) or is_clear
    if _covered(outline, strong[0]) >= NEARLY_ALL:
        return [*strong[:2], *folders, *weak, *unsure], False
    return [folders[0], *strong[:2], *folders[1:], *weak, *unsure], False


def _tells_apart(reading: Reading) -> bool:
    """Return whether a label file has several classes, and not one per picture, as a list of numbers has."""
    counts = Counter(label.class_name for label in reading.labels if label.class_name is not None)
    return len(counts) > 1 and (max(counts.values()) > 1 or len(counts) < 5)


def _tells(reading: Reading) -> bool:
    """Return whether folders tell classes: at least two, not pieces of one set, not groups, not one per picture."""
    counts = Counter(label.class_name for label in reading.labels if label.class_name is not None)
    if len(counts) < 2 or reading.key != "top":
        return len(counts) > 1
    is_else = are_pieces(counts) or all(is_group_name(name) for name in counts)
    return not is_else and len(counts) <= min(MAX_CLASSES, counts.total() / 2)


def _agree(one: Reading, other: Reading) -> bool:
    """Return whether two readings tell the same pictures apart wherever both say a class, or complete each other."""
    pairs = {
        (a.class_name, b.class_name)
        for a, b in zip(one.labels, other.labels, strict=True)
        if a.class_name is not None and b.class_name is not None
    }
    if not pairs:
        return set(other.classes) <= set(one.classes)
    return len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})


def _merged(outline: Outline, folders: Reading, file: Reading, notes: tuple[str, ...]) -> Reading:
    """Return the reading of the folders with what only a label file says: parts, groups, the class of some pictures.

    Where the folders are only numbers, the classes have the names in the file.
    """
    pairs = [(a.class_name, b.class_name) for a, b in zip(folders.labels, file.labels, strict=True)]
    same = {b: a for a, b in pairs if a is not None and b is not None}
    is_named = all(map(str.isdigit, folders.classes)) and not all(map(str.isdigit, file.classes))
    new = {a: b for b, a in same.items()} if is_named else {}
    labels: list[Label] = []
    for a, b in zip(folders.labels, file.labels, strict=True):
        told = b.class_name or ""
        name = a.class_name or same.get(told) or (told if told in folders.classes else None)
        labels.append(Label(new.get(name or "", name), a.split or b.split, a.group or b.group))
    classes = tuple(new.get(name) or name for name in folders.classes)
    outdated = notes_of(outline.tree, folders.labels)
    kept = tuple(note for note in folders.notes if note not in outdated)
    notes = (*kept, *notes, *notes_of(outline.tree, labels))
    return replace(folders, labels=tuple(labels), classes=classes, notes=notes)


def _covered(outline: Outline, reading: Reading) -> float:
    """Return the share of pictures that have a class, not counting parts in which none has one."""
    total: Counter[Split | None] = Counter()
    named: Counter[Split | None] = Counter()
    for branch, label in zip(outline.branches, reading.labels, strict=True):
        total[branch.split] += 1
        named[branch.split] += label.class_name is not None
    return named.total() / max(1, sum(total[split] for split in total if named[split]))
