"""Who a browser is: an anonymous identity with a signature by which this server knows that it gave it out itself.

The secret of the signatures lies in the data root. Browsers that come from before there were signatures, or whose
signature is of a secret that is lost, are taken over once: their identity must be one to which something belonged when
the present secret was made, the browser must come within a year, and from its first answer with the new signature on
only that counts. So whoever learns an identity later, from a copy of the database say, can do nothing with it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import threading
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache

import sqlalchemy as sa

from tlcore.documents import read_document, write_document
from tlcore.errors import StorageError, TransferLabError, UnreadableError
from tlcore.home import DataRoot, holding, write_atomically
from tlcore.storage.database import open_database, projects

IDENTITY_BYTES = 18
"""Random bytes of an identity: 144 bits, 24 characters."""

SECRET_BYTES = 32
TAKE_OVER_DAYS = 365
"""As long as a browser keeps the cookie that it got before."""

_OWNER = re.compile(r"[A-Za-z0-9_-]{24}")


@dataclass(frozen=True, slots=True)
class EarlierOwners:
    """Those to whom something belonged when the secret was made, and who have not come with its signature yet.

    Attributes:
        until: The last day on which they are taken over, such as `2027-11-28`.
        owners: Their identities.
    """

    until: str
    owners: tuple[str, ...]


class Identities:
    """Gives identities out and knows its own again.

    Args:
        secret: Signs; whoever has it can be anybody.
        earlier: Who is taken over without a signature of this secret.
        home: The data root, where it is noted that they came.
    """

    def __init__(self, secret: bytes, earlier: EarlierOwners, home: DataRoot) -> None:
        self._secret = secret
        self._until = earlier.until
        self._earlier = set(earlier.owners)
        self._home = home
        self._lock = threading.Lock()

    def new(self) -> str:
        """Return a new identity with its signature."""
        return self.signed(secrets.token_urlsafe(IDENTITY_BYTES))

    def signed(self, owner: str) -> str:
        """Return an identity with its signature, as a browser keeps it."""
        mark = hmac.digest(self._secret, b"identity\n" + owner.encode(), hashlib.sha256)
        return f"{owner}.{base64.urlsafe_b64encode(mark).decode().rstrip('=')}"

    def fingerprint(self, purpose: str, text: str) -> str:
        """Return what is kept of a text in its place: whoever reads that alone cannot find the text by trying.

        Args:
            purpose: What the text is for; the same text has another fingerprint for another purpose.
            text: What shall not be kept itself.
        """
        return hmac.new(self._secret, f"{purpose}\n{text}".encode(), hashlib.sha256).hexdigest()

    def is_signed(self, value: str) -> bool:
        """Whether a browser brings an identity with our signature."""
        owner = value.partition(".")[0]
        # Of bytes, for texts may hold only ASCII to be compared so.
        return _OWNER.fullmatch(owner) is not None and hmac.compare_digest(value.encode(), self.signed(owner).encode())

    def owner_of(self, value: str) -> str | None:
        """Return who brings this value; `None` if it is nobody whom we know."""
        owner = value.partition(".")[0]
        return owner if self.is_signed(value) or self._is_earlier(owner) else None

    def is_awaited(self, value: str) -> bool:
        """Whether this browser still counts without our signature."""
        return value.partition(".")[0] in self._earlier

    def note_return(self, value: str) -> None:
        """Note that a browser has come with our signature: from now on nobody is that without it."""
        owner = value.partition(".")[0]
        with self._lock, suppress(StorageError):  # on a full disk it is noted the next time
            self._earlier.discard(owner)
            _write_earlier(EarlierOwners(self._until, tuple(sorted(self._earlier))), self._home)

    def _is_earlier(self, owner: str) -> bool:
        return owner in self._earlier and datetime.now(UTC).date().isoformat() <= self._until


@lru_cache(maxsize=8)
def read_identities(home: DataRoot) -> Identities:
    """Return the identities of a data root; the first time, its secret is made.

    Where the secret cannot be stored, it is good until the server ends; the next one takes over whoever came meanwhile.
    """
    with suppress(OSError):
        return _stored(home)
    try:
        with holding(home.secret_path.with_suffix(".lock")):
            with suppress(OSError):
                return _stored(home)
            earlier, secret = _owners_of_now(home), secrets.token_bytes(SECRET_BYTES)
            _write_earlier(earlier, home)
            write_atomically(home.secret_path, lambda path: path.write_bytes(secret))  # for this account alone
    except TransferLabError:
        earlier, secret = EarlierOwners("", ()), secrets.token_bytes(SECRET_BYTES)
        with suppress(TransferLabError):
            earlier = _owners_of_now(home)
    return Identities(secret, earlier, home)


def _stored(home: DataRoot) -> Identities:
    secret = home.secret_path.read_bytes()
    if len(secret) != SECRET_BYTES:
        raise OSError("cut")
    with suppress(OSError):  # a disk that cannot be written
        home.secret_path.chmod(0o600)  # however it was brought here
    try:
        earlier = read_document(home.earlier_owners_path.read_bytes(), EarlierOwners)
    except (OSError, UnreadableError):
        earlier = EarlierOwners("", ())
    return Identities(secret, earlier, home)


def _owners_of_now(home: DataRoot) -> EarlierOwners:
    until = (datetime.now(UTC) + timedelta(days=TAKE_OVER_DAYS)).date().isoformat()
    if not home.database_path.is_file():
        return EarlierOwners(until, ())
    engine = open_database(home)
    try:
        with engine.connect() as connection:
            found = connection.execute(sa.select(projects.c.owner).distinct()).scalars().all()
    finally:
        engine.dispose()
    return EarlierOwners(until, tuple(sorted(owner for owner in found if _OWNER.fullmatch(owner))))


def _write_earlier(earlier: EarlierOwners, home: DataRoot) -> None:
    write_atomically(home.earlier_owners_path, lambda path: path.write_text(write_document(earlier), encoding="utf-8"))
