"""Tokens: who is calling, what they may change, and short-lived grants for uploads.

A grant is what the Hub calls a presigned URL: the LFS and xet storage knows no users, so the
hub signs what it allows and until when, and the storage checks the signature.
"""

import hashlib
import hmac
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .disk import read_json
from .names import is_repo_id

GRANT_SECONDS = 3600


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

    def __post_init__(self) -> None:
        if self.role not in ("read", "write"):
            raise ValueError(f"The role of a token must be 'read' or 'write', got {self.role!r}.")
        if not is_repo_id(f"{self.name}/x") or not self.token.isascii() or not self.token:
            raise ValueError(
                f"A token needs a user name of [A-Za-z0-9_.-] and an ASCII secret, got {self!r}."
            )

    def covers(self, namespace: str) -> bool:
        """Whether the user belongs to `namespace`."""
        return namespace == self.name or namespace in self.orgs or "*" in self.orgs


# They are no secret: they are for a server that only this machine can reach.
DEFAULT_TOKENS = (
    Token("hf_localhub_write", "demo", "write"),
    Token("hf_localhub_read", "demo", "read"),
    Token("hf_localhub_admin", "admin", "write", ("*",)),
)


def parse_token(text: str) -> Token:
    """Read `NAME:ROLE:TOKEN` or `NAME:ROLE:TOKEN:ORG,ORG`, as `--token` takes it.

    Raises:
        ValueError: When it reads otherwise.
    """
    parts = text.split(":")
    if len(parts) not in (3, 4):
        # The text holds a secret, so it isn't repeated.
        raise ValueError(
            f"A token must read NAME:ROLE:TOKEN or NAME:ROLE:TOKEN:ORG,ORG, got {len(parts)} parts."
        )
    orgs = tuple(parts[3].split(",")) if len(parts) == 4 else ()
    return Token(parts[2], parts[0], parts[1], orgs)


def load_tokens(root: Path, given: Iterable[str] = ()) -> tuple[Token, ...]:
    """The tokens on the command line and in `root/tokens.json`, or else the default ones.

    Raises:
        ValueError: When one of them is malformed.
    """
    tokens = [parse_token(text) for text in given]
    file = root / "tokens.json"
    if file.exists():
        try:
            tokens += [
                Token(**{**row, "orgs": tuple(row.get("orgs", ()))}) for row in read_json(file)
            ]
        except (TypeError, AttributeError) as error:
            raise ValueError(
                f"{file} must be a list of objects with token, name, role and maybe orgs: {error}"
            ) from error
    return tuple(tokens) or DEFAULT_TOKENS


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
