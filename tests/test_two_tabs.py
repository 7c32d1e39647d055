"""Two tabs on one project: what a tab shows is what happens, and no change is lost without a word."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from streamlit.testing.v1 import AppTest

from tests.coloured_pictures import coloured_dataset
from tests.lab import Lab
from tests.page_tests import check, texts
from tlcore.config import TrainingConfig
from tlcore.dataset import delete_images
from tlcore.home import DataRoot
from tlcore.storage.datasets import commit_version, current_dataset
from tlcore.storage.projects import update_config
from tlcore.storage.runs import list_runs


@pytest.fixture
def lab(home: DataRoot, no_runner: None, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setattr("pages.components.train.starting.find_obstacle", lambda _context: None)
    return Lab.make(home, coloured_dataset(home))


def epochs(lab: Lab) -> int:
    return lab.config.training.epochs


def compared(tab: AppTest) -> list[list[str]]:
    """Return the rows of the table that compares the settings of two tabs; empty where the tab asks for no choice."""
    tables = [table.value for table in tab.table if "Setting" in table.value]
    rows = [row for table in tables for row in table.itertuples(index=False)]
    return [[str(cell).replace("\\", "") for cell in row] for row in rows]


def is_asked(tab: AppTest) -> bool:
    return any(button.key == "settings-keep" for button in tab.button)


def set_epochs(tab: AppTest, number: int) -> None:
    check(tab.number_input(key="epochs").set_value(number).run())


def test_a_stale_tab_is_told_which_setting_differs_and_neither_is_lost(lab: Lab) -> None:
    one, two = lab.open("train"), lab.open("train")
    set_epochs(one, 7)
    set_epochs(two, 9)
    assert epochs(lab) == 7  # the second tab did not know of it, so it overwrote nothing
    assert compared(two) == [["Epochs at most", "9", "7"]]
    assert two.number_input(key="epochs").value == 9  # what was typed is still there
    check(two.button(key="settings-keep").click().run())
    assert (epochs(lab), is_asked(two)) == (9, False)
    # Now the first tab is the stale one, and takes what is stored.
    check(one.run())
    assert compared(one) == [["Epochs at most", "7", "9"]]
    check(one.button(key="settings-take").click().run())
    assert (one.number_input(key="epochs").value, is_asked(one), epochs(lab)) == (9, False, 9)
    set_epochs(one, 11)
    assert (epochs(lab), is_asked(one)) == (11, False)


def test_start_trains_what_is_on_the_screen_or_says_why_not(lab: Lab) -> None:
    one, two = lab.open("train"), lab.open("train")
    two.text_input(key=f"note-{lab.project_id}").set_value("It learns red first").run()
    set_epochs(one, 7)
    check(two.button(key="start").click().run())
    assert list_runs(lab.engine, lab.project_id) == []
    assert "Nothing was started. Another tab has changed the settings" in texts(two)
    assert two.button(key="start").disabled
    shown = two.number_input(key="epochs").value
    check(two.button(key="settings-keep").click().run())
    check(two.button(key="start").click().run())
    (run,) = list_runs(lab.engine, lab.project_id)
    assert run.config.training.epochs == shown == TrainingConfig().epochs
    assert run.note == "It learns red first"  # the typed words outlived the choice


def test_start_after_taking_theirs_trains_theirs(lab: Lab) -> None:
    one, two = lab.open("train"), lab.open("train")
    set_epochs(one, 7)
    check(two.button(key="start").click().run())
    check(two.button(key="settings-take").click().run())
    check(two.button(key="start").click().run())
    (run,) = list_runs(lab.engine, lab.project_id)
    assert run.config.training.epochs == 7


def test_start_says_when_the_pictures_are_others_than_on_the_screen(lab: Lab) -> None:
    tab = lab.open("train")
    more = coloured_dataset(lab.home, 14)
    version = commit_version(lab.engine, lab.project_id, more, "more", parent=lab.version, home=lab.home)
    check(tab.button(key="start").click().run())
    assert list_runs(lab.engine, lab.project_id) == []
    assert "Nothing was started. The pictures of this project have changed" in texts(tab)
    check(tab.button(key="start").click().run())
    (run,) = list_runs(lab.engine, lab.project_id)
    assert run.version == version


def test_a_run_of_another_tab_does_not_take_the_settings_off_the_screen(lab: Lab) -> None:
    one, two = lab.open("train"), lab.open("train")
    check(one.button(key="start").click().run())
    set_epochs(two, 5)
    check(two.button(key="start").click().run())
    assert [run.config.training.epochs for run in list_runs(lab.engine, lab.project_id)] == [5, TrainingConfig().epochs]


def go(tab: AppTest, page: str, lab: Lab) -> AppTest:
    """Go to another page of the project in the same tab."""
    tab.query_params["project"] = lab.project_id
    return check(tab.switch_page(f"{page}.py").run())


def test_what_is_chosen_while_undecided_is_kept_on_the_other_pages_too(lab: Lab) -> None:
    one, two = lab.open("train"), lab.open("train")
    set_epochs(one, 7)
    set_epochs(two, 9)
    check(two.selectbox(key="optimizer").select("sgd").run())
    go(two, "data", lab)
    assert not is_asked(two)  # where no settings are shown, nobody is asked, but it is said
    assert "choose on Train" in two.info[0].value
    go(two, "model", lab)
    assert compared(two) == [["Epochs at most", "9", "7"], ["Optimizer", "SGD with momentum 0.9", "Adam"]]
    check(two.slider(key="dropout").set_value(0.6).run())
    check(two.button(key="settings-keep").click().run())
    config = lab.config
    assert (config.training.epochs, config.training.optimizer, config.model.head.dropout) == (9, "sgd", 0.6)


def test_augment_asks_too(lab: Lab) -> None:
    tab = lab.open("augment")
    lab.change(lambda config: replace(config, training=replace(config.training, views=8)))
    check(tab.toggle(key="horizontal_flip").set_value(True).run())
    assert compared(tab) == [
        ["Mirror left and right", "on", "off"],
        ["Views of each picture", str(TrainingConfig().views), "8"],
    ]
    assert not lab.config.augmentation.horizontal_flip
    assert not is_asked(lab.open("augment"))


def test_a_third_change_is_not_overwritten_unseen(lab: Lab) -> None:
    two = lab.open("train")
    lab.change(lambda config: replace(config, training=replace(config.training, epochs=7)))
    set_epochs(two, 9)
    lab.change(lambda config: replace(config, training=replace(config.training, epochs=8)))
    check(two.button(key="settings-keep").click().run())
    assert (epochs(lab), compared(two)) == (8, [["Epochs at most", "9", "8"]])


@pytest.mark.parametrize("way", ["home", "data"])
def test_who_comes_from_elsewhere_sees_what_is_stored_without_a_question(lab: Lab, way: str) -> None:
    tab = go(lab.open("train"), way, lab)
    lab.change(lambda config: replace(config, training=replace(config.training, epochs=7)))
    go(tab, "train", lab)
    assert (is_asked(tab), tab.number_input(key="epochs").value) == (False, 7)


def test_a_typed_name_outlives_a_new_name_of_another_tab(lab: Lab) -> None:
    one, two = lab.open("data"), lab.open("data")
    check(one.text_input(key="project-name").set_value("Cats").run())
    check(two.text_input(key="project-name").set_value("Dogs *and* birds").run())
    assert lab.project.name == "Cats"
    assert "**Cats** while you typed **Dogs \\*and\\* birds**" in texts(two)
    check(two.button(key="name-mine").click().run())
    assert lab.project.name == "Dogs *and* birds"
    assert "while you typed" not in texts(two)
    check(one.text_input(key="project-name").set_value("Fish").run())
    check(one.button(key="name-theirs").click().run())
    assert lab.project.name == "Dogs *and* birds"
    assert one.text_input(key="project-name").value == "Dogs *and* birds"


def test_the_same_change_in_both_tabs_is_no_conflict(lab: Lab) -> None:
    one, two = lab.open("train"), lab.open("train")
    set_epochs(one, 7)
    set_epochs(two, 7)
    assert not is_asked(two)
    set_epochs(two, 8)
    assert (epochs(lab), is_asked(two)) == (8, False)


def test_many_edits_of_three_tabs_are_stored_or_asked_about(lab: Lab) -> None:
    """No edit is lost: each is the stored one at its time, or stands in the tab that asks."""
    tabs = [lab.open("train") for _ in range(3)]
    for turn in range(6):
        tab, before = tabs[turn % 3], epochs(lab)
        set_epochs(tab, 20 + turn)
        if is_asked(tab):
            assert compared(tab) == [["Epochs at most", str(20 + turn), str(before)]]
            check(tab.button(key="settings-keep").click().run())
        assert epochs(lab) == 20 + turn


def test_update_config_still_keeps_edits_of_programs(lab: Lab) -> None:
    for number in range(3):
        update_config(
            lab.engine,
            lab.project_id,
            lambda config: replace(config, training=replace(config.training, epochs=config.training.epochs + 1)),
        )
        assert epochs(lab) == TrainingConfig().epochs + number + 1


def test_a_typed_class_name_outlives_an_edit_of_another_tab(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    tab = lab.open("data")
    _, dataset = current_dataset(lab.engine, lab.project_id, lab.home)
    chosen = dataset.classes[0]
    edited = delete_images(dataset, chosen.id, [dataset.of_class(chosen.id)[0].image])

    def after_another(engine: sa.Engine, project_id: str, *args: Any, **options: Any) -> int:
        """Let another tab come first, between the press and the change."""
        commit_version(engine, project_id, edited, "one less", parent=lab.version, home=lab.home)
        return commit_version(engine, project_id, *args, **options)

    monkeypatch.setattr("pages.components.data.edits.commit_version", after_another)
    tab.text_input(key=f"rename-name-{lab.version}-{chosen.id}").set_value("Dark blue")
    check(next(button for button in tab.button if button.label == "Rename").click().run())
    assert "changed in another tab meanwhile" in texts(tab)
    version = lab.project.version
    assert version == lab.version + 1
    assert tab.text_input(key=f"rename-name-{version}-{chosen.id}").value == "Dark blue"
