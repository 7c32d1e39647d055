"""A person's own weights: accepted when they fit layer by layer, otherwise refused with what differs."""

from __future__ import annotations

import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

import tests.keras_saving  # noqa: F401
from tests.page_tests import ROOT_DIR
from tlcore.backbones.keras_models import build_backbone
from tlcore.backbones.registry import get_backbone
from tlcore.backbones.weights.brought import brought_path, find_brought
from tlcore.backbones.weights.brought_check import IMAGENET_MEANS, bake_scaling, keep_brought
from tlcore.backbones.weights.keras_file import MAX_NAMES, read_brought, read_layout
from tlcore.backbones.weights.status import require_weights, weights_status
from tlcore.config import IMAGENET, RANDOM, ModelConfig
from tlcore.errors import WeightsError
from tlcore.home import DataRoot
from tlcore.model.cut import plan_model
from tlcore.storage.database import open_database
from tlcore.storage.jobs import JobStatus, claim_job, create_job, get_job, read_result
from tlcore.storage.projects import create_project, get_project, update_config
from tlcore.storage.requests import WeightsCheckRequest, WeightsCheckResult
from tlcore.storage.staging import make_staging_dir

SPEC = get_backbone("mobilenet_v2_035")
LIMIT = 100_000_000
DEVIATIONS = (0.229, 0.224, 0.225)


def keras_network(**arguments: object) -> keras.Model:
    """The same network as a person builds it, with weights of its own."""
    chosen = {"include_top": False, "weights": None, "alpha": 0.35, "input_shape": (32, 32, 3), **arguments}
    return keras.applications.MobileNetV2(**chosen)


@pytest.fixture(scope="module")
def network() -> keras.Model:
    return keras_network()


@pytest.fixture(scope="module")
def file(network: keras.Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("person") / "pets.weights.h5"
    network.save_weights(path)
    return path


def test_a_file_that_fits_becomes_the_weights_of_the_backbone(network: keras.Model, file: Path, home: DataRoot) -> None:
    key = keep_brought(SPEC, file, "pets.weights.h5", home)
    assert find_brought(key, home).filename == "pets.weights.h5"
    assert weights_status(SPEC, home, key).state == "ready"
    assert require_weights(SPEC, home, key) == brought_path(key, home)
    model = build_backbone(SPEC, 32, home, key)
    for layer in network.layers[1:]:
        assert all(map(np.array_equal, model.get_layer(layer.name).get_weights(), layer.get_weights()))


def test_both_formats_of_the_same_weights_are_kept_once(
    network: keras.Model, file: Path, home: DataRoot, tmp_path: Path
) -> None:
    network.save(tmp_path / "older.h5")
    keys = {keep_brought(SPEC, path, path.name, home) for path in (file, tmp_path / "older.h5", file)}
    assert len(keys) == 1
    kept = sorted(path.suffix for path in brought_path(keys.pop(), home).parent.iterdir())
    assert kept == [".h5", ".json"]


def test_brought_random_and_published_weights_never_share_features(file: Path, home: DataRoot) -> None:
    key = keep_brought(SPEC, file, file.name, home)
    prefixes = [
        plan_model(ModelConfig(backbone=SPEC.name, weights=weights)).prefix.key for weights in (IMAGENET, RANDOM, key)
    ]
    assert len(set(prefixes)) == 3


def test_scaled_pixels_of_an_efficientnet_from_imagenet_stay_scaled(home: DataRoot, tmp_path: Path) -> None:
    """Its network had a layer for that, which no file of weights mentions."""
    spec = get_backbone("efficientnet_b0")
    network = keras.applications.EfficientNetB0(include_top=False, weights=None, input_shape=(32, 32, 3))
    (normalization,) = (layer for layer in network.layers if isinstance(layer, keras.layers.Normalization))
    normalization.set_weights([np.array(IMAGENET_MEANS), np.array(DEVIATIONS), np.array(1)])
    network.save_weights(tmp_path / "x.weights.h5")
    key = keep_brought(spec, tmp_path / "x.weights.h5", "x.weights.h5", home)
    with h5py.File(brought_path(key, home)) as kept:
        variances = kept["layers/normalization/vars/1"][:]
    np.testing.assert_allclose(variances, np.square(DEVIATIONS), rtol=1e-6)


@pytest.mark.parametrize(("means", "factors"), [(IMAGENET_MEANS, DEVIATIONS), ((0.3, 0.4, 0.5), (1, 1, 1))])
def test_pixels_normalized_by_other_pictures_are_not_scaled(
    means: tuple[float, ...], factors: tuple[float, ...]
) -> None:
    network = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Normalization()])
    network.set_weights([np.array(means), np.array(DEVIATIONS), np.array(1)])
    bake_scaling(network, DEVIATIONS)
    np.testing.assert_allclose(network.get_weights()[1], np.multiply(DEVIATIONS, factors), rtol=1e-6)


