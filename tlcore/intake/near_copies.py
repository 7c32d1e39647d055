"""Near-copies: pictures of one scene, such as the frames of a burst, found by their likeness."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from tlcore.dataset import Dataset
from tlcore.errors import ImageError
from tlcore.progress import in_order

# Small copies: of 64 pixels to compare in detail, of 32 to look for candidates.
_SIDE = 64
_COARSE = 32
# What the middle of one picture shows, three quarters of its side, is looked for in the other one, moved by up to an
# eighth of its side. As each picture is the first one too, half of the directions are enough.
_MIDDLE = 24
_SHIFTS = tuple((dx, dy) for dy in (-4, -2, 0, 2, 4) for dx in (-4, -2, 0, 2, 4) if (dy, dx) >= (0, 0))
_MIRRORED = len(_SHIFTS)
_FREQUENCIES = 6
_NEIGHBOURS = 5
_NEIGHBOURS_OF_ONE = 20
_ROWS = 256
_COLUMNS = 512
_BATCH = 256
# Measured on planted and on real pairs of four sets of photographs, of digits and of drawn scenes.
_LEAST_LIKENESS = 0.80
_MOST_LIKENESS = 0.97
_ALIKE_ANYWAY = (0.15, 0.30)
_LEAST_AT_FIRST_SIGHT = 0.65
_LEAST_SIMILARITY = 0.65
_LEAST_OVERLAP = 0.45
_LEAST_CONTRAST = 1.0
_LEAST_IN_PARTS = 0.60
_MOST_ZOOM = 1.6
_MOST_STRETCH = 1.4
_LEAST_COLOUR = 12.0
_LEAST_ALIKE_COLOUR = 0.85

_Pixels = NDArray[np.uint8]
_Floats = NDArray[np.float32]


def find_scenes(
    images: Sequence[str],
    thumbnail: Callable[[str], bytes],
    on_progress: Callable[[int, int], None] = lambda d, t: None,
) -> dict[str, str]:
    """Group pictures that show the same scene: moved, turned, zoomed or lit a little otherwise, or mirrored.

    Candidates are found by the low frequencies of small grey copies; one of each pair is then laid over the other and
    compared with it in detail, in its parts and in its colours. How alike two pictures must be depends on how alike
    the pictures of the set are anyway: digits and other plain things are, without being copies.

    Args:
        images: Keys of the pictures, in any order.
        thumbnail: Returns the JPEG thumbnail of a key; called from several threads.
        on_progress: Called with the number of steps done and of all; it may raise.

    Returns:
        For each picture that has near-copies its scene, the smallest key of the pictures in it. A picture whose
        thumbnail is missing or damaged has none.
    """
    keys = sorted(set(images))
    if len(keys) < 2:
        return {}
    total = 3 * len(keys)
    with _threads() as pool:
        pixels, coarse = _small_copies(keys, thumbnail, pool, lambda done: on_progress(done, total))
        needed = _needed_likeness(pixels, coarse, pool)
        pairs = _candidates(coarse, needed, pool, lambda done: on_progress(len(keys) + done, total))
        root = list(range(len(keys)))
        for start in range(0, len(pairs), _BATCH):
            batch = [pair for pair in pairs[start : start + _BATCH] if _find(root, pair[0]) != _find(root, pair[1])]
            chunks = [batch[first : first + 16] for first in range(0, len(batch), 16)]
            for chunk, found in zip(chunks, pool.map(partial(_compare, pixels), chunks), strict=True):
                for (one, other, _), likeness in zip(chunk, found, strict=True):
                    if likeness >= needed:
                        first, second = sorted((_find(root, one), _find(root, other)))
                        root[second] = first
            on_progress(2 * len(keys) + start * len(keys) // len(pairs), total)
    groups: dict[int, list[str]] = {}
    for place, key in enumerate(keys):
        groups.setdefault(_find(root, place), []).append(key)
    return {key: group[0] for group in groups.values() if len(group) > 1 for key in group}


def near_copies_of(image: str, others: Sequence[str], thumbnail: Callable[[str], bytes]) -> frozenset[str]:
    """Return which of many pictures show the same scene as one, found as by `find_scenes` and much faster.

    Args:
        image: Key of the one picture.
        others: Keys of the many, in any order.
        thumbnail: As of `find_scenes`.
    """
    keys = [image, *sorted(set(others) - {image})]
    if len(keys) < 2:
        return frozenset()
    with _threads() as pool:
        pixels, coarse = _small_copies(keys, thumbnail, pool, lambda _done: None)
        needed = _needed_likeness(pixels, coarse, pool)
        middle, moved = _spectrum(coarse, 0, 0), _moved(coarse)
        # Either of two pictures may be the one whose middle is looked for in the other.
        found = np.max([there @ middle[0] for there in moved], axis=0)
        holds = np.max([middle @ there[0] for there in moved], axis=0)
        one, other = [], []
        for similar, is_first in ((found, True), (holds, False)):
            similar[0] = -1
            nearest = np.argsort(-similar, kind="stable")[:_NEIGHBOURS_OF_ONE]
            nearest = nearest[similar[nearest] >= _LEAST_SIMILARITY]
            first = np.zeros_like(nearest)
            one.append(first if is_first else nearest)
            other.append(nearest if is_first else first)
        pairs = _likeliest(coarse, needed, middle, moved, np.concatenate(one), np.concatenate(other))
        likenesses = pool.map(lambda pair: _compare(pixels, [pair])[0], pairs)
        alike = [max(pair[:2]) for pair, likeness in zip(pairs, likenesses, strict=True) if likeness >= needed]
    return frozenset(keys[place] for place in alike)


def with_scenes(
    dataset: Dataset,
    thumbnail: Callable[[str], bytes],
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Dataset:
    """Return the data set with the scene of each picture; which part it is in stays. Arguments as of `find_scenes`."""
    scenes = find_scenes([item.image for item in dataset.items], thumbnail, on_progress)
    return replace(dataset, items=tuple(replace(item, scene=scenes.get(item.image, "")) for item in dataset.items))


@contextmanager
def _threads() -> Iterator[ThreadPoolExecutor]:
    """Share the work among threads; inside of each, one for its matrix products is enough, and waiting costs more."""
    number = max(2, min(os.cpu_count() or 2, 8))
    with threadpool_limits(1), ThreadPoolExecutor(number, thread_name_prefix="near-copies") as pool:
        yield pool


def _small_copies(
    keys: Sequence[str], thumbnail: Callable[[str], bytes], pool: ThreadPoolExecutor, on_progress: Callable[[int], None]
) -> tuple[_Pixels, _Floats]:
    """Return small copies of pictures in colour, and smaller ones in grey."""
    pixels = np.empty((len(keys), _SIDE, _SIDE, 3), np.uint8)
    for done, picture in enumerate(in_order(pool, partial(_small, thumbnail), keys, ahead=512)):
        pixels[done] = picture
        on_progress(done)
    coarse = np.empty((len(keys), _COARSE, _COARSE), np.float32)
    for place, picture in enumerate(pixels):
        coarse[place] = cv2.resize(_grey(picture), (_COARSE, _COARSE), interpolation=cv2.INTER_AREA)
    return pixels, coarse


def _small(thumbnail: Callable[[str], bytes], key: str) -> _Pixels:
    """Return a small square copy; of a picture that cannot be read a black one, which is like none."""
    try:
        buffer = np.frombuffer(thumbnail(key), np.uint8)
        pixels = cv2.imdecode(buffer, cv2.IMREAD_REDUCED_COLOR_2)
        if pixels is not None and min(pixels.shape[:2]) < _SIDE // 2:
            pixels = cv2.imdecode(buffer, cv2.IMREAD_COLOR)
    except (ImageError, cv2.error):
        pixels = None
    if pixels is None:
        return np.zeros((_SIDE, _SIDE, 3), np.uint8)
    shrinks = min(pixels.shape[:2]) >= _SIDE
    return _as_pixels(cv2.resize(pixels, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR))


def _as_pixels(pixels: Any) -> _Pixels:
    return np.asarray(pixels, np.uint8)


def _grey(pixels: _Pixels) -> _Pixels:
    return _as_pixels(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY))


def _find(root: list[int], place: int) -> int:
    """Return the first picture of the group of a picture."""
    while root[place] != place:
        root[place] = root[root[place]]
        place = root[place]
    return place


def _needed_likeness(pixels: _Pixels, coarse: _Floats, pool: ThreadPoolExecutor) -> float:
    """Return the likeness from which on two pictures are near-copies, by how alike any two of the set are.

    A quarter of the pairs that have anything in common stands for those of different scenes, so that a set of a few
    long clips counts as one of different pictures.
    """
    rng = np.random.default_rng(0)
    count = len(pixels)
    drawn = rng.integers(0, count, (800, 2))
    drawn = np.unique(np.sort(drawn[drawn[:, 0] != drawn[:, 1]], axis=1), axis=0)
    drawn = rng.permutation(drawn)[:400]
    first, second = coarse[drawn[:, 0]], coarse[drawn[:, 1]]
    middle = _spectrum(first, 0, 0)
    similarities = np.stack([(middle * _spectrum(second, *shift)).sum(axis=1) for shift in _SHIFTS])
    pairs = [(int(i), int(j), int(s)) for (i, j), s in zip(drawn, similarities.argmax(axis=0), strict=True)]
    alike = [
        value
        for found in pool.map(
            partial(_compare, pixels, strict=False), [pairs[k : k + 8] for k in range(0, len(pairs), 8)]
        )
        for value in found
    ]
    low, high = _ALIKE_ANYWAY
    usual = np.percentile([value for value in alike if value > 0] or [0.0], 25)
    share = np.clip((usual - low) / (high - low), 0, 1)
    return float(_LEAST_LIKENESS + share * (_MOST_LIKENESS - _LEAST_LIKENESS))


def _spectrum(coarse: _Floats, dx: int, dy: int) -> _Floats:
    """Return the low frequencies of the middle, moved by some pixels: float32 of shape `(pictures, 35)`, length 1."""
    margin = (_COARSE - _MIDDLE) // 2
    part = coarse[:, margin + dy : margin + dy + _MIDDLE, margin + dx : margin + dx + _MIDDLE]
    order = np.arange(_FREQUENCIES)
    # The discrete cosine transform (DCT-II), the higher frequencies with more weight.
    waves = np.cos(np.pi * np.outer(order, np.arange(_MIDDLE) + 0.5) / _MIDDLE).astype(np.float32)
    waves[0] /= np.sqrt(2)
    weights = np.sqrt(1 + np.add.outer(order, order)).astype(np.float32)
    spectrum = (waves @ part @ waves.T * weights).reshape(len(coarse), -1)[:, 1:]
    return np.asarray(spectrum / np.maximum(np.linalg.norm(spectrum, axis=1, keepdims=True), 1e-3), np.float32)


def _candidates(
    coarse: _Floats, needed: float, pool: ThreadPoolExecutor, on_progress: Callable[[int], None]
) -> list[tuple[int, int, int]]:
    """Return pairs that look alike at first sight, likeliest first: two pictures, and how the second one is moved."""
    middle, moved, found = _spectrum(coarse, 0, 0), _moved(coarse), []
    blocks = in_order(pool, partial(_neighbours, middle, moved), range(0, len(coarse), _ROWS), ahead=8)
    for number, block in enumerate(blocks):
        found.append(block)
        on_progress(number * _ROWS)
    one, other = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return _likeliest(coarse, needed, middle, moved, one, other)


def _moved(coarse: _Floats) -> list[_Floats]:
    """Return the spectra of all pictures, moved in each way and mirrored."""
    return [*(_spectrum(coarse, *shift) for shift in _SHIFTS), _spectrum(coarse[:, :, ::-1], 0, 0)]


def _likeliest(
    coarse: _Floats,
    needed: float,
    middle: _Floats,
    moved: Sequence[_Floats],
    one: NDArray[np.intp],
    other: NDArray[np.intp],
) -> list[tuple[int, int, int]]:
    """Return those of some pairs that look alike at first sight, as of `_candidates`."""
    moves = np.stack([(middle[one] * there[other]).sum(axis=1) for there in moved]).argmax(axis=0)
    alike = _at_first_sight(coarse, one, other, moves)
    order = np.argsort(-alike, kind="stable")
    order = order[alike[order] >= _LEAST_AT_FIRST_SIGHT + 1.3 * (needed - _LEAST_LIKENESS)]
    seen: dict[tuple[int, int], tuple[int, int, int]] = {}
    for i, j, move in zip(one[order].tolist(), other[order].tolist(), moves[order].tolist(), strict=True):
        seen.setdefault((min(i, j), max(i, j)), (i, j, move))
    return list(seen.values())


def _neighbours(middle: _Floats, moved: Sequence[_Floats], start: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return pairs of a block of pictures and those that are most similar to each, whatever way they are moved."""
    rows = middle[start : start + _ROWS]
    best = np.empty((len(rows), len(middle)), np.float32)
    for first in range(0, len(middle), _COLUMNS):  # so few at a time that they stay in the processor's cache
        part = best[:, first : first + _COLUMNS]
        np.matmul(rows, moved[0][first : first + _COLUMNS].T, out=part)
        for other in moved[1:]:
            np.maximum(part, rows @ other[first : first + _COLUMNS].T, out=part)
    own = np.arange(len(rows))
    best[own, start + own] = -1
    count = min(_NEIGHBOURS, len(middle) - 1)
    nearest = np.argpartition(best, len(middle) - count, axis=1)[:, -count:]
    similar = np.take_along_axis(best, nearest, axis=1) >= _LEAST_SIMILARITY
    return np.repeat(start + own, count)[similar.ravel()], nearest[similar]


