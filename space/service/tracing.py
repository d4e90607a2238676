"""OpenTelemetry traces of requests, if `OTEL_EXPORTER_OTLP_ENDPOINT` is set.

In: the service. Out: the same with a span for each request. OpenTelemetry's own variables, such as
`OTEL_SERVICE_NAME`, apply.
"""

from starlette.types import ASGIApp

from space.service.settings import InvalidSettings

NOT_INSTALLED = (
    "OTEL_EXPORTER_OTLP_ENDPOINT is set, which needs OpenTelemetry, and {name} is not installed: "
    "`pip install -r space/service/otel-requirements.txt`, or unset the variable."
)


def trace(app: ASGIApp) -> ASGIApp:
    """Send a span for each request, except probes, to the endpoint in the environment.

    Raises:
        InvalidSettings: OpenTelemetry is not installed.
    """
    try:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise InvalidSettings(NOT_INSTALLED.format(name=error.name)) from error
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    traced: ASGIApp = OpenTelemetryMiddleware(
        app, excluded_urls="/health$,/ready$,/metrics$", exclude_spans=["receive", "send"]
    )
    return traced
