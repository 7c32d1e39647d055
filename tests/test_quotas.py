"""Quotas: what one person may have holds where it comes in, is said in words, and touches nobody else."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
import sqlalchemy as sa

from tests.coloured_pictures import RecordingProgress, coloured_dataset
from tests.page_tests import ROOT_DIR, open_app, texts
from tests.queued_run import create_run
from tests.test_deletion import files_of, staged
from tests.test_uploads import write
from tlcore.config import FineTuningConfig, ModelConfig, RunConfig, TrainingConfig
from tlcore.errors import DatasetError, QuotaError
from tlcore.home import DataRoot
from tlcore.jobs import control
from tlcore.jobs.control import start_runs
from tlcore.jobs.import_task import import_pictures
from tlcore.jobs.worker import WorkerContext
from tlcore.model.architecture import bytes_of_run, describe_model
from tlcore.storage import uploads
from tlcore.storage.database import open_database
from tlcore.storage.datasets import commit_version, current_dataset
from tlcore.storage.jobs import JobKind, claim_job, create_job, end_job, list_jobs
from tlcore.storage.projects import create_project, read_projects
from tlcore.storage.quotas import (
    PERSON_GB,
    PERSON_PICTURES,
    PERSON_PROJECTS,
    PERSON_RUNS,
    PERSON_UPLOADS,
    QUOTAS,
    quotas_for,
)
from tlcore.storage.room import check_coming
from tlcore.storage.runs import RunPlan, create_runs
from tlcore.storage.uploads import Announced, begin_upload, finish_upload, give_up_upload
from tlcore.storage.usage import usage_of


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for quota in QUOTAS:
        monkeypatch.delenv(quota.setting, raising=False)


@pytest.fixture
def engine(home: DataRoot) -> sa.Engine:
    return open_database(home)


def begin(engine: sa.Engine, home: DataRoot, owner: str, num_bytes: int = 1) -> str:
    """Announce one file as the server does."""
    check = lambda coming: check_coming(engine, owner, coming, home)  # noqa: E731
    return begin_upload([Announced("1.jpg", num_bytes)], home, owner, check)[0]


def config(epochs: int) -> RunConfig:
    return RunConfig(training=TrainingConfig(epochs=epochs))


def test_the_readme_names_every_quota_with_its_default() -> None:
    table = (ROOT_DIR / "README.md").read_text("utf-8")
    for quota in QUOTAS:
        words = f"{quota.sentence}: {quota.shared:,g} when the app is opened to a network, else no limit"
        assert f"| `{quota.setting}` | {words} |" in table


def test_one_person_alone_has_no_limit_and_a_class_has(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not any(quota.is_set for quota in QUOTAS)
    assert quotas_for(is_shared=False) == {}
    monkeypatch.setenv(PERSON_GB.setting, "0.5")
    given = quotas_for(is_shared=True)
    assert PERSON_GB.setting not in given  # what is set holds
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert [quota.value for quota in QUOTAS] == [0.5, 50_000, 50, 20, 2]
    monkeypatch.setenv(PERSON_RUNS.setting, "some")
    with pytest.raises(DatasetError, match="TRANSFER_LAB_PERSON_RUNS must be a number above 0"):
        quotas_for(is_shared=False)


def test_the_start_needs_nothing_but_python_for_them() -> None:
    program = (
        "from tlcore.storage.quotas import quotas_for; import sys; print(quotas_for(is_shared=True)); "
        "print({'sqlalchemy', 'numpy', 'msgspec', 'filelock'} & set(sys.modules))"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TRANSFER_LAB_PERSON")}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT_DIR, env=environment, capture_output=True, text=True, check=True
    )
    assert "'TRANSFER_LAB_PERSON_PICTURES': '50000'" in done.stdout
    assert done.stdout.splitlines()[-1] == "set()"


def test_projects(engine: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PERSON_PROJECTS.setting, "2")
    for _ in range(2):
        create_project(engine, "ann", "Mine")
    with pytest.raises(QuotaError, match=r"as many projects as one person can have: 2\..*TRANSFER_LAB_PERSON_PROJECTS"):
        create_project(engine, "ann", "One more")
    assert len(read_projects(engine, "ann")[0]) == 2
    create_project(engine, "bob", "His")


def test_home_says_so_and_stays_usable(home: DataRoot, monkeypatch: pytest.MonkeyPatch, no_runner: None) -> None:
    project = create_project(open_database(home), "local", "Mine")
    commit_version(open_database(home), project.id, coloured_dataset(home, 1), "made", parent=None, home=home)
    monkeypatch.setenv(PERSON_PROJECTS.setting, "1")
    for key in ("begin-samples", "try"):
        app = open_app()
        app.button(key=key).click().run()
        assert not app.exception
        assert "as many projects as one person can have" in texts(app)
        assert f"delete-{project.id}" in {button.key for button in app.button}


def test_waiting_runs(engine: sa.Engine, home: DataRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PERSON_RUNS.setting, "3")
    mine, also_mine, others = (create_project(engine, owner, "P").id for owner in ("ann", "ann", "bob"))
    first = create_run(engine, mine, 1, config(1))
    create_run(engine, also_mine, 1, config(1))
    with pytest.raises(
        QuotaError, match=r"training runs wait in line as one person can have there: 3\..*TRANSFER_LAB_PERSON_RUNS"
    ):
        create_runs(engine, mine, [RunPlan(1, config(2)), RunPlan(1, config(3))])
    assert len(list_jobs(engine, states=("queued",))) == 2  # all of a plan or none
    create_run(engine, mine, 1, config(2))
    assert create_run(engine, mine, 1, config(1)) == first  # a double click is no further run
    with pytest.raises(QuotaError):
        create_run(engine, also_mine, 1, config(2))
    create_run(engine, others, 1, config(1))
    assert claim_job(engine, "run") is not None  # what has begun waits no more
    create_run(engine, also_mine, 1, config(2))


def test_gigabytes_of_trainings(engine: sa.Engine, home: DataRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "ensure_runner", lambda _home: None)
    mine, also_mine = (create_project(engine, "ann", "P").id for _ in range(2))
    needed = bytes_of_run(config(1))
    monkeypatch.setenv(PERSON_GB.setting, f"{2.5 * needed / 1e9:.9f}")
    first = start_runs(engine, mine, [RunPlan(1, config(1))], home)
    start_runs(engine, also_mine, [RunPlan(1, config(1))], home)
    with pytest.raises(
        QuotaError, match=r"waits and works would add about 0\.\d\d GB.*Storage.*TRANSFER_LAB_PERSON_GB"
    ):
        start_runs(engine, mine, [RunPlan(1, config(2))], home)
    assert len(list_jobs(engine, states=("queued",))) == 2
    assert start_runs(engine, mine, [RunPlan(1, config(1))], home) == first  # a double click adds nothing
    others = create_project(engine, "bob", "P").id
    start_runs(engine, others, [RunPlan(1, config(1))], home)
    # What has been written counts in place of what was expected.
    home.run_dir(first[0]).mkdir(parents=True)
    (home.run_dir(first[0]) / "checkpoint.npz").write_bytes(bytes(needed // 2))
    with pytest.raises(QuotaError):
        start_runs(engine, mine, [RunPlan(1, config(2))], home)
    monkeypatch.setenv(PERSON_GB.setting, f"{3.01 * needed / 1e9:.9f}")
    start_runs(engine, mine, [RunPlan(1, config(2))], home)


def test_whoever_has_all_that_one_may_have_begins_nothing_more(
    engine: sa.Engine, home: DataRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = create_project(engine, "ann", "P").id
    run_id = create_run(engine, project, 1, config(1))
    heads = create_job(engine, "simple_heads", project, key="same")
    (home.run_dir(run_id)).mkdir(parents=True)
    (home.run_dir(run_id) / "model.keras").write_bytes(bytes(2_000_000))
    monkeypatch.setenv(PERSON_GB.setting, "0.001")
    kinds: tuple[JobKind, ...] = ("simple_heads", "prediction", "export")
    for start in (
        lambda: create_run(engine, project, 1, config(2)),
        *(partial(create_job, engine, k, project) for k in kinds),
    ):
        with pytest.raises(QuotaError, match=r"projects take 0\.00 GB already; one person can have 0\.001 GB"):
            start()
    assert create_job(engine, "simple_heads", project, key="same") == heads
    create_job(engine, "measure", project)  # leaves nothing that counts


def test_what_a_run_needs_is_known_before_it_begins() -> None:
    model = ModelConfig()
    summary = describe_model(model, 2)
    weights = summary.trainable_parameters + summary.frozen_parameters
    frozen = bytes_of_run(RunConfig(model=model))
    assert 8 * weights < frozen < 9 * weights
    assert bytes_of_run(RunConfig(model=replace(model, first_trainable="block1a"))) > 20 * weights
    tuned = RunConfig(model=model, training=TrainingConfig(fine_tuning=FineTuningConfig(first_trainable="block1a")))
    assert bytes_of_run(tuned) > 20 * weights  # the second phase counts


def test_uploads_that_come_in_at_a_time(engine: sa.Engine, home: DataRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PERSON_UPLOADS.setting, "2")
    first, second = begin(engine, home, "ann"), begin(engine, home, "ann")
    with pytest.raises(
        QuotaError, match=r"uploads come in as one person can have at a time: 2\..*TRANSFER_LAB_PERSON_UPLOADS"
    ):
        begin(engine, home, "ann")
    assert {path.name for path in home.imports_dir.iterdir()} == {first, second}
    begin(engine, home, "bob")
    give_up_upload(first, home)
    third = begin(engine, home, "ann")
    write(third, home, (0, 0, b"x"))
    assert finish_upload(third, home) is not None
    begin(engine, home, "ann")
    # A browser that was closed sends nothing more: after two minutes it holds nobody up. A piece says that it is there.
    # Nor does one that was closed before the clock was set back: its last piece seems to come tomorrow.
    for away in (-uploads.COMING_SECONDS - 1, 24 * 3600):
        then = time.time() + away
        for folder in home.imports_dir.iterdir():
            if (folder / "index.json").exists():
                os.utime(folder / "index.json", (then, then))
        begin(engine, home, "ann")
    write(second, home, (0, 0, b"x"))
    with pytest.raises(QuotaError):
        begin(engine, home, "ann")


def test_gigabytes_of_an_upload(engine: sa.Engine, home: DataRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    project = create_project(engine, "ann", "P")
    commit_version(engine, project.id, coloured_dataset(home, 2), "made", parent=None, home=home)
    there = usage_of(engine, "ann", home).total
    monkeypatch.setenv(PERSON_GB.setting, f"{(there + 10_000) / 1e9:.12f}")
    begin(engine, home, "ann", 6_000)
    with pytest.raises(QuotaError, match=r"your projects take 0\.00 GB already.*Storage.*TRANSFER_LAB_PERSON_GB"):
        begin(engine, home, "ann", 6_000)  # what the first one brings counts too
    begin(engine, home, "ann", 3_000)
    begin(engine, home, "bob", 10_000)


@pytest.mark.parametrize(
    ("quota", "value"),
    [(PERSON_PICTURES, lambda _there: "9"), (PERSON_GB, lambda there: f"{(there + 25_000) / 1e9:.9f}")],
)
def test_pictures_after_unpacking(
    engine: sa.Engine, home: DataRoot, monkeypatch: pytest.MonkeyPatch, quota: object, value: Callable[[int], str]
) -> None:
    mine, second = (create_project(engine, "ann", "P").id for _ in range(2))
    dataset = coloured_dataset(home, 2)  # six pictures
    commit_version(engine, mine, dataset, "made", parent=None, home=home)
    before = files_of(home)
    monkeypatch.setenv(getattr(quota, "setting"), value(usage_of(engine, "ann", home).total))  # noqa: B009

    def bring(colour: str, amount: int) -> None:
        create_job(engine, "import", second, staged(home, colour, amount))
        job = claim_job(engine, "import")
        assert job is not None
        import_pictures(WorkerContext(engine, home, job.id, job.attempt, RecordingProgress()))
        end_job(engine, job.id, job.attempt, "finished")

    bring("red", 2)  # the same pictures as in the other project take nothing
    assert len(current_dataset(engine, second, home)[1].items) == 2
    with pytest.raises(QuotaError, match=rf"Nothing was added.*Storage.*{getattr(quota, 'setting')}"):  # noqa: B009
        bring("blue", 12)
    assert len(current_dataset(engine, second, home)[1].items) == 2
    assert {path for path in files_of(home) - before if path.startswith(("images", "thumbnails"))} == set()
