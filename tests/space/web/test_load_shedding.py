"""The page under load over HTTP, with a model that blocks until the test releases it."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest
from conftest import REPOSITORY
from test_app import WARNINGS

# Serves the page in its own process, sends requests, and prints the results.
SETTING = """
import json, sys, threading, time
import httpx
from starlette.middleware import Middleware
from space import app
from space.inference import serving
from space.inference.serving import Service
from space.inference.classifier import Prediction
from space.inference.onnx_model import Tokens
from space.web import load_shedding, middleware

class BlockingClassifier:
    labels, unsure_below = ["NEGATIVE", "POSITIVE"], 0.0
    repo_id = commit = "demo/held"
    revision = load_error = None
    predictions, released = 0, threading.Event()
    def load(self): return self
    def encode(self, texts): return [Tokens([0] * len(text), len(text)) for text in texts]
    def predict_tokens(self, tokens, all_cores):
        self.predictions += 1
        assert self.released.wait(60)
        return Prediction({"NEGATIVE": 0.4, "POSITIVE": 0.6}, tokens.count, tokens.count)

classifier = BlockingClassifier()
serving.available_cores = lambda: 1
page = app.build(Service(classifier)).queue()
shedder = load_shedding.LoadShedder(page)
disconnects = []
class WatchedRequest(middleware._Request):
    async def _wait_for_disconnect(self):
        message = await super()._wait_for_disconnect()
        disconnects.append(message)
        return message
middleware._Request = WatchedRequest
page.launch(
    prevent_thread_lock=True,
    quiet=True,
    app_kwargs={"middleware": [Middleware(middleware.RequestMiddleware)]},
)
url = page.local_url + "gradio_api"
events = page._queue.event_ids_to_events
client = httpx.Client(timeout=60)
def until(condition):
    while not condition(): time.sleep(0.01)
def call(name, data):
    return client.post(f"{url}/call/{name}", json={"data": [data]}).json()["event_id"]
def answer(name, event):
    return client.get(f"{url}/call/{name}/{event}").text
"""


def serve(script: str) -> Any:
    done = subprocess.run(
        [sys.executable, *WARNINGS, "-c", SETTING + script],
        cwd=REPOSITORY,
        env={**os.environ, "GRADIO_ANALYTICS_ENABLED": "False"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", ["classify_batch", "explain"])
def test_prediction_stops_when_the_client_of_an_event_disconnects(name: str):
    """No text is classified after the current one."""
    predictions, later = serve(
        f"""
name = {name!r}
event = call(name, ["a review"] * 40 if name == "classify_batch" else "Good. Bad. " * 40)
with httpx.Client(timeout=60) as gone:
    with gone.stream("GET", f"{{url}}/call/{{name}}/{{event}}"):
        until(lambda: classifier.predictions == 1)
        watched = events[event]
until(lambda: not watched.alive)
classifier.released.set()
until(lambda: not events)
print(json.dumps([classifier.predictions, answer("classify", call("classify", "two words"))]))
page.close(verbose=False)
"""
    )
    assert predictions == 1
    assert "event: complete" in later


@pytest.mark.parametrize("route", ["run", "api"])
def test_prediction_stops_when_the_client_of_a_plain_request_disconnects(route: str):
    predictions, later = serve(
        f"""
body = json.dumps({{"data": [["a review"] * 40]}})
import socket
address = page.local_url.removeprefix("http://").rstrip("/").split(":")
gone = socket.create_connection((address[0], int(address[1])))
head = "POST /gradio_api/{route}/classify_batch HTTP/1.1\\r\\nHost: localhost\\r\\n"
head += f"Content-Type: application/json\\r\\nContent-Length: {{len(body)}}\\r\\n\\r\\n"
gone.sendall((head + body).encode())
until(lambda: classifier.predictions == 1)
gone.close()
until(lambda: disconnects)
classifier.released.set()
print(json.dumps([classifier.predictions, answer("classify", call("classify", "two words"))]))
page.close(verbose=False)
"""
    )
    assert predictions <= 2
    assert "event: complete" in later


def test_prediction_stops_when_its_event_is_cancelled():
    """As by the page's Cancel button; its event has a session."""
    predictions = serve(
        """
function = next(i for i, fn in page.fns.items() if fn.api_name == "classify_batch")
body = {"data": [["a review"] * 40], "fn_index": function, "session_hash": "visitor"}
event = client.post(f"{url}/queue/join", json=body).json()["event_id"]
until(lambda: classifier.predictions == 1)
body = {"session_hash": "visitor", "fn_index": function, "event_id": event}
cancelling = threading.Thread(target=client.post, args=[f"{url}/cancel"], kwargs={"json": body})
cancelling.start()
until(lambda: event not in events)
classifier.released.set()
cancelling.join()
answer("classify", call("classify", "two words"))
print(json.dumps(classifier.predictions))
page.close(verbose=False)
"""
    )
    assert predictions == 2  # one of the batch, and the two words


def test_calls_that_would_wait_too_long_are_refused_at_once():
    """120 events wait and 10 a second are answered; the refusal needs no thread and no model."""
    refusals, predictions, kept = serve(
        """
from types import SimpleNamespace
now = [0.0]
shedder._clock = lambda: now[0]
page._queue.event_ids_to_events |= {f"crowd{i}": SimpleNamespace(alive=True) for i in range(120)}
shedder.estimated_seconds()
now[0] = 10.0
shedder._answer_times.extend(5 + i / 10 for i in range(50))
refused = [answer("classify", call("classify", "two words")) for _ in range(3)]
body = {"data": ["two words"], "fn_index": 0, "session_hash": "visitor"}
body["fn_index"] = next(i for i, fn in page.fns.items() if fn.api_name == "classify")
client.post(f"{url}/queue/join", json=body)
refused.append(client.get(f"{url}/queue/data", params={"session_hash": "visitor"}).text)
page._queue.event_ids_to_events.clear()
shedder._clean_up()
kept = len(page._queue.pending_event_ids_session), len(page._queue.pending_messages_per_session)
print(json.dumps([refused, classifier.predictions, kept]))
page.close(verbose=False)
"""
    )
    for refusal in refusals:
        assert "Busy: too many requests are waiting. Try again in 12 s." in refusal
    assert "event: error" in refusals[0]
    assert (predictions, kept) == (0, [0, 0])


def test_gradio_state_of_finished_calls_is_dropped():
    configured, statistics, kept = serve(
        """
classifier.released.set()
from gradio.blocks import BlocksConfig
real, configured = BlocksConfig.config_for_block, []
BlocksConfig.config_for_block = staticmethod(lambda *a, **o: configured.append(1) or real(*a, **o))
for _ in range(120):
    answer("classify", call("classify", "two words"))
queue = page._queue
until(lambda: not page.state_holder.session_data)  # closed behind the answer
kept = max(len(queue.pending_event_ids_session), len(queue.pending_messages_per_session))
print(json.dumps([len(configured) / 120, len(queue.event_analytics), kept]))
page.close(verbose=False)
"""
    )
    assert configured <= 2  # not one for each component of the page
    assert statistics <= 1
    assert kept <= 21  # forgotten every 100 events
