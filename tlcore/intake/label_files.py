"""Label files beside pictures (CSV, Excel, JSON, lists): which pictures they name, and which classes they give them."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from tlcore.dataset import MAX_CLASS_NAME_LENGTH, MAX_CLASSES, Split
from tlcore.errors import DatasetError
from tlcore.intake.label_columns import ClassColumn, Meaning, columns_meaning
from tlcore.intake.label_tables import LabelFile, Table, is_label_file, read_tables
from tlcore.intake.names import printable
from tlcore.intake.picture_names import PictureNames, has_picture_ending, part_of
from tlcore.intake.readings import FileLabels, Label

__all__ = ["LabelFile", "LabelFilesRead", "is_label_file", "read_label_files"]

_SAMPLE = 1_000
# Columns of other things, such as ages, name a picture by chance; a column of names does so mostly.
_LEAST_SHARE = 0.1
_HEADER_WORDS = re.compile(
    "(file|image|img|picture|photo)s?([ _]?(id|name|path|file))?|(file)?path|id|name|key|value"
    "|(class|label|category|target)([ _]?(id|name))?|labels|split",
    re.IGNORECASE,
)
_FILE_WORDS = re.compile(r"file|image|img|path|picture|photo|^id$|^name$|^key$|data", re.I)
_FORMULA = re.compile(r"[=@]|[+-](?![\d.,]+$)")
_WEB_CODE = re.compile(r"<[a-z/!][^>]*>|\]\(", re.I)


@dataclass(frozen=True, slots=True)
class LabelFilesRead:
    """What all label files say.

    Attributes:
        said: One per plausible column of classes, the likeliest first.
        num_sure: How many of these, from the first, call themselves classes or have no rival; the others, such as the
            `sex` of patients, are possible and seldom meant.
        notes: Which label files are not used, and why.
    """

    said: tuple[FileLabels, ...]
    num_sure: int
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
    labels: list[_Rows] = []
    class_names: list[_ClassNames] = []
    for group in _alike([_with_columns(table, names) for table in read]):
        rows = _match(group, names)
        keyed = _class_names(group)
        if keyed is not None and (rows is None or rows.only_numbers):
            class_names.append(replace(keyed, rows=rows))
        elif rows is not None:
            labels.append(rows)
        else:
            unused.add(_why_unmatched(group, names), *(table.name for table in group))
    said = [found for rows in labels for found in _file_labels(rows, class_names, unused, len(paths))]
    for keyed in class_names:
        if keyed.was_used:
            continue
        renamed = None if said else keyed.of_folders(paths)
        if renamed is not None:
            said.append(_Said(renamed, is_sure=True))
        elif keyed.rows is not None and not said:
            said += _file_labels(keyed.rows, [], unused, len(paths))
        else:
            unused.add(keyed.why_unused(paths) or _why_unmatched([keyed.table], names), keyed.table.name)
    kept = _without_repetition(said, unused)
    num_sure = sum(found.is_sure for found in kept)
    return LabelFilesRead(tuple(found.labels for found in kept), num_sure, unused.notes())


def _holds_boxes(table: Table) -> bool:
    """Return whether every row is a class and the corners of a box, as YOLO writes them beside each picture."""
    if table.columns is not None or not table.path_parts[-1].lower().endswith(".txt"):
        return False
    return all(len(row) >= 5 and all(re.fullmatch(r"-?[\d.]*", cell) for cell in row) for row in table.rows)


@dataclass(frozen=True, slots=True)
class _Said:
    labels: FileLabels
    is_sure: bool


class _Unused:
    """Label files that are not used, by the reason."""

    def __init__(self) -> None:
        self._names: defaultdict[str, list[str]] = defaultdict(list)

    def add(self, reason: str, *names: str) -> None:
        self._names[reason] += names

    def notes(self) -> tuple[str, ...]:
        return tuple(f"Not used: {_some(names)} ({reason})." for reason, names in self._names.items())


@dataclass(frozen=True, slots=True)
class _Named:
    """A table whose columns have names, empty ones where the file gives none."""

    name: str
    folder: tuple[str, ...]
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    notes: tuple[str, ...]

    @property
    def words(self) -> list[str]:
        """The words and numbers of its name without the ending."""
        stem, _, sheet = re.sub(r"\.\w+(/|$)", r"\1", self.name).partition("/")
        return re.findall(r"[^\W\d_]+|\d+", f"{stem} {sheet}")

    @property
    def part(self) -> Split | None:
        """The part that its name or its folder says: `train.csv`, `valid/_classes.csv`, `labels_test.txt`."""
        found = {part_of(word) for word in self.words} - {None}
        if not found:
            found = {part_of(folder) for folder in self.folder[1:]} - {None}
        return found.pop() if len(found) == 1 else None

    def column(self, number: int) -> list[str]:
        return [row[number] for row in self.rows]


def _with_columns(table: Table, names: PictureNames) -> _Named:
    """Tell a first row of names from one of values."""
    *folder, name = table.path_parts
    columns, rows = table.columns, table.rows
    if columns is None:
        columns, rows = ("",) * len(rows[0]), rows
        if _is_header(table, names):
            columns, rows = table.rows[0], table.rows[1:]
    return _Named(name, tuple(folder), columns, rows, table.notes)


def _is_header(table: Table, names: PictureNames) -> bool:
    first, *others = table.rows[:_SAMPLE]
    if any(_HEADER_WORDS.fullmatch(cell.strip()) for cell in first):
        return True
    if any(has_picture_ending(cell) for cell in first) or len(first) == 1:
        return False
    if any(cell and cell == row[number] for row in others for number, cell in enumerate(first)):
        return False
    numbers = [number for number, cell in enumerate(first) if cell.strip().isdigit()]
    counted = [cell for cell in first if cell] == [str(number) for number in range(len(numbers))]
    if others and not counted and any(all(row[number].isdigit() for row in others) for number in numbers):
        return False
    return all(match.picture is None for match in names.find(first, table.path_parts[:-1]).values())


def _alike(tables: Iterable[_Named]) -> list[list[_Named]]:
    """Put tables of one kind together, such as one per folder, part or class: by the names of their columns.

    Where these say nothing, by what is left of the files' names without parts and numbers.
    """
    groups: defaultdict[object, list[_Named]] = defaultdict(list)
    for table in tables:
        columns = tuple(column.strip().casefold() for column in table.columns)
        says_nothing = not any(columns) or columns == ("key", "value")
        words = [word for word in table.words if part_of(word) is None and not word.isdigit()]
        groups[columns, tuple(words) if says_nothing else ()].append(table)
    return list(groups.values())


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows of tables alike that name pictures which are here.

    Attributes:
        source: The name of the table, or the names of all.
        columns: The names of the columns.
        file_column: Which one names the pictures.
        cells: Per column its values.
        pictures: Of each row its picture.
        tables: Of each row its table, by number.
        parts: Of each row the part that its table's name says.
        only_numbers: Whether pictures are named by nothing but numbers.
        notes: About the rows that are not here, and the files.
    """

    source: str
    columns: tuple[str, ...]
    file_column: int
    cells: tuple[tuple[str, ...], ...]
    pictures: tuple[int, ...]
    tables: tuple[int, ...]
    parts: tuple[Split | None, ...]
    only_numbers: bool
    notes: tuple[str, ...]


