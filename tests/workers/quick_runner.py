"""The runner with its real workers, and little patience: `python -m tests.workers.quick_runner`."""

from tlcore.home import DataRoot
from tlcore.jobs.control import runner_lock
from tlcore.jobs.runner import Runner
from tlcore.storage.database import open_database


def main() -> None:
    home = DataRoot.configured()
    with runner_lock(home):
        Runner(open_database(home), home).work(linger_seconds=30.0)


if __name__ == "__main__":
    main()
