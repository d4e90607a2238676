"""The Space's API endpoints from Python, JavaScript, plain HTTP and an MCP client."""

import asyncio
import http.client
import json
import random
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY
from hubserver import running_hub
from test_app import LABELS, MODEL, ask, push, running_space
from test_transformers_js import JS, install

from space.files import tables
from space.tabs.batch import FIRST
from space.web import json_body
from space.web.load_shedding import UNKNOWN_EVENT

TEXTS = ["Good songs. A dreadful end!", "a wonderful film", "  "]
SPACE_PYTHON = REPOSITORY / ".venv-space" / "bin" / "python"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the app's log."""
    return tmp_path_factory.mktemp("space")


@pytest.fixture(scope="module")
def space(tiny_classifier: Path, folder: Path) -> Iterator[str]:
    with running_hub() as hub:
        push(hub, tiny_classifier)
        env = {**hub.env(folder / "home", token=None), "MODEL_ID": MODEL}
        with running_space(env, folder) as url:
            yield url


@pytest.fixture(scope="module")
def client(space: str) -> Iterator[Any]:
    from gradio_client import Client

    client = Client(space, verbose=False)
    yield client
    client.close()


def test_batch_returns_a_prediction_or_an_error_for_each_text(client: Any):
    single = client.predict(TEXTS[0], api_name="/classify")
    first, second, third = client.predict(TEXTS, api_name="/classify_batch")
    assert first == single
    assert second["label"] in LABELS
    assert third == {"error": "Write or paste a review first."}


@pytest.mark.parametrize(
    ("texts", "sentence"),
    [
        ([], "texts must be a list of 1 to 1,000, got 0."),
        (["x"] * 1001, "texts must be a list of 1 to 1,000, got 1,001."),
        ("a review", "texts must be a list of 1 to 1,000, got str."),
    ],
)
def test_batch_size_is_limited(client: Any, texts: Any, sentence: str):
    from gradio_client.exceptions import AppError

    with pytest.raises(AppError) as caught:
        client.predict(texts, api_name="/classify_batch")
    assert str(caught.value) == sentence


def test_explanation_covers_each_sentence_and_the_words_of_the_strongest(client: Any):
    explanation = client.predict(TEXTS[0], api_name="/explain")
    assert [part["text"] for part in explanation["sentences"]] == ["Good songs.", "A dreadful end!"]
    for part in explanation["sentences"] + explanation["words"]:
        assert TEXTS[0][part["start"] : part["end"]] == part["text"]
    words = {part["text"] for part in explanation["words"]}
    assert words == {"Good", "songs", "A", "dreadful", "end"}
    alone = client.predict("A dreadful end!", api_name="/classify")
    first = explanation["sentences"][0]
    assert first["probability_without"] == pytest.approx(
        alone["probabilities"][explanation["label"]], abs=1e-6
    )


def test_offers_only_the_named_endpoints(client: Any):
    offered = client.view_api(return_format="dict")["named_endpoints"]
    assert set(offered) == {"/classify", "/classify_batch", "/explain"}
    assert "sentiment of a movie review" in offered["/classify"]["description"]


def test_javascript_client_gets_the_same_answers(space: str, client: Any):
    install("@gradio/client")
    done = subprocess.run(
        ["node", "space.mjs"],
        cwd=JS,
        input=json.dumps({"url": space, "texts": TEXTS}),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout.splitlines()[-1])
    assert answers["refusal"] == "Write or paste a review first."
    assert answers["classify"] == client.predict(TEXTS[0], api_name="/classify")
    assert answers["classify_batch"] == client.predict(TEXTS, api_name="/classify_batch")
    assert answers["explain"] == client.predict(TEXTS[0], api_name="/explain")


