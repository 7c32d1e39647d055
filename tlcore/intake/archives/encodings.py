"""Names that an archive does not keep in Unicode: in which old encoding they are written, judged by all together."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import cache
from itertools import pairwise

_FREQUENT_KANJI = (
    "日一人年大本中長出三時行見月分後前生五間上東四今金九入学高円子外八六下来気小七山話女北午百書先名川千水半男西電校語土木"
    "聞食車何南万毎白天母火右読友左休父雨新社家会同事自発者地業方場員立開手力問代明動京目通言理体田主題意不作用度強公持野以思"
    "世多正安院心界教文元重近考画海売知道集別物使品計死特私始朝運終台広住無真有口少町料工建空急止送切転研足究楽起着店病質待試"
    "族銀早映親験英医仕去味写字答夜音注帰古歌買悪図週室歩風紙黒花春赤青館屋色走秋夏習駅洋旅服飲肉鳥飯冬茶牛魚犬表能申十猫葉"
)
_FREQUENT_SIMPLIFIED = (
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道行所然家种事成方"
    "多经么去法学如都同现当没动面起看定天分还进好小部其些主样理心她本前开但因只从想实日军者意无力它与长把机十民第公此已工使情"
    "明性知全三又关点正业外将两高间由问很最重并物手应战向头文体政美相见被利什二等产或新己制身果加西月话合回特代内信表化老给世"
    "位次度门任常先海通教儿原东声提立及比员解水名真论处走义各入几口认条平系气题活更别打女变四神总何电数安少报结反受目太量再感"
    "建场件计管期市直资命山金指区保至形空决马科五眼书非则白界光强像难象完设式色路记南品住告类求据程北边死交规取格望觉确师观清"
    "今切院识带导争运猫狗花叶鸟鱼牛羊猪车船树草苹蕉红绿蓝黄黑坏异训练测试验证图片照"
)
_FREQUENT_TRADITIONAL = (
    "的一是不了在人有我他這個們中來上大為和國地到以說時要就出會可也你對生能而子那得於著下自之年過發後作裡用道行所然家種事成方"
    "多經麼去法學如都同現當沒動面起看定天分還進好小部其些主樣理心她本前開但因只從想實日軍者意無力它與長把機十民第公此已工使情"
    "明性知全三又關點正業外將兩高間由問很最重並物手應戰向頭文體政美相見被利什二等產或新己制身果加西月話合回特代內信表化老給世"
    "位次度門任常先海通教兒原東聲提立及比員解水名真論處走義各入幾口認條平系氣題活更別打女變四神總何電數安少報結反受目太量再感"
    "建場件計管期市直資命山金指區保至形空決馬科五眼書非則白界光強像難象完設式色路記南品住告類求據程北邊死交規取格望覺確師觀清"
    "今切院識帶導爭運貓狗花葉鳥魚牛羊豬車船樹草蘋蕉紅綠藍黃黑壞異訓練測試驗證圖片照"
)
_FREQUENT_HANGUL = (
    "이다는을의에가고하지로도사한은리나를인있대시아기어그자수정보일부여해서장전스들제원주과면공구성상우동선라마안연신조국만비모"
    "경요유적게위무오방내분관실소식문민산용행개세중치물양바화미진생호트드계당거단저명회체본반재금강까발통던남말려데러간차피종초음"
    "타노학심었결레달루교현니르임력업살집불터메년별천배포감영북후길급류점술출입월플블디클래크카파티코토프히키추최된두야새꽃잎검증"
)
_FREQUENT_LATIN = "éäöüßàèçñóáíãåøæêôâîúõÄÖÜÉÅØÀÇ"
_FREQUENT_CYRILLIC = "оеаинтсрвлкмдпуяыьгзбчйхжшюцщэф"

_ODD_ENDS = "\\@[]{}^`|~"
_MARKS = "、。・（）「」『』【】～　：，！？－＿々" + "".join(
    map(chr, [*range(0xFF10, 0xFF1A), *range(0xFF21, 0xFF5B)])
)

# The share of a text's characters that a class of them has, from frequent to foreign. Only their order matters much.
_RARE = 0.01
_FOREIGN = math.log(1e-6)
_BROKEN_BYTE = math.log(1e-8)
_PLAIN = math.log(1 / 40)  # a letter of a word in plain ASCII, whatever the encoding
# A kanji beside a Latin letter, a capital inside a word, two accents together, a bracket behind an accent.
_ODD_NEIGHBOURS = math.log(0.01)


# The encoding, its script, and how probable it is before any name was seen. ZIP files of Windows are written in the
# encoding of its old command line: 437 and 850 in the West, 866 in Russia.
_ENCODINGS: dict[str, tuple[str, float]] = {
    "cp437": ("latin", 1.0),
    "cp850": ("latin", 0.9),
    "cp1252": ("latin", 0.3),
    "mac_roman": ("latin", 0.1),
    "cp866": ("cyrillic", 0.5),
    "cp1251": ("cyrillic", 0.3),
    "cp932": ("japanese", 1.0),
    "gb18030": ("simplified", 1.0),
    "cp950": ("traditional", 0.5),
    "cp949": ("korean", 1.0),
}


def decode_names(names: Iterable[bytes]) -> dict[bytes, str]:
    """Return names of one archive as text: in UTF-8 if all of them are, else in the old encoding that suits all best.

    A byte that means nothing in it becomes a replacement character. A wrong guess is mild: a class can be renamed.
    """
    distinct = set(names)
    pieces = {piece for name in distinct for piece in name.split(b"/") if not piece.isascii()}
    encoding = "utf-8" if all(_is_utf8(piece) for piece in pieces) else old_encoding(pieces)
    return {name: name.decode(encoding, "replace") for name in distinct}


def _is_utf8(piece: bytes) -> bool:
    try:
        piece.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def old_encoding(pieces: Iterable[bytes]) -> str:
    """Return the encoding of before Unicode that suits pieces of text best, all together."""
    # Where pieces of a path end is known in any encoding: no letter of several bytes holds a slash.
    some = sorted(pieces)[:2000]

    def probability(encoding: str) -> float:
        script, prior = _ENCODINGS[encoding]
        return math.log(prior) + sum(_log_probability(p.decode(encoding, "replace"), script) for p in some)

    return max(_ENCODINGS, key=probability)


def _log_probability(text: str, script: str) -> float:
    total, word = 0.0, ""
    for c in text + " ":
        if c.isalpha():
            word += c
            continue
        total += _word(word, script)
        if word and not word[-1].isascii() and c in _ODD_ENDS:
            total += _ODD_NEIGHBOURS
        word = ""
        if c == "\ufffd":
            total += _BROKEN_BYTE
        elif not c.isascii():
            total += _costs(script).get(c, _FOREIGN)
    return total


def _word(word: str, script: str) -> float:
    if word.isascii():
        return len(word) * _PLAIN
    total = _ODD_NEIGHBOURS * (word != word.capitalize() and not word.islower() and not word.isupper())
    total += sum(_PLAIN if c.isascii() else _costs(script).get(c, _FOREIGN) for c in word)
    for before, c in pairwise(word):
        # Accents stand among plain letters, all others do not.
        odd = not (before.isascii() or c.isascii()) if script == "latin" else before.isascii() != c.isascii()
        total += _ODD_NEIGHBOURS * odd
    return total


@cache
def _costs(script: str) -> Mapping[str, float]:
    """Return the logarithm of each character's probability in names of a script; what is not in it is foreign."""
    frequent, usual, rare, share = _characters(script)
    costs: dict[str, float] = {}
    for part, characters in ((_RARE, rare), (1 - share, usual)):
        distinct = set(characters)
        costs.update(dict.fromkeys(distinct, math.log(part / len(distinct))))
    # The frequent ones are listed the most frequent first; in a language, the n-th word or sign has about 1/n.
    weights = {c: 1 / (rank + 10) for rank, c in enumerate(frequent)}
    total = sum(weights.values())
    return costs | {c: math.log(share * weight / total) for c, weight in weights.items()}


