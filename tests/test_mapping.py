"""Maps of the pictures: which are on it, where they lie, and the job that makes one."""

from __future__ import annotations

import os
import time
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.manifold import trustworthiness

from tests.coloured_pictures import RecordingProgress, coloured_dataset
from tests.ready_projects import wait_for_end
from tlcore.config import RANDOM, HeadConfig, ModelConfig
from tlcore.dataset import ClassLabel, Dataset, Item
from tlcore.home import DataRoot
from tlcore.jobs.control import start_job
from tlcore.mapping import maps
from tlcore.mapping.maps import backbone_of_map, make_map, map_at_once, read_map
from tlcore.mapping.projection import ITERATIONS, neighbour_embedding, principal_components
from tlcore.mapping.sample import map_sample
from tlcore.progress import StopRequested
from tlcore.storage.database import open_database
from tlcore.storage.datasets import commit_version
from tlcore.storage.projects import create_project
from tlcore.storage.requests import MapRequest

BACKBONE = backbone_of_map(ModelConfig(image_size=64))


def listed(**sizes: int) -> Dataset:
    """Return a data set of pictures that nobody reads, so many of each class."""
    items = [Item(f"{name}{n}", name, "train", "") for name, size in sizes.items() for n in range(size)]
    return Dataset(tuple(ClassLabel(name, name, n) for n, name in enumerate(sizes)), tuple(items))


def per_class(items: tuple[Item, ...]) -> Counter[str]:
    return Counter(item.class_id for item in items)


def test_few_pictures_are_all_on_the_map_each_once() -> None:
    dataset = listed(a=3, b=2)
    twice = replace(dataset, items=(*dataset.items, replace(dataset.items[0], class_id="b")))
    assert map_sample(twice) == dataset.items


def test_of_many_pictures_every_class_has_its_share() -> None:
    dataset = listed(large=8000, small=1999, rare=1)
    sample = map_sample(dataset, 100)
    assert per_class(sample) == {"large": 80, "small": 19, "rare": 1}
    assert map_sample(dataset, 100) == sample
    assert map_sample(dataset, 100, seed=1) != sample
    places = {item: place for place, item in enumerate(dataset.items)}
    assert [places[item] for item in sample] == sorted(places[item] for item in sample)
    assert len(map_sample(listed(a=333, b=333, c=335), 100)) == 100


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    features, labels = load_digits(return_X_y=True)
    return features[:250].astype(np.float16), labels[:250]


def test_principal_components_are_those_of_the_exact_way(digits) -> None:
    features, _ = digits
    rows, share = principal_components(features, 2)
    exact = PCA(2, svd_solver="full")
    expected = exact.fit_transform(features.astype(np.float64))
    np.testing.assert_allclose(rows * np.sign((rows * expected).sum(axis=0)), expected, atol=0.05)
    assert share == pytest.approx(exact.explained_variance_ratio_.sum(), abs=1e-4)


@pytest.mark.parametrize("pictures", [0, 1, 4])
def test_few_or_equal_pictures_have_places_too(pictures: int) -> None:
    for features in (np.ones((pictures, 8), np.float16), np.eye(max(pictures, 8), 8, dtype=np.float16)[:pictures]):
        rows, share = principal_components(features, 2)
        assert np.isfinite(rows).all()
        assert 0 <= share <= 1.0001
        assert neighbour_embedding(features).shape == (pictures, 2)
    assert not principal_components(np.ones((pictures, 8), np.float16), 2)[0].any()
    assert not neighbour_embedding(np.ones((9, 8), np.float16)).any()


def test_neighbours_on_the_map_are_alike_and_it_says_how_far_it_is(digits, capsys) -> None:
    features, labels = digits
    said: list[tuple[int, int]] = []
    places = neighbour_embedding(features, lambda done, total: said.append((done, total)))
    assert trustworthiness(features, places, n_neighbors=10) > 0.96
    distances = np.linalg.norm(places[:, None] - places[None], axis=2) + np.diag(np.full(len(places), np.inf))
    assert (labels[distances.argmin(axis=1)] == labels).mean() > 0.9
    np.testing.assert_array_equal(*(neighbour_embedding(features[:40]) for _ in range(2)))
    done = [number for number, _ in said]
    assert done == sorted(done)
    assert set(range(50, ITERATIONS + 1, 50)) <= set(done)
    assert {total for _, total in said} == {ITERATIONS}
    assert not capsys.readouterr().out


