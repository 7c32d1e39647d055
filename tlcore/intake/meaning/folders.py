"""From a tree of folders to the levels that may be classes: what lies around everything and parts are passed over."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tlcore.dataset import Split
from tlcore.intake.meaning.file_names import are_pieces
from tlcore.intake.meaning.parts import holds_pictures, is_unlabelled, part_of, parts_among
from tlcore.intake.meaning.readings import Role
from tlcore.intake.names import some

# Some pictures may lie elsewhere (a cover beside the class folders) without changing what the rest means.
MOST = 0.8
# Folders that only hold the pictures of the folder around them, beside those that `holds_pictures` knows.
_CONTAINER = re.compile(r"frames?|(batch|part)[ _-]?\d*")
# Folders of pictures about a data set, beside it.
_ABOUT = re.compile(
    r"(docs?|documentation|plots?|fig(ure)?s?|assets|screenshots?|previews?|examples?|samples?|results?|outputs?|logos?)"
)


@dataclass(slots=True, eq=False)
class Branch:
    """A folder that holds pictures itself, or nothing at all.

    Attributes:
        folders: Its name after those of the folders around it, that of what was brought first.
        pictures: Which of the given pictures lie in it.
        weight: Their number; where no folder holds any, empty ones count one each.
        left: What is still to be read of `folders`: position and name.
        split: The part in which it lies.
        is_astray: Whether it lies beside what was brought: its pictures have no class.
    """

    folders: tuple[str, ...]
    pictures: list[int] = field(default_factory=list)
    weight: int = 0
    left: list[tuple[int, str]] = field(default_factory=list)
    split: Split | None = None
    is_astray: bool = False

    def name(self, level: int) -> str | None:
        """Return the folder of a level below parts and what lies around everything; 0 is the outermost."""
        return self.left[level][1] if level < len(self.left) else None

    def prefix(self, level: int) -> tuple[str, ...]:
        """Return the whole path of the folder of a level."""
        return self.folders[: self.left[level][0] + 1]


@dataclass(slots=True)
class Tree:
    """All folders with pictures, and what was found out about those that are no classes.

    Attributes:
        branches: The folders that hold pictures.
        roles: What a folder is, by its path, and why.
        notes: What a person should know.
    """

    branches: list[Branch]
    roles: dict[tuple[str, ...], tuple[Role, str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def live(self) -> list[Branch]:
        """The branches of which something is still to be read."""
        return [branch for branch in self.branches if branch.left and not branch.is_astray]

    def weights(self, level: int = 0, branches: Sequence[Branch] | None = None) -> Counter[str]:
        """Return the number of pictures below each folder of a level; empty folders count nothing, but stand there."""
        counts: Counter[str] = Counter()
        for branch in self.live if branches is None else branches:
            if (name := branch.name(level)) is not None:
                counts[name] += branch.weight
        return counts

    def drop(self, level: int, chosen: Callable[[Branch], bool], role: Role, why: str) -> None:
        """Take a level out of some branches."""
        for branch in self.live:
            if level < len(branch.left) and chosen(branch):
                self.roles[branch.prefix(level)] = (role, why)
                del branch.left[level]

    def set_astray(self, branch: Branch, why: str) -> None:
        """Give the pictures of a branch no class."""
        branch.is_astray = True
        self.roles[branch.prefix(0)] = ("aside", why)


def read_folders(paths: Sequence[tuple[str, ...]], empty_folders: Sequence[tuple[str, ...]] = ()) -> Tree:
    """Return the folders with what lies around everything and all parts taken out, so that `left` are the levels.

    Args:
        paths: For each picture its parts: the name of what was brought ("" for loose files), folders, file name.
        empty_folders: Folders that hold nothing, likewise.
    """
    branches: dict[tuple[str, ...], Branch] = {}
    for number, path in enumerate(paths):
        branches.setdefault(path[:-1], Branch(path[:-1])).pictures.append(number)
    for folder in empty_folders:
        branches.setdefault(folder, Branch(folder))
    tree = Tree([branch for _, branch in sorted(branches.items())])
    for branch in tree.branches:
        branch.weight = len(branch.pictures) or int(not paths)
        branch.left = [(at, name) for at, name in enumerate(branch.folders) if name]
    _pass_doubled(tree)
    steps = (_pass_inner_copy, _pass_parts, _pass_holder_of_parts, _pass_wrapper, _pass_brought_together, _pass_pieces)
    while any(step(tree) for step in steps):
        pass
    _pass_parts_below(tree)
    _pass_containers(tree)
    return tree


def is_container(name: str) -> bool:
    """Return whether a folder's name says only that pictures lie in it."""
    return holds_pictures(name) or bool(_CONTAINER.fullmatch(name.strip().lower()))


