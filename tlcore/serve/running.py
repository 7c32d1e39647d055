"""The process of the service: one event loop receives and answers, threads decode and ask the model."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys

import uvicorn

from tlcore.errors import RunError, TransferLabError
from tlcore.export.formats import FORMATS
from tlcore.export.opening import Bundle, open_bundle
from tlcore.intake.limits import MEGAPIXELS
from tlcore.intake.names import printable
from tlcore.intake.pictures.decoders import warm
from tlcore.network import LOOPBACK_HOSTS, added_hosts, canonical_host, own_addresses
from tlcore.serve.connections import connections_with
from tlcore.serve.memory import limit_memory
from tlcore.serve.receiving import Limits
from tlcore.serve.service import make_service

LEAVING_SECONDS = 10
"""So long may those that are being answered go on when the service is stopped."""
KEEP_ALIVE_SECONDS = 15


class PortError(TransferLabError):
    """The service cannot listen where it was asked to."""


def serve(options: argparse.Namespace) -> None:
    """Serve until somebody stops it.

    Args:
        options: As `python3 -m tlcore.serve` reads them.

    Raises:
        TransferLabError: If the model cannot be served, or the port is taken.
    """
    limits = Limits(options.max_mb, options.max_at_once, options.max_seconds)
    _ = MEGAPIXELS.value  # a setting that is no number is said now
    # One copy of the model for each processor: several threads in one answer would wait for each other.
    processors = min(os.cpu_count() or 1, 8)
    bundle = _opened(options, processors)
    is_local = canonical_host(options.host) in LOOPBACK_HOSTS
    service = make_service(bundle, limits, {*LOOPBACK_HOSTS, *added_hosts()} if is_local else None)
    with _listening(options.host, options.port) as listening:
        warm()
        print(
            _welcome(printable(bundle.manifest.title), FORMATS[bundle.format].title, listening, is_local=is_local),
            flush=True,
        )
        for note in bundle.notes:
            print(f"  Note: {note}", flush=True)
        config = uvicorn.Config(
            service,
            http=connections_with(limits),
            log_level="warning",
            access_log=False,
            server_header=False,
            lifespan="off",
            ws="none",
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=LEAVING_SECONDS,
        )
        # By default the signal that comes again after the end would leave no time to tidy up.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        uvicorn.Server(config).run(sockets=[listening])


def _opened(options: argparse.Namespace, processors: int) -> Bundle:
    """Open the bundle with a limit of memory, which holds from now on."""
    is_limited = limit_memory(options.max_gb)
    try:
        return open_bundle(options.model, options.format, at_once=processors)
    except RunError as error:
        if not is_limited or error.__cause__ is None:  # which is what the library says of a model that does not run
            raise
        raise RunError(
            f"{error} Or it needs more than {options.max_gb:g} GB of memory: if you know who made it, raise --max-gb."
        ) from error


def _listening(host: str, port: int) -> socket.socket:
    try:
        kind, _, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(kind, socket.SOCK_STREAM, protocol)
        if sys.platform != "win32":
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(address)
            listening.listen(1024)
        except OSError:
            listening.close()
            raise
    except OSError as error:
        raise PortError(
            f"The service cannot listen at {host}, port {port} ({error.strerror}). Choose another port with --port, or "
            "another address with --host."
        ) from error
    return listening


def _welcome(title: str, format_title: str, listening: socket.socket, *, is_local: bool) -> str:
    host, port = listening.getsockname()[:2]
    hosts = own_addresses() if host in ("0.0.0.0", "::") else (host,)
    here, *others = [f"http://{f'[{one}]' if ':' in one else one}:{port}" for one in hosts or LOOPBACK_HOSTS[1:2]]
    lines = ["", f"  {title} answers by {format_title}: {here}", *(f"  Also: {address}" for address in others)]
    lines.append(f"  Programs send pictures to {here}/predict; {here}/docs says how.")
    if not is_local:
        lines.append("  Everybody who reaches this computer can ask, without a password and without encryption.")
    return "\n".join([*lines, "  Ctrl+C stops it."])
