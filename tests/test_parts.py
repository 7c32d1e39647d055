"""Train, validation and test in many spellings and languages."""

import pytest

from tlcore.intake.meaning.parts import holds_pictures, is_unlabelled, part_of, parts_among


@pytest.mark.parametrize(
    ("split", "names"),
    [
        (
            "train",
            """train TRAIN Training training_set seg_train train_images images_train Train_Set_Folder trainset
            trainData train2017 train-1 entrenamiento apprentissage Entraînement Trainingsdaten treino 训练 訓練 训练集
            訓練データ обучение обучающая_выборка eğitim 학습""",
        ),
        (
            "validation",
            """val VALID Validation validation_set dev eval valset validación validação Validierungsdaten 验证集 検証
            валидация 검증""",
        ),
        ("test", "test Testing test_set seg_test test1 Testdaten Testbilder prueba тест 测试 テスト 测试集图片 tests"),
    ],
)
def test_parts_are_known_in_many_spellings(split: str, names: str):
    assert {name: part_of(name) for name in names.split()} == dict.fromkeys(names.split(), split)


def test_other_names_are_no_parts():
    names = "cat test_tube trainer value device steam_train valley contest latest развал evaluate_me train_test 1"
    assert {name: part_of(name) for name in names.split()} == dict.fromkeys(names.split())


def test_what_else_the_names_say_must_be_said_by_two_parts():
    assert parts_among(["flowers_train", "flowers_test"]) == {
        "flowers_train": ("train", ""),
        "flowers_test": ("test", ""),
    }
    assert parts_among(["steam_train", "test_tube", "train"]) == {"train": ("train", "")}


def test_names_of_parts_may_tell_classes_apart():
    names = ["trainA", "trainB", "testA", "testB"]
    assert parts_among(names) == {
        "trainA": ("train", "A"),
        "trainB": ("train", "B"),
        "testA": ("test", "A"),
        "testB": ("test", "B"),
    }
    assert parts_among(["train_class1", "train_class2", "val_class1", "val_class2"])["val_class2"] == (
        "validation",
        "class 2",
    )


def test_folders_that_only_hold_pictures_are_known_by_name():
    assert all(holds_pictures(name) for name in ("images", "JPEGImages", "image_data", "Bilder 2", "图片", "imágenes"))
    assert not any(holds_pictures(name) for name in ("raw", "2", "cat images", "sketch", "setter", "database"))


def test_folders_of_unknown_pictures_are_known_by_name():
    assert all(is_unlabelled(name) for name in ("seg_pred", "Predictions", "unlabeled", "unlabelled_images", "pred1"))
    assert not any(is_unlabelled(name) for name in ("cat", "predator", "images", "unlabelled cat", "no_tumor"))
