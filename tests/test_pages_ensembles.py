"""Groups of runs on the pages."""

from __future__ import annotations

from tests.finished_runs import (
    COLORS,
    Finished,
    accuracy_of,
    all_text,
    make_group,
    open_step,
    picture,
    press,
    table_with,
)
from tlcore.dataset import Dataset
from tlcore.results.evaluation import VALIDATION_FILE_NAME
from tlcore.storage.datasets import commit_version
from tlcore.storage.ensembles import list_ensembles


def test_two_runs_become_a_group_that_is_looked_at_like_a_run_and_survives_a_reload(make_finished) -> None:
    finished = make_finished()
    finished.add_run(wrong=(30, 31, 32))
    finished.add_run(wrong=(0, 1, 30))
    page = open_step("understand", finished.project_id)
    group_id = make_group(finished, page)
    for shown in (page, open_step("understand", finished.project_id, group_id)):
        assert shown.query_params["run"] in (group_id, [group_id])
        assert any("Runs 1 and 2" in option for option in shown.selectbox[0].options)
        # Where only one is wrong, the surer one wins: 31 and 32 are sure mistakes, 0 and 1 are not.
        assert accuracy_of(shown).startswith("Validation accuracy 92 %")
        rows = table_with(shown.table, "Model")
        assert list(rows["Model"]) == ["**The group**", "Run 1", "Run 2"]
        assert list(rows["Validation accuracy"]) == ["92 % (80 to 97 %)"] * 3
        assert list(rows["Counts"]) == ["", "50 %", "50 %"]
        assert "Of 40 validation pictures the group and Run 1 got the same number right" in all_text(shown)
    group = list_ensembles(finished.engine, finished.project_id)[0]
    assert (group.validation_correct, group.validation_total) == (37, 40)
    press(page, "open-exam")
    assert list(table_with(page.table, "Test accuracy")["Test accuracy"]) == [
        "100 % (91 to 100 %)",
        *["exam not opened"] * 2,
    ]


def test_weights_are_fitted_when_the_runs_kept_their_validation_answers(make_finished) -> None:
    finished = make_finished()
    finished.add_run()
    finished.add_run(wrong=range(39))
    page = open_step("understand", finished.project_id)
    weighting = next(group for group in page.button_group if group.key == "group-weighting")
    weighting.set_value("validation").run()
    assert "Run 1: 100 %, Run 2: 0 %. A run that counts nothing is not asked." in all_text(page)
    page.text_input(key="group-name").set_value("*Our* best")
    group = make_group(finished, page)
    kept = list_ensembles(finished.engine, finished.project_id)[0]
    assert (kept.config.weights, kept.config.weighting, kept.name) == ((1.0, 0.0), "validation", "*Our* best")
    text = all_text(open_step("understand", finished.project_id, group))
    assert "fitted their weights: the number is optimistic" in text
    assert "on the validation pictures, which flatters it here" in text


def test_members_from_an_earlier_version_make_a_group_whose_validation_is_not_known(make_finished) -> None:
    finished = make_finished()
    finished.add_run()
    finished.forget_validation(finished.add_run())
    page = open_step("understand", finished.project_id)
    assert "All count the same." in all_text(page)
    make_group(finished, page)
    assert page.selectbox[0].options[2] == "Group \u201cRuns 1 and 2\u201d"
    assert "kept no answers to the validation pictures" in page.info[0].value
    assert [button.key for button in page.button if button.key == "open-exam"]
    assert [button.label for button in page.button if str(button.key).startswith("delete-group")] == ["Delete"]


def test_runs_on_other_pictures_cannot_join(make_finished) -> None:
    finished = make_finished()
    finished.add_run()
    dataset = Dataset(finished.dataset.classes, finished.dataset.items[:-1])
    version = commit_version(
        finished.engine, finished.project_id, dataset, "one less", parent=finished.version, home=finished.home
    )
    Finished(finished.engine, finished.home, finished.project_id, dataset, version).add_run()
    page = open_step("understand", finished.project_id)
    assert any("two runs on the same pictures" in info.value for info in page.info)


def test_a_group_predicts_and_is_deleted_without_its_runs(make_finished, predictor) -> None:
    finished = make_finished()
    finished.add_run()
    finished.add_run()
    group_id = make_group(finished, open_step("understand", finished.project_id))
    page = open_step("predict", finished.project_id, group_id)
    page.file_uploader[0].upload("a.png", picture(COLORS[0])).run()
    assert "The model says red" in all_text(page)
    page = open_step("understand", finished.project_id, group_id)
    page.button(key=f"delete-{group_id}").click().run()
    assert not page.exception
    assert list_ensembles(finished.engine, finished.project_id) == []
    assert len(page.selectbox[0].options) == 2
    assert page.selectbox[0].options[0].startswith("Run 2")


def test_a_group_whose_run_has_damaged_files_is_explained_and_can_be_deleted(make_finished) -> None:
    finished = make_finished()
    first = finished.add_run()
    finished.add_run()
    group_id = make_group(finished, open_step("understand", finished.project_id))
    (finished.home.run_dir(first) / VALIDATION_FILE_NAME).write_bytes(b"PK broken")
    page = open_step("understand", finished.project_id, group_id)
    assert "Train again" in page.error[0].value
    assert page.button(key=f"delete-{group_id}").label == "Delete"


def test_the_address_of_a_group_leads_to_no_error_on_train_and_export(make_finished) -> None:
    finished = make_finished()
    finished.add_run()
    finished.add_run()
    group_id = make_group(finished, open_step("understand", finished.project_id))
    page = open_step("export", finished.project_id, group_id)
    assert not page.button(key="make").disabled
    assert [str(link.url) for link in page.get("link_button")] == []  # no run stands for the group
    assert not open_step("train", finished.project_id, group_id).error
