"""What a file is that is no usable picture: its content, and a sentence that says what to do."""

from __future__ import annotations

import zlib
from contextlib import suppress

_RAW = "a raw camera file"
"""Stands for the sentence that leaves with every model; see `_raw_sentence`."""

_ARCHIVE = "This is {what} file, not a picture. Unpack it and add the pictures in it."
_CONVERT = "This is {what}, which cannot be used. Export it as JPEG or PNG."
_FILM = "This is a film, not a picture. Take single pictures out of it."
_SOUND = "This is a sound file, not a picture."
_SCAN = (
    "This is a medical scan ({what}). Export its pictures as PNG or JPEG in a program that shows it, then add those."
)
_ARRAY = "This is {what} with numbers, not a picture file. Save each picture in it as PNG, then add those."
_LINK = "This is {what}, not the picture itself. Add the file that it stands for."
_OFFICE = "This is an office document, not a picture. Save the pictures in it as JPEG or PNG and add those."

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
    (b"PK\x05\x06", 0, _ARCHIVE.format(what="an empty ZIP")),
    (b"PK\x07\x08", 0, "This is one part of an archive in several parts. Unpack it and add the pictures in it."),
    (b"DICM", 128, _SCAN.format(what="DICOM")),
    (b"n+1\0", 344, _SCAN.format(what="NIfTI")),
    (b"ni1\0", 344, _SCAN.format(what="NIfTI")),
    (b"n+2\0", 4, _SCAN.format(what="NIfTI")),
    (b"NRRD0", 0, _SCAN.format(what="NRRD")),
    (b"\x93NUMPY", 0, _ARRAY.format(what="a NumPy file")),
    (b"\x89HDF\r\n\x1a\n", 0, _ARRAY.format(what="an HDF5 file")),
    (b"MATLAB 5.0 MAT-file", 0, _ARRAY.format(what="a MATLAB file")),
    (b"PAR1", 0, _ARRAY.format(what="a Parquet table")),
    (b"\x80\x04\x95", 0, _ARRAY.format(what="a Python pickle")),
    (b"%PDF", 0, _CONVERT.format(what="a PDF document")),
    (b"%!PS", 0, _CONVERT.format(what="a PostScript drawing")),
    (b"\xc5\xd0\xd3\xc6", 0, _CONVERT.format(what="a PostScript drawing")),
    (b"8BPS", 0, _CONVERT.format(what="a Photoshop file")),
    (b"gimp xcf", 0, _CONVERT.format(what="a GIMP file")),
    (b"SIMPLE  =", 0, _CONVERT.format(what="a FITS file from astronomy")),
    (b"\x00\x00\x01\x00", 0, _CONVERT.format(what="an icon (ICO)")),
    (b"\x00\x00\x00\x0cjP  ", 0, _CONVERT.format(what="a JPEG 2000 picture")),
    (b"\xff\x4f\xff\x51", 0, _CONVERT.format(what="a JPEG 2000 picture")),
    (b"\xff\x0a", 0, _CONVERT.format(what="a JPEG XL picture")),
    (b"\x00\x00\x00\x0cJXL ", 0, _CONVERT.format(what="a JPEG XL picture")),
    (b"v/1\x01", 0, _CONVERT.format(what="an OpenEXR picture")),
    (b"#?RADIANCE", 0, _CONVERT.format(what="a Radiance picture")),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", 0, _OFFICE),
    (b"{\\rtf", 0, _OFFICE),
    # Raw files that are built like TIFF but say so themselves; the others are known by what is in them.
    (b"FUJIFILMCCD-RAW", 0, _RAW),
    (b"CR\x02\0", 8, _RAW),  # Canon
    (b"HEAPCCDR", 6, _RAW),  # Canon, before 2004
    (b"IIRO", 0, _RAW),  # Olympus
    (b"IIRS", 0, _RAW),
    (b"MMOR", 0, _RAW),
    (b"IIU\0", 0, _RAW),  # Panasonic
    (b"FOVb", 0, _RAW),  # Sigma
    (b"\0MRM", 0, _RAW),  # Minolta
    (b"\x1aE\xdf\xa3", 0, _FILM),
    (b"AVI ", 8, _FILM),
    (b"\x00\x00\x01\xba", 0, _FILM),
    (b"\x00\x00\x01\xb3", 0, _FILM),
    (b"FLV\x01", 0, _FILM),
    (b"0&\xb2u\x8ef\xcf\x11", 0, _FILM),
    (b"moov", 4, _FILM),
    (b"mdat", 4, _FILM),
    (b"WAVE", 8, _SOUND),
    (b"ID3", 0, _SOUND),
    (b"\xff\xfb", 0, _SOUND),
    (b"\xff\xf3", 0, _SOUND),
    (b"OggS", 0, _SOUND),
    (b"fLaC", 0, _SOUND),
    (b"L\0\0\0\x01\x14\x02\0", 0, _LINK.format(what="a shortcut of Windows")),
    (b"[InternetShortcut]", 0, _LINK.format(what="a link to a web page")),
    (b"book\0\0\0\0mark\0\0\0\0", 0, _LINK.format(what="an alias of macOS")),
    (b"version https://git-lfs.github.com/spec/", 0, _LINK.format(what="a pointer of Git LFS (run `git lfs pull`)")),
    (b"SQLite format 3\0", 0, "This is a database, not a picture."),
    (b"MZ", 0, "This is a program, not a picture."),
    (b"\x7fELF", 0, "This is a program, not a picture."),
)
_HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
# How the files begin that are opened: where Pillow fails on one, it is damaged.
_PICTURES = (
    *(b"\xff\xd8", b"\x89PNG", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    *(b"P4", b"P5", b"P6", b"P7", b"Pf", b"PF"),
)
_OFFICE_PARTS = (b"word/", b"ppt/", b"xl/", b"mimetypeapplication/vnd.oasis")
_DICOM_GROUPS = (b"\x02\x00", b"\x08\x00")
_DICOM_TYPES = (b"UL", b"UI", b"OB", b"CS", b"DA", b"TM", b"SH", b"LO", b"UN")


def why_not_a_picture(data: bytes) -> str | None:
    """Return a sentence about a file that is no usable picture, `None` if it seems to be a damaged one."""
    if data[4:8] == b"ftyp":
        return _about_boxes(data[8:32])
    if data[:4] == b"PK\x03\x04":
        return _about_zip(data)
    for magic, position, sentence in _SIGNATURES:
        if data[position : position + len(magic)] == magic:
            return _raw_sentence() if sentence is _RAW else sentence
    if data[:2] == b"\x1f\x8b":
        return _about_gzip(data)
    kind = archive_kind(data[:512])
    if kind is not None:
        return _ARCHIVE.format(what=kind)
    if data[:2] in (b"P1", b"P2", b"P3") and data[2:3].isspace():
        return None  # a picture written in digits
    if data.startswith(_PICTURES) or (data[:4] == b"RIFF" and data[8:12] == b"WEBP"):
        return _about_text(data[:1024])  # "BM" and "P4" can begin a text
    if data[:2] in _DICOM_GROUPS and data[3:4] == b"\0" and data[4:6] in _DICOM_TYPES:
        return _SCAN.format(what="DICOM")
    if data[:1] == b"G" and data[188:189] == b"G" and data[376:377] == b"G":
        return _FILM  # packets of 188 bytes, as television sends them
    if not data.strip(b"\0"):
        return "The file holds nothing but zeros: it was not copied to its end. Copy or download it again."
    if data.startswith(b"bplist00"):
        return _LINK.format(what="a settings file of macOS, such as a link or a placeholder of iCloud")
    return _about_text(data[:1024]) or (
        "This is not a picture of a kind that can be opened. If it should be one, download it anew or export it."
    )


def archive_kind(head: bytes) -> str | None:
    """Return what kind of archive other than ZIP the first 512 bytes belong to, such as `a RAR`."""
    return next((kind for magic, at, kind in _OTHER_ARCHIVES if head[at:].startswith(magic)), None)


def _about_boxes(brands: bytes) -> str | None:
    """Tell apart what begins like an MP4 film."""
    if b"avif" in brands or b"avis" in brands:
        return None
    if brands.startswith(b"crx "):
        return _raw_sentence()
    if brands.startswith((b"M4A ", b"M4B ")):
        return _SOUND
    if any(brand in brands for brand in _HEIC_BRANDS):
        return "This is a HEIC photo, as iPhones take them. Export it as JPEG."
    return _FILM


def _about_zip(data: bytes) -> str:
    """Tell apart what is a ZIP file inside; its list of names stands at its end."""
    names = data[:4096] + data[-65_536:]
    if any(part in names for part in _OFFICE_PARTS):
        return _OFFICE
    if b".npy" in data[:128]:
        return _ARRAY.format(what="a NumPy file")
    return _ARCHIVE.format(what="a ZIP")


def _about_gzip(data: bytes) -> str:
    inside = b""
    with suppress(zlib.error):
        inside = zlib.decompressobj(wbits=31).decompress(data[:4096], 512)
    if inside[344:347] in (b"n+1", b"ni1") or inside[4:7] == b"n+2":
        return _SCAN.format(what="NIfTI")
    return _ARCHIVE.format(what="a tar.gz" if inside[257:262] == b"ustar" else "a gzip")


def _about_text(head: bytes) -> str | None:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "This is text, not a picture."
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4:  # a character cut at the end of the sample is no fault
            return None
        text = head[: error.start].decode("utf-8")
    if any(not (c.isprintable() or c.isspace() or c == "\ufeff") for c in text):
        return None
    beginning = text.lstrip("\ufeff \t\r\n").lower()
    if "<svg" in beginning:
        return "This is a drawing (SVG), not a photo. Export it as PNG."
    if "<plist" in beginning:
        return _LINK.format(what="a settings file of macOS, such as a link")
    if beginning.startswith("<!doctype html") or "<html" in beginning:
        return "This is a web page, not a picture: the download failed. Download the picture again."
    if beginning.startswith(("{", "[")):
        return "This is text (JSON), not a picture."
    return "This is text, not a picture."


def _raw_sentence() -> str:
    from tlcore.intake.pictures.pixels import RAW  # what decodes pictures is not needed to show a page

    return RAW
