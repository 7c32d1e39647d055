"""By which names and addresses others reach this machine, found without asking any other machine."""

from __future__ import annotations

import ipaddress
import os
import re
import socket
from collections.abc import Iterable

HOSTS_VARIABLE = "TRANSFER_LAB_HOSTS"
"""Names and addresses more by which the app may be called, with commas or spaces between them."""

ANY_HOST = "*"
LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "::1")

_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([\w.-]+))(?::[0-9]{1,5})?", re.IGNORECASE)


def host_of(place: str) -> str | None:
    """Return the name or address in what a browser calls a host, such as `lab.local:8501` or `[::1]:8501`.

    Args:
        place: The host, with or without a port.

    Returns:
        Lower case and without a dot at the end, an IPv6 address as short as it can be written; `None` if it is none.
    """
    found = _HOST.fullmatch(place)
    return None if found is None else canonical_host(found[1] or found[2])


def canonical_host(host: str) -> str:
    """Return a name or address in the one way in which all of them are compared here."""
    text = host.strip().lower().rstrip(".")
    try:
        return str(ipaddress.ip_address(text.strip("[]")))
    except ValueError:
        return text


def added_hosts() -> tuple[str, ...]:
    """Return what a person added by `TRANSFER_LAB_HOSTS`."""
    asked = re.split(r"[\s,;]+", os.environ.get(HOSTS_VARIABLE, ""))
    return tuple(canonical_host(host) for host in asked if host)


def own_names() -> tuple[str, ...]:
    """Return this machine's names: its own, and that by which a network without a name server finds it."""
    name = canonical_host(socket.gethostname())
    short = name.partition(".")[0]
    return tuple(dict.fromkeys(one for one in (f"{short}.local", short, name) if short and one not in LOOPBACK_HOSTS))


def own_addresses() -> tuple[str, ...]:
    """Return this machine's addresses, those of IPv4 first, without loopback."""
    import psutil  # the start asks this module before there is an environment with packages

    found = [
        ipaddress.ip_address(address.address.partition("%")[0])
        for addresses in psutil.net_if_addrs().values()
        for address in addresses
        if address.family in (socket.AF_INET, socket.AF_INET6)
    ]
    outside = {address for address in found if not address.is_loopback}
    return tuple(
        str(address) for address in sorted(outside, key=lambda one: (one.version, one.is_link_local, int(one)))
    )


def is_loopback(host: str) -> bool:
    """Whether a server that listens at an address can be reached from this machine alone."""
    return canonical_host(host) in LOOPBACK_HOSTS or canonical_host(host).startswith("127.")


def is_shared(address: str | None, allowed: Iterable[str] = ()) -> bool:
    """Whether others than whoever sits at this machine use the app: its shares, quotas and pages all go by this.

    So it is where the server listens to a network, and also where it listens to this machine alone but is called by
    names of somebody else, as behind a proxy.

    Args:
        address: Where the server listens; everywhere where none is given.
        allowed: By which names it may be called, besides those that `TRANSFER_LAB_HOSTS` adds.
    """
    called = {canonical_host(host) for host in (*allowed, *added_hosts())}
    return not (address and is_loopback(address)) or not all(is_loopback(host) for host in called)
