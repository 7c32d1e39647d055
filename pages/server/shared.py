"""Whether others than whoever sits at this machine use the server, and what each of them may have then."""

from __future__ import annotations

import os
import sys

from streamlit import config

from tlcore.errors import TransferLabError
from tlcore.jobs.slots import shares
from tlcore.network import is_shared
from tlcore.storage.quotas import quotas_for

_known: dict[str, bool] = {}


def is_shared_server() -> bool:
    """Whether others use the server too.

    Once it runs this is what held when it started: Streamlit is told then to answer by every name.
    """
    if "is_shared" in _known:
        return _known["is_shared"]
    return is_shared(config.get_option("server.address"), config.get_option("server.allowedHosts") or ())


def share_machine() -> None:
    """Let the shares and quotas hold that belong to how the server is open, however it was started.

    What is set already stays. A setting that is no number is said; a start by `app.py` has refused it before.
    """
    _known["is_shared"] = is_shared_server()
    for found in (shares, quotas_for):
        try:
            os.environ.update(found(is_shared=_known["is_shared"]))
        except TransferLabError as error:
            print(error, file=sys.stderr, flush=True)
