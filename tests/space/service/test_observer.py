"""Ids, logs, metrics, headers, errors and probes of the web service, in process."""

import asyncio
import io
import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from service_app import ADMIN_KEY, COMMIT, KEY, assert_problem, client, loaded
from starlette.websockets import WebSocketDisconnect

from space.inference.admission import AdmissionQueue
from space.inference.classifier import Classifier
from space.inference.serving import Service
from space.service import tracing
from space.service.lifecycle import Lifecycle
from space.service.observer import JsonFormatter
from space.service.settings import InvalidSettings

BODY = {"inputs": "a secret wonderful film"}
UNREADABLE = ["секретный", "秘密", "🤫", "سر"]


@pytest.fixture(scope="module")
def classifier(tiny_classifier: Path) -> Classifier:
    return loaded(tiny_classifier)


@contextmanager
def log_lines() -> Iterator[list[dict[str, Any]]]:
    """The JSON lines that the service logs inside the block."""
    written, lines = io.StringIO(), list[dict[str, Any]]()
    handler = logging.StreamHandler(written)
    handler.setFormatter(JsonFormatter())
    logger, level = logging.getLogger("space"), logging.getLogger("space").level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield lines
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        lines += [json.loads(line) for line in written.getvalue().splitlines()]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/other", 404),
        ("POST", "/admin/other", 401),
        ("GET", "/predict", 405),
        ("DELETE", "/v1/classify", 405),
        ("POST", "/health", 405),
    ],
)
def test_unknown_addresses_and_methods_are_problems(
    classifier: Classifier, method: str, path: str, status: int
):
    http = client(classifier, admin_api_keys=ADMIN_KEY)
    response = http.request(method, path, json={} if method == "POST" else None)
    problem = assert_problem(response, status)
    assert problem["instance"] == path
    if status == 405:
        assert response.headers["allow"] in {"GET", "POST"}
        assert problem["value"] == f"{method} {path}"
        assert problem["detail"].endswith("use a method of the Allow header.")


def test_refused_hosts_and_origins_name_their_setting(classifier: Classifier):
    http = client(classifier, allowed_hosts=["testserver"], cors_origins=["https://a.example"])
    refused = http.post("/predict", json=BODY, headers={"Host": "b.example"})
    assert_problem(refused, 400, "ALLOWED_HOSTS", "'b.example'", "ask the operator")
    asked = {"Origin": "https://b.example", "Access-Control-Request-Method": "POST"}
    problem = assert_problem(http.options("/predict", headers=asked), 400, "CORS_ORIGINS")
    assert problem["value"] == "'https://b.example'"


@pytest.mark.parametrize(
    ("status", "method", "path", "body"),
    [
        (400, "POST", "/predict", b"{"),
        (404, "GET", "/v1/other", b""),
        (405, "GET", "/predict", b""),
        (413, "POST", "/predict", b'"' + b"x" * 2_000 + b'"'),
        (415, "POST", "/v1/classify/stream", b"{}"),
        (422, "POST", "/predict", b"{}"),
        (500, "POST", "/predict", b'{"inputs": "a film"}'),
        (503, "POST", "/predict", b'{"inputs": "a film"}'),
    ],
)
def test_errors_can_be_read_by_pages_that_cors_allows(
    classifier: Classifier, status: int, method: str, path: str, body: bytes
):
    class BrokenQueue(AdmissionQueue):
        def run(self, *arguments: Any, **options: Any) -> Any:
            raise RuntimeError

    origin, lifecycle = "https://a.example", Lifecycle(classifier)
    service = Service(classifier, BrokenQueue(1))
    settings = {"cors_origins": [origin], "max_body_bytes": 1_000}
    http = client(classifier, lifecycle, service, **settings)
    if status == 503:
        lifecycle.drain()
    headers = {"Origin": origin, "Content-Type": "application/json"}
    response = http.request(method, path, content=body, headers=headers)
    assert_problem(response, status)
    assert response.headers["access-control-allow-origin"] == origin
    assert "X-Request-ID" in response.headers["access-control-expose-headers"]
    assert "Origin" in response.headers["vary"]
    other = http.request(method, path, content=body, headers=headers | {"Origin": "https://b.test"})
    assert "access-control-allow-origin" not in other.headers


