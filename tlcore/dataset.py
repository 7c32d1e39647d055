"""A data set: classes and items (which image, which class, which split), and the edits a person makes."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Literal, get_args

from tlcore.errors import DatasetError

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)

MAX_CLASSES = 200
MAX_CLASS_NAME_LENGTH = 100


@dataclass(frozen=True, slots=True)
class ClassLabel:
    """A class. Its `id` stays the same when it is renamed, and so does its colour."""

    id: str
    name: str
    color: int


@dataclass(frozen=True, slots=True)
class Item:
    """One picture of the data set.

    Attributes:
        image: Key of the picture in `tlcore.storage.images`, the SHA-256 of its stored bytes.
        class_id: The class that it belongs to.
        split: Train, validation or test.
        name: The name of the file that the person brought; text only, never a path.
        given: Whether it came as a validation or test picture, by its folder or its ready set, and was not shared
            out; `None` in a data set from before that was noted.
        group: What it belongs together with by what the person brought: a patient, a slide, a clip, a session of the
            camera. Pictures of one group are never in different splits where the split is ours to choose.
        scene: Likewise, but found by likeness: near-copies share it. Empty where none were found, `None` where nobody
            has looked.
        brought: The import that it came with, where the folders of that can be read in several ways.
    """

    image: str
    class_id: str
    split: Split
    name: str
    given: bool | None = False
    group: str | None = None
    scene: str | None = None
    brought: str | None = None

    @property
    def stays(self) -> bool:
        """Whether sharing out anew leaves it; a test picture of which that is not known is not learned from either."""
        return self.split == "test" if self.given is None else self.given


@dataclass(frozen=True, slots=True)
class Unlabelled:
    """A picture that came without a class, such as those of a competition's test folder: nothing learns from it.

    Its key, name, import and group are as of `Item`.
    """

    image: str
    name: str
    brought: str | None = None
    group: str | None = None


@dataclass(frozen=True, slots=True)
class Import:
    """An import whose folders can be read in several ways.

    Attributes:
        id: Names what is stored of it, in `tlcore.storage.brought`.
        reading: The key of the reading that is taken.
        is_open: Whether a person has yet to say which one is right.
    """

    id: str
    reading: str
    is_open: bool = False


@dataclass(frozen=True, slots=True)
class Dataset:
    """Immutable; every edit returns a new data set. Probabilities of a model follow the order of `classes`.

    Attributes:
        classes: What its pictures are told apart into.
        items: Its pictures.
        unlabelled: Pictures that a trained model can be asked about.
        scenes_together: Whether near-copies are on one side of the split.
        imports: Imports whose folders can be read in several ways.
        grey_range: The values that became black and white in all its pictures of more than 8 bits; `None` if it has
            none, or if each was scaled on its own, as in early versions.
        checked: Pictures that a person has looked at and found right, each with its class.
        backgrounds_kept: Ids of the classes whose background a person found right, though it gives them away.
    """

    classes: tuple[ClassLabel, ...] = ()
    items: tuple[Item, ...] = ()
    unlabelled: tuple[Unlabelled, ...] = ()
    scenes_together: bool = True
    imports: tuple[Import, ...] = ()
    grey_range: tuple[float, float] | None = None
    checked: tuple[tuple[str, str], ...] = ()
    backgrounds_kept: tuple[str, ...] = ()

    @property
    def question(self) -> str | None:
        """The import of which a person has yet to say what its folders mean; nothing is learned until then."""
        return next((one.id for one in self.imports if one.is_open), None)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names in the order of the model's outputs."""
        return tuple(label.name for label in self.classes)

    @property
    def num_classes(self) -> int:
        """Number of classes, empty ones too."""
        return len(self.classes)

    def class_index(self) -> dict[str, int]:
        """Return the position of each class id among the model's outputs."""
        return {label.id: index for index, label in enumerate(self.classes)}

    def subset(self, split: Split) -> tuple[Item, ...]:
        """Return the items of one split, in a stable order."""
        return tuple(item for item in self.items if item.split == split)

    def of_class(self, class_id: str) -> tuple[Item, ...]:
        """Return the items of one class, in the order in which they came."""
        return tuple(item for item in self.items if item.class_id == class_id)

    def counts(self) -> Counter[tuple[str, Split]]:
        """Return the number of items per `(class id, split)`."""
        return Counter((item.class_id, item.split) for item in self.items)

    def find_class(self, class_id: str) -> ClassLabel:
        """Return the class of an id.

        Raises:
            DatasetError: If there is none.
        """
        for label in self.classes:
            if label.id == class_id:
                return label
        raise DatasetError("This class is no longer there. Reload the page.")

    def class_named(self, name: str) -> ClassLabel | None:
        """Return the class of exactly that name, if there is one."""
        return next((label for label in self.classes if label.name == name), None)


