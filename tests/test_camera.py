"""The camera without a browser: sessions become items, what is bad is refused, what is too much is left out."""

from __future__ import annotations

import base64
import io
from dataclasses import replace
from datetime import datetime

import cv2
import numpy as np
import pytest
import sqlalchemy as sa
from PIL import Image
from streamlit.testing.v1 import AppTest

from pages.components.camera.asking import answered
from pages.components.camera.component import MAX_BARS, Message, View, answer_bars, read_message
from pages.components.camera.recorder import Recording, next_words, taken
from pages.components.state import Context, read_context
from tests.coloured_pictures import coloured_dataset, picture
from tests.drawn_scenes import draw_scene, frames_of
from tests.drawn_scenes import jpeg as jpeg_of
from tests.page_tests import OWNER, check, open_app
from tlcore.dataset import ClassLabel, Dataset, Item, check_trainable
from tlcore.errors import DatasetError
from tlcore.home import DataRoot
from tlcore.intake import camera
from tlcore.intake.camera import (
    MAX_AT_ONCE,
    MAX_PER_SECOND,
    MAX_PICTURE_BYTES,
    Session,
    add_pictures,
    split_of_session,
    with_session,
)
from tlcore.results.prediction import Predictor
from tlcore.simple_heads.instant import fit_instant, instant_items
from tlcore.storage.database import open_database
from tlcore.storage.datasets import commit_version, get_version
from tlcore.storage.images import ImageStore
from tlcore.storage.projects import create_project, get_project
from tlcore.storage.quotas import PERSON_PICTURES

WHEN = datetime(2026, 11, 27, 10, 20, 30)


def jpeg(colour: str, number: int, *, width: int = 64) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture(colour, number, width=width)).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def jpegs(colour: str, first: int, count: int) -> list[bytes]:
    return [jpeg(colour, first + number) for number in range(count)]


def session(images: int, class_name: str = "cup", mark: str = "a") -> Session:
    return Session("1", class_name, 0.0, tuple(f"{mark}{number}" for number in range(images)))


def unlike(key: str) -> bytes:
    """A thumbnail that is like no other."""
    rng = np.random.default_rng(list(key.encode()))
    return jpeg_of(cv2.resize(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8), (160, 160)))


def recorded(dataset: Dataset, images: int, class_name: str = "cup", mark: str = "a") -> Dataset:
    return with_session(dataset, session(images, class_name, mark), WHEN, unlike)


def splits(dataset: Dataset, mark: str) -> set[str]:
    return {item.split for item in dataset.items if item.image.startswith(mark)}


# ---------------------------------------------------------------- pictures of a session


def test_pictures_are_decoded_checked_and_stored_like_all_others(home: DataRoot) -> None:
    store = ImageStore(home)
    got = add_pictures(Session("1", "cup", 0.0), jpegs("red", 0, 3), store, 0.5)
    assert len(set(got.images)) == 3
    assert got.refused == ""
    with Image.open(io.BytesIO(store.read(got.images[0]))) as stored:
        assert stored.size == (64, 48)
    assert store.thumbnail(got.images[0])


def test_a_bad_picture_is_refused_with_a_sentence_and_the_others_stay(home: DataRoot) -> None:
    pictures = [jpeg("red", 0), jpeg("red", 1)[:300], b"", jpeg("red", 2)]
    got = add_pictures(Session("1", "cup", 0.0), pictures, ImageStore(home), 1.0)
    assert len(got.images) == 2
    assert "empty" in got.refused


def test_a_picture_of_many_bytes_is_refused_before_it_is_decoded(home: DataRoot) -> None:
    got = add_pictures(Session("1", "cup", 0.0), [b"x" * (MAX_PICTURE_BYTES + 1)], ImageStore(home), 1.0)
    assert got.images == ()
    assert got.refused.startswith("A picture from the camera has 500 kB; the limit is 500.")


def test_more_pictures_a_second_than_allowed_are_left_out(home: DataRoot) -> None:
    store, got, one = ImageStore(home), Session("1", "cup", 0.0), jpeg("red", 0)
    for tenth in range(30):
        got = add_pictures(got, [one] * 20, store, tenth / 10)
    assert MAX_PER_SECOND * 2 < len(got.images) <= MAX_PER_SECOND * 3 + MAX_AT_ONCE


def test_a_session_has_an_end(home: DataRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera, "MAX_PER_SESSION", 5)
    got = add_pictures(Session("1", "cup", 0.0), jpegs("red", 0, 8), ImageStore(home), 60.0)
    assert len(got.images) == 5
    assert "More than 5 pictures in one go" in got.refused