def test_a_file_for_another_backbone_is_asked_for_again(file: Path, home: DataRoot) -> None:
    key = keep_brought(SPEC, file, file.name, home)
    other = get_backbone("mobilenet_v2")
    assert weights_status(other, home, key).state == "bring"
    with pytest.raises(WeightsError, match=r"MobileNetV2 is not on this computer.*Bring it again"):
        require_weights(other, home, key)


def test_a_kept_file_that_was_changed_is_not_used(file: Path, home: DataRoot) -> None:
    key = keep_brought(SPEC, file, file.name, home)
    with brought_path(key, home).open("r+b") as kept:
        kept.seek(-1, 2)
        kept.write(b"x")
    with pytest.raises(WeightsError, match=r"damaged\. Delete this file and bring it again"):
        require_weights(SPEC, home, key)


def test_no_key_leads_out_of_the_folder(home: DataRoot) -> None:
    for key in ("../../secret", "a" * 63, "A" * 64, "a" * 64 + "\n"):
        with pytest.raises(ValueError, match="key of a brought file"):
            weights_status(SPEC, home, key)


@pytest.mark.parametrize("ending", [".weights.h5", ".h5"])
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: keras_network(alpha=0.75),
            "`Conv1` needs weights of shape 3 x 3 x 3 x 16 and the file has 3 x 3 x 3 x 24",
        ),
        (
            lambda: keras.applications.VGG16(include_top=False, weights=None),
            "layer `Conv1`.* has 1 arrays|layer `bn_Conv1`",
        ),
        (
            lambda: keras_network(include_top=True),
            "`predictions` is not part|has 105 layers with weights .* backbone 104",
        ),
    ],
    ids=["wider", "other", "with classifier"],
)
def test_a_wrong_network_is_refused_with_what_differs(
    make: Callable[[], keras.Model], words: str, ending: str, tmp_path: Path, home: DataRoot
) -> None:
    path = tmp_path / f"x{ending}"
    make().save_weights(path) if ending == ".weights.h5" else make().save(path)
    with pytest.raises(WeightsError, match=rf"my file does not fit MobileNetV2 0\.35: .*({words})"):
        keep_brought(SPEC, path, "my file", home)
    assert not list((home.path / "backbones" / "brought").iterdir())


def test_weights_that_are_no_numbers_are_refused(network: keras.Model, tmp_path: Path, home: DataRoot) -> None:
    clone = keras.models.clone_model(network)
    clone.get_layer("Conv1").set_weights([np.full((3, 3, 3, 16), np.nan)])
    clone.save_weights(tmp_path / "x.weights.h5")
    with pytest.raises(WeightsError, match="no numbers"):
        keep_brought(SPEC, tmp_path / "x.weights.h5", "x", home)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"PK\x03\x04rest of a .keras file", "whole model or another archive"),
        (pickle.dumps({"weights": [1, 2, 3]}), "pickle, which could run a program"),
        (b"\n <!DOCTYPE html><p>Please log in", "is a web page"),
        (b"version https://git-lfs", "no file of Keras weights"),
        (b"\x89HDF\r\n\x1a\n" + bytes(2000), "damaged or incomplete"),
    ],
    ids=["empty", "zip", "pickle", "html", "other", "damaged"],
)
def test_what_is_no_file_of_weights_is_named(content: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=rf"my\.h5 .*{words}.*model\.save_weights"):
        read_layout(path, "my.h5", LIMIT)


def test_a_cut_file_is_refused(file: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    for part in (0.99, 0.5, 0.01):
        path.write_bytes(file.read_bytes()[: int(part * file.stat().st_size)])
        with pytest.raises(WeightsError, match="damaged or incomplete"):
            read_layout(path, "x", LIMIT)


def test_a_far_too_large_file_is_not_opened(file: Path) -> None:
    with pytest.raises(WeightsError, match="are the limit"):
        read_layout(file, "x", 1000)


def write_layer(group: h5py.Group) -> h5py.Group:
    return group.create_group("layers/conv2d/vars")


def external_values(target: h5py.Group) -> None:
    target.create_dataset("0", (4,), "f4", external=[("/etc/passwd", 0, 16)])


def virtual_values(target: h5py.Group) -> None:
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (4,))
    target.create_virtual_dataset("0", layout)


def external_link(target: h5py.Group) -> None:
    target["0"] = h5py.ExternalLink("/etc/passwd", "x")


def soft_link(target: h5py.Group) -> None:
    target["0"] = h5py.SoftLink("/layers")


def circle(target: h5py.Group) -> None:
    target["0"] = target.parent.parent


def text_values(target: h5py.Group) -> None:
    target.create_dataset("0", data=["text"], dtype=h5py.string_dtype())


