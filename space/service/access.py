"""Who may call the service, and how often.

In: requests. Out: the requests that are allowed; problems for the others.
"""

import base64
import binascii
import hashlib
import hmac
import math
import time
from collections.abc import Iterable

import limits
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from pydantic import SecretStr
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from space.inference.client import network_of
from space.service import problems
from space.service.problems import Problem
from space.service.settings import Settings
from space.web.middleware import JSON_LINES

ADMIN = "/admin/"
PROBES = {"/health", "/ready"}
DOCUMENTATION = {"/docs", "/openapi.json"}
STREAM = "/v1/classify/stream"
CHALLENGE = 'Basic realm="API key as password", Bearer'


class Access:
    """ASGI middleware: checks keys, rates and types of bodies.

    Args:
        app: The app.
        settings: Keys and rates.
        api_paths: The paths of the API; any other is the page's.
    """

    def __init__(self, app: ASGIApp, settings: Settings, api_paths: frozenset[str]) -> None:
        self.app = app
        self._settings, self._api_paths = settings, api_paths
        self._keys, self._admin_keys = (
            _digests(settings.api_keys),
            _digests(settings.admin_api_keys),
        )
        self._rate = limits.parse(settings.rate_limit) if settings.rate_limit else None
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass an allowed request on."""
        if scope["type"] == "http":
            try:
                self._check(scope)
            except Problem as problem:
                await problem.response(scope)(scope, receive, send)
                return
        await self.app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        path, headers = scope["path"], Headers(scope=scope)
        key = _key_of(headers)
        if path.startswith(ADMIN):
            self._check_admin(key)
        elif self._keys and not (self._is_open(path) or _contains(self._keys, key)):
            raise Problem(
                401,
                "this address needs an API key of this service",
                "no key" if key is None else "an unknown key",
                "send the header `Authorization: Bearer KEY`",
                headers={"WWW-Authenticate": CHALLENGE},
            )
        if scope["method"] == "POST":
            self._check_rate(scope, key)
            if path in self._api_paths:
                _check_type(path, headers.get("content-type", ""))

    def _is_open(self, path: str) -> bool:
        is_page = not is_api(path, self._api_paths) or path in PROBES | DOCUMENTATION
        return is_page and self._settings.api_keys_protect == "api"

    def _check_admin(self, key: str | None) -> None:
        if not self._admin_keys:
            raise Problem(
                403, "/admin needs ADMIN_API_KEYS", "none", "set it and restart the service"
            )
        if not _contains(self._admin_keys, key):
            raise Problem(
                401,
                "/admin needs a key of ADMIN_API_KEYS",
                "no key" if key is None else "another key",
                "send the header `Authorization: Bearer KEY`",
                headers={"WWW-Authenticate": "Bearer"},
            )

    def _check_rate(self, scope: Scope, key: str | None) -> None:
        if self._rate is None:
            return
        # An unknown key must not open a new count.
        known = key if key is not None and _contains(self._keys, key) else None
        caller = known or network_of(scope["client"][0] if scope.get("client") else "")
        if not self._limiter.hit(self._rate, caller):
            reset = self._limiter.get_window_stats(self._rate, caller).reset_time
            raise problems.busy(
                max(1, math.ceil(reset - time.time())),
                f"a key or an address may send {self._settings.rate_limit} POST requests",
                "more",
            )


def is_api(path: str, api_paths: frozenset[str]) -> bool:
    """Whether a path is one of the API, existing or not; any other belongs to the page."""
    return path in api_paths or path.startswith(("/v1/", ADMIN))


def _check_type(path: str, content_type: str) -> None:
    """Browsers send other types without asking the service, which CORS could not prevent."""
    expected = JSON_LINES if path == STREAM else "application/json"
    if content_type.partition(";")[0].strip().lower() != expected and path != f"{ADMIN}reload":
        value = repr(content_type[:100]) if content_type else "none"
        raise Problem(
            415, f"Content-Type must be {expected}", value, f"send `Content-Type: {expected}`"
        )


def _key_of(headers: Headers) -> str | None:
    """The key of a request: as Bearer token, or as the password that a browser asks for."""
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return None
    return None


def _digests(keys: Iterable[SecretStr]) -> list[bytes]:
    return [_digest(key.get_secret_value()) for key in keys]


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def _contains(digests: list[bytes], key: str | None) -> bool:
    """Whether a key is known, in a time that depends on neither the key nor the keys."""
    digest = _digest(key or "")
    return any([hmac.compare_digest(digest, known) for known in digests])
