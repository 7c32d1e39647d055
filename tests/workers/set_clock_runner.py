"""The real runner and its real workers, under a clock that is set: `python -m tests.workers.set_clock_runner`."""

from tests.workers import quick_runner, set_clock


def main() -> None:
    set_clock.follow()
    from tlcore.jobs import runner

    runner.WORKER_MODULE = "tests.workers.set_clock_worker"
    quick_runner.main()


if __name__ == "__main__":
    main()
