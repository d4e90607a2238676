"""The app as an API client sees it: in its own process, with a model from a real Hub."""

import importlib.metadata
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY, toy_settings
from hubserver import WRITE, RunningHub, run_python, running_hub

SPACE = REPOSITORY / "space"
MODEL = "demo/tiny"
LABELS = ["NEGATIVE", "POSITIVE"]
# gradio 6.31 leaves event loops open at startup, and its queue uses a deprecated pandas 3 feature
# (gradio-app/gradio#11834 covers the same lines).
WARNINGS = ["-W", "error", "-W", "ignore::ResourceWarning", "-W", "ignore:::gradio.queueing"]
# Runs before the app and logs every address that Python connects to.
CONNECTION_LOG = """
import os, sys
seen = os.open(os.environ["CONNECTIONS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
def hook(event, arguments):
    if event == "socket.connect":
        os.write(seen, f"{arguments[1]!r}\\n".encode())
    elif event == "socket.getaddrinfo":
        os.write(seen, f"{arguments[:2]!r}\\n".encode())
sys.addaudithook(hook)
"""
# Loads each model named on the command line and prints its commit, labels and tokens, or the error.
ASK = """
import json, sys
from space.inference.classifier import Classifier, ModelUnavailable
answers = []
for argument in sys.argv[1:]:
    repo_id, _, revision = argument.partition("@")
    classifier = Classifier(repo_id, revision)
    try:
        prediction = classifier.predict("a wonderful film")
        answers.append([classifier.commit, sorted(prediction.probabilities), prediction.tokens])
    except ModelUnavailable as reason:
        answers.append(str(reason))
print(json.dumps(answers))
"""


def save_tiny_classifier(base: Path, folder: Path) -> Path:
    """A classifier with random weights that reads 4,096 tokens."""
    from train import recipe as recipes
    from train.modeling import model
    from train.publishing import export

    recipe = recipes.load("quickstart", toy_settings("unused.csv", base))
    classifier, tokenizer = model.build(recipe)
    model.save(classifier, tokenizer, folder)
    (folder / "onnx").mkdir()
    export.write(classifier.eval(), False, folder / "onnx/model.onnx")
    (folder / "plots").mkdir()
    (folder / "plots" / "large.json").write_text("{}")  # not needed by the Space
    return folder


def push(hub: RunningHub, folder: Path, repo_id: str = MODEL) -> str:
    """Upload a folder to the hub; returns the commit."""
    from huggingface_hub import HfApi

    api = HfApi(endpoint=hub.endpoint, token=WRITE)
    api.create_repo(repo_id, exist_ok=True)
    return str(api.upload_folder(repo_id=repo_id, folder_path=folder).oid)


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running_space(
    env: dict[str, str],
    folder: Path,
    python: str = sys.executable,
    script: Path = SPACE / "app.py",
) -> Iterator[str]:
    """Run the app until the block ends; yields its URL. Its output is `folder/app.log`."""
    port = free_port()
    (folder / "sitecustomize.py").write_text(CONNECTION_LOG)
    env = {**env, "GRADIO_SERVER_PORT": str(port), "PYTHONPATH": str(folder)}
    env["CONNECTIONS"] = str(folder / "connections.txt")
    env.pop("GRADIO_ANALYTICS_ENABLED", None)  # the app must disable it itself
    with (folder / "app.log").open("a") as output:
        process = subprocess.Popen(
            [python, *WARNINGS, str(script)],
            cwd=REPOSITORY,
            env=env,
            stdout=output,
            stderr=output,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(1200):  # 2 minutes, for a loaded machine
            assert process.poll() is None, (folder / "app.log").read_text()
            try:
                urllib.request.urlopen(url, timeout=30).close()
                break
            except urllib.error.URLError:
                time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=20)


def ask(url: str, text: Any) -> Any:
    from gradio_client import Client

    client = Client(url, verbose=False)
    try:
        return client.predict(text, api_name="/classify")
    finally:
        client.close()


def error_message(url: str, text: Any) -> str:
    from gradio_client.exceptions import AppError

    with pytest.raises(AppError) as caught:
        ask(url, text)
    return str(caught.value)


def ask_classifier(env: dict[str, str], *models: str) -> list[Any]:
    done = run_python(ASK, env, *models)
    return list(json.loads(done.stdout.splitlines()[-1]))


