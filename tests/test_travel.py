"""Projects travel: the file of one opens elsewhere as the same project, and no other file does any harm."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from tests.coloured_pictures import RecordingProgress
from tests.damaged_root import DamagedRoot
from tests.page_tests import OWNER
from tlcore.features.compiled import ensure_compiled
from tlcore.home import DataRoot
from tlcore.model.cut import plan_model
from tlcore.results.evaluation import load_evaluation
from tlcore.results.prediction import Predictor, load_predictor
from tlcore.simple_heads.prediction import load_simple_head_predictor
from tlcore.storage.copies import COPIED_KINDS
from tlcore.storage.database import metadata, open_database, read_rows, run_notes, writing
from tlcore.storage.datasets import current_dataset
from tlcore.storage.images import ImageStore
from tlcore.storage.jobs import claim_job, create_job, end_job
from tlcore.storage.projects import create_project
from tlcore.storage.requests import ImportRequest, StagedFile
from tlcore.storage.runs import list_runs
from tlcore.storage.simple_heads import list_simple_heads, simple_head_dir
from tlcore.travel.arriving import arrival, open_arrival
from tlcore.travel.document import DOCUMENT_FILE
from tlcore.travel.leaving import departure

EARLIER = Path(__file__).resolve().parent / "fixtures" / "project_1.transferlab.zip"
"""The file of a project as the first version that made such files made it; documents in it are older still."""


@dataclass(frozen=True)
class Elsewhere:
    """The data root of another computer."""

    home: DataRoot
    engine: sa.Engine

    def open(self, path: Path) -> str:
        """Open a file as the worker of its job does, and return the id of the project."""
        project_id = create_project(self.engine, OWNER, "Empty").id
        request = ImportRequest("import-x", (StagedFile("000000", path.name),), is_project=True)
        job_id = create_job(self.engine, "import", project_id, request)
        job = claim_job(self.engine, "import")
        assert job is not None
        try:
            with arrival(path) as found:
                progress = RecordingProgress()
                open_arrival(found, self.engine, project_id, self.home, progress, job_id=job_id, attempt=job.attempt)
        except BaseException:
            end_job(self.engine, job_id, job.attempt, "failed")
            raise
        end_job(self.engine, job_id, job.attempt, "finished")
        return project_id


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Elsewhere]:
    home = DataRoot(tmp_path / "elsewhere")
    engine = open_database(home)
    yield Elsewhere(home, engine)
    engine.dispose()


@pytest.fixture
def root(home: DataRoot, no_runner: None) -> Iterator[DamagedRoot]:
    """A project with runs that were really trained, a group, simple heads, exams, notes and settings of a model."""
    made = DamagedRoot.make(home)
    with writing(made.engine) as connection:
        connection.execute(sa.insert(run_notes).values(job_id=made.run_id, note="I expect 90 %"))
    yield made
    made.shut_down()


def leave(engine: sa.Engine, project_id: str, home: DataRoot, path: Path) -> Path:
    path.write_bytes(b"".join(departure(engine, project_id, home).blocks()))
    return path


def document_of(path: Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        return archive.read(DOCUMENT_FILE)


IDS = {"id", "job_id", "project_id", "model_id", "owner", "key", "request", "result", "config", "touched"}
OF_THE_MACHINE = {"pid", "heartbeat", "process"}
OF_PROJECT = ("projects", "dataset_versions", "jobs", "runs", "run_notes", "metrics", "ensembles", "exams")


def comparable(engine: sa.Engine, project_id: str) -> dict[str, list[dict[str, Any]]]:
    """The rows of a project without ids, and without columns whose documents name some; those are compared apart."""
    found: dict[str, list[dict[str, Any]]] = {}
    tables = metadata.tables
    kinds = tables["jobs"].c.kind.in_(COPIED_KINDS)
    of_jobs = sa.select(tables["jobs"].c.id).where(tables["jobs"].c.project_id == project_id, kinds)
    for name in (*OF_PROJECT, "model_settings"):
        table = tables[name]
        if name == "projects":
            condition = table.c.id == project_id
        elif name == "jobs":
            condition = table.c.id.in_(of_jobs)
        else:
            condition = table.c.job_id.in_(of_jobs) if "job_id" in table.c else table.c.project_id == project_id
        left_out = OF_THE_MACHINE | IDS - ({"config"} if name in ("projects", "runs") else set())
        if name == "metrics":
            left_out = left_out | {"id"}
        lines = [
            {column: value for column, value in row._mapping.items() if column not in left_out}
            for row in read_rows(engine, sa.select(table).where(condition))
        ]
        found[name] = sorted(lines, key=lambda line: json.dumps({**line, "content": ""}, default=str, sort_keys=True))
    return found


def test_a_project_arrives_as_it_left(root: DamagedRoot, elsewhere: Elsewhere, tmp_path: Path) -> None:
    path = leave(root.engine, root.project_id, root.home, tmp_path / "one.zip")
    arrived = elsewhere.open(path)
    before, after = comparable(root.engine, root.project_id), comparable(elsewhere.engine, arrived)
    assert all(before[table] for table in before)
    contents = [{row["number"]: row.pop("content") for row in found["dataset_versions"]} for found in (before, after)]
    assert contents[0][4] == contents[1][4]  # of the present one; earlier ones held pictures that were deleted
    assert after == before
    assert (
        current_dataset(elsewhere.engine, arrived, elsewhere.home)[1]
        == current_dataset(root.engine, root.project_id, root.home)[1]
    )
    keys = {item.image for item in current_dataset(root.engine, root.project_id, root.home)[1].items}
    assert all(ImageStore(elsewhere.home).read(key) == ImageStore(root.home).read(key) for key in keys)
    assert all(ImageStore(elsewhere.home).thumbnail(key) for key in keys)
    again = leave(elsewhere.engine, arrived, elsewhere.home, tmp_path / "two.zip")
    assert document_of(again) == document_of(path)
    assert again.read_bytes() == path.read_bytes()
    names = {run.id for run in list_runs(root.engine, root.project_id)} | {root.project_id}
    assert not any(name in document_of(path).decode() for name in names)


def test_models_that_arrived_answer_as_before(root: DamagedRoot, elsewhere: Elsewhere, tmp_path: Path) -> None:
    arrived = elsewhere.open(leave(root.engine, root.project_id, root.home, tmp_path / "one.zip"))
    pixels = np.random.default_rng(0).integers(0, 256, (5, 40, 50, 3), dtype=np.uint8)
    pairs: list[tuple[Predictor, Predictor]] = []
    for one, other in zip(list_runs(root.engine, root.project_id), list_runs(elsewhere.engine, arrived), strict=True):
        if one.has_model:
            ensure_compiled(plan_model(one.config.phases[-1].model), RecordingProgress(), elsewhere.home)
            assert (elsewhere.home.run_dir(other.id) / "pixels.py").is_file()
            names = (
                zipfile.ZipFile(root.home.run_dir(one.id) / "model.keras"),
                zipfile.ZipFile(elsewhere.home.run_dir(other.id) / "model.keras"),
            )
            left, right = (archive.read("model.weights.h5") for archive in names)
            assert left == right
            pairs.append(
                (
                    load_predictor(root.home.run_dir(one.id), root.home),
                    load_predictor(elsewhere.home.run_dir(other.id), elsewhere.home),
                )
            )
            assert load_evaluation(elsewhere.home.run_dir(other.id)).total == one.summary.test_total  # type: ignore[union-attr]
    heads = {head.result.kind: head for head in list_simple_heads(elsewhere.engine, arrived)}
    for head in list_simple_heads(root.engine, root.project_id):
        ensure_compiled(plan_model(head.model), RecordingProgress(), elsewhere.home)
        pairs.append(
            (
                load_simple_head_predictor(simple_head_dir(head.job_id, head.result.kind, root.home), root.home),
                load_simple_head_predictor(
                    simple_head_dir(heads[head.result.kind].job_id, head.result.kind, elsewhere.home), elsewhere.home
                ),
            )
        )
    assert len(pairs) == 6
    for one, other in pairs:
        assert one.class_names == other.class_names
        np.testing.assert_allclose(one.predict(list(pixels)), other.predict(list(pixels)), atol=1e-5)
