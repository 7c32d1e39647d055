"""Every backbone that a person can choose: one row each."""

from __future__ import annotations

from tlcore.backbones.rows_inception import INCEPTION_V3
from tlcore.backbones.rows_mobile import EFFICIENTNET_LITE0, MOBILENET_V2
from tlcore.backbones.rows_resnet import RESNET50
from tlcore.backbones.rows_vgg import VGG16
from tlcore.backbones.spec import (
    BackboneSpec,
    BlockSpec,
    ParameterCount,
    PreprocessingSpec,
    WeightsSpec,
    Window,
    output_shape,
)

__all__ = [
    "BACKBONES",
    "BackboneSpec",
    "BlockSpec",
    "ParameterCount",
    "PreprocessingSpec",
    "WeightsSpec",
    "Window",
    "get_backbone",
    "output_shape",
]

BACKBONES: tuple[BackboneSpec, ...] = (EFFICIENTNET_LITE0, MOBILENET_V2, VGG16, RESNET50, INCEPTION_V3)


def get_backbone(name: str) -> BackboneSpec:
    """Return the row of a backbone.

    Raises:
        ValueError: If there is no backbone of that name.
    """
    for spec in BACKBONES:
        if spec.name == name:
            return spec
    names = ", ".join(spec.name for spec in BACKBONES)
    raise ValueError(f"`name` must be one of {names}. Received: name={name!r}")
