"""What was chosen for a run, in words: one row per choice."""

from __future__ import annotations

from pages.components.amounts import percent
from pages.components.text import count
from tlcore.augmentation_controls import CONTROLS
from tlcore.backbones.registry import get_backbone
from tlcore.config import AugmentationConfig, HeadConfig, ModelConfig, TrainingConfig
from tlcore.storage.runs import Run

RESIZE_WORDS = {"crop": "the middle is cut out", "stretch": "stretched", "pad": "black borders are added"}
POOLING_WORDS = {"average": "global average pooling", "flatten": "flatten"}
OPTIMIZER_WORDS = {"adam": "Adam", "sgd": "SGD with momentum 0.9", "rmsprop": "RMSprop", "adamw": "AdamW"}


def run_settings(run: Run) -> list[tuple[str, str]]:
    """Return what was chosen, as rows of what and value."""
    model, training, summary = run.config.model, run.config.training, run.summary
    rows = [
        ("Backbone", get_backbone(model.backbone).title),
        ("Pictures", f"{model.image_size} x {model.image_size} pixels, {RESIZE_WORDS[model.resize_mode]}"),
        ("Trained", _trained_words(model)),
        ("Head", _head_words(model.head)),
        ("Augmentation", _augmentation_words(run.config.augmentation)),
        ("Optimizer", f"{OPTIMIZER_WORDS[training.optimizer]}, learning rate {training.learning_rate:g}"),
        ("Batch size", str(training.batch_size)),
        ("Epochs", _epoch_words(training)),
        ("Seed", str(training.seed)),
        ("Data set", f"version {run.version}"),
    ]
    if summary is not None:
        rows.append(("Reached", f"best epoch {summary.best_epoch} of {summary.epochs} trained"))
        rows.append(
            (
                "Parameters",
                f"{summary.trainable_parameters:,} trained, {summary.frozen_parameters:,} frozen",
            )
        )
    return rows


def _trained_words(model: ModelConfig) -> str:
    if model.first_trainable is None:
        return "the head only; the whole backbone is frozen (feature extraction)"
    return f"the head and the backbone from {model.first_trainable} on (fine-tuning)"


def _head_words(head: HeadConfig) -> str:
    parts = [POOLING_WORDS[head.pooling], *(f"dense {units}" for units in head.dense_units)]
    if head.dropout:
        parts.append(f"dropout {percent(head.dropout)}")
    return ", ".join(parts)


def _augmentation_words(augmentation: AugmentationConfig) -> str:
    neutral = AugmentationConfig()
    changed = []
    for control in CONTROLS:
        value = getattr(augmentation, control.field)
        if value == getattr(neutral, control.field):
            continue
        if value is True:
            changed.append(control.label.lower())
        elif isinstance(value, tuple):
            changed.append(f"{control.label.lower()} {value[0]:g} to {value[1]:g}")
        elif isinstance(value, str):
            changed.append(f"{control.label.lower()} {value}")
        else:
            changed.append(f"{control.label.lower()} {value:g}{'°' if control.unit == '°' else ''}")
    return "none" if augmentation.is_identity else ", ".join(changed)


def _epoch_words(training: TrainingConfig) -> str:
    words = f"at most {training.epochs}"
    if training.patience is not None:
        words += f", early stopping after {count(training.patience, 'epoch')} without getting better"
    return words