# ---------------------------------------------------------------- what becomes of a session


def test_a_session_is_one_group_on_one_side() -> None:
    dataset = recorded(recorded(Dataset(), 20), 20, mark="b")
    assert dataset.class_names == ("cup",)
    assert dataset.items[0].group == "camera 2026-11-27 10-20-30"
    assert len({(item.group, item.split) for item in dataset.items}) == len({item.group for item in dataset.items}) == 2
    assert dataset.items[0].name == "camera 2026-11-27 10-20-30 001.jpg"
    assert (splits(dataset, "a"), splits(dataset, "b")) == ({"train"}, {"test"})


def test_one_session_per_class_can_be_learned_from() -> None:
    dataset = recorded(recorded(Dataset(), 20), 20, "ball", "b")
    check_trainable(dataset)
    assert {item.split for item in dataset.items} == {"train"}


def test_most_sessions_train_and_each_part_gets_one_in_time() -> None:
    dataset = Dataset()
    order = []
    for number in range(7):
        mark = "abcdefg"[number]
        dataset = recorded(dataset, 20, mark=mark)
        order += splits(dataset, mark)
    assert order == ["train", "test", "train", "train", "validation", "train", "train"]


def test_nothing_joins_a_test_part_that_came_as_such() -> None:
    items = [Item("t", "c", "test", "t.png", given=True), Item("l", "c", "train", "l.png")]
    dataset = Dataset((ClassLabel("c", "cup", 0),), tuple(items))
    assert split_of_session(dataset, "c", 20) != "test"


def test_a_copy_of_a_picture_stays_where_that_is() -> None:
    dataset = recorded(recorded(Dataset(), 3), 5, "ball")
    assert splits(dataset, "a") == {"train"}
    again = recorded(dataset, 5, "cup")
    assert splits(again, "a") == {"train"}
    assert len(again.items) == 10  # three of the cup were there


def test_a_session_of_the_same_place_stays_with_the_one_before(home: DataRoot) -> None:
    rng, store, dataset = np.random.default_rng(5), ImageStore(home), Dataset()
    place, other = draw_scene(rng, 0), draw_scene(rng, 1)
    for number, scene in enumerate((place, place, other, place)):
        frames = [jpeg_of(frame) for frame in frames_of(scene, rng)]
        got = add_pictures(Session(str(number), "cup", 0.0), frames, store, 60.0)
        dataset = with_session(dataset, got, datetime(2026, 11, 27, 10, 20, number), store.thumbnail)
    groups = [item.group for item in dataset.items]
    assert groups == [f"camera 2026-11-27 10-20-0{number}" for number in (0, 0, 2, 0) for _ in range(6)]
    assert [item.split for item in dataset.items] == ["train"] * 12 + ["test"] * 6 + ["train"] * 6


def test_of_a_large_class_every_session_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera, "MAX_COMPARED", 12)
    rng, thumbnails, dataset = np.random.default_rng(6), dict[str, bytes](), Dataset()
    scenes = [draw_scene(rng, 0) for _ in range(4)]
    for number, scene in enumerate([*scenes, scenes[0]]):  # after many others, back to the first place
        frames = [jpeg_of(frame) for frame in frames_of(scene, rng, 10)]
        keys = tuple(f"{number}-{place}" for place in range(len(frames)))
        thumbnails |= dict(zip(keys, frames, strict=True))
        got = Session(str(number), "cup", 0.0, keys)
        dataset = with_session(dataset, got, datetime(2026, 11, 27, 10, 20, number), thumbnails.__getitem__)
    assert [item.group for item in dataset.items[-10:]] == [dataset.items[0].group] * 10
    assert len({item.group for item in dataset.items}) == 4


def test_a_session_is_compared_with_few_pictures_of_many() -> None:
    items = [Item(f"i{n}", "c", "train", f"i{n}.png") for n in range(1000)]
    items += [Item(f"a{n}", "c", "train", f"a{n}.png", group="a") for n in range(4)]
    items += [Item(f"b{n}", "c", "train", f"b{n}.png", group="b") for n in range(50)]
    some = [item.image for item in camera._some_of_each(items, 24)]
    assert [image[0] for image in some] == ["i"] * 10 + ["a"] * 4 + ["b"] * 10
    assert some[:2] == ["i0", "i100"]
    of_one = [replace(item, group=item.image) for item in items]
    assert camera._some_of_each(of_one, 24) == of_one[-24:]  # no more than that, whatever is there
    assert camera._some_of_each(items[:20], 24) == items[:20]
    assert camera._some_of_each([], 24) == []


