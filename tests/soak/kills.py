"""Server, runner, workers and a person's program are killed at random moments: nothing confirmed is lost."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil

from tests.bench.figures import Line, figure
from tests.coloured_pictures import coloured_dataset, picture
from tests.ready_projects import start_run
from tests.server import AppServer, prepare_home
from tests.soak.confirmed import OWNER, Confirmed
from tests.soak.small_runs import SMALL
from tests.test_restart import kill_runners
from tests.test_run_worker import staged_zip
from tlcore.home import DataRoot
from tlcore.jobs.control import ensure_runner, start_job
from tlcore.jobs.processes import ROOT_DIR, is_alive
from tlcore.jobs.specs import MAX_ATTEMPTS
from tlcore.results.prediction import load_predictor
from tlcore.storage.database import open_database
from tlcore.storage.datasets import commit_version, current_dataset
from tlcore.storage.jobs import ACTIVE_STATES, JobStatus, get_job, list_jobs
from tlcore.storage.projects import create_project
from tlcore.storage.runs import get_run, read_metrics

SEED = 14
KILLS = 50
LONGEST_WAIT = 4.0
VICTIMS = ("worker", "worker", "worker", "runner", "server", "person", "everything")
"""Worker more often: it has the most moments at which it can be killed."""
EPOCHS = 20
KILL_SECONDS = 300.0
"""So long kills go on; how many there were is a figure."""


class School:
    """A data root at work: the server, a person, runs and imports; each can be killed."""

    def __init__(self, home: DataRoot) -> None:
        self.home = home
        self.engine = open_database(home)
        self.server = AppServer(home)
        self.project_id = create_project(self.engine, OWNER, "0").id
        dataset = coloured_dataset(home, 8)
        self.version = commit_version(self.engine, self.project_id, dataset, "0", parent=None, home=home)
        self._said = Path(home.path, "confirmed.txt")
        self._said.touch()
        self.confirmed = Confirmed(self.engine, home, self.project_id, self._said)
        self._person: subprocess.Popen[bytes] | None = None
        self.troubles: list[str] = []
        self.runs: list[str] = []
        self.imports: dict[str, str] = {}

    def keep_busy(self) -> None:
        """See that there is a person, a run, and now and then an import."""
        if self._person is not None and self._person.poll() is not None:
            self.troubles.append(f"the person's program ended by itself with code {self._person.returncode}")
            self._person = None
        if self._person is None:
            command = [sys.executable, "-m", "tests.soak.person", self.project_id, str(self.confirmed.last_step())]
            with self._said.open("ab") as said:
                self._person = subprocess.Popen(command, cwd=ROOT_DIR, stdout=said)
        if not self.working("run"):
            training = replace(SMALL.training, seed=len(self.runs), epochs=EPOCHS)
            run = replace(SMALL, training=training)
            self.runs.append(start_run(self.engine, self.project_id, self.version, run, self.home))
        if not self.working("import") and len(self.imports) < len(self.runs):
            project_id = create_project(self.engine, OWNER, "Import").id
            job_id = start_job(self.engine, self.home, "import", project_id, staged_zip(self.home))
            self.imports[job_id] = project_id

    def working(self, kind: str) -> list[JobStatus]:
        """Return the jobs of a kind that have not ended."""
        return [job for job in list_jobs(self.engine, states=ACTIVE_STATES) if job.kind == kind]

    def kill(self, victim: str, chance: random.Random) -> str:
        """Kill a victim as `kill -9` does, and bring back what does not come by itself.

        Returns:
            Who it was, another one where there is no such victim just now; empty when nobody was there.
        """
        if victim == "worker":
            # A job goes on twice; a third death is given up on purpose, which is not what is tried here.
            jobs = [job for job in list_jobs(self.engine, states=ACTIVE_STATES) if len(job.causes) < MAX_ATTEMPTS - 1]
            alive = [job for job in jobs if is_alive(job.pid, job.process)]
            if not alive:
                victim = "runner"
            else:
                job = chance.choice(alive)
                _kill(job.pid)
                return f"worker of {job.kind}"
        if victim in ("person", "everything") and self._person is not None:
            self.end_person()
        if victim in ("server", "everything"):
            self.server.kill()
        if victim in ("runner", "everything") and not kill_runners(self.home) and victim == "runner":
            victim = ""
        if victim == "everything":
            for job in list_jobs(self.engine, states=ACTIVE_STATES):
                if is_alive(job.pid, job.process) and len(job.causes) < MAX_ATTEMPTS - 1:
                    _kill(job.pid)
        if victim in ("server", "everything"):
            self.server.start()  # which starts a runner where jobs wait, without a page
        else:
            ensure_runner(self.home)  # as any page does
        return victim

    def end_person(self) -> None:
        """Let the person go home."""
        if self._person is not None:
            self._person.kill()
            self._person.wait()
            self._person = None


def measure(home: DataRoot) -> Iterator[Line]:
    """Kill until it is enough, let everything end, then look for what was confirmed."""
    prepare_home(home)
    chance, school = random.Random(SEED), School(home)
    school.server.start()
    lost: list[str] = []
    victims: Counter[str] = Counter()
    until = time.monotonic() + KILL_SECONDS
    while sum(victims.values()) < KILLS and time.monotonic() < until:
        school.keep_busy()
        time.sleep(chance.uniform(0, LONGEST_WAIT))
        victim = school.kill(chance.choice(VICTIMS), chance)
        victims[victim] += bool(victim)
        lost += school.confirmed.lost()
    school.end_person()
    ensure_runner(home)
    while list_jobs(school.engine, states=ACTIVE_STATES):
        time.sleep(0.2)
    lost += school.confirmed.lost_at_last() + school.troubles
    how = f"seed {SEED}, up to {LONGEST_WAIT:g} s after one another, while a person edits, a run trains and ZIPs come"
    yield figure("kills: kill -9 at random moments", sum(victims.values()), how, at_least=KILLS, more=+victims)
    more: dict[str, object] = {"confirmed steps": len(school.confirmed.read()), "lost": lost[:5]}
    yield figure("kills: confirmed steps of a person that were lost", len(lost), how, at_most=0, more=more)
    yield from _of_runs(school, how)
    yield from _of_imports(school, how)
    ghosts = [process.pid for process in _workers(home)]
    yield figure("kills: workers without a job", len(ghosts), how, at_most=0)
    yield figure("kills: unfinished files left", sum(1 for _ in home.path.rglob(".writing-*")), how)


def _of_runs(school: School, how: str) -> Iterator[Line]:
    faults: list[str] = []
    states: Counter[str] = Counter()
    deaths = 0
    for run_id in school.runs:
        run = get_run(school.engine, run_id)
        deaths += len(run.job.causes)
        states[run.job.state] += 1
        if run.job.state != "finished":
            faults.append(f"{run_id} {run.job.state}: {run.job.message} {run.job.causes}")
            continue
        epochs = [p.epoch for p in read_metrics(school.engine, run_id) if p.name == "val_loss" and p.epoch % 1 == 0]
        if epochs != list(range(1, EPOCHS + 1)):
            faults.append(f"{run_id} has the epochs {epochs}")
        predictor = load_predictor(school.home.run_dir(run_id), school.home)
        if predictor.class_names[int(predictor.predict([picture("red", 999)])[0].argmax())] != "red":
            faults.append(f"{run_id} does not know a red picture")
    more = {"runs": len(school.runs), "states": dict(states), "deaths of their workers": deaths, "faults": faults[:5]}
    yield figure(
        "kills: runs that did not finish with one whole curve and a model", len(faults), how, at_most=0, more=more
    )


def _of_imports(school: School, how: str) -> Iterator[Line]:
    faults = []
    for job_id, project_id in school.imports.items():
        job = get_job(school.engine, job_id)
        number, dataset = current_dataset(school.engine, project_id, school.home)
        if (job.state, number, len(dataset.items)) != ("finished", 1, 24):
            faults.append(f"{job.state}: {job.message}; version {number} with {len(dataset.items)} pictures")
    more = {"imports": len(school.imports), "faults": faults[:5]}
    yield figure("kills: imports that did not bring all their pictures once", len(faults), how, at_most=0, more=more)


def _kill(pid: int | None) -> None:
    with suppress(psutil.Error):
        psutil.Process(pid).kill()


def _workers(home: DataRoot) -> Iterator[psutil.Process]:
    """Yield the workers of a data root that still live a while after the last job ended."""
    from tlcore.home import ENVIRONMENT_VARIABLE

    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if "tlcore.jobs.worker" in process.cmdline():
                if process.environ().get(ENVIRONMENT_VARIABLE) != str(home.path):
                    continue
                with suppress(psutil.TimeoutExpired):
                    process.wait(10)
                    continue
                yield process
