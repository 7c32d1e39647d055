"""A certificate that this machine makes for itself, so that a class reaches the app over HTTPS.

Browsers lend a page the camera only over HTTPS or on the same machine, and without it everybody in the network can read
along. `python -m tlcore.certificate` makes or renews it, and says where it is.
"""

from __future__ import annotations

import ipaddress
import re
import ssl
import sys
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tlcore.errors import TransferLabError
from tlcore.home import DataRoot, write_atomically
from tlcore.network import LOOPBACK_HOSTS, added_hosts, own_addresses, own_names

VALID_DAYS = 397
"""Browsers take none for much longer."""

RENEWED_DAYS = 200
"""When fewer days are left at a start, it is made anew: a server that is started for half a year runs through it."""

CLOCK_SLACK = timedelta(days=1)
"""The clocks of a class do not agree."""

MAX_HOSTS = 60

_NAME = re.compile(r"(\*\.)?[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*")


def ensure_certificate(home: DataRoot) -> Path:
    """Return the file with the certificate and its key, made or renewed where it is needed.

    One that still fits is kept, for browsers ask again about each new one. A new one keeps the key and the names of the
    one before, so that a laptop that goes back and forth between two networks needs no third.

    Raises:
        StorageError: If the disk is full or the folder cannot be written.
    """
    path, hosts = home.certificate_path, wanted_hosts()
    earlier, key = _read(path)
    named = _hosts_of(earlier) if earlier is not None else ()
    if earlier is not None and set(hosts) <= set(named) and _days_left(earlier) > RENEWED_DAYS:
        with suppress(OSError):  # a disk that cannot be written
            path.chmod(0o600)  # however it was brought here
        return path
    key = ec.generate_private_key(ec.SECP256R1()) if key is None else key
    made = make_certificate(key, list(dict.fromkeys([*hosts, *named]))[:MAX_HOSTS])
    content = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ) + made.public_bytes(serialization.Encoding.PEM)
    write_atomically(path, lambda temporary: temporary.write_bytes(content))  # for this account alone
    return path


def wanted_hosts() -> list[str]:
    """Return the names and addresses that the certificate must hold."""
    every = (*LOOPBACK_HOSTS, *added_hosts(), *own_names(), *own_addresses())
    return [host for host in dict.fromkeys(every) if _is_address(host) or _NAME.fullmatch(host)]


def make_certificate(key: ec.EllipticCurvePrivateKey, hosts: Iterable[str]) -> x509.Certificate:
    """Make a certificate that its own key signs.

    Args:
        key: Of this machine.
        hosts: Names and addresses for which it is good.
    """
    now = datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Transfer Lab")])
    places = [x509.IPAddress(ipaddress.ip_address(one)) if _is_address(one) else x509.DNSName(one) for one in hosts]
    usage = dict.fromkeys(
        (
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "crl_sign",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    subject_key = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SLACK)
        .not_valid_after(now - CLOCK_SLACK + timedelta(days=VALID_DAYS))
        .add_extension(x509.SubjectAlternativeName(places), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(digital_signature=True, key_cert_sign=False, **usage), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(subject_key, critical=False)
        .sign(key, hashes.SHA256())
    )


def fingerprint(path: Path) -> str:
    """Return the SHA-256 of a certificate, as browsers show it."""
    _, mark, rest = path.read_text(encoding="ascii").partition("-----BEGIN CERTIFICATE-----")
    digest = sha256(ssl.PEM_cert_to_DER_cert((mark + rest).strip())).hexdigest().upper()
    return ":".join(digest[place : place + 2] for place in range(0, len(digest), 2))


def _read(path: Path) -> tuple[x509.Certificate | None, ec.EllipticCurvePrivateKey | None]:
    """Return what an earlier start made, as far as it can be read."""
    with suppress(OSError, ValueError, TypeError):
        content = path.read_bytes()
        key = serialization.load_pem_private_key(content, password=None)
        if isinstance(key, ec.EllipticCurvePrivateKey):
            made = x509.load_pem_x509_certificate(content)
            return (made, key) if made.public_key() == key.public_key() else (None, key)
    return None, None


def _hosts_of(made: x509.Certificate) -> tuple[str, ...]:
    places = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return (*places.get_values_for_type(x509.DNSName), *map(str, places.get_values_for_type(x509.IPAddress)))


def _days_left(made: x509.Certificate) -> int:
    return (made.not_valid_after_utc - datetime.now(UTC)).days


def _is_address(host: str) -> bool:
    with suppress(ValueError):
        ipaddress.ip_address(host)
        return True
    return False


def main() -> int:
    """Make or renew the certificate of the configured data root and say where it is; return the exit code."""
    try:
        print(ensure_certificate(DataRoot.configured()))
    except TransferLabError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
