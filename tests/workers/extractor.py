"""Computes features of pictures as they are and prints how many: `python -m tests.workers.extractor IMAGE...`."""

import sys

from tests.coloured_pictures import RecordingProgress
from tlcore.config import AugmentationConfig, ModelConfig
from tlcore.features.extractor import FeatureExtractor
from tlcore.home import DataRoot
from tlcore.images.views import ViewRequest
from tlcore.model.cut import plan_model
from tlcore.progress import Phase


class WaitingProgress(RecordingProgress):
    """Says when it waits for another process."""

    def phase(self, name: Phase, done: int = 0, total: int = 0, subject: str = "") -> None:
        if name == "waiting_for_features" and name not in self.phase_names:
            print("waiting", flush=True)
        super().phase(name, done, total, subject)


def main() -> None:
    config = ModelConfig(image_size=32, first_trainable="stem")
    progress = WaitingProgress()
    extractor = FeatureExtractor(plan_model(config), AugmentationConfig(), DataRoot.configured())
    table = extractor.table([ViewRequest(image) for image in sys.argv[1:]], progress, "features")
    print(progress.computed, len(table), flush=True)


if __name__ == "__main__":
    main()
