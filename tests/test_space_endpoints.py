"""The Space's endpoints, as programs call them: Python, JavaScript, plain HTTP, and an agent."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY
from hubserver import running_hub
from test_space import LABELS, MODEL, ask, push, running_space
from test_transformers_js import JS, install

TEXTS = ["Good songs. A dreadful end!", "a wonderful film", "  "]
LONE = REPOSITORY / ".venv-space" / "bin" / "python"


@pytest.fixture(scope="module")
def space(tiny_classifier: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("space")
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


def test_a_batch_answers_each_and_says_what_it_cannot_judge(client: Any):
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
def test_a_batch_has_its_bounds(client: Any, texts: Any, sentence: str):
    from gradio_client.exceptions import AppError

    with pytest.raises(AppError) as caught:
        client.predict(texts, api_name="/classify_batch")
    assert str(caught.value) == sentence


def test_an_explanation_weighs_each_sentence_and_the_words_of_the_strongest(client: Any):
    found = client.predict(TEXTS[0], api_name="/explain")
    assert [part["text"] for part in found["sentences"]] == ["Good songs.", "A dreadful end!"]
    for part in found["sentences"] + found["words"]:
        assert TEXTS[0][part["start"] : part["end"]] == part["text"]
    assert {part["text"] for part in found["words"]} == {"Good", "songs", "A", "dreadful", "end"}
    alone = client.predict("A dreadful end!", api_name="/classify")
    first = found["sentences"][0]
    assert first["without"] == pytest.approx(alone["probabilities"][found["label"]], abs=1e-6)


def test_only_the_named_endpoints_are_offered(client: Any):
    offered = client.view_api(return_format="dict")["named_endpoints"]
    assert set(offered) == {"/classify", "/classify_batch", "/explain"}
    assert "praise or blame" in offered["/classify"]["description"]


def test_javascript_gets_the_same_answers(space: str, client: Any):
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


def test_an_agent_finds_them_as_tools(space: str, client: Any):
    from mcp import ClientSession
    from mcp.client.streamable_http import streamable_http_client

    async def call() -> tuple[set[str], Any]:
        async with (
            streamable_http_client(f"{space}/gradio_api/mcp/") as (read, write, _),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            tools = (await session.list_tools()).tools
            name = next(tool.name for tool in tools if tool.name.endswith("classify"))
            answer = await session.call_tool(name, {"text": TEXTS[1]})
            return {tool.name for tool in tools}, answer

    names, answer = asyncio.run(call())
    assert len(names) == 3
    assert not answer.isError
    label = client.predict(TEXTS[1], api_name="/classify")["label"]
    assert label in answer.content[0].text


def test_on_zerogpu_many_texts_go_through_a_function_that_it_knows(tiny_classifier: Path):
    """Marked for ZeroGPU, with a classifier of its own, and with the very same answers."""
    code = (
        "import json, os, sys\n"
        "sys.path.insert(0, 'space')\n"
        "import spaces\n"
        "os.environ['SPACES_ZERO_GPU'] = 'true'  # from here on, for the app alone\n"
        "marked = []\n"
        "spaces.GPU = lambda function: marked.append(function) or function\n"
        "import bulk\n"
        "from pathlib import Path\n"
        "from classifier import Classifier\n"
        "classifier = Classifier.from_folder(Path(sys.argv[1]))\n"
        "texts = json.loads(sys.argv[2])\n"
        "here = list(map(repr, classifier.many(texts)))\n"
        "lent = list(map(repr, bulk.judge(classifier, texts)))\n"
        "assert here == lent and marked == [bulk._alone]\n"
    )
    subprocess.run(
        [sys.executable, "-c", code, str(tiny_classifier), json.dumps(TEXTS)],
        cwd=REPOSITORY,
        check=True,
    )


def test_the_spaces_own_requirements_are_enough(tiny_classifier: Path, tmp_path: Path):
    """What the Hub builds: an environment in which nothing else is installed."""
    assert LONE.exists(), "`make setup-tests` makes the Space's own environment"
    missing = "import importlib.util as u; print(u.find_spec('torch'), u.find_spec('transformers'))"
    found = subprocess.run([LONE, "-c", missing], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["None", "None"]
    with running_hub() as hub:
        push(hub, tiny_classifier)
        env = {**hub.env(tmp_path / "home", token=None), "MODEL_ID": MODEL}
        with running_space(env, tmp_path, python=str(LONE)) as url:
            assert ask(url, "a wonderful film")["label"] in LABELS
