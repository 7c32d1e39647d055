"""What folders, names of files and label files mean together: the readings of everything that was brought."""

from __future__ import annotations

import difflib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from tlcore.dataset import MAX_CLASSES, SPLITS, Split
from tlcore.errors import DatasetError
from tlcore.intake.aside import Aside
from tlcore.intake.file_names import NEARLY_ALL, are_pieces, classes_in_names, clips_in_names, is_group_name
from tlcore.intake.folders import Branch, Tree, is_container, read_folders, some
from tlcore.intake.labels import class_names, natural
from tlcore.intake.levels import Choice, Level, choose_levels, find_levels
from tlcore.intake.names import similarity_key
from tlcore.intake.readings import FileLabels, Folder, Label, Reading, Readings, Role

_MAX_READINGS = 6
_MAX_ROWS = 40
_SPLIT_WORDS: dict[Split, str] = {"train": "training", "validation": "validation", "test": "test"}


@dataclass(frozen=True, slots=True)
class _Brought:
    """Everything that is read: paths, the tree of their folders, its levels and which of them may be classes."""

    paths: Sequence[tuple[str, ...]]
    tree: Tree
    levels: Sequence[Level]
    choice: Choice
    aside: Sequence[tuple[tuple[str, ...], Aside]]

    @property
    def file_names(self) -> list[str]:
        return [path[-1] for path in self.paths]


def read_tree(
    paths: Sequence[tuple[str, ...]],
    said: Sequence[FileLabels] = (),
    empty_folders: Sequence[tuple[str, ...]] = (),
    *,
    aside: Sequence[tuple[tuple[str, ...], Aside]] = (),
    wanted: str | int | None = None,
) -> Readings:
    """Return what folders, names of files and label files can mean, the likeliest first.

    The folders are read as `tlcore.intake.folders` (what lies around everything, parts) and `choose_levels` say.
    A label file that names most pictures decides where the folders tell no classes; where both tell the same, the
    folders stay; where they differ, it is a question. The names of files speak only where nothing else does.

    Args:
        paths: For each picture its parts: the name of what was brought (that of the ZIP without its ending, of the
            folder, "" for loose files), the folders, the name of the file. Several things brought come together.
        said: What label files say of these pictures, the likeliest first.
        empty_folders: Folders that hold nothing, likewise; they are classes without pictures.
        aside: Files that are left aside, for the tree that is shown.
        wanted: The key of a reading that is to be among those found even if nobody would propose it.
    """
    tree = read_folders(paths, empty_folders)
    levels = find_levels(tree.live)
    brought = _Brought(paths, tree, levels, choose_levels(levels), aside)
    folders = [_of_level(brought, at) for at in brought.choice.order] or [_of_level(brought, 0)]
    if brought.choice.crossed:
        folders.insert(len(brought.choice.crossed), _joined(brought, brought.choice.crossed))
    found, is_clear = _with_files(brought, folders, said)
    found = _different(found)[:_MAX_READINGS]
    key = _key(wanted)
    if key is not None and key not in {reading.key for reading in found}:
        found += _on_demand(brought, said, key)
    return Readings(tuple(found), is_clear or len(found) == 1)


def choose(readings: Readings, key: str | int | None = None) -> Reading:
    """Return the reading of a key (a number N means `depth N`), or the first one if that is clear.

    Raises:
        DatasetError: If there is none of that key, or nothing was chosen where it is not clear; with all readings.
    """
    listed = "; ".join(f'classes="{r.key}": {r.title} ({_counted(r)})' for r in readings.found)
    if key is None:
        if readings.is_clear:
            return readings.found[0]
        raise DatasetError(f"What you brought can be read in several ways. Choose one: {listed}.")
    for reading in readings.found:
        if reading.key == _key(key):
            return reading
    raise DatasetError(f"These pictures cannot be read as {key!r}. Choose one of these: {listed}.")


def _key(wanted: str | int | None) -> str | None:
    key = f"depth {wanted}" if isinstance(wanted, int) else wanted
    return "top" if key == "depth 1" else key


def _counted(reading: Reading) -> str:
    counts = Counter(label.class_name for label in reading.labels)
    shown = [f"{name} {counts[name]:,}" for name in reading.classes[:8]]
    return ", ".join(shown) + (f" and {len(reading.classes) - 8:,} more" if len(reading.classes) > 8 else "")


