"""Errors of the web service as problem details (RFC 9457), also in the fields of TEI's errors.

In: what went wrong. Out: a `Problem`, whose response names the rule, the value seen and the remedy.
A review is never part of it.
"""

import json
from collections.abc import Mapping
from http.client import responses
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import Message, Scope, Send

from space.inference.admission import PATIENCE_SECONDS
from space.inference.classifier import InvalidText, ModelUnavailable
from space.inference.concurrency import Busy
from space.inference.serving import LimitReached
from space.inference.texts import WrongKind

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = 10  # until a model that is loading, or another replica, may answer
CLIENT_GONE = 499  # as nginx logs it: nobody reads this answer
SENDS_VALUES = {int, float, bool, type(None)}  # of types that can't contain a review
SEND_SINGLE_TEXTS = (
    'send a batch of single texts as [["…"], ["…"]] to /predict, ["…"] to /v1/classify'
)
SEND_PAIRS = (
    'send a pair as ["…", "…"] to /predict, {"text": "…", "text_pair": "…"} to /v1/classify'
)
SEE_DOCS = "see /docs for what this service takes"
SET_BY_OPERATOR = "call it by a name that is allowed, or ask the operator to set the variable"
# error_type of text-embeddings-inference, by status.
ERROR_TYPES = {429: "Overloaded", 500: "Backend", 503: "Unhealthy"}
# Rule, what happened and remedy for errors of libraries, by status.
RULES = {
    400: ("the request must be valid HTTP with a JSON body", "The request is invalid", SEE_DOCS),
    404: (
        "the address must be one of this service",
        "This service has no such address",
        "see /docs for the API and / for the page",
    ),
    405: (
        "an address must be called by one of its methods",
        "This address does not take this method",
        "use a method of the Allow header",
    ),
    408: (
        "the body must arrive in time",
        "The body did not arrive in time",
        "send less, in several requests",
    ),
    413: (
        "the body must not exceed the limit",
        "The body exceeds the limit",
        "send less, in several requests",
    ),
    500: (
        "the service must answer each request",
        "The service failed to handle the request",
        "report the request_id to the operator",
    ),
}
OTHER_RULE = ("the request must be one that this service takes", "The request is refused", SEE_DOCS)


class Problem(Exception):
    """An error that the client is told.

    Args:
        status: The HTTP status.
        rule: What must hold.
        value: What was seen instead, without any text of a review.
        remedy: What the client can do.
        detail: The whole in sentences; by default made of the other three, which reads well if
            the value is a short phrase.
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
        content = {
            "type": "about:blank",
            "title": responses.get(self.status, "Client Closed Request"),
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

    async def send(self, scope: Scope, send: Send) -> None:
        """Answer a request."""
        await self.response(scope)(scope, _no_messages, send)


async def _no_messages() -> Message:
    return {"type": "http.disconnect"}


def busy(seconds: int, rule: str, value: str, state: str) -> Problem:
    """The service has too much to do, or the client has called too often; `state` says which."""
    remedy, headers = f"try again in {seconds} s", {"Retry-After": str(seconds)}
    return Problem(429, rule, value, remedy, f"{state}: {remedy}.", headers)


def unavailable(rule: str, value: str, state: str) -> Problem:
    """The service can't answer now; `state` is a sentence that says why."""
    remedy = f"try again in {RETRY_SECONDS} s; GET /ready tells when"
    detail = f"{state} Try again in {RETRY_SECONDS} s."
    return Problem(503, rule, value, remedy, detail, {"Retry-After": str(RETRY_SECONDS)})


def not_loaded(error: str | None) -> Problem:
    """The model is loading, or why it can't be loaded."""
    rule, state = "the model must be loaded", error or "The model is loading."
    # Messages for the page announce the next attempt; here it is the client's.
    state = state.removesuffix(" The next request tries again.")
    return unavailable(rule, error or "a model that is loading", state)


def shutdown() -> Problem:
    """The service shuts down; another replica may answer."""
    rule, state = "the service must be running", "The service is shutting down."
    return unavailable(rule, "a shutdown", state)


