"""Where a model is cut in two: the frozen prefix, computed once, and the suffix, which is trained."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

from tlcore.backbones.registry import BackboneSpec, get_backbone, output_shape
from tlcore.backbones.spec import ZERO_TO_ONE, EmbeddedWeights
from tlcore.backbones.weights.status import RANDOM_SEED, is_random
from tlcore.config import IMAGENET, ModelConfig, PixelScaling, ResizeMode
from tlcore.documents import to_json

PIXELS = "pixels"
POOLING = "pooling"

# Raise it when the meaning of a cached prefix or feature changes; older caches are then left alone and recomputed.
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Prefix:
    """The frozen part of a model, from the pixels to the cut.

    Attributes:
        backbone: Name of the backbone.
        weights: What identifies its weights, and the scaling of pixels where it is not the backbone's own.
        image_size: Side of the square picture, in pixels.
        cut: `pixels` when nothing is frozen, the name of the last frozen block, or `pooling` when the
            whole backbone is frozen and averaged.
        shape: Shape of one picture's features at the cut.
    """

    backbone: str
    weights: str
    image_size: int
    cut: str
    shape: tuple[int, ...]

    @property
    def dtype(self) -> str:
        """How features are stored: pixels as they are, activations in half precision."""
        return "uint8" if self.cut == PIXELS else "float16"

    @property
    def key(self) -> str:
        """Identifies the compiled prefix: everything that its numbers depend on, besides the picture."""
        return hashlib.sha256(f"prefix {FORMAT} {to_json(self)}".encode()).hexdigest()[:32]

    def features_key(self, resize_mode: ResizeMode) -> str:
        """Identify a set of features: the prefix and how a picture became square."""
        return f"{self.key}-{resize_mode}"


@dataclass(frozen=True, slots=True)
class ModelPlan:
    """A chosen model with all that follows from the choice before anything is built.

    Attributes:
        config: What was chosen.
        backbone: Its row of the registry, with the scaling of pixels that was chosen.
        prefix: The frozen part.
        trainable_blocks: Names of the blocks that training changes, from the picture up.
    """

    config: ModelConfig
    backbone: BackboneSpec
    prefix: Prefix
    trainable_blocks: tuple[str, ...]

    @property
    def is_random(self) -> bool:
        """Whether the backbone starts with random weights, and so knows nothing that is worth keeping."""
        return is_random(self.backbone, self.config.weights)


def plan_model(config: ModelConfig) -> ModelPlan:
    """Look up the backbone, and see where the model is cut.

    Raises:
        ValueError: If the backbone or one of the named blocks is unknown, or the picture is too small.
    """
    spec = get_backbone(config.backbone)
    weights = _weights_identity(spec, config.weights)
    if scales_otherwise(spec, config.pixel_scaling):
        spec = replace(spec, preprocessing=ZERO_TO_ONE)
        weights += ", pixels divided by 255"
    cut, shape = _cut(spec, config)
    prefix = Prefix(config.backbone, weights, config.image_size, cut, shape)
    start = len(spec.blocks) if config.first_trainable is None else spec.block_index(config.first_trainable)
    frozen = {spec.block_index(name) for name in config.also_frozen}
    trainable = tuple(block.name for index, block in enumerate(spec.blocks) if index >= start and index not in frozen)
    return ModelPlan(config, spec, prefix, trainable)


def is_whole_backbone(prefix: Prefix) -> bool:
    """Return whether a frozen part ends with the last block, with all its places: only a head comes after it."""
    return prefix.cut == get_backbone(prefix.backbone).blocks[-1].name


def scales_otherwise(spec: BackboneSpec, pixel_scaling: PixelScaling) -> bool:
    """Return whether a backbone gets other values than it was trained with; never where dividing by 255 is its own."""
    return pixel_scaling == "divide_255" and spec.preprocessing != ZERO_TO_ONE


def _weights_identity(spec: BackboneSpec, weights: str) -> str:
    """Return what tells one set of first weights, `ModelConfig.weights`, from another."""
    if spec.weights is None or is_random(spec, weights):
        return f"random {RANDOM_SEED}"
    if weights != IMAGENET:
        return f"brought {weights}"
    if isinstance(spec.weights, EmbeddedWeights):
        return spec.weights.name
    return f"{spec.weights.name} {spec.weights.file_hash}".strip()


def _cut(spec: BackboneSpec, config: ModelConfig) -> tuple[str, tuple[int, ...]]:
    shapes = output_shape(spec, config.image_size)
    if config.first_trainable is None:
        last = spec.blocks[-1]
        if config.head.pooling == "average":
            return POOLING, (last.channels,)
        return last.name, shapes[last.name]
    index = spec.block_index(config.first_trainable)
    if index == 0:
        return PIXELS, (config.image_size, config.image_size, 3)
    name = spec.blocks[index - 1].name
    return name, shapes[name]
