"""Streamlit's command line with a watch over its connections: `python -m tests.watched_streamlit run app.py`.

Every connection to another machine, and every question about the name of one, becomes a line in the file that
`OUTGOING_VARIABLE` names.
"""

import ipaddress
import os
import sys

OUTGOING_VARIABLE = "TRANSFER_LAB_OUTGOING"
LOCAL_NAMES = ("localhost", "")


def watch(file: str) -> None:
    """Write down from now on whom this process calls."""

    def note(event: str, arguments: tuple[object, ...]) -> None:
        if event == "socket.connect" or event == "socket.sendto":
            place = arguments[1]
            name = place[0] if isinstance(place, tuple) else None  # a text is a socket in this machine's file system
        elif event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
            name = arguments[0]
        else:
            return
        if name is not None and not is_local(name.decode() if isinstance(name, bytes) else str(name)):
            with open(file, "a", encoding="utf-8") as lines:  # noqa: PTH123
                lines.write(f"{event} {name}\n")

    sys.addaudithook(note)


def is_local(name: str) -> bool:
    """Whether a name or address means this machine."""
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name in LOCAL_NAMES
    return address.is_loopback or address.is_unspecified


if __name__ == "__main__":
    watch(os.environ[OUTGOING_VARIABLE])
    from streamlit.web.cli import main

    sys.argv[0] = "streamlit"
    main()
