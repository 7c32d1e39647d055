"""What this version cannot read is named where it would stand, and takes no page down."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from pages.components.frame import STEPS
from tests.coloured_pictures import coloured_dataset
from tests.lab import Lab
from tests.page_tests import OWNER, open_app
from tlcore.config import RunConfig
from tlcore.documents import LIFTS, read_document, write_document
from tlcore.errors import UnreadableError
from tlcore.home import DataRoot
from tlcore.storage.database import ensembles, projects, runs, writing
from tlcore.storage.deletion import delete_project
from tlcore.storage.ensembles import EnsembleConfig, create_ensemble
from tlcore.storage.projects import create_project, get_project
from tlcore.storage.runs import create_run, list_runs, list_unreadable_runs

Change = Callable[[dict[str, Any]], object]


def rename_field(document: dict[str, Any]) -> None:
    document["training"]["rounds"] = document["training"].pop("epochs")


def take_unknown_backbone(document: dict[str, Any]) -> None:
    document["model"]["backbone"] = "gone_net"


def come_from_the_future(document: dict[str, Any]) -> None:
    document["format"] = 99


def lose_everything(document: dict[str, Any]) -> None:
    document.clear()
    document["x"] = 1


CHANGES: tuple[tuple[Change, str], ...] = (
    (rename_field, "unknown field"),
    (take_unknown_backbone, "does not know the backbone `gone_net`"),
    (come_from_the_future, "A newer Transfer Lab"),
    (lose_everything, "cannot read it"),
)


@pytest.fixture
def lab(home: DataRoot, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setattr("tlcore.jobs.control.start_module", lambda *_args, **_kwargs: None)
    return Lab.make(home, coloured_dataset(home))


def spoil(lab: Lab, table: sa.Table, row: sa.ColumnElement[bool], change: Change) -> None:
    """Change a stored document as another version, or a fault, would."""
    with writing(lab.engine) as connection:
        document = json.loads(connection.execute(sa.select(table.c.config).where(row)).scalar_one())
        change(document)
        connection.execute(sa.update(table).where(row).values(config=json.dumps(document)))


@pytest.mark.parametrize(("change", "reason"), CHANGES)
def test_a_project_that_cannot_be_read_is_listed_beside_the_others(lab: Lab, change: Change, reason: str) -> None:
    other = create_project(lab.engine, OWNER, "Another")
    spoil(lab, projects, projects.c.id == lab.project_id, change)
    home = open_app()
    assert not home.exception
    assert {"Another", "Pets"} <= {line.value.strip("*") for line in home.markdown}
    assert reason.replace("`", "") in home.warning[0].value.replace("\\", "").replace("`", "")
    for step in (spec.step for spec in STEPS):
        page = lab.open(step)
        assert not page.exception
        assert page.error
    assert get_project(lab.engine, other.id, OWNER).config == RunConfig()


def test_its_settings_can_be_begun_anew_and_nothing_else_is_lost(lab: Lab) -> None:
    run_id = create_run(lab.engine, lab.project_id, lab.version, RunConfig())
    spoil(lab, projects, projects.c.id == lab.project_id, take_unknown_backbone)
    page = open_app().button(key=f"reset-{lab.project_id}").click().run()
    assert not page.warning
    assert lab.config == RunConfig()
    assert [run.id for run in list_runs(lab.engine, lab.project_id)] == [run_id]
    assert not lab.open("data").error


def test_it_can_be_deleted(lab: Lab) -> None:
    spoil(lab, projects, projects.c.id == lab.project_id, rename_field)
    assert open_app().button(key=f"delete-{lab.project_id}").label == "Delete"
    delete_project(lab.engine, lab.project_id, lab.home)
    assert not open_app().warning


@pytest.mark.parametrize(("change", "reason"), CHANGES)
def test_a_run_that_cannot_be_read_is_listed_and_the_others_stay(lab: Lab, change: Change, reason: str) -> None:
    kept, lost = (create_run(lab.engine, lab.project_id, lab.version, config) for config in CONFIGS)
    spoil(lab, runs, runs.c.job_id == lost, change)
    assert [run.id for run in list_runs(lab.engine, lab.project_id)] == [kept]
    (one,) = list_unreadable_runs(lab.engine, lab.project_id)
    assert (one.title, reason in one.reason) == ("Run 2", True)
    page = lab.open("train", run="new")
    assert not page.exception
    assert "Run 2" in page.warning[0].value
    assert not open_app().exception
    in_address = lab.open("train", run=lost)
    assert not in_address.exception
    assert in_address.error


CONFIGS = (RunConfig(), RunConfig(model=RunConfig().model.__class__(image_size=96)))


def test_a_group_that_cannot_be_read_is_named_on_understand(lab: Lab) -> None:
    run_ids = tuple(create_run(lab.engine, lab.project_id, lab.version, config) for config in CONFIGS)
    members = EnsembleConfig(run_ids, (0.5, 0.5))
    group = create_ensemble(lab.engine, lab.project_id, "Both", lab.version, members, test_correct=1, test_total=2)
    spoil(lab, ensembles, ensembles.c.id == group, lose_everything)
    page = lab.open("understand")
    assert not page.exception


def test_documents_carry_their_format_and_earlier_ones_are_lifted(monkeypatch: pytest.MonkeyPatch) -> None:
    first = write_document(RunConfig())
    assert json.loads(first)["format"] == 1
    without = json.loads(first)
    del without["format"]
    assert read_document(json.dumps(without), RunConfig) == RunConfig()

    def lift(fields: dict[str, Any]) -> dict[str, Any]:
        training = {"epochs" if name == "rounds" else name: value for name, value in fields["training"].items()}
        return {**fields, "training": training}

    monkeypatch.setitem(LIFTS, "RunConfig", (lift,))
    rename_field(without)
    assert read_document(json.dumps(without), RunConfig) == RunConfig()
    assert json.loads(write_document(RunConfig()))["format"] == 2
    with pytest.raises(UnreadableError, match="newer"):
        read_document(first.replace('"format":1', '"format":3'), RunConfig)
    with pytest.raises(UnreadableError):
        read_document(b"\x00 no JSON", RunConfig)
