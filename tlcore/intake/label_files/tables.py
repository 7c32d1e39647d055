"""The tables inside label files: CSV, Excel, JSON and plain lists become columns of text; nothing in them is run."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
import warnings
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from tlcore.damage import DAMAGE_ERRORS
from tlcore.errors import DatasetError
from tlcore.intake.archives.encodings import old_encoding
from tlcore.intake.limits import CELL_LENGTH, LABEL_MB, LABEL_ROWS, Limit

# Each cell takes about 60 bytes; tables of more columns have fewer rows.
_WIDE = 20
# A packed sheet of 50 MB may unpack to a thousand times as much.
_MAX_UNPACKED_BYTES = 400_000_000
# Excel's own limit; openpyxl makes up every row before one that says to be the billionth.
_MAX_SHEET_ROWS = 1_048_576

_SEPARATORS = ",;\t|"
_SAMPLE_LINES = 100
_JSON_SUFFIXES = (".json", ".labels")
_LINE_SUFFIXES = (".jsonl", ".ndjson")
_YAML_SUFFIXES = (".yaml", ".yml")
_WORKBOOK_SUFFIXES = (".xlsx", ".xlsm", ".xls")
_TEXT_SUFFIXES = (".csv", ".tsv", ".tab", ".txt")
_SUFFIXES = (*_TEXT_SUFFIXES, *_WORKBOOK_SUFFIXES, *_YAML_SUFFIXES, *_JSON_SUFFIXES, *_LINE_SUFFIXES, ".parquet")
# Numbers stay as they are written.
_JSON = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=lambda name: "")
# A list of paths that may hold spaces, each with something behind it.
_PATH_FIRST = re.compile(r"(.*?\.(?:jpe?g|png|bmp|gif|webp|tiff?|ppm|pgm))\s+(\S.*)", re.IGNORECASE)
# Text that lies beside pictures and says nothing of single ones.
_NO_LABELS = re.compile(r"^(read[ _-]?me|licen[cs]e|copying|change ?log|notice|citation|authors|requirements)\b", re.I)


@dataclass(frozen=True, slots=True)
class LabelFile:
    """A file that may say the classes of pictures.

    Attributes:
        path_parts: Its folders and its name, the name of what was brought first; text only.
        data: Its bytes.
    """

    path_parts: tuple[str, ...]
    data: bytes


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text.

    Attributes:
        path_parts: Where its file lies; a sheet of a workbook is named behind a slash.
        rows: All of one length.
        columns: Their names; `None` where the first row may hold them.
        notes: What the person should know, such as lines that cannot be read.
    """

    path_parts: tuple[str, ...]
    rows: list[tuple[str, ...]]
    columns: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()


def is_label_file(parts: Sequence[str]) -> bool:
    """Return whether a file may say the classes of pictures, by its name; only its content decides."""
    path = PurePath(parts[-1]) if parts else PurePath()
    return path.suffix.lower() in _SUFFIXES and not _NO_LABELS.match(path.stem)


def read_tables(file: LabelFile) -> list[Table]:
    """Read what a label file holds.

    Args:
        file: Its ending says the kind, its content the encoding and the separator.

    Returns:
        One table; of a workbook one per sheet that is not empty.

    Raises:
        DatasetError: If it cannot be read; the text is made to stand in brackets behind the file's name.
    """
    suffix = PurePath(file.path_parts[-1]).suffix.lower()
    if len(file.data) > LABEL_MB.value * 1e6:
        raise DatasetError(f"{len(file.data) / 1e6:,.1f} MB; {_limit(LABEL_MB, 'MB')}")
    if not file.data.strip(b"\0\t\n\r \xef\xbb\xbf"):
        raise DatasetError("empty")
    if suffix == ".parquet":
        raise DatasetError("a Parquet file: save it as CSV")
    if suffix in _WORKBOOK_SUFFIXES:
        tables = _read_workbook(file)
    else:
        text, notes = _decode(file.data)
        if suffix in _JSON_SUFFIXES:
            tables = [_from_records(file.path_parts, _records(_load_json(text)), notes)]
        elif suffix in _YAML_SUFFIXES:
            tables = [Table(file.path_parts, _yaml_names(text), ("key", "value"), notes)]
        elif suffix in _LINE_SUFFIXES:
            tables = [_read_json_lines(file.path_parts, text, notes)]
        else:
            tables = [_read_text(file, text, suffix, notes)]
    tables = [table for table in tables if table.rows]
    if not tables:
        raise DatasetError("no rows")
    for table in tables:
        _check_size(table)
    return tables


