"""Registry row of NASNetMobile."""

from __future__ import annotations

from tlcore.backbones.spec import (
    KERAS_APPLICATIONS,
    KERAS_STORAGE,
    MINUS_ONE_TO_ONE,
    BackboneSpec,
    BlockSpec,
    WeightsSpec,
    Window,
)

# Each cell gets the outputs of the two cells before it, so no tensor between two cells is all that comes after it:
# the network can be cut after its stem only. The numbers are those of the network that Keras builds.
# Source: Zoph et al. 2017, https://arxiv.org/abs/1707.07012, NASNet-A (4 @ 1056).
NASNET_MOBILE_BLOCKS = (
    BlockSpec(
        name="stem",
        last_layer="stem_bn1",
        channels=32,
        parameters=992,
        batch_norm_parameters=128,
        windows=(Window(3, 2, "valid"),),
    ),
    BlockSpec(
        name="cells",
        last_layer="activation_187",
        channels=1056,
        parameters=4_268_724,
        batch_norm_parameters=73_348,
        windows=(Window(3, 2),) * 4,
    ),
)

NASNET_MOBILE = BackboneSpec(
    name="nasnet_mobile",
    title="NASNetMobile",
    builder="keras.applications:NASNetMobile",
    imagenet_top1=0.744,
    imagenet_source=KERAS_APPLICATIONS,
    default_size=224,
    minimum_size=32,
    preprocessing=MINUS_ONE_TO_ONE,
    # Keras saves the file under another name than it is published.
    weights=WeightsSpec(
        "nasnet_mobile_no_top.h5",
        19_993_432,
        f"{KERAS_STORAGE}/nasnet/NASNet-mobile-no-top.h5",
        "1ed92395b5b598bdda52abe5c0dbfd63",
    ),
    blocks=NASNET_MOBILE_BLOCKS,
)
