"""Classes and clips in the names of files."""

import pytest

from tlcore.intake.meaning.file_names import are_numbered, are_pieces, classes_in_names, clips_in_names, is_group_name


@pytest.mark.parametrize(
    "pattern", ["{c}.{n}.jpg", "{c}_{n:03}.png", "{c} ({n}).jpg", "{c}{n}.jpg", "{n:04}_{c}.jpg", "{n}-{c}.jpg"]
)
def test_names_tell_classes(pattern: str):
    pairs = [(c, n) for c in ("cat", "dog") for n in range(4)]
    assert classes_in_names([pattern.format(c=c, n=n) for c, n in pairs]) == tuple(c for c, _ in pairs)


def test_names_of_several_words_are_whole_classes():
    names = ["great_pyrenees_1.jpg", "great_pyrenees_2.jpg", "pug_1.jpg", "pug_22.jpg"]
    assert classes_in_names(names) == ("great_pyrenees", "great_pyrenees", "pug", "pug")


@pytest.mark.parametrize(
    "names",
    [
        ["IMG_1.jpg", "IMG_2.jpg", "DSC_1.jpg", "DSC_2.jpg"],
        ["cat.0.jpg", "cat.1.jpg", "cat.2.jpg"],
        ["0.jpg", "1.jpg", "2.jpg"],
        ["a3f9.jpg", "b2c1.jpg", "dd07.jpg"],
        ["clip1_001.jpg", "clip1_002.jpg", "clip2_001.jpg", "clip2_002.jpg"],
        ["cat.jpg", "dog.jpg", "owl.jpg"],
        ["2021-05-03 12.14.15.jpg", "2021-05-03 12.14.16.jpg", "2021-06-03 12.14.15.jpg"],
        [],
    ],
)
def test_names_that_tell_no_classes(names: list[str]):
    assert set(classes_in_names(names)) <= {None}


def test_a_few_other_names_have_no_class():
    names = [f"{c}.{n}.jpg" for c in ("cat", "dog") for n in range(20)]
    assert classes_in_names([*names, "cover.jpg"])[-1] is None
    assert classes_in_names([*names, "cover.jpg"])[0] == "cat"


@pytest.mark.parametrize(
    "pattern", ["clip{c}_frame_{n:04}.jpg", "video{c}-{n:06}.png", "{c:05}_{n:05}.ppm", "s{c}_{n}.jpg"]
)
def test_frames_of_a_clip_are_known_by_their_names(pattern: str):
    pairs = [(c, n) for c in (1, 2, 3) for n in range(0, 40, 8)]
    clips = clips_in_names([pattern.format(c=c, n=n) for c, n in pairs])
    assert None not in clips
    assert [clips.index(clip) // 5 + 1 for clip in clips] == [c for c, _ in pairs]


def test_patients_are_known_by_their_word_even_with_one_picture():
    names = ["person1_virus_6.jpeg", "person1_virus_7.jpeg", "person2_bacteria_990.jpeg"]
    assert clips_in_names(names) == ("person1", "person1", "person2")


@pytest.mark.parametrize(
    "pattern",
    ["cat.{n}.jpg", "IMG_{n:04}.jpg", "{n}.jpg", "cat ({n}).jpg", "IMG_20210503_1214{n:02}.jpg", "case{n}.jpg"],
)
def test_a_class_in_one_series_is_no_clip(pattern: str):
    assert set(clips_in_names([pattern.format(n=n) for n in range(30)])) == {None}


def test_names_that_differ_by_a_number():
    assert are_numbered(["shop_1", "shop_2"])
    assert not are_numbered(["shop_1", "house_2"])
    assert are_pieces(["skin_images_part_1", "skin_images_part_2"])
    assert are_pieces(["fold0", "fold1"])
    assert not are_pieces(["Class_1-samples", "Class_2-samples"])
    assert not are_pieces(["shop_1", "shop_2"])


def test_names_of_patients_slides_and_clips():
    assert all(is_group_name(n) for n in ("patient007", "slide_A_benign", "Clip 3", "subject-12"))
    assert not any(is_group_name(n) for n in ("benign", "slide", "40X", "shop_1"))


def test_what_follows_the_word_of_a_camera_may_be_the_class():
    names = [f"IMG_{name}_{number}.jpg" for name in ("cat", "big dog") for number in range(3)]
    assert classes_in_names(names) == ("cat",) * 3 + ("big dog",) * 3
    kept = [f"{name}_{number}.jpg" for name in ("IMG_2024", "IMG_HDR", "PHOTO") for number in range(3)]
    assert set(classes_in_names([*kept, "IMG-20240101-WA0001.jpg", "IMG-20240101-WB0002.jpg"])) == {None}
