"""What the columns of a table about pictures mean: class, part, what belongs together; found by their content."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tlcore.dataset import MAX_CLASSES, Split
from tlcore.intake.label_files.picture_names import has_picture_ending
from tlcore.intake.meaning.parts import part_of
from tlcore.intake.names import some


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# Columns with one of these names hold classes, likeliest first; people name the rest after what they sort by.
_CLASS_WORDS = _words("""
    label labels class classes category categories target diagnosis dx species breed disease finding variety genus
    choice choices tag tags annotation object type y klasse klass etikett clase etiqueta classe étiquette categoria
    categoría kategorie 标签 类别 ラベル クラス класс метка
    """)
_GROUP_WORDS = set(
    _words("patient subject participant slide specimen lesion case scan video clip sequence session burst track")
)
# These too, unless nothing else can be the class.
_GROUPS_OR_CLASSES = set(_words("person individual animal scene group plot plant"))
_PART_WORDS = {"split", "part", "set", "subset", "partition", "usage", "fold", "phase", "dataset", "purpose"}
# Measures, places, times and descriptions: however few values they have, nobody wants them told apart.
_OTHER_WORDS = set(
    _words("""
    width height size area bytes x x0 x1 x2 xmin xmax y0 y1 y2 ymin ymax roi bbox box left top right bottom lat
    latitude lon lng longitude altitude date time timestamp datetime year month day age weight score confidence
    probability prob url uri md5 sha1 sha256 hash index idx unnamed seed count num number fold description caption
    text comment comments note notes license licence author photographer channels depth bits mode format extension
    mime camera version checksum filesize uploaded created modified
    """)
)
_ID_WORDS = {"id", "ids", "uid", "uuid", "guid"}
_NAME_WORDS = {"name", "names", "text", "title", "str", "string", "value", "values"}

# Missing values as spreadsheets, R and pandas write them; "None" is a class of its own in many sets.
_BLANK = {"", "nan", "null", "na", "n/a", "#n/a", "<na>"}
_NUMBER = re.compile(r"[-+]?\d+(?:[.,]\d+)?(?:[eE][-+]?\d+)?")
_URL = re.compile(r"(?:https?|ftp|s3|gs|file)://|www\.", re.I)
_DATE = re.compile(r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}|\d{1,2}:\d{2}")
_SEVERAL = re.compile(r"\[.*,.*\]", re.S)
_ON = {"1", "1.0", "true"}
_OFF = {"0", "0.0", "false"}
# A column of numbers that does not call itself a class is one only if it has so few of them.
_MAX_UNNAMED_NUMBERS = 20
_MAX_CHOICES = 4
_SAMPLE = 1_000
_MAX_MEAN_LENGTH = 60
# So many pictures may carry several classes, or none, before a table is about something else.
_FEW = 0.05


@dataclass(frozen=True, slots=True)
class ClassColumn:
    """A column, or several with one class each, that says the classes.

    Attributes:
        name: What stands above it; empty where nothing does.
        values: What each row says, as it is written; `None` where that is nothing or several classes.
        is_sure: Whether it calls itself a class, or nothing else stands beside the names of pictures.
        notes: What the person should know about it.
    """

    name: str
    values: tuple[str | None, ...]
    is_sure: bool = True
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Meaning:
    """What the columns of a table say.

    Attributes:
        classes: One per plausible column of classes, the likeliest first.
        parts: The part of each row; empty if no column says it.
        groups: What each row belongs together with, empty text for nothing; empty if no column says it.
        notes: Which columns say the part and the group.
        why_none: Where no column is one of classes, why.
    """

    classes: tuple[ClassColumn, ...]
    parts: tuple[Split | None, ...] = ()
    groups: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    why_none: str = ""


def columns_meaning(
    columns: Sequence[str], cells: Sequence[Sequence[str]], num_values: Sequence[int], file_column: int
) -> Meaning:
    """Decide what each column means.

    Args:
        columns: Their names; empty ones in a table without names.
        cells: Per column its values, of the rows that name a picture which is here.
        num_values: Per column how many different values the whole table has.
        file_column: The one that names the pictures.
    """
    follows = None if any(columns) else file_column + 1  # in lists without names of columns the class is next
    axes = [re.split(r"[\W_]+", name.strip().casefold())[-1] for name in columns]
    left = [
        _Column(number, columns[number], cells[number], num_values[number], is_next=number == follows)
        for number in range(len(columns))
        if number != file_column and not (axes[number] == "y" and "x" in axes)
    ]
    notes = []
    parts: tuple[Split | None, ...] = ()
    for column in left:
        parts = column.parts()
        if parts:
            left.remove(column)
            notes.append(f"The column {column.title} says what is for training, validation and testing.")
            break
    found, used, why_none = _class_columns(left)
    classes = found[0].values if found else ()
    groups: tuple[str, ...] = ()
    grouping = _group_column([column for column in left if column not in used], classes, cells[file_column])
    if grouping is not None:
        groups = tuple("" if _is_blank(value) else value.strip() for value in grouping.cells)
        count = len(set(groups) - {""})
        notes.append(f"Pictures with the same {grouping.title} stay together: {count:,} groups.")
    return Meaning(tuple(found), parts, groups, tuple(notes), why_none)


class _Column:
    """A column and what its name and its values look like."""

    def __init__(self, number: int, name: str, cells: Sequence[str], num_values: int, *, is_next: bool):
        self.num_values = num_values
        self.is_next = is_next
        self.cells = cells
        self.title = " ".join(name.split())
        self.shown = self.title or f"column {number + 1}"
        self.counts = Counter(cell.strip() for cell in cells)
        for blank in [value for value in self.counts if _is_blank(value)]:
            del self.counts[blank]
        spaced = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", name).casefold()
        self.words = [word for word in re.split(r"[\W_]+", spaced) if word]
        self.is_binary = bool(self.counts) and {value.casefold() for value in self.counts} <= _ON | _OFF
        self.is_number = bool(self.counts) and all(_NUMBER.fullmatch(value) for value in self.counts)

    @property
    def is_of_groups(self) -> bool:
        return bool(set(self.words) & (_GROUP_WORDS | _GROUPS_OR_CLASSES)) and self.rank() > 0

    def rank(self) -> int:
        """Return how much the name speaks for classes: 0 only class words, 1 one among others, 2 none, 3 against."""
        words = [word for word in self.words if word not in _NAME_WORDS]
        if words and all(word in _CLASS_WORDS for word in words):
            return 0
        if set(words) & _OTHER_WORDS:
            return 3
        if set(words) & set(_CLASS_WORDS):
            return 1
        groups = _GROUP_WORDS | (_GROUPS_OR_CLASSES if set(words) & _ID_WORDS else set())
        if set(words) & groups or (words and set(words) <= _ID_WORDS):
            return 3
        return 1 if self.is_next else 2

    def place(self) -> int:
        """Return how early its class word stands in the list."""
        return min((_CLASS_WORDS.index(word) for word in self.words if word in _CLASS_WORDS), default=len(_CLASS_WORDS))

    def parts(self) -> tuple[Split | None, ...]:
        if self.words[:1] == ["is"] and self.is_binary:
            yes = part_of(" ".join(self.words[1:2]))
            if yes is not None:
                no: Split = "test" if yes == "train" else "train"
                return tuple(yes if cell.strip().casefold() in _ON else no for cell in self.cells)
        by_value = {value: part_of(value) for value in self.counts}
        if not by_value or None in by_value.values():
            return ()
        if len(set(by_value.values())) < 2 and not set(self.words) & _PART_WORDS:
            return ()
        return tuple(by_value.get(cell.strip()) for cell in self.cells)

    def why_no_class(self, rank: int, is_only: bool) -> str:
        """Return why its values are no classes; empty if they are."""
        values, rows = list(self.counts), self.counts.total()
        if not values:
            return "blank in every row"
        if rank == 3:
            return "by its name"
        if any(_URL.match(value) for value in values) or sum(bool(_DATE.match(v)) for v in values) > len(values) / 2:
            return "addresses or dates"
        if sum(_is_path(value, rank) for value in values) > len(values) / 2:
            return "paths"
        if sum(map(len, values)) > _MAX_MEAN_LENGTH * len(values) and len(values) > 1:
            return "free text"
        if self.is_number and any(not float(value.replace(",", ".")).is_integer() for value in values):
            return "measures"
        nearly_all_differ = len(values) > max(1, rows / 2)
        if len(values) > MAX_CLASSES or (nearly_all_differ and self.num_values > MAX_CLASSES):
            return f"{self.num_values:,} different values; a data set has at most {MAX_CLASSES} classes"
        if rank == 0 or (rank == 1 and len(values) > 1) or (is_only and (len(values) > 1 or not self.is_number)):
            return ""
        if len(values) < 2:
            return "one value only"
        if nearly_all_differ:
            return "nearly every row has another value"
        if self.is_number and len(values) > _MAX_UNNAMED_NUMBERS:
            return "numbers"
        return ""


def _class_columns(left: list[_Column]) -> tuple[list[ClassColumn], list[_Column], str]:
    """Return the columns of classes, the likeliest first, the same as they were given, and why none is one."""
    marked, why_none = _one_hot(left)
    plausible: list[tuple[int, int, bool, _Column]] = []
    reasons = []
    marks = [column for column in left if column.is_binary and column.rank() > 0]
    for column in left:
        if len(marks) > 1 and column in marks:
            continue
        rank = column.rank()
        why = column.why_no_class(rank, is_only=len(left) == 1)
        if not why:
            plausible.append((rank, column.place(), column.is_number, column))
        elif rank < 3:
            reasons.append(f"{column.shown}: {why}")
    # "person" and "scene" are classes only where nothing else is.
    plausible = [p for p in plausible if not p[-1].is_of_groups] or plausible
    plausible = [p for p in plausible if len(p[-1].counts) > 1] or plausible
    if any(p[0] < 2 for p in plausible):  # numbers without a word for classes are measures then
        plausible = [p for p in plausible if p[0] < 2 or not p[-1].is_number]
    columns = [p[-1] for p in sorted(plausible, key=lambda p: p[:3])]
    # Numbers that only count the names of another column say nothing of their own.
    named = [column for column in columns if not column.is_number]
    columns = [c for c in columns if not (c.is_number and any(_is_one_to_one(c, other) for other in named))]
    columns = columns[:_MAX_CHOICES]
    found = [_as_classes(column, len(columns)) for column in columns]
    if len(left) == 1:
        found = [replace(column, is_sure=True) for column in found]
    if marked is not None:
        found.insert(bool(columns) and columns[0].rank() == 0, marked)
    others = f"; its columns: {some([column.shown for column in left])}" if left else ""
    return found, columns, why_none or "; ".join(reasons[:3]) or f"no column of classes{others}"


def _as_classes(column: _Column, num_columns: int) -> ClassColumn:
    values: list[str | None] = []
    several = 0
    for cell in column.cells:
        text = cell.strip()
        if _SEVERAL.fullmatch(text):
            several += 1
            values.append(None)
        else:
            values.append(None if _is_blank(text) else cell)
    notes = (f"Rows with several classes: {several:,}. Their pictures are left without a class.",) if several else ()
    name = column.shown if num_columns > 1 else column.title
    return ClassColumn(name, tuple(values), column.rank() < 2, notes)


def _one_hot(left: list[_Column]) -> tuple[ClassColumn | None, str]:
    """Read columns of 0 and 1, named after the classes, of which one per row is 1."""
    binary = [c for c in left if c.is_binary and c.rank() > 0 and c.title]
    if len(binary) < 2:
        return None, ""
    # A mark of another kind, such as "blurred", may stand before or behind them.
    tries = [binary[a : len(binary) - b] for a in range(3) for b in range(3) if len(binary) - a - b >= 2]
    tries.sort(key=len, reverse=True)
    marked = max(tries, key=lambda columns: _share_of_single_marks(columns, _SAMPLE))
    if len(marked) > MAX_CLASSES:
        return None, f"{len(marked):,} columns of 0 and 1; a data set has at most {MAX_CLASSES} classes"
    if _share_of_single_marks(marked, len(marked[0].cells)) < 1 - _FEW:
        shown = ", ".join(c.title for c in binary[:3])
        return None, f"several classes in one picture or none, in the columns {shown}{' ...' * (len(binary) > 3)}"
    values: list[str | None] = []
    for row in zip(*(c.cells for c in marked), strict=True):
        names = [c.title for c, cell in zip(marked, row, strict=True) if cell.strip().casefold() in _ON]
        values.append(names[0] if len(names) == 1 else None)
    wrong = values.count(None)
    note = f"Rows with none or several of the columns {marked[0].title} to {marked[-1].title} set: {wrong:,}. "
    notes = (note + "Their pictures are left without a class.",) if wrong else ()
    return ClassColumn("", tuple(values), notes=notes), ""


def _share_of_single_marks(columns: list[_Column], num_rows: int) -> float:
    rows = zip(*(c.cells[:num_rows] for c in columns), strict=True)
    single = [sum(cell.strip().casefold() in _ON for cell in row) == 1 for row in rows]
    return sum(single) / max(1, len(single))


def _is_one_to_one(a: _Column, b: _Column) -> bool:
    pairs = {(x.strip(), y.strip()) for x, y in zip(a.cells, b.cells, strict=True) if not _is_blank(x)}
    return len(pairs) == len({x for x, _ in pairs}) == len({y for _, y in pairs})


def _group_column(left: list[_Column], classes: Sequence[str | None], ids: Sequence[str]) -> _Column | None:
    """Return the column that says what belongs together; of several the one with the fewest, largest groups."""
    pictures = len(set(ids))
    found = []
    for column in left:
        named = column.is_of_groups
        id_like = bool(set(column.words) & _ID_WORDS)
        groups: defaultdict[str, set[str]] = defaultdict(set)
        classes_of: defaultdict[str, set[str]] = defaultdict(set)
        for value, picture, name in zip(column.cells, ids, classes or ids, strict=True):
            if not _is_blank(value):
                groups[value.strip()].add(picture)
                classes_of[value.strip()].add(name or "")
        if not groups or max(map(len, groups.values())) < 2 or len(groups) >= pictures:
            continue
        num_classes = len(set(classes) - {None})
        pure = sum(len(names) == 1 for names in classes_of.values()) >= 0.95 * len(groups)
        # A column with no more values than classes, such as the clinic, would leave nothing to test on.
        if len(groups) > num_classes and (named or (id_like and pure and len(groups) >= 3 * num_classes)):
            found.append((not named, len(groups), column))
    return min(found, key=lambda f: f[:2])[-1] if found else None


def _is_blank(text: str) -> bool:
    return text.strip().casefold() in _BLANK


def _is_path(value: str, rank: int) -> bool:
    return has_picture_ending(value) or (rank > 0 and ("/" in value or "\\" in value))
