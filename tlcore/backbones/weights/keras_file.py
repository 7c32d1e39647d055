"""Read which layers a file of Keras weights holds, without Keras; the file may come from anybody."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from tlcore.backbones.spec import HDF5_SIGNATURE, BackboneSpec
from tlcore.downloading import megabytes, size_of
from tlcore.errors import WeightsError

MAX_OBJECTS = 50_000
MAX_DEPTH = 16
MAX_DIMENSIONS = 6
MAX_NAMES = 100_000
"""Names in one list of layers or of weights."""
MAX_NAME_BYTES = 1_000

# A file may hold more than the weights themselves: double precision, or the optimizer's memory of each weight.
MAX_BYTES_PER_PARAMETER = 16
MAX_BYTES_BESIDES = 64_000_000

# How other files begin, and what to call them.
BEGINNINGS = (
    (b"PK", "is a whole model or another archive (ZIP)"),
    (b"\x80", "is a Python pickle, which could run a program, so it was not opened"),
    (b"<", "is a web page"),
)
ADVICE = "Save the weights of the network without its classifier with `model.save_weights` and bring that file."


@dataclass(frozen=True, slots=True)
class LayerWeights:
    """The weights of one layer in a file.

    Attributes:
        place: Where they stand in the file.
        name: Name of the layer, as the file gives it.
        shapes: Shape of each array, in the file's order.
    """

    place: str
    name: str
    shapes: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class WeightsLayout:
    """What a file of weights holds.

    Attributes:
        is_legacy: Whether it was written in the format before Keras 3: then layers are matched by their order,
            otherwise by their place.
        layers: The layers that have weights, in the file's order.
    """

    is_legacy: bool
    layers: tuple[LayerWeights, ...]


def read_brought(spec: BackboneSpec, path: Path, filename: str) -> WeightsLayout:
    """Return the layers of a file that could be weights of a backbone; errors as in `read_layout`.

    Whether they fit layer by layer only Keras can tell. Its start takes many times the memory and the time of all that
    is done here, so what is plainly no such file never gets that far.

    Args:
        spec: The backbone.
        path: The file.
        filename: What messages call it.

    Raises:
        WeightsError: If the file is refused, also when it holds far fewer numbers than the backbone needs.
    """
    layout = read_layout(path, filename, spec.parameters * MAX_BYTES_PER_PARAMETER + MAX_BYTES_BESIDES)
    numbers = sum(math.prod(shape) for layer in layout.layers for shape in layer.shapes)
    # Where only a few layers differ, the first of them says more than two sums do.
    if numbers < spec.parameters / 2:
        raise WeightsError(
            f"{filename} does not fit {spec.title}: it holds {numbers:,} numbers and the backbone has "
            f"{spec.parameters:,}, so it belongs to a smaller network or is a part of one. {ADVICE}"
        )
    return layout


def read_layout(path: Path, filename: str, max_bytes: int) -> WeightsLayout:
    """Return the layers of a file of weights and their shapes; no values are read, and nothing is executed.

    Args:
        path: The file.
        filename: What messages call it.
        max_bytes: Larger files are not opened.

    Raises:
        WeightsError: If it is no such file, is damaged, or holds anything that weights do not need: links,
            values kept in other files, compressed values, arrays larger than the file, or things that are no
            numbers.
    """
    _check_beginning(path, filename, max_bytes)
    try:
        with h5py.File(path, "r") as file:
            return _layout(file, _arrays(file, filename, size_of(path)), filename)
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError, MemoryError) as error:
        # What h5py raises for a cut or damaged file.
        raise WeightsError(f"{filename} is damaged or incomplete. {ADVICE}") from error


def shape_words(shape: tuple[int, ...]) -> str:
    """Return a shape as people read it, such as `3 x 3 x 64`."""
    return " x ".join(map(str, shape)) if shape else "a single number"


def _check_beginning(path: Path, filename: str, max_bytes: int) -> None:
    size = size_of(path)
    if size == 0:
        raise WeightsError(f"{filename} is empty. {ADVICE}")
    with path.open("rb") as file:
        beginning = file.read(512)
    if beginning.startswith(HDF5_SIGNATURE):
        if size > max_bytes:
            limit = megabytes(max_bytes)
            raise WeightsError(f"{filename} has {megabytes(size)}; for this backbone {limit} are the limit. {ADVICE}")
        return
    for start, words in BEGINNINGS:
        if beginning.lstrip().startswith(start):
            raise WeightsError(f"{filename} {words}. {ADVICE}")
    raise WeightsError(f"{filename} is no file of Keras weights (HDF5). {ADVICE}")


def _arrays(file: h5py.File, filename: str, file_bytes: int) -> dict[str, tuple[int, ...]]:
    """Return the shape of each array by its path; refuse a file with anything that weights do not need."""
    shapes: dict[str, tuple[int, ...]] = {}
    num_bytes = 0
    open_groups: list[tuple[h5py.Group, int]] = [(file, 0)]
    objects = 0
    while open_groups:
        group, depth = open_groups.pop()
        for name in group:
            objects += 1
            if objects > MAX_OBJECTS or depth > MAX_DEPTH:
                raise _suspicious(filename, "far more parts than a network has")
            # Looked at before it is followed: a link may lead to another file of this computer.
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise _suspicious(filename, "a link to something else")
            kind = group.get(name, getclass=True)
            if kind is h5py.Dataset:
                dataset = group[name]
                num_bytes += _check_dataset(dataset, filename)
                # A file of a few kilobytes can speak of arrays of any size, which Keras would make room for.
                if num_bytes > file_bytes:
                    raise _suspicious(filename, "arrays that are larger than the file itself")
                shapes[dataset.name.removeprefix("/")] = tuple(dataset.shape)
            elif kind is h5py.Group:
                open_groups.append((group[name], depth + 1))
            else:
                raise _suspicious(filename, "a part that is no array of numbers")
    return shapes


def _check_dataset(dataset: h5py.Dataset, filename: str) -> int:
    """Return how many bytes its values take; refuse what weights do not need."""
    if dataset.external or dataset.is_virtual:
        raise _suspicious(filename, "values that are kept in another file")
    if dataset.id.get_create_plist().get_nfilters():
        raise _suspicious(filename, "compressed values")
    if dataset.dtype.kind not in "fiu" or dataset.shape is None or dataset.ndim > MAX_DIMENSIONS:
        raise _suspicious(filename, "a part that is no array of numbers")
    num_bytes: int = math.prod(dataset.shape) * dataset.dtype.itemsize
    if dataset.id.get_storage_size() < num_bytes:
        raise _suspicious(filename, "an array without its values")
    return num_bytes


def _suspicious(filename: str, what: str) -> WeightsError:
    return WeightsError(f"{filename} holds {what}, which weights do not need, so it was not read. {ADVICE}")


def _layout(file: h5py.File, shapes: dict[str, tuple[int, ...]], filename: str) -> WeightsLayout:
    # A whole model of the older format keeps its weights in a group of their own.
    root = file.get("model_weights", file)
    is_legacy = _attribute(root, "layer_names") is not None
    layers = _legacy_layers(root) if is_legacy else _layers(file, shapes)
    if not layers:
        raise WeightsError(f"{filename} holds no layers with weights. {ADVICE}")
    return WeightsLayout(is_legacy, layers)


def _legacy_layers(root: h5py.Group) -> tuple[LayerWeights, ...]:
    layers = []
    for layer_name in _attribute(root, "layer_names") or ():
        weight_names = _attribute(root[layer_name], "weight_names") or ()
        if weight_names:
            shapes = tuple(tuple(root[layer_name][name].shape) for name in weight_names)
            layers.append(LayerWeights(layer_name, layer_name, shapes))
    return tuple(layers)


def _attribute(group: h5py.Group, name: str) -> list[str] | None:
    """Return a list of names; Keras divides a long one into numbered parts."""
    if name in group.attrs:
        return _texts(group, name)
    parts = list(itertools.takewhile(group.attrs.__contains__, (f"{name}{number}" for number in itertools.count())))
    return [text for part in parts for text in _texts(group, part)] if parts else None


def _texts(group: h5py.Group, name: str) -> list[str]:
    # Looked at before it is read: h5py makes room for whatever size an attribute says it has.
    description = group.attrs.get_id(name)
    if math.prod(description.shape) > MAX_NAMES or description.dtype.itemsize > MAX_NAME_BYTES:
        raise ValueError(f"The attribute `{name}` is far too large for a list of names.")
    values = np.ravel(np.asarray(group.attrs[name]))
    return [value.decode() if isinstance(value, bytes) else str(value) for value in values]


def _layers(file: h5py.File, shapes: dict[str, tuple[int, ...]]) -> tuple[LayerWeights, ...]:
    arrays: dict[str, list[tuple[int, tuple[int, ...]]]] = {}
    for path, shape in sorted(shapes.items()):
        place, _, number = path.rpartition("/")
        arrays.setdefault(place, []).append((int(number), shape))
    layers = []
    for place, found in arrays.items():
        names = _texts(file[place], "name") if place and "name" in file[place].attrs else []
        in_order = tuple(shape for _, shape in sorted(found))
        layers.append(LayerWeights(place, names[0] if len(names) == 1 else place, in_order))
    return tuple(layers)
