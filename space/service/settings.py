"""Settings of the web service.

In: environment variables of the same names in capitals. Out: `Settings`, or `InvalidSettings`,
whose message has the rule and the value of each variable that is wrong.
"""

import socket
from typing import Annotated, Any, Literal, Self

import limits
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from space.inference.engine import EngineUnavailable, choose
from space.web import json_body

MIN_KEY_CHARACTERS = 16
SECRETS = {"api_keys", "admin_api_keys"}


class InvalidSettings(Exception):
    """An environment variable has a value that the service can't use; the message says which."""


def _split(value: Any) -> Any:
    """The parts of a value with commas."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def _check_keys(keys: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
    if short := [i for i, key in enumerate(keys, 1) if len(key) < MIN_KEY_CHARACTERS]:
        raise ValueError(
            f"each key must have at least {MIN_KEY_CHARACTERS} characters, key {short[0]} has "
            "fewer: make one with `openssl rand -hex 32`"
        )
    return keys


def _check_rate(rate: str) -> str:
    try:
        allowed = limits.parse(rate).amount
    except ValueError:
        allowed = 0
    if allowed < 1:
        raise ValueError("must be a positive number per time, such as 600/minute or 10/second")
    return rate


def _check_host(host: str) -> str:
    try:
        socket.getaddrinfo(host, None)
    except OSError as error:
        raise ValueError("must be an address of this machine, such as 0.0.0.0") from error
    return host


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
Keys = Annotated[
    tuple[SecretStr, ...], NoDecode, BeforeValidator(_split), AfterValidator(_check_keys)
]


class Settings(BaseSettings):
    """What an operator can set; docs/deployment.md describes each.

    Attributes:
        model_id: `user/name` on the Hub at `HF_ENDPOINT`.
        model_revision: Commit, tag or branch; `main` by default.
        engine: What runs the model, see `inference.engine`.
        listen_host: The address to listen on.
        port: The port to listen on.
        api_keys: The keys that may use the API; empty for everybody.
        admin_api_keys: The keys that may use `/admin`; empty to disable it.
        api_keys_protect: `all` if the page, the documentation and the probes need a key, too.
        rate_limit: The most POST requests of a key, or of an address without one, per time.
        allowed_hosts: Values of the Host header; `*.example.com` for all subdomains.
        cors_origins: Origins whose pages may call the service; none by default.
        max_body_bytes: Of a request that is no upload to the page.
        max_concurrent_requests: Of the API; more are refused.
        request_timeout_seconds: For a request's body to arrive, and for its predictions.
        otel_exporter_otlp_endpoint: Where traces are sent; none by default.
    """

    model_config = SettingsConfigDict(frozen=True, env_ignore_empty=True)

    model_id: str | None = None
    model_revision: str | None = None
    engine: str | None = None
    listen_host: Annotated[str, AfterValidator(_check_host)] = "127.0.0.1"
    port: int = Field(7860, ge=0, le=65_535)
    api_keys: Keys = ()
    admin_api_keys: Keys = ()
    api_keys_protect: Literal["api", "all"] = "api"
    rate_limit: Annotated[str, AfterValidator(_check_rate)] | None = None
    allowed_hosts: Names = ("*",)
    cors_origins: Names = ()
    max_body_bytes: int = Field(json_body.MAX_BYTES, ge=1_000, le=2**30)
    max_concurrent_requests: int = Field(512, ge=1, le=5_000)
    request_timeout_seconds: float = Field(120, gt=0, le=3_600)
    otel_exporter_otlp_endpoint: str | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.api_keys_protect == "all" and not self.api_keys:
            raise ValueError(
                "API_KEYS_PROTECT=all needs keys, and API_KEYS has none: set API_KEYS, or "
                "API_KEYS_PROTECT=api"
            )
        try:
            choose(self.engine)
        except EngineUnavailable as error:
            raise ValueError(str(error)) from error
        return self

    @classmethod
    def from_environment(cls) -> Self:
        """The settings of this process.

        Raises:
            InvalidSettings: A value breaks a rule.
        """
        try:
            return cls()
        except ValidationError as error:
            raise InvalidSettings("\n".join(map(_describe, error.errors()))) from None


def _describe(error: Any) -> str:
    """One error of pydantic in a line, without secrets."""
    rule = error["msg"].removeprefix("Value error, ")
    if not error["loc"]:
        return str(rule)
    name = str(error["loc"][0])
    value = "" if name in SECRETS else f", got {error['input']!r}"
    return f"{name.upper()}: {rule}{value}"
