"""Traces of the web service reach a collector; its own process sends them when it ends."""

import http.server
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from conftest import REPOSITORY

from space.service import tracing

CALL = """
import sys
from pathlib import Path
from service_app import client, loaded
http = client(loaded(Path(sys.argv[1])), otel_exporter_otlp_endpoint="set in the environment, too")
assert http.post("/predict", json={"inputs": "a secret film"}).status_code == 200
assert http.post("/predict", json={"inputs": {"secret": "secret"}}).status_code == 422
assert http.get("/health").status_code == 200
"""


def test_each_request_but_probes_is_a_span(tiny_classifier: Path) -> None:
    pytest.importorskip("opentelemetry.sdk", reason="`make setup-tests` installs OpenTelemetry")
    received: list[tuple[str, bytes]] = []

    class Collector(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector) as collector:
        threading.Thread(target=collector.serve_forever, daemon=True).start()
        env = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://{}:{}".format(
            *collector.server_address
        )}  # fmt: skip
        paths = [str(REPOSITORY), str(REPOSITORY / "tests/space"), env.get("PYTHONPATH", "")]
        env["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        subprocess.run(
            [sys.executable, "-c", CALL, str(tiny_classifier)], cwd=REPOSITORY, env=env, check=True
        )
        collector.shutdown()
    spans = b"".join(body for path, body in received if path == "/v1/traces")
    assert b"/predict" in spans
    assert b"/health" not in spans and b"secret" not in spans


def test_a_collector_without_an_answer_does_not_delay_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tracing, "LAST_SPANS_SECONDS", 0.1)
    answered = threading.Event()
    tracing._send_last_spans(answered.wait)  # would not return
    assert not answered.is_set()
    answered.set()
