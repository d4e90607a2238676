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

ADMIN, DOCS = "/admin/", "/docs"
PROBES = {"/health", "/ready"}
STREAM_PATH = "/v1/classify/stream"
PAGE, UNKNOWN = "page", "unknown"  # routes that are no path of the API
ROUTE = "service.route"  # key of a request's scope
OPEN = PROBES | {PAGE, DOCS, "/openapi.json"}  # without a key, unless it protects all
CHALLENGE = 'Basic realm="API key as password", Bearer'


class Access:
    """ASGI middleware: checks keys, rates and types of bodies.

    Args:
        app: The app.
        settings: Keys and rates.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app, self._settings = app, settings
        self._keys = _digests(settings.api_keys)
        self._admin_keys = _digests(settings.admin_api_keys)
        self._rate = limits.parse(settings.rate_limit) if settings.rate_limit else None
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass an allowed request on."""
        if scope["type"] == "http":
            try:
                self._check(scope)
            except Problem as problem:
                await problem.send(scope, send)
                return
        await self.app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        path, route, headers = scope["path"], scope[ROUTE], Headers(scope=scope)
        key = _key_of(headers)
        if path.startswith(ADMIN):
            if not self._admin_keys:
                rule = "/admin needs ADMIN_API_KEYS"
                raise Problem(403, rule, "none", "set this variable and restart the service")
            _check_key(self._admin_keys, key, "/admin needs a key of ADMIN_API_KEYS")
        elif self._keys and not self._is_open(route):
            _check_key(self._keys, key, "this address needs an API key of this service")
        if scope["method"] == "POST":
            self._check_rate(scope, key)
            if route not in {PAGE, UNKNOWN}:
                _check_type(path, headers.get("content-type", ""))

    def _is_open(self, route: str) -> bool:
        return route in OPEN and self._settings.api_keys_protect == "api"

    def _check_rate(self, scope: Scope, key: str | None) -> None:
        if self._rate is None:
            return
        # An unknown key must not open a new count.
        known = key if key is not None and _contains(self._keys, key) else None
        caller = known or network_of(scope["client"][0] if scope.get("client") else "")
        if not self._limiter.hit(self._rate, caller):
            reset = self._limiter.get_window_stats(self._rate, caller).reset_time
            limit = f"{self._settings.rate_limit} POST requests"
            rule, state = (
                f"a key or an address may send {limit}",
                f"The limit of {limit} is reached",
            )
            raise problems.busy(max(1, math.ceil(reset - time.time())), rule, "more", state)


def route_of(path: str, api_paths: frozenset[str]) -> str:
    """The path if it is one of the API; `DOCS` for its files; else `UNKNOWN` or `PAGE`."""
    if path.startswith(f"{DOCS}/"):
        return DOCS
    return path if path in api_paths else UNKNOWN if path.startswith(("/v1/", ADMIN)) else PAGE


def _check_key(known: list[bytes], key: str | None, rule: str) -> None:
    if not _contains(known, key):
        value = "no key" if key is None else "an unknown key"
        remedy = "send the header `Authorization: Bearer KEY`"
        raise Problem(401, rule, value, remedy, headers={"WWW-Authenticate": CHALLENGE})


def _check_type(path: str, content_type: str) -> None:
    """Browsers send other types without asking the service, which CORS could not prevent."""
    expected = JSON_LINES if path == STREAM_PATH else "application/json"
    if content_type.partition(";")[0].strip().lower() != expected and path != f"{ADMIN}reload":
        rule, remedy = f"Content-Type must be {expected}", f"send `Content-Type: {expected}`"
        raise Problem(415, rule, problems.describe_header(content_type or None), remedy)


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
