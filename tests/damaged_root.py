"""A data root with something of everything, damaged in one place after the other, and what its pages say then."""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
import streamlit as st
from streamlit import config
from streamlit.testing.v1 import AppTest

from pages.components.errors import UNFORESEEN
from pages.components.frame import OTHER_PAGES, STEPS
from tests.old_data_root import unpack_old_data_root
from tests.page_tests import OWNER, PAGES_DIR
from tlcore.config import ModelConfig
from tlcore.documents import write_document
from tlcore.home import DataRoot
from tlcore.intake.brought import Brought, Picture
from tlcore.intake.meaning.tree import read_tree
from tlcore.storage.answers import StoredAnswer, writing_answers
from tlcore.storage.brought import save_brought
from tlcore.storage.database import metadata, open_database, read_rows, writing
from tlcore.storage.exports import export_dir
from tlcore.storage.jobs import JobKind, JobState
from tlcore.storage.model_settings import ModelSettings
from tlcore.storage.predictions import answers_path
from tlcore.storage.projects import read_projects
from tlcore.storage.requests import (
    CrossValidationRequest,
    DoctorRequest,
    ExportRequest,
    ExportResult,
    FormatReport,
    ImportRequest,
    ImportSummary,
    MapRequest,
    PredictionRequest,
    PredictionSummary,
    WeightsCheckRequest,
    WeightsDownloadRequest,
)
from tlcore.storage.runs import list_runs
from tlcore.storage.sharing import create_share
from tlcore.storage.simple_heads import frozen_backbone

CLASSES = ("circle", "cross", "square")
DOCUMENTS: Mapping[str, tuple[str, ...]] = {
    "projects": ("config",),
    "jobs": ("request", "result"),
    "runs": ("config", "summary"),
    "ensembles": ("config",),
    "brought": ("document",),
    "class_settings": ("document",),
}
"""The columns that hold JSON, by table."""

KEYS = frozenset({"id", "owner", "project_id", "job_id", "model_id", "number", "kind", "state", "code"})
"""Columns by which a row is found: with another value it is another row, or none, and nobody misses it."""

FILES: Mapping[str, str] = {
    "lists of pictures": "datasets/*.json",
    "pictures": "images/*/*",
    "thumbnails": "thumbnails/*/*",
    "answers": "runs/*/*.npz",
    "descriptions of models": "runs/*/*.json",
    "models": "runs/*/model.keras",
    "trained parts": "runs/*/suffix.tflite",
    "texts beside models": "runs/*/*.txt",
    "simple heads": "simple_heads/*/*/*",
    "answers to many pictures": "predictions/*/*",
    "files of models": "exports/*/*",
    "compiled parts": "compiled/*",
    "speeds": "speeds/*",
    "brought weights": "backbones/brought/*",
}
"""Every kind of file, as a pattern below the data root."""

