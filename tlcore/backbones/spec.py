"""What is known about a backbone before it is built: blocks, shapes, parameters, preprocessing, weights."""

from __future__ import annotations

from dataclasses import dataclass

from tlcore.downloading import PublishedFile

BlockEnds = tuple[tuple[str, str], ...]
"""Regular expressions of the last layers of blocks, and what the block is called."""

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
"""How every file of Keras weights begins."""

KERAS_APPLICATIONS = "https://keras.io/api/applications/"
KERAS_STORAGE = "https://storage.googleapis.com/tensorflow/keras-applications"


@dataclass(frozen=True, slots=True)
class BlockSpec:
    """A named step of a backbone; the line between frozen and trainable lies between two of them.

    Attributes:
        name: Stable name, from the network's own layer names.
        last_layer: Keras layer whose output is all that the next block gets.
        channels: Channels of that output.
        parameters: Weights of the block in scalars, batch normalization included.
        batch_norm_parameters: The part of `parameters` that belongs to batch normalization; it
            stays frozen in every pre-trained model.
        batch_norm_scale: Whether its batch normalization has a scale besides the offset.
        pixel_statistics: The part of `parameters` that describes the pixels of the pre-training (mean,
            variance, count); no training changes it.
        window: With `stride`, how the block changes the height and width: `(size - window) // stride + 1`. All its
            convolutions, poolings and paddings come to one such window.
        stride: How many times smaller the output is than the input, along one side.
    """

    name: str
    last_layer: str
    channels: int
    parameters: int
    batch_norm_parameters: int = 0
    batch_norm_scale: bool = True
    pixel_statistics: int = 0
    window: int = 1
    stride: int = 1

    @property
    def trainable_parameters(self) -> int:
        """Weights that training changes once the block is trainable."""
        return self.parameters - self.batch_norm_parameters - self.pixel_statistics

    @property
    def batch_norm_weights(self) -> int:
        """Offsets and scales of batch normalization; the rest of its parameters are means and variances."""
        return self.batch_norm_parameters // 2 if self.batch_norm_scale else self.batch_norm_parameters // 3

    def output_size(self, size: int) -> int:
        """Return the output's side for an input of `size` positions."""
        return (size - self.window) // self.stride + 1


@dataclass(frozen=True, slots=True)
class PreprocessingSpec:
    """How RGB pixels in [0, 255] become the network's input: `pixels * scale + offset`.

    Attributes:
        scale: Factor of each channel, in the network's channel order.
        offset: What is added to each channel after that, in the network's channel order.
        bgr: Whether the network wants blue, green, red.
    """

    scale: tuple[float, float, float] = (1.0, 1.0, 1.0)
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    bgr: bool = False

    @property
    def is_identity(self) -> bool:
        """Whether the network takes the pixels as they are."""
        return self == PreprocessingSpec()

    @property
    def value_range(self) -> tuple[float, float]:
        """The smallest and the largest value that the network gets."""
        ends = [255 * scale + offset for scale, offset in zip(self.scale, self.offset, strict=True)]
        return min(self.offset), max(ends)


def _same_for_all(scale: float, offset: float) -> PreprocessingSpec:
    return PreprocessingSpec((scale,) * 3, (offset,) * 3)


# Source of the first three: `preprocess_input` of keras.applications, modes "tf", "caffe" and "torch".
MINUS_ONE_TO_ONE = _same_for_all(1 / 127.5, -1.0)
CAFFE = PreprocessingSpec(offset=(-103.939, -116.779, -123.68), bgr=True)
TORCH = PreprocessingSpec(
    scale=(1 / (255 * 0.229), 1 / (255 * 0.224), 1 / (255 * 0.225)),
    offset=(-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225),
)
ZERO_TO_ONE = _same_for_all(1 / 255, 0.0)
# For networks that scale the pixels themselves.
RAW_PIXELS = PreprocessingSpec()
# Source: tensorflow/tpu, efficientnet/lite/efficientnet_lite_builder.py (MEAN_RGB, STDDEV_RGB).
EFFICIENTNET_LITE = _same_for_all(1 / 128, -127 / 128)


@dataclass(frozen=True, slots=True)
class EmbeddedWeights:
    """Pre-trained weights that come with a pinned package and need no network.

    Attributes:
        name: Tells them from others where features of them are kept.
    """

    name: str


