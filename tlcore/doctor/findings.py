"""Faults found in a data set, as data, and the edits that mend them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from tlcore.dataset import Dataset, unique_items
from tlcore.intake.leaks import leaks, without_leaks
from tlcore.intake.splitting import HELD_BACK
from tlcore.settings.words import count

FindingKind = Literal[
    "unreadable",
    "blank",
    "two_classes",
    "leak",
    "mislabelled",
    "tiny",
    "dark",
    "blurred",
    "odd_shape",
    "near_copies",
]
Fix = Literal["remove", "relabel", "move"]


@dataclass(frozen=True, slots=True)
class FindingSpec:
    """A kind of fault.

    Attributes:
        kind: Its name.
        one: What a single picture is, after `1 picture`.
        many: What several are, after their number and `pictures`.
        sentence: Why it matters.
        fix: What mends it.
    """

    kind: FindingKind
    one: str
    many: str
    sentence: str
    fix: Fix


@dataclass(frozen=True, slots=True)
class Suspect:
    """One picture with a fault.

    Attributes:
        image: Its key.
        class_id: The class in which it has the fault.
        to_class: The class in which it probably belongs; `None` where that is no question.
        other: The picture that it is like; `None` where there is none.
    """

    image: str
    class_id: str
    to_class: str | None = None
    other: str | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """All pictures with one kind of fault, the clearest first."""

    kind: FindingKind
    suspects: tuple[Suspect, ...]

    @property
    def images(self) -> tuple[str, ...]:
        """Keys of the pictures."""
        return tuple(suspect.image for suspect in self.suspects)

    @property
    def title(self) -> str:
        """How many pictures have which fault, such as `3 pictures are blank`."""
        spec, number = FINDINGS[self.kind], len(self.suspects)
        return f"{count(number, 'picture')} {spec.one if number == 1 else spec.many}"

    @property
    def sentence(self) -> str:
        """Why it matters."""
        return FINDINGS[self.kind].sentence

    @property
    def fix(self) -> Fix:
        """What mends it."""
        return FINDINGS[self.kind].fix


@dataclass(frozen=True, slots=True)
class BackgroundFinding:
    """A class that a classifier tells by the edges of its pictures alone, and better than by their middles.

    Attributes:
        class_ids: The class; of two classes both, as what tells one tells the other.
        edges: Share of pairs of a picture of the class and one of another class in which a classifier that sees only
            the edges knows which is which, in `[0, 1]`: the area under its ROC curve.
        middles: The same of a classifier that sees only the middles.
    """

    class_ids: tuple[str, ...]
    edges: float
    middles: float


@dataclass(frozen=True, slots=True)
class DoctorReport:
    """What was found in one version of a data set.

    Attributes:
        findings: By kind, the gravest first; a picture is in one of them only.
        pictures: Pictures that were looked at.
        judged: Those whose class a classifier could judge that had not learned from them.
        agreed: Those of them that it takes for what they are called.
        scenes: The scenes of near-copies, as `Item.scene`, where nobody had looked for them before.
        backgrounds: Classes that are told by their background, the clearest first; none in early reports.
    """

    findings: tuple[Finding, ...]
    pictures: int
    judged: int
    agreed: int
    scenes: dict[str, str] = field(default_factory=dict)
    backgrounds: tuple[BackgroundFinding, ...] = ()


FINDINGS: Mapping[FindingKind, FindingSpec] = {
    spec.kind: spec
    for spec in (
        FindingSpec(
            "unreadable",
            "cannot be read any more",
            "cannot be read any more",
            "The file is missing or damaged, and training would end there. Remove it, or bring it again.",
            "remove",
        ),
        FindingSpec(
            "blank",
            "shows nothing",
            "show nothing",
            "One even surface: a covered lens, an empty page. Nothing can be learned from it but a wrong hint.",
            "remove",
        ),
        FindingSpec(
            "two_classes",
            "has a near-copy in another class",
            "have near-copies in another class",
            "Two pictures look the same and have different classes, so one of these is probably wrong.",
            "relabel",
        ),
        FindingSpec(
            "leak",
            "for validation or testing belongs to a training picture",
            "for validation or testing belong to training pictures",
            "The model has learned their like, so the accuracy looks better than it is.",
            "move",
        ),
        FindingSpec(
            "mislabelled",
            "looks mislabelled",
            "look mislabelled",
            "A classifier that had not learned from them takes them clearly for another class. It can be wrong: "
            "decide by what you see.",
            "relabel",
        ),
        FindingSpec(
            "tiny",
            "is far smaller than the others",
            "are far smaller than the others",
            "The model gets it enlarged and blurred, and may learn that instead of what it shows.",
            "remove",
        ),
        FindingSpec(
            "dark",
            "is very dark",
            "are very dark",
            "Hardly anything can be seen. Remove it, unless such pictures will be asked about later too.",
            "remove",
        ),
        FindingSpec(
            "blurred",
            "is much more blurred than the others",
            "are much more blurred than the others",
            "Edges and texture are gone. Remove it, unless such pictures will be asked about later too.",
            "remove",
        ),
        FindingSpec(
            "odd_shape",
            "is much longer or narrower than the others",
            "are much longer or narrower than the others",
            "Made square, most of it is cut off or squeezed.",
            "remove",
        ),
        FindingSpec(
            "near_copies",
            "is a near-copy of one beside it",
            "are near-copies of others beside them",
            "They are in the same class and part. That does no harm, but they teach little that is new.",
            "remove",
        ),
    )
}
"""Every kind of fault, the gravest first."""


def open_findings(report: DoctorReport, dataset: Dataset) -> tuple[Finding, ...]:
    """Return what of a report still holds for a data set that was edited since.

    Pictures that are gone, that are in another class now, or of which a person said that they are right, are left out.
    """
    places = {(item.image, item.class_id) for item in dataset.items}
    open_places = places - set(dataset.checked)
    images = {item.image for item in dataset.items}
    classes = {label.id for label in dataset.classes}
    leaking: set[str] = set()
    if any(finding.kind == "leak" for finding in report.findings):
        known = with_scenes_of(report, dataset)
        leaking = {image for split in HELD_BACK for image in leaks(known, split)}
    found = []
    for finding in report.findings:
        suspects = tuple(
            one
            for one in finding.suspects
            if (one.image, one.class_id) in open_places
            and (one.to_class is None or one.to_class in classes)
            and (one.other is None or one.other in images)
            and (finding.kind != "two_classes" or (one.other, one.to_class) in places)
            and (finding.kind != "leak" or one.image in leaking)
        )
        if suspects:
            found.append(replace(finding, suspects=suspects))
    return tuple(found)


def open_backgrounds(report: DoctorReport, dataset: Dataset) -> tuple[BackgroundFinding, ...]:
    """Return which classes of a report are still told by their background, as far as that is known.

    Left out are those that are gone or have no pictures any more, and those of which a person said that it is right.
    """
    there = {item.class_id for item in dataset.items} & {one.id for one in dataset.classes}
    still = there - set(dataset.backgrounds_kept)
    return tuple(one for one in report.backgrounds if still.issuperset(one.class_ids))


def keep_background(dataset: Dataset, finding: BackgroundFinding) -> Dataset:
    """Note that the background of a class is right as it is; it is not reported again."""
    seen = dict.fromkeys((*dataset.backgrounds_kept, *finding.class_ids))
    return replace(dataset, backgrounds_kept=tuple(seen))


def relabel(dataset: Dataset, suspects: Collection[Suspect]) -> Dataset:
    """Move pictures into the classes in which they probably belong."""
    to_class = {(one.image, one.class_id): one.to_class for one in suspects}
    return replace(
        dataset,
        items=unique_items(
            replace(item, class_id=to_class.get((item.image, item.class_id)) or item.class_id) for item in dataset.items
        ),
    )


def remove(dataset: Dataset, suspects: Collection[Suspect]) -> Dataset:
    """Take pictures out of their classes."""
    gone = {(one.image, one.class_id) for one in suspects}
    return replace(dataset, items=tuple(item for item in dataset.items if (item.image, item.class_id) not in gone))


def keep(dataset: Dataset, suspects: Collection[Suspect]) -> Dataset:
    """Note that a person has looked at pictures and found them right as they are; they are not reported again."""
    seen = dict.fromkeys((*dataset.checked, *((one.image, one.class_id) for one in suspects)))
    return replace(dataset, checked=tuple(seen))


def move(dataset: Dataset, report: DoctorReport) -> Dataset:
    """Move training pictures to where pictures that belong to them are held back, as far as each class keeps some."""
    return without_leaks(with_scenes_of(report, dataset))


def with_scenes_of(report: DoctorReport, dataset: Dataset) -> Dataset:
    """Return the data set with the scenes that the report found where nobody had looked."""
    return replace(
        dataset,
        items=tuple(
            replace(item, scene=report.scenes[item.image])
            if item.scene is None and item.image in report.scenes
            else item
            for item in dataset.items
        ),
    )
