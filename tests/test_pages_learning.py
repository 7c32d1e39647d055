"""Model and Train pages: what is frozen, first weights, a small network, schedules, phases, the rate finder."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pages.components import forms
from pages.components.figures.network import network_figure
from pages.components.model.weights_form import resized
from pages.components.train.rate_finder import how_sure, rate_figure
from tests.lab import Lab
from tests.page_tests import check, texts
from tests.test_pages_train import lab  # noqa: F401 - a fixture
from tlcore.config import IMAGENET, RANDOM, FineTuningConfig, HeadConfig, ModelConfig, RunConfig, TrainingConfig
from tlcore.errors import StorageError
from tlcore.model.architecture import describe_model, with_weights
from tlcore.storage.database import writing
from tlcore.storage.jobs import claim_job, create_job, end_job, last_job, write_result
from tlcore.storage.requests import SettingsRequest
from tlcore.training.rate_search import RateSearch

FOUND = RateSearch(
    (1e-5, *(10 ** (-4 + step / 8) for step in range(30))), (1.0, *(1 - step / 40 for step in range(30)))
)


@pytest.fixture
def project(lab: Lab) -> Lab:  # noqa: F811 - the fixture of that module
    return lab


def test_shortcuts_freeze_all_thaw_the_top_and_thaw_all(project: Lab) -> None:
    page = project.open("model")
    page.button(key="line_Thaw all").click().run()
    assert project.config.model.first_trainable == "stem"
    page.button(key="line_Thaw top").click().run()
    top = project.config.model.first_trainable
    assert top is not None
    assert top.startswith(("block6", "block7"))
    page.button(key="line_Freeze all").click().run()
    assert project.config.model.first_trainable is None
    assert not page.exception


def test_a_block_behind_the_line_stays_frozen_when_ticked(project: Lab) -> None:
    project.change(lambda config: replace(config, model=replace(config.model, first_trainable="block6d")))
    page = project.open("model")
    learned = next(metric.value for metric in page.metric if "Learn" in metric.label)
    page.multiselect(key="also_frozen").set_value(["block7a"]).run()
    assert project.config.model.also_frozen == ("block7a",)
    assert next(metric.value for metric in page.metric if "Learn" in metric.label) != learned
    page.button(key="line_Thaw all").click().run()
    assert project.config.model.also_frozen == ()


def test_chance_instead_of_imagenet_lets_everything_learn(project: Lab) -> None:
    page = project.open("model")
    page.button_group(key="begins_with").set_value(RANDOM).run()
    model = project.config.model
    assert (model.weights, model.first_trainable) == (RANDOM, "stem")
    page.button_group(key="begins_with").set_value(IMAGENET).run()
    model = project.config.model
    assert (model.weights, model.first_trainable) == (IMAGENET, None)


def test_without_pre_training_there_is_no_second_phase() -> None:
    config = RunConfig(training=TrainingConfig(fine_tuning=FineTuningConfig("block7a")))
    assert with_weights(config, RANDOM).training.fine_tuning is None


def test_the_small_network_is_edited_block_by_block(project: Lab) -> None:
    project.change(lambda config: replace(config, model=replace(config.model, backbone="small_cnn-32-64-128")))
    page = project.open("model")
    page.button_group(key="cnn_blocks").set_value(4).run()
    assert project.config.model.backbone == "small_cnn-32-64-128-256"
    page.select_slider(key="cnn_filters_2").set_value(16).run()
    assert project.config.model.backbone == "small_cnn-32-16-128-256"
    assert project.config.model.first_trainable == "conv1"
    assert not page.exception


def test_a_small_network_with_more_blocks_gets_pictures_that_are_large_enough(project: Lab) -> None:
    small = ModelConfig("small_cnn-8-8-8-8-8", 32, first_trainable="conv1")
    project.change(lambda config: replace(config, model=small))
    page = check(project.open("model").button_group(key="cnn_blocks").set_value(6).run())
    assert project.config.model.image_size == 64
    assert "Small CNN (8, 8, 8, 8, 8, 16 filters)" in texts(page)


def test_the_scaling_of_pixels_is_a_choice_that_names_the_mistake(project: Lab) -> None:
    project.change(lambda config: replace(config, model=ModelConfig("mobilenet_v2")))
    page = project.open("model")
    assert "MobileNetV2 expects -1 to 1." in texts(page)
    assert "mistake" not in texts(page)
    page = check(page.button_group(key="pixel_scaling").set_value("divide_255").run())
    assert project.config.model.pixel_scaling == "divide_255"
    assert "A common mistake of tutorials" in texts(page)
    project.change(lambda config: replace(config, model=ModelConfig("small_cnn-8-16", 64, first_trainable="conv1")))
    assert "pixel_scaling" not in [group.key for group in project.open("model").button_group]


def test_where_weights_of_ones_own_are_found_is_one_tap_away(project: Lab) -> None:
    page = project.open("model")
    page = check(page.button_group(key="begins_with").set_value("file").run())
    for name in ("RadImageNet", "Keras-VGG16-places365", "iNaturalist"):
        assert name in texts(page)


def test_a_file_is_asked_for_until_another_backbone_is_chosen(project: Lab) -> None:
    page = project.open("model")
    page = check(page.button_group(key="begins_with").set_value("file").run())
    assert "Until you bring one, nothing changes: ImageNet." in texts(page)
    page = check(page.selectbox(key="backbone").set_value("mobilenet_v2").run())
    assert page.button_group(key="begins_with").value == IMAGENET


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (ModelConfig(), "stay still even in blocks that learn"),
        (ModelConfig(weights=RANDOM), "learn with their block"),
        (ModelConfig("vgg16"), "has no batch normalization layers"),
    ],
)
def test_batch_normalization_is_explained_for_this_network(project: Lab, model: ModelConfig, words: str) -> None:
    project.change(lambda config: replace(config, model=model))
    assert words in texts(check(project.open("model")))


def test_a_network_grows_by_doubling_and_shrinks_from_the_top() -> None:
    assert resized((8, 300), 4) == (8, 300, 512, 512)
    assert resized((8, 16, 32), 1) == (8,)


def test_a_head_that_is_far_too_large_is_said_with_numbers(project: Lab) -> None:
    page = project.open("model")
    assert "for each" not in texts(page)
    head = HeadConfig(pooling="flatten", dense_units=(1024,))
    project.change(lambda config: replace(config, model=replace(config.model, head=head)))
    page = project.open("model")
    # 7 x 7 x 1280 inputs and a bias for each of 1,024 units, then two classes; 12 training pictures.
    weights = (7 * 7 * 1280 + 1) * 1024 + (1024 + 1) * 2
    assert f"{weights // 12:,} for each" in texts(page)
    assert f"{weights // 12:,} for each" in texts(project.open("train"))


def test_large_pictures_need_no_word_about_their_size(project: Lab) -> None:
    assert "enlarged" not in texts(project.open("model"))


@pytest.mark.parametrize(
    ("changes", "words", "measured"),
    [
        ({"image_size": 299}, "so they are enlarged 2 times. That adds no detail", True),
        ({"image_size": 150}, "and they stay as small. Things are then far from the size", True),
        ({"image_size": 299, "weights": RANDOM}, "so they are enlarged 2 times: that adds time and no detail", False),
        ({"image_size": 150, "weights": RANDOM}, "Every picture becomes a square of 150", False),
    ],
)
def test_small_pictures_are_explained(project: Lab, changes: dict[str, object], words: str, measured: bool) -> None:
    model = ModelConfig(backbone="inception_v3", **changes)  # type: ignore[arg-type]
    project.change(lambda config: replace(config, model=model))
    page = texts(project.open("model"))
    assert words in page
    assert ("measured with EfficientNet-Lite0, all frozen, on CIFAR-10" in page) is measured
    assert ("Yours have about" in page) is (measured or "enlarged" in words)


def test_the_second_phase_is_one_switch_and_its_parts_are_saved(project: Lab) -> None:
    page = project.open("train")
    page.toggle(key="fine_tune").set_value(True).run()
    tuning = project.config.training.fine_tuning
    assert tuning == FineTuningConfig("block6a", epochs=5, learning_rate=1e-4)
    page.selectbox(key="tuning_block").set_value("block7a").run()
    page.number_input(key="tuning_epochs").set_value(3).run()
    page.select_slider(key="tuning_rate").set_value(0.001).run()
    assert project.config.training.fine_tuning == FineTuningConfig("block7a", 3, 0.001)
    assert "only 3 times smaller" in texts(page)
    page.selectbox(key="tuning_schedule").set_value("constant").run()
    tuning = FineTuningConfig("block7a", 3, 0.001, "constant")
    assert project.config.training.fine_tuning == tuning
    page.toggle(key="fine_tune").set_value(False).run()
    assert project.config.training.fine_tuning is None
    assert not page.exception


def test_a_second_phase_that_the_line_has_overtaken_is_gone(project: Lab) -> None:
    tuning = FineTuningConfig("block6a")
    project.change(lambda config: replace(config, training=replace(config.training, fine_tuning=tuning)))
    page = project.open("model")
    page.select_slider(key="first_trainable").set_value("block7a").run()
    assert project.config.training.fine_tuning == tuning
    page.select_slider(key="first_trainable").set_value("block6a").run()
    assert project.config.training.fine_tuning is None
    assert not project.open("train").toggle(key="fine_tune").value


def test_nothing_is_left_to_thaw_when_all_blocks_learn(project: Lab) -> None:
    project.change(lambda config: replace(config, model=replace(config.model, first_trainable="stem")))
    page = project.open("train")
    assert page.toggle(key="fine_tune").disabled


def test_schedule_balance_and_smoothing_are_saved(project: Lab) -> None:
    page = project.open("train")
    page.selectbox(key="schedule").set_value("cosine").run()
    page.number_input(key="warmup_epochs").set_value(2).run()
    page.selectbox(key="balance").set_value("weights").run()
    page.slider(key="label_smoothing").set_value(0.1).run()
    training = project.config.training
    saved = (training.schedule, training.warmup_epochs, training.balance, training.label_smoothing)
    assert saved == ("cosine", 2, "weights", 0.1)
    assert "Yours have nearly the same size." in texts(page)


def test_a_warm_up_longer_than_the_training_cannot_start(project: Lab) -> None:
    project.change(lambda config: replace(config, training=replace(config.training, epochs=5, warmup_epochs=6)))
    page = project.open("train")
    assert texts(page).count(r"epochs is longer than the training\, which has 5") == 1
    assert page.button(key="start").disabled
    for key in ("find_rate", "train-probes"):  # what has no warm-up is free to go
        assert not page.button(key=key).disabled


@pytest.mark.usefixtures("no_runner")
def test_a_search_is_started_shown_and_its_suggestion_taken_with_one_tap(project: Lab) -> None:
    page = project.open("train")
    page.button(key="find_rate").click().run()
    search = last_job(project.engine, project.project_id, "search")
    assert search is not None
    job = claim_job(project.engine, "search")
    assert job is not None
    assert job.id == search.id
    assert any(button.key == f"stop-{job.id}" for button in project.open("train").button)
    with writing(project.engine) as connection:
        write_result(connection, job.id, job.attempt, FOUND)
    end_job(project.engine, job.id, job.attempt, "finished")
    page = project.open("train")
    page.button(key="use_rate").click().run()
    assert project.config.training.learning_rate == FOUND.suggestion


def test_a_failed_search_says_why(project: Lab) -> None:
    job_id = create_job(project.engine, "search", project.project_id, SettingsRequest(project.version, project.config))
    job = claim_job(project.engine, "search")
    assert job is not None
    end_job(project.engine, job_id, job.attempt, "failed", "The disk is full.")
    assert any("The disk is full" in error.value for error in project.open("train").error)


def test_the_search_is_drawn_on_a_logarithmic_axis_with_its_suggestion() -> None:
    figure = rate_figure(FOUND, 0.003)
    assert figure["layout"]["xaxis"]["type"] == "log"
    assert [line["label"]["text"] for line in figure["layout"]["shapes"]] == ["now", "suggested"]
    assert [len(trace["x"]) for trace in figure["data"]] == 3 * [len(FOUND.rates)]
    for low, high, mean in zip(*(trace["y"] for trace in figure["data"]), strict=True):
        assert low <= mean <= high


def test_the_page_says_how_far_the_sweeps_agree() -> None:
    slow, quick = (tuple(1 / (1 + rate / middle) for rate in FOUND.rates) for middle in (0.001, 0.01))
    found = RateSearch.of_sweeps(FOUND.rates, [list(slow), list(quick)])
    low, high = found.single_suggestions
    assert low < high
    words = how_sure(found, 0.02)
    assert "the mean of 2 sweeps" in words
    assert words.endswith(f"Together they suggest 0.02, alone {low:g} to {high:g}.")
    agreed = RateSearch.of_sweeps(FOUND.rates, [list(slow), list(slow)])
    assert how_sure(agreed, low).endswith(f"Together they suggest {low:g}, alone {low:g}.")


@pytest.mark.parametrize(
    ("model", "warned"),
    [
        (ModelConfig(first_trainable="block7a"), True),
        (ModelConfig(first_trainable="stem", weights=RANDOM), False),
        (ModelConfig(backbone="small_cnn-8-16", image_size=64, first_trainable="conv1"), False),
    ],
)
def test_large_steps_are_a_danger_only_to_what_knows_something(project: Lab, model: ModelConfig, warned: bool) -> None:
    project.change(lambda config: replace(config, model=model))
    assert ("spoil what they know" in texts(project.open("train"))) is warned


def test_a_choice_that_could_not_be_stored_is_said(project: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object) -> None:
        raise StorageError("Nothing was saved: the disk is full.")

    page = project.open("train")
    monkeypatch.setattr(forms, "change_config", refuse)
    page = check(page.number_input(key="epochs").set_value(7).run())
    assert "the disk is full" in page.error[0].value
    assert page.number_input(key="epochs").value == RunConfig().training.epochs
    assert not check(page.run()).error


def test_a_line_that_another_tab_left_at_another_backbone_is_mended(project: Lab) -> None:
    wrong = ModelConfig("mobilenet_v2", first_trainable="block6c")
    project.change(lambda config: replace(config, model=wrong))
    for step in ("model", "train"):
        check(project.open(step))


def test_the_line_is_drawn_before_the_first_block_that_learns() -> None:
    model = ModelConfig(first_trainable="block6a", also_frozen=("block7a", "top"))
    figure = network_figure(describe_model(model, 2), 224)
    (bars,) = figure["data"]
    (line,) = figure["layout"]["shapes"]
    below = [block for block, place in zip(bars["customdata"], bars["y"], strict=True) if place > line["y0"] and block]
    assert below[0] == "block6a"
    assert below[-1] == "top"
