"""Ready data sets: one row each; two come with pinned dependencies, the others are downloaded on first use."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tlcore.downloading import PublishedFile
from tlcore.intake.sources import ReadyPicture
from tlcore.ready_sets.array_files import read_cifar, read_idx, read_mnist
from tlcore.ready_sets.class_names import CIFAR10, CIFAR100, CLOTHES, DIGITS
from tlcore.ready_sets.embedded import PHOTOS, read_digits, read_surfaces, windows
from tlcore.ready_sets.photo_archives import read_photos
from tlcore.ready_sets.pictures import choose

_ZIP = b"PK\x03\x04"
_GZIP = b"\x1f\x8b"
_KERAS_URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets"
_CIFAR_URL = "https://www.cs.toronto.edu/~kriz"
_FLOWERS_URL = "https://storage.googleapis.com/download.tensorflow.org/example_images"
_CATS_URL = "https://storage.googleapis.com/mledu-datasets"
_OWN_TEST = "Its own {test:,} test pictures are the test; of the others, 15 of 100 are put aside for validation."
_FIXED = "Training, validation and test pictures are fixed: about 70, 15 and 15 of 100."
_SHARED = "It has no test of its own: of each class, 70, 15 and 15 of 100 train, validate and test."


@dataclass(frozen=True, slots=True)
class ReadySetSpec:
    """A ready data set.

    Attributes:
        name: What the program calls it.
        title: What a person reads.
        icon: The Material icon that stands for it while there are no pictures to show.
        sentence: What is in it.
        teaches: What one can learn with it.
        parts: Which pictures train, validate and test.
        licence: Under which it may be used.
        source: Where it is from.
        classes: Its classes, by their numbers in its files, each with its number of pictures.
        read: Makes its pictures from the paths of its files, in the order of `files`; the stack keeps files open.
        files: What must be downloaded; empty when nothing must.
    """

    name: str
    title: str
    icon: str
    sentence: str
    teaches: str
    parts: str
    licence: str
    source: str
    classes: tuple[tuple[str, int], ...]
    read: Callable[[tuple[Path, ...], ExitStack], Iterator[ReadyPicture]]
    files: tuple[PublishedFile, ...] = ()

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of its classes."""
        return tuple(name for name, _ in self.classes)

    @property
    def num_images(self) -> int:
        """Number of all its pictures."""
        return self.num_chosen(None)

    def num_chosen(self, per_class: int | None, classes: Sequence[str] = ()) -> int:
        """Return how many pictures `tlcore.ready_sets.pictures.choose` leaves; arguments as there."""
        sizes = [size for name, size in self.classes if not classes or name in classes]
        return sum(size if per_class is None else min(size, per_class) for size in sizes)

    @property
    def download_bytes(self) -> int:
        """Size of what is still to be downloaded; 0 when it is ready without a network."""
        return sum(file.size_bytes for file in self.files if not file.is_here)

    @property
    def has_published_hash(self) -> bool:
        """Whether the publisher says how to recognise every file."""
        return all(file.file_hash for file in self.files)


def get_ready_set(name: str) -> ReadySetSpec:
    """Return the row of a ready data set.

    Raises:
        ValueError: If there is no data set of that name.
    """
    for spec in READY_SETS:
        if spec.name == name:
            return spec
    raise ValueError(f"`name` must be one of {', '.join(s.name for s in READY_SETS)}. Received: name={name!r}")


def open_ready_set(
    spec: ReadySetSpec,
    paths: tuple[Path, ...],
    stack: ExitStack,
    per_class: int | None = None,
    classes: Sequence[str] = (),
) -> tuple[ReadyPicture, ...]:
    """Return the pictures of a ready data set whose files are here.

    Args:
        spec: Its row.
        paths: Its files, from `tlcore.ready_sets.files.fetch_files`; none for a set that needs none.
        stack: Keeps its files open until the pictures were read.
        per_class: As in `tlcore.ready_sets.pictures.choose`.
        classes: As there.

    Raises:
        DatasetError: If a file is damaged, or the set has no such class.
        StorageError: If the disk is full.
        ValueError: If there is not one path per file, or `per_class` is less than 1.
    """
    if len(paths) != len(spec.files):
        raise ValueError(f"`paths` must be {len(spec.files)} paths for {spec.name}. Received: {len(paths)}")
    return choose(tuple(spec.read(paths, stack)), per_class, classes)