FAULTS: Mapping[str, Callable[[bytes], bytes | None]] = {
    "overwritten": lambda _content: b"garbage",
    "cut": lambda content: content[: len(content) // 2],
    "empty": lambda _content: b"",
    "missing": lambda _content: None,
}


@dataclass(frozen=True)
class DamagedRoot:
    """Two projects of one person; the first one has something of everything, and the second one stays as it is.

    Attributes:
        home: The data root.
        engine: Its database.
        project_id: What is damaged.
        other_id: What must stay usable.
        run_id: A trained model of the first one.
    """

    home: DataRoot
    engine: sa.Engine
    project_id: str
    other_id: str
    run_id: str

    @classmethod
    def make(cls, home: DataRoot) -> DamagedRoot:
        """Fill an empty data root."""
        engine = open_database(unpack_old_data_root(home))
        other, project = read_projects(engine, OWNER)[0]
        root = cls(home, engine, project.id, other.id, list_runs(engine, project.id)[1].id)
        root._add_jobs()
        return root

    def _add_jobs(self) -> None:
        """Put in what earlier versions did not have yet."""
        backbone = frozen_backbone(ModelConfig())
        cross = CrossValidationRequest(self.run_id, 5)
        summary = PredictionSummary(
            CLASSES,
            (0, 1, 2),
            answered=1,
            refused=0,
            known=0,
            sure=0,
            correct=0,
            aside=0,
            model_id=self.run_id,
            settings=ModelSettings(),
            brought="",
            strange=None,
            judged_by=0,
        )
        self._add_job("doctor", DoctorRequest(4, backbone))
        self._add_job("map", MapRequest(4, backbone))
        self._add_job("backbones", None)
        self._add_job("cross_validation", cross, key=cross.key)
        self._add_job("weights_download", WeightsDownloadRequest(("vgg16",)), state="failed")
        self._add_job("weights_check", WeightsCheckRequest("vgg16", "gone", "mine.h5"), state="failed")
        prediction = self._add_job("prediction", PredictionRequest(self.run_id), summary)
        path = answers_path(prediction, self.home)
        path.parent.mkdir(parents=True)
        with writing_answers(path) as writer:
            writer.add(StoredAnswer("1.png", (0.5, 0.3, 0.2), 0, b"\xff\xd8 small \xff\xd9"))
        report = FormatReport("litert", size=5, total=1, correct=1, agreed=1, milliseconds=2.0)
        result = ExportResult(self.run_id, ModelSettings(), 1, 1, 3.0, "a processor", (report,))
        export = self._add_job("export", ExportRequest(self.run_id, ("litert",)), result)
        export_dir(export, self.home).mkdir(parents=True)
        (export_dir(export, self.home) / "model.tflite").write_bytes(b"model")
        summary_of_import = ImportSummary(2, 0, (), (), "Two folders", ())
        imported = self._add_job("import", ImportRequest(sample="surfaces"), summary_of_import)
        paths = ("circle/1.png", "cross/2.png")
        pictures = tuple(Picture(f"{number:064x}", path) for number, path in enumerate(paths))
        readings = read_tree([("", *path.split("/")) for path in paths])
        save_brought(self.engine, imported, Brought(pictures, readings))
        for kind in ("look", "pictures"):
            create_share(self.engine, self.project_id, kind)
        tables = metadata.tables
        with writing(self.engine) as connection:
            settings = {"project_id": self.project_id, "model_id": self.run_id, "temperature": 1.2, "threshold": 0.3}
            connection.execute(sa.insert(tables["model_settings"]).values(**settings))
            words = {"purpose": "To sort shapes", "limits": "Drawn ones only", "contact": "Room 7b"}
            of_model = {"project_id": self.project_id, "model_id": self.run_id}
            connection.execute(sa.insert(tables["card_words"]).values(**of_model, **words))

    def _add_job(
        self,
        kind: JobKind,
        request: object | None,
        result: object | None = None,
        *,
        state: JobState = "finished",
        key: str | None = None,
    ) -> str:
        values = {"id": secrets.token_urlsafe(12), "kind": kind, "project_id": self.project_id, "state": state}
        documents = {
            name: None if value is None else write_document(value)
            for name, value in (("request", request), ("result", result))
        }
        with writing(self.engine) as connection:
            statement = sa.insert(metadata.tables["jobs"])
            connection.execute(statement.values(**values, **documents, key=key, created=time.time()))
        return values["id"]

    @contextmanager
    def damaged_rows(self, table: str, columns: Collection[str], value: object) -> Iterator[None]:
        """Overwrite columns in all rows of the first project, past all checks, and put them back afterwards."""
        of_all = dict.fromkeys(("people", "class_settings"), ":project IS NOT NULL")
        of_project = {"projects": "id = :project", **of_all}.get(table, "project_id = :project")
        if "job_id" in metadata.tables[table].columns:
            of_project = "job_id IN (SELECT id FROM jobs WHERE project_id = :project)"
        names = ", ".join(columns)
        kept = read_rows(
            self.engine,
            sa.text(f"SELECT rowid AS place, {names} FROM {table} WHERE {of_project}").bindparams(
                project=self.project_id
            ),  # type: ignore[arg-type]
        )
        assert kept, f"the data root has no row of {table}"
        with writing(self.engine) as connection:
            for column in columns:
                statement = sa.text(f"UPDATE {table} SET {column} = :value WHERE {of_project} AND {column} IS NOT NULL")
                connection.execute(statement, {"value": value, "project": self.project_id})
        try:
            yield
        finally:
            with writing(self.engine) as connection:
                for row in kept:
                    given = ", ".join(f"{column} = :{column}" for column in columns)
                    connection.execute(sa.text(f"UPDATE {table} SET {given} WHERE rowid = :place"), dict(row._mapping))

    @contextmanager
    def damaged_files(self, patterns: Collection[str], fault: Callable[[bytes], bytes | None]) -> Iterator[int]:
        """Damage all files of some patterns, but for what the second project needs, and put them back afterwards."""
        paths = [path for pattern in patterns for path in sorted(self.home.path.glob(pattern)) if path.is_file()]
        paths = [path for path in paths if not self._is_of_other(path)]
        kept = {path: path.read_bytes() for path in paths}
        for path, content in kept.items():
            damaged = fault(content)
            if damaged is None:
                path.unlink()
            else:
                path.write_bytes(damaged)
        try:
            yield len(kept)
        finally:
            for path, content in kept.items():
                path.write_bytes(content)

    def _is_of_other(self, path: Path) -> bool:
        query = sa.text("SELECT content FROM dataset_versions WHERE project_id = :project")
        contents = read_rows(self.engine, query.bindparams(project=self.other_id))  # type: ignore[arg-type]
        return path.stem in {row.content for row in contents}

    def complaints(self, *, every_page: bool = True) -> list[str]:
        """Open Home and every page; return what no damage may do, and nothing where all is well.

        Args:
            every_page: Whether the pages of the damaged project are opened with a run in the address too.
        """
        found = []
        of_project = {"project": self.project_id}
        visits: list[tuple[str, dict[str, str]]] = [(step.step, of_project) for step in STEPS]
        if every_page:
            with_run = {**of_project, "run": self.run_id}
            visits += [(step, with_run) for step in ("train", "understand", "predict", "export")]
            visits.append(("train", {**of_project, "run": "next"}))
        for page, query in visits:
            found += [f"{page} {sorted(query)}: {what}" for what in _exceptions(_open(page, query))]
        for name, _, _ in OTHER_PAGES:
            found += [f"{name}: {what}" for what in _exceptions(_open(name, {}))]
        home = _open("home", {})
        found += [f"home: {what}" for what in _exceptions(home)]
        if f"delete-{self.other_id}" not in {button.key for button in home.button}:
            found.append("home: the other project is not listed")
        other = _open("data", {"project": self.other_id})
        found += [f"the other project: {what}" for what in [*_exceptions(other), *(one.value for one in other.error)]]
        return found

    def shut_down(self) -> None:
        """Let go of the database and remove all files."""
        self.engine.dispose()
        shutil.rmtree(self.home.path)


def _open(page: str, query: Mapping[str, str]) -> AppTest:
    """Open a page as a server does that has just started."""
    st.cache_resource.clear()
    config.set_option("client.showErrorDetails", "full")
    app = AppTest.from_file(str(PAGES_DIR / "router.py"), default_timeout=60)
    for name, value in query.items():
        app.query_params[name] = value
    if page != "home":
        app.switch_page(str(PAGES_DIR / f"{page}.py"))
    return app.run()


def _exceptions(app: AppTest) -> list[str]:
    """Return what no person may see: an error that nobody foresaw, with the last of our lines in it."""
    found = []
    for error in app.exception:
        ours = [line.strip() for line in error.stack_trace if "tlcore" in line or "pages" in line]
        found.append(f"{error.message} {ours[-1:]}")
    return found + [error.value for error in app.error if UNFORESEEN[:30] in error.value]
