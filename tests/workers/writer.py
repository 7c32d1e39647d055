"""Writes metrics as fast as it can and prints each number once it is stored: `python -m tests.workers.writer RUN`."""

import sys

from tlcore.home import DataRoot
from tlcore.storage.database import open_database, writing
from tlcore.storage.runs import write_metrics


def main() -> None:
    engine = open_database(DataRoot.configured())
    for number in range(1_000_000):
        with writing(engine) as connection:
            write_metrics(connection, sys.argv[1], 1, float(number), {"loss": number})
        print(number, flush=True)


if __name__ == "__main__":
    main()
