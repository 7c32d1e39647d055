"""Registry rows of the VGG family."""

from __future__ import annotations

from tlcore.backbones.spec import CAFFE, BackboneSpec, BlockSpec, WeightsSpec, Window, conv_parameters

# (channels, convolutions) of each block.
# Source: Simonyan and Zisserman 2014, https://arxiv.org/abs/1409.1556, table 1, column D.
VGG16_BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))


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


VGG16 = BackboneSpec(
    name="vgg16",
    title="VGG16",
    builder="keras.applications:VGG16",
    imagenet_top1=0.713,
    imagenet_source="https://keras.io/api/applications/",
    default_size=224,
    minimum_size=32,
    preprocessing=CAFFE,
    weights=WeightsSpec(
        "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
        download_bytes=58_889_256,
        url="https://storage.googleapis.com/tensorflow/keras-applications/vgg16/"
        "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
        md5="6d6bbae143d832006294945121d1f1fc",
    ),
    blocks=vgg_blocks(VGG16_BLOCKS),
)
