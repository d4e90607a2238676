"""The page under load, over HTTP, with a model that waits until the test lets it go on."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest
from conftest import REPOSITORY
from test_app import WARNINGS

# Serves the page in its own process, asks it, and prints what came of it.
SETTING = """
import json, sys, threading, time
import app, gate, guard, httpx, serving
from starlette.middleware import Middleware
from space.inference.classifier import Tokens, Prediction

class Held:
    limit, labels, unsure_below = 4096, ["NEGATIVE", "POSITIVE"], 0.0
    repo_id = commit = "demo/held"
    revision = trouble = None
    judged, let_go = 0, threading.Event()
    def load(self): return self
    def encode(self, texts): return [Tokens([0] * len(text), len(text)) for text in texts]
    def judge(self, tokens, alone):
        self.judged += 1
        assert self.let_go.wait(60)
        return Prediction({"NEGATIVE": 0.4, "POSITIVE": 0.6}, tokens.count, tokens.count)

held = Held()
serving.cores = lambda: 1
page = app.build(held).queue()
door = gate.Gate(page)
left = []
class Watching(guard._Request):
    async def _disconnected(self):
        message = await super()._disconnected()
        left.append(message)
        return message
guard._Request = Watching
page.launch(
    prevent_thread_lock=True, quiet=True, app_kwargs={"middleware": [Middleware(guard.Guard)]}
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
def test_work_stops_when_its_caller_has_gone(name: str):
    """The item that is being judged is the last one."""
    found = serve(
        f"""
name = {name!r}
event = call(name, ["a review"] * 40 if name == "classify_batch" else "Good. Bad. " * 40)
with httpx.Client(timeout=60) as gone:
    with gone.stream("GET", f"{{url}}/call/{{name}}/{{event}}"):
        until(lambda: held.judged == 1)
        watched = events[event]
until(lambda: not watched.alive)
held.let_go.set()
until(lambda: not events)
print(json.dumps([held.judged, answer("classify", call("classify", "two words"))]))
page.close(verbose=False)
"""
    )
    judged, later = found
    assert judged == 1
    assert "event: complete" in later


@pytest.mark.parametrize("route", ["run", "api"])
def test_work_stops_when_the_caller_of_a_plain_request_has_gone(route: str):
    judged, later = serve(
        f"""
body = json.dumps({{"data": [["a review"] * 40]}})
import socket
address = page.local_url.removeprefix("http://").rstrip("/").split(":")
gone = socket.create_connection((address[0], int(address[1])))
head = "POST /gradio_api/{route}/classify_batch HTTP/1.1\\r\\nHost: localhost\\r\\n"
head += f"Content-Type: application/json\\r\\nContent-Length: {{len(body)}}\\r\\n\\r\\n"
gone.sendall((head + body).encode())
until(lambda: held.judged == 1)
gone.close()
until(lambda: left)
held.let_go.set()
print(json.dumps([held.judged, answer("classify", call("classify", "two words"))]))
page.close(verbose=False)
"""
    )
    assert judged <= 2
    assert "event: complete" in later


def test_work_stops_when_its_event_is_cancelled():
    """As the page's own button does, whose event has a session."""
    judged = serve(
        """
function = next(i for i, fn in page.fns.items() if fn.api_name == "classify_batch")
body = {"data": [["a review"] * 40], "fn_index": function, "session_hash": "visitor"}
event = client.post(f"{url}/queue/join", json=body).json()["event_id"]
until(lambda: held.judged == 1)
body = {"session_hash": "visitor", "fn_index": function, "event_id": event}
cancelling = threading.Thread(target=client.post, args=[f"{url}/cancel"], kwargs={"json": body})
cancelling.start()
until(lambda: event not in events)
held.let_go.set()
cancelling.join()
answer("classify", call("classify", "two words"))
print(json.dumps(held.judged))
page.close(verbose=False)
"""
    )
    assert judged == 2  # one of the batch, and the two words


def test_a_crowd_is_refused_at_once_with_the_time_to_come_again():
    """Without a thread, without the model: 120 events wait, and 10 a second are answered."""
    refusals, judged, kept = serve(
        """
from types import SimpleNamespace
now = [0.0]
door._clock = lambda: now[0]
page._queue.event_ids_to_events |= {f"crowd{i}": SimpleNamespace(alive=True) for i in range(120)}
door.seconds()
now[0] = 10.0
door._answered.extend(5 + i / 10 for i in range(50))
refused = [answer("classify", call("classify", "two words")) for _ in range(3)]
body = {"data": ["two words"], "fn_index": 0, "session_hash": "visitor"}
body["fn_index"] = next(i for i, fn in page.fns.items() if fn.api_name == "classify")
client.post(f"{url}/queue/join", json=body)
refused.append(client.get(f"{url}/queue/data", params={"session_hash": "visitor"}).text)
page._queue.event_ids_to_events.clear()
door._forget()
kept = len(page._queue.pending_event_ids_session), len(page._queue.pending_messages_per_session)
print(json.dumps([refused, held.judged, kept]))
page.close(verbose=False)
"""
    )
    for refusal in refusals:
        assert "Busy: too many visitors are waiting. Try again in 12 s." in refusal
    assert "event: error" in refusals[0]
    assert (judged, kept) == (0, [0, 0])


def test_a_call_by_a_program_leaves_little_behind():
    configured, statistics, kept = serve(
        """
held.let_go.set()
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