def test_unexpected_errors_are_problems_without_their_cause(classifier: Classifier):
    class BrokenQueue(AdmissionQueue):
        def run(self, *arguments: Any, **options: Any) -> Any:
            raise RuntimeError("a secret cause")

    http = client(classifier, service=Service(classifier, BrokenQueue(1)))
    with log_lines() as lines:
        response = http.post("/predict", json=BODY)
    problem = assert_problem(response, 500, "report the request_id")
    assert "secret" not in response.text and problem["error_type"] == "Backend"
    assert any("a secret cause" in json.dumps(line) for line in lines)
    assert [line["status"] for line in lines if line["message"] == "request"] == [500]


def call_slowly(http: Any, *messages: dict[str, Any]) -> int | None:
    """The status for a client that sends these messages to /predict, and then none.

    None without a response.
    """
    waiting, sent = list(messages), list[dict[str, Any]]()

    async def receive() -> dict[str, Any]:
        if not waiting:
            await asyncio.sleep(60)
        return waiting.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"content-type", b"application/json"), (b"host", b"testserver")]
    scope = {"type": "http", "method": "POST", "path": "/predict", "headers": headers}
    scope |= {"http_version": "1.1", "scheme": "http", "query_string": b"", "client": None}
    asyncio.run(http.app(scope, receive, send))
    return int(sent[0]["status"]) if sent else None


def test_a_body_must_arrive_in_time(classifier: Classifier):
    http = client(classifier, request_timeout_seconds=0.1)
    part = {"type": "http.request", "body": b'{"inputs": ', "more_body": True}
    assert call_slowly(http, part) == 408


def test_work_for_a_client_that_has_gone_ends(classifier: Classifier):
    class WaitingQueue(AdmissionQueue):
        def run(self, *arguments: Any, cancelled: Any, **options: Any) -> Any:
            while not cancelled():
                time.sleep(0.01)
            return super().run(*arguments, cancelled=cancelled, **options)

    http = client(classifier, service=Service(classifier, WaitingQueue(1)))
    body = {"type": "http.request", "body": json.dumps(BODY).encode()}
    with log_lines() as lines:
        assert call_slowly(http, body, {"type": "http.disconnect"}) == 499
    assert lines[-1]["status"] == 499


def test_a_client_that_leaves_during_its_body_is_no_error_of_the_service(classifier: Classifier):
    part = {"type": "http.request", "body": b'{"inputs": ', "more_body": True}
    with log_lines() as lines:
        assert call_slowly(client(classifier), part, {"type": "http.disconnect"}) is None
    assert lines[-1]["status"] == 499


def test_websockets_are_refused(classifier: Classifier):
    with pytest.raises(WebSocketDisconnect), client(classifier).websocket_connect("/any"):
        pass


def test_each_request_has_an_id(classifier: Classifier):
    http = client(classifier)
    first, second = http.get("/health"), http.get("/health")
    assert first.headers["x-request-id"] != second.headers["x-request-id"]
    sent = http.get("/health", headers={"X-Request-ID": "trace-7.a_b"})
    assert sent.headers["x-request-id"] == "trace-7.a_b"
    for invalid in ("a b", "x" * 65, 'a"b', "é"):
        answer = http.get("/health", headers={"X-Request-ID": invalid.encode()})  # type: ignore[arg-type]
        assert answer.headers["x-request-id"] != invalid
        assert len(answer.headers["x-request-id"]) == 32


def test_log_has_a_line_per_request_and_no_texts_and_no_keys(classifier: Classifier):
    http = client(classifier, api_keys=KEY)
    header = {"Authorization": f"Bearer {KEY}", "X-Request-ID": "mine"}
    lines_type = header | {"Content-Type": "application/x-ndjson"}
    with log_lines() as lines:
        http.post("/predict?text=secret", json=BODY, headers=header)
        http.post("/predict", json={"inputs": ["secret"] * 3}, headers=header)
        http.post("/predict", content=b'"secret', headers=header)
        http.post("/v1/classify/stream", content=b'"secret film"\nsecret', headers=lines_type)
        http.get("/v1/secret", headers=header)
    assert [(line["route"], line["status"]) for line in lines if line["message"] == "request"] == [
        ("/predict", 200),
        ("/predict", 422),
        ("/predict", 415),
        ("/v1/classify/stream", 200),
        ("unknown", 404),
    ]
    for line in lines:
        assert {"time", "level", "logger", "message"} <= set(line)
    assert lines[0]["request_id"] == "mine" and lines[0]["seconds"] >= 0
    assert not [line for line in lines if "secret" in json.dumps(line) or KEY in json.dumps(line)]


