"""Registry rows of the VGG family."""

from __future__ import annotations

from tlcore.backbones.spec import (
    CAFFE,
    KERAS_APPLICATIONS,
    BackboneSpec,
    BlockSpec,
    Window,
    conv_parameters,
    keras_weights,
)

# (channels, convolutions) of each block.
# Source: Simonyan and Zisserman 2014, https://arxiv.org/abs/1409.1556, table 1, columns D and E.
VGG16_BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
VGG19_BLOCKS = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))


def vgg_blocks(table: tuple[tuple[int, int], ...]) -> tuple[BlockSpec, ...]:
    """Return one block per row: 3x3 convolutions with bias, then a pooling that halves the size."""
    blocks = []
    channels = 3
    for number, (channels_out, convolutions) in enumerate(table, start=1):
        first = conv_parameters(channels, channels_out, 9, bias=True)
        other = conv_parameters(channels_out, channels_out, 9, bias=True)
        blocks.append(
            BlockSpec(
                name=f"block{number}",
                last_layer=f"block{number}_pool",
                channels=channels_out,
                parameters=first + (convolutions - 1) * other,
                windows=(Window(2, 2, "valid"),),
            )
        )
        channels = channels_out
    return tuple(blocks)


def _vgg(name: str, title: str, download_bytes: int, md5: str, table: tuple[tuple[int, int], ...]) -> BackboneSpec:
    filename = f"{name}_weights_tf_dim_ordering_tf_kernels_notop.h5"
    return BackboneSpec(
        name=name,
        title=title,
        builder=f"keras.applications:{title}",
        imagenet_top1=0.713,
        imagenet_source=KERAS_APPLICATIONS,
        default_size=224,
        minimum_size=32,
        preprocessing=CAFFE,
        weights=keras_weights(name, filename, download_bytes, md5),
        blocks=vgg_blocks(table),
    )


VGG16 = _vgg("vgg16", "VGG16", 58_889_256, "6d6bbae143d832006294945121d1f1fc", VGG16_BLOCKS)
VGG19 = _vgg("vgg19", "VGG19", 80_134_624, "253f8cb515780f3b799900260a226db6", VGG19_BLOCKS)
