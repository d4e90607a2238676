"""The web service as its own process, with a model from a real Hub: page, new models, shutdown."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import REPOSITORY
from hubserver import RunningHub, running_hub
from service_app import ADMIN_KEY, KEY, assert_problem
from test_app import MODEL, WARNINGS, free_port, push

from space.service import lifecycle

TEXT = "a wonderful film"
BEARER = {"Authorization": f"Bearer {KEY}"}
ADMIN = {"Authorization": f"Bearer {ADMIN_KEY}"}


@dataclass
class Running:
    """A service, a client of it, and its log."""

    process: subprocess.Popen[bytes]
    http: httpx.Client
    log: Path

    def logged(self, message: str) -> bool:
        return message in self.log.read_text(encoding="utf-8")


# The service, whose reloads never end.
SLOW_RELOAD = """
import time
from space import server
from space.inference.classifier import Classifier
def reload(*_):
    print("the reload has begun", flush=True)
    time.sleep(3600)
Classifier.reload = reload
server.main()
"""


@contextmanager
def running_service(
    env: dict[str, str],
    folder: Path,
    program: tuple[str, str] = ("-m", "space.server"),
    **variables: str,
) -> Iterator[Running]:
    port, log = free_port(), folder / "server.log"
    settings = {"PORT": str(port), "MODEL_ID": MODEL, **variables}
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, *WARNINGS, *program],
            cwd=REPOSITORY,
            env={**env, **settings},
            stdout=output,
            stderr=output,
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as http:
            running = Running(process, http, log)
            wait_until(lambda: is_ready(running))
            yield running
    finally:
        process.kill()
        process.wait()


def is_ready(running: Running) -> bool:
    assert running.process.poll() is None, running.log.read_text()
    try:
        return running.http.get("/ready", headers=BEARER).is_success
    except httpx.TransportError:
        return False


def wait_until(condition: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.fixture(scope="module")
def model_hub() -> Iterator[RunningHub]:
    with running_hub() as hub:
        yield hub


@pytest.fixture(scope="module")
def env(
    model_hub: RunningHub, tiny_classifier: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    push(model_hub, tiny_classifier)
    return model_hub.env(tmp_path_factory.mktemp("home"), token=None)


@pytest.fixture(scope="module")
def service(env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("service")
    keys = {"API_KEYS": KEY, "ADMIN_API_KEYS": ADMIN_KEY}
    with running_service(env, folder, **keys) as running:
        yield running


def predict(running: Running, text: str = TEXT) -> Any:
    response = running.http.post("/predict", json={"inputs": text}, headers=BEARER)
    assert response.status_code == 200, response.text
    return response.json()


def sha(running: Running) -> str:
    return str(running.http.get("/info", headers=BEARER).json()["model_sha"])


def test_page_is_at_the_root_and_open(service: Running):
    page = service.http.get("/")
    assert page.status_code == 200 and "Movie sentiment" in page.text
    assert page.headers["x-request-id"] and "server" not in page.headers
    assert "frame-ancestors 'self' https://hugg" in page.headers["content-security-policy"]
    assert service.http.get("/config").json()["title"] == "Movie sentiment"
    assert_problem(service.http.post("/predict", json={"inputs": TEXT}), 401)


def test_page_and_api_give_the_same_answer(service: Running):
    call = service.http.post("/gradio_api/call/classify", json={"data": [TEXT]}).json()
    events = service.http.get(f"/gradio_api/call/classify/{call['event_id']}").text
    (answer,) = json.loads(events.partition("event: complete\ndata: ")[2].splitlines()[0])
    assert {s["label"]: s["score"] for s in predict(service)} == answer["probabilities"]


def test_errors_of_the_page_are_problems_too(service: Running):
    problem = assert_problem(service.http.get("/no/such/page"), 404, "the address must be one")
    assert problem["instance"] == "/no/such/page"
    assert_problem(service.http.delete("/"), 405)
    missing = service.http.get("/gradio_api/no")  # Gradio's protocol keeps its own errors
    assert missing.status_code == 404 and missing.headers["content-type"] == "application/json"


def test_gradio_allows_no_origin_by_itself(service: Running):
    headers = {"Origin": "https://evil.example", "Host": "service.example"}
    response = service.http.get("/config", headers=headers)
    assert response.is_success
    assert not [name for name in response.headers if name.startswith("access-control")]


def test_log_is_json_without_texts(service: Running):
    predict(service, "a secret wonderful film")
    lines = service.log.read_text(encoding="utf-8").splitlines()
    requests = [line for line in map(json.loads, lines) if line["message"] == "request"]
    assert {"request_id", "method", "route", "status", "seconds"} <= set(requests[-1])
    assert "secret" not in service.log.read_text(encoding="utf-8")


def revision(running: Running) -> str:
    return str(running.http.get("/info", headers=BEARER).json()["model_revision"])


def push_scaled(hub: RunningHub, folder: Path, target: Path, labels: list[str]) -> str:
    """Push the model with another label order or names, as a new commit."""
    shutil.copytree(folder, target)
    config = json.loads((target / "config.json").read_text())
    config["id2label"] = {str(i): label for i, label in enumerate(labels)}
    config["unsure_below"] = 0.999
    (target / "config.json").write_text(json.dumps(config))
    return push(hub, target)


def reload(running: Running, revision: str | None = None) -> httpx.Response:
    body = {} if revision is None else {"revision": revision}
    return running.http.post("/admin/reload", json=body, headers=ADMIN)


def test_new_model_is_taken_without_a_failed_request(
    service: Running, model_hub: RunningHub, tiny_classifier: Path, tmp_path: Path
):
    old = sha(service)
    assert reload(service).json() == {"model_sha": old, "previous_sha": old}
    statuses: list[int] = []
    stop = threading.Event()

    def call_until_stopped() -> None:
        with httpx.Client(base_url=service.http.base_url, timeout=60) as http:
            while not stop.is_set():
                answer = http.post("/predict", json={"inputs": TEXT}, headers=BEARER)
                statuses.append(answer.status_code)

    callers = [threading.Thread(target=call_until_stopped) for _ in range(3)]
    for caller in callers:
        caller.start()
    new = push_scaled(model_hub, tiny_classifier, tmp_path / "new", ["NEGATIVE", "POSITIVE"])
    response = reload(service)
    stop.set()
    for caller in callers:
        caller.join()
    assert response.json() == {"model_sha": new, "previous_sha": old}
    assert statuses and set(statuses) == {200}
    result = service.http.post("/v1/classify", json={"inputs": TEXT}, headers=BEARER).json()
    assert result["model_sha"] == new and result["results"][0]["unsure"]
    assert revision(service) == "main"
    assert reload(service, old).json()["model_sha"] == old and revision(service) == old
    assert reload(service).json()["model_sha"] == new and revision(service) == "main"
    assert new[:7] in service.http.get("/metrics", headers=BEARER).text


def test_model_that_fails_to_load_leaves_the_old_one(
    service: Running, model_hub: RunningHub, tiny_classifier: Path, tmp_path: Path
):
    old = sha(service)
    push_scaled(model_hub, tiny_classifier, tmp_path / "other", ["BAD", "GOOD"])
    assert_problem(reload(service), 422, "same labels", "the old model goes on answering")
    assert_problem(reload(service, "no-such-revision"), 422, "has no revision no-such-revision")
    assert sha(service) == old and predict(service)


def test_sighup_loads_the_newest_model(
    service: Running, model_hub: RunningHub, tiny_classifier: Path
):
    newest = push(model_hub, tiny_classifier)
    os.kill(service.process.pid, signal.SIGHUP)
    wait_until(lambda: sha(service) == newest)
    assert service.logged(f"the model is {MODEL} at {newest}")


def test_sigterm_finishes_what_was_accepted(service: Running):
    """A batch of seconds runs while the signal arrives."""
    answers: list[httpx.Response] = []
    batch = {"inputs": [f"{TEXT} {i}. " + "songs " * 40 for i in range(1000)]}

    def call() -> None:
        with httpx.Client(base_url=service.http.base_url, timeout=60) as http:
            answers.append(http.post("/v1/classify", json=batch, headers=BEARER))

    caller = threading.Thread(target=call)
    caller.start()
    wait_until(lambda: active_requests(service) > 1)
    address = ("127.0.0.1", service.http.base_url.port)
    service.process.send_signal(signal.SIGTERM)
    wait_until(lambda: not is_listening(address))  # refuses new connections
    caller.join()
    assert answers[0].status_code == 200 and len(answers[0].json()["results"]) == 1000
    assert service.process.wait(timeout=60) == 0
    assert not service.logged("Traceback")


def active_requests(running: Running) -> float:
    lines = running.http.get("/metrics", headers=BEARER).text.splitlines()
    return float(
        next(line.split()[1] for line in lines if line.startswith("http_requests_active "))
    )


def is_listening(address: Any) -> bool:
    with closing(socket.socket()) as probe:
        return probe.connect_ex(address) == 0


def test_sigterm_ends_streams_that_never_end(env: dict[str, str], tmp_path: Path):
    times = [lifecycle.FINISH_SECONDS, lifecycle.CLOSE_SECONDS, lifecycle.CANCEL_SECONDS]
    assert [*times, lifecycle.EXIT_SECONDS] == sorted({*times, lifecycle.EXIT_SECONDS})
    with running_service(env, tmp_path, MAX_BODY_BYTES="100000") as running:
        large = {"data": ["x" * 200_000]}  # the limit is also that of the page
        assert running.http.post("/gradio_api/queue/join", json=large).status_code == 413
        url = "/gradio_api/heartbeat/a-session"
        with httpx.Client(base_url=running.http.base_url, timeout=60) as page:
            with page.stream("GET", url) as heartbeat:
                assert heartbeat.status_code == 200
                running.process.send_signal(signal.SIGTERM)
                assert running.process.wait(timeout=60) == 0
    assert not running.logged("Traceback")


@pytest.mark.parametrize("by", ["SIGHUP", "/admin/reload"])
def test_sigterm_ends_a_reload_that_takes_too_long(env: dict[str, str], tmp_path: Path, by: str):
    program = ("-c", SLOW_RELOAD)
    with running_service(env, tmp_path, program, ADMIN_API_KEYS=ADMIN_KEY) as running:
        if by == "SIGHUP":
            os.kill(running.process.pid, signal.SIGHUP)
        else:
            call = threading.Thread(target=reload_until_the_end, args=[running])
            call.start()
        wait_until(lambda: running.logged("the reload has begun"))
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(timeout=60) == 0
        if by != "SIGHUP":
            call.join()


def reload_until_the_end(running: Running) -> None:
    with (
        httpx.Client(base_url=running.http.base_url, timeout=120) as http,
        suppress(httpx.HTTPError),
    ):
        http.post("/admin/reload", json={}, headers=ADMIN)


def test_wrong_settings_end_the_process_with_their_reason(tmp_path: Path):
    env = {**os.environ, "PORT": "x", "RATE_LIMIT": "often"}
    done = subprocess.run(
        [sys.executable, "-m", "space.server"], cwd=REPOSITORY, env=env, capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == 2
    assert [line.partition(":")[0] for line in done.stderr.splitlines()] == ["PORT", "RATE_LIMIT"]