def _limit(limit: Limit, unit: str) -> str:
    return f"the limit is {limit} {unit}, which the setting {limit.setting} changes"


def _too_many_rows() -> DatasetError:
    return DatasetError(f"too many rows; {_limit(LABEL_ROWS, 'rows')}")


def _max_cells() -> float:
    return LABEL_ROWS.value * _WIDE


def _too_many_cells() -> DatasetError:
    return DatasetError(f"too many cells: leave out columns; {_limit(LABEL_ROWS, f'rows of {_WIDE} columns')}")


def _check_size(table: Table) -> None:
    if len(table.rows) > LABEL_ROWS.value + 1:
        raise _too_many_rows()
    if len(table.rows) * len(table.rows[0]) > _max_cells():
        raise _too_many_cells()
    most = CELL_LENGTH.value
    for number, row in enumerate(table.rows, start=1):
        longest = max(map(len, row))
        if longest > most:
            raise DatasetError(
                f"a cell of {longest:,} characters in row {number:,}: look for a quotation mark that is not closed; "
                f"{_limit(CELL_LENGTH, 'characters')}"
            )


def _decode(data: bytes) -> tuple[str, tuple[str, ...]]:
    """Return the text, and a note where its encoding is a guess."""
    head = data[:200]
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        encoding = "utf-16"
    elif head[1::2].count(0) > len(head) // 4:
        encoding = "utf-16-le"
    elif head[::2].count(0) > len(head) // 4:
        encoding = "utf-16-be"
    else:
        encoding = "utf-8-sig"
    notes: tuple[str, ...] = ()
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        cells = {cell for cell in re.split(rb"[\t\r\n,;]+", data) if not cell.isascii()}
        encoding = old_encoding(cell[:100] for cell in cells)
        text = data.decode(encoding, "replace")
        notes = (f"It is not in UTF-8 and was read as {encoding}. If class names look wrong, save it as CSV UTF-8.",)
    if "\0" in text:
        raise DatasetError("its letters cannot be read: save it as CSV UTF-8")
    return text, notes


def _read_text(file: LabelFile, text: str, suffix: str, notes: tuple[str, ...]) -> Table:
    """Read a table with a separator, or a list of `path label` lines."""
    named = re.match(r"sep=(.)\r?\n", text)  # what Excel writes and reads to say the separator
    if named:
        text = text[named.end() :]
    if suffix == ".txt":
        text = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("#"))
    layout = _layout(text, named.group(1) if named else _SEPARATORS)
    if layout is None:
        return Table(file.path_parts, _read_lines(text), notes=notes)
    rows, skipped = _read_separated(text, layout)
    if skipped:
        shown = ", ".join(skipped[:3]) + ", ..." * (len(skipped) > 3)
        notes = (*notes, f"Rows with more cells than the others, which are left out: {len(skipped):,} (row {shown}).")
    return Table(file.path_parts, rows, notes=notes)


@dataclass(frozen=True, slots=True)
class _Layout:
    """How a text is cut: by what, into how many cells, and how many lines of a title stand above."""

    separator: str
    width: int
    title_lines: int


def _layout(text: str, separators: str) -> _Layout | None:
    """Find the separator that cuts most lines into the same number of cells; `None` if none does."""
    lines = [line[:5_000] for line in io.StringIO(text[:500_000], newline=None)][:_SAMPLE_LINES]
    best, layout = 0.5, None
    for separator in separators:
        try:
            widths = [len(row) for row in csv.reader(lines, delimiter=separator, skipinitialspace=True) if row]
        except csv.Error:
            continue
        width, count = Counter(widths).most_common(1)[0] if widths else (0, 0)
        if width > 1 and count / len(widths) > best:
            titles = next(number for number, found in enumerate(widths) if found > 1)
            best, layout = count / len(widths), _Layout(separator, max(width, widths[titles]), titles)
    return layout


