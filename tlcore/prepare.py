"""Get the embedded backbone ready before the first person needs it: `python -m tlcore.prepare`."""

from __future__ import annotations

import sys

from tlcore.config import ModelConfig
from tlcore.errors import FullDiskError, TransferLabError
from tlcore.features.compiled import configure_tensorflow, ensure_compiled, is_compiled
from tlcore.home import DataRoot
from tlcore.model.cut import ModelPlan, plan_model
from tlcore.private_keras import leave_out_of_keras
from tlcore.progress import TerminalProgress

# Everything frozen; the last block trainable; the last five trainable.
COMMON_FREEZE_LINES: tuple[str | None, ...] = (None, "block7a", "block6a")

LATER = (
    "Transfer Lab starts all the same, so that you can look at everything and delete what you do not need. The first "
    "training after that prepares the backbone."
)


def missing_plans(home: DataRoot) -> list[ModelPlan]:
    """Return the common models whose frozen part is not compiled yet."""
    plans = [plan_model(ModelConfig(first_trainable=block)) for block in COMMON_FREEZE_LINES]
    return [plan for plan in plans if not is_compiled(plan, home)]


def main() -> int:
    """Prepare what is missing; return the exit code."""
    home = DataRoot.configured()
    plans = missing_plans(home)
    if not plans:
        return 0
    configure_tensorflow()
    leave_out_of_keras()
    progress = TerminalProgress(sys.stdout)
    progress.line("Preparing the embedded backbone, once on this computer (about half a minute)")
    try:
        for number, plan in enumerate(plans, start=1):
            ensure_compiled(plan, progress, home)
            progress.line(f"{number} of {len(plans)} common freeze lines are ready")
    except FullDiskError as error:
        print(f"\n{error}\n{LATER}", file=sys.stderr)
    except TransferLabError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    finally:
        progress.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