def _children(tree: Tree) -> dict[tuple[str, ...], set[str | None]]:
    """Return what lies in each folder: the names of its folders, and `None` where it holds pictures itself."""
    inside: defaultdict[tuple[str, ...], set[str | None]] = defaultdict(set)
    for branch in tree.branches:
        inside[branch.folders].add(None)
        for depth in range(len(branch.folders)):
            inside[branch.folders[:depth]].add(branch.folders[depth])
    return inside


def _pass_doubled(tree: Tree) -> None:
    """Read `cats/cats/1.jpg` as `cats/1.jpg`, where nothing else lies in the outer one."""
    inside = _children(tree)
    for branch in tree.branches:
        for at, name in list(branch.left):
            if at and name.casefold() == branch.folders[at - 1].casefold() and len(inside[branch.folders[:at]]) == 1:
                branch.left.remove((at, name))
                tree.roles[branch.folders[: at + 1]] = ("passed", "the same name once more")


def _pass_inner_copy(tree: Tree) -> bool:
    """Read `set/cat`, `set/dog`, `set/set/cat`, `set/set/dog` as cat and dog: the whole set lies in itself once more.

    So it does in a folder of any name that holds folders of all names beside it, and in one beside parts that holds
    parts itself.
    """
    names = tree.weights()
    parts = parts_among(names)
    below: defaultdict[str, set[str]] = defaultdict(set)
    outer: defaultdict[str, set[str]] = defaultdict(set)
    for branch in tree.live:
        at, name = branch.left[0]
        outer[name].add(branch.folders[at - 1].casefold() if at else "")
        if (child := branch.name(1)) is not None:
            below[name].add(child)
    copies = set()
    for name, children in below.items():
        others = set(names) - {name}
        is_inner = name.casefold() in outer[name] and len(children & others) * 2 >= len(children)
        holds_all = len(others) > 1 and others <= children
        holds_parts = len(parts) > 1 and children <= parts_among(children).keys()
        if name not in parts and (is_inner or holds_all or holds_parts):
            copies.add(name)
            if not is_inner:
                tree.notes.append(f"The folder {name} holds the same folders as lie beside it; they are read as one.")
    tree.drop(0, lambda b: b.name(0) in copies and len(b.left) > 1, "passed", "the set once more")
    return bool(copies)