def _different(readings: Iterable[Reading]) -> list[Reading]:
    """Return the readings without those that tell the same pictures apart as one before."""
    found: dict[tuple[int | None, ...], Reading] = {}
    for reading in readings:
        numbers: dict[str, int] = {}
        names = (label.class_name for label in reading.labels)
        signature = tuple(None if n is None else numbers.setdefault(n, len(numbers)) for n in names)
        found.setdefault(signature, reading)
    return list(found.values())


def _on_demand(brought: _Brought, said: Sequence[FileLabels], key: str) -> list[Reading]:
    """Return the reading of a key that was not proposed, if there is one."""
    if key == "leaf":
        return [_leaf(brought)]
    if key == "joined" and brought.levels:
        several = [
            level.at for level in brought.levels if level.kind != "same" and level.at not in brought.choice.groups
        ]
        return [_joined(brought, several or [0])]
    if key == "file names":
        return [_of_file_names(brought)]
    depths = {("top" if level.at == 0 else f"depth {level.at + 1}"): level.at for level in brought.levels}
    if key in depths:
        return [_of_level(brought, depths[key])]
    return [_of_file(brought, labels) for labels in said if _file_key(labels) == key]


# Readings of folders


def _of_level(brought: _Brought, at: int) -> Reading:
    key = "top" if at == 0 else f"depth {at + 1}"

    def class_of(branch: Branch) -> str | None:
        name = branch.name(at)
        if name is not None and is_container(name) and len(brought.levels) == 1 and len(brought.levels[0].names) < 2:
            around = [folder for folder in branch.folders[: branch.left[0][0]] if folder and not is_container(folder)]
            return around[-1] if around else name
        return name

    return _of_folders(brought, key, class_of, [at], "{} are the classes", "Everything is the class {}")


def _leaf(brought: _Brought) -> Reading:
    def class_of(branch: Branch) -> str | None:
        return branch.left[-1][1] if branch.left else None

    title = "The innermost folders are the classes, equal names joined: {}"
    return _of_folders(brought, "leaf", class_of, [], title, title)


def _joined(brought: _Brought, levels: Sequence[int]) -> Reading:
    def class_of(branch: Branch) -> str | None:
        names = [name for at in sorted(levels) if (name := branch.name(at)) is not None]
        return " ".join(names) or None

    title = "The names of both levels together are the classes: {}"
    return _of_folders(brought, "joined", class_of, levels, title, title)


def _of_folders(
    brought: _Brought,
    key: str,
    class_of: Callable[[Branch], str | None],
    class_levels: Sequence[int],
    title: str,
    title_of_one: str,
) -> Reading:
    """Return a reading in which all pictures of a folder have the same class."""
    tree = brought.tree
    said = {b.folders: None if b.is_astray else class_of(b) for b in tree.branches}
    usable = class_names(name for name in said.values() if name is not None)
    labels: list[Label] = [Label(None)] * len(brought.paths)
    groups = [at for at in brought.choice.groups if at not in class_levels][:1]
    for branch in tree.branches:
        name = said[branch.folders]
        label = Label(None if name is None else usable[name], branch.split, _group_of(branch, groups))
        for number in branch.pictures:
            labels[number] = label
    if not groups:
        labels = _with_clips(brought, labels)
    classes = sorted(usable.values(), key=natural)
    sentence = (title if len(classes) != 1 else title_of_one).format(_listed(classes))
    rows = _rows(brought, class_levels, groups)
    return Reading(key, sentence, tuple(labels), tuple(classes), rows, _notes(brought, labels))


def _group_of(branch: Branch, groups: Sequence[int]) -> str | None:
    """Return the folder of the outermost level of groups, with those around it, so that no two groups share a name."""
    if not groups or branch.is_astray or len(branch.left) <= groups[0]:
        return None
    return "/".join(name for _, name in branch.left[: groups[0] + 1])


