"""What was chosen for a run, in words: one row per choice."""

from __future__ import annotations

from tlcore.backbones.registry import get_backbone
from tlcore.settings.words import (
    augmentation_words,
    epoch_words,
    field_value,
    fine_tuning_words,
    head_words,
    rate_words,
    trained_words,
    weights_words,
)
from tlcore.storage.runs import Run


def run_settings(run: Run) -> list[tuple[str, str]]:
    """Return what was chosen, as rows of what and value; settings that are off take no row."""
    model, training, summary = run.config.model, run.config.training, run.summary
    size = model.image_size
    pictures = f"{size} x {size} pixels; not square: {field_value('resize_mode', model.resize_mode)}"
    if model.pixel_scaling != "backbone":
        pictures += f"; pixel values {field_value('pixel_scaling', model.pixel_scaling)}"
    rows = [
        ("Backbone", f"{get_backbone(model.backbone).title}, first weights: {weights_words(model)}"),
        ("Pictures", pictures),
        ("Trained", trained_words(model)),
        ("Head", head_words(model.head)),
        ("Augmentation", augmentation_words(run.config.augmentation)),
        ("Optimizer", f"{field_value('optimizer', training.optimizer)}, {rate_words(training)}"),
        ("Batch size", str(training.batch_size)),
        ("Epochs", epoch_words(training)),
    ]
    if training.fine_tuning is not None:
        rows.append(("Second phase", fine_tuning_words(training.fine_tuning)))
    if training.label_smoothing:
        rows.append(("Label smoothing", field_value("label_smoothing", training.label_smoothing)))
    if training.balance != "none":
        rows.append(("Uneven classes", field_value("balance", training.balance)))
    rows += [("Seed", str(training.seed)), ("Data set", f"version {run.version}")]
    if summary is not None:
        rows.append(("Reached", f"best epoch {summary.best_epoch} of {summary.epochs} trained"))
        learned, frozen = summary.trainable_parameters, summary.frozen_parameters
        rows.append(("Parameters", f"{learned:,} trained, {frozen:,} frozen"))
    return rows
