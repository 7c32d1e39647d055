"""Claims jobs until none waits and prints their ids: `python -m tests.workers.claimer`."""

from tlcore.home import DataRoot
from tlcore.storage.database import open_database
from tlcore.storage.jobs import claim_job


def main() -> None:
    engine = open_database(DataRoot.configured())
    while (job := claim_job(engine, "run")) is not None:
        print(job.id, flush=True)


if __name__ == "__main__":
    main()