def _with_clips(brought: _Brought, labels: Sequence[Label]) -> list[Label]:
    """Return the labels with the groups that the names of files say, class by class."""
    members: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
    places = {number: b for b in brought.tree.branches for number in b.pictures}
    for number, label in enumerate(labels):
        if label.class_name is not None and label.group is None:
            folders = tuple(name for _, name in places[number].left)
            members[(label.class_name, *folders)].append(number)
    result = list(labels)
    for place, numbers in members.items():
        clips = clips_in_names([brought.paths[number][-1] for number in numbers])
        for number, clip in zip(numbers, clips, strict=True):
            if clip is not None:
                result[number] = replace(labels[number], group="/".join((*place, clip)))
    return result


# Readings of the names of files and of label files


def _of_file_names(brought: _Brought) -> Reading:
    """Return the classes that the names of files say, part by part: those of a test folder often say nothing."""
    names = brought.file_names
    splits = [b.split for b in sorted(brought.tree.branches, key=lambda b: b.folders)]
    said: list[str | None] = [None] * len(names)
    part: dict[int, Branch] = {number: b for b in brought.tree.branches for number in b.pictures}
    members: defaultdict[Split | None, list[int]] = defaultdict(list)
    for number in range(len(names)):
        if not part[number].is_astray:
            members[part[number].split].append(number)
    for split in dict.fromkeys(splits):
        numbers = members[split]
        for number, name in zip(numbers, classes_in_names([names[number] for number in numbers]), strict=True):
            said[number] = name
    usable = class_names(name for name in said if name is not None)
    labels = [
        Label(None if (name := said[number]) is None else usable[name], part[number].split)
        for number in range(len(names))
    ]
    labels = _with_clips(brought, labels)
    classes = sorted(usable.values(), key=natural)
    title = f"The names of the files say the class: {_listed(classes)}"
    return Reading("file names", title, tuple(labels), tuple(classes), _rows(brought, (), ()), _notes(brought, labels))


def _file_key(labels: FileLabels) -> str:
    return f"{labels.source}: {labels.column}" if labels.column else labels.source


def _of_file(brought: _Brought, labels: FileLabels) -> Reading:
    """Return what a label file says; it is silent about parts or groups where the folders may say them."""
    place = {number: b for b in brought.tree.branches for number in b.pictures}
    usable = class_names(label.class_name for label in labels.labels if label and label.class_name is not None)
    merged: list[Label] = []
    groups = _groups_of_file(brought, labels)
    for number, label in enumerate(labels.labels):
        branch = place[number]
        group = _group_of(branch, groups)
        name = label.class_name if label else None
        split, own_group = (label.split, label.group) if label else (None, None)
        merged.append(Label(None if name is None else usable[name], split or branch.split, own_group or group))
    if not groups:
        merged = _with_clips(brought, merged)
    classes = sorted(usable.values(), key=natural)
    column = f", in its column {labels.column}" if labels.column else ""
    title = f"{labels.source} says the class{column}: {_listed(classes)}"
    notes = (*labels.notes, *_notes(brought, merged))
    return Reading(_file_key(labels), title, tuple(merged), tuple(classes), _rows(brought, (), groups), notes)


def _groups_of_file(brought: _Brought, labels: FileLabels) -> list[int]:
    """Return the level of groups where a label file says the classes; the outermost one too, if it looks like groups."""
    if any(label and label.group is not None for label in labels.labels):
        return []
    top = brought.levels[0] if brought.levels else None
    if top and len(top.names) > 1 and sum(map(is_group_name, top.names)) >= NEARLY_ALL * len(top.names):
        return [0]
    return list(brought.choice.groups[:1])


def _with_files(brought: _Brought, folders: list[Reading], said: Sequence[FileLabels]) -> tuple[list[Reading], bool]:
    """Put the readings of label files and of names of files among those of the folders; say whether the first is clear."""
    first = folders[0]
    tells = _tells(brought, first)
    files: list[Reading] = []
    for labels in said:
        reading = _of_file(brought, labels)
        if not tells or not _agrees(first, reading):
            files.append(reading)
            continue
        if _only_numbers(first.classes) and not _only_numbers(reading.classes):
            first = _filled(reading, first, f"{labels.source} names the numbered folders.")
        else:
            first = _filled(first, reading, f"{labels.source} says the same as the folders; the folders are used.")
    folders = [first, *folders[1:]]
    strong = [reading for reading in files if len(reading.classes) > 1 and _covered(brought, reading) >= 0.5]
    weak = [reading for reading in files if reading not in strong and reading.classes]
    if tells:
        if not strong:
            return [*folders, *weak], brought.choice.is_clear
        nearly_all = _covered(brought, strong[0]) >= NEARLY_ALL
        return ([*strong[:2], *folders, *weak] if nearly_all else [*folders[:1], *strong, *folders[1:], *weak]), False
    names = _of_file_names(brought)
    by_name = [names] if len(names.classes) > 1 else []
    return [*strong, *by_name, *folders, *weak], bool(strong or by_name) or brought.choice.is_clear