def _match(group: Sequence[_Named], names: PictureNames) -> _Rows | None:
    """Find the column that names pictures, and the rows whose picture is here; `None` if no column does."""
    file_column = _file_column(group, names)
    if file_column is None:
        return None
    kept: list[tuple[str, ...]] = []
    pictures: list[int] = []
    tables: list[int] = []
    parts: list[Split | None] = []
    unknown: dict[str, int] = {}
    ambiguous: dict[str, int] = {}
    partial = 0
    use_parts = len({table.part for table in group} - {None}) > 1
    for number, table in enumerate(group):
        matches = names.find(dict.fromkeys(table.column(file_column)), table.folder)
        for row in table.rows:
            match = matches[row[file_column]]
            if match.picture is None:
                missing = ambiguous if match.is_ambiguous else unknown
                missing[row[file_column]] = missing.get(row[file_column], 0) + 1
                continue
            partial += match.is_partial
            kept.append(row)
            pictures.append(match.picture)
            tables.append(number)
            parts.append(table.part if use_parts else None)
    if not kept:
        return None
    cells = tuple(zip(*kept, strict=True))
    notes = list(dict.fromkeys(note for table in group for note in table.notes))
    if unknown:
        notes.append(f"Rows that name pictures which are not here: {sum(unknown.values()):,} ({_some(unknown)}).")
    if ambiguous:
        notes.append(
            f"Rows whose name fits several pictures: {sum(ambiguous.values()):,} ({_some(ambiguous)}). "
            "Write the folders before these names."
        )
    if partial:
        notes.append(f"Rows that say other folders than those here; their pictures were found by name: {partial:,}.")
    return _Rows(
        source=_source([table.name for table in group]),
        columns=group[0].columns,
        file_column=file_column,
        cells=cells,
        pictures=tuple(pictures),
        tables=tuple(tables),
        parts=tuple(parts),
        only_numbers=all(cell.strip().isdigit() for cell in cells[file_column]),
        notes=tuple(notes),
    )


