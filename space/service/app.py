"""The service as one ASGI app: the API, the page, and what is around both.

In: settings, the model and its queue, the page. Out: an app for uvicorn.
"""

from collections.abc import Callable
from typing import Any

import gradio
from fastapi import FastAPI, Security
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPBearer
from fastapi.telemetry import TelemetryConfig
from fastapi_offline import FastAPIOffline
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from space.app import APPEARANCE, MAX_SESSIONS, MAX_THREADS, SERVER, TITLE
from space.inference.serving import REFUSALS, Service
from space.service import problems, tracing
from space.service.access import DOCS, PAGE, PROBES, ROUTE, STREAM_PATH, Access
from space.service.api import Api
from space.service.body_limiter import BodyLimiter
from space.service.lifecycle import Lifecycle
from space.service.metrics import Metrics
from space.service.observer import Guard, Observer
from space.service.operations import API_VERSION, Operations
from space.service.problems import Problem
from space.service.schemas import (
    REVIEW,
    ClassifyResponse,
    ExplainResponse,
    ProblemDetails,
    Score,
)
from space.service.settings import Settings
from space.web.middleware import JSON_LINES, RequestMiddleware

DESCRIPTION = (
    "Sentiment of movie reviews. `/predict` and `/info` answer as text-embeddings-inference does; "
    "`/v1` has more. Errors are problem details (RFC 9457)."
)
PROBLEM = {
    "description": "What is wrong, and the remedy",
    "content": {problems.MEDIA_TYPE: {"schema": ProblemDetails.model_json_schema()}},
}
RESPONSES: dict[int | str, dict[str, Any]] = dict.fromkeys(
    [400, 401, 403, 408, 409, 413, 415, 422, 429, 500, 503], PROBLEM
)
ANSWER_LINE = '{"index": 0, "label": "POSITIVE", "probability": 0.97}'
LINES = {
    "responses": {"200": {"content": {JSON_LINES: {"example": f"{ANSWER_LINE}\n"}}}},
    "requestBody": {
        "required": True,
        "content": {JSON_LINES: {"example": f'{{"inputs": "{REVIEW}"}}\n{{"inputs": "A bore."}}'}},
    },
}


def create(
    settings: Settings, service: Service, lifecycle: Lifecycle, page: gradio.Blocks | None = None
) -> ASGIApp:
    """The service as an ASGI app.

    Args:
        settings: From the environment.
        service: The model, which may still be loading, and its queue.
        lifecycle: Told by the server when to shut down.
        page: From `space.app.prepare`; None for the API alone.

    Raises:
        InvalidSettings: Traces are wanted and OpenTelemetry is not installed.
    """
    metrics = Metrics(service)
    telemetry = tracing.configuration(settings.otel_exporter_otlp_endpoint)
    api = _api(
        telemetry,
        Api(service, settings, metrics, lifecycle),
        Operations(service, settings, metrics, lifecycle),
    )
    paths = frozenset(str(getattr(route, "path", "")) for route in api.routes)
    bodies: dict[str, Any] = {
        "max_bytes": settings.max_body_bytes,
        "seconds": settings.request_timeout_seconds,
    }
    checked = RequestMiddleware(api, **bodies, json_lines=True)
    rest = _without_cors(_host(page, telemetry, bodies)) if page else api
    app: ASGIApp = _choose(lambda scope: scope[ROUTE] != PAGE, checked, rest)
    app = Access(BodyLimiter(app, settings.max_body_bytes), settings)
    trusted = TrustedHostMiddleware(app, list(settings.allowed_hosts), www_redirect=False)
    # Probes send the address of the container.
    app = Guard(_choose(lambda scope: scope["path"] in PROBES, app, trusted), lifecycle)
    if settings.cors_origins:  # around all, so that a page can read every error
        app = CORSMiddleware(
            app,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type", "X-Request-ID"],
            expose_headers=["Retry-After", "X-Request-ID"],
        )
    return Observer(app, metrics, paths)


def _api(telemetry: TelemetryConfig, api: Api, operations: Operations) -> FastAPI:
    app = FastAPIOffline(
        docs_url=DOCS,
        redoc_url=None,
        static_url=f"{DOCS}/static",
        title=TITLE,
        description=DESCRIPTION,
        version=API_VERSION,
        dependencies=[Security(HTTPBearer(auto_error=False))],
        responses=RESPONSES,
        telemetry=telemetry,
    )
    scores = list[Score] | list[list[Score]]
    predictions: dict[str, Any] = {"methods": ["POST"], "tags": ["predictions"]}
    stream = predictions | {"response_class": StreamingResponse}  # no JSON
    app.add_api_route("/predict", api.predict, response_model=scores, **predictions)
    app.add_api_route("/v1/classify", api.classify, response_model=ClassifyResponse, **predictions)
    app.add_api_route(STREAM_PATH, api.classify_stream, openapi_extra=LINES, **stream)
    app.add_api_route("/v1/explain", api.explain, response_model=ExplainResponse, **predictions)
    for path, endpoint in [
        ("/health", operations.health),
        ("/ready", operations.ready),
        ("/info", operations.info),
        ("/metrics", operations.metrics),
    ]:
        app.add_api_route(path, endpoint, methods=["GET"], tags=["operations"])
        app.add_api_route(path, endpoint, methods=["HEAD"], include_in_schema=False)
    app.add_api_route("/admin/reload", operations.reload, methods=["POST"], tags=["operations"])
    for kind in (Problem, RequestValidationError, *REFUSALS):
        app.add_exception_handler(kind, _answer_error)
    return app


async def _answer_error(request: Request, error: Exception) -> Response:
    if isinstance(error, RequestValidationError):
        error = problems.of_validation(list(error.errors()))
    if not isinstance(error, Problem):
        error = problems.of_refusal(error)
    return error.response(request.scope)


def _host(page: gradio.Blocks, telemetry: TelemetryConfig, bodies: dict[str, Any]) -> FastAPI:
    """The page as an app with its own lifespan; `bodies` are limits of `RequestMiddleware`."""
    page.max_threads = page._queue.max_thread_count = MAX_THREADS
    page.state_session_capacity = MAX_SESSIONS
    host = FastAPI(openapi_url=None, telemetry=telemetry)
    app_options = {**SERVER["app_kwargs"], "middleware": [Middleware(RequestMiddleware, **bodies)]}
    options = {**SERVER, "app_kwargs": app_options}
    gradio.mount_gradio_app(host, page, "/", **APPEARANCE, **options)
    return host


def _choose(matches: Callable[[Scope], bool], app: ASGIApp, other: ASGIApp) -> ASGIApp:
    """An app for the requests that match, and another for the rest."""

    async def choose(scope: Scope, receive: Receive, send: Send) -> None:
        matched = scope["type"] == "http" and matches(scope)
        await (app if matched else other)(scope, receive, send)

    return choose


def _without_cors(page: ASGIApp) -> ASGIApp:
    """The page without Gradio's CORS headers, which allow every origin."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_without_cors(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers, prefix = message["headers"], b"access-control-"
                kept = [pair for pair in headers if not pair[0].lower().startswith(prefix)]
                message = {**message, "headers": kept}
            await send(message)

        await page(scope, receive, send_without_cors)

    return answer
