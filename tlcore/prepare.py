"""Get the embedded backbone ready before the first person needs it: `python -m tlcore.prepare`."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from tlcore.backbones.registry import get_backbone
from tlcore.backbones.weights.status import require_weights, weights_status
from tlcore.config import ModelConfig
from tlcore.errors import TransferLabError
from tlcore.home import DataRoot
from tlcore.keras_imports import leave_out_of_keras
from tlcore.progress import TerminalProgress
from tlcore.training.run import configure_tensorflow, ensure_compiled, is_compiled

# Everything frozen; the last block trainable; the last five trainable.
COMMON_FREEZE_LINES: tuple[str | None, ...] = (None, "block7a", "block6a")


def missing_cuts(home: DataRoot) -> Iterator[ModelConfig]:
    """Yield the common models whose frozen part is not compiled yet."""
    for first_trainable in COMMON_FREEZE_LINES:
        config = ModelConfig(first_trainable=first_trainable)
        if not is_compiled(config, home):
            yield config


def main() -> int:
    """Prepare what is missing; return the exit code."""
    home = DataRoot.configured()
    spec = get_backbone(ModelConfig().backbone)
    configs = list(missing_cuts(home))
    if not configs and weights_status(spec, home).state == "ready":
        return 0
    configure_tensorflow()
    leave_out_of_keras()
    progress = TerminalProgress(sys.stdout)
    progress.line("Preparing the embedded backbone, once on this computer (about half a minute)")
    try:
        progress.phase("Converting its weights")
        require_weights(spec, home)
        for number, config in enumerate(configs, start=1):
            ensure_compiled(config, progress, home)
            progress.line(f"{number} of {len(configs)} common freeze lines are ready")
    except TransferLabError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    finally:
        progress.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