def of_refusal(error: Exception, index: int | None = None) -> Problem:
    """The problem for one of `serving.REFUSALS`.

    Args:
        error: What the request raised, or its answer to one text.
        index: Of the text in a batch.
    """
    message = str(error)
    if isinstance(error, Busy):
        rule = f"the estimated wait must be at most {PATIENCE_SECONDS:g} s"
        return busy(error.seconds, rule, f"{error.seconds} s", "Too many requests are waiting")
    if isinstance(error, ModelUnavailable):
        return not_loaded(message)
    where = "" if index is None else f"text {index}: "
    if isinstance(error, LimitReached):
        text = "The text" if index is None else f"Text {index}"
        state = f"{text} was left out{message.removeprefix('Left out')}"
        if error.limit == "seconds":
            rule = "an answer must take no longer than the limit"
            return unavailable(rule, where + message, state)
        rule = f"a request must have at most the allowed number of {error.limit}"
        remedy = "send fewer or shorter texts in one request"
        detail = f"{state} {remedy.capitalize()}."
        return Problem(413, rule, where + message, remedy, detail)
    if isinstance(error, WrongKind):
        rule = "a text must be of the kind that the model reads: single texts, or pairs"
        remedy = SEND_PAIRS if error.reads_pairs else SEND_SINGLE_TEXTS
        detail = f"{where.capitalize()}{message} {remedy[0].upper()}{remedy[1:]}."
        return Problem(422, rule, where + message, remedy, detail)
    if isinstance(error, InvalidText):
        return Problem(
            422,
            "a text must have words that the model can read, and at most 100,000 characters",
            where + error.without_text,
            "change or omit the text; in a batch, /v1/classify answers the other texts",
            detail=where.capitalize() + error.without_text,
        )
    return Problem(
        CLIENT_GONE,
        "the client must wait for the answer",
        "a disconnect",
        "call again",
        detail="The client disconnected before the answer: call again.",
    )


def of_validation(errors: list[dict[str, Any]]) -> Problem:
    """The problem for the first of the errors that pydantic found in a request."""
    error = errors[0]
    if unknown := sum(other.get("type") == "extra_forbidden" for other in errors):
        # The names are the client's own words. They could be parts of a text.
        return Problem(422, "a request must have no unknown field", f"{unknown:,}", SEE_DOCS)
    name = ".".join(str(part) for part in error["loc"] if part != "body") or "body"
    rule = f"{name[:100]}: {error['msg'].removeprefix('Value error, ')}"
    return Problem(422, rule, describe(error.get("input")), SEE_DOCS)


def of_response(status: int, body: bytes, scope: Scope) -> Problem:
    """The problem for an error response of a library or the page.

    Args:
        status: Of the response.
        body: Of the response: JSON or a line of text.
        scope: Of the request.
    """
    headers, path = Headers(scope=scope), scope["path"]
    if status == 400 and body == b"Invalid host header":  # Starlette's
        value = describe_header(headers.get("host"))
        return Problem(400, "the Host header must be one of ALLOWED_HOSTS", value, SET_BY_OPERATOR)
    if status == 400 and body.startswith(b"Disallowed CORS"):  # Starlette's, too
        rule = "a page of another origin must be one of CORS_ORIGINS, and send GET or POST"
        return Problem(400, rule, describe_header(headers.get("origin")), SET_BY_OPERATOR)
    if status == 405:
        path = f"{scope['method'][:20]} {path}"
    rule, state, remedy = RULES.get(status, OTHER_RULE)
    try:
        content = json.loads(body)
        message = content.get("error") or content.get("detail")
    except (ValueError, AttributeError):
        message = body.decode("utf-8", "replace")
    message = message if isinstance(message, str) and "<" not in message else ""
    if status == 500 or message in {"", responses.get(status)}:
        return Problem(status, rule, path, remedy, detail=f"{state}: {remedy}.")
    return Problem(status, rule, message, remedy, detail=message)


def describe_header(value: str | None) -> str:
    """A header as it was sent, shortened."""
    return "none" if value is None else repr(value[:100])


def describe(value: Any) -> str:
    """A value without the texts in it: a number as in JSON, anything else by its type and size."""
    if type(value) in SENDS_VALUES:
        return json.dumps(value)
    size = f" of length {len(value):,}" if isinstance(value, str | list | dict) else ""
    return f"{type(value).__name__}{size}"
