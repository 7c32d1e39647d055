"""Five people put twenty runs each in line: everybody's first is among the first five, and none is lost."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from unittest import mock

from tests.bench.figures import Line, figure
from tlcore.config import RunConfig, TrainingConfig
from tlcore.home import DataRoot
from tlcore.jobs import control
from tlcore.jobs.slots import SLOTS_VARIABLE
from tlcore.storage.database import open_database
from tlcore.storage.jobs import ACTIVE_STATES, get_job, list_jobs
from tlcore.storage.projects import create_project
from tlcore.storage.runs import RunPlan, create_runs

PEOPLE = ("ann", "ben", "cleo", "dan", "eve")
RUNS_EACH = 20


def measure(home: DataRoot) -> Iterator[Line]:
    """Let the real runner work through the line in one slot, with workers that end at once."""
    os.environ |= {SLOTS_VARIABLE: "1", "SLEEPER": "finish"}
    engine = open_database(home)
    owners: dict[str, str] = {}
    for owner in PEOPLE:
        project = create_project(engine, owner, "Cats")
        plans = [RunPlan(1, _config(number)) for number in range(RUNS_EACH)]
        owners |= dict.fromkeys(create_runs(engine, project.id, plans), owner)
    with mock.patch.object(control, "RUNNER_MODULE", "tests.workers.short_runner"):
        control.ensure_runner(home)
        while list_jobs(engine, states=ACTIVE_STATES):
            time.sleep(0.2)
    ended = sorted((get_job(engine, run_id) for run_id in owners), key=lambda job: job.started or 0.0)
    in_turn = [owners[job.id] for job in ended]
    how = f"{len(PEOPLE)} people with {RUNS_EACH} runs each, one behind the other; a real runner, one slot"
    firsts = [1 + in_turn.index(owner) for owner in PEOPLE]
    yield figure("line: the latest of the first starts, as a place", max(firsts), how, at_most=len(PEOPLE))
    rounds = [in_turn[begin : begin + len(PEOPLE)] for begin in range(0, len(in_turn), len(PEOPLE))]
    uneven = sum(sorted(one) != sorted(PEOPLE) for one in rounds)
    yield figure("line: rounds in which somebody had two turns", uneven, how, at_most=0)
    states = Counter(job.state for job in ended)
    more = {"states": dict(states), "claimed more than once": sum(job.attempt != 1 for job in ended)}
    yield figure("line: runs finished", states["finished"], how, at_least=len(owners), more=more)


def _config(number: int) -> RunConfig:
    return replace(RunConfig(), training=TrainingConfig(seed=number))
