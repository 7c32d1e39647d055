"""Registry row of ConvNeXtTiny."""

from __future__ import annotations

from tlcore.backbones.spec import (
    KERAS_APPLICATIONS,
    RAW_PIXELS,
    BackboneSpec,
    BlockSpec,
    Window,
    conv_parameters,
    keras_weights,
)

# (channels, blocks) of each stage. Source: Liu et al. 2022, https://arxiv.org/abs/2201.03545, section 2.2.
CONVNEXT_TINY_STAGES = ((96, 3), (192, 3), (384, 9), (768, 3))


def convnext_blocks(name: str, stages: tuple[tuple[int, int], ...]) -> tuple[BlockSpec, ...]:
    """Return the stem and every block; the first of a stage includes what halves the size before it.

    Args:
        name: Name that Keras gives the network and the beginning of its layers' names.
        stages: Channels and number of blocks of each stage.
    """
    channels = stages[0][0]
    blocks = [
        BlockSpec(
            name="stem",
            last_layer=f"{name}_stem",
            channels=channels,
            parameters=conv_parameters(3, channels, 16, bias=True) + 2 * channels,
            windows=(Window(4, 4, "valid"),),
        )
    ]
    count = sum(repeats for _, repeats in stages)
    for stage, (channels_out, repeats) in enumerate(stages):
        for index in range(repeats):
            number = len(blocks) - 1
            parameters = _block_parameters(channels_out)
            halves = stage > 0 and index == 0
            if halves:
                parameters += 2 * channels + conv_parameters(channels, channels_out, 4, bias=True)
            is_last = number == count - 1
            if is_last:
                parameters += 2 * channels_out
            addition = f"add_{number}" if number else "add"
            blocks.append(
                BlockSpec(
                    name=f"stage_{stage}_block_{index}",
                    # The network ends with a normalization, which belongs to its last block.
                    last_layer="layer_normalization" if is_last else addition,
                    channels=channels_out,
                    parameters=parameters,
                    windows=(Window(2, 2, "valid"),) if halves else (),
                )
            )
            channels = channels_out
    return tuple(blocks)


def _block_parameters(channels: int) -> int:
    """Return the weights of a 7x7 depthwise convolution, a normalization, two dense layers and a scale."""
    depthwise = 49 * channels + channels
    normalization = 2 * channels
    dense = conv_parameters(channels, 4 * channels, 1, bias=True) + conv_parameters(
        4 * channels, channels, 1, bias=True
    )
    return depthwise + normalization + dense + channels


CONVNEXT_TINY = BackboneSpec(
    name="convnext_tiny",
    title="ConvNeXtTiny",
    builder="keras.applications:ConvNeXtTiny",
    imagenet_top1=0.813,
    imagenet_source=KERAS_APPLICATIONS,
    default_size=224,
    minimum_size=32,
    preprocessing=RAW_PIXELS,
    weights=keras_weights(
        "convnext",
        "convnext_tiny_notop.h5",
        111_650_432,
        "d547c096cabd03329d7be5562c5e14798aa39ed24b474157cef5e85ab9e49ef1",
    ),
    blocks=convnext_blocks("convnext_tiny", CONVNEXT_TINY_STAGES),
)
