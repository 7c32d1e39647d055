"""What else changes when a person takes another backbone."""

from __future__ import annotations

from dataclasses import replace

from tlcore.backbones.registry import get_backbone, small_cnn_filters
from tlcore.config import IMAGENET, RunConfig


def with_backbone(config: RunConfig, name: str) -> RunConfig:
    """Return the settings with another backbone at its own size, in one phase: pre-trained and frozen, or all learning.

    A small network knows nothing, so all of it learns.
    """
    if name == config.model.backbone:
        return config
    spec = get_backbone(name)
    model = replace(
        config.model,
        backbone=name,
        first_trainable=spec.block_names[0] if spec.weights is None else None,
        also_frozen=(),
        weights=IMAGENET,
        image_size=spec.default_size if not _is_edited(config, name) else config.model.image_size,
    )
    return replace(config, model=model, training=replace(config.training, fine_tuning=None))


def _is_edited(config: RunConfig, name: str) -> bool:
    """Whether one small network takes the place of another."""
    return small_cnn_filters(config.model.backbone) is not None and small_cnn_filters(name) is not None