def compressed_bomb(target: h5py.Group) -> None:
    target.create_dataset("0", (10**12,), "f4", chunks=(10**6,), compression="gzip")


@pytest.mark.parametrize(
    "put", [external_values, virtual_values, external_link, soft_link, circle, text_values, compressed_bomb]
)
def test_a_file_with_more_than_plain_numbers_is_not_read(put: Callable[[h5py.Group], None], tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        put(write_layer(file))
    with pytest.raises(WeightsError, match="which weights do not need, so it was not read"):
        read_layout(tmp_path / "x.h5", "x", LIMIT)


@pytest.mark.parametrize("chunks", [None, (1000, 100)])
def test_a_huge_array_that_takes_no_room_in_the_file_is_not_read(
    chunks: tuple[int, int] | None, tmp_path: Path, home: DataRoot
) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        write_layer(file).create_dataset("0", (10**6, 800), "f4", chunks=chunks)
    with pytest.raises(WeightsError, match="an array without its values, which weights do not need"):
        keep_brought(SPEC, tmp_path / "x.h5", "x", home)


def test_an_array_that_says_it_is_larger_than_its_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        write_layer(file).create_dataset("0", data=np.zeros((1234, 10), "f4"))
    # The same bytes under many names: each fits into the file, all together do not.
    with h5py.File(path, "a") as file:
        for number in range(1, 50):
            file["layers/conv2d/vars"][str(number)] = file["layers/conv2d/vars/0"]
    with pytest.raises(WeightsError, match="arrays that are larger than the file itself"):
        read_layout(path, "x", LIMIT)


@pytest.mark.parametrize("name", ["layer_names", "weight_names"])
def test_a_list_of_names_that_has_no_end_is_not_read(name: str, tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    with h5py.File(path, "w", libver="latest") as file:
        file.attrs["layer_names"] = [b"dense"]
        layer = file.create_group("dense")
        layer.attrs["weight_names"] = [b"kernel"]
        layer.create_dataset("kernel", data=np.zeros(4, "f4"))
        (file if name == "layer_names" else layer).attrs[name] = np.zeros(MAX_NAMES + 1, "S9")
    with pytest.raises(WeightsError, match="damaged or incomplete"):
        read_layout(path, "x", LIMIT)


def test_a_far_too_small_network_is_refused_without_keras(tmp_path: Path) -> None:
    network = keras.Sequential([keras.Input((4,)), keras.layers.Dense(10)])
    for path in (tmp_path / "x.weights.h5", tmp_path / "x.h5"):
        network.save_weights(path) if path.name == "x.weights.h5" else network.save(path)
        words = rf"x does not fit MobileNetV2 0\.35: it holds 50 numbers and the backbone has {SPEC.parameters:,}"
        with pytest.raises(WeightsError, match=words):
            read_brought(SPEC, path, "x")


@pytest.fixture
def check_job(home: DataRoot) -> Callable[[Path, str], JobStatus]:
    """Check a file as a job of a project does, in a worker of its own; return how that ended."""
    engine = open_database(home)
    project = create_project(engine, "ann", "Pets")
    update_config(engine, project.id, lambda config: replace(config, model=ModelConfig(SPEC.name, 96)))

    def check(file: Path, filename: str) -> JobStatus:
        staging = make_staging_dir(home)
        shutil.copyfile(file, staging / "weights")
        request = WeightsCheckRequest(SPEC.name, staging.name, filename)
        job_id = create_job(engine, "weights_check", project.id, request)
        job = claim_job(engine, "weights_check")
        assert job is not None
        command = [sys.executable, "-m", "tlcore.jobs.worker", job_id, str(job.attempt)]
        assert subprocess.run(command, cwd=ROOT_DIR, timeout=120).returncode == 0
        assert not staging.exists()
        return get_job(engine, job_id)

    return check


def test_a_job_checks_a_file_and_lets_the_project_begin_with_it(
    check_job: Callable[[Path, str], JobStatus], file: Path, home: DataRoot
) -> None:
    job = check_job(file, "pets.weights.h5")
    assert (job.state, job.message) == ("finished", "")
    engine = open_database(home)
    result = read_result(engine, job.id, WeightsCheckResult)
    assert result is not None
    assert get_project(engine, job.project_id, "ann").config.model.weights == result.key
    assert find_brought(result.key, home).filename == "pets.weights.h5"


def test_a_job_says_why_a_file_is_refused_and_changes_nothing(
    check_job: Callable[[Path, str], JobStatus], tmp_path: Path, home: DataRoot
) -> None:
    (tmp_path / "x").write_bytes(b"<html>")
    job = check_job(tmp_path / "x", "x.h5")
    assert job.state == "failed"
    assert job.message.startswith("x.h5 is a web page")
    assert get_project(open_database(home), job.project_id, "ann").config.model.weights == IMAGENET
