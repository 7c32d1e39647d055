"""Names of the parts of a data set: train, validation and test in the spellings and languages that data sets use."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable
from functools import lru_cache

from tlcore.dataset import Split

_WORDS: dict[Split, str] = {
    "train": """train training trainings trainval trn learn learning entrenamiento entrenar treino treinamento
        apprentissage entraînement lernen addestramento allenamento trening treningowy treningowe uczący trénovací
        träning træning eğitim koulutus opetus обучение обучающая обучающий тренировка тренировочная навчання
        тренувальна εκπαίδευση latih pelatihan 训练 訓練 学習 トレーニング 훈련 학습 تدريب प्रशिक्षण אימון""",
    "validation": """val valid validation validate vali dev development eval evaluation validación validação validierung
        validierungs validazione convalida validatie walidacja walidacyjny validační validering doğrulama validasi
        валидация валидационная проверка валідація επικύρωση 验证 驗證 検証 검증""",
    "test": """test testing tests tst prueba pruebas teste testes testowy testowe testovací testi pengujian uji тест
        тестовая тестовый тестирование тестування δοκιμή 测试 測試 テスト 테스트 시험 اختبار परीक्षण""",
}
# What may stand beside such a word without changing what the folder is.
_FILLERS = """set sets data dataset datasets image images img imgs picture pictures photo photos pic pics folder folders
    split splits sample samples file files jpg jpeg jpegs png pngs datos imagenes conjunto dados imagens données jeu
    ensemble daten bilder satz datensatz dati immagini insieme gegevens afbeeldingen veri seti görüntüleri данные набор
    выборка изображения dane obrazy zbiór 集 セット 数据 數據 データ 用 图片 图像 圖片 圖像 画像
    样本 세트 데이터 셋 용 이미지"""
_LOOSE_FILLERS = "to seg de d des di der the of for my final new raw original resized full all dir v part mini simple"
_UNLABELLED = """pred preds predict predicts predicting prediction predictions unlabeled unlabelled unsupervised
    inference infer submission unsorted unsortiert uncategorized"""


def _fold(text: str) -> str:
    """Return a text without case and accents."""
    letters = unicodedata.normalize("NFKD", text.casefold())
    return unicodedata.normalize("NFC", "".join(c for c in letters if unicodedata.category(c) != "Mn"))


def _alternatives(words: Iterable[str]) -> str:
    return "|".join(sorted(map(re.escape, words), key=len, reverse=True))


_SPLITS: dict[str, Split] = {_fold(word): split for split, words in _WORDS.items() for word in words.split()}
_JOINED = _alternatives(_fold(_FILLERS).split())
_PART = re.compile(rf"(?:{_JOINED})*({_alternatives(_SPLITS)})(?:s?(?:{_JOINED}))*")
_PICTURES = re.compile(rf"(?:{_JOINED})+")
_FILLER = re.compile(rf"(?:{_JOINED})+|{_alternatives(_LOOSE_FILLERS.split())}")
_UNLABELLED_WORDS = frozenset(_UNLABELLED.split())


def part_of(name: str) -> Split | None:
    """Return the part that a folder's name or a word in a label file means: `Train_Set`, `val2017`, `Testdaten`.

    `None` if it says anything else too, such as `test tube`.
    """
    found = _read(name)
    return found[0] if found and not found[1] else None


def parts_among(names: Iterable[str], whole: Collection[str] = ()) -> dict[str, tuple[Split, str]]:
    """Return which of the folders beside each other are parts, each with its split and what else its name says.

    What else a name says (`flowers_train`, `train_cat`) is allowed if another part says the same. It is empty where
    all parts say the same, and otherwise tells classes apart: `train_cat`, `train_dog`, `test_cat`, `test_dog`.

    Args:
        names: The folders.
        whole: Those of them that hold several class folders; beside `validation-horses` the folder `horses` is the
            part for training then.
    """
    read = {name: found for name in names if (found := _read(name))}
    plain = {_fold(" ".join(_tokens(name))): name for name in whole if name not in read}
    for split, rest in list(read.values()):
        if split != "train" and (twin := plain.get(_fold(rest))):
            read[twin] = ("train", rest)
    splits = defaultdict(set)
    for split, rest in read.values():
        splits[rest.casefold()].add(split)
    parts = {n: (split, rest) for n, (split, rest) in read.items() if not rest or len(splits[rest.casefold()]) > 1}
    several = len({rest.casefold() for _, rest in parts.values()}) > 1
    return {name: (split, rest if several else "") for name, (split, rest) in parts.items()}


def holds_pictures(name: str) -> bool:
    """Return whether a folder's name says only that pictures lie in it: `images`, `Bilder 2`, `image_data`."""
    tokens = [_fold(token) for token in _tokens(name)]
    return any(_PICTURES.fullmatch(t) for t in tokens) and all(t.isdigit() or _FILLER.fullmatch(t) for t in tokens)


def is_unlabelled(name: str) -> bool:
    """Return whether a folder's name says that nobody knows what its pictures show: `seg_pred`, `unlabelled`."""
    tokens = [_fold(token) for token in _tokens(name)]
    return any(t in _UNLABELLED_WORDS for t in tokens) and all(
        t in _UNLABELLED_WORDS or t.isdigit() or _FILLER.fullmatch(t) for t in tokens
    )


def _tokens(name: str) -> list[str]:
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", unicodedata.normalize("NFC", name))
    return re.findall(r"\d+|(?:[^\W\d_]|[\u0300-\u036f\u0900-\u097f])+", spaced)


@lru_cache(maxsize=4096)
def _read(name: str) -> tuple[Split, str] | None:
    """Return the part in a name and the words besides; `None` if it names none, or two."""
    splits: set[Split] = set()
    rest: list[str] = []
    for token in _tokens(name):
        folded = _fold(token)
        match = _PART.fullmatch(folded)
        if match:
            splits.add(_SPLITS[match.group(1)])
        elif not _FILLER.fullmatch(folded):
            rest.append(token)
    if len(splits) != 1:
        return None
    words = " ".join(rest)
    return splits.pop(), "" if words.replace(" ", "").isdigit() else words
