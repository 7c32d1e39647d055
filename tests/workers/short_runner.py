"""The runner with sleepers for workers, and little patience: `python -m tests.workers.short_runner`."""

from tlcore.home import DataRoot
from tlcore.jobs import runner
from tlcore.jobs.control import runner_lock
from tlcore.jobs.runner import Runner
from tlcore.storage.database import open_database


def main() -> None:
    runner.WORKER_MODULE = "tests.workers.sleeper"
    home = DataRoot.configured()
    with runner_lock(home):
        Runner(open_database(home), home).work(linger_seconds=5.0)


if __name__ == "__main__":
    main()
