"""What the page tells of its model: from results.json, card and plots of a real repository."""

import json
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY
from hubserver import WRITE, running_hub
from huggingface_hub import HfApi
from test_app import push

from space import about
from space.about import Facts

MODEL = "demo/tiny"
PNG = bytes.fromhex(  # one grey pixel
    "89504e470d0a1a0a0000000d4948445200000001000000010800000000"
    "3a7e9b550000000a49444154789c6360000000020001e221bc330000000049454e44ae426082"
)
RESULTS = {
    "environment": {"repository": "https://github.com/user/movie-sentiment"},
    "recipe": {
        "language": "en",
        "license": "apache-2.0",
        "base_model": "user/base",
    },
    "data": {"repo": ["user/reviews"], "splits": {"train": {"rows": 22389}}},
    "metrics": {
        "test": {
            "n": 2000,
            "accuracy": 0.881,
            "accuracy_ci95": [0.86607, 0.89447],
            "f1": 0.8746,
            "ece": 0.02849,
        }
    },
    "slices": {"length_tokens": {"1-64": {"n": 47, "accuracy": 0.9149}}},
    "error_analysis": {
        "unsure": {
            "below": 0.9357,
            "share": 0.466,
            "accuracy_inside": 0.7661,
            "accuracy_outside": 0.98127,
        },
        "behaviour": {"sentences": {"double_negation": {"n": 27, "accuracy": 0.5926}}},
    },
}
CARD = """---
license: mit
base_model: user/other
datasets:
- user/a
- user/b
---

# Tiny

Not shown.

## Intended use and limits

Made for films. <script>alert(1)</script> ![far](https://example.com/x.png)
See [the recipe](recipe.yaml) and [this](https://example.com) or [that](javascript:alert(1)).

```
# no heading <b>
```

### More

It errs.

## Training data

Not shown either.
"""
# Pulls the facts of a model, twice, and says what came of it.
ASK = """
import dataclasses, json, sys
from space.about import Source
from space.inference.classifier import Classifier, ModelUnavailable
source = Source(Classifier(sys.argv[1]))
try:
    facts = source.facts()
    assert source.facts() is facts
    found = dataclasses.asdict(facts) | {"plots": list(facts.plots), "page": facts.page}
except ModelUnavailable as reason:
    found = str(reason)
print(json.dumps(found))
"""
# The page's HTML of a repository's copy, without a server; no part of it may call for anything.
SHOW = """
import sys
from pathlib import Path
from space import about
from space.tabs.about import body
print(body(about.read(Path(sys.argv[1]), "demo/tiny", "c0ffee", "model.onnx"), "http://here"))
"""


