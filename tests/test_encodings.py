"""Names in old encodings, guessed from all names of an archive together."""

import itertools
import random

import pytest

from tlcore.intake.archives.encodings import decode_names

WORDS = {
    "japanese": (
        "表 能力 力 ソース 十 申 猫 犬 花 葉 りんご バナナ ねこ いぬ 良品 不良品 正常 異常 訓練 テスト "
        "学習データ 画像 写真 東京 予測"
    ),
    "simplified": (
        "猫 狗 花 叶子 苹果 香蕉 正常 异常 训练 测试 验证 图片 汽车 自行车 向日葵 郁金香 蒲公英 良性 恶性 "
        "新建文件夹 垃圾 可回收"
    ),
    "traditional": (
        "貓 狗 花 葉子 蘋果 香蕉 正常 異常 訓練 測試 驗證 圖片 汽車 腳踏車 向日葵 鬱金香 良性 惡性 新增資料夾 "
        "功能 許願 蓋子"
    ),
    "korean": (
        "고양이 개 강아지 꽃 잎 사과 바나나 정상 비정상 훈련 테스트 검증 이미지 사진 자동차 해바라기 튤립 "
        "새폴더 나비 쓰레기 재활용"
    ),
    "german": (
        "Äpfel Müll Löwe Hündin Vögel Bäume Blüten Rötlich Grün Weiß Straße Größe Übung Käse Brötchen Möhre "
        "Kühe Frösche Häuser"
    ),
    "french": (
        "été pêche forêt café fenêtre chêne hêtre élève léopard éléphant zèbre lièvre chèvre crêpe gâteau "
        "légumes théière"
    ),
    "russian": (
        "кошка собака цветок лист яблоко банан апельсин норма патология обучение проверка картинки "
        "Новая_папка Кошки Грибы"
    ),
}
ENCODINGS = [
    *(("japanese", "cp932"), ("simplified", "gb18030"), ("traditional", "cp950"), ("korean", "cp949")),
    *(("german", "cp437"), ("german", "cp850"), ("german", "cp1252"), ("german", "mac_roman")),
    *(("french", "cp850"), ("french", "cp1252"), ("french", "mac_roman"), ("russian", "cp866"), ("russian", "cp1251")),
]


def decoded(words: list[str], encoding: str) -> list[str]:
    names = [f"pets/{word}/IMG_{i}.jpg".encode(encoding) for i, word in enumerate(words)]
    texts = decode_names(names)
    return [texts[name].split("/")[1] for name in names]


@pytest.mark.parametrize(("language", "encoding"), ENCODINGS)
def test_the_names_of_three_classes_are_nearly_always_read(language: str, encoding: str):
    draw = random.Random(0)
    draws = [draw.sample(WORDS[language].split(), 3) for _ in range(50)]
    right = sum(decoded(words, encoding) == words for words in draws)
    assert right >= 47


@pytest.mark.parametrize(("language", "encoding"), ENCODINGS)
def test_the_names_of_ten_classes_are_read(language: str, encoding: str):
    words = WORDS[language].split()[:10]
    assert decoded(words, encoding) == words


def test_a_backslash_inside_a_letter_is_no_folder():
    assert decoded(["表", "能力", "力"], "cp932") == ["表", "能力", "力"]


def test_all_names_are_read_alike_whatever_their_order():
    words = ["표준", "개", "고양이"]
    for order in itertools.permutations(words):
        assert decoded(list(order), "cp949") == list(order)


def test_names_in_unmarked_utf8_stay_utf8():
    words = ["Kätze", "猫", "кошка", "été"]
    assert decoded(words, "utf-8") == words


def test_a_broken_byte_leaves_the_others_readable():
    texts = decode_names([*(word.encode("cp932") for word in WORDS["japanese"].split()), b"\x81\xff.jpg"])
    assert "\ufffd" in texts[b"\x81\xff.jpg"]
    assert set(WORDS["japanese"].split()) < set(texts.values())
