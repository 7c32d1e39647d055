"""A login of a school for tests: an OpenID Connect provider on loopback that takes everybody for whom it is told."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

CLIENT_ID, CLIENT_SECRET = "transfer-lab", "a-secret-of-the-client"


class Provider:
    """Signs whoever comes in as the person of `claims`.

    Attributes:
        claims: What it says about the person, such as the mail address.
        checked: How often a code was exchanged with the right secret and PKCE verifier.
    """

    def __init__(self) -> None:
        self.claims: dict[str, object] = {}
        self.checked = 0
        self.address = ""
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._asked: dict[str, dict[str, str]] = {}

    def answer(self, path: str, query: dict[str, str]) -> tuple[int, dict[str, str], dict[str, Any]]:
        """Return status, headers and JSON for a request."""
        if path == "/.well-known/openid-configuration":
            return 200, {}, self._configuration()
        if path == "/keys":
            return 200, {}, {"keys": [self._public_key()]}
        if path == "/authorize":
            code = secrets.token_urlsafe()
            self._asked[code] = query
            back = urlencode({"code": code, "state": query["state"]})
            return 302, {"Location": f"{query['redirect_uri']}?{back}"}, {}
        if path == "/token":
            return self._token(query)
        return 404, {}, {}

    def _configuration(self) -> dict[str, Any]:
        return {
            "issuer": self.address,
            "authorization_endpoint": f"{self.address}/authorize",
            "token_endpoint": f"{self.address}/token",
            "jwks_uri": f"{self.address}/keys",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic"],
        }

    def _token(self, query: dict[str, str]) -> tuple[int, dict[str, str], dict[str, Any]]:
        asked = self._asked.pop(query.get("code", ""), None)
        if asked is None:
            return 400, {}, {"error": "invalid_grant"}
        challenge = _text(hashlib.sha256(query.get("code_verifier", "").encode()).digest())
        if query.get("client_secret") != CLIENT_SECRET or challenge != asked["code_challenge"]:
            return 400, {}, {"error": "invalid_client"}
        self.checked += 1
        now = int(time.time())
        claims = {
            "iss": self.address,
            "aud": CLIENT_ID,
            "sub": "1",
            "iat": now,
            "exp": now + 600,
            "nonce": asked["nonce"],
            **self.claims,
        }
        token = {"access_token": secrets.token_urlsafe(), "token_type": "Bearer", "expires_in": 600}
        return 200, {}, {**token, "id_token": self._signed(claims)}

    def _signed(self, claims: dict[str, object]) -> str:
        parts = [{"alg": "RS256", "typ": "JWT", "kid": "1"}, claims]
        text = ".".join(_text(json.dumps(part).encode()) for part in parts)
        mark = self._key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{text}.{_text(mark)}"

    def _public_key(self) -> dict[str, str]:
        numbers = self._key.public_key().public_numbers()
        key = {name: _text(value.to_bytes(-(-value.bit_length() // 8))) for name, value in vars_of(numbers).items()}
        return {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "1", **key}


def vars_of(numbers: rsa.RSAPublicNumbers) -> dict[str, int]:
    """Return the two numbers of a public key by their names in JSON."""
    return {"n": numbers.n, "e": numbers.e}


@contextmanager
def providing() -> Iterator[Provider]:
    """Run a provider on a free port of this machine, for a `with` statement."""
    provider = Provider()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            self._answer(parts.path, parts.query)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            self._answer(urlsplit(self.path).path, body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def _answer(self, path: str, query: str) -> None:
            asked = {name: values[0] for name, values in parse_qs(query).items()}
            _, _, given = self.headers.get("Authorization", "").partition("Basic ")
            _, _, asked["client_secret"] = base64.b64decode(given).decode().partition(":")
            status, headers, document = provider.answer(path, asked)
            content = json.dumps(document).encode()
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    provider.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