def _at_first_sight(
    coarse: _Floats, one: NDArray[np.intp], other: NDArray[np.intp], moves: NDArray[np.intp]
) -> _Floats:
    """Return the correlation of the details of each pair at the best place around its move, without turn or zoom."""
    details = np.zeros_like(coarse)
    for place in np.union1d(one, other):
        details[place] = _details(coarse[place], 0.8, 3)
    alike = np.full(len(one), -1, np.float32)
    edge, side = 6, _COARSE - 12
    for move in range(_MIRRORED + 1):
        dx, dy = _SHIFTS[move] if move < _MIRRORED else (0, 0)
        others = details[:, :, ::-1] if move == _MIRRORED else details
        for places in np.array_split(np.flatnonzero(moves == move), 1 + np.count_nonzero(moves == move) // 4096):
            middle = _unit(details[one[places], edge:-edge, edge:-edge])
            for y in range(max(0, edge + dy - 1), min(2 * edge, edge + dy + 1) + 1):
                for x in range(max(0, edge + dx - 1), min(2 * edge, edge + dx + 1) + 1):
                    window = _unit(others[other[places], y : y + side, x : x + side])
                    alike[places] = np.maximum(alike[places], (middle * window).sum(axis=1))
    return alike


def _unit(windows: _Floats) -> _Floats:
    rows = windows.reshape(len(windows), windows.shape[1] * windows.shape[2])
    rows = rows - rows.mean(axis=1, keepdims=True)
    return np.asarray(rows / (np.linalg.norm(rows, axis=1, keepdims=True) + 1e-3), np.float32)


def _details(grey: NDArray[Any], fine: float, coarse: float) -> _Floats:
    """Return what is between two sizes, as the difference of two Gaussian blurs."""
    grey = np.asarray(grey, np.float32)
    return np.asarray(cv2.GaussianBlur(grey, (0, 0), fine) - cv2.GaussianBlur(grey, (0, 0), coarse), np.float32)


def _compare(pixels: _Pixels, pairs: Sequence[tuple[int, int, int]], strict: bool = True) -> list[float]:
    return [_likeness(pixels[one], pixels[other], move, strict) for one, other, move in pairs]


def _likeness(one: _Pixels, other: _Pixels, move: int, strict: bool) -> float:
    """Lay one picture over another and return how well their details correlate, up to 1; 0 where they do not fit.

    Source:
        Evangelidis and Psarakis 2008, "Parametric image alignment using enhanced correlation coefficient
        maximization", https://doi.org/10.1109/TPAMI.2008.113, which does not mind brightness and contrast.
    """
    if move == _MIRRORED:
        other = np.ascontiguousarray(other[:, ::-1])
    dx, dy = _SHIFTS[move] if move < _MIRRORED else (0, 0)
    scale = _SIDE // _COARSE
    start = np.array([[1, 0, scale * dx], [0, 1, scale * dy]], np.float32)
    steps = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 30, 1e-3)
    everywhere = np.ones((_SIDE, _SIDE), np.uint8)
    grey = _grey(one)
    try:
        _, warp = cv2.findTransformECC(grey, _grey(other), start, cv2.MOTION_AFFINE, steps, everywhere, 5)
    except cv2.error:  # they have nothing in common
        return 0.0
    stretches = np.linalg.svd(warp[:, :2], compute_uv=False)
    zooms = stretches[0] > _MOST_ZOOM or stretches[1] < 1 / _MOST_ZOOM
    if strict and (zooms or stretches[0] > _MOST_STRETCH * stretches[1]):
        return 0.0
    back = cv2.WARP_INVERSE_MAP
    laid = cv2.warpAffine(other, warp, (_SIDE, _SIDE), flags=cv2.INTER_LINEAR | back, borderMode=cv2.BORDER_REPLICATE)
    both = cv2.warpAffine(everywhere, warp, (_SIDE, _SIDE), flags=cv2.INTER_NEAREST | back)
    if both.mean() < _LEAST_OVERLAP:
        return 0.0
    inside = cv2.erode(both, np.ones((5, 5), np.uint8), borderValue=1)
    first, second = _details(grey, 1, 3) * inside, _details(_grey(_as_pixels(laid)), 1, 3) * inside
    energies = float((first**2).sum()), float((second**2).sum())
    if min(energies) < _LEAST_CONTRAST**2 * inside.sum():
        return 0.0
    second *= np.sqrt(energies[0] / energies[1])
    likeness = float((first * second).sum()) / energies[0]
    if strict and not (_alike_in_parts(first, second) and _alike_in_colour(one, _as_pixels(laid), both)):
        return 0.0
    return likeness


