"""Tokens of users, and grants for uploads.

A grant works like a presigned URL: clients send no token to the LFS and xet storage, so the hub
puts a secret into the upload's URL that permits this one upload.
"""

import hashlib
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, TypeAdapter

from .disk import write
from .names import is_repo_id
from .schemas import read_json

# The tokens of a root without tokens.json: file of the secret -> user, role, other namespaces.
TOKEN_FILES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "token": ("demo", "write", ()),
    "token-read": ("demo", "read", ()),
    "token-admin": ("admin", "write", ("*",)),
}


@dataclass(frozen=True)
class Token:
    """An access token.

    Args:
        token: The secret.
        name: Its user.
        role: `read` or `write`.
        orgs: Other namespaces the user may see and, with `write`, change. `*` means all.
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
    """The tokens in `root/tokens.json`, or else those of `TOKEN_FILES`, created when absent.

    Raises:
        ValueError: A token is malformed, or other users may read its file.
    """
    file = root / "tokens.json"
    if not file.exists():
        return [Token(_load_secret(root / name), *user) for name, user in TOKEN_FILES.items()]
    _check_private(file)
    rule = "a list of objects with token, name, role and optionally orgs"
    return read_json(file, _TOKENS, rule, "Correct it, or remove it to get random tokens.")


def _load_secret(file: Path) -> str:
    """The secret in a file, which is created with a random one when absent."""
    if not file.exists():
        write(file, f"hf_{secrets.token_urlsafe(32)}\n".encode())
    _check_private(file)
    try:
        secret = file.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        secret = ""
    if not _is_secret(secret):
        raise ValueError(f"{file} must be one line of ASCII. Remove it to create a new one.")
    return secret


def _is_secret(text: str) -> bool:
    """Whether a client can send it in a header."""
    return bool(text) and text.isascii() and text.isprintable() and text == text.strip()


def _check_private(file: Path) -> None:
    """Check that only the user of this process may read and change a file.

    Raises:
        ValueError: Others may.
    """
    stat = file.stat()
    if stat.st_uid != os.getuid():
        raise ValueError(f"{file} must belong to the user who starts the hub. Remove it.")
    if stat.st_mode & 0o077:
        raise ValueError(
            f"{file} must be readable by its owner alone, its mode is {stat.st_mode & 0o777:o}."
            f" Run: chmod 600 {file}"
        )


def whoami(token: Token) -> dict[str, Any]:
    """The answer of `/api/whoami-v2`."""
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


class Grants:
    """The permissions that this process has issued. They end with it."""

    def __init__(self) -> None:
        self._scopes: dict[str, str] = {}

    def issue(self, scope: str) -> str:
        """A new grant for `scope`, such as `xet write`."""
        grant = secrets.token_urlsafe(32)
        self._scopes[grant] = scope
        return grant

    def permits(self, grant: str, scope: str) -> bool:
        """Whether `grant` was issued for `scope`."""
        return self._scopes.get(grant) == scope