def test_an_unusable_class_name_is_refused() -> None:
    with pytest.raises(DatasetError, match="needs a name"):
        recorded(Dataset(), 2, " ")


def test_the_first_answers_come_after_one_session_per_class(ready_home: DataRoot) -> None:
    from tlcore.config import ModelConfig
    from tlcore.simple_heads.instant import InstantFeatures

    store, dataset = ImageStore(ready_home), Dataset()
    for name in ("red", "green"):
        dataset = with_session(
            dataset, add_pictures(Session(name, name, 0.0), jpegs(name, 0, 6), store, 1.0), WHEN, store.thumbnail
        )
    features = InstantFeatures(ModelConfig(image_size=64), ready_home)
    items = instant_items(dataset)
    assert features.advance([item.image for item in items], 60) == 0
    classifier = fit_instant(dataset, items, features.known([item.image for item in items]), features)
    assert classifier is not None
    got = answered(View(asks=True), Message(7, "question", (jpeg("green", 99),)), classifier.predictor, "Instant.")
    assert got.answered == 7
    assert max(got.bars, key=lambda bar: bar["value"])["name"] == "green"


# ---------------------------------------------------------------- messages


def test_a_message_is_read() -> None:
    data = base64.b64encode(b"abc").decode()
    sent = {"number": 3, "kind": "pictures", "session": "s", "class_name": "cup", "pictures": [data], "is_last": True}
    assert read_message(sent) == Message(3, "pictures", (b"abc",), "s", "cup", True)
    assert len(read_message({"number": 3, "kind": "question", "pictures": [data] * 50}).pictures) == MAX_AT_ONCE


@pytest.mark.parametrize(
    "sent",
    [
        None,
        "text",
        {},
        {"number": 1, "kind": "delete"},
        {"number": "1", "kind": "question"},
        {"number": 1, "kind": "pictures", "pictures": "abc"},
        {"number": 1, "kind": "pictures", "pictures": [7]},
        {"number": 1, "kind": "pictures", "pictures": ["%%%"]},
        {"number": 1, "kind": "pictures", "class_name": ["cup"]},
    ],
)
def test_what_our_script_cannot_have_sent_is_ignored(sent: object) -> None:
    assert read_message(sent) is None


def predictor(num_classes: int) -> Predictor:
    names = tuple(f"class {number}" for number in range(num_classes))
    values = np.arange(1, num_classes + 1, dtype=np.float32)

    def predict(images: object) -> np.ndarray:
        return np.stack([values / values.sum() for _ in images])  # type: ignore[attr-defined]

    return Predictor(names, tuple(range(num_classes)), 64, predict)


def test_a_question_that_is_no_picture_gets_the_reason() -> None:
    got = answered(View(), Message(1, "question", (b"no picture",)), predictor(2), "note")
    assert got.bars == ()
    assert "not a picture" in got.note
    large = answered(View(), Message(2, "question", (b"x" * (MAX_PICTURE_BYTES + 1),)), predictor(2), "note")
    assert "too large" in large.note


def test_few_classes_stay_in_their_order_and_of_many_the_best_are_shown() -> None:
    assert [bar["name"] for bar in answer_bars(predictor(2), [0.3, 0.7])] == ["class 0", "class 1"]
    many = answer_bars(predictor(20), [number / 190 for number in range(20)])
    assert [bar["name"] for bar in many] == [f"class {number}" for number in range(19, 19 - MAX_BARS, -1)]


# ---------------------------------------------------------------- the recorder


@pytest.fixture
def engine(home: DataRoot) -> sa.Engine:
    return open_database(home)


@pytest.fixture
def context(engine: sa.Engine) -> Context:
    project = create_project(engine, OWNER, "Cups")
    return read_context(project.id)


def pictures_of(session_id: str, name: str, first: int, count: int = 3, *, is_last: bool = False) -> Message:
    return Message(first + 1, "pictures", tuple(jpegs("red", first, count)), session_id, name, is_last)


def notes(context: Context) -> list[str]:
    version = get_project(context.engine, context.project.id, OWNER).version or 0
    return [get_version(context.engine, context.project.id, number).note for number in range(1, version + 1)]


