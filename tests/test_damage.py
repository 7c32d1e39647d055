"""One damaged row or file closes one thing: it is named where it is, and all else stays open and usable."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from pages.server import teacher
from pages.server.teacher import Teachers
from tests.damaged_root import DOCUMENTS, FAULTS, FILES, KEYS, DamagedRoot
from tests.page_tests import OWNER, check, open_app
from tests.teacher_login import be_teacher
from tlcore.config import RunConfig
from tlcore.home import ENVIRONMENT_VARIABLE, DataRoot
from tlcore.setup.passwords import TEACHER_VARIABLE
from tlcore.storage.class_settings import ClassSettings, change_class_settings
from tlcore.storage.database import metadata
from tlcore.storage.jobs import create_job, request_stop
from tlcore.storage.projects import get_project
from tlcore.storage.runs import read_metrics

TABLES = [table for table in metadata.tables.values() if table.name != "schema_version"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DamagedRoot]:
    with pytest.MonkeyPatch.context() as patched:
        home = DataRoot(tmp_path_factory.mktemp("damage") / "home")
        patched.setenv(ENVIRONMENT_VARIABLE, str(home.path))
        patched.setattr("tlcore.jobs.control.start_module", lambda *_args, **_kwargs: None)
        root = DamagedRoot.make(home)
        assert root.complaints() == []
        yield root
        root.shut_down()


def others(table: str) -> list[str]:
    """Return the columns of a table that neither name a row nor hold JSON."""
    columns = metadata.tables[table].columns
    return [one.name for one in columns if one.name not in (*KEYS, *DOCUMENTS.get(table, ())) and not one.primary_key]


def test_every_table_and_every_column_is_damaged() -> None:
    """A new table or column takes part by itself, and a new one of JSON is noted here."""
    for table in TABLES:
        rest = {column.name for column in table.columns} - set(others(table.name)) - KEYS
        assert rest - {"id"} == set(DOCUMENTS.get(table.name, ())), table.name


@pytest.mark.parametrize("tables", [["projects"], ["runs", "ensembles", "brought"], ["jobs"]], ids=" ".join)
def test_a_damaged_document_closes_no_page(root: DamagedRoot, tables: list[str]) -> None:
    with ExitStack() as damage:
        for table in tables:
            damage.enter_context(root.damaged_rows(table, DOCUMENTS[table], "garbage"))
        assert root.complaints() == []


@pytest.mark.parametrize(
    "tables",
    [
        ["projects"],
        ["dataset_versions"],
        ["runs", "ensembles"],
        ["jobs"],
        ["metrics", "exams", "model_settings", "card_words", "shares"],
    ],
    ids=" ".join,
)
def test_damaged_columns_close_no_page(root: DamagedRoot, tables: list[str]) -> None:
    with ExitStack() as damage:
        for table in tables:
            damage.enter_context(root.damaged_rows(table, others(table), "garbage"))
        assert root.complaints() == []


def test_damage_of_people_and_of_what_a_teacher_sets_closes_no_page(root: DamagedRoot) -> None:
    change_class_settings(root.engine, lambda _before: ClassSettings(code="Room 7b"))
    assert root.complaints(every_page=False) == []
    with root.damaged_rows("class_settings", DOCUMENTS["class_settings"], "garbage"):
        assert root.complaints(every_page=False) == []
        with root.damaged_rows("people", others("people"), "garbage"):
            assert root.complaints(every_page=False) == []
            assert open_app("you").title[0].value == "You"
    change_class_settings(root.engine, lambda _before: ClassSettings())
    with root.damaged_rows("people", others("people"), "garbage"):
        assert root.complaints(every_page=False) == []


def test_damage_closes_no_part_of_the_teachers_page(root: DamagedRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TEACHER_VARIABLE, "any")
    monkeypatch.setattr(teacher, "TEACHERS", Teachers())
    be_teacher(monkeypatch)
    change_class_settings(root.engine, lambda _before: ClassSettings())
    job = create_job(root.engine, "doctor", root.project_id)
    for value in ("garbage", -1e300):
        for table in ("projects", "people", "jobs", "shares", "dataset_versions", "class_settings"):
            with root.damaged_rows(table, others(table) or DOCUMENTS[table], value):
                app = open_app("teacher")
                for section in ("people", "hand_out", "class", "disk", "work"):
                    check(app.segmented_control(key="teacher-section").set_value(section).run())
                    said = [error.value for error in app.error]
                    assert said == [] or (table, section) == ("class_settings", "class"), (table, section, value)
                    if section == "people":
                        check(app.selectbox(key="teacher-person").set_value(OWNER).run())
                        assert app.button(key=f"delete-{root.other_id}"), table
    request_stop(root.engine, job)


@pytest.mark.parametrize("fault", ["cut", "missing"])  # the others in `tests.bench understand damage`
def test_damaged_files_close_no_page(root: DamagedRoot, fault: str) -> None:
    with root.damaged_files(FILES.values(), FAULTS[fault]) as number:
        assert number > 50
        assert root.complaints() == []


def test_a_project_with_a_damaged_row_is_mended_by_beginning_with_new_settings(root: DamagedRoot) -> None:
    before = get_project(root.engine, root.project_id, OWNER)
    with root.damaged_rows("projects", ["created", "version", "config"], "garbage"):
        home = open_app()
        assert "It cannot be opened" in home.warning[0].value
        check(home.button(key=f"reset-{root.project_id}").click().run())
        assert not home.warning
        mended = get_project(root.engine, root.project_id, OWNER)
        assert (mended.version, mended.config, mended.name) == (before.version, RunConfig(), before.name)
        assert not open_app("data", project=root.project_id).error


def test_an_accuracy_that_none_can_be_is_left_out_of_the_curve(root: DamagedRoot) -> None:
    with root.damaged_rows("metrics", ["value"], 1e300):
        assert root.complaints() == []
        assert {point.name for point in read_metrics(root.engine, root.run_id)} == {"loss", "val_loss"}
