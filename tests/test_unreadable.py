"""What this version cannot read is named where it would stand, and takes no page down."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import sqlalchemy as sa

from pages.components.frame import STEPS
from tests.coloured_pictures import coloured_dataset
from tests.lab import Lab
from tests.old_data_root import unpack_old_data_root
from tests.page_tests import OWNER, open_app, texts
from tests.queued_run import create_run
from tlcore.config import RunConfig
from tlcore.documents import LIFTS, read_document, write_document
from tlcore.errors import UnreadableError
from tlcore.home import DataRoot
from tlcore.storage.database import ensembles, open_database, projects, runs, writing
from tlcore.storage.datasets import content_path, get_version
from tlcore.storage.deletion import delete_project
from tlcore.storage.ensembles import EnsembleConfig, create_ensemble, list_ensembles
from tlcore.storage.projects import create_project, get_project, read_projects
from tlcore.storage.runs import list_runs, read_runs
from tlcore.storage.simple_heads import list_simple_heads
from tlcore.storage.staging import remove_staging_dir

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
def lab(home: DataRoot, no_runner: None) -> Lab:
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
    (one,) = read_runs(lab.engine, lab.project_id)[1]
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


# The same in a data root that has something of everything


@dataclass(frozen=True)
class Full:
    """The old data root, opened."""

    home: DataRoot
    engine: sa.Engine
    project_id: str

    def change(self, statement: str) -> None:
        """Change the database as another version, or a fault, would."""
        with self.engine.begin() as connection:
            connection.execute(sa.text(statement))

    def text_of_pages(self, run: str | None = None) -> str:
        """Open every page of the project; return all their text."""
        query = {"run": run} if run else {}
        return "\n".join(texts(open_app(spec.step, project=self.project_id, **query)) for spec in STEPS)


@pytest.fixture
def full(home: DataRoot) -> Full:
    engine = open_database(unpack_old_data_root(home))
    return Full(home, engine, read_projects(engine, OWNER)[0][-1].id)


@pytest.mark.parametrize(
    "change",
    [
        "config = 'garbage'",
        "config = replace(config, 'small_cnn-4-8', 'gone_net')",
        "config = replace(config, 'conv1', 'gone_block')",
        "summary = replace(summary, 'best_epoch', 'best_round')",
    ],
)
def test_a_run_is_named_on_every_page_that_would_show_it(full: Full, change: str) -> None:
    run = list_runs(full.engine, full.project_id)[-1]
    full.change(f"UPDATE runs SET {change} WHERE number = 1")
    assert [each.number for each in list_runs(full.engine, full.project_id)] == [4, 3, 2]
    for chosen in (None, run.id):
        assert full.text_of_pages(chosen).count("**Run 1** cannot be shown") == 4
    compared = texts(open_app("train", project=full.project_id, run="next", compare="1-2-3"))
    assert "From run 2 to run 3" in compared
    assert "Run 3" in texts(open_app())


def test_groups_and_simple_heads_are_named_where_they_are_chosen(full: Full) -> None:
    full.change("UPDATE ensembles SET config = '{}'")
    full.change('UPDATE jobs SET result = \'{"heads": [{"kind": "gone_head"}]}\' WHERE kind = \'simple_heads\'')
    assert list_ensembles(full.engine, full.project_id) == []
    assert list_simple_heads(full.engine, full.project_id) == []
    text = full.text_of_pages()
    assert "**Both** cannot be shown" in text
    assert "**Simple heads** cannot be shown" in text


def test_when_no_model_can_be_read_the_pages_of_models_say_which(full: Full) -> None:
    for table in ("runs", "ensembles"):
        full.change(f"UPDATE {table} SET config = 'garbage'")
    full.change("UPDATE jobs SET request = 'garbage', result = 'garbage'")
    for step in ("understand", "predict", "export"):
        page = texts(open_app(step, project=full.project_id))
        assert "**Run 3** cannot be shown" in page
        assert "no trained model in this project yet" in page
    full.text_of_pages()
    delete_project(full.engine, full.project_id, full.home)


def test_a_request_cannot_name_a_folder_elsewhere(full: Full) -> None:
    for name in ("..", "../runs", "import-/../../runs", ""):
        remove_staging_dir(name, full.home)
    assert list_runs(full.engine, full.project_id)
    assert len(list(full.home.runs_dir.iterdir())) == 3


def test_with_a_damaged_list_of_pictures_the_models_stay_and_data_leads_back(full: Full) -> None:
    version = get_version(full.engine, full.project_id, 4)
    content_path(version.content, full.home).write_bytes(b"damaged")
    for chosen in (None, list_runs(full.engine, full.project_id)[2].id):
        assert "list of pictures of this project is missing or damaged" in full.text_of_pages(chosen)
    assert "missing or damaged" in texts(open_app())
    assert "Validation accuracy" in texts(open_app("understand", project=full.project_id))
    for step in STEPS:
        told = [error.value for error in open_app(step.step, project=full.project_id).error]
        assert len(told) == 1, (step.step, told)
    open_app("train", project=full.project_id, run="next", compare="1-2-3")
    data = open_app("data", project=full.project_id)
    data = data.button(key="undo-4").click().run()
    assert not data.exception
    assert "36 pictures, 3 classes" in texts(data)


def test_a_list_of_pictures_from_a_newer_version_is_said(full: Full) -> None:
    newer = b'{"format": 99}'
    content = hashlib.sha256(newer).hexdigest()
    content_path(content, full.home).write_bytes(newer)
    full.change(f"UPDATE dataset_versions SET content = '{content}'")
    assert "A newer Transfer Lab has written it" in full.text_of_pages()
    assert "A newer Transfer Lab has written it" in texts(open_app())


def test_damaged_results_take_no_page_down(full: Full) -> None:
    models = [*list_runs(full.engine, full.project_id)[1:], *list_ensembles(full.engine, full.project_id)]
    for run in models[:-1]:
        (full.home.run_dir(run.id) / "evaluation.npz").write_bytes(b"damaged")
        (full.home.run_dir(run.id) / "predictor.json").write_bytes(b'{"format": 99}')
    for model in models:
        assert "damaged" in full.text_of_pages(model.id)
