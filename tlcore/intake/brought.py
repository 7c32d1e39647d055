"""Pictures that were brought, and what their folders can mean: put into a data set, and read again later."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from tlcore.dataset import (
    MAX_CLASSES,
    ClassLabel,
    Dataset,
    Import,
    Unlabelled,
    clean_class_name,
    unique_items,
    with_class,
)
from tlcore.errors import DatasetError
from tlcore.intake.meaning.class_names import natural
from tlcore.intake.meaning.readings import Label, Reading, Readings
from tlcore.intake.meaning.tree import choose
from tlcore.intake.names import printable
from tlcore.intake.splitting import TEST_FRACTION, VALIDATION_FRACTION, NewItem, assign_splits

UNLABELLED = "unlabelled"


@dataclass(frozen=True, slots=True)
class Picture:
    """A stored picture: its key, and where it lay in what was brought; text only."""

    image: str
    path: str

    @property
    def name(self) -> str:
        """The name of its file, made printable."""
        return printable(self.path.rsplit("/", 1)[-1])


@dataclass(frozen=True, slots=True)
class Brought:
    """The pictures of one import, and what their folders can mean.

    Attributes:
        pictures: In the order of the labels of each reading.
        readings: The likeliest first.
    """

    pictures: tuple[Picture, ...]
    readings: Readings

    def place(
        self,
        dataset: Dataset,
        reading: Reading,
        *,
        import_id: str | None = None,
        scenes: Mapping[str, str] | None = None,
        validation: float = VALIDATION_FRACTION,
        test: float = TEST_FRACTION,
        seed: int = 0,
    ) -> Dataset:
        """Return the data set with these pictures, in the classes of a reading.

        Where a reading has no class for any picture, they all come into one that waits to be named. Otherwise pictures
        without a class are put aside.

        Args:
            dataset: What is there already; its pictures keep their class and split.
            reading: One of `readings`.
            import_id: Noted in what comes in, so that `read_again` finds it.
            scenes: The scene of each picture, as `Item.scene`.
            validation: Fraction of each class for validation, as in `assign_splits`.
            test: Fraction of each class for testing.
            seed: Decides which pictures are kept for validation and test.

        Raises:
            DatasetError: If there would be too many classes.
        """
        labels = labels_with_class(reading)
        names = {label.class_name for label in labels if label.class_name is not None} | set(reading.classes)
        check_class_count(dataset, names)
        classes: dict[str | None, ClassLabel] = {}
        for name in sorted(names, key=natural):
            dataset, classes[name] = with_class(dataset, name)
        new: list[NewItem] = []
        without: dict[str, Unlabelled] = {}
        for picture, label in zip(self.pictures, labels, strict=True):
            if label.class_name is None:
                without[picture.image] = Unlabelled(picture.image, picture.name, import_id, label.group)
            else:
                scene = (scenes or {}).get(picture.image)
                class_id = classes[label.class_name].id
                new.append(NewItem(picture.image, class_id, picture.name, label.split, label.group, scene))
        placed = assign_splits(new, dataset, validation=validation, test=test, seed=seed)
        items = unique_items((*dataset.items, *(replace(item, brought=import_id) for item in placed)))
        known = {item.image for item in items} | {one.image for one in dataset.unlabelled}
        aside = tuple(one for image, one in without.items() if image not in known)
        return replace(dataset, items=items, unlabelled=(*dataset.unlabelled, *aside))


def by_folders(brought: Brought, values: Mapping[str, str]) -> list[str | None]:
    """Return for each picture what a mapping gives to the folder in which it lies.

    Args:
        brought: What came.
        values: From folders (`rotten`, or `apple/rotten` where that is not enough) to anything; of several that fit a
            picture the longest counts, then the innermost.

    Raises:
        DatasetError: If a folder is not there.
    """
    wanted = {tuple(folder.strip("/").split("/")): value for folder, value in values.items()}
    found = []
    for picture in brought.pictures:
        folders = tuple(picture.path.split("/")[:-1])
        lengths = range(len(folders), 0, -1)
        runs = (folders[end - length : end] for length in lengths for end in range(len(folders), length - 1, -1))
        found.append(next((run for run in runs if run in wanted), None))
    _check_all_used((("/".join(folder), folder in found) for folder in wanted), "folder")
    return [None if run is None else wanted[run] for run in found]


def by_files(brought: Brought, values: Mapping[str, str]) -> list[str | None]:
    """Return for each picture what a mapping gives to its file, named by its path or by as much of its end as needed.

    Raises:
        DatasetError: If a file is not there.
    """
    found = []
    for picture in brought.pictures:
        parts = picture.path.split("/")
        ends = ("/".join(parts[start:]) for start in range(len(parts)))
        found.append(next((end for end in ends if end in values), None))
    used = set(found)
    _check_all_used(((name, name in used) for name in values), "picture")
    return [None if end is None else values[end] for end in found]


def _check_all_used(names: Iterable[tuple[str, bool]], what: str) -> None:
    missing = sorted(name for name, is_used in names if not is_used)
    if missing:
        more = f" and {len(missing) - 5:,} more" if len(missing) > 5 else ""
        raise DatasetError(f"There is no {what} {', '.join(missing[:5])}{more} among the pictures. Check the names.")


def read_as(brought: Brought, class_names: Sequence[str | None]) -> Reading:
    """Return the likeliest reading with other classes: one name per picture, `None` for those without a class."""
    pairs = zip(brought.readings.found[0].labels, class_names, strict=True)
    labels = [replace(label, class_name=None if name is None else clean_class_name(name)) for label, name in pairs]
    names = sorted({label.class_name for label in labels if label.class_name is not None}, key=natural)
    without = sum(label.class_name is None for label in labels)
    notes = (f"No class was given to {without:,} of {len(labels):,} pictures. They are left aside.",) if without else ()
    return Reading("given", "The classes that were given", tuple(labels), tuple(names), notes=notes)


def read_again(dataset: Dataset, import_id: str, brought: Brought, key: str, *, seed: int = 0) -> Dataset:
    """Return the data set with the pictures of an import in the classes of another reading.

    Pictures of it that were deleted stay deleted; those that were in their class before it stay there. What a person
    did with the others since then, such as moving them to another class, is not kept.

    Args:
        dataset: The data set as it is now.
        import_id: The import.
        brought: What came with it.
        key: Which reading, by its key.
        seed: As in `Brought.place`.

    Raises:
        DatasetError: If there is no such reading, or it has too many classes.
    """
    reading = choose(brought.readings, key)
    here = {item.image for item in dataset.items if item.brought == import_id}
    here |= {one.image for one in dataset.unlabelled if one.brought == import_id}
    scenes = {item.image: item.scene for item in dataset.items if item.scene is not None}
    items = tuple(item for item in dataset.items if item.brought != import_id)
    left = {item.class_id for item in items}
    taken = next((one.reading for one in dataset.imports if one.id == import_id), key)
    old = _classes_of(choose(brought.readings, taken)) - _classes_of(reading)
    classes = tuple(label for label in dataset.classes if label.id in left or label.name not in old)
    unlabelled = tuple(one for one in dataset.unlabelled if one.brought != import_id)
    kept = [index for index, picture in enumerate(brought.pictures) if picture.image in here]
    pictures = tuple(brought.pictures[index] for index in kept)
    labels = tuple(reading.labels[index] for index in kept)
    imports = tuple(Import(import_id, key) if one.id == import_id else one for one in dataset.imports)
    rest = replace(dataset, classes=classes, items=items, unlabelled=unlabelled, imports=imports)
    part = replace(brought, pictures=pictures)
    return part.place(rest, replace(reading, labels=labels), import_id=import_id, scenes=scenes, seed=seed)


def give_class(dataset: Dataset, images: Collection[str], class_id: str) -> Dataset:
    """Return the data set with some of its pictures without a class in a class; they are shared out like new ones."""
    wanted = set(images)
    new = [NewItem(one.image, class_id, one.name, group=one.group) for one in dataset.unlabelled if one.image in wanted]
    items = unique_items((*dataset.items, *assign_splits(new, dataset)))
    return replace(dataset, items=items, unlabelled=tuple(o for o in dataset.unlabelled if o.image not in wanted))


def labels_with_class(reading: Reading) -> Sequence[Label]:
    """Return the labels of a reading; if nothing says a class, all are of one that waits to be named."""
    if any(label.class_name is not None for label in reading.labels):
        return reading.labels
    return [replace(label, class_name=UNLABELLED) for label in reading.labels]


def check_class_count(dataset: Dataset, class_names: Collection[str]) -> None:
    """Refuse more classes than a data set can have.

    Raises:
        DatasetError: If they are too many together.
    """
    count = len({label.name for label in dataset.classes} | set(class_names))
    if count > MAX_CLASSES:
        raise DatasetError(
            f"These pictures lie in folders for {count:,} classes; the limit is {MAX_CLASSES}. "
            "Put the pictures into fewer folders, one per class."
        )


def _classes_of(reading: Reading) -> set[str]:
    return {label.class_name for label in labels_with_class(reading) if label.class_name} | set(reading.classes)
