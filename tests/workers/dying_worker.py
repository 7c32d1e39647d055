"""A worker that is killed in the middle of an epoch: `python -m tests.workers.dying_worker JOB ATTEMPT EPOCH`."""

import os
import signal
import sys
from collections.abc import Mapping

from tlcore.jobs.reporting import JobProgress
from tlcore.jobs.worker import work
from tlcore.training import checkpoint


def main(job_id: str, attempt: int, last_epoch: int) -> None:
    """Write a checkpoint after each epoch, and die once the last epoch's point is written and its checkpoint is not."""
    checkpoint.COST_SHARE = 1e9
    add_point = JobProgress.metrics

    def die(self: JobProgress, epoch: float, values: Mapping[str, float]) -> None:
        add_point(self, epoch, values)
        if epoch >= last_epoch:
            self.flush()
            os.kill(os.getpid(), signal.SIGKILL)

    JobProgress.metrics = die  # type: ignore[method-assign]
    work(job_id, attempt)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
