"""Lists that say which class a number or a code stands for: `0: cat`, `ClassId,SignName`, one name per line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tlcore.dataset import MAX_CLASS_NAME_LENGTH
from tlcore.intake.label_files.columns import ClassColumn
from tlcore.intake.label_files.picture_names import has_picture_ending
from tlcore.intake.label_files.rows import NamedTable, PictureRows
from tlcore.intake.meaning.readings import FileLabels, Label

# So many pictures may lie elsewhere, such as a cover.
_FEW = 0.1


@dataclass(slots=True)
class ClassList:
    """A table that says which class a number or a code stands for.

    Attributes:
        table: What was read.
        names: By the code.
        rows: What it says of the pictures if it is an ordinary label file after all.
        was_used: Whether something was read with it.
    """

    table: NamedTable
    names: dict[str, str]
    rows: PictureRows | None = None
    was_used: bool = False

    def is_of_pictures(self, num_pictures: int) -> bool:
        """Return whether its numbers are rather those of pictures, each of a class of its own."""
        return self.rows is not None and 2 * len(set(self.rows.pictures)) >= num_pictures

    def of_folders(self, paths: Sequence[tuple[str, ...]]) -> FileLabels | None:
        """Return the names of the folders in which pictures lie, if nearly all lie in one that has a code."""
        codes = [next((code_of(f) for f in reversed(path[1:-1]) if code_of(f) in self.names), None) for path in paths]
        if codes.count(None) > _FEW * len(codes) or len(set(codes) - {None}) < 2:
            return None
        self.was_used = True
        labels = tuple(None if code is None else Label(usable_name(self.names[code])) for code in codes)
        return FileLabels(self.table.name, "", labels, ("It names the classes for which the folders have numbers.",))

    def why_unused(self, paths: Sequence[tuple[str, ...]]) -> str:
        """Return why a list of classes was not needed; empty if it may be something else."""
        folders = {folder for path in paths for folder in path[1:-1]}
        if set(self.names.values()) <= folders:
            return "its classes are named as the folders are"
        return "nothing here has its numbers" if all(map(str.isdigit, self.names)) else ""


def read_class_list(group: Sequence[NamedTable]) -> ClassList | None:
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
    return ClassList(table, dict(zip(map(code_of, codes), names, strict=True)))


def code_of(text: str) -> str:
    """Return a number or a code without the zeros before it: folders are called 00012."""
    return (text.lstrip("0") or "0") if text.isascii() and text.isdigit() else text


def spelled_out(column: ClassColumn, class_names: Sequence[ClassList]) -> ClassColumn:
    """Write the names of classes where the column has only their numbers or codes."""
    codes = {code_of(value.strip()) for value in column.values if value is not None}
    for keyed in class_names:
        if codes and codes <= keyed.names.keys():
            keyed.was_used = True
            values = tuple(None if value is None else keyed.names[code_of(value.strip())] for value in column.values)
            note = f"{keyed.table.name} says the names of its classes."
            return replace(column, values=values, notes=(*column.notes, note))
    return column


def usable_name(value: str) -> str:
    """Return a value as the name of a class: on one line, of bounded length."""
    text = " ".join("".join(c if c.isprintable() or c.isspace() else "" for c in value).split())
    return text[:MAX_CLASS_NAME_LENGTH].strip()
