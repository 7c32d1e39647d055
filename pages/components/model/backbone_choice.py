"""What else changes when a person takes another backbone."""

from __future__ import annotations

from dataclasses import replace

from tlcore.backbones.registry import get_backbone, small_cnn_filters
from tlcore.config import IMAGENET, HeadConfig, RunConfig, TrainingConfig

# A network that knows nothing yet learns from where things are, and in smaller steps: with one average per channel it
# is no better than chance after the first epochs.
SCRATCH_HEAD = HeadConfig(pooling="flatten", dense_units=(32,))
SCRATCH_RATE = 0.001


def with_backbone(config: RunConfig, name: str) -> RunConfig:
    """Return the settings with another backbone at its own size, in one phase: pre-trained and frozen, or all learning.

    Its pixels are scaled as it expects. A small network knows nothing, so all of it learns, with a head and steps that
    suit it.
    """
    if name == config.model.backbone:
        return config
    spec = get_backbone(name)
    head, rate = config.model.head, config.training.learning_rate
    if _is_small(name) and not _is_small(config.model.backbone):
        head, rate = SCRATCH_HEAD, SCRATCH_RATE
    elif _is_small(config.model.backbone) and not _is_small(name):
        head, rate = HeadConfig(), TrainingConfig().learning_rate
    is_edited = _is_small(config.model.backbone) and _is_small(name)
    model = replace(
        config.model,
        backbone=name,
        first_trainable=spec.block_names[0] if spec.weights is None else None,
        also_frozen=(),
        weights=IMAGENET,
        image_size=max(config.model.image_size, spec.minimum_size) if is_edited else spec.default_size,
        head=head,
        pixel_scaling="backbone",
    )
    training = replace(config.training, learning_rate=rate, fine_tuning=None)
    return replace(config, model=model, training=training)


def _is_small(name: str) -> bool:
    return small_cnn_filters(name) is not None