def test_endpoints_are_mcp_tools(space: str, client: Any):
    from mcp import ClientSession
    from mcp.client.streamable_http import streamable_http_client

    async def call() -> tuple[dict[str, str], Any]:
        async with (
            streamable_http_client(f"{space}/gradio_api/mcp/") as (read, write, _),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            tools = (await session.list_tools()).tools
            name = next(tool.name for tool in tools if tool.name.endswith("classify"))
            answer = await session.call_tool(name, {"text": TEXTS[1]})
            return {tool.name: tool.description for tool in tools}, answer

    descriptions, answer = asyncio.run(call())
    assert len(descriptions) == 3
    assert not answer.isError
    expected = client.predict(TEXTS[1], api_name="/classify")
    assert json.loads(answer.content[0].text) == expected
    classify = next(text for name, text in descriptions.items() if name.endswith("classify"))
    assert classify == (
        "Classify the sentiment of a movie review. Returns: The label, its probability, the "
        "probability of each label, for labels such as stars the expected number of them, the "
        "label that the review leans to (null if to none), whether the model is unsure, a caution "
        "if the review looks like a language that the model was not trained on (else null), and "
        "how many of the review's tokens were read, and are unknown to the model. A review without "
        "any word that the model knows, such as emoji, is an error."
    )


def post(url: str, body: Any, kind: str = "application/json") -> tuple[int, Any]:
    """The status and the JSON of an answer; bytes are sent as they are."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Content-Type": kind, "Accept": "application/json, text/event-stream"}
    request = urllib.request.Request(url, data, headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            events = answer.headers["Content-Type"].startswith("text/event-stream")
            content = answer.read()
            return answer.status, content if events else json.loads(content or b"null")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read() or b"null")


def assert_handled(status: int, answer: Any) -> None:
    """The answer is a result or an error with a message."""
    assert status < 500 or (isinstance(answer["error"], str) and len(answer["error"]) > 10), answer


def unexpected_value(rng: random.Random, depth: int = 0) -> Any:
    """A value that the page never sends."""
    file = {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}
    if depth < 3 and rng.random() < 0.3:
        parts = [unexpected_value(rng, depth + 1) for _ in range(rng.randrange(3))]
        return parts if rng.random() < 0.5 else {f"{part}"[:9]: part for part in parts}
    return rng.choice(
        [None, True, -1, 10**9, 10**30, 0.5, float("nan"), float("inf"), "", "x", "\ud83d", "\0",
         "day", "(none)", "../../etc/passwd", file, {**file, "path": "a\0b"}, {"path": None},
         {"path": 7, "meta": {"_type": "gradio.FileData"}}, "2" * 5000, [], {}]
    )  # fmt: skip


BODIES = [
    b"", b"[", b"null", b"7", b"\xff\xfe", b"[" * 100_000, b'{"data":[' + b"9" * 5000 + b"]}",
    b'{"data":["\\ud83d"]}', b'{"data":["\xed\xa0\xbd"]}', b'{"data":["\\ud83d\\ude00 \\\\ud83d"]}',
    b'{"data":[NaN]}', b'{"data":[1e999]}', b'{"data":"x"}', b'{"data":[]}', b'{"data":["a","b"]}',
    b'{"data":["x"],"event_data":7}', b'{"data":["x"],"session_hash":"\\ud83d"}',
    b'{"data":["x"],"fn_index":99999}', b'{"data":["x"],"trigger_id":99999}', b'{"text":"\\ud83d"}',
    b'{"data":["\xff"]}', b'{"data":[' + b"9" * 4000 + b"]}", b"\0", b'\xef\xbb\xbf{"data":["x"]}',
    *(b'{"data":' + b"[" * depth + b"]" * depth + b"}" for depth in [40, 60, 190, 900, 3000]),
    b'{"data":' + 70 * b'{"x":' + b"1" + 70 * b"}" + b"}", b"[" + b"[]," * 300_000 + b"[]]",
    *(b'{"jsonrpc":"2.0","id":%s,"method":"tools/call","params":{"name":"classify","arguments":'
      b'{"text":%s}}}' % (number, text)
      for number in [b"1", b"9" * 30, b"NaN"]
      for text in [b'"x"', b"[" * 40 + b"]" * 40, b"9" * 299, b"NaN", b'"\\ud83d"', b"{}"]),
]  # fmt: skip
PATHS = ["run/classify", "call/classify", "call/explain", "call/v2/classify", "run/nope",
         "queue/join", "reset", "cancel", "component_server", "stream/x", "mcp/"]  # fmt: skip


def test_invalid_requests_cause_no_stack_trace(space: str, folder: Path):
    for body in BODIES:
        for path in PATHS:
            assert_handled(*post(f"{space}/gradio_api/{path}", body))
    rng = random.Random(18)
    with urllib.request.urlopen(f"{space}/config", timeout=60) as answer:
        events = [event for event in json.load(answer)["dependencies"] if event["backend_fn"]]
    for event in events:
        for _ in range(8):
            count = rng.choice([max(1, len(event["inputs"])), rng.randrange(4)])
            body = {
                "data": [unexpected_value(rng) for _ in range(count)],
                "fn_index": event["id"],
                "event_data": unexpected_value(rng),
                "session_hash": rng.choice(["odd", None, "\ud83d"]),
            }
            assert_handled(*post(f"{space}/gradio_api/run/x", body))
    assert ask(space, TEXTS[0])["label"] in LABELS  # the queue still works
    assert "Traceback" not in (folder / "app.log").read_text(encoding="utf-8")


@pytest.mark.parametrize("endpoint", ["classify", "explain"])
def test_lone_surrogate_is_read_as_a_question_mark(client: Any, space: str, endpoint: str):
    status, answer = post(f"{space}/gradio_api/run/{endpoint}", {"data": ["Good \ud83d. Bad!"]})
    assert status == 200
    assert answer["data"][0] == client.predict("Good ?. Bad!", api_name=f"/{endpoint}")
    body = '{"data": ["Good \\ud83d. Bad!"]}'
    for encoding in ["utf-16", "utf-32-be"]:  # which JSON may be in as well
        status, other = post(f"{space}/gradio_api/run/{endpoint}", body.encode(encoding))
        assert (status, other["data"]) == (200, answer["data"])


FORM = "multipart/form-data; boundary=part"


def form(content: str, name: str | None = None) -> bytes:
    filename = "" if name is None else f'; filename="{name}"'
    return (
        f'--part\r\nContent-Disposition: form-data; name="files"{filename}\r\n'
        f"Content-Type: text/csv\r\n\r\n{content}\r\n--part--\r\n"
    ).encode()


def upload(space: str, name: str, content: str) -> tuple[int, Any]:
    return post(f"{space}/gradio_api/upload", form(content, name), FORM)


def send_length(space: str, path: str, size: int, kind: str) -> tuple[int, str]:
    """The answer to a request that announces the size of its body but sends none of it."""
    connection = http.client.HTTPConnection(space.removeprefix("http://"), timeout=60)
    headers = {"Content-Length": str(size), "Content-Type": kind}
    connection.request("POST", f"/gradio_api/{path}", headers=headers)
    with closing(connection), connection.getresponse() as answer:
        return answer.status, json.loads(answer.read())["error"]


@pytest.mark.parametrize("path", ["run/classify", "call/explain", "mcp/", "component_server", "x"])
@pytest.mark.parametrize("kind", ["application/json", FORM])
def test_too_large_body_is_rejected_before_it_is_read(space: str, path: str, kind: str):
    status, message = send_length(space, path, json_body.MAX_BYTES + 1, kind)
    assert status == 413
    assert message.startswith(
        "The body of this request has at least 46,048,577 bytes; the limit is 46,0"
    )


def test_body_of_unknown_size_is_read_up_to_the_limit(space: str):
    connection = http.client.HTTPConnection(space.removeprefix("http://"), timeout=60)
    parts = iter([b'{"data":["'] + [b"x" * 2**20] * (json_body.MAX_BYTES // 2**20 + 1))
    connection.request("POST", "/gradio_api/run/classify", parts, encode_chunked=True)
    with closing(connection), connection.getresponse() as answer:
        assert answer.status == 413
        assert "the limit is 46,048,576" in json.loads(answer.read())["error"]


def test_accepts_the_largest_batch_with_any_characters_and_escapes(space: str):
    """7,500,000 characters of 6 bytes each, in reviews that exceed the maximum length."""
    text = "\\u4e2d" * 100_001
    body = ('{"data":[[' + ",".join([f'"{text}"'] * 74) + "]]}").encode()
    assert len(body) > 0.96 * json_body.MAX_BYTES
    status, answer = post(f"{space}/gradio_api/run/classify_batch", body)
    assert status == 200
    assert [list(result) for result in answer["data"][0]] == [["error"]] * 74


@pytest.mark.parametrize("name", [None, "large.csv"])
def test_uploads_have_their_own_limit(space: str, name: str | None):
    """A file, which Gradio limits, and a form field, which Gradio would hold in memory."""
    body = form("x" * (tables.MAX_BYTES + 2**21), name)
    request = urllib.request.Request(f"{space}/gradio_api/upload", body, {"Content-Type": FORM})
    with pytest.raises(urllib.error.HTTPError) as caught, urllib.request.urlopen(request):
        pass
    with caught.value as error:
        assert (error.code, b"exceeded" in error.read().lower()) == (413, True)
    assert upload(space, "small.csv", "text\nA joy.")[0] == 200


# Prints the templates of the paths that Gradio serves by GET.
GET_ROUTES = """
import json
import gradio
from gradio.routes import App
with gradio.Blocks() as page: pass
routes, paths = [("", route) for route in App.create_app(page).routes], set()
while routes:
    prefix, route = routes.pop()
    if hasattr(route, "original_router"):
        inside = route.original_router
        routes += [("" if inside.prefix else "/gradio_api", inner) for inner in inside.routes]
    elif "GET" in (getattr(route, "methods", None) or ()):
        paths.add(prefix + route.path)
print(json.dumps(sorted(paths)))
"""
ODD_PATHS = ["nope", "%ff", "%00", "0", "-1", "9" * 400, "a%0d%0ab", "..%2fx", "%ed%a0%bd"]
ODD_QUERIES = ["", "?session_hash=%ff", "?session_hash=%00", "?deep_link=%ff&key=%ff", "?%ff=%ff"]
STREAMS = re.compile("/heartbeat/|/dev/reload")  # never end by design


def test_unexpected_urls_get_complete_answers(space: str, folder: Path):
    address = space.removeprefix("http://")
    command = [sys.executable, "-c", GET_ROUTES]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    paths = [path for path in json.loads(listed) if not STREAMS.search(path)]
    assert len(paths) > 40
    for path in paths:
        named = "{" in path
        for odd in ODD_PATHS if named else ODD_QUERIES:
            target = re.sub(r"\{[^}]*\}", odd, path) if named else path + odd
            connection = http.client.HTTPConnection(address, timeout=60)
            with closing(connection):
                connection.request("GET", target)
                answer = connection.getresponse()
                answer.read()  # raises IncompleteRead if the answer breaks off
                assert answer.status < 500, target
    assert "Traceback" not in (folder / "app.log").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "path", ["call/classify/nope", "call/v2/x/%ff", "queue/data?session_hash=%ff"]
)
def test_reports_unknown_calls(space: str, path: str):
    with urllib.request.urlopen(f"{space}/gradio_api/{path}", timeout=60) as answer:
        assert UNKNOWN_EVENT in answer.read().decode()


ROWS = [None, [], {}, "1", [[]], [None], [10**9], [-1], [0], [1.5], ["²"], ["9" * 5000], [True]]


@pytest.mark.parametrize(
    "name", [".csv", r"..\..\evil.csv", "../../evil.csv", "é?*.csv", "a" * 300]
)
def test_scores_files_of_any_name_and_opens_their_rows(space: str, folder: Path, name: str):
    status, answer = upload(space, name, "text,date\nA joy.,2024-05-01\nA bore.,2024-05-02")
    assert_handled(status, answer)
    with urllib.request.urlopen(f"{space}/config", timeout=60) as config:
        ids = {event["api_name"]: event["id"] for event in json.load(config)["dependencies"]}
    session = f"of-{len(name)}"

    def run(event: str, *data: Any, path: str = "run/x", event_data: Any = None) -> tuple[int, Any]:
        body = {"data": data, "fn_index": ids[event], "session_hash": session}
        return post(f"{space}/gradio_api/{path}", {**body, "event_data": event_data})

    if status == 200:
        file = {"path": answer[0], "orig_name": name, "meta": {"_type": "gradio.FileData"}}
        assert_handled(*run("receive", file))
        columns = ["text", "date", "(none)", "(none)", "(none)"]
        run("score", None, FIRST, *columns, path="queue/join")
        with urllib.request.urlopen(f"{space}/gradio_api/queue/data?session_hash={session}") as sse:
            assert any(b'"process_completed"' in line for line in sse)
        assert_handled(*run("show", None))
        row = ["A bore.", "Positive", "2"]
        status, answer = run(
            "open_row", None, 1, event_data={"index": [1, 0], "value": "2", "row_value": row}
        )
        assert status == 200 and answer["data"][0]["text"] == "A bore."
    for event_data in [None, [], 7, "x", {}, *({"row_value": value} for value in ROWS)]:
        assert_handled(*run("open_row", None, 1, event_data=event_data))
    assert "Traceback" not in (folder / "app.log").read_text(encoding="utf-8")


def test_batches_run_on_zerogpu_with_the_same_answers(tiny_classifier: Path):
    """The function is marked for ZeroGPU and loads its own classifier."""
    code = (
        "import json, os, sys\n"
        "import spaces\n"
        "os.environ['SPACES_ZERO_GPU'] = 'true'  # from here on, for the app alone\n"
        "marked = []\n"
        "spaces.GPU = lambda function: marked.append(function) or function\n"
        "from space.inference import zerogpu\n"
        "from pathlib import Path\n"
        "from space.inference.classifier import Classifier\n"
        "classifier = Classifier.from_folder(Path(sys.argv[1]))\n"
        "texts = json.loads(sys.argv[2])\n"
        "here = list(map(repr, classifier.predict_batch(texts)))\n"
        "on_gpu = list(map(repr, zerogpu.predict_batch(classifier.load(), texts)))\n"
        "assert here == on_gpu and marked == [zerogpu._predict_in_folder]\n"
    )
    subprocess.run(
        [sys.executable, "-c", code, str(tiny_classifier), json.dumps(TEXTS)],
        cwd=REPOSITORY,
        check=True,
    )


def test_app_runs_with_its_own_requirements_only(tiny_classifier: Path, tmp_path: Path):
    """In the environment that the Hub builds, with no other packages."""
    assert SPACE_PYTHON.exists(), "`make setup-tests` makes the Space's own environment"
    code = "import importlib.util as u; print(u.find_spec('torch'), u.find_spec('transformers'))"
    specs = subprocess.check_output([SPACE_PYTHON, "-c", code], text=True)
    assert specs.split() == ["None", "None"]
    with running_hub() as hub:
        push(hub, tiny_classifier)
        env = {**hub.env(tmp_path / "home", token=None), "MODEL_ID": MODEL}
        with running_space(env, tmp_path, python=str(SPACE_PYTHON)) as url:
            assert ask(url, "a wonderful film")["label"] in LABELS