def _read_separated(text: str, layout: _Layout) -> tuple[list[tuple[str, ...]], list[str]]:
    """Return the rows, and the numbers of those with too many cells."""
    import pandas as pd

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            frame = pd.read_csv(
                io.StringIO(text),
                sep=layout.separator,
                skiprows=layout.title_lines,
                header=None,
                names=range(layout.width),
                index_col=False,
                dtype=object,
                na_filter=False,
                skipinitialspace=True,
                on_bad_lines="warn",
                nrows=int(min(LABEL_ROWS.value + 2, sys.maxsize)),
            )
        except pd.errors.ParserError as error:
            unclosed = re.search(r"EOF inside string starting at row (\d+)", str(error))
            where = f" in row {int(unclosed.group(1)) + 1:,}" if unclosed else ""
            raise DatasetError(f"a quotation mark{where} is not closed") from error
    skipped = [number for warning in warned for number in re.findall(r"Skipping line (\d+)", str(warning.message))]
    columns = [frame[column].tolist() for column in frame]
    while columns and not any(columns[-1]):
        columns.pop()
    return list(zip(*columns, strict=True)), skipped


def _read_lines(text: str) -> list[tuple[str, ...]]:
    """Read lines whose cells are parted by spaces; where paths hold spaces only the last cell is cut off."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    paths = [_PATH_FIRST.fullmatch(line) for line in lines]
    if all(paths):
        cut = [(path.group(1), *path.group(2).split()) for path in paths if path]
        if len({len(row) for row in cut}) == 1:
            return cut
    widths = Counter(len(line.split()) for line in lines)
    width, count = widths.most_common(1)[0] if widths else (0, 0)
    if count == len(lines):
        return [tuple(line.split()) for line in lines]
    if any("\\" in line or "/" in line or "." in line for line in lines[:_SAMPLE_LINES]) and width > 1:
        return [(first, *rest) if rest else (first, "") for first, *rest in (line.rsplit(None, 1) for line in lines)]
    return [(line,) for line in lines]


def _read_workbook(file: LabelFile) -> list[Table]:
    import openpyxl

    if not file.data.startswith(b"PK"):
        raise DatasetError("an old Excel file, or one with a password: save it as .xlsx without one")
    *folders, name = file.path_parts
    try:
        with zipfile.ZipFile(io.BytesIO(file.data)) as parts:
            if sum(part.file_size for part in parts.infolist()) > _MAX_UNPACKED_BYTES:
                raise DatasetError("unpacks to far more than a table of labels would")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of parts that openpyxl does not know, such as drop-down lists
            book = openpyxl.load_workbook(io.BytesIO(file.data), read_only=True, data_only=True, keep_links=False)
            sheets = {sheet.title: _sheet_rows(sheet) for sheet in book.worksheets}
    except DAMAGE_ERRORS as error:
        raise DatasetError("damaged, or not an Excel file: save it as .xlsx again") from error
    sheets = {title: rows for title, rows in sheets.items() if rows}
    return [Table((*folders, name if len(sheets) == 1 else f"{name}/{title}"), rows) for title, rows in sheets.items()]


def _sheet_rows(sheet: Any) -> list[tuple[str, ...]]:
    """Return the rows of a sheet that are not empty, all of one length.

    Not through pandas, which makes all rows as long as the longest: with one cell in the last of 16,384 columns that
    takes all memory.
    """
    sheet.reset_dimensions()  # what the file says of its size may be wrong
    rows: list[tuple[str, ...]] = []
    width = 0
    most_rows, most_cells = LABEL_ROWS.value + 1, _max_cells()
    for number, values in enumerate(sheet.iter_rows(values_only=True)):
        row = tuple(map(_text, values))
        if any(row):
            rows.append(row)
            width = max(width, len(row))
        if number > _MAX_SHEET_ROWS or len(rows) > most_rows:
            raise _too_many_rows()
        if len(rows) * width > most_cells:
            raise _too_many_cells()
    return [row + ("",) * (width - len(row)) for row in rows]


def _text(value: object) -> str:
    """Return what a person sees in a cell: 7, not 7.0; TRUE, not True."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).upper()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _yaml_names(text: str) -> list[tuple[str, ...]]:
    """Return number and name of each class of a YOLO `data.yaml`; its `names` are a list, in one line or several.

    Source:
        https://docs.ultralytics.com/datasets/detect/
    """
    block = re.search(r"^names:[ \t]*([\[{][^\]}]*[\]}]|(?:\r?\n[ \t]*(?:-|[\w'\"]+[ \t]*:)[^\n]*)+)", text, re.M)
    if block is None:
        raise DatasetError("names no classes")
    names: list[tuple[str, ...]] = []
    for entry in re.split(r"[\n,]" if block.group(1)[0] in "[{" else r"\n", block.group(1).strip("[]{}\r\n \t")):
        entry = re.sub(r"\s#.*", "", entry)
        numbered = re.match(r"\s*['\"]?(\d+)['\"]?\s*:(.*)", entry)
        number, name = numbered.groups() if numbered else (str(len(names)), entry.strip().removeprefix("- "))
        names.append((number, name.strip().strip("'\"")))
    return names