def _characters(script: str) -> tuple[str, str, str, float]:
    """Return the frequent, the usual and the rare characters of a script, and the share of the frequent ones."""
    if script == "latin":
        return _FREQUENT_LATIN, _letters(0xC0, 0x17F), "°²³ªº'´`¿¡", 0.7
    if script == "cyrillic":
        return _FREQUENT_CYRILLIC, _letters(0x410, 0x44F), "ёЁ№", 0.7
    if script == "japanese":
        kana = _letters(0x3041, 0x3096) + _letters(0x30A1, 0x30FA) + "ー"
        return kana + _FREQUENT_KANJI, _block("cp932", 0x88, 0x98), _letters(0xFF66, 0xFF9F) + _MARKS, 0.7
    if script == "simplified":
        return _FREQUENT_SIMPLIFIED, _block("gb2312", 0xB0, 0xD7), _block("gb2312", 0xD8, 0xF7) + _MARKS, 0.6
    if script == "traditional":
        return _FREQUENT_TRADITIONAL, _block("cp950", 0xA4, 0xC6), _block("cp950", 0xC9, 0xF9) + _MARKS, 0.6
    return _FREQUENT_HANGUL, _block("euc_kr", 0xB0, 0xC8), _letters(0xAC00, 0xD7A3) + _MARKS, 0.8


def _letters(first: int, last: int) -> str:
    return "".join(c for c in map(chr, range(first, last + 1)) if c.isalpha())


def _block(encoding: str, first: int, last: int) -> str:
    """Return the characters whose first byte lies in a range: these standards put the frequent ones first."""
    codes = (bytes((lead, trail)) for lead in range(first, last + 1) for trail in range(0x40, 0xFF))
    return "".join(c for c in (code.decode(encoding, "ignore") for code in codes) if len(c) == 1 and not c.isascii())
