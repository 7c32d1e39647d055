"""Features of pictures in the cache, as a run leaves them, without training anything."""

from __future__ import annotations

from tests.coloured_pictures import RecordingProgress
from tlcore.config import RunConfig
from tlcore.dataset import Dataset
from tlcore.features.compiled import ensure_compiled
from tlcore.home import DataRoot
from tlcore.model.cut import plan_model
from tlcore.training.split_features import SplitFeatures


def cache_features(dataset: Dataset, config: RunConfig, home: DataRoot, *, views: bool = False) -> None:
    """Compute the features of all pictures as they are; those for training under the first epoch's views if told so."""
    plan, progress = plan_model(config.model), RecordingProgress()
    ensure_compiled(plan, progress, home)
    features = SplitFeatures(dataset, plan, config.augmentation, home)
    if views:
        features.views(0, config.training, progress)
    plain = [item for item in dataset.items if not views or item.split != "train"]
    features.plain(plain, progress, "features")