def _load_json(text: str) -> Any:
    try:
        return _JSON.decode(text)
    except (ValueError, RecursionError) as error:
        raise DatasetError("damaged JSON: write it again") from error


def _read_json_lines(path_parts: tuple[str, ...], text: str, notes: tuple[str, ...]) -> Table:
    records, bad = [], []
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                records.append(_load_json(line))
            except DatasetError:
                bad.append(number)
    if len(bad) > len(records):
        raise DatasetError(f"damaged JSON from line {bad[0]:,}: write it again")
    if bad:
        shown = ", ".join(f"{number:,}" for number in bad[:3])
        notes = (*notes, f"Lines that cannot be read: {len(bad):,} (line {shown}{', ...' if len(bad) > 3 else ''}).")
    return _from_records(path_parts, records, notes)


def _records(content: Any) -> list[Any]:
    """Return the rows that a JSON document holds, whatever lies around them."""
    if isinstance(content, list):
        return content
    if not isinstance(content, dict):
        raise DatasetError("JSON without a list of pictures")
    if all(isinstance(content.get(key), list) for key in ("images", "annotations", "categories")):
        return list(_coco(content))
    if isinstance(content.get("_via_img_metadata"), dict):  # VGG Image Annotator
        content = content["_via_img_metadata"]
    lists = [value for value in content.values() if isinstance(value, list) and value and isinstance(value[0], dict)]
    if lists:
        return max(lists, key=len)
    inside = [value for value in content.values() if isinstance(value, dict)]
    if len(inside) == 1 and len(content) > 1:  # a version, a date and then the pictures
        content = inside[0]
    return [row for key, value in content.items() for row in _keyed(key, value)]


def _keyed(key: str, value: Any) -> Iterator[Any]:
    """Yield the rows of `file: class`, `file: {...}`, `file: [class]` or `class: [file, ...]`."""
    if isinstance(value, dict):
        yield {"key": key, **value}
    elif isinstance(value, list):
        yield from ({"key": key, "value": one} for one in value)
    else:
        yield {"key": key, "value": value}


def _coco(content: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield file and class of each picture of a COCO document; the same class twice in a picture is one row.

    Source:
        https://cocodataset.org/#format-data
    """
    names = {str(c.get("id")): c.get("name") for c in content["categories"] if isinstance(c, dict)}
    classes: dict[str, dict[str, None]] = {}
    for annotation in content["annotations"]:
        if isinstance(annotation, dict):
            name = names.get(str(annotation.get("category_id")))
            classes.setdefault(str(annotation.get("image_id")), {})[str(name or "")] = None
    for image in content["images"]:
        if isinstance(image, dict):
            for name in classes.get(str(image.get("id")), {"": None}):
                yield {"file_name": image.get("file_name"), "category": name}


def _from_records(path_parts: tuple[str, ...], records: list[Any], notes: tuple[str, ...]) -> Table:
    flat = [_flat(record if isinstance(record, dict) else {"value": record}) for record in records]
    columns = tuple(dict.fromkeys(name for record in flat for name in record))
    if len(flat) * len(columns) > _max_cells():
        raise _too_many_cells()
    return Table(path_parts, [tuple(record.get(name, "") for name in columns) for record in flat], columns, notes)


def _flat(record: Mapping[str, Any], depth: int = 6) -> dict[str, str]:
    """Return the values of an object and of those inside it; `{"label": {"label": 1}}` becomes `label.label`."""
    found: dict[str, str] = {}
    for key, value in record.items():
        while isinstance(value, list) and len(value) == 1:
            value = value[0]
        if isinstance(value, dict) and depth:
            found |= {f"{key}.{name}": text for name, text in _flat(value, depth - 1).items()}
        elif isinstance(value, bool):
            found[key] = "true" if value else "false"
        elif value is None:
            found[key] = ""
        else:
            found[key] = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return found
