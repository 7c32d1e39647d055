"""Picture files that are small and take much: of memory, of time, or of the program that decodes them."""

from __future__ import annotations

import io
import json
import os
import struct
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil
from PIL import Image

from tlcore.errors import ImageError
from tlcore.intake.pictures.decoders import Decoders

SIDE = 6200
"""Of a picture with nearly 40 megapixels, the most that is taken."""


@dataclass(frozen=True, slots=True)
class Walked:
    """What became of one file.

    Attributes:
        name: Its name.
        outcome: Why it was refused; empty when it was decoded.
        seconds: Of a processor, and not of a clock: other work on this computer does not count.
        peak_mb: The most memory that the decoder, a new one, ever had.
    """

    name: str
    outcome: str
    seconds: float
    peak_mb: float


def encoded(mode: str, kind: str, side: int = SIDE, **options: object) -> bytes:
    """Return a picture of one colour as a file."""
    buffer = io.BytesIO()
    Image.new(mode, (side, side), 3 if mode in ("1", "P", "L", "I", "F", "I;16") else (3,) * len(mode)).save(
        buffer, kind, **options
    )
    return buffer.getvalue()


def separate_scans(width: int, height: int) -> bytes:
    """Return a plain JPEG whose three colours come one after the other, so that all must be kept; without its data."""
    quantization = b"\xff\xdb\x00\x43\x00" + b"\x01" * 64
    frame = b"\xff\xc0\x00\x11\x08" + struct.pack(">HH", height, width) + b"\x03\x01\x11\x00\x02\x11\x00\x03\x11\x00"
    codes = b"\xff\xc4\x00\x14\x00" + b"\x01" + bytes(15) + b"\x00" + b"\xff\xc4\x00\x14\x10" + b"\x01" + bytes(16)
    scan = b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00" + bytes(64)
    return b"\xff\xd8" + quantization + frame + codes + scan + b"\xff\xd9"


def made() -> dict[str, Callable[[], bytes]]:
    """Return what makes files of nearly 40 megapixels in every format and depth, and worse, each by a name."""
    size = struct.pack("<I", 16382)[:3]
    bomb = b"RIFF\x1e\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + size + size + b"VP8 \0\0\0\0"
    strip = {"compression": "tiff_deflate", "tiffinfo": {278: SIDE}}
    return {
        "38 bytes.webp": lambda: bomb,
        "flat.webp": partial(encoded, "RGB", "WEBP", 4500, lossless=True, method=0),
        "flat.avif": partial(encoded, "RGB", "AVIF", 4500, speed=10),
        "see-through.png": partial(encoded, "RGBA", "PNG", compress_level=1),
        "16 bits.png": partial(encoded, "I;16", "PNG", compress_level=1),
        "palette.png": partial(encoded, "P", "PNG", compress_level=1),
        "one strip.tif": partial(encoded, "RGBA", "TIFF", **strip),
        "numbers.tif": partial(encoded, "F", "TIFF", compression="tiff_deflate"),
        "passes.jpg": partial(encoded, "CMYK", "JPEG", progressive=True),
        "separate scans.jpg": partial(separate_scans, 13000, 13000),
        "flat.gif": partial(encoded, "P", "GIF"),
        "up to 300.ppm": lambda: b"P6\n3000 3000\n300\n" + bytes(6 * 3000 * 3000),
    }


def shared(shared_data: Path) -> dict[str, bytes]:
    """Return the awkward files of the shared data folder, each by its name."""
    files = {path.name: path.read_bytes() for path in sorted((shared_data / "messy").iterdir())}
    with zipfile.ZipFile(shared_data / "hostile.zip") as hostile:
        names = [name for name in hostile.namelist() if "/images/" in name and not name.endswith("/")]
        return files | {Path(name).name: hostile.read(name) for name in names}


def walk(files: dict[str, bytes], *, one_for_all: bool = False) -> list[Walked]:
    """Return what became of each file, each in a decoder of its own, or all in one."""
    walked = []
    decoders = Decoders(1)
    for name, data in files.items():
        decoders.warm()
        outcome, started = "", busy_seconds(decoders)
        try:
            decoders.ask("picture", data, None)
        except ImageError as error:
            outcome = str(error)
        seconds = busy_seconds(decoders) - started
        walked.append(Walked(name, outcome, seconds, peak_mb(decoders)))
        if not one_for_all:
            decoders.close()
            decoders = Decoders(1)
    decoders.close()
    return walked


def busy_seconds(decoders: Decoders) -> float:
    """Return what idle decoders and all that ended have taken of a processor."""
    living = (psutil.Process(pid).cpu_times() for pid in decoders.idle_pids)
    ended = os.times()
    return ended.children_user + ended.children_system + sum(times.user + times.system for times in living)


def peak_mb(decoders: Decoders) -> float:
    """Return the most memory that an idle decoder ever had; 0 where it broke, or where the system does not say."""
    if not sys.platform.startswith("linux") or not decoders.idle_pids:
        return 0.0
    text = Path(f"/proc/{decoders.idle_pids[0]}/status").read_text()
    return int(next(line for line in text.splitlines() if line.startswith("VmHWM")).split()[1]) / 1000


def table(walked: list[Walked]) -> str:
    """Return a line of JSON for each file."""
    return "\n".join(
        json.dumps({"file": one.name, "seconds": round(one.seconds, 2), "MB": one.peak_mb, "outcome": one.outcome})
        for one in walked
    )
