"""Blocks that several families of backbones are made of, counted before they are built."""

from __future__ import annotations

from tlcore.backbones.spec import BlockSpec, Window, conv_parameters


def convolution_block(
    name: str,
    last_layer: str,
    channels_in: int,
    channels_out: int,
    kernel: int,
    stride: int,
    *,
    pixel_statistics: int = 0,
) -> BlockSpec:
    """Return a block of one convolution without bias and its batch normalization.

    Args:
        name: Name of the block.
        last_layer: Keras layer at its end.
        channels_in: Channels of its input.
        channels_out: Channels of its output.
        kernel: Side of the convolution's window, in positions.
        stride: Step of the window, in positions.
        pixel_statistics: Numbers of a normalization of the pixels before the convolution.
    """
    batch_norm = 4 * channels_out
    return BlockSpec(
        name=name,
        last_layer=last_layer,
        channels=channels_out,
        parameters=conv_parameters(channels_in, channels_out, kernel * kernel) + batch_norm + pixel_statistics,
        batch_norm_parameters=batch_norm,
        windows=(Window(kernel, stride),),
        pixel_statistics=pixel_statistics,
    )


def inverted_residual(
    name: str,
    last_layer: str,
    channels_in: int,
    channels_out: int,
    kernel: int,
    stride: int,
    *,
    wide: int | None = None,
    squeeze: int = 0,
    fused: bool = False,
) -> BlockSpec:
    """Return a block of expansion, depthwise convolution and projection, without bias.

    Args:
        name: Name of the block.
        last_layer: Keras layer at its end.
        channels_in: Channels of its input.
        channels_out: Channels of its output.
        kernel: Side of the convolution's window, in positions.
        stride: Step of the window, in positions.
        wide: Channels after the expansion; `None` when there is no expansion.
        squeeze: Channels in the middle of squeeze-and-excitation; 0 when there is none.
        fused: Whether one full convolution stands for expansion and depthwise convolution.
    """
    width = channels_in if wide is None else wide
    area = kernel * kernel
    if fused:
        # Without an expansion the full convolution is the projection itself.
        steps = (
            [(channels_in, channels_out, area)]
            if wide is None
            else [(channels_in, wide, area), (wide, channels_out, 1)]
        )
    else:
        steps = [(1, width, area), (width, channels_out, 1)]
        if wide is not None:
            steps.insert(0, (channels_in, wide, 1))
    batch_norm = sum(4 * out for _, out, _ in steps)
    parameters = sum(conv_parameters(*step) for step in steps) + batch_norm
    if squeeze:
        parameters += conv_parameters(width, squeeze, 1, bias=True) + conv_parameters(squeeze, width, 1, bias=True)
    return BlockSpec(
        name=name,
        last_layer=last_layer,
        channels=channels_out,
        parameters=parameters,
        batch_norm_parameters=batch_norm,
        windows=(Window(kernel, stride),),
    )


def divisible_by_8(channels: float) -> int:
    """Round as Keras does: to a multiple of 8, never down by more than a tenth."""
    rounded = nearest_multiple_of_8(channels)
    return rounded + 8 if rounded < 0.9 * channels else rounded


def nearest_multiple_of_8(channels: float) -> int:
    """Round to the nearest multiple of 8, at least 8."""
    return max(8, int(channels + 4) // 8 * 8)
