"""Who a request comes from: a signed cookie, a token, or the owner of this machine.

The key that signs is made at random for each project and kept in ``.tsloop/review.secret``,
readable for its owner alone; there is no default one.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Any

from tsloop.review.database import now_ms

__all__ = ["Signer", "load_secret"]

SECRET_BYTES = 32


def load_secret(path: Path) -> bytes:
    """The project's key, made where there is none; processes that start at once get the same."""
    with suppress(FileNotFoundError):
        held = path.read_bytes()
        if len(held) == SECRET_BYTES:
            return held
        path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp-{os.getpid()}-{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(secrets.token_bytes(SECRET_BYTES))
            stream.flush()
            os.fsync(stream.fileno())
        with suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path.read_bytes()


class Signer:
    """Makes and reads cookies and the tokens against cross-site requests."""

    def __init__(self, secret: bytes, session_days: int) -> None:
        self._secret = secret
        self._life_ms = session_days * 86_400_000
        self.cookie = f"tsloop_review_{hashlib.sha256(secret).hexdigest()[:8]}"
        """A name per project: cookies do not know ports."""

    def session(self, name: str, token_mark: str = "") -> str:
        """A cookie that says who somebody is, for some days, and by which token that was shown."""
        until = now_ms() + self._life_ms
        body = json.dumps({"name": name, "until": until, "token": token_mark}).encode()
        packed = base64.urlsafe_b64encode(body).decode().rstrip("=")
        return f"{packed}.{self._sign('session', packed)}"

    def read(self, cookie: str) -> tuple[str, str] | None:
        """Whose cookie it is, and the mark of the token that it was given for.

        ``None`` where it is forged, damaged or too old.
        """
        packed, _, signature = cookie.partition(".")
        if not hmac.compare_digest(signature.encode(), self._sign("session", packed).encode()):
            return None
        body: Any = json.loads(base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4)))
        if body["until"] <= now_ms():
            return None
        return str(body["name"]), str(body.get("token", ""))

    def csrf(self, name: str) -> str:
        """What a page of ours, and no other, can send along with a change."""
        return self._sign("csrf", name)

    def is_csrf(self, given: str, name: str) -> bool:
        """Whether it is the right one."""
        return hmac.compare_digest(given.encode(), self.csrf(name).encode())

    def _sign(self, purpose: str, text: str) -> str:
        return hmac.new(self._secret, f"{purpose}\0{text}".encode(), hashlib.sha256).hexdigest()