def _alike_in_parts(first: _Floats, second: _Floats) -> bool:
    """Whether even the tenth of the details that differs most is alike: in front of one wall are two things."""
    blocks = partial(cv2.resize, dsize=(8, 8), interpolation=cv2.INTER_AREA)
    different, all_of_it = (np.asarray(blocks(x)).ravel() for x in ((first - second) ** 2, first**2 + second**2))
    alike = 1 - different / np.maximum(all_of_it, 1e-6)
    order = np.argsort(alike)
    reached = np.cumsum(all_of_it[order]) / all_of_it.sum()
    return bool(alike[order][np.searchsorted(reached, 0.1)] >= _LEAST_IN_PARTS)


def _alike_in_colour(one: _Pixels, laid: _Pixels, both: NDArray[Any]) -> bool:
    """Whether the colours are alike where both have some: two cups of different colours are two cups."""
    shown = np.asarray(both, np.float32)
    weights = np.asarray(cv2.resize(shown, (8, 8), interpolation=cv2.INTER_AREA))
    colours = []
    for pixels in (one, laid):
        colour = (pixels.astype(np.float32) - _grey(pixels)[..., None]) * shown[..., None]
        blocks = np.asarray(cv2.resize(colour, (8, 8), interpolation=cv2.INTER_AREA))
        colours.append(blocks[weights > 0.5] / weights[weights > 0.5][:, None])
    strengths = [float(np.sqrt((colour**2).sum(axis=1).mean())) for colour in colours]
    if max(strengths) < _LEAST_COLOUR:
        return True
    product = float((colours[0] * colours[1]).sum(axis=1).mean())
    return min(strengths) > 0.4 * max(strengths) and product >= _LEAST_ALIKE_COLOUR * strengths[0] * strengths[1]
