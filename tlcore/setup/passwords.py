"""The teacher's password: only its hash is kept, in the environment of the server."""

from __future__ import annotations

import base64
import getpass
import hashlib
import hmac
import secrets
from dataclasses import dataclass

from tlcore.errors import TransferLabError

TEACHER_VARIABLE = "TRANSFER_LAB_TEACHER"
SCHEME = "scrypt"
MIN_LENGTH, MAX_LENGTH = 8, 1000

COST, BLOCK_SIZE, LANES = 1 << 15, 8, 3
"""How dear a guess is, as OWASP advises: 32 MiB and about a quarter of a second."""

MAX_MEMORY = 256 << 20
SALT_BYTES, HASH_BYTES = 16, 32


@dataclass(frozen=True, slots=True)
class PasswordHash:
    """What is kept of a password: whoever reads it can only guess, and each guess is dear.

    Attributes:
        cost: Work and memory of a guess, a power of two.
        block_size: Memory of a guess too.
        lanes: How often the work is done.
        salt: Makes two hashes of one password differ.
        digest: The hash itself.
    """

    cost: int
    block_size: int
    lanes: int
    salt: bytes
    digest: bytes

    def __str__(self) -> str:
        """Return it as one line for the environment; colons mean nothing to any shell, dollar signs would."""
        parts = (SCHEME, self.cost, self.block_size, self.lanes, _text(self.salt), _text(self.digest))
        return ":".join(str(part) for part in parts)

    def fits(self, password: str) -> bool:
        """Whether this is the password, in a time that tells nothing about how near it is."""
        return hmac.compare_digest(self.digest, _digest(password, self))


def hash_password(password: str) -> PasswordHash:
    """Return what to keep of a password.

    Raises:
        TransferLabError: If it is too short or too long.
    """
    if len(password) < MIN_LENGTH:
        raise TransferLabError(
            f"The teacher's password needs at least {MIN_LENGTH} characters. Three or four words are easy to remember."
        )
    if len(password) > MAX_LENGTH:
        raise TransferLabError(f"The teacher's password may have {MAX_LENGTH:,} characters at most.")
    empty = PasswordHash(COST, BLOCK_SIZE, LANES, secrets.token_bytes(SALT_BYTES), bytes(HASH_BYTES))
    return PasswordHash(empty.cost, empty.block_size, empty.lanes, empty.salt, _digest(password, empty))


def read_hash(line: str) -> PasswordHash:
    """Return the hash that stands in the environment.

    Raises:
        TransferLabError: If it is none, or asks for more memory than a login may take.
    """
    problem = TransferLabError(
        f"{TEACHER_VARIABLE} is not a line that python3 app.py --teacher-password has printed, so no teacher can log "
        "in with it. Make a new one and set it whole."
    )
    try:
        scheme, cost, block_size, lanes, salt, digest = line.strip().split(":")
        read = PasswordHash(int(cost), int(block_size), int(lanes), _bytes(salt), _bytes(digest))
    except ValueError as error:
        raise problem from error
    is_power = read.cost > 1 and read.cost & (read.cost - 1) == 0
    is_affordable = read.block_size > 0 and 128 * read.cost * read.block_size <= MAX_MEMORY and 0 < read.lanes <= 16
    if scheme != SCHEME or not is_power or not is_affordable or len(read.salt) < 8 or len(read.digest) < 16:
        raise problem
    return read


def ask_for_password() -> str:
    """Ask on the terminal twice, without showing what is typed, and return the line to set.

    Raises:
        TransferLabError: If the password is too short, or the second one is another.
    """
    password = getpass.getpass("Password of the teacher: ")
    made = hash_password(password)
    if getpass.getpass("The same once more: ") != password:
        raise TransferLabError("The two are not the same, so nothing was made. Try again.")
    return f"{TEACHER_VARIABLE}={made}"


def _digest(password: str, made: PasswordHash) -> bytes:
    return hashlib.scrypt(
        password.encode("utf-8", "surrogatepass"),
        salt=made.salt,
        n=made.cost,
        r=made.block_size,
        p=made.lanes,
        dklen=len(made.digest),
        maxmem=MAX_MEMORY + (1 << 20),
    )


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