def test_problems_never_contain_texts(classifier: Classifier):
    http = client(classifier)
    bodies: list[Any] = [
        {"inputs": ["secret"] * 3},
        {"inputs": {"secret": "secret"}},
        {"inputs": [["secret"] * 3]},
        {"inputs": "secret" * 20_000},
        *({"inputs": text} for text in UNREADABLE),
        *({"inputs": [[text]]} for text in UNREADABLE),
    ]
    for path, body in [("/predict", body) for body in bodies] + [
        ("/v1/classify", {"inputs": "a film", "secret": 1}),
        ("/v1/classify", {"secret": "a film"}),
        *(("/v1/classify", {"inputs": text}) for text in UNREADABLE),
        *(("/v1/explain", {"inputs": text}) for text in UNREADABLE),
    ]:
        response = http.post(path, json=body)
        assert_problem(response, 422)
        found = json.dumps(response.json(), ensure_ascii=False)
        assert not [word for word in ("secret", *UNREADABLE) if word in found], found
    assert_problem(http.post("/predict", json={"inputs": "секретный"}), 422, "Cyrillic letters")


def test_responses_have_security_headers(classifier: Classifier):
    http = client(classifier)
    for response in (http.post("/predict", json=BODY), http.get("/v1/x"), http.get("/health")):
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["cache-control"] == "no-store"
        assert response.headers["content-security-policy"].startswith("default-src 'none'")
        assert "strict-transport-security" not in response.headers
    http.base_url = "https://testserver"
    assert "max-age" in http.get("/health").headers["strict-transport-security"]
    for path in ("/docs", "/docs/static/swagger-ui-bundle.js"):
        assert "//" not in http.get(path).headers["content-security-policy"]  # no other host


def test_probes_tell_loading_running_and_draining():
    waiting = Classifier(None)
    http = client(waiting)
    assert http.get("/health").json() == {"status": "ok"}
    assert_problem(http.get("/ready"), 503, "a model that is loading")
    waiting.load_error = "The Hub does not answer."
    response = http.get("/ready")
    assert_problem(response, 503, "The Hub does not answer.")
    assert response.headers["retry-after"]
    assert_problem(http.post("/predict", json=BODY), 503, "The Hub does not answer.")
    assert_problem(http.get("/info"), 503)


def test_draining_refuses_new_requests_but_not_probes(classifier: Classifier):
    lifecycle = Lifecycle(classifier)
    http = client(classifier, lifecycle)
    assert http.get("/ready").json() == {"status": "ok", "model_sha": COMMIT}
    lifecycle.drain()
    response = http.post("/predict", json=BODY)
    assert_problem(response, 503, "a shutdown")
    assert response.headers["retry-after"]
    assert_problem(http.get("/ready"), 503, "a shutdown")
    assert http.get("/health").status_code == 200


def test_accepted_requests_end_when_the_time_for_shutdown_is_over(classifier: Classifier):
    lifecycle = Lifecycle(classifier)

    class EndlessQueue(AdmissionQueue):
        def run(self, *arguments: Any, **options: Any) -> Any:
            lifecycle.expired.set()
            return super().run(*arguments, **options)

    http = client(classifier, lifecycle, Service(classifier, EndlessQueue(1)))
    assert_problem(http.post("/predict", json=BODY), 503, "a shutdown")


def test_only_one_model_is_loaded_at_a_time(classifier: Classifier):
    lifecycle = Lifecycle(classifier)
    http = client(classifier, lifecycle, admin_api_keys=ADMIN_KEY)
    lifecycle._reloading.acquire()
    header = {"Authorization": f"Bearer {ADMIN_KEY}"}
    assert_problem(http.post("/admin/reload", headers=header), 409, "one model is loaded at a time")