def test_a_wish_to_stop_ends_it_soon(digits) -> None:
    def stop_at_150(done: int, _total: int) -> None:
        if done >= 150:
            raise StopRequested

    with pytest.raises(StopRequested):
        neighbour_embedding(digits[0], stop_at_150)


def test_the_map_of_any_model_is_by_a_backbone_that_has_learned() -> None:
    frozen = backbone_of_map(ModelConfig(first_trainable="block6a", head=HeadConfig(pooling="flatten"), image_size=96))
    assert frozen == ModelConfig(image_size=96, head=HeadConfig(pooling="average"))
    usual = backbone_of_map(ModelConfig())
    assert backbone_of_map(ModelConfig(weights=RANDOM)) == usual
    assert backbone_of_map(ModelConfig(backbone="small_cnn-32-64-128", image_size=64)) == usual


def test_a_map_is_made_with_the_features_it_needs_and_kept(ready_home: DataRoot) -> None:
    dataset = coloured_dataset(ready_home)
    items = map_sample(dataset)
    assert map_at_once(items, BACKBONE, ready_home) is None
    assert read_map(items, BACKBONE, ready_home) is None
    progress = RecordingProgress()
    found = make_map(dataset, BACKBONE, progress, ready_home)
    assert progress.phase_names == ["preparing", "features", "arranging"]
    assert read_map(items, BACKBONE, ready_home) == found
    at_once = map_at_once(items, BACKBONE, ready_home)
    assert at_once is not None
    assert (at_once.pca, at_once.explained) == (found.pca, found.explained)
    assert not at_once.tsne
    for places in (found.pca, found.tsne):
        assert len(places) == len(items)
        assert np.abs(places).max() == 1
        # Pictures of one colour are nearer to each other than to those of another.
        labels = np.array([item.class_id for item in items])
        middles = {one: np.array(places)[labels == one].mean(axis=0) for one in set(labels)}
        nearest = [min(middles, key=lambda one: np.linalg.norm(middles[one] - np.array(place))) for place in places]
        assert (np.array(nearest) == labels).mean() > 0.9
    # What was made once is there for everybody with the same pictures.
    again = RecordingProgress()
    assert make_map(dataset, BACKBONE, again, ready_home) == found
    assert not again.phases
    fewer = replace(dataset, items=dataset.items[1:])
    assert read_map(map_sample(fewer), BACKBONE, ready_home) is None


def test_a_damaged_map_is_none(ready_home: DataRoot) -> None:
    dataset = coloured_dataset(ready_home, per_class=3)
    made = make_map(dataset, BACKBONE, RecordingProgress(), ready_home)
    path = next(ready_home.maps_dir.iterdir())
    path.write_bytes(path.read_bytes()[:-9])
    assert read_map(map_sample(dataset), BACKBONE, ready_home) is None
    assert make_map(dataset, BACKBONE, RecordingProgress(), ready_home) == made


def test_the_oldest_maps_are_deleted_and_the_new_one_stays(
    ready_home: DataRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, folder = coloured_dataset(ready_home, per_class=3), ready_home.maps_dir
    folder.mkdir(parents=True)
    for age in range(1, 5):
        path = folder / f"{age}.json"
        path.write_bytes(b"x" * 1000)
        long_ago = time.time() - 1000 * age
        os.utime(path, (long_ago, long_ago))
    (folder / ".writing-1.json").write_bytes(b"x" * 1000)
    make_map(dataset, BACKBONE, RecordingProgress(), ready_home)
    assert len(list(folder.iterdir())) == 6
    [made] = {path.name for path in folder.iterdir()} - {f"{age}.json" for age in range(1, 5)} - {".writing-1.json"}
    (folder / made).unlink()
    monkeypatch.setattr(maps, "MAX_KEPT_BYTES", 2900)
    make_map(dataset, BACKBONE, RecordingProgress(), ready_home)
    assert {path.name for path in folder.iterdir()} == {made, ".writing-1.json", "1.json", "2.json"}


@pytest.mark.slow
def test_a_real_worker_makes_the_map(ready_home: DataRoot) -> None:
    engine = open_database(ready_home)
    project = create_project(engine, "local", "Colours")
    dataset = coloured_dataset(ready_home)
    version = commit_version(engine, project.id, dataset, "made", parent=None, home=ready_home)
    job = wait_for_end(
        engine, start_job(engine, ready_home, "map", project.id, MapRequest(version, BACKBONE), key=project.id)
    )
    assert (job.state, job.message) == ("finished", "")
    assert read_map(map_sample(dataset), BACKBONE, ready_home) is not None
