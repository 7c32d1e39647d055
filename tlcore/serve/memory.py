"""A limit of memory for the service.

What a model needs is known only when it is asked, and somebody may have made one that needs more than there is.
"""

from __future__ import annotations

import psutil

THREADS_BYTES = 400_000_000
"""What the threads reserve that decode and ask, without using it."""


def limit_memory(gigabytes: float) -> bool:
    """Let the system refuse what this program wants beyond what it has now, where the system can: on Linux.

    Args:
        gigabytes: For the model, all of its copies and the pictures.

    Returns:
        Whether the limit holds.
    """
    try:
        import resource

        most = int(psutil.Process().memory_info().data + THREADS_BYTES + gigabytes * 1e9)
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        if hard != resource.RLIM_INFINITY:
            most = min(most, hard)
        # Programs that decode, which are started later, have the same limit, and a smaller one of their own.
        resource.setrlimit(resource.RLIMIT_DATA, (most, hard))
    except (ImportError, AttributeError, OSError, ValueError):
        return False
    return True
