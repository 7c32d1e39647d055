"""The teacher's page, and pages whose controls are locked: who may do what, and what they then do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

import pytest
import sqlalchemy as sa
from streamlit.testing.v1 import AppTest

from pages.components.state import _locked
from pages.components.teacher import disk
from pages.components.teacher.people import seen_words
from pages.components.teacher.room import _watch
from pages.server import teacher, teacher_login
from pages.server.teacher import TEACHERS_VARIABLE, Teachers
from tests.finished_runs import Finished
from tests.page_tests import OWNER, check, open_app, texts
from tlcore.home import DataRoot
from tlcore.settings.locks import LOCKED, LOCKS
from tlcore.setup import passwords
from tlcore.setup.passwords import TEACHER_VARIABLE, hash_password
from tlcore.storage.admission import is_admitted
from tlcore.storage.class_settings import ClassSettings, change_class_settings, read_class_settings
from tlcore.storage.database import class_settings, open_database, writing
from tlcore.storage.jobs import ACTIVE_STATES, claim_job, create_job, get_job, list_jobs, request_stop
from tlcore.storage.overview import list_all_projects
from tlcore.storage.people import admit, owner_by_code, rename_person
from tlcore.storage.projects import create_project, get_project
from tlcore.storage.sharing import create_share, shares_for_all

PASSWORD = "horse battery staple"
STUDENT = "s" * 24
BROWSER = {"token": ""}
"""The cookie of a login, as the browser of these tests keeps it: AppTest keeps none."""


@pytest.fixture(autouse=True)
def password(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server with a password that is quick to check, on which nobody is logged in."""
    monkeypatch.setattr(passwords, "COST", 16)
    monkeypatch.setenv(TEACHER_VARIABLE, str(hash_password(PASSWORD)))
    monkeypatch.delenv(TEACHERS_VARIABLE, raising=False)
    server = Teachers()
    monkeypatch.setattr(teacher, "TEACHERS", server)
    monkeypatch.setattr("pages.components.teacher.login.TEACHERS", server)
    teacher_login.TICKETS.clear()
    monkeypatch.setattr(teacher, "token_of_page", lambda: BROWSER["token"])
    BROWSER["token"] = ""


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """Nothing that pages remember from the test before."""
    for cache in (_locked, _watch, disk._caches):
        cache.clear()
    yield
    _locked.clear()


@pytest.fixture
def engine(home: DataRoot, no_runner: None) -> sa.Engine:
    return open_database(home)


@pytest.fixture
def student(engine: sa.Engine) -> str:
    """The project of somebody else."""
    return create_project(engine, STUDENT, "Cats & <b>dogs</b>").id


def log_in(section: str = "work") -> AppTest:
    app = open_app("teacher")
    if has(app, "teacher-password"):
        check(app.text_input(key="teacher-password").set_value(PASSWORD).run())
        [(owner, _)] = teacher_login.TICKETS.waiting()
        teacher_login.TICKETS.clear()
        BROWSER["token"] = teacher.TEACHERS.let_in(owner)  # as the address does to which the page leads
        app = open_app("teacher")
    if section != "work":
        check(app.segmented_control(key="teacher-section").set_value(section).run())
    return app


def links(app: AppTest) -> list[str]:
    return [link.proto.label for link in app.get("page_link")]


def has(app: AppTest, key: str) -> bool:
    return any(one.key == key for one in [*app.button, *app.toggle, *app.text_input])


