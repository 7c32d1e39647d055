"""What the folders and label files around pictures can mean: one reading where it is clear, several to choose from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tlcore.dataset import Split

Role = Literal["class", "part", "group", "passed", "aside"]
"""What a folder is: a class; train, validation or test; what belongs together; of no meaning; not used."""


@dataclass(frozen=True, slots=True)
class Label:
    """Where one picture belongs.

    Attributes:
        class_name: `None` where nothing says it: the picture is put aside, nothing learns from it.
        split: What its folders or its label file say; `None` where they do not.
        group: What it belongs together with, such as a patient or a slide; `None` if nothing says so.
    """

    class_name: str | None
    split: Split | None = None
    group: str | None = None


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder in the small tree that shows what was understood.

    Attributes:
        path: Its name, after those of the folders around it.
        role: What it means.
        pictures: Pictures in it and below.
        why: A few words where the role needs a reason, such as "one in every class"; empty otherwise.
    """

    path: tuple[str, ...]
    role: Role
    pictures: int
    why: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """One meaning of everything that was brought.

    Attributes:
        key: Names it in `read_dataset(classes=...)` and in what is stored: `top`, `leaf`, `depth 2`, `joined`,
            `file names`, `skin_metadata.csv: dx`.
        title: What a person chooses, in a few words: "The folders apple and banana are the classes".
        labels: One per picture, in the order in which they were given.
        classes: Every class, those without pictures too, as a person would sort them.
        folders: The tree, outermost first; what repeats in every class stands in it once.
        notes: What the person should know about this reading, one sentence each.
    """

    key: str
    title: str
    labels: tuple[Label, ...]
    classes: tuple[str, ...]
    folders: tuple[Folder, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Readings:
    """What was understood.

    Attributes:
        found: The likeliest first; never empty.
        is_clear: Whether the first one is taken without a question.
    """

    found: tuple[Reading, ...]
    is_clear: bool


@dataclass(frozen=True, slots=True)
class FileLabels:
    """What one column of a label file, or of several alike, says of the pictures.

    Attributes:
        source: The file's name: `skin_metadata.csv`.
        column: The column of the classes: `dx`; empty where the file has only one.
        labels: One per picture, in the order in which they were given; `None` where the file does not name it.
        notes: What the person should know: unknown files, doubled rows, which file was not used, and why.
        is_sure: Whether the column calls itself a class or is the only one besides the names of pictures; others,
            such as the sex of patients, are possible and seldom meant.
    """

    source: str
    column: str
    labels: tuple[Label | None, ...]
    notes: tuple[str, ...] = ()
    is_sure: bool = True
