"""The real worker under a clock that somebody sets: `python -m tests.workers.set_clock_worker JOB ATTEMPT`."""

import sys

from tests.workers import set_clock


def main() -> int:
    set_clock.follow()
    from tlcore.jobs.worker import work

    return work(sys.argv[1], int(sys.argv[2]))


if __name__ == "__main__":
    sys.exit(main())
