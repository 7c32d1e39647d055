"""Trainings that take seconds once their worker has begun."""

from dataclasses import replace

from tlcore.config import HeadConfig, ModelConfig, RunConfig, TrainingConfig

SMALL = RunConfig(
    model=ModelConfig(head=HeadConfig(dropout=0.0)),
    training=TrainingConfig(epochs=3, batch_size=8, learning_rate=0.01, patience=None),
)
ENDLESS = replace(SMALL, training=replace(SMALL.training, epochs=1000, learning_rate=1e-4))