def _tells(brought: _Brought, reading: Reading) -> bool:
    """Return whether the folders tell classes: at least two, not numbered pieces of one set, not one per picture."""
    counts = Counter(label.class_name for label in reading.labels if label.class_name is not None)
    pieces = bool(brought.levels) and are_pieces(brought.levels[0].names) and reading.key == "top"
    are_groups = reading.key == "top" and bool(counts) and all(is_group_name(name) for name in counts)
    return len(counts) > 1 and not pieces and not are_groups and len(counts) <= min(MAX_CLASSES, counts.total() / 2)


def _agrees(first: Reading, other: Reading) -> bool:
    """Return whether two readings tell the same classes wherever both say one, or complete each other."""
    pairs = {
        (a.class_name, b.class_name)
        for a, b in zip(first.labels, other.labels, strict=True)
        if a.class_name is not None and b.class_name is not None
    }
    if not pairs:
        return set(other.classes) <= set(first.classes)
    return len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})


def _filled(first: Reading, other: Reading, note: str) -> Reading:
    """Return a reading with what only the other one says; their classes may have different names."""
    names = {b.class_name: a.class_name for a, b in zip(first.labels, other.labels, strict=True) if a.class_name}
    known = set(first.classes)
    labels: list[Label] = []
    for a, b in zip(first.labels, other.labels, strict=True):
        name = b.class_name if b.class_name in known else names.get(b.class_name)
        labels.append(Label(a.class_name or name, a.split or b.split, a.group or b.group))
    missing = {name for name in other.classes if name not in known and names.get(name) is None}
    del missing
    return replace(first, labels=tuple(labels), notes=(*first.notes, *other.notes, note))


def _only_numbers(names: Sequence[str]) -> bool:
    return all(name.isdigit() for name in names)


def _covered(brought: _Brought, reading: Reading) -> float:
    """Return the share of pictures that have a class, without those of parts in which none has one."""
    splits = [b.split for b in brought.tree.branches for _ in b.pictures]
    numbers = [number for b in brought.tree.branches for number in b.pictures]
    named: Counter[Split | None] = Counter()
    total = Counter(splits)
    for split, number in zip(splits, numbers, strict=True):
        named[split] += reading.labels[number].class_name is not None
    speaking = [split for split in total if named[split]]
    return sum(named.values()) / max(1, sum(total[split] for split in speaking))


# What a person is told


def _listed(names: Sequence[str]) -> str:
    if len(names) <= 4:
        return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
    return f"{', '.join(names[:3])} and {len(names) - 3:,} more"


def _notes(brought: _Brought, labels: Sequence[Label]) -> tuple[str, ...]:
    return (*brought.tree.notes, *_without_class(brought, labels), *_across_parts(labels))


def _without_class(brought: _Brought, labels: Sequence[Label]) -> Iterable[str]:
    """Count the pictures that are left aside because nothing says their class."""
    places: Counter[str] = Counter()
    for branch in brought.tree.branches:
        count = sum(labels[number].class_name is None for number in branch.pictures)
        if count:
            places["/".join(folder for folder in branch.folders if folder) or "no folder"] += count
    if places:
        total = sum(places.values())
        yield (
            f"{total:,} {'picture has' if total == 1 else 'pictures have'} no class (in {some(list(places))}) and "
            f"{'is' if total == 1 else 'are'} left aside: nothing learns from them. Ask the model about them on Predict."
        )


