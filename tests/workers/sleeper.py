"""A worker that does nothing, in the way that `SLEEPER` says: obey, deaf, save, crash, finish, leave or still.

One that rescues a job says so and ends, whatever `SLEEPER` says.
"""

import os
import sys
import time

from tlcore.home import DataRoot
from tlcore.storage.database import open_database, writing
from tlcore.storage.jobs import end_job, get_job, write_job


def main() -> None:
    manner = os.environ.get("SLEEPER", "obey")
    job_id, attempt = sys.argv[1], int(sys.argv[2])
    engine = open_database(DataRoot.configured())
    with writing(engine) as connection:
        write_job(connection, job_id, attempt, state="running", phase="saving" if manner == "save" else "training")
    if get_job(engine, job_id).rescue:
        end_job(engine, job_id, attempt, "stopped", "Rescued.")
        return
    if manner == "crash":
        sys.exit(3)
    if manner in ("finish", "leave"):
        end_job(engine, job_id, attempt, "finished")
    if manner == "finish":
        return
    for beat in range(1200):
        if manner == "obey" and get_job(engine, job_id).stop_requested is not None:
            end_job(engine, job_id, attempt, "stopped", "As you wished.")
            return
        if manner not in ("leave", "still"):
            with writing(engine) as connection:
                write_job(connection, job_id, attempt, done=beat)
        time.sleep(0.05)


if __name__ == "__main__":
    main()
