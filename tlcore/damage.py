"""What libraries raise over the bytes of a damaged or forged file; whoever lets them read such files catches it."""

from __future__ import annotations

import lzma
import pickle
import struct
import tarfile
import zipfile
import zlib

DAMAGE_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    ImportError,
    LookupError,
    EOFError,
    RuntimeError,
    MemoryError,
    struct.error,
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
    tarfile.TarError,
    pickle.UnpicklingError,
)