def test_a_session_becomes_one_version_with_a_note_for_undo(context: Context) -> None:
    recording = Recording()
    for part in range(3):
        recording = taken(recording, pictures_of("s", "Class 1", 2 * part, 2), context, None)
        assert not recording.is_stored
        assert notes(context) == []
    recording = taken(recording, pictures_of("s", "Class 1", 6, 2, is_last=True), context, None)
    assert recording.session is None
    assert recording.is_stored
    assert recording.view.said == "8 pictures recorded into Class 1, to learn from."
    assert notes(context) == ["8 pictures into Class 1"]
    dataset = read_context(context.project.id).dataset
    assert len({item.group for item in dataset.items}) == 1


def test_a_session_whose_end_got_lost_is_stored_when_the_next_begins(context: Context) -> None:
    recording = taken(Recording(), pictures_of("one", "Class 1", 0), context, None)
    recording = taken(recording, pictures_of("two", "Class 2", 10), context, None)
    assert notes(context) == ["3 pictures into Class 1"]
    assert recording.session is not None
    assert recording.session.class_name == "Class 2"


def test_a_session_that_ended_by_leaving_the_page_is_stored_when_the_camera_asks_again(context: Context) -> None:
    recording = taken(Recording(), pictures_of("one", "Class 1", 0), context, None)
    question = Message(9, "question", (jpeg("red", 9),))
    recording = taken(recording, question, context, None)
    assert recording.is_stored
    assert recording.session is None
    assert notes(context) == ["3 pictures into Class 1"]


def test_an_edit_on_another_page_in_the_meantime_is_kept(context: Context) -> None:
    recording = taken(Recording(), pictures_of("s", "Class 1", 0), context, None)
    other = coloured_dataset(context.home, per_class=4)
    commit_version(context.engine, context.project.id, other, "elsewhere", parent=None, home=context.home)
    taken(recording, pictures_of("s", "Class 1", 5, is_last=True), context, None)
    assert set(read_context(context.project.id).dataset.class_names) == {"blue", "green", "red", "Class 1"}


def test_nothing_is_remembered_but_keys(context: Context) -> None:
    recording = taken(Recording(), pictures_of("s", "Class 1", 0, 8), context, None)
    assert recording.session is not None
    assert all(len(image) == 64 for image in recording.session.images)


def test_a_class_is_renamed(context: Context) -> None:
    taken(Recording(), pictures_of("s", "Class 1", 0, is_last=True), context, None)
    rename = Message(20, "rename", class_name="Class 1", new_name="cup")
    assert taken(Recording(), rename, context, None).is_stored
    assert read_context(context.project.id).dataset.class_names == ("cup",)


def test_hints_lead_to_two_classes_and_to_something_kept_for_testing() -> None:
    dataset = Dataset()
    assert "hold the button" in next_words(dataset)
    dataset = recorded(dataset, 20)
    assert "another class" in next_words(dataset)
    dataset = recorded(dataset, 20, "ball", "b")
    assert "Record each class again from another place" in next_words(dataset)
    dataset = recorded(recorded(dataset, 20, mark="c"), 20, "ball", "d")
    assert "wrong" in next_words(dataset)


def test_the_way_opens_with_the_camera_and_trains_when_two_classes_are_there(engine: sa.Engine, home: DataRoot) -> None:
    project = create_project(engine, OWNER, "Cups")
    app = open_app("data", project=project.id)
    app = check(app.segmented_control(key="way").set_value("webcam").run())
    assert len(app.get("bidi_component")) == 1
    assert not [button for button in app.button if button.key == "train-here"]
    commit_version(engine, project.id, coloured_dataset(home), "made", parent=None, home=home)
    app = check(app.run())
    app = check(app.button(key="train-here").click().run())
    assert not [button for button in app.button if button.key == "train-here"]
    assert "Training" in "\n".join(bar.proto.text for bar in app.get("progress"))


def test_any_id_may_be_part_of_the_name_of_a_camera() -> None:
    def page() -> None:
        from pages.components.camera.component import View, draw_camera

        draw_camera("camera-a__b_", View(asks=False), lambda message: None)

    app = check(AppTest.from_function(page).run())
    assert len(app.get("bidi_component")) == 1


def test_what_somebody_has_no_room_for_is_refused_and_the_rest_is_stored(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PERSON_PICTURES.setting, "4")
    recording = taken(Recording(), pictures_of("s", "Class 1", 0, 2), context, None)
    recording = taken(recording, pictures_of("s", "Class 1", 2, 2), context, None)
    recording = taken(recording, pictures_of("s", "Class 1", 4, 2, is_last=True), context, None)
    assert len(read_context(context.project.id).dataset.items) == 4
    assert "4 pictures recorded into Class 1" in recording.view.said
    assert "more than 4 different pictures" in recording.view.said
