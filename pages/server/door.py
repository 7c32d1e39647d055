"""The door: which requests come in at all, decided before Streamlit sees them.

A page of another site can make a browser ask this server for something, and can even let its own name point to this
machine (DNS rebinding). So the server answers only by names that are its own, and only pages that it served itself.
Streamlit decides the same later for some of its addresses, and looks the server's outside address up over the internet
for that, while everybody waits.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from tlcore.network import (
    ANY_HOST,
    HOSTS_VARIABLE,
    LOOPBACK_HOSTS,
    added_hosts,
    canonical_host,
    host_of,
    is_loopback,
    own_addresses,
    own_names,
)

STREAMLIT_ADDRESSES = ("health", "host-config", "stream", "upload_file/", "bidi-components/")
"""Below `/_stcore/`, what the pages need. Numbers about the server and what programs might ask are not for visitors."""

POLICY_VIOLATION = 1008
LOOK_AGAIN_SECONDS = 5.0
"""A laptop that joins another network has another address; asking for it at most this often costs nothing."""

FOREIGN_PAGE = (
    "Another website asked Transfer Lab for something in your name, so this was refused. Open Transfer Lab in a tab of "
    "its own."
)
NOTHING_HERE = "There is nothing here."


class Hosts:
    """The names and addresses by which this server may be called.

    Args:
        added: What a person added: names, addresses, `*.name` for all names below one, `*` for whatever name.
        to_network: Whether other machines reach the server, so that the names and addresses of this machine count too.
    """

    def __init__(self, added: Iterable[str] = (), *, to_network: bool = False) -> None:
        self._added = frozenset(canonical_host(host) for host in added)
        self._to_network = to_network
        self._own = frozenset(LOOPBACK_HOSTS)
        self._looked = float("-inf")

    @classmethod
    def configured(cls) -> Hosts:
        """Return those of the settings and of `TRANSFER_LAB_HOSTS`."""
        from streamlit import config

        address = config.get_option("server.address")
        allowed = [host for host in config.get_option("server.allowedHosts") or () if host not in LOOPBACK_HOSTS]
        to_network = not (address and is_loopback(address))
        return cls([*allowed, *added_hosts(), *([address] if address and to_network else [])], to_network=to_network)

    @property
    def are_all(self) -> bool:
        """Whether a person turned the check off."""
        return ANY_HOST in self._added

    def __contains__(self, host: str) -> bool:
        """Whether this name or address is one of them."""
        return self.are_all or self.is_added(host) or self._is_own(host)

    def is_added(self, host: str) -> bool:
        """Whether a person added this name or address."""
        below = any(one.startswith("*.") and host.endswith(one[1:]) for one in self._added)
        return below or (host in self._added and host != ANY_HOST)

    def _is_own(self, host: str) -> bool:
        if host not in self._own and self._to_network and time.monotonic() - self._looked > LOOK_AGAIN_SECONDS:
            self._looked = time.monotonic()
            self._own = frozenset((*LOOPBACK_HOSTS, *own_names(), *own_addresses()))
        return host in self._own


class Door:
    """Refuse what calls the server by another name, what a foreign page asks, and what no page needs.

    Behind a proxy that calls the server by a name of its own, Streamlit is told the name that the browser called.
    """

    def __init__(self, app: ASGIApp, hosts: Hosts) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or say why not."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        called = headers.getlist("host")
        name = host_of(called[0]) if len(called) == 1 else None
        if name is None or name not in self._hosts:
            await _refuse(_wrong_host(name), 403, scope, receive, send)
            return
        host = self._host_of_page(headers)
        if host is None:
            await _refuse(FOREIGN_PAGE, 403, scope, receive, send)
        elif not _is_open(scope["path"]):
            await _refuse(NOTHING_HERE, 404, scope, receive, send)
        else:
            await self._app(scope if host == called[0] else _called_by(scope, host), receive, send)

    def _host_of_page(self, headers: Headers) -> str | None:
        """Return by which host the browser called a page of ours that asks, `None` if the page is not ours."""
        host, origin = headers["host"], headers.get("origin")
        if origin is None:  # no browser, or one that asks in a way by which no page learns the answer
            return host
        parts = urlsplit(origin)
        if parts.scheme not in ("http", "https"):
            return None
        if _without_port(parts.netloc) == _without_port(host):
            return host
        forwarded = headers.get("x-forwarded-host", "").partition(",")[0].strip()
        name = host_of(parts.netloc) or ""
        if _without_port(parts.netloc) == _without_port(forwarded) and name in self._hosts:
            return parts.netloc
        # A proxy that says nothing: a name that a person added, while the server itself is called by another one.
        return parts.netloc if self._hosts.is_added(name) and name != host_of(host) else None


def _without_port(netloc: str) -> str:
    """Return a host in lower case, without the port that a browser leaves out too."""
    return netloc.lower().removesuffix(":80").removesuffix(":443")


def _wrong_host(name: str | None) -> str:
    if name is None:
        return "The request does not say by which name it calls Transfer Lab, so it was refused."
    shown = name if len(name) <= 100 and name.isprintable() else "this one"
    return (
        f"Transfer Lab does not answer by the name {shown}, so that no other website can take its place. Open it by an "
        f"address that it says when it starts. If this name is right, start it with --host {shown}, or set "
        f"{HOSTS_VARIABLE}."
    )


def _is_open(path: str) -> bool:
    """Whether pages need an address. A path may begin with what a proxy or the settings put in front."""
    _, is_streamlit, rest = path.partition("/_stcore/")
    return not is_streamlit or rest.startswith(STREAMLIT_ADDRESSES)


def _called_by(scope: Scope, host: str) -> Scope:
    changed = {**scope, "headers": list(scope["headers"])}
    MutableHeaders(scope=changed)["host"] = host
    return changed


async def _refuse(words: str, status: int, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await PlainTextResponse(words, status)(scope, receive, send)
    else:
        await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": words[:120]})


def said_addresses() -> list[str]:
    """Return the addresses of the running app for a person: that for this machine, then those for others."""
    from streamlit import config

    scheme, usual = ("https", 443) if config.get_option("server.sslCertFile") else ("http", 80)
    port, address = config.get_option("server.port"), config.get_option("server.address") or "0.0.0.0"
    if is_loopback(address):
        hosts = ["localhost"]
    elif _listens_everywhere(address):
        given_out = [one for one in own_addresses() if ":" not in one and not one.startswith("169.254.")]
        hosts = ["localhost", *added_hosts(), *given_out, *own_names()[:1]]
    else:
        hosts = [address]
    end = "" if port == usual else f":{port}"
    return [f"{scheme}://{host}{end}" for host in dict.fromkeys(hosts) if "*" not in host]


def _listens_everywhere(address: str) -> bool:
    """Whether a server that listens at an address listens at all of this machine's."""
    return address in ("0.0.0.0", "::")