def test_info_has_the_fields_of_text_embeddings_inference(classifier: Classifier):
    info = client(classifier, rate_limit="5/minute").get("/info").json()
    assert (info["model_id"], info["model_sha"]) == ("demo/tiny", COMMIT)
    assert info["model_type"]["classifier"] == {
        "id2label": {"0": "NEGATIVE", "1": "POSITIVE"},
        "label2id": {"NEGATIVE": 0, "POSITIVE": 1},
    }
    assert info["max_input_length"] == 64 and info["max_client_batch_size"] == 1000
    assert info["model_dtype"] == "float32" and info["auto_truncate"] is True
    reason = "the model has no onnx/model_quantized.onnx"
    assert info["engine"] == {"name": "onnxruntime-fp32", "reason": reason}
    assert info["limits"]["rate"] == "5/minute" and info["versions"]["onnxruntime"]
    seconds = {"body": 120, "text": 30, "batch": 120, "explanation": 20, "stream": None}
    assert info["limits"]["seconds"] == seconds
    shorter = client(classifier, request_timeout_seconds=25).get("/info").json()
    assert shorter["limits"]["seconds"] == seconds | {"body": 25, "text": 25, "batch": 25}


def metrics(http: Any) -> dict[str, float]:
    lines = http.get("/metrics").text.splitlines()
    pairs = [line.rpartition(" ") for line in lines if not line.startswith("#")]
    return {name: float(value) for name, _, value in pairs}


def test_metrics_count_requests_texts_tokens_and_refusals(classifier: Classifier):
    http = client(classifier)
    http.post("/predict", json={"inputs": [["a wonderful film"], ["a film"]]})
    http.post("/v1/classify", json={"inputs": [BODY["inputs"], " "]})
    http.post("/predict", json={"inputs": 7})
    http.get("/v1/x")
    http.request("MADE_UP", "/v1/x")
    found = metrics(http)
    ok = 'http_requests_total{code="200",method="POST",route="/predict"}'
    assert found[ok] == 1
    assert found['http_requests_total{code="422",method="POST",route="/predict"}'] == 1
    assert found['http_requests_total{code="404",method="GET",route="unknown"}'] == 1
    assert found['http_request_duration_seconds_count{route="/predict"}'] == 2
    assert found['requests_refused_total{code="422"}'] == 1
    assert found["request_texts_count"] == 2 and found["request_texts_sum"] == 4
    assert found["tokens_read_total"] > 5
    lines = b'"a film"\n' * 70  # a stream, which is classified in steps
    headers = {"Content-Type": "application/x-ndjson"}
    assert http.post("/v1/classify/stream", content=lines, headers=headers).status_code == 200
    streamed = metrics(http)
    assert streamed["request_texts_count"] == 3 and streamed["request_texts_sum"] == 74
    assert not [name for name in found if "MADE_UP" in name]  # anyone could fill the memory
    assert found["queue_length"] == 0
    assert found[f'model_info{{model_id="demo/tiny",model_sha="{COMMIT}"}}'] == 1
    assert found["http_requests_active"] == 1  # the one for the metrics
    assert found["process_resident_memory_bytes"] > 0


def test_traces_without_opentelemetry_are_a_clear_error(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch
):
    import sys

    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(InvalidSettings, match=r"otel-requirements\.txt`, or unset") as caught:
        client(classifier, otel_exporter_otlp_endpoint="http://127.0.0.1:9")
    assert "OTEL_EXPORTER_OTLP_ENDPOINT is set" in str(caught.value)
    file = Path(tracing.__file__).parent / "otel-requirements.txt"
    assert "opentelemetry-sdk==" in file.read_text()


@pytest.mark.parametrize("path", ["/health", "/ready", "/info", "/metrics"])
def test_probes_may_ask_for_the_head_alone(classifier: Classifier, path: str):
    http = client(classifier)
    assert http.head(path).status_code == 200 and http.head(path).content == b""
    assert "head" not in http.get("/openapi.json").json()["paths"][path]