def clean_class_name(name: str) -> str:
    """Return a class name without surrounding space and control characters.

    Raises:
        DatasetError: If nothing is left, or it is too long.
    """
    cleaned = " ".join("".join(c if c.isprintable() or c.isspace() else "" for c in name).split())
    if not cleaned:
        raise DatasetError("A class needs a name. Type at least one letter or digit.")
    if len(cleaned) > MAX_CLASS_NAME_LENGTH:
        raise DatasetError(f"A class name has at most {MAX_CLASS_NAME_LENGTH} characters; this one has {len(cleaned)}.")
    return cleaned


def with_class(dataset: Dataset, name: str) -> tuple[Dataset, ClassLabel]:
    """Return the data set with a class of that name, new or already there, and the class.

    Raises:
        DatasetError: If the name is not usable or there are too many classes.
    """
    name = clean_class_name(name)
    existing = dataset.class_named(name)
    if existing is not None:
        return dataset, existing
    if dataset.num_classes >= MAX_CLASSES:
        raise DatasetError(f"A data set has at most {MAX_CLASSES} classes. Merge or delete some first.")
    used = {label.color for label in dataset.classes}
    color = next(index for index in range(len(used) + 1) if index not in used)
    label = ClassLabel(secrets.token_hex(6), name, color)
    return replace(dataset, classes=(*dataset.classes, label)), label


def rename_class(dataset: Dataset, class_id: str, name: str) -> Dataset:
    """Give a class another name; it keeps its pictures and colour.

    Raises:
        DatasetError: If another class has that name already.
    """
    name = clean_class_name(name)
    label = dataset.find_class(class_id)
    other = dataset.class_named(name)
    if other is not None and other.id != class_id:
        raise DatasetError(f"There is already a class called {name}. Choose another name, or merge the two.")
    renamed = replace(label, name=name)
    return replace(dataset, classes=tuple(renamed if c.id == class_id else c for c in dataset.classes))


def merge_class(dataset: Dataset, class_id: str, into_id: str) -> Dataset:
    """Move all pictures of one class into another and remove the first."""
    dataset.find_class(class_id)
    dataset.find_class(into_id)
    if class_id == into_id:
        raise DatasetError("A class cannot be merged with itself. Choose another class.")
    items = tuple(replace(i, class_id=into_id) if i.class_id == class_id else i for i in dataset.items)
    classes = tuple(c for c in dataset.classes if c.id != class_id)
    return replace(dataset, classes=classes, items=unique_items(items))


def delete_class(dataset: Dataset, class_id: str) -> Dataset:
    """Remove a class with all its pictures."""
    dataset.find_class(class_id)
    classes = tuple(c for c in dataset.classes if c.id != class_id)
    return replace(dataset, classes=classes, items=tuple(i for i in dataset.items if i.class_id != class_id))


def keep_images(dataset: Dataset, keys: Collection[str]) -> Dataset:
    """Return a data set with only those of its pictures that have one of the keys; its classes all stay."""
    return replace(
        dataset,
        items=tuple(item for item in dataset.items if item.image in keys),
        unlabelled=tuple(one for one in dataset.unlabelled if one.image in keys),
        checked=tuple(one for one in dataset.checked if one[0] in keys),
    )


def delete_images(dataset: Dataset, class_id: str, images: Iterable[str]) -> Dataset:
    """Remove pictures from one class."""
    gone = set(images)
    return replace(dataset, items=tuple(i for i in dataset.items if not (i.class_id == class_id and i.image in gone)))


def move_images(dataset: Dataset, class_id: str, images: Iterable[str], to_id: str) -> Dataset:
    """Move pictures from one class to another."""
    dataset.find_class(to_id)
    moved = set(images)
    items = (replace(i, class_id=to_id) if i.class_id == class_id and i.image in moved else i for i in dataset.items)
    return replace(dataset, items=unique_items(items))


def unique_items(items: Iterable[Item]) -> tuple[Item, ...]:
    """Return the items without second copies of a picture in the same class."""
    seen: dict[tuple[str, str], Item] = {}
    for item in items:
        seen.setdefault((item.image, item.class_id), item)
    return tuple(seen.values())


def check_trainable(dataset: Dataset) -> None:
    """Refuse a data set from which nothing can be learnt.

    Raises:
        DatasetError: With the first thing that is missing and what to do about it.
    """
    if dataset.question is not None:
        raise DatasetError("What you brought can be read in several ways. Say on the Data page which one is right.")
    if dataset.num_classes < 2:
        raise DatasetError("Training needs at least two classes to tell apart. Add another class on the Data page.")
    counts = dataset.counts()
    for label in dataset.classes:
        if not counts[label.id, "train"]:
            raise DatasetError(
                f"The class {label.name} has no training pictures. Add some on the Data page, or delete this class."
            )