def _fashion_file(name: str, size_bytes: int, md5: str) -> PublishedFile:
    # Keras checks no hash here; the publisher of Fashion-MNIST lists these for the same files:
    # https://github.com/zalandoresearch/fashion-mnist#get-the-data
    return PublishedFile(f"fashion-mnist/{name}", f"{_KERAS_URL}/{name}", size_bytes, md5, _GZIP)


READY_SETS = (
    ReadySetSpec(
        name="surfaces",
        title="Surfaces",
        icon="texture",
        sentence="Small squares cut from six photographs: brick, grass, gravel, a cat, stars, stained tissue.",
        teaches="A network that never saw these surfaces tells them apart after seconds.",
        parts="Training, validation and test squares come from separate areas of each photograph.",
        licence="Public domain: CC0 (brick, grass, gravel, cat), NASA (stars), no known restrictions (tissue)",
        source="Photographs in scikit-image, https://scikit-image.org/docs/stable/api/skimage.data.html",
        classes=tuple((photo.class_name, len(list(windows(photo)))) for photo in PHOTOS),
        read=lambda _paths, _stack: read_surfaces(),
    ),
    ReadySetSpec(
        name="digits",
        title="Handwritten digits",
        icon="pin",
        sentence="1,797 handwritten digits of 13 people, 8 x 8 pixels each, shown enlarged.",
        teaches="Ten classes, small and grey, unlike the photographs that the network knows: does it still help?",
        parts=_FIXED,
        licence="CC BY 4.0, E. Alpaydin and C. Kaynak, UCI Machine Learning Repository",
        source="scikit-learn's load_digits, https://archive.ics.uci.edu/dataset/80",
        classes=tuple(zip(DIGITS, (178, 182, 177, 183, 181, 182, 181, 179, 174, 180), strict=True)),
        read=lambda _paths, _stack: read_digits(),
    ),
    ReadySetSpec(
        name="mnist",
        title="MNIST",
        icon="draw",
        sentence="70,000 handwritten digits, grey, 28 x 28 pixels: the first data set of most courses.",
        teaches="Compare a small network from scratch with a large one that knows photos: who is better at strokes?",
        parts=_OWN_TEST.format(test=10_000),
        licence="CC BY-SA 3.0, Yann LeCun and Corinna Cortes, after NIST",
        source="keras.datasets.mnist, https://keras.io/api/datasets/mnist",
        classes=tuple(zip(DIGITS, (6903, 7877, 6990, 7141, 6824, 6313, 6876, 7293, 6825, 6958), strict=True)),
        read=lambda paths, _stack: read_mnist(paths[0], DIGITS),
        files=(
            PublishedFile(
                "mnist.npz",
                f"{_KERAS_URL}/mnist.npz",
                11_490_434,
                "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1",
                _ZIP,
            ),
        ),
    ),
    ReadySetSpec(
        name="fashion_mnist",
        title="Fashion-MNIST",
        icon="checkroom",
        sentence="70,000 pictures of clothes and shoes, grey, 28 x 28 pixels.",
        teaches="As small as MNIST and harder: see on Understand which clothes the model mixes up, and why.",
        parts=_OWN_TEST.format(test=10_000),
        licence="MIT, Zalando SE",
        source="keras.datasets.fashion_mnist, https://github.com/zalandoresearch/fashion-mnist",
        classes=tuple((name, 7000) for name in CLOTHES),
        read=lambda paths, _stack: read_idx(paths, CLOTHES),
        files=(
            _fashion_file("train-labels-idx1-ubyte.gz", 29_515, "25c81989df183df01b3e8a0aad5dffbe"),
            _fashion_file("train-images-idx3-ubyte.gz", 26_421_880, "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
            _fashion_file("t10k-labels-idx1-ubyte.gz", 5_148, "bb300cfdad3c16e7a12a480ee83cd310"),
            _fashion_file("t10k-images-idx3-ubyte.gz", 4_422_102, "bef4ecab320f06d8554ea6380940ec79"),
        ),
    ),
    ReadySetSpec(
        name="cifar10",
        title="CIFAR-10",
        icon="flight",
        sentence="60,000 colour photos of ten things, from airplane to truck, 32 x 32 pixels.",
        teaches="Backbones want larger pictures: see on Model what a larger image size gains, and what it costs.",
        parts=_OWN_TEST.format(test=10_000),
        licence="None stated; collected for research by A. Krizhevsky, V. Nair and G. Hinton, University of Toronto",
        source="keras.datasets.cifar10, https://www.cs.toronto.edu/~kriz/cifar.html",
        classes=tuple((name, 6000) for name in CIFAR10),
        read=lambda paths, _stack: read_cifar(
            paths[0],
            CIFAR10,
            train=[f"cifar-10-batches-py/data_batch_{number}" for number in range(1, 6)],
            test="cifar-10-batches-py/test_batch",
            label_key="labels",
        ),
        files=(
            PublishedFile(
                "cifar-10-batches-py-target_archive",
                f"{_CIFAR_URL}/cifar-10-python.tar.gz",
                170_498_071,
                "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
                _GZIP,
                ("cifar-10-batches-py.tar.gz", "cifar-10-python.tar.gz"),
            ),
        ),
    ),
    ReadySetSpec(
        name="cifar100",
        title="CIFAR-100",
        icon="category",
        sentence="60,000 colour photos of a hundred things, 600 of each, 32 x 32 pixels.",
        teaches="With a hundred classes a guess is right once in a hundred times: how far above that do you get?",
        parts=_OWN_TEST.format(test=10_000),
        licence="None stated; collected for research by A. Krizhevsky, V. Nair and G. Hinton, University of Toronto",
        source="keras.datasets.cifar100, https://www.cs.toronto.edu/~kriz/cifar.html",
        classes=tuple((name, 600) for name in CIFAR100),
        read=lambda paths, _stack: read_cifar(
            paths[0],
            CIFAR100,
            train=["cifar-100-python/train"],
            test="cifar-100-python/test",
            label_key="fine_labels",
        ),
        files=(
            PublishedFile(
                "cifar-100-python-target_archive",
                f"{_CIFAR_URL}/cifar-100-python.tar.gz",
                169_001_437,
                "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
                _GZIP,
                ("cifar-100-python.tar.gz",),
            ),
        ),
    ),
    ReadySetSpec(
        name="flower_photos",
        title="Flower photos",
        icon="local_florist",
        sentence="3,670 photos of daisies, dandelions, roses, sunflowers and tulips, in many sizes and shapes.",
        teaches="Photos as people take them: what a backbone from ImageNet is made for. How few of each are enough?",
        parts=_SHARED,
        licence="CC BY 2.0; LICENSE.txt in the archive names the photographers",
        source="TensorFlow's tutorials, https://www.tensorflow.org/tutorials/load_data/images",
        classes=(("daisy", 633), ("dandelion", 898), ("roses", 641), ("sunflowers", 699), ("tulips", 799)),
        read=lambda paths, stack: read_photos(paths[0], stack, {}),
        files=(
            PublishedFile(
                "flower_photos.tar",
                f"{_FLOWERS_URL}/flower_photos.tgz",
                228_813_984,
                # As TensorFlow Datasets checks it: tensorflow_datasets/datasets/tf_flowers/checksums.tsv
                "4c54ace7911aaffe13a365c34f650e71dd5bf1be0a58b464e5a7183e3e595d9c",
                _GZIP,
                ("flower_photos.tgz", "flower_photos_archive", "flower_photos.tar.gz"),
            ),
        ),
    ),
    ReadySetSpec(
        name="cats_and_dogs",
        title="Cats and dogs",
        icon="pets",
        sentence="3,000 photos of cats and dogs, chosen from a larger collection.",
        teaches="The backbone saw many cats and dogs: compare all frozen, fine-tuning, and random weights.",
        parts="What the tutorial calls validation, 1,000 photos, is the test here; of the others, 15 of 100 are put "
        "aside for validation.",
        licence="None stated; photos of the Asirra collection (Petfinder and Microsoft Research) as given to Kaggle",
        source="TensorFlow's tutorials, https://www.tensorflow.org/tutorials/images/transfer_learning",
        classes=(("cats", 1500), ("dogs", 1500)),
        read=lambda paths, stack: read_photos(paths[0], stack, {"train": "train", "validation": "test"}),
        files=(
            PublishedFile(
                "cats_and_dogs.zip",
                f"{_CATS_URL}/cats_and_dogs_filtered.zip",
                68_606_236,
                "",  # neither the tutorials nor TensorFlow Datasets publish one
                _ZIP,
                ("cats_and_dogs_filtered.zip",),
            ),
        ),
    ),
)
