"""OpenTelemetry traces of requests, if `OTEL_EXPORTER_OTLP_ENDPOINT` is set.

In: the setting. Out: FastAPI's telemetry configuration, with a span for each request and its steps.
OpenTelemetry's own variables, such as `OTEL_SERVICE_NAME`, apply.
"""

import atexit
from collections.abc import Callable
from threading import Thread

from fastapi.telemetry import TelemetryConfig

from space.service.access import PROBES
from space.service.settings import InvalidSettings

NOT_INSTALLED = (
    "OTEL_EXPORTER_OTLP_ENDPOINT is set, which needs OpenTelemetry, and {name} is not installed: "
    "`pip install -r space/service/otel-requirements.txt`, or unset the variable."
)
LAST_SPANS_SECONDS = 1.0  # at the end of the process, for spans that were not sent yet
UNTRACED = PROBES | {"/metrics"}


def configuration(endpoint: str | None) -> TelemetryConfig:
    """How FastAPI traces requests; its logs are off, because they may contain texts.

    Raises:
        InvalidSettings: There is an endpoint, and OpenTelemetry is not installed.
    """
    if endpoint is None:
        return {"tracing": False, "metrics": False, "logs": False}
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise InvalidSettings(NOT_INSTALLED.format(name=error.name)) from error
    provider = TracerProvider(shutdown_on_exit=False)
    atexit.register(_send_last_spans, provider.shutdown)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return {
        "tracer_provider": provider,
        "metrics": False,
        "logs": False,
        "exclude": lambda scope: scope["path"] in UNTRACED,
    }


def _send_last_spans(shutdown: Callable[[], object]) -> None:
    """Send them in a limited time: without an answer, OpenTelemetry would wait for 30 s."""
    thread = Thread(target=shutdown, daemon=True)
    thread.start()
    thread.join(LAST_SPANS_SECONDS)
