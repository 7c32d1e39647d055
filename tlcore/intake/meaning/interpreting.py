"""Single readings of what was brought: a level of folders, levels joined, the names of files, a label file."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

from tlcore.dataset import Split
from tlcore.intake.meaning.aside import Aside
from tlcore.intake.meaning.class_names import class_names, natural
from tlcore.intake.meaning.file_names import NEARLY_ALL, classes_in_names, clips_in_names, is_group_name
from tlcore.intake.meaning.folders import Branch, Tree, is_container
from tlcore.intake.meaning.levels import Choice, Level
from tlcore.intake.meaning.readings import FileLabels, Label, Reading
from tlcore.intake.meaning.shown import listed, notes_of, rows_of


@dataclass(frozen=True, slots=True)
class Outline:
    """Everything that is read.

    Attributes:
        paths: Of each picture.
        branches: Of each picture the folder in which it lies.
        tree: All folders.
        levels: Those below parts and what lies around everything.
        choice: Which of them may be the classes.
        aside: Files that are left aside, with reasons.
    """

    paths: Sequence[tuple[str, ...]]
    branches: Sequence[Branch]
    tree: Tree
    levels: Sequence[Level]
    choice: Choice
    aside: Sequence[tuple[tuple[str, ...], Aside]]


def level_key(at: int) -> str:
    """Return the key of a reading by a level, of which 0 is the outermost."""
    return "top" if at == 0 else f"depth {at + 1}"


def file_key(labels: FileLabels) -> str:
    """Return the key of a reading by a label file."""
    return f"{labels.source}: {labels.column}" if labels.column else labels.source


def read_level(outline: Outline, at: int) -> Reading:
    """Read the folders of one level as the classes.

    One folder that is alone and only holds pictures (`cat/images`) has the name of the one around it.
    """
    is_alone = len(outline.levels) == 1 and len(outline.levels[0].names) == 1
    folders = zip(*(branch.folders for branch in outline.tree.live), strict=False)
    around = [names[0] for names in takewhile(lambda names: len(set(names)) == 1, folders)]

    def class_of(branch: Branch) -> str | None:
        name = branch.name(at)
        if name is not None and is_alone and is_container(name):
            return next((folder for folder in reversed(around) if folder and not is_container(folder)), name)
        return name

    return _read_folders(outline, level_key(at), class_of, (at,), "{} are the classes", "Everything is the class {}")


def read_leaves(outline: Outline) -> Reading:
    """Read the innermost folders as the classes; equal names are one class."""
    title = "The innermost folders are the classes, equal names joined: {}"
    depths = {len(branch.left) - 1 for branch in outline.tree.live}
    class_levels = tuple(depths) if len(depths) == 1 else ()
    return _read_folders(outline, "leaf", lambda b: b.left[-1][1] if b.left else None, class_levels, title, title)


def read_joined(outline: Outline, levels: Sequence[int]) -> Reading:
    """Read the names of several levels together as the classes: `apple fresh`."""

    def class_of(branch: Branch) -> str | None:
        return " ".join(name for at in sorted(levels) if (name := branch.name(at)) is not None) or None

    title = "The names of the folders together are the classes: {}"
    return _read_folders(outline, "joined", class_of, levels, title, title)


def _read_folders(
    outline: Outline,
    key: str,
    class_of: Callable[[Branch], str | None],
    class_levels: Sequence[int],
    title: str,
    title_of_one: str,
) -> Reading:
    """Return the reading in which all pictures of a folder have the same class."""
    said = {b: None if b.is_astray else class_of(b) for b in outline.tree.branches}
    usable = class_names(name for name in said.values() if name is not None)
    groups = [at for at in outline.choice.groups if at not in class_levels][:1]
    known = {
        b: Label(None if name is None else usable[name], b.split, _group_of(b, groups)) for b, name in said.items()
    }
    classes = sorted(usable.values(), key=natural)
    words = title if len(classes) > 1 else title_of_one if classes else "Nothing says the classes"
    labels = [known[branch] for branch in outline.branches]
    return _reading(outline, key, words.format(listed(classes)), labels, classes, class_levels, groups)


def read_file_names(outline: Outline) -> Reading:
    """Read the classes from the names of files, part by part: those of a test folder often say nothing."""
    members: defaultdict[Split | None, list[int]] = defaultdict(list)
    for number, branch in enumerate(outline.branches):
        if not branch.is_astray:
            members[branch.split].append(number)
    said: dict[int, str] = {}
    for numbers in members.values():
        names = classes_in_names([outline.paths[number][-1] for number in numbers])
        said |= {number: name for number, name in zip(numbers, names, strict=True) if name is not None}
    usable = class_names(said.values())
    groups = _groups_beside_classes(outline)
    labels = [
        Label(usable[said[number]] if number in said else None, branch.split, _group_of(branch, groups))
        for number, branch in enumerate(outline.branches)
    ]
    classes = sorted(usable.values(), key=natural)
    title = f"The names of the files say the class: {listed(classes)}"
    return _reading(outline, "file names", title, labels, classes, (), groups)


def read_file(outline: Outline, file: FileLabels) -> Reading:
    """Read what a label file says; where it is silent about parts or groups, the folders speak."""
    usable = class_names(label.class_name for label in file.labels if label and label.class_name is not None)
    has_groups = any(label and label.group is not None for label in file.labels)
    groups = () if has_groups else _groups_beside_classes(outline)
    labels: list[Label] = []
    for branch, label in zip(outline.branches, file.labels, strict=True):
        told = label or Label(None)
        name = None if told.class_name is None else usable[told.class_name]
        labels.append(Label(name, told.split or branch.split, told.group or _group_of(branch, groups)))
    classes = sorted(usable.values(), key=natural)
    column = f" in its column {file.column}" if file.column else ""
    title = f"{file.source} says the class{column}: {listed(classes)}"
    reading = _reading(outline, file_key(file), title, labels, classes, (), groups)
    return replace(reading, notes=(*file.notes, *reading.notes))


def _groups_beside_classes(outline: Outline) -> tuple[int, ...]:
    """Return the level of groups where something else than folders says the classes: perhaps the outermost one."""
    names = outline.levels[0].names if outline.levels else Counter()
    if len(names) > 1 and sum(map(is_group_name, names)) >= NEARLY_ALL * len(names):
        return (0,)
    return outline.choice.groups[:1]


def _reading(
    outline: Outline,
    key: str,
    title: str,
    labels: list[Label],
    classes: Sequence[str],
    class_levels: Sequence[int],
    groups: Sequence[int],
) -> Reading:
    if all(label.group is None for label in labels):
        labels = _with_clips(outline, labels)
    rows = rows_of(outline.tree, class_levels, groups, outline.aside)
    return Reading(key, title, tuple(labels), tuple(classes), rows, notes_of(outline.tree, labels))


def _group_of(branch: Branch, groups: Sequence[int]) -> str | None:
    """Return the folder of the level of groups with those around it, so that no two groups share a name."""
    if not groups or branch.is_astray or len(branch.left) <= groups[0]:
        return None
    return "/".join(name for _, name in branch.left[: groups[0] + 1])


def _with_clips(outline: Outline, labels: Sequence[Label]) -> list[Label]:
    """Return the labels with the groups that the names of files say, for each class and folder."""
    members: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
    for number, (label, branch) in enumerate(zip(labels, outline.branches, strict=True)):
        if label.class_name is not None:
            members[(label.class_name, *(name for _, name in branch.left))].append(number)
    result = list(labels)
    for place, numbers in members.items():
        if len(numbers) < 2:
            continue
        clips = clips_in_names([outline.paths[number][-1] for number in numbers])
        for number, clip in zip(numbers, clips, strict=True):
            if clip is not None:
                result[number] = replace(labels[number], group="/".join((*place[1:], clip)))
    return result
