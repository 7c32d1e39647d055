"""Near-copies: frames of a scene are found, what is only alike is not, and the accuracy shown is the true one."""

from __future__ import annotations

import io
import itertools
import zipfile
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.drawn_scenes import FRAME_SIDE, SCENE_SIDE, Pixels, draw_scene, frames_of, jpeg
from tlcore.config import ModelConfig
from tlcore.dataset import ClassLabel, Dataset, Item
from tlcore.errors import ImageError
from tlcore.home import DataRoot
from tlcore.intake.near_copies import find_scenes, with_scenes
from tlcore.intake.pictures.decoding import clean_pixels, read_image
from tlcore.intake.splitting import NewItem, assign_splits
from tlcore.simple_heads.instant import InstantFeatures
from tlcore.simple_heads.training import train_logistic_regression
from tlcore.storage.images import ImageStore


def scenes_of(pictures: Mapping[str, Pixels]) -> dict[str, str]:
    thumbnails = {key: jpeg(pixels) for key, pixels in pictures.items()}
    return find_scenes(list(thumbnails), thumbnails.__getitem__)


def bursts(count: int, seed: int, frames: int = 6) -> dict[str, Pixels]:
    """Return frames of drawn scenes; the scene stands in the key before the point."""
    rng = np.random.default_rng(seed)
    return {
        f"{scene:02}.{number}": frame
        for scene in range(count)
        for number, frame in enumerate(frames_of(draw_scene(rng, scene % 2), rng, frames))
    }


def found_share(scenes: Mapping[str, str], pictures: Mapping[str, object]) -> float:
    """Return the share of frames that are in the largest group of their scene."""
    groups: dict[str, Counter[str]] = {}
    for key, scene in scenes.items():
        groups.setdefault(key.partition(".")[0], Counter())[scene] += 1
    return sum(max(found.values()) for found in groups.values()) / len(pictures)


def test_frames_of_a_burst_are_one_scene_and_scenes_are_not_mixed() -> None:
    pictures = bursts(25, seed=1)
    scenes = scenes_of(pictures)
    assert found_share(scenes, pictures) >= 0.95
    assert all(key.partition(".")[0] == scene.partition(".")[0] for key, scene in scenes.items())
    assert all(scene in pictures and scene <= key for key, scene in scenes.items())


def test_scenes_are_the_same_in_any_order_and_copies_count_once() -> None:
    pictures = {key: jpeg(pixels) for key, pixels in bursts(6, seed=2, frames=3).items()}
    scenes = find_scenes(list(pictures), pictures.__getitem__)
    assert find_scenes([*reversed(pictures), *pictures], pictures.__getitem__) == scenes
    assert find_scenes([], pictures.__getitem__) == find_scenes(["00.0"], pictures.__getitem__) == {}


def cut(scene: Pixels, *, move: float = 0.0, turn: float = 0.0, zoom: float = 1.0) -> Pixels:
    place = cv2.getRotationMatrix2D((SCENE_SIDE / 2, SCENE_SIDE / 2), turn, zoom)
    place[:, 2] -= (SCENE_SIDE - FRAME_SIDE) / 2 + move * FRAME_SIDE
    return np.asarray(cv2.warpAffine(scene, place, (FRAME_SIDE, FRAME_SIDE), flags=cv2.INTER_AREA), np.uint8)