def _pass_parts(tree: Tree) -> bool:
    """Take out folders called train, validation, test ... that stand outermost.

    They are parts if two different ones are there, and class folders lie in one of them, or nothing else is there.
    Folders beside them are no classes: their pictures have none, unless class folders of the same names as in the
    parts lie there. One lone part is none, unless the same class folders lie beside it (`cat`, `dog`, `test/cat`).
    """
    live = tree.live
    weights = tree.weights()
    children: defaultdict[str, set[str | None]] = defaultdict(set)
    for branch in live:
        children[branch.left[0][1]].add(branch.name(1))
    parts = parts_among(weights, [name for name in weights if len(children[name] - {None}) > 1])
    others = [name for name in weights if name not in parts]
    deeper = tree.weights(branches=[b for b in live if len(b.left) > 1])
    has_classes = any(rest or deeper[name] > weights[name] / 2 for name, (_, rest) in parts.items())
    is_only = sum(weights[name] for name in parts) >= MOST * sum(b.weight for b in tree.branches)
    if not parts or not (has_classes or is_only):
        return False
    if any(b.split not in (None, parts[b.left[0][1]][0]) for b in live if b.left[0][1] in parts):
        return False
    classes = {rest for _, rest in parts.values() if rest} | {
        b.left[1][1] for b in live if b.left[0][1] in parts and len(b.left) > 1
    }
    are_beside = len(classes & set(others)) > 1
    is_lone = len({split for split, _ in parts.values()}) == 1 and not are_beside
    if is_lone and not (others and has_classes and all(is_unlabelled(name) for name in others)):
        return False
    strays = [name for name in others if not is_unlabelled(name) and name not in classes]
    if len(strays) > 1 and sum(weights[name] for name in strays) > sum(weights[name] for name in parts):
        return False  # class folders, of which one is called like a part
    beside: Counter[str] = Counter()
    members: defaultdict[str, set[Branch]] = defaultdict(set)
    for branch in live:
        at, name = branch.left[0]
        if name in parts:
            split, rest = parts[name]
            branch.split = None if is_lone else split
            tree.roles[branch.prefix(0)] = ("passed", "around all classes") if is_lone else ("part", "")
            branch.left[:1] = [(at, rest)] if rest else []
            members[name].add(branch)
        elif name in classes:
            beside[name] += branch.weight
        elif (inner := branch.name(1)) in classes:
            beside[f"{name}/{inner}"] += branch.weight
            tree.roles[branch.prefix(0)] = ("passed", "beside the parts, with the same classes")
            del branch.left[0]
        else:
            tree.set_astray(branch, "beside the parts, without a class")
    if beside:
        tree.notes.append(
            f"Beside the parts lie {sum(beside.values()):,} more pictures of the same classes "
            f"({some(sorted(beside))}). They are shared out like pictures without a part."
        )
    inside = {name: {b.left[0][1] for b in branches if b.left} for name, branches in members.items()}
    known = set().union(*(names for names in inside.values() if len(names) > 1))
    for name, branches in members.items():
        _pass_inside_part(tree, branches, parts[name][0], known)
    return True


def _pass_holder_of_parts(tree: Tree) -> bool:
    """Take out the folder that alone of those beside each other holds parts with classes, and most of the pictures.

    What lies beside it lies beside the parts then: `set/train/cat`, `set/test/cat`, `large/cat`.
    """
    weights = tree.weights()
    holders = []
    inside_of = defaultdict[str | None, list[Branch]](list)
    for branch in tree.live:
        inside_of[branch.name(0)].append(branch)
    for name in weights if len(weights) > 1 else ():
        inside = inside_of[name]
        level = next((at for at in range(1, 4) if len(tree.weights(at, inside)) > 1), 1)
        below = tree.weights(level, inside)
        parts = parts_among(below)
        classes = tree.weights(level + 1, [b for b in inside if b.name(level) in parts])
        is_whole = sum(below[part] for part in parts) >= MOST * weights[name]
        if is_whole and len({split for split, _ in parts.values()}) > 1 and len(classes) > 1:
            holders.append(name)
    if len(holders) != 1 or 2 * weights[holders[0]] <= sum(weights.values()):
        return False
    tree.drop(0, lambda b: b.name(0) == holders[0], "passed", "around the parts")
    return True


def _pass_inside_part(tree: Tree, branches: set[Branch], split: Split, known: set[str]) -> None:
    """Read `train/train/cat` and `test/images/1.jpg` as `train/cat` and `test/1.jpg`, if it is no known class."""
    while len(names := {branch.left[0][1] for branch in branches if branch.left}) == 1:
        name = names.pop()
        is_filler = part_of(name) == split or is_container(name) or is_unlabelled(name)
        if not is_filler or name in known:
            return
        tree.drop(0, lambda b: b in branches, "passed", "around everything in it")


