"""A limit for the memory of a process while it reads what anybody may have made."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil


@contextmanager
def limited_memory(num_bytes: int) -> Iterator[None]:
    """Let this process take at most so much more memory, for a `with` statement; beyond it there is a `MemoryError`.

    Where the system has no such limit (Windows), or does not hold it (macOS), nothing happens. A limit that is there
    already and lower stays.

    Args:
        num_bytes: What may be taken besides what the process has now.
    """
    try:
        import resource
    except ImportError:
        yield
        return
    before, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = psutil.Process().memory_info().vms + num_bytes
    known = [limit for limit in (wanted, before, hard) if limit != resource.RLIM_INFINITY]
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (min(known), hard))
    try:
        yield
    finally:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_AS, (before, hard))
