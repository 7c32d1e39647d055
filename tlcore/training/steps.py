"""One step of training: a batch through the suffix, its loss, and what the optimizer makes of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tlcore.config import TrainingConfig
from tlcore.training.checkpoint import UnfitCheckpointError


def build_optimizer(config: TrainingConfig) -> keras.optimizers.Optimizer:
    """Return the chosen optimizer with its learning rate; `sgd` gets momentum 0.9."""
    builders: dict[str, Callable[[float], keras.optimizers.Optimizer]] = {
        "adam": keras.optimizers.Adam,
        "sgd": lambda rate: keras.optimizers.SGD(rate, momentum=0.9),
        "rmsprop": keras.optimizers.RMSprop,
        "adamw": keras.optimizers.AdamW,
    }
    return builders[config.optimizer](float(config.learning_rate))


def class_weights(labels: NDArray[np.int64], num_classes: int) -> NDArray[np.float64]:
    """Return a factor for each class's losses that makes all classes weigh the same; over all records their mean is 1.

    Args:
        labels: Classes of the training records, shape `(n,)`.
        num_classes: Number of classes; one without records gets 0.
    """
    counts = np.bincount(labels, minlength=num_classes)
    weights = len(labels) / (np.count_nonzero(counts) * np.maximum(counts, 1))
    return np.where(counts > 0, weights, 0.0)


def assign(variables: Sequence[keras.Variable], values: Sequence[NDArray[np.generic]]) -> None:
    """Give variables the values that a checkpoint has for them.

    Raises:
        UnfitCheckpointError: If they are of another number or shape.
    """
    if [tuple(variable.shape) for variable in variables] != [value.shape for value in values]:
        raise UnfitCheckpointError("The checkpoint of this run belongs to another network. Start the run again.")
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


class Steps:
    """One batch through the suffix, forward and back or only forward, as graphs of TensorFlow.

    Both take features as they are stored, of shape `(batch, *features)`, with int64 labels of shape `(batch,)`,
    and return the losses of the records, float32 of shape `(batch,)`, and which answers are right, bool.

    Args:
        suffix: Features to probabilities.
        optimizer: Changes its weights.
        class_weights: Factor of each class's losses in training, float of shape `(classes,)`; the returned ones
            have it too.
        label_smoothing: Fraction of certainty spread over all classes in training.
    """

    def __init__(
        self,
        suffix: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        class_weights: NDArray[np.float64],
        label_smoothing: float = 0.0,
    ) -> None:
        self._suffix = suffix
        self._optimizer = optimizer
        self._class_weights = tf.constant(class_weights, tf.float32)
        self._label_smoothing = label_smoothing
        self._learning_rate = float(optimizer.learning_rate.numpy())
        optimizer.build(suffix.trainable_variables)
        self.learn = tf.function(self._learn, reduce_retracing=True)
        self.answer = tf.function(self._answer, reduce_retracing=True)

    @property
    def variables(self) -> list[keras.Variable]:
        """All that steps change: the suffix with the random states of its layers, then the optimizer."""
        return [*self._suffix.variables, *self._optimizer.variables]

    def set_variables(self, values: Sequence[NDArray[np.generic]]) -> None:
        """Go on from other values of `variables`.

        Raises:
            UnfitCheckpointError: If they are not of this network and optimizer.
        """
        assign(self.variables, values)
        self._learning_rate = float(self._optimizer.learning_rate.numpy())

    def set_learning_rate(self, rate: float) -> None:
        """Take steps of another size from now on."""
        if rate != self._learning_rate:
            self._optimizer.learning_rate.assign(rate)
            self._learning_rate = rate

    def _learn(self, features: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        weights = [variable.value for variable in self._suffix.trainable_variables]
        with tf.GradientTape() as tape:
            losses, right = self._judge(features, labels, self._label_smoothing, training=True)
            losses *= tf.gather(self._class_weights, labels)
            loss = tf.add_n([tf.reduce_mean(losses), *self._suffix.losses])
        self._optimizer.apply(tape.gradient(loss, weights))
        return losses, right

    def _answer(self, features: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        # Without label smoothing, so that validation losses can be compared, whatever was chosen.
        return self._judge(features, labels, 0.0, training=False)

    def _judge(
        self, features: tf.Tensor, labels: tf.Tensor, label_smoothing: float, *, training: bool
    ) -> tuple[tf.Tensor, tf.Tensor]:
        probabilities = self._suffix(tf.cast(features, tf.float32), training=training)
        if label_smoothing:
            truth = tf.one_hot(labels, probabilities.shape[-1])
            losses = keras.losses.categorical_crossentropy(truth, probabilities, label_smoothing=label_smoothing)
        else:
            losses = keras.losses.sparse_categorical_crossentropy(labels, probabilities)
        return losses, tf.equal(tf.argmax(probabilities, axis=-1), labels)