def test_without_a_login_nothing_is_open_and_the_page_says_how(
    engine: sa.Engine, student: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(TEACHER_VARIABLE)
    app = open_app("teacher")
    assert "python3 app.py --teacher-password" in texts(app)
    assert not app.text_input
    assert not app.button
    assert "For teachers" not in links(open_app())


def test_home_leads_to_the_page_where_somebody_can_log_in(engine: sa.Engine) -> None:
    assert "For teachers" in links(open_app())


def test_a_wrong_password_opens_nothing(engine: sa.Engine) -> None:
    app = open_app("teacher")
    check(app.text_input(key="teacher-password").set_value("wrong").run())
    assert "not the teacher" in app.error[0].value
    assert not has(app, "teacher-leave")
    assert app.text_input(key="teacher-password").value == ""


def test_the_password_opens_the_page_until_the_teacher_leaves(engine: sa.Engine) -> None:
    app = log_in()
    assert has(app, "teacher-leave")
    assert not has(app, "teacher-password")
    assert "primary" not in {button.proto.type for button in app.button}  # nobody comes here to leave
    assert has(open_app("teacher"), "teacher-leave")  # another tab of this browser
    check(app.button(key="teacher-leave").click().run())
    assert not has(app, "teacher-leave")
    assert has(open_app("teacher"), "teacher-password")


def test_another_browser_with_the_same_identity_is_no_teachers(engine: sa.Engine, student: str) -> None:
    log_in()
    token, BROWSER["token"] = BROWSER["token"], ""  # the same owner without the cookie, as by a code from the page You
    assert has(open_app("teacher"), "teacher-password")
    assert texts(open_app("data", project=student)).count("Cats") == 0
    BROWSER["token"] = "guessed"
    assert has(open_app("teacher"), "teacher-password")
    BROWSER["token"] = token
    assert has(open_app("teacher"), "teacher-leave")


def test_work_is_shown_in_the_order_of_turns_and_can_be_stopped(engine: sa.Engine, student: str) -> None:
    own = create_project(engine, OWNER, "Mine").id
    working = create_job(engine, "doctor", student)
    claim_job(engine, "doctor")
    first, second = create_job(engine, "map", own), create_job(engine, "map", own, key="b")
    third = create_job(engine, "map", student)
    app = log_in()
    assert [button.key for button in app.button if str(button.key).startswith("stop-")] == [
        f"stop-{one}" for one in (working, first, third, second)
    ]
    shown = texts(app)
    assert "At work: 1" in shown
    assert "In line: 3" in shown
    assert "Cats \\& \\<b\\>dogs" in shown
    check(app.button(key=f"stop-{third}").click().run())
    assert get_job(engine, third).state == "stopped"
    assert get_job(engine, second).state == "queued"
    check(app.button(key=f"stop-{working}").click().run())
    assert get_job(engine, working).stop_requested is not None
    assert app.button(key=f"stop-{working}").disabled


def test_the_class_code_is_set_made_up_and_taken_away(engine: sa.Engine) -> None:
    app = log_in("class")
    check(app.text_input(key="class-code").set_value("  Blue  7a ").run())
    assert read_class_settings(engine).code == "Blue 7a"
    for short in ("a-b", "blue7", "1234567", "12-34-56"):
        check(app.text_input(key="class-code").set_value(short).run())
        assert "at least 6 letters and digits" in app.error[0].value, short
        assert read_class_settings(engine).code == "Blue 7a"
    check(app.text_input(key="class-code").set_value("1234 5678").run())
    assert read_class_settings(engine).code == "1234 5678"
    check(app.button(key="class-code-new").click().run())
    code = read_class_settings(engine).code
    assert code is not None
    assert len(code) == 6
    assert app.text_input(key="class-code").value == code
    check(app.button(key="class-code-none").click().run())
    assert read_class_settings(engine).code is None


def test_a_lock_is_turned_on_and_off(engine: sa.Engine) -> None:
    app = log_in("class")
    check(app.toggle(key="lock-epochs").set_value(True).run())
    check(app.toggle(key="lock-exam").set_value(True).run())
    assert read_class_settings(engine).locked == ("epochs", "exam")
    check(app.toggle(key="lock-epochs").set_value(False).run())
    assert read_class_settings(engine).locked == ("exam",)
    check(app.button(key="unlock-all").click().run())
    assert read_class_settings(engine).locked == ()
    assert not app.toggle(key="lock-exam").value


def test_damaged_settings_of_the_class_are_said_and_begun_anew(engine: sa.Engine) -> None:
    change_class_settings(engine, lambda _: ClassSettings("blue 7", ("epochs",)))
    with writing(engine) as connection:
        connection.execute(sa.update(class_settings).values(document="garbage"))
    app = log_in("class")
    assert "cannot be read" in texts(app)
    check(app.button(key="class-reset").click().run())
    assert has(app, "lock-epochs")
    assert read_class_settings(engine) == ClassSettings()


def test_whoever_is_no_teacher_any_more_does_nothing(
    engine: sa.Engine, student: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page was drawn for a teacher; each press comes after the login has ended."""
    job = create_job(engine, "doctor", student)
    change_class_settings(engine, lambda _: ClassSettings("blue 7", ("exam",)))
    presses = [("work", f"stop-{job}")]
    presses += [("class", key) for key in ("class-code-new", "class-code-none", "unlock-all")]
    for section, key in presses:
        app = log_in(section)
        teacher.log_out(OWNER)
        check(app.button(key=key).click().run())
        assert has(app, "teacher-password"), key
        assert "not logged in as a teacher" in app.error[0].value, key
    app = log_in("class")
    teacher.log_out(OWNER)
    check(app.toggle(key="lock-epochs").set_value(True).run())
    assert get_job(engine, job).state == "queued"
    assert read_class_settings(engine) == ClassSettings("blue 7", ("exam",))


def test_a_teacher_looks_at_a_project_of_a_student_and_changes_nothing(engine: sa.Engine, student: str) -> None:
    assert "not here" in texts(open_app("data", project=student))
    log_in()
    app = open_app("train", project=student)
    assert "Nothing here" not in texts(app)
    assert get_project(engine, student, STUDENT).visited == ()


LOCKED_CONTROLS = {
    "augmentation": ("augment", ["preset", "rotation_range", "horizontal_flip"]),
    "views": ("augment", ["views", "new_views_every_epoch"]),
    "backbone": ("model", ["backbone"]),
    "weights": ("model", ["begins_with"]),
    "freeze_line": ("model", ["first_trainable", "line_Thaw top"]),
    "head": ("model", ["pooling", "dense_layers", "dropout", "l2"]),
    "picture": ("model", ["image_size", "resize_mode"]),
    "epochs": ("train", ["epochs", "early_stopping", "patience"]),
    "learning": ("train", ["learning_rate", "optimizer", "schedule", "warmup_epochs"]),
    "fine_points": ("train", ["batch_size", "seed", "balance", "label_smoothing"]),
    "second_phase": ("train", ["fine_tune"]),
    "training": ("train", ["start"]),
}


def test_every_lock_of_settings_is_looked_at() -> None:
    assert {spec.name for spec in LOCKS if spec.fields} <= LOCKED_CONTROLS.keys()


@pytest.mark.parametrize("page", ["augment", "model", "train"])
def test_locked_controls_are_shown_and_do_not_move(make_finished: object, home: DataRoot, page: str) -> None:
    project = make_finished().project_id  # type: ignore[operator]
    engine = open_database(home)
    names = [name for name, (where, _) in LOCKED_CONTROLS.items() if where == page]
    keys = {name: LOCKED_CONTROLS[name][1] for name in names}
    app = open_app(page, project=project, run="next")
    free = _states(app)
    assert not any(free[key].help == LOCKED for name in names for key in keys[name] if name != "training")
    for name in names:
        change_class_settings(engine, lambda _, name=name: ClassSettings(locked=(name,)))
        _locked.clear()
        held = _states(check(app.run()))
        assert all(held[key].disabled for key in keys[name]), name
        if name != "training":
            assert all(held[key].help == LOCKED for key in keys[name]), name
        others = [key for other in names if other != name for key in keys[other]]
        assert {key: held[key].disabled for key in others} == {key: free[key].disabled for key in others}, name


def test_locked_work_is_shown_and_does_not_start(
    make_finished: Callable[..., Finished], home: DataRoot, predictor: None
) -> None:
    finished = make_finished()
    run = finished.add_run()
    engine = open_database(home)
    everything = tuple(spec.name for spec in LOCKS)
    buttons = {
        "data": ["doctor"],
        "understand": ["open-exam", "train-splits", "train-probes"],
        "train": ["run_again"],
    }
    for page, keys in buttons.items():
        change_class_settings(engine, lambda _: ClassSettings())
        _locked.clear()
        app = open_app(page, project=finished.project_id, run=run)
        free = _states(app)
        assert not any(free[key].help == LOCKED for key in keys)
        change_class_settings(engine, lambda _: ClassSettings(locked=everything))
        check(app.button(key=keys[0]).click().run())  # the page was drawn before the lock
        assert any("Your teacher has locked" in error.value for error in app.error), page
        _locked.clear()
        held = _states(check(app.run()))
        assert all(held[key].disabled and held[key].help == LOCKED for key in keys), page
    assert "you can go on asking it" in texts(open_app("export", project=finished.project_id, run=run))
    assert not list_jobs(engine, states=ACTIVE_STATES)


def _states(app: AppTest) -> dict[str, object]:
    kinds = ("button", "toggle", "slider", "select_slider", "selectbox", "number_input", "segmented_control")
    return {str(one.key): one.proto for kind in kinds for one in app.get(kind)}


def test_a_page_that_was_drawn_before_the_lock_changes_nothing(make_finished: object, home: DataRoot) -> None:
    project = make_finished().project_id  # type: ignore[operator]
    engine = open_database(home)
    before = get_project(engine, project, OWNER).config.training.epochs
    app = open_app("train", project=project, run="next")
    change_class_settings(engine, lambda _: ClassSettings(locked=("epochs",)))
    check(app.number_input(key="epochs").set_value(before + 5).run())
    assert "“Epochs”" in app.error[0].value
    assert get_project(engine, project, OWNER).config.training.epochs == before
    assert app.number_input(key="epochs").value == before
    log_in()
    app = open_app("train", project=project, run="next")
    assert not app.number_input(key="epochs").disabled
    check(app.number_input(key="epochs").set_value(before + 5).run())
    assert get_project(engine, project, OWNER).config.training.epochs == before + 5


def choose(app: AppTest, owner: str) -> AppTest:
    return check(app.selectbox(key="teacher-person").set_value(owner).run())


def test_everybody_is_there_with_what_they_have(engine: sa.Engine, student: str) -> None:
    rename_person(engine, STUDENT, "Ada *x*")
    app = log_in("people")
    _watch(engine, DataRoot.configured()).wait()
    shown = " ".join(check(app.run()).table[0].value.to_string().split())
    assert "Ada \\*x\\*" in shown
    assert "just now" in shown
    assert app.selectbox(key="teacher-person").options == ["Ada *x*", "Person 2"]


def test_one_project_or_all_of_a_person_are_deleted_after_a_question(engine: sa.Engine, student: str) -> None:
    second, third = (create_project(engine, STUDENT, name).id for name in ("Second", "Third"))
    own = create_project(engine, OWNER, "Mine").id
    app = choose(log_in("people"), STUDENT)
    check(app.button(key=f"delete-{second}").click().run())
    assert "Second" in texts(app)
    check(app.button(key="teacher-no").click().run())
    assert get_project(engine, second, STUDENT)
    check(app.button(key=f"delete-{second}").click().run())
    check(app.button(key="teacher-yes").click().run())
    assert {one.id for one in list_all_projects(engine, STUDENT)} == {student, third}
    check(app.button(key="delete-all").click().run())
    assert "Cats \\& \\<b\\>dogs" in texts(app)
    assert "Third" in texts(app)
    check(app.button(key="teacher-yes").click().run())
    assert [one.id for one in list_all_projects(engine)] == [own]


def test_a_person_is_deleted_after_a_question(engine: sa.Engine, student: str) -> None:
    rename_person(engine, STUDENT, "Ada *x*")
    app = choose(log_in("people"), STUDENT)
    check(app.button(key="delete-person").click().run())
    assert "**Ada \\*x\\*** goes away for good: 1 project" in texts(app)
    check(app.button(key="teacher-no").click().run())
    assert list_all_projects(engine, STUDENT)
    check(app.button(key="delete-person").click().run())
    check(app.button(key="teacher-yes").click().run())
    assert list_all_projects(engine, STUDENT) == []
    assert "Ada" not in texts(app)
    assert app.selectbox(key="teacher-person").value is None


def test_a_lost_cookie_is_replaced_by_a_code_that_is_shown_once(engine: sa.Engine, student: str) -> None:
    app = choose(log_in("people"), STUDENT)
    check(app.button(key="person-code").click().run())
    code = app.code[0].value
    assert owner_by_code(engine, code) == STUDENT
    assert not check(app.run()).code


def test_a_person_is_removed_from_the_class_and_let_in_again(engine: sa.Engine, student: str) -> None:
    app = choose(log_in("people"), STUDENT)
    check(app.button(key="person-admitted").click().run())
    assert not is_admitted(engine, STUDENT)  # though there is no class code
    check(app.button(key="person-admitted").click().run())
    change_class_settings(engine, lambda _: ClassSettings("blue 7"))
    check(app.run())
    assert is_admitted(engine, STUDENT)
    check(app.button(key="person-admitted").click().run())
    assert not is_admitted(engine, STUDENT)
    check(app.button(key="person-admitted").click().run())
    assert is_admitted(engine, STUDENT)


def test_open_pages_end_of_whoever_is_out(engine: sa.Engine, student: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Callable[[str, str | None], bool]] = []
    monkeypatch.setattr("pages.components.teacher.class_panel.end_sessions", asked.append)
    monkeypatch.setattr("pages.components.teacher.people.end_sessions", asked.append)
    app = log_in("class")
    check(app.text_input(key="class-code").set_value("Blue 7a").run())
    [ends] = asked
    # Not the teacher, and not who had a project before there was a code.
    assert [ends(owner, None) for owner in (OWNER, STUDENT, "n" * 24)] == [False, False, True]
    check(app.button(key="class-code-new").click().run())  # another code lets nobody out
    assert len(asked) == 1
    app = choose(check(app.segmented_control(key="teacher-section").set_value("people").run()), STUDENT)
    check(app.button(key="person-admitted").click().run())
    assert [asked[-1](owner, None) for owner in (OWNER, STUDENT, "n" * 24)] == [False, True, False]
    check(app.button(key="person-admitted").click().run())  # let in again
    assert len(asked) == 2


def test_a_class_code_does_not_keep_the_teacher_out(engine: sa.Engine) -> None:
    change_class_settings(engine, lambda _: ClassSettings("blue 7"))
    assert not is_admitted(engine, OWNER)
    log_in()
    assert is_admitted(engine, OWNER)


def test_a_project_is_handed_out_and_taken_back(engine: sa.Engine, student: str) -> None:
    own = create_project(engine, OWNER, "Mine").id
    app = log_in("hand_out")
    assert app.selectbox(key="hand-out-project").options == ["Mine", "Cats & <b>dogs</b>, of A person without a name"]
    assert app.button(key="hand-out").disabled
    check(app.selectbox(key="hand-out-project").set_value(own).run())
    check(app.button(key="hand-out").click().run())
    check(app.segmented_control(key="hand-out-kind").set_value("project").run())
    check(app.selectbox(key="hand-out-project").set_value(student).run())
    check(app.button(key="hand-out").click().run())
    first, second = shares_for_all(engine)
    assert (first.project_id, first.kind, first.for_all) == (own, "pictures", True)
    assert (second.project_id, second.kind) == (student, "project")
    check(app.button(key=f"take-back-{first.code}").click().run())
    assert [one.code for one in shares_for_all(engine)] == [second.code]


def test_what_is_made_again_is_emptied_after_a_question(engine: sa.Engine, home: DataRoot, student: str) -> None:
    for folder in (home.features_dir, home.compiled_dir, home.brought_weights_dir):
        folder.mkdir(parents=True)
        (folder / "file").write_bytes(bytes(10_000))
    app = log_in("disk")
    assert "Empty what is made again (20 kB)" in app.button(key="empty-caches").label
    job = create_job(engine, "doctor", student)
    check(app.button(key="empty-caches").click().run())
    check(app.button(key="teacher-yes").click().run())
    assert "works or waits" in app.error[0].value
    request_stop(engine, job)
    check(app.button(key="empty-caches").click().run())
    check(app.button(key="teacher-yes").click().run())
    assert not home.features_dir.exists()
    assert (home.brought_weights_dir / "file").exists()
    assert app.button(key="empty-caches").disabled


def test_nobody_but_a_teacher_deletes_hands_out_admits_or_empties(
    engine: sa.Engine, home: DataRoot, student: str
) -> None:
    """The page was drawn for a teacher; each press comes after the login has ended."""
    change_class_settings(engine, lambda _: ClassSettings("blue 7"))
    home.features_dir.mkdir(parents=True)
    (home.features_dir / "file").write_bytes(bytes(10_000))
    admit(engine, STUDENT)
    share = create_share(engine, student, "pictures", for_all=True)
    before = shares_for_all(engine)
    for section, first, press in (
        ("people", None, "person-code"),
        ("people", None, "person-admitted"),
        ("people", f"delete-{student}", "teacher-yes"),
        ("people", "delete-all", "teacher-yes"),
        ("people", "delete-person", "teacher-yes"),
        ("hand_out", None, "hand-out"),
        ("hand_out", None, f"take-back-{share.code}"),
        ("disk", "empty-caches", "teacher-yes"),
    ):
        app = log_in(section)
        if section == "people":
            choose(app, STUDENT)
        if section == "hand_out":
            check(app.segmented_control(key="hand-out-kind").set_value("project").run())
            check(app.selectbox(key="hand-out-project").set_value(student).run())
        if first is not None:
            check(app.button(key=first).click().run())
        teacher.log_out(OWNER)
        check(app.button(key=press).click().run())
        assert "not logged in as a teacher" in app.error[0].value, press
        assert not app.code
    assert get_project(engine, student, STUDENT)
    assert is_admitted(engine, STUDENT)
    assert shares_for_all(engine) == before
    assert (home.features_dir / "file").exists()


def test_times_of_visits_read_as_people_say_them() -> None:
    now = datetime(2026, 11, 28, 14, 0).timestamp()
    assert seen_words(now - 60, now) == "just now"
    assert seen_words(now + 3600, now) == "just now"  # the clock was set back
    assert seen_words(now - 4 * 3600, now) == "today, 10:00"
    assert seen_words(now - 5 * 86400, now) == "23 Nov 2026"
    assert seen_words(0, now) == "–"
