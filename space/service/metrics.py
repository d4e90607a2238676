"""Metrics of the web service in Prometheus' format.

In: requests and predictions as they happen. Out: the text of `/metrics`.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

from space.inference.classifier import Prediction
from space.inference.serving import Service

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120)
TEXTS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
REFUSALS = {401, 403, 408, 413, 415, 422, 429, 503}  # statuses of refused requests


class Metrics:
    """The metrics of one service.

    Args:
        service: The model and its queue.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._registry = registry = CollectorRegistry()
        counter, gauge = partial(Counter, registry=registry), partial(Gauge, registry=registry)
        histogram = partial(Histogram, registry=registry)
        ProcessCollector(registry=registry)
        self._requests = counter("http_requests", "Requests", ["method", "route", "code"])
        title = "Seconds from a request to the end of its response"
        self._seconds = histogram(
            "http_request_duration_seconds", title, ["route"], buckets=SECONDS
        )
        self._refusals = counter("requests_refused", "Refused requests by status", ["code"])
        self.active = gauge("http_requests_active", "Requests that are being answered")
        self._texts = histogram("request_texts", "Texts of a request to the API", buckets=TEXTS)
        self._tokens = counter("tokens_read", "Tokens read for the API")
        queue = gauge("queue_length", "Texts that wait for the model")
        queue.set_function(lambda: service.queue.length)
        self._model = gauge("model_info", "1 for the loaded model", ["model_id", "model_sha"])

    def count_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request that was answered."""
        known = method if method in METHODS else "other"
        self._requests.labels(known, route, status).inc()
        self._seconds.labels(route).observe(seconds)
        if status in REFUSALS:
            self._refusals.labels(status).inc()

    def count_texts(self, count: int) -> None:
        """Count a request and its texts."""
        self._texts.observe(count)

    def count_tokens(self, answers: Sequence[Any]) -> None:
        """Count the tokens that were read for answers."""
        self._tokens.inc(
            sum(answer.tokens_read for answer in answers if isinstance(answer, Prediction))
        )

    def render(self) -> bytes:
        """All metrics as text."""
        self._model.clear()
        classifier = self._service.classifier
        if classifier.commit:
            self._model.labels(classifier.repo_id, classifier.commit).set(1)
        return generate_latest(self._registry)