def _file_column(group: Sequence[_Named], names: PictureNames) -> int | None:
    """Return the column whose values name most pictures; by content, its own name decides between equals."""
    rows = sum(len(table.rows) for table in group)
    ranks: list[tuple[float, float, bool, int]] = []
    by_number: set[int] = set()
    names_others = False
    for number, title in enumerate(group[0].columns):
        score, asked, digits, endings = 0.0, 0, 0, 0
        distinct: set[str] = set()
        found: set[int] = set()
        for table in group:
            values = dict.fromkeys(value for value in table.column(number) if value.strip())
            sample = list(values)[:: max(1, len(values) // _SAMPLE)]
            matches = names.find(sample, table.folder)
            score += sum(match.certainty for match in matches.values())
            found |= {match.picture for match in matches.values() if match.picture is not None}
            digits += sum(name.strip().isdigit() for name, match in matches.items() if match.picture is not None)
            asked += len(sample)
            endings += sum(map(has_picture_ending, sample))
            distinct.update(values)
        says_file = bool(_FILE_WORDS.search(title))
        if not found:
            names_others = names_others or (endings > asked / 2 and says_file)
            continue
        # Ages and numbers of classes name "45.jpg" by chance; names of pictures hardly ever repeat.
        by_chance = digits > len(found) / 2 and len(distinct) < 0.8 * rows and not says_file
        if len(found) < _LEAST_SHARE * min(asked, len(names)) or by_chance:
            continue
        if digits > len(found) / 2:
            by_number.add(number)
        ranks.append((score, len(distinct) / rows, says_file, -number))
    if names_others:  # the rows are about other pictures, whatever their numbers
        ranks = [rank for rank in ranks if -rank[-1] not in by_number]
    return -max(ranks)[-1] if ranks else None


def _why_unmatched(group: Sequence[_Named], names: PictureNames) -> str:
    rows = [row for table in group for row in table.rows[:20]]
    if not rows:
        return "no rows below the names of its columns"
    found = names.find((cell for row in rows for cell in row), group[0].folder)
    ambiguous = [name for name, match in found.items() if match.is_ambiguous and not name.isdigit()]
    if len(ambiguous) > len(rows) / 2:
        return f"its names fit several pictures each, such as {_some(ambiguous)}: write the folders before them"
    name = max(range(len(rows[0])), key=lambda c: sum(has_picture_ending(row[c]) for row in rows))
    if any(has_picture_ending(row[name]) for row in rows):
        return f"names pictures that are not here: {_some(dict.fromkeys(row[name] for row in rows))}"
    if group[0].name.lower().endswith(".txt") or not any(group[0].columns) or max(map(len, rows)) < 2:
        return "names no picture that is here"
    return f"no column names pictures that are here; its columns: {_some(group[0].columns)}"


def _file_labels(
    rows: _Rows, class_names: Sequence[_ClassNames], unused: _Unused, num_pictures: int
) -> Iterator[_Said]:
    """Yield what each column of classes says of the pictures."""
    meaning = columns_meaning(rows.columns, rows.cells, rows.file_column)
    classes = meaning.classes
    if not classes:
        folders = _classes_in_paths(rows)
        if folders is None:
            unused.add(meaning.why_none, rows.source)
            return
        classes = (folders,)
    for column in classes:
        column = _spelled_out(column, class_names)
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
        yield _Said(FileLabels(rows.source, title, labels, every_note), column.is_sure)


def _labels(
    rows: _Rows, meaning: Meaning, column: ClassColumn, num_pictures: int
) -> tuple[tuple[Label | None, ...], list[str], int]:
    """Return the label of each picture, what to know about them, and how many pictures have several classes."""
    labels: list[Label | None] = [None] * num_pictures
    seen: set[tuple[int, int]] = set()
    several: dict[int, str] = {}
    doubled = 0
    usable = {value: _usable(value) for value in set(column.values) if value is not None}
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
            f"Pictures that get more than one class: {len(several):,} ({_some(several.values())}). "
            "They are left without a class."
        )
    blank = sum(label is not None and label.class_name is None for label in labels) - len(several)
    if blank:
        notes.append(f"Pictures without a class in it: {blank:,}. They are left aside.")
    counts = Counter(label.class_name for label in labels if label is not None and label.class_name is not None)
    single = sorted(name for name, count in counts.items() if count == 1)
    if single:
        notes.append(f"Classes with a single picture: {_some(single)}.")
    code = sorted(name for name in counts if _FORMULA.match(name) or _WEB_CODE.search(name))
    if code:
        notes.append(f"Class names that look like formulas or web pages are taken as plain text: {_some(code)}.")
    alike = [name for name, count in Counter(usable.values()).items() if count > 1]
    if alike:
        notes.append(f"Class names that differ only in spaces or signs that cannot be seen are one: {_some(alike)}.")
    return tuple(labels), notes, len(several)


def _classes_in_paths(rows: _Rows) -> ClassColumn | None:
    """Read lists of paths, one per part, whose folders are the classes: `cat/1.jpg` in `train.txt`."""
    if not any(rows.parts):
        return None
    values = [re.split(r"[/\\]", path.strip().rstrip("/"))[-2:] for path in rows.cells[rows.file_column]]
    folders = tuple(parts[0] if len(parts) == 2 and parts[0] else None for parts in values)
    num_classes = len(set(folders) - {None})
    return ClassColumn("", folders) if 2 <= num_classes <= MAX_CLASSES else None


@dataclass(slots=True)
class _ClassNames:
    """A table that says which class a number or a code stands for.

    Attributes:
        table: What was read.
        names: By the code.
        rows: What it says of the pictures if it is an ordinary label file after all.
        was_used: Whether something was read with it.
    """

    table: _Named
    names: dict[str, str]
    rows: _Rows | None = None
    was_used: bool = False

    def of_folders(self, paths: Sequence[tuple[str, ...]]) -> FileLabels | None:
        """Return the names of the folders in which pictures lie, if nearly all lie in one that has a code."""
        codes = [next((_code(f) for f in reversed(path[1:-1]) if _code(f) in self.names), None) for path in paths]
        if codes.count(None) > _LEAST_SHARE * len(codes) or len(set(codes) - {None}) < 2:
            return None
        self.was_used = True
        labels = tuple(None if code is None else Label(_usable(self.names[code])) for code in codes)
        return FileLabels(self.table.name, "", labels, ("It names the classes for which the folders have numbers.",))

    def why_unused(self, paths: Sequence[tuple[str, ...]]) -> str:
        """Return why a list of classes was not needed; empty if it may be something else."""
        folders = {folder for path in paths for folder in path[1:-1]}
        if set(self.names.values()) <= folders:
            return "its classes are named as the folders are"
        return "" if self.rows is None and any(self.table.columns) else "nothing here has its numbers"


def _class_names(group: Sequence[_Named]) -> _ClassNames | None:
    """Read `0: cat`, `cat: 0`, `0 cat`, `ClassId,SignName` or one name per line; `None` for other tables."""
    if len(group) != 1 or len(group[0].rows) < 2:
        return None
    table = group[0]
    columns = [[cell.strip() for cell in column] for column in zip(*table.rows, strict=True)]
    if not any(table.columns) and table.name.lower().endswith(".txt"):
        lines = [" ".join(row).strip() for row in table.rows]
        pieces = [line.split(None, 1) for line in lines]
        if all(len(piece) == 2 and re.search(r"\d", piece[0]) for piece in pieces):
            columns = [[piece[number] for piece in pieces] for number in (0, 1)]
        elif set(table.words) & {"class", "classes", "label", "labels", "names"} and not any(
            map(has_picture_ending, lines)
        ):
            columns = [[str(number) for number in range(len(lines))], lines]
    different = [column for column in columns if all(column) and len(set(column)) == len(column)]
    codes = next((c for c in different if all(value.isdigit() for value in c)), different[0] if different else None)
    names = next((c for c in different if c is not codes and not any(value.isdigit() for value in c)), None)
    if codes is None or names is None or any(map(has_picture_ending, (*codes, *names))):
        return None
    return _ClassNames(table, dict(zip(map(_code, codes), names, strict=True)))


def _code(text: str) -> str:
    return (text.lstrip("0") or "0") if text.isascii() and text.isdigit() else text


def _spelled_out(column: ClassColumn, class_names: Sequence[_ClassNames]) -> ClassColumn:
    """Write the names of classes where the column has only their numbers or codes."""
    codes = {_code(value.strip()) for value in column.values if value is not None}
    for keyed in class_names:
        if codes and codes <= keyed.names.keys():
            keyed.was_used = True
            values = tuple(None if value is None else keyed.names[_code(value.strip())] for value in column.values)
            note = f"{keyed.table.name} says the names of its classes."
            return replace(column, values=values, notes=(*column.notes, note))
    return column


def _without_repetition(said: Iterable[_Said], unused: _Unused) -> list[_Said]:
    """Leave out what another file says in the same way; what names most pictures comes first."""
    kept: list[_Said] = []
    for found in sorted(said, key=lambda f: (not f.is_sure, f.labels.labels.count(None))):
        twin = next((other.labels for other in kept if other.labels.labels == found.labels.labels), None)
        if twin is None:
            kept.append(found)
        elif twin.source != found.labels.source:
            unused.add(f"says the same as {twin.source}", found.labels.source)
    return kept


def _usable(value: str) -> str:
    """Return a value as the name of a class: on one line, of bounded length."""
    text = " ".join("".join(c if c.isprintable() or c.isspace() else "" for c in value).split())
    return text[:MAX_CLASS_NAME_LENGTH].strip()


def _source(names: Sequence[str]) -> str:
    different = list(dict.fromkeys(names))
    return different[0] if len(different) == 1 else _some(different)


def _some(names: Iterable[str]) -> str:
    listed = [printable(name) for name in names]
    return ", ".join(listed[:3]) + (f" and {len(listed) - 3:,} more" if len(listed) > 3 else "")
