"""What a file is that Pillow may not open: its first bytes, and a sentence that says what to do."""

from __future__ import annotations

_ARCHIVE = "This is {what} file, not a picture. Unpack it and add the pictures in it."
_CONVERT = "This is {what}, which cannot be used. Export it as JPEG or PNG."

_OTHER_ARCHIVES = (
    (b"Rar!", 0, "a RAR"),
    (b"7z\xbc\xaf", 0, "a 7z"),
    (b"\x1f\x8b", 0, "a gzip"),
    (b"BZh", 0, "a bzip2"),
    (b"\xfd7zXZ", 0, "an xz"),
    (b"ustar", 257, "a tar"),
    (b"(\xb5/\xfd", 0, "a Zstandard"),
)
# (first bytes, position, sentence)
_SIGNATURES: tuple[tuple[bytes, int, str], ...] = (
    (b"PK\x03\x04", 0, _ARCHIVE.format(what="a ZIP or office")),
    (b"PK\x05\x06", 0, _ARCHIVE.format(what="an empty ZIP")),
    *((magic, position, _ARCHIVE.format(what=kind)) for magic, position, kind in _OTHER_ARCHIVES),
    (b"%PDF", 0, _CONVERT.format(what="a PDF document")),
    (b"%!PS", 0, _CONVERT.format(what="a PostScript drawing")),
    (b"\xc5\xd0\xd3\xc6", 0, _CONVERT.format(what="a PostScript drawing")),
    (b"8BPS", 0, _CONVERT.format(what="a Photoshop file")),
    (b"SIMPLE  =", 0, _CONVERT.format(what="a FITS file from astronomy")),
    (b"\x00\x00\x01\x00", 0, _CONVERT.format(what="an icon (ICO)")),
    (b"\x00\x00\x00\x0cjP  ", 0, _CONVERT.format(what="a JPEG 2000 picture")),
    (b"\xff\x0a", 0, _CONVERT.format(what="a JPEG XL picture")),
    (b"\x00\x00\x00\x0cJXL ", 0, _CONVERT.format(what="a JPEG XL picture")),
    (b"FUJIFILMCCD-RAW", 0, _CONVERT.format(what="a raw camera file")),
    (b"\x1aE\xdf\xa3", 0, "This is a film, not a picture. Take single pictures out of it."),
)
_HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")


def why_not_a_picture(data: bytes) -> str | None:
    """Return a sentence about a file that is no usable picture, `None` if it seems to be a damaged one."""
    if data[4:8] == b"ftyp":
        if b"avif" in data[8:32] or b"avis" in data[8:32]:
            return None
        if any(brand in data[8:32] for brand in _HEIC_BRANDS):
            return "This is a HEIC photo, as iPhones take them. Export it as JPEG."
        return "This is a film, not a picture. Take single pictures out of it."
    for magic, position, sentence in _SIGNATURES:
        if data[position : position + len(magic)] == magic:
            return sentence
    return _about_text(data[:1024])


def archive_kind(head: bytes) -> str | None:
    """Return what kind of archive other than ZIP the first 512 bytes belong to, such as `a RAR`."""
    return next((kind for magic, at, kind in _OTHER_ARCHIVES if head[at:].startswith(magic)), None)


def _about_text(head: bytes) -> str | None:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "This is text, not a picture."
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4:  # a character cut at the end of the sample is no fault
            return None
        text = head[: error.start].decode("utf-8")
    if any(not (c.isprintable() or c.isspace()) for c in text):
        return None
    if "<svg" in text.lower():
        return "This is a drawing (SVG), not a photo. Export it as PNG."
    return "This is text, not a picture."
