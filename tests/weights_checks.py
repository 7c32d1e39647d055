"""Check a file of weights as a job of a project does, and measure what its worker took."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import sqlalchemy as sa

from tests.page_tests import ROOT_DIR
from tlcore.config import ModelConfig
from tlcore.home import DataRoot
from tlcore.storage.jobs import claim_job, create_job, get_job
from tlcore.storage.projects import create_project, update_config
from tlcore.storage.requests import WeightsCheckRequest
from tlcore.storage.staging import make_staging_dir

# The peak is read where the worker's own memory is counted anew with its start; `getrusage` counts its parent's too.
WORKER = """
import json, sys, time
from pathlib import Path
from tlcore.jobs.worker import work

work(sys.argv[1], int(sys.argv[2]))
status = Path("/proc/self/status")
lines = status.read_text().splitlines() if status.exists() else []
peak = next((int(line.split()[1]) / 1000 for line in lines if line.startswith("VmHWM")), None)
print(json.dumps([time.process_time(), peak, sorted({"keras", "tensorflow"} & set(sys.modules))]))
"""


@dataclass(frozen=True, slots=True)
class WeightsCheck:
    """How the check of a file ended.

    Attributes:
        state: How the job ended.
        message: What people read.
        seconds: From the start of its worker to its end.
        processor_seconds: What the worker itself took of a processor, however busy the computer is.
        peak_mb: The most memory that the worker held, in MB; `None` on systems that do not tell.
        loaded: What was imported of Keras and TensorFlow.
    """

    state: str
    message: str
    seconds: float
    processor_seconds: float
    peak_mb: float | None
    loaded: tuple[str, ...]


def check_weights(engine: sa.Engine, home: DataRoot, backbone: str, content: bytes, filename: str) -> WeightsCheck:
    """Check the content of a file for a project of its own."""
    project = create_project(engine, "ann", filename[:60])
    update_config(engine, project.id, lambda config: replace(config, model=ModelConfig(backbone, 96)))
    staging = make_staging_dir(home)
    (staging / "weights").write_bytes(content)
    job_id = create_job(engine, "weights_check", project.id, WeightsCheckRequest(backbone, staging.name, filename))
    job = claim_job(engine, "weights_check")
    assert job is not None
    assert job.id == job_id
    started = time.monotonic()
    command = [sys.executable, "-c", WORKER, job_id, str(job.attempt)]
    done = subprocess.run(command, cwd=ROOT_DIR, timeout=300, capture_output=True, text=True, check=True)
    seconds = time.monotonic() - started
    processor_seconds, peak, loaded = json.loads(done.stdout.splitlines()[-1])
    ended = get_job(engine, job_id)
    assert not Path(staging).exists()
    return WeightsCheck(ended.state, ended.message, seconds, processor_seconds, peak, tuple(loaded))