def _across_parts(labels: Sequence[Label]) -> Iterable[str]:
    """Name classes that are not in every part, and names that may mean the same class in different parts."""
    parts: defaultdict[str, set[Split]] = defaultdict(set)
    for label in labels:
        if label.class_name is not None and label.split is not None:
            parts[label.class_name].add(label.split)
    given = [split for split in SPLITS if any(split in splits for splits in parts.values())]
    if len(given) < 2:
        return
    for split in given:
        missing = sorted((name for name, splits in parts.items() if split not in splits), key=natural)
        if missing:
            yield f"Without {_SPLIT_WORDS[split]} pictures, as you brought it: {_listed(missing)}."
    for a, b in _perhaps_the_same(parts):
        yield f"{a} and {b} are never in the same part and may be the same class. If so, merge them."


def _perhaps_the_same(parts: dict[str, set[Split]]) -> Iterable[tuple[str, str]]:
    lone = sorted((name for name, splits in parts.items() if len(splits) == 1), key=natural)
    keys = {name: similarity_key(name) for name in lone}
    for at, a in enumerate(lone):
        for b in lone[at + 1 :]:
            short, long = sorted((keys[a], keys[b]), key=len)
            if parts[a] & parts[b] or short == long:  # equal keys are noted wherever they are
                continue
            if (len(short) > 2 and short in long) or difflib.SequenceMatcher(None, short, long).ratio() >= 0.8:
                yield a, b


def _rows(brought: _Brought, class_levels: Sequence[int], groups: Sequence[int]) -> tuple[Folder, ...]:
    """Return the small tree that shows what each folder means, with at most some forty rows."""
    rows = _collapsed(brought, class_levels, groups, all_classes=True)
    return rows if len(rows) <= _MAX_ROWS else _collapsed(brought, class_levels, groups, all_classes=False)[:_MAX_ROWS]


def _collapsed(
    brought: _Brought, class_levels: Sequence[int], groups: Sequence[int], *, all_classes: bool
) -> tuple[Folder, ...]:
    """Return the rows: folders below a class, and groups, stand in one row for all alike; so do classes if told."""
    found: dict[tuple[str, ...], tuple[tuple[str, ...], Role, str]] = {}
    folders: defaultdict[tuple[str, ...], set[tuple[str, ...]]] = defaultdict(set)
    pictures: Counter[tuple[str, ...]] = Counter()
    for branch in brought.tree.branches:
        levels = {at: level for level, (at, _) in enumerate(branch.left)}
        key: tuple[str, ...] = ()
        below = False
        for at in range(len(branch.folders)):
            prefix = branch.folders[: at + 1]
            if not branch.folders[at]:
                continue
            level = levels.get(at)
            role, why = brought.tree.roles.get(prefix, ("passed", ""))
            if level is not None and not branch.is_astray:
                role = "class" if level in class_levels else "group" if level in groups else "passed"
                why = ""
            one_row = below or role == "group" or (role == "class" and not all_classes)
            key = (*key, f"*{at} {role}" if one_row else branch.folders[at])
            below = below or one_row or role == "class"
            found.setdefault(key, (prefix, role, why))
            folders[key].add(prefix)
            pictures[key] += len(branch.pictures)
    rows = [
        Folder(prefix, role, pictures[key], _why(why, role, folders[key])) for key, (prefix, role, why) in found.items()
    ]
    used = {branch.folders[:depth] for branch in brought.tree.branches for depth in range(len(branch.folders) + 1)}
    places: defaultdict[Aside, list[tuple[str, ...]]] = defaultdict(list)
    for parts, why_aside in brought.aside:
        if why_aside.kind != "system" and parts[:-1] not in used:
            places[why_aside].append(parts[:-1])
    rows += [Folder(min(at), "aside", len(at), f"{len(at):,} {reason.many}") for reason, at in places.items()]
    return tuple(rows)


def _why(why: str, role: Role, folders: set[tuple[str, ...]]) -> str:
    """Say of a row for several folders how many there are, or their names where they repeat."""
    names = sorted({folder[-1] for folder in folders}, key=natural)
    if len(folders) == 1:
        return why
    repeated = len(names) < len(folders) and len(names) <= 4
    several = f"{', '.join(names)}, again in each" if repeated and len(names) > 1 else f"{len(folders):,} folders"
    return f"{several}; {why}" if why else several