CHANGES = {
    "moved": lambda scene: cut(scene, move=0.15),
    "turned": lambda scene: cut(scene, turn=6),
    "nearer": lambda scene: cut(scene, zoom=1.15),
    "brighter": lambda scene: np.clip(cut(scene, move=0.05) * 1.15 + 10, 0, 255).astype(np.uint8),
    "darker": lambda scene: (cut(scene, move=0.05) * 0.65).astype(np.uint8),
    "compressed": lambda scene: np.array(Image.open(io.BytesIO(jpeg(cut(scene, move=0.05), quality=25)))),
    "mirrored": lambda scene: np.ascontiguousarray(cut(scene)[:, ::-1]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_scene_is_known_again_when_it_is(change: str) -> None:
    rng = np.random.default_rng(3)
    scenes = [draw_scene(rng, 0, things=20) for _ in range(20)]
    pictures = {f"{number:02}.0": cut(scene) for number, scene in enumerate(scenes)}
    pictures |= {f"{number:02}.1": CHANGES[change](scene) for number, scene in enumerate(scenes)}
    found = scenes_of(pictures)
    assert found_share(found, pictures) >= 0.95
    assert all(key.partition(".")[0] == scene.partition(".")[0] for key, scene in found.items())


def cup(color: tuple[int, int, int], left: int = 50) -> Pixels:
    picture = np.full((FRAME_SIDE, FRAME_SIDE, 3), 245, np.uint8)
    cv2.ellipse(picture, (left + 65, 80), (25, 25), 0, 0, 360, color, 8, cv2.LINE_AA)
    cv2.rectangle(picture, (left, 40), (left + 60, 125), color, -1)
    return picture


def test_two_cups_of_different_colours_are_no_near_copies() -> None:
    colors = [(200, 40, 40), (40, 60, 200), (40, 150, 60), (120, 120, 120)]
    assert scenes_of({str(number): cup(color) for number, color in enumerate(colors)}) == {}
    same = {f"{number}{left}": cup(color, left) for number, color in enumerate(colors) for left in (46, 52)}
    assert set(Counter(scenes_of(same).values()).values()) == {2}


def test_two_things_before_the_same_wall_are_no_near_copies() -> None:
    rng = np.random.default_rng(4)
    wall = cv2.GaussianBlur(rng.integers(60, 200, (FRAME_SIDE, FRAME_SIDE, 3)).astype(np.uint8), (0, 0), 3)
    pictures = {}
    for number in range(6):
        picture = wall.copy()
        thing = draw_scene(rng, 0)[:90, :90]
        picture[40:130, 30:120] = thing
        pictures[str(number)] = picture
    assert scenes_of(pictures) == {}


def test_plain_pictures_are_no_near_copies() -> None:
    rng = np.random.default_rng(5)
    plain = {str(i): np.full((64, 64, 3), rng.integers(0, 255, 3), np.uint8) for i in range(10)}
    noisy = {f"n{i}": np.clip(120 + rng.normal(0, 12, (64, 64, 3)), 0, 255).astype(np.uint8) for i in range(10)}
    assert scenes_of(plain | noisy) == {}


def test_digits_are_alike_and_no_near_copies() -> None:
    from sklearn.datasets import load_digits

    digits = load_digits().images[:400]
    pictures = {
        str(number): np.asarray(cv2.resize((digit * 15.9).astype(np.uint8), (28, 28), interpolation=cv2.INTER_CUBIC))
        for number, digit in enumerate(digits)
    }
    scenes = scenes_of({key: np.stack([picture] * 3, axis=-1) for key, picture in pictures.items()})
    assert len(scenes) <= 0.05 * len(pictures)
    assert max(Counter(scenes.values()).values(), default=0) <= 6


def test_a_picture_that_cannot_be_read_is_like_none() -> None:
    pictures = {key: jpeg(pixels) for key, pixels in bursts(3, seed=6, frames=2).items()}
    scenes = find_scenes(list(pictures), pictures.__getitem__)
    assert len(scenes) == 6

    def thumbnail(key: str) -> bytes:
        if key == "00.0":
            raise ImageError("missing")
        return b"no JPEG" if key == "01.0" else pictures[key]

    assert find_scenes(list(pictures), thumbnail) == dict.fromkeys(("02.0", "02.1"), "02.0")


def test_progress_moves_forward_and_may_stop() -> None:
    pictures = {key: jpeg(pixels) for key, pixels in bursts(5, seed=7, frames=2).items()}
    seen: list[tuple[int, int]] = []
    find_scenes(list(pictures), pictures.__getitem__, lambda done, total: seen.append((done, total)))
    assert seen == sorted(seen)
    assert 0 <= seen[0][0] <= seen[-1][0] <= seen[-1][1]

    def stop(done: int, total: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        find_scenes(list(pictures), pictures.__getitem__, stop)


def test_scenes_are_noted_and_nothing_moves() -> None:
    pictures = {key: jpeg(pixels) for key, pixels in bursts(4, seed=8, frames=2).items()}
    dataset = Dataset((ClassLabel("a", "a", 0),), tuple(Item(key, "a", "train", key) for key in pictures))
    noted = with_scenes(dataset, pictures.__getitem__)
    assert [item.scene for item in noted.items] == [f"{key[:2]}.0" for key in pictures]
    assert replace(noted, items=tuple(replace(item, scene=None) for item in noted.items)) == dataset


def published(path: Path, count: int) -> dict[str, bytes]:
    """Return the thumbnails of a set's first pictures."""
    with zipfile.ZipFile(path) as archive:
        names = sorted(n for n in archive.namelist() if n.lower().endswith((".jpg", ".png")))
        return {file: read_image(archive.read(file)).thumbnail for file in names[:count]}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cats_dogs", "flowers17"])
def test_frames_of_one_photograph_are_found_among_many(name: str, shared_data: Path) -> None:
    pictures, rng, planted = published(shared_data / f"{name}.zip", 400), np.random.default_rng(0), {}
    for number, key in enumerate(list(pictures)[::20]):
        scene = Image.open(io.BytesIO(pictures.pop(key))).convert("RGB").resize((SCENE_SIDE, SCENE_SIDE))
        for frame, pixels in enumerate(frames_of(np.asarray(scene), rng)):
            lit = np.clip(pixels * rng.uniform(0.85, 1.15), 0, 255).astype(np.uint8)
            planted[f"{number:02}.{frame}"] = jpeg(lit, int(rng.integers(60, 95)))
    shown = {**pictures, **planted}
    scenes = find_scenes(list(shown), shown.__getitem__)
    assert found_share({key: scenes[key] for key in planted if key in scenes}, planted) >= 0.95


@pytest.mark.slow
@pytest.mark.parametrize(("name", "most"), [("cats_dogs", 0.01), ("flowers17", 0.10), ("mnist", 0.03)])
def test_pictures_of_published_sets_are_hardly_ever_taken_for_near_copies(
    name: str, most: float, shared_data: Path
) -> None:
    # flowers17 holds 58 pairs and triples of real near-copies, looked at one by one, and nothing else is found there.
    pictures = published(shared_data / f"{name}.zip", 1400 if name != "mnist" else 900)
    scenes = find_scenes(list(pictures), pictures.__getitem__)
    assert len(scenes) <= most * len(pictures)
    assert max(Counter(scenes.values()).values(), default=0) <= 9


@pytest.mark.slow
def test_the_accuracy_of_bursts_is_the_true_one_when_their_frames_stay_together(ready_home: DataRoot) -> None:
    """85 scenes of six frames: shared out frame by frame, a model seems to know what it has learned by heart.

    With 25 scenes held back, one such set misses the truth by some points by chance, so it is the mean over four sets.
    """
    features, store = InstantFeatures(ModelConfig(image_size=64), ready_home), ImageStore(ready_home)
    shown: dict[bool, list[float]] = {True: [], False: []}
    true: dict[bool, list[float]] = {True: [], False: []}

    def stored(pixels: Pixels) -> str:
        clean = clean_pixels(pixels)
        return store.add(clean.data, clean.thumbnail)

    def rows(images: Iterable[str]) -> np.ndarray:
        return np.stack([known[image] for image in images]).astype(np.float32)

    for seed in range(10, 14):
        rng = np.random.default_rng(seed)
        kinds = {
            stored(frame): scene % 2 for scene in range(85) for frame in frames_of(draw_scene(rng, scene % 2), rng)
        }
        fresh = {stored(frames_of(draw_scene(rng, scene % 2), rng, 1)[0]): scene % 2 for scene in range(200)}
        assert features.advance([*kinds, *fresh], 600) == 0
        known = features.known([*kinds, *fresh])
        scenes = find_scenes(list(kinds), store.thumbnail)
        new = [NewItem(image, str(kind), "", scene=scenes.get(image)) for image, kind in kinds.items()]
        for together, split_seed in itertools.product((True, False), range(5)):
            items = assign_splits(new, Dataset(scenes_together=together), seed=split_seed)
            learned = {item.image: kinds[item.image] for item in items if item.split == "train"}
            head = train_logistic_regression(rows(learned), np.array(list(learned.values())), 2)
            asked = {item.image: kinds[item.image] for item in items if item.split != "train"}
            for answers, pictures in ((shown, asked), (true, fresh)):
                y_pred = head.probabilities(rows(pictures)).argmax(axis=1)
                answers[together].append(float((y_pred == list(pictures.values())).mean()))
    assert np.mean(true[True]) < 0.9
    assert np.mean(shown[True]) == pytest.approx(np.mean(true[True]), abs=0.05)
    assert np.mean(shown[False]) - np.mean(true[False]) > 0.08