@pytest.fixture(scope="module")
def model_folder(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_classifier(tiny_base, tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def hub(
    model_folder: Path, tiny_base: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningHub]:
    with running_hub() as running:
        push(running, model_folder)
        push(running, tiny_base, "demo/headless")
        broken = tmp_path_factory.mktemp("broken")
        shutil.copytree(model_folder, broken, dirs_exist_ok=True)
        (broken / "onnx/model.onnx").write_bytes(b"no model")
        push(running, broken, "demo/broken")
        yield running


@pytest.fixture(scope="module")
def space_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("space")


@pytest.fixture(scope="module")
def space(hub: RunningHub, space_folder: Path) -> Iterator[str]:
    env = {**hub.env(space_folder / "home", token=None), "MODEL_ID": MODEL}
    with running_space(env, space_folder) as url:
        yield url


def test_answers_equal_pipeline_in_the_documented_form(space: str, model_folder: Path):
    from transformers import pipeline

    text = "a wonderful film, with 3 dreadful songs"
    answer = ask(space, text)
    classify = pipeline("sentiment-analysis", model=str(model_folder))
    expected = {item["label"]: item["score"] for item in classify(text, top_k=None)}
    assert answer["probabilities"] == pytest.approx(expected, abs=1e-6)
    assert set(expected) == set(LABELS)
    assert answer["label"] == max(expected, key=expected.__getitem__)
    assert answer["probability"] == max(answer["probabilities"].values())
    assert answer["tokens_read"] == answer["tokens"] > 5

    documented = re.search(r"```json\n(.*?)```", (SPACE / "README.md").read_text(), re.DOTALL)
    assert documented is not None
    assert list(json.loads(documented[1])) == list(answer)


def test_reports_how_much_of_a_long_review_was_read(space: str):
    answer = ask(space, "wonderful dreadful " * 2500)
    assert (answer["tokens_read"], answer["tokens"]) == (4094, 5000)  # and two special tokens


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "Write or paste a review first."),
        (" \n\t", "Write or paste a review first."),
        (None, "Write or paste a review first."),
        ("<br /><br/>", "This review has no words."),
        (7, "A review must be text, got int."),
        (
            "x" * 100_001,
            "A review may have at most 100,000 characters; this one has 100,001.",
        ),
    ],
)
def test_rejects_invalid_text_with_a_message(space: str, text: object, sentence: str):
    assert error_message(space, text) == sentence


@pytest.mark.parametrize("text", ["good " * 20_000, "wonderful \x00 film", "<b>good</b> & fine"])
def test_accepts_any_other_text(space: str, text: str):
    assert sum(ask(space, text)["probabilities"].values()) == pytest.approx(1)


