"""Every backbone that a person can choose: one row each, and small networks by their name."""

from __future__ import annotations

from tlcore.backbones.rows.convnext import CONVNEXT_TINY
from tlcore.backbones.rows.densenet import DENSENET121
from tlcore.backbones.rows.efficientnet import (
    EFFICIENTNET_B0,
    EFFICIENTNET_B1,
    EFFICIENTNET_B2,
    EFFICIENTNET_B3,
    EFFICIENTNET_LITE0,
    EFFICIENTNET_V2_B0,
    EFFICIENTNET_V2_B1,
)
from tlcore.backbones.rows.inception import INCEPTION_RESNET_V2, INCEPTION_V3
from tlcore.backbones.rows.mobilenet import (
    MOBILENET,
    MOBILENET_V2,
    MOBILENET_V2_035,
    MOBILENET_V2_050,
    MOBILENET_V2_075,
    MOBILENET_V2_130,
    MOBILENET_V2_140,
)
from tlcore.backbones.rows.mobilenet_v3 import MOBILENET_V3_LARGE, MOBILENET_V3_SMALL
from tlcore.backbones.rows.nasnet import NASNET_MOBILE
from tlcore.backbones.rows.resnet import RESNET50, RESNET50_V2, RESNET101
from tlcore.backbones.rows.vgg import VGG16, VGG19
from tlcore.backbones.rows.xception import XCEPTION
from tlcore.backbones.small_cnn import (
    DEFAULT_FILTERS,
    small_cnn_filters,
    small_cnn_name,
    small_cnn_spec,
)
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
    "small_cnn_filters",
    "small_cnn_name",
]

BACKBONES: tuple[BackboneSpec, ...] = (
    EFFICIENTNET_LITE0,
    MOBILENET,
    MOBILENET_V2_035,
    MOBILENET_V2_050,
    MOBILENET_V2_075,
    MOBILENET_V2,
    MOBILENET_V2_130,
    MOBILENET_V2_140,
    MOBILENET_V3_SMALL,
    MOBILENET_V3_LARGE,
    VGG16,
    VGG19,
    RESNET50,
    RESNET101,
    RESNET50_V2,
    INCEPTION_V3,
    INCEPTION_RESNET_V2,
    XCEPTION,
    DENSENET121,
    EFFICIENTNET_B0,
    EFFICIENTNET_B1,
    EFFICIENTNET_B2,
    EFFICIENTNET_B3,
    EFFICIENTNET_V2_B0,
    EFFICIENTNET_V2_B1,
    NASNET_MOBILE,
    CONVNEXT_TINY,
)


def get_backbone(name: str) -> BackboneSpec:
    """Return the row of a backbone, or describe the small network of that name.

    Raises:
        ValueError: If there is no backbone of that name.
    """
    for spec in BACKBONES:
        if spec.name == name:
            return spec
    filters = small_cnn_filters(name)
    if filters is not None:
        return small_cnn_spec(filters)
    names = ", ".join(spec.name for spec in BACKBONES)
    raise ValueError(
        f"`name` must be one of {names}, or a small network such as {small_cnn_name(DEFAULT_FILTERS)}. "
        f"Received: name={name!r}"
    )
