"""Tokens: who is calling, what they may change, and short-lived grants for uploads.

A grant is what the Hub calls a presigned URL: the LFS and xet storage knows no users, so the
hub signs what it allows and until when, and the storage checks the signature.
"""

import hashlib
import hmac
import os
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, TypeAdapter

from .bodies import read
from .disk import write
from .names import is_repo_id

GRANT_SECONDS = 3600
# What a root without a tokens.json gets: file of the secret -> user, role, other namespaces.
TOKEN_FILES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "token": ("demo", "write", ()),
    "token-read": ("demo", "read", ()),
    "token-admin": ("admin", "write", ("*",)),
}


@dataclass(frozen=True)
class Token:
    """An access token.

    Args:
        token: The secret itself.
        name: The user it belongs to.
        role: `read` or `write`.
        orgs: Other namespaces the user may see and, with `write`, change; `*` is all of them.
    """

    token: str = field(repr=False)
    name: str
    role: str
    orgs: tuple[str, ...] = ()
    __pydantic_config__ = ConfigDict(extra="forbid")

    def __post_init__(self) -> None:
        if self.role not in ("read", "write"):
            raise ValueError(f"The role of a token must be 'read' or 'write', got {self.role!r}.")
        if not is_repo_id(f"{self.name}/x") or not _is_secret(self.token):
            raise ValueError(
                f"A token needs a user name of [A-Za-z0-9_.-] and an ASCII secret, got {self!r}."
            )

    def covers(self, namespace: str) -> bool:
        """Whether the user belongs to `namespace`."""
        return namespace == self.name or namespace in self.orgs or "*" in self.orgs


_TOKENS = TypeAdapter(list[Token])


def load_tokens(root: Path) -> Sequence[Token]:
    """The tokens in `root/tokens.json`, or else those of `TOKEN_FILES`, made where they are absent.

    Raises:
        ValueError: One of them is malformed, or others may read its file.
    """
    file = root / "tokens.json"
    if not file.exists():
        return [Token(_secret(root / name), *whose) for name, whose in TOKEN_FILES.items()]
    _check_private(file)
    rule = "a list of objects with token, name, role and maybe orgs"
    return read(file, _TOKENS, rule, "Correct it, or remove it to have random tokens.")


def _secret(file: Path) -> str:
    """The secret in a file; a random one where there is no such file."""
    if not file.exists():
        write(file, f"hf_{secrets.token_urlsafe(32)}\n".encode())
    _check_private(file)
    try:
        secret = file.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        secret = ""
    if not _is_secret(secret):
        raise ValueError(
            f"{file} must be a file with one line of ASCII. Remove it; a new one is made."
        )
    return secret


def _is_secret(text: str) -> bool:
    """Whether a client can send it in a header."""
    return bool(text) and text.isascii() and text.isprintable() and text == text.strip()


def _check_private(file: Path) -> None:
    """Make sure that only the user of this process may read and change a file.

    Raises:
        ValueError: When others may.
    """
    about = file.stat()
    if about.st_uid != os.getuid():
        raise ValueError(f"{file} must belong to the user who starts the hub. Remove it.")
    if about.st_mode & 0o077:
        raise ValueError(
            f"{file} must be readable by its owner alone, its mode is {about.st_mode & 0o777:o}."
            f" Run: chmod 600 {file}"
        )


def whoami(token: Token) -> dict[str, Any]:
    """What `/api/whoami-v2` says about a token."""
    return {
        "type": "user",
        "id": hashlib.sha1(token.name.encode()).hexdigest()[:24],
        "name": token.name,
        "fullname": token.name,
        "isPro": False,
        "canPay": False,
        "orgs": [
            {"type": "org", "id": org, "name": org, "fullname": org, "roleInOrg": token.role}
            for org in token.orgs
            if org != "*"
        ],
        "auth": {
            "type": "access_token",
            "accessToken": {"displayName": f"localhub {token.role}", "role": token.role},
        },
    }


def sign(secret: str, purpose: str, seconds: int = GRANT_SECONDS) -> tuple[str, int]:
    """A grant for `purpose` and the epoch second it ends at."""
    until = int(time.time()) + seconds
    mac = hmac.new(secret.encode(), f"{purpose} {until}".encode(), hashlib.sha256).hexdigest()
    return f"{until}.{mac}", until


def is_granted(secret: str, purpose: str, grant: str) -> bool:
    """Whether `grant` was signed here for `purpose`, and still holds."""
    until, _, mac = grant.partition(".")
    text = f"{purpose} {until}"
    good = hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()
    # Compared as bytes, because a grant off the wire may hold anything.
    return hmac.compare_digest(mac.encode(), good.encode()) and int(until) > time.time()
