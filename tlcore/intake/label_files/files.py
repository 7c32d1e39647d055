"""Label files beside pictures (CSV, Excel, JSON, lists): which pictures they name, and which classes they give them."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from tlcore.dataset import MAX_CLASSES
from tlcore.errors import DatasetError
from tlcore.intake.label_files.class_lists import ClassList, read_class_list, spelled_out, usable_name
from tlcore.intake.label_files.columns import ClassColumn, Meaning, columns_meaning
from tlcore.intake.label_files.picture_names import PictureNames
from tlcore.intake.label_files.rows import PictureRows, alike, match_rows, why_unmatched, with_columns
from tlcore.intake.label_files.tables import LabelFile, Table, is_label_file, read_tables
from tlcore.intake.meaning.readings import FileLabels, Label
from tlcore.intake.names import some

__all__ = ["LabelFile", "LabelFilesRead", "is_label_file", "read_label_files"]

_FORMULA = re.compile(r"[=@]|[+-](?![\d.,]+$)")
_WEB_CODE = re.compile(r"<[a-z/!][^>]*>|\]\(", re.I)


@dataclass(frozen=True, slots=True)
class LabelFilesRead:
    """What all label files say.

    Attributes:
        said: One per plausible column of classes, the likeliest first; one without classes where a file says only parts
            or groups for sure.
        notes: Which label files are not used, and why.
    """

    said: tuple[FileLabels, ...]
    notes: tuple[str, ...]


def read_label_files(files: Sequence[LabelFile], paths: Sequence[tuple[str, ...]]) -> LabelFilesRead:
    """Find out what label files say of pictures.

    A file that is not used is named with the reason. Names are compared as text; nothing is opened or fetched.

    Args:
        files: Label files, as `is_label_file` picks them.
        paths: Of each picture its folders, the name of what was brought first, and its name; text only.
    """
    names = PictureNames(paths)
    unused = _Unused()
    read: list[Table] = []
    for file in files:
        name = file.path_parts[-1]
        if "submission" in name.casefold():
            unused.add("a competition's form for answers", name)
            continue
        try:
            tables = read_tables(file)
        except DatasetError as error:
            unused.add(str(error), name)
            continue
        if all(map(_holds_boxes, tables)):
            unused.add("holds boxes or outlines in pictures, not classes", name)
        else:
            read += tables
    labels: list[PictureRows] = []
    class_names: list[ClassList] = []
    for group in alike([with_columns(table, names) for table in read]):
        rows = match_rows(group, names)
        keyed = read_class_list(group)
        if keyed is not None and (rows is None or rows.only_numbers):
            class_names.append(replace(keyed, rows=rows))
        elif rows is not None:
            labels.append(rows)
        else:
            unused.add(why_unmatched(group, names), *(table.name for table in group))
    said = [found for rows in labels for found in _file_labels(rows, class_names, unused, len(paths))]
    for keyed in class_names:
        if keyed.was_used:
            continue
        has_classes = any(label and label.class_name for file in said for label in file.labels)
        renamed = None if has_classes else keyed.of_folders(paths)
        if renamed is not None:
            said.append(renamed)
        elif keyed.rows is not None and keyed.is_of_pictures(len(paths)) and not has_classes:
            said += _file_labels(keyed.rows, [], unused, len(paths))
        else:
            unused.add(keyed.why_unused(paths) or why_unmatched([keyed.table], names), keyed.table.name)
    return LabelFilesRead(_without_repetition(said, unused), unused.notes())


def _holds_boxes(table: Table) -> bool:
    """Return whether every row is a class and the corners of a box, as YOLO writes them beside each picture."""
    if table.columns is not None or not table.path_parts[-1].lower().endswith(".txt"):
        return False
    return all(len(row) >= 5 and all(re.fullmatch(r"-?[\d.]*", cell) for cell in row) for row in table.rows)


class _Unused:
    """Label files that are not used, by the reason."""

    def __init__(self) -> None:
        self._names: defaultdict[str, list[str]] = defaultdict(list)

    def add(self, reason: str, *names: str) -> None:
        self._names[reason] += names

    def notes(self) -> tuple[str, ...]:
        return tuple(f"Not used: {some(names)} ({reason})." for reason, names in self._names.items())


def _file_labels(
    rows: PictureRows, class_names: Sequence[ClassList], unused: _Unused, num_pictures: int
) -> Iterator[FileLabels]:
    """Yield what each column of classes says of the pictures."""
    meaning = columns_meaning(rows.columns, rows.cells, rows.num_values, rows.file_column)
    folders = None if meaning.classes else _classes_in_paths(rows)
    classes = meaning.classes if folders is None else (folders,)
    says_more = any(meaning.parts) or any(rows.parts) or any(meaning.groups)
    if says_more and not any(column.is_sure for column in classes):
        nothing = ClassColumn("", (None,) * len(rows.pictures), is_sure=False)
        labels, _, _ = _labels(rows, meaning, nothing, num_pictures)
        yield FileLabels(rows.source, "", labels, (*rows.notes, *meaning.notes))
    elif not classes:
        unused.add(meaning.why_none, rows.source)
    for column in classes:
        column = spelled_out(column, class_names)
        labels, notes, conflicts = _labels(rows, meaning, column, num_pictures)
        named = sum(label is not None for label in labels)
        if conflicts > named / 2:
            unused.add("gives most pictures several classes; here a picture has one", rows.source)
            return
        missing = num_pictures - named
        if missing:
            notes.append(f"Pictures that it does not name: {missing:,}.")
        title = "" if rows.columns == ("key", "value") else column.name
        every_note = (*rows.notes, *meaning.notes, *column.notes, *notes)
        yield FileLabels(rows.source, title, labels, every_note, column.is_sure)


def _labels(
    rows: PictureRows, meaning: Meaning, column: ClassColumn, num_pictures: int
) -> tuple[tuple[Label | None, ...], list[str], int]:
    """Return the label of each picture, what to know about them, and how many pictures have several classes."""
    labels: list[Label | None] = [None] * num_pictures
    seen: set[tuple[int, int]] = set()
    several: dict[int, str] = {}
    doubled = 0
    usable = {value: usable_name(value) for value in set(column.values) if value is not None}
    for number, picture in enumerate(rows.pictures):
        value = column.values[number]
        new = Label(
            None if value is None else usable[value],
            (meaning.parts[number] if meaning.parts else None) or rows.parts[number],
            (meaning.groups[number] if meaning.groups else None) or None,
        )
        old = labels[picture]
        if old is None:
            labels[picture] = new
        elif new.class_name not in (None, old.class_name) and old.class_name is not None:
            several.setdefault(picture, f"{rows.cells[rows.file_column][number]}: {old.class_name}, {new.class_name}")
        else:
            doubled += (rows.tables[number], picture) in seen
            labels[picture] = Label(old.class_name or new.class_name, old.split or new.split, old.group or new.group)
        seen.add((rows.tables[number], picture))
    for picture in several:
        labels[picture] = replace(labels[picture] or Label(None), class_name=None)
    notes = []
    if doubled:
        notes.append(f"Rows that say the same of a picture again: {doubled:,}. Each picture counts once.")
    if several:
        notes.append(
            f"Pictures that get more than one class: {len(several):,} ({some(several.values())}). "
            "They are left without a class."
        )
    blank = sum(label is not None and label.class_name is None for label in labels) - len(several)
    if blank:
        notes.append(f"Pictures without a class in it: {blank:,}. They are left aside.")
    counts = Counter(label.class_name for label in labels if label is not None and label.class_name is not None)
    single = sorted(name for name, count in counts.items() if count == 1)
    if single:
        notes.append(f"Classes with a single picture: {some(single)}.")
    code = sorted(name for name in counts if _FORMULA.match(name) or _WEB_CODE.search(name))
    if code:
        notes.append(f"Class names that look like formulas or web pages are taken as plain text: {some(code)}.")
    alike = [name for name, count in Counter(usable.values()).items() if count > 1]
    if alike:
        notes.append(f"Class names that differ only in spaces or signs that cannot be seen are one: {some(alike)}.")
    return tuple(labels), notes, len(several)


def _classes_in_paths(rows: PictureRows) -> ClassColumn | None:
    """Read lists of paths, one per part, whose folders are the classes: `cat/1.jpg` in `train.txt`."""
    if not any(rows.parts):
        return None
    values = [re.split(r"[/\\]", path.strip().rstrip("/"))[-2:] for path in rows.cells[rows.file_column]]
    folders = tuple(parts[0] if len(parts) == 2 and parts[0] else None for parts in values)
    num_classes = len(set(folders) - {None})
    return ClassColumn("", folders) if 2 <= num_classes <= MAX_CLASSES else None


def _without_repetition(said: Iterable[FileLabels], unused: _Unused) -> tuple[FileLabels, ...]:
    """Leave out what another file says too; what is sure and says most comes first."""
    kept: list[FileLabels] = []
    for found in sorted(said, key=lambda file: (not file.is_sure, file.labels.count(None), -_num_parts(file))):
        twin = next((other for other in kept if _adds_nothing(found, other)), None)
        if twin is None:
            kept.append(found)
        elif twin.source != found.source:
            unused.add(f"says the same as {twin.source}", found.source)
    return tuple(kept)


def _num_parts(file: FileLabels) -> int:
    return sum(label is not None and label.split is not None for label in file.labels)


def _adds_nothing(file: FileLabels, other: FileLabels) -> bool:
    """Return whether a file gives no picture another class than the other one, and none a part or group besides."""
    for new, old in zip(file.labels, other.labels, strict=True):
        if new is None or new == old:
            continue
        if old is None or new.class_name != old.class_name:
            return False
        if new.split not in (None, old.split) or new.group not in (None, old.group):
            return False
    return True