def keras_weights(
    folder: str,
    filename: str,
    size_bytes: int,
    file_hash: str = "",
    *,
    size_is_exact: bool = True,
    published_name: str = "",
) -> PublishedFile:
    """Return the weights without classifier that Keras Applications publishes.

    Args:
        folder: A folder of Keras's usual storage, or the address of another one.
        filename: What Keras calls the file in its cache.
        size_bytes: Its size.
        file_hash: Its MD5 or SHA-256, where Keras gives one.
        size_is_exact: `False` where no size is published; then it is that of the numbers alone, 4 bytes each.
        published_name: Name of the file in that folder, when it is another one.
    """
    address = folder if folder.startswith("https:") else f"{KERAS_STORAGE}/{folder}"
    return PublishedFile(
        filename,
        f"{address}/{published_name or filename}",
        size_bytes,
        file_hash,
        HDF5_SIGNATURE,
        folder="models",
        size_is_exact=size_is_exact,
    )


@dataclass(frozen=True, slots=True)
class BackboneSpec:
    """A row of the registry.

    Attributes:
        name: Stable name, used in configurations and URLs.
        title: Name that people read.
        builder: `module:function` that builds it: a function of `keras.applications`, or one that
            takes the preprocessed KerasTensor and returns the last block's output.
        imagenet_top1: Share of ImageNet's validation pictures that it gets right, in [0, 1]; higher is better.
            `None` when it was never trained on them.
        imagenet_source: Where that figure is published.
        default_size: Side of the picture that it was trained on, in pixels.
        minimum_size: Smallest side that it works with, in pixels.
        preprocessing: From pixels to the network's input.
        weights: Its pre-trained weights; `None` when there are none and it starts from random ones.
        licence: Under which these may be used; empty when there are none.
        licence_source: Where that is published.
        block_ends: Where its blocks end; of several layers that end a block, the last one does.
        blocks: From the picture to the output.
        arguments: Keyword arguments for the builder.
        imagenet_variance_factors: What the variances of the network's own pixel normalization are multiplied
            by, per channel, after its ImageNet weights were loaded; `None` when nothing is.
    """

    name: str
    title: str
    builder: str
    imagenet_top1: float | None
    imagenet_source: str
    default_size: int
    minimum_size: int
    preprocessing: PreprocessingSpec
    weights: PublishedFile | EmbeddedWeights | None
    licence: str = ""
    licence_source: str = ""
    block_ends: BlockEnds = ()
    blocks: tuple[BlockSpec, ...] = ()
    arguments: tuple[tuple[str, float | bool | str | tuple[int, ...]], ...] = ()
    imagenet_variance_factors: tuple[float, float, float] | None = None

    @property
    def embedded(self) -> bool:
        """Whether pre-trained weights come with the app and need no network."""
        return isinstance(self.weights, EmbeddedWeights)

    @property
    def download_bytes(self) -> int:
        """Size of the weights that are fetched on first use; 0 when there is nothing to fetch."""
        return self.weights.size_bytes if isinstance(self.weights, PublishedFile) else 0

    @property
    def parameters(self) -> int:
        """Weights in scalars, without a classifier."""
        return sum(block.parameters for block in self.blocks)

    @property
    def block_names(self) -> tuple[str, ...]:
        """Names of the blocks, from the picture to the output."""
        return tuple(block.name for block in self.blocks)

    def block_index(self, block_name: str) -> int:
        """Return the position of a block, counted from the picture.

        Raises:
            ValueError: If there is no block of that name.
        """
        if block_name not in self.block_names:
            raise ValueError(
                f"`block_name` must be a block of {self.name}: {', '.join(self.block_names)}. "
                f"Received: block_name={block_name!r}"
            )
        return self.block_names.index(block_name)

    def sees(self, block_name: str) -> str:
        """Say what a block typically recognises; derived from how far it has zoomed out.

        Raises:
            ValueError: If there is no block of that name.
        """
        stride = 1
        for block in self.blocks[: self.block_index(block_name) + 1]:
            stride *= block.stride
        if stride <= 4:
            return "edges and colours"
        if stride <= 8:
            return "textures and patterns"
        if stride <= 16:
            return "parts of things"
        return "whole things"


def output_shape(spec: BackboneSpec, size: int) -> dict[str, tuple[int, int, int]]:
    """Return the `(height, width, channels)` after each block, by block name, from the picture up.

    Args:
        spec: The backbone.
        size: Side of the square picture, in pixels.

    Raises:
        ValueError: If the picture is smaller than the backbone allows.
    """
    if size < spec.minimum_size:
        raise ValueError(f"`size` must be at least {spec.minimum_size} for {spec.name}. Received: size={size}")
    shapes = {}
    for block in spec.blocks:
        size = block.output_size(size)
        shapes[block.name] = (size, size, block.channels)
    return shapes
