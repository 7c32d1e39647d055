"""The pixels that a model sees: one function for the preview, the feature pass and training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tlcore.config import AugmentationConfig, ModelConfig, TrainingConfig
from tlcore.images.augmentation import augment
from tlcore.images.resizing import decode_image, resize_image


@dataclass(frozen=True, slots=True)
class ViewRequest:
    """A picture, plain (`view` is `None`) or under one of its augmented views, counted from 0."""

    image: str
    view: int | None = None


def square_pixels(stored: bytes, model: ModelConfig) -> NDArray[np.uint8]:
    """Return a stored picture in the shape that the backbone takes: uint8 RGB `(image_size, image_size, 3)`."""
    return resize_image(decode_image(stored), model.image_size, model.resize_mode)


def view_pixels(square: NDArray[np.uint8], request: ViewRequest, augmentation: AugmentationConfig) -> NDArray[np.uint8]:
    """Return one view of a square picture as the backbone gets it.

    Args:
        square: The picture, from `square_pixels`.
        request: Which picture, for the seed of its draws, and which view.
        augmentation: What views are drawn from.

    Returns:
        uint8 RGB pixels of the same shape; `square` itself when nothing changes.
    """
    if request.view is None:
        return square
    return augment(square, augmentation, image_key=request.image, view=request.view)


def view_of_epoch(image: str, epoch: int, augmentation: AugmentationConfig, training: TrainingConfig) -> ViewRequest:
    """Return which view of a picture an epoch trains on.

    With a bank of V views the epochs walk through it, each picture starting at another of its views; so V
    epochs see every view once, and later ones need no more computing. Without augmentation it is the
    plain picture; with new views in every epoch it is one that no epoch had before.

    Args:
        image: Key of the picture, 64 hexadecimal digits.
        epoch: Counted from 0.
        augmentation: What views are drawn from.
        training: Holds `views` and `new_views_every_epoch`.
    """
    if augmentation.is_identity:
        return ViewRequest(image)
    if training.new_views_every_epoch:
        return ViewRequest(image, epoch)
    return ViewRequest(image, (epoch + int(image[:8], 16)) % training.views)