def test_answers_plain_http(space: str):
    call = f"{space}/gradio_api/call/classify"
    half = rb'{"data": ["wonderful \ud83d film"]}'  # a lone surrogate
    request = urllib.request.Request(call, half, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as response:
        event = json.load(response)["event_id"]
    with urllib.request.urlopen(f"{call}/{event}", timeout=60) as response:
        kind, data = response.read().decode().strip().splitlines()[-2:]
    assert kind == "event: complete"
    assert set(json.loads(data.removeprefix("data: "))[0]["probabilities"]) == set(LABELS)


def test_connects_only_to_its_hub_and_logs_no_error(
    space: str, space_folder: Path, hub: RunningHub
):
    ask(space, "a wonderful film")
    connections = (space_folder / "connections.txt").read_text().splitlines()
    assert any(hub.endpoint.rpartition(":")[2] in line for line in connections)
    assert [line for line in connections if "127.0.0.1" not in line] == []
    assert "Traceback" not in (space_folder / "app.log").read_text()


def test_downloads_only_the_needed_files(space: str, space_folder: Path):
    ask(space, "a wonderful film")
    snapshots = space_folder / "home/hub" / f"models--{MODEL.replace('/', '--')}" / "snapshots"
    (snapshot,) = snapshots.iterdir()
    needed = {"config.json", "tokenizer.json", "tokenizer_config.json", "onnx/model.onnx"}
    pulled = {str(f.relative_to(snapshot)) for f in snapshot.rglob("*") if f.is_file()}
    assert pulled == needed


def test_waits_for_the_hub_and_works_without_it_once_cached(model_folder: Path, tmp_path: Path):
    root = tmp_path / "hub"
    with running_hub(root) as hub:
        push(hub, model_folder)
        env = {**hub.env(tmp_path / "home", token=None), "MODEL_ID": MODEL}
    port = hub.endpoint.rpartition(":")[2]
    with running_space(env, tmp_path) as url:
        error = error_message(url, "a wonderful film")
        assert error.startswith(
            f"The Hub at {hub.endpoint} does not answer, and there is no copy of {MODEL} here."
        )
        with running_hub(root, ["--port", port]):
            first = ask(url, "a wonderful film")
        assert ask(url, "a wonderful film") == first
    # A new process uses the cache while the Hub is down or drops every connection.
    [[commit, labels, tokens]] = ask_classifier(env, MODEL)
    assert (labels, tokens) == (LABELS, 3)
    with running_hub(root, ["--port", port, "--fault", "GET /.*=drop*99"]):
        pull = (
            "from space.inference.classifier import Classifier; "
            f"print(Classifier('{MODEL}').download().name)"
        )
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", pull],
            cwd=REPOSITORY,
            env=env,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    assert done.stdout == f"{commit}\n"


def test_reports_why_a_model_is_unavailable(hub: RunningHub, tmp_path: Path):
    env = hub.env(tmp_path, token=None)
    models = ["", "/tmp/a folder", "demo/nothing", f"{MODEL}@v9", "demo/headless"]
    missing, malformed, unknown, revision, headless, broken, pinned = ask_classifier(
        env, *models, "demo/broken", f"{MODEL}@main"
    )
    assert broken.startswith("demo/broken is not a text classifier that this app can load")
    assert missing.startswith("MODEL_ID is not set.")
    assert malformed == "MODEL_ID must be user/name, as the Hub writes it, got '/tmp/a folder'."
    assert unknown == (
        f"The Hub at {hub.endpoint} has no model demo/nothing, or this app's HF_TOKEN may not "
        "read it."
    )
    assert revision == f"{MODEL} has no revision v9: check MODEL_REVISION."
    assert headless.startswith("demo/headless has no onnx/model.onnx, which this app needs.")
    assert "`python -m train export RUN`" in headless
    assert re.fullmatch("[0-9a-f]{40}", pinned[0])


def test_reports_why_the_cache_has_no_model(hub: RunningHub, tmp_path: Path):
    env = hub.env(tmp_path / "home", token=None)
    [offline] = ask_classifier(env | {"HF_HUB_OFFLINE": "1"}, "demo/nothing")
    assert offline == (
        f"HF_HUB_OFFLINE is set, and {tmp_path / 'home'} has no complete copy of demo/nothing. "
        "Unset HF_HUB_OFFLINE to download it."
    )
    (tmp_path / "file").write_text("")
    [unwritable, letters] = ask_classifier(
        env | {"HF_HOME": str(tmp_path / "file/home")}, MODEL, "demo/été"
    )
    assert unwritable.startswith(f"The cache can't be written, {tmp_path}/file")
    assert "HF_HOME must name a folder that can be written" in unwritable
    assert letters == "MODEL_ID must be user/name, as the Hub writes it, got 'demo/été'."
    # A cached model needs no Hub.
    ask_classifier(env, MODEL)
    [[commit, *_]] = ask_classifier(env | {"HF_HUB_OFFLINE": "1"}, MODEL)
    assert re.fullmatch("[0-9a-f]{40}", commit)


def test_importing_the_app_starts_no_server_and_imports_no_training_code(tmp_path: Path):
    code = (
        "import sys, socket\n"
        "socket.socket.bind = None\n"
        "from space import app\n"
        "assert app.build and app.Classifier\n"
        "imported = {name.partition('.')[0] for name in sys.modules}\n"
        "assert not imported & {'train', 'torch', 'transformers'}\n"
    )
    subprocess.run(
        [sys.executable, *WARNINGS, "-c", code],
        cwd=REPOSITORY,
        env={**os.environ, "HF_HOME": str(tmp_path)},
        check=True,
    )


def test_requirements_pin_the_tested_versions():
    pins = {}
    for line in (SPACE / "requirements.txt").read_text().splitlines():
        if line and not line.startswith(("#", "--")):
            name, exact, version = line.partition("#")[0].strip().partition("==")
            assert exact, line
            pins[name.partition("[")[0]] = version.partition(";")[0]
    for name, version in pins.items():
        assert importlib.metadata.version(name).partition("+")[0] == version, name
    front_matter = (SPACE / "README.md").read_text().split("---")[1]
    assert f"sdk_version: {pins['gradio']}\n" in front_matter


def test_page_has_its_own_link_preview_and_security_headers(space: str):
    with urllib.request.urlopen(space, timeout=60) as answer:
        page, headers = answer.read().decode(), answer.headers
    tags = dict(re.findall('<meta (?:property|name)="([^"]+)" content="([^"]*)"', page))
    assert tags["og:title"] == "Movie sentiment"
    assert tags["og:description"] == tags["description"]
    assert "positive" not in tags["description"]  # the labels may be stars
    assert tags["og:url"] == space
    assert page.count('"og:title"') == page.count('"og:image"') == 1
    with urllib.request.urlopen(tags["og:image"], timeout=60) as answer:
        picture = answer.read()
    assert picture.startswith(b"\x89PNG")
    assert struct.unpack(">II", picture[16:24]) == (1200, 630)
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert "frame-ancestors 'self' https://huggingface.co" in headers["Content-Security-Policy"]


def test_refused_requests_have_the_security_headers(space: str):
    request = urllib.request.Request(f"{space}/gradio_api/run/classify", b"[", method="POST")
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=60)
    with caught.value as error:
        assert error.headers["X-Content-Type-Options"] == "nosniff"


def test_last_of_several_choices_counts(space: str):
    """Gradio drops a choice by default while the one before it is being answered."""
    with urllib.request.urlopen(f"{space}/config", timeout=60) as answer:
        events = json.loads(answer.read())["dependencies"]
    on_server = [event for event in events if event["backend_fn"]]
    choices = [e for e in on_server if any(kind == "input" for _, kind in e["targets"])]
    assert len(choices) >= 5
    assert {event["trigger_mode"] for event in choices} == {"always_last"}
