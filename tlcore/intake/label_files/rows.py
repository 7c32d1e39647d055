"""The rows of label files that name pictures: which column does it, and which picture each row means."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tlcore.dataset import Split
from tlcore.intake.label_files.picture_names import PictureNames, has_picture_ending
from tlcore.intake.label_files.tables import Table
from tlcore.intake.meaning.parts import part_of
from tlcore.intake.names import some

_SAMPLE = 1_000
# Columns of other things, such as ages, name a picture by chance; a column of names does so mostly.
_LEAST_SHARE = 0.1
_HEADER_WORDS = re.compile(
    "(file|image|img|picture|photo)s?([ _]?(id|name|path|file))?|(file)?path|id|name|key|value"
    "|(class|label|category|target)([ _]?(id|name))?|labels|split",
    re.IGNORECASE,
)
_FILE_WORDS = re.compile(r"file|image|img|path|picture|photo|^id$|^name$|^key$|data", re.I)


@dataclass(frozen=True, slots=True)
class NamedTable:
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
        spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", f"{stem} {sheet}")
        return re.findall(r"[^\W\d_]+|\d+", spaced)

    @property
    def part(self) -> Split | None:
        """The part that its name or its folder says: `train.csv`, `valid/_classes.csv`, `trainLabels.csv`."""
        found = {part_of(word) for word in self.words} - {None}
        if not found:
            found = {part_of(folder) for folder in self.folder[1:]} - {None}
        return found.pop() if len(found) == 1 else None

    def column(self, number: int) -> list[str]:
        """Return the values of a column."""
        return [row[number] for row in self.rows]


def with_columns(table: Table, names: PictureNames) -> NamedTable:
    """Tell a first row of names from one of values."""
    *folder, name = table.path_parts
    columns, rows = table.columns, table.rows
    if columns is None:
        columns, rows = ("",) * len(rows[0]), rows
        if _is_header(table, names):
            columns, rows = table.rows[0], table.rows[1:]
    return NamedTable(name, tuple(folder), columns, rows, table.notes)


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


def alike(tables: Iterable[NamedTable]) -> list[list[NamedTable]]:
    """Put tables of one kind together, such as one per folder, part or class: by the names of their columns.

    Where these say nothing, by what is left of the files' names without parts and numbers.
    """
    groups: defaultdict[object, list[NamedTable]] = defaultdict(list)
    for table in tables:
        columns = tuple(column.strip().casefold() for column in table.columns)
        says_nothing = not any(columns) or columns == ("key", "value")
        words = [word for word in table.words if part_of(word) is None and not word.isdigit()]
        groups[columns, tuple(words) if says_nothing else ()].append(table)
    return list(groups.values())


@dataclass(frozen=True, slots=True)
class PictureRows:
    """The rows of tables alike that name pictures which are here.

    Attributes:
        source: The name of the table, or the names of all.
        columns: The names of the columns.
        file_column: Which one names the pictures.
        cells: Per column its values.
        num_values: Per column how many different values it has, those of other rows too.
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
    num_values: tuple[int, ...]
    pictures: tuple[int, ...]
    tables: tuple[int, ...]
    parts: tuple[Split | None, ...]
    only_numbers: bool
    notes: tuple[str, ...]


def match_rows(group: Sequence[NamedTable], names: PictureNames) -> PictureRows | None:
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
        matches = names.find(dict.fromkeys(table.column(file_column)), table.folder, table.part)
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
        notes.append(f"Rows that name pictures which are not here: {sum(unknown.values()):,} ({some(unknown)}).")
    if ambiguous:
        notes.append(
            f"Rows whose name fits several pictures: {sum(ambiguous.values()):,} ({some(ambiguous)}). "
            "Write the folders before these names."
        )
    if partial:
        notes.append(f"Rows that say other folders than those here; their pictures were found by name: {partial:,}.")
    return PictureRows(
        source=_source([table.name for table in group]),
        columns=group[0].columns,
        file_column=file_column,
        cells=cells,
        num_values=tuple(
            len({value for table in group for value in table.column(number)}) for number in range(len(cells))
        ),
        pictures=tuple(pictures),
        tables=tuple(tables),
        parts=tuple(parts),
        only_numbers=all(cell.strip().isdigit() for cell in cells[file_column]),
        notes=tuple(notes),
    )


def _file_column(group: Sequence[NamedTable], names: PictureNames) -> int | None:
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
            matches = names.find(sample, table.folder, table.part)
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


def why_unmatched(group: Sequence[NamedTable], names: PictureNames) -> str:
    """Return why tables are not used that name no picture."""
    rows = [row for table in group for row in table.rows[:20]]
    if not rows:
        return "no rows below the names of its columns"
    found = names.find((cell for row in rows for cell in row), group[0].folder, group[0].part)
    ambiguous = [name for name, match in found.items() if match.is_ambiguous and not name.isdigit()]
    if len(ambiguous) > len(rows) / 2:
        return f"its names fit several pictures each, such as {some(ambiguous)}: write the folders before them"
    name = max(range(len(rows[0])), key=lambda c: sum(has_picture_ending(row[c]) for row in rows))
    if any(has_picture_ending(row[name]) for row in rows):
        return f"names pictures that are not here: {some(dict.fromkeys(row[name] for row in rows))}"
    if group[0].name.lower().endswith(".txt") or not any(group[0].columns) or max(map(len, rows)) < 2:
        return "names no picture that is here"
    return f"no column names pictures that are here; its columns: {some(group[0].columns)}"


def _source(names: Sequence[str]) -> str:
    different = list(dict.fromkeys(names))
    return different[0] if len(different) == 1 else some(different)
