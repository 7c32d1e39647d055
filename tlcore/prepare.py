"""Get the embedded backbone ready before the first person needs it: `python -m tlcore.prepare`."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from tlcore.backbones.registry import get_backbone
from tlcore.backbones.weights import weights_status
from tlcore.config import ModelConfig
from tlcore.cut import prefix_of
from tlcore.errors import TransferLabError
from tlcore.features import compiled_prefix_path
from tlcore.home import home_dir
from tlcore.pipeline import ensure_compiled
from tlcore.progress import TerminalProgress

# Everything frozen; the last block trainable; the last five trainable.
COMMON_FREEZE_LINES: tuple[str | None, ...] = (None, "block7a", "block6a")


def missing_cuts() -> Iterator[ModelConfig]:
    """Yield the common models whose frozen part is not compiled yet."""
    for first_trainable in COMMON_FREEZE_LINES:
        config = ModelConfig(first_trainable=first_trainable)
        if not compiled_prefix_path(prefix_of(config)).exists():
            yield config


def main() -> int:
    """Prepare what is missing; return the exit code."""
    configs = list(missing_cuts())
    if not configs and weights_status(get_backbone(ModelConfig().backbone)).state == "ready":
        return 0
    print("Preparing the embedded backbone, once on this computer (about half a minute)", flush=True)
    progress = TerminalProgress(sys.stdout)
    try:
        for number, config in enumerate(configs, start=1):
            ensure_compiled(config, progress, home_dir())
            progress.phase("Prepared", number, len(configs))
    except TransferLabError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    print(flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