def _pass_wrapper(tree: Tree) -> bool:
    """Take out one folder that lies around everything, or nearly, with further folders inside.

    Folders about the set beside it (`docs`, `plots`) are no classes then.
    """
    live = tree.live
    weights = tree.weights()
    total = sum(b.weight for b in tree.branches if not b.is_astray)
    deep = [b for b in live if len(b.left) > 1]
    about = {n for n in weights if _ABOUT.fullmatch(n.lower()) and not any(b.name(0) == n for b in deep)}
    names = {name for name, weight in weights.items() if weight} - about
    if len(names) != 1:
        return False
    (name,) = names
    inside = tree.weights(1, [b for b in deep if b.name(0) == name])
    share = sum(inside.values()) / max(1, weights[name])
    is_root = all(b.left[0][0] == 0 for b in live)
    is_around = share >= MOST or (len(inside) > 1 and (share >= 0.5 or is_root))
    if not is_around or (weights[name] < MOST * total) or (about and len(inside) < 2):
        return False
    for branch in live:
        if branch.name(0) in about:
            tree.set_astray(branch, "about the set, beside it")
    if part_of(name) not in (None, "train"):
        tree.notes.append(
            f"The folder {name} lies around everything, so it is no part: its pictures are shared out like any others."
        )
    tree.drop(0, lambda _: True, "passed", "around everything")
    return True


def _pass_brought_together(tree: Tree) -> bool:
    """Take out the names of several ZIP files or folders that came together with classes of their own inside.

    One of them has at least two; the folder in one that has a single one may be a class too.
    """
    live = tree.live
    roots = {b.folders[0] for b in live}
    if len(roots) < 2 or any(b.left[0][0] for b in live):
        return False
    inside: dict[str, set[str | None]] = {root: {b.name(1) for b in live if b.folders[0] == root} for root in roots}
    wrapped = {root for root, (name, *more) in inside.items() if name and not more and not part_of(name)}
    wrapped &= {b.folders[0] for b in live if len(b.left) > 2}
    if wrapped:
        tree.drop(1, lambda b: b.folders[0] in wrapped and len(b.left) > 2, "passed", "around everything in it")
        return True
    classes = [name for names in inside.values() for name in names]
    alone = [name for names in inside.values() if len(names) == 1 for name in names]
    if len(alone) == len(inside) or any(name is None or is_container(name) or part_of(name) for name in alone):
        return False  # each is perhaps a class itself, as in `cat.zip` with a folder `cat` in it
    if None in classes or len(set(classes)) < len(classes):
        return False
    tree.drop(0, lambda _: True, "passed", "brought together")
    return True


def _pass_pieces(tree: Tree) -> bool:
    """Take out numbered pieces of one set (`images_part_1`, `fold 2`) that lie around the same kinds of folders."""
    weights = tree.weights()
    deeper = sum(b.weight for b in tree.live if len(b.left) > 1)
    if not are_pieces(weights) or deeper < MOST * sum(weights.values()):
        return False
    tree.drop(0, lambda _: True, "passed", "a piece of one set")
    return True


def _pass_parts_below(tree: Tree) -> None:
    """Read `cat/train/1.jpg`, where each class has its own parts."""
    if any(branch.split for branch in tree.branches):
        return
    for level in (1, 2, 3):
        weights = tree.weights(level)
        parts = parts_among(weights)
        inside = sum(weights[name] for name in parts)
        total = sum(b.weight for b in tree.branches if not b.is_astray)
        if len({split for split, _ in parts.values()}) > 1 and inside >= MOST * total:
            for branch in tree.live:
                if branch.name(level) in parts:
                    branch.split = parts[branch.left[level][1]][0]
            tree.drop(level, lambda b: b.split is not None, "part", "")
            return


def _pass_containers(tree: Tree) -> None:
    """Read `cat/images/1.jpg` as `cat/1.jpg`; where a class has several folders, their names may tell things apart."""
    inside = _children(tree)
    for branch in tree.live:
        for at, name in branch.left[1:]:
            if is_container(name) and inside[branch.folders[:at]] <= {name, None}:
                branch.left.remove((at, name))
                tree.roles[branch.folders[: at + 1]] = ("passed", "only holds the pictures")