class Elements(HTMLParser):
    """The tags of a page with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def write_repository(folder: Path) -> Path:
    (folder / "plots").mkdir(parents=True)
    (folder / "results.json").write_text(json.dumps(RESULTS))
    (folder / "README.md").write_text(CARD)
    (folder / "plots/confusion.png").write_bytes(PNG)
    (folder / "plots/not_an_image.png").write_bytes(b"<svg onload=alert(1)>")
    return folder


def read(folder: Path) -> Facts:
    return about.read(folder, MODEL, "c0ffee", "model.onnx")


def ask(env: dict[str, str], model: str = MODEL) -> Any:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", ASK, model],
        cwd=REPOSITORY,
        env=env,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def show(folder: Path) -> Elements:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore::ResourceWarning", "-c", SHOW, str(folder)],
        cwd=REPOSITORY,
        env={**os.environ, "HF_ENDPOINT": "http://hub"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return Elements(done.stdout)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return write_repository(tmp_path / "repository")


def test_figures_come_from_the_results(repository: Path):
    facts = read(repository)
    assert about.headline(facts) == [
        ("88.10%", "accuracy on test, 2,000 reviews (95% interval 86.61% to 89.45%)"),
        ("0.875", "F1"),
        (
            "0.028",
            "ECE, the expected calibration error: how far its probabilities are from the truth",
        ),
    ]
    assert about.shares(facts, "slices", "length_tokens") == [("1-64", "47", "91.49%")]
    assert about.shares(facts, "error_analysis", "behaviour", "sentences") == [
        ("double negation", "27", "59.26%")
    ]
    assert about.unsure(facts) == (
        "Under a probability of 93.57% it counts as unsure: 46.60% of the test reviews, of which "
        "it gets 76.61% right; of all others 98.13%."
    )
    assert dict(about.origin(facts)) == {
        "Training data": "user/reviews: 22,389 reviews",
        "Base model": "user/base",
        "Language": "en",
        "License": "apache-2.0",
        "Revision": "c0ffee",
        "File that answers here": "model.onnx",
    }
    assert facts.missing == []
    assert facts.plots == {"Confusion matrix on test": PNG}


@pytest.mark.parametrize("name", ["imdb-small", "reviews-any-length"])
def test_the_figures_of_a_run_of_record_are_found(tmp_path: Path, name: str):
    recorded = REPOSITORY / f"benchmarks/results/{name}.json"
    shutil.copy(recorded, tmp_path / "results.json")
    facts = read(tmp_path)
    assert len(about.headline(facts)) == 3
    assert about.unsure(facts)
    for keys in [("slices", "length_tokens"), ("error_analysis", "behaviour", "pairs")]:
        assert about.shares(facts, *keys)


def test_limits_are_the_cards_sections_on_limits():
    limits = about.limits(CARD)
    assert limits.startswith("## Intended use and limits")
    assert limits.endswith("### More\n\nIt errs.")
    assert "# no heading <b>" in limits
    assert "Not shown" not in limits
    assert about.limits("# A model\n\nNo word of that.") == ""
    assert about.limits("## Bias\na\n## Other\nb\n## Risks\nc") == "## Bias\na\n## Risks\nc"


def test_what_is_missing_is_a_sentence(tmp_path: Path):
    facts = read(tmp_path)
    assert facts.missing == [
        "The repository has no results.json, so there are no figures to show.",
        "The repository has no README.md, so nothing is said of its limits.",
        "The repository has no plots/*.png, so there are no plots to show.",
    ]
    assert about.headline(facts) == []
    assert about.unsure(facts) == ""
    assert dict(about.origin(facts)).keys() == {"Revision", "File that answers here"}
    page = show(tmp_path)
    for sentence in facts.missing:
        assert sentence in page.text
    assert "How to call it" in page.text
    assert "Where it fails" not in page.text


@pytest.mark.parametrize(
    "results",
    [
        b"{",
        b"[1]",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"metrics": {"test": 7}}',
        b'{"metrics": {"test": {"accuracy": NaN, "f1": "x", "n": true, "accuracy_ci95": [0]}}}',
        b'{"slices": {"length_tokens": [1]}, "error_analysis": {"unsure": 1}, "recipe": "x"}',
        b'{"slices": {"length_tokens": {"a": 1, "b": {"n": 2}}}, "data": {"repo": 4}}',
    ],
)
def test_any_results_can_be_read(tmp_path: Path, results: bytes):
    (tmp_path / "results.json").write_bytes(results)
    (tmp_path / "README.md").write_bytes(b"---\n- [\n---\n")
    facts = read(tmp_path)
    assert about.headline(facts) == []
    assert about.shares(facts, "slices", "length_tokens") == []
    assert about.unsure(facts) == ""
    assert about.origin(facts)
    assert facts.missing


def test_where_there_are_no_results_the_card_tells_the_origin(repository: Path):
    (repository / "results.json").unlink()
    found = dict(about.origin(read(repository)))
    assert found["Training data"] == "user/a, user/b"
    assert found["Base model"] == "user/other"
    assert found["License"] == "mit"


def test_what_a_repository_says_is_text_and_calls_for_nothing(repository: Path):
    results = json.loads(json.dumps(RESULTS))
    results["recipe"]["base_model"] = "<img src=https://example.com/y onerror=alert(1)>"
    results["slices"]["length_tokens"] = {"<script>": {"n": 1, "accuracy": 1.0}}
    (repository / "results.json").write_text(json.dumps(results))
    page = show(repository)
    tags = [tag for tag, _ in page.tags]
    assert not {"script", "svg", "iframe", "style", "b"} & set(tags)
    (image,) = (attributes for tag, attributes in page.tags if tag == "img")
    assert image["alt"] == "Confusion matrix on test"
    assert str(image["src"]).startswith("data:image/png;base64,")
    assert not any(name.startswith("on") for _, found in page.tags for name in found)
    assert "<script>alert(1)</script>" in page.text
    assert "# no heading <b>" in page.text
    links = {attributes["href"] for tag, attributes in page.tags if tag == "a"}
    assert "http://hub/demo/tiny/tree/c0ffee" in links
    assert "http://hub/demo/tiny/blob/c0ffee/recipe.yaml" in links
    assert not any(str(link).startswith("javascript") for link in links)


def test_tells_how_to_call_this_very_model_and_page(repository: Path):
    page = show(repository)
    for part in [
        'model="demo/tiny"',
        'revision="c0ffee"',
        'Client("http://here")',
        'Client.connect("http://here")',
        "http://here/gradio_api/call/classify",
        'dtype: "fp32"',
        'env.remoteHost = "http://hub"',
        'os.environ["HF_ENDPOINT"] = "http://hub"',
        "hf download demo/tiny recipe.yaml --revision c0ffee",
        "python -m train run recipe.yaml --to user/movie-sentiment",
        "the notebook on Colab",
    ]:
        assert part in page.text, part


@pytest.mark.parametrize(
    ("repository_url", "link"),
    [
        (
            "https://github.com/user/m",
            "https://colab.research.google.com/github/user/m/blob/main/train/colab.ipynb",
        ),
        (None, None),
        (7, None),
        ("https://example.org/user/m", None),
        ("https://github.com/user/m/../..", None),
    ],
)
def test_notebook_link_follows_the_repository_in_the_results(
    repository_url: object, link: str | None
) -> None:
    from space.usage import colab_link

    facts = Facts(MODEL, "c0ffee", "model.onnx", {"environment": {"repository": repository_url}})
    assert colab_link(facts) == link
    assert colab_link(Facts(MODEL, "c0ffee", "model.onnx")) is None


def test_the_pages_address_is_the_one_that_its_visitors_see():
    from space.usage import address

    local = {"host": "127.0.0.1:7860"}
    assert address({}, local, "http") == "http://127.0.0.1:7860"
    proxied = {**local, "x-forwarded-host": "a.org", "x-forwarded-proto": "https,http"}
    assert address({}, proxied, "http") == "https://a.org"
    assert address({"SPACE_HOST": "user-x.hf.space"}, local, "http") == "https://user-x.hf.space"


def test_code_names_the_hub_only_where_it_is_another(tmp_path: Path):
    code = (
        "from space.about import Facts; from space.usage import usage, retraining\n"
        "facts = Facts('demo/tiny', 'c0ffee', 'model_quantized.onnx')\n"
        "found = usage(facts, 'http://here')\n"
        "compile(found.pipeline, 'pipeline', 'exec'); compile(found.client, 'client', 'exec')\n"
        "print(found, retraining(facts))\n"
    )
    env = {name: value for name, value in os.environ.items() if name != "HF_ENDPOINT"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=REPOSITORY,
        env={**env, "HF_HOME": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert 'dtype: "q8"' in done.stdout
    assert not re.search(r"HF_ENDPOINT|remoteHost|env,", done.stdout)


def test_pulls_it_once_from_the_revision_that_is_loaded(
    tiny_classifier: Path, repository: Path, tmp_path: Path
):
    root = tmp_path / "hub"
    with running_hub(root) as hub:
        push(hub, tiny_classifier, "demo/bare")
        push(hub, tiny_classifier, MODEL)
        commit = push(hub, repository, MODEL)
        env = hub.env(tmp_path / "home", token=None)
        found = ask(env)
        assert found["commit"] == commit
        assert found["results"] == RESULTS
        assert found["plots"] == ["Confusion matrix on test"]
        assert found["missing"] == []
        assert found["page"] == f"{hub.endpoint}/{MODEL}/tree/{commit}"
        model_only(env, "demo/bare")
    # The Hub is away: what is in the cache is shown, what is not is a sentence.
    assert ask(env) == found
    assert ask(env, "demo/bare") == (
        f"The Hub at {hub.endpoint} does not answer, so there is nothing to show of demo/bare. "
        "Open this page again later."
    )
    assert ask(env | {"HF_HUB_OFFLINE": "1"}) == found
    assert ask(env | {"HF_HUB_OFFLINE": "1"}, "demo/bare") == (
        f"HF_HUB_OFFLINE is set, and {tmp_path / 'home'} has no complete copy of demo/bare. Unset "
        "HF_HUB_OFFLINE to download it."
    )


def test_says_what_keeps_it_from_being_pulled(
    tiny_classifier: Path, repository: Path, tmp_path: Path
):
    with running_hub(tmp_path / "hub") as hub:
        push(hub, tiny_classifier, "demo/bare")
        push(hub, repository, "demo/bare")
        env = hub.env(tmp_path / "home", token=None)
        model_only(env, "demo/bare")
        blobs = tmp_path / "home/hub/models--demo--bare/blobs"
        blobs.rename(blobs.with_name("moved"))  # the model is read from it, and nothing is added
        for snapshot in blobs.with_name("snapshots").rglob("*"):
            if snapshot.is_symlink():
                target = blobs.with_name("moved") / Path(os.readlink(snapshot)).name
                snapshot.unlink()
                snapshot.symlink_to(target)
        blobs.write_text("no folder")
        found = ask(env, "demo/bare")
        assert found.startswith(f"The cache can't be written, {blobs}"), found
        assert "HF_HOME must name a folder that can be written and has free space." in found
        HfApi(endpoint=hub.endpoint, token=WRITE).delete_repo("demo/bare")
        assert "has no model demo/bare, or this app's HF_TOKEN may not" in ask(env, "demo/bare")


def model_only(env: dict[str, str], model: str) -> None:
    """Bring a model into the cache, and nothing else of its repository."""
    code = f"from space.inference.classifier import Classifier; Classifier('{model}').load()"
    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, env=env, check=True)


def test_there_is_a_sentence_where_no_model_is(tmp_path: Path):
    assert ask({**os.environ, "HF_HOME": str(tmp_path)}, "").startswith("MODEL_ID is not set.")
