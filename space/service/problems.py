"""Errors of the web service as problem details (RFC 9457), also in the fields of TEI's errors.

In: what went wrong. Out: a `Problem`, whose response names the rule, the value seen and the remedy.
A review is never part of it.
"""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.responses import JSONResponse
from starlette.types import Scope

from space.inference.admission import PATIENCE_SECONDS
from space.inference.classifier import InvalidText, ModelUnavailable
from space.inference.concurrency import Busy
from space.inference.serving import LimitReached

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = 10  # until a model that is loading, or another replica, may answer
CLIENT_GONE = 499  # as nginx logs it: nobody reads this answer
SENDS_VALUES = {int, float, bool, type(None)}  # of types that can't contain a review
SEE_DOCS = "see /docs for what this service takes"
# error_type of text-embeddings-inference, by status.
ERROR_TYPES = {429: "Overloaded", 500: "Backend", 503: "Unhealthy"}
# Rule and remedy for errors of libraries, by status.
RULES = {
    400: ("the request must be valid HTTP with a JSON body", SEE_DOCS),
    404: ("the address must be one of this service", "see /docs for the API and / for the page"),
    405: ("the method must be one that this address takes", "use a method of the Allow header"),
    408: ("the body must arrive in time", "send less, in several requests"),
    413: ("the body must not exceed the limit", "send less, in several requests"),
    500: ("the service must handle each request", "report the request_id to the operator"),
}


class Problem(Exception):
    """An error that the client is told.

    Args:
        status: The HTTP status.
        rule: What must hold.
        value: What was seen instead, without any text of a review.
        remedy: What the client can do.
        detail: The whole in a sentence; by default made of the other three.
        headers: More headers of the response.
    """

    def __init__(
        self,
        status: int,
        rule: str,
        value: str,
        remedy: str,
        detail: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.detail = detail or f"{rule[0].upper()}{rule[1:]}, got {value}: {remedy}."
        super().__init__(self.detail)
        self.status, self.rule, self.value, self.remedy = status, rule, value, remedy
        self.headers = dict(headers or {})

    def response(self, scope: Scope) -> JSONResponse:
        """The response to a request."""
        known = self.status in set(HTTPStatus)
        content = {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase if known else "Client Closed Request",
            "status": self.status,
            "detail": self.detail,
            "instance": scope["path"],
            "request_id": scope.get("request_id"),
            "rule": self.rule,
            "value": self.value,
            "remedy": self.remedy,
            "error": self.detail,
            "error_type": ERROR_TYPES.get(self.status, "Validation"),
        }
        return JSONResponse(content, self.status, self.headers, MEDIA_TYPE)


def busy(seconds: int, rule: str, value: str) -> Problem:
    """The service has too much to do, or the client has called too often."""
    remedy = f"try again in {seconds} s"
    return Problem(429, rule, value, remedy, headers={"Retry-After": str(seconds)})


def unavailable(rule: str, value: str) -> Problem:
    """The service can't answer now."""
    remedy = f"try again in {RETRY_SECONDS} s; GET /ready tells when"
    return Problem(503, rule, value, remedy, headers={"Retry-After": str(RETRY_SECONDS)})


def shutdown() -> Problem:
    """The service shuts down; another replica may answer."""
    return unavailable("the service must be running", "a shutdown")


def of_refusal(error: Exception, index: int | None = None) -> Problem:
    """The problem for one of `serving.REFUSALS`.

    Args:
        error: What the request raised, or its answer to one text.
        index: Of the text in a batch.
    """
    message = str(error)
    if isinstance(error, Busy):
        rule = f"the estimated wait must be at most {PATIENCE_SECONDS:g} s"
        return busy(error.seconds, rule, f"{error.seconds} s")
    if isinstance(error, ModelUnavailable):
        return unavailable("the model must be loaded", message)
    where = "" if index is None else f"text {index}: "
    if isinstance(error, LimitReached):
        remedy = "send fewer or shorter texts in one request"
        if error.limit == "seconds":
            return unavailable("an answer must take no longer than the limit", where + message)
        return Problem(
            413, f"a request must keep its limit of {error.limit}", where + message, remedy
        )
    if isinstance(error, InvalidText):
        return Problem(
            422,
            "a text must have words that the model can read, and at most 100,000 characters",
            where + message,
            "change or omit the text; in a batch, /v1/classify answers the other texts",
            detail=where + message,
        )
    return Problem(CLIENT_GONE, "the client must wait for the answer", "a disconnect", "call again")


def of_validation(errors: list[dict[str, Any]]) -> Problem:
    """The problem for the first of the errors that pydantic found in a request."""
    error = errors[0]
    name = ".".join(str(part) for part in error["loc"] if part != "body") or "body"
    rule = f"{name[:100]}: {error['msg'].removeprefix('Value error, ')}"
    return Problem(422, rule, describe(error.get("input")), SEE_DOCS)


def of_response(status: int, body: bytes, path: str) -> Problem:
    """The problem for an error response of a library or the page.

    Args:
        status: Of the response.
        body: Of the response: JSON or a line of text.
        path: Of the request.
    """
    rule, remedy = RULES.get(status, ("the request must be one that this service takes", SEE_DOCS))
    try:
        content = json.loads(body)
        message = content.get("error") or content.get("detail")
    except (ValueError, AttributeError):
        message = body.decode("utf-8", "replace")
    message = message if isinstance(message, str) and "<" not in message else ""
    is_phrase = message in {"", HTTPStatus(status).phrase}
    return Problem(status, rule, path if is_phrase else message, remedy,
                   detail=None if is_phrase else message)  # fmt: skip


def describe(value: Any) -> str:
    """A value without the texts in it: a number as it is, anything else by its type and size."""
    if type(value) in SENDS_VALUES:
        return repr(value)
    size = f" of length {len(value):,}" if isinstance(value, str | list | dict) else ""
    return f"{type(value).__name__}{size}"
