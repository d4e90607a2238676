"""Facts about the model on the page: from results.json, card and plots of a real repository."""

import json
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
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
        "behavior": {"sentences": {"double_negation": {"n": 27, "accuracy": 0.5926}}},
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
# Loads the facts about a model twice and prints them, or the error.
LOAD = """
import dataclasses, json, sys
from space.about import FactsLoader
from space.inference.classifier import Classifier, ModelUnavailable
loader = FactsLoader(Classifier(sys.argv[1]))
try:
    facts = loader.load()
    assert loader.load() is facts
    output = dataclasses.asdict(facts) | {"plots": list(facts.plots), "url": facts.url}
except ModelUnavailable as reason:
    output = str(reason)
print(json.dumps(output))
"""
# Prints the tab's HTML for a local copy of a repository, without a server.
RENDER = """
import sys
from pathlib import Path
from space.about import read_facts
from space.tabs.about import render
facts = read_facts(Path(sys.argv[1]), "demo/tiny", "c0ffee", "model.onnx")
print(render(facts, "http://here"))
"""


class Elements(HTMLParser):
    """Tags of a page with their attributes, and its text."""

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


def read_facts(folder: Path) -> Facts:
    return about.read_facts(folder, MODEL, "c0ffee", "model.onnx")


def load_facts(env: dict[str, str], model: str = MODEL) -> Any:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", LOAD, model],
        cwd=REPOSITORY,
        env=env,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def render(folder: Path) -> Elements:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore::ResourceWarning", "-c", RENDER, str(folder)],
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


def test_metrics_come_from_results_json(repository: Path):
    facts = read_facts(repository)
    assert about.headline_metrics(facts) == [
        ("88.10%", "test accuracy on 2,000 reviews (95% interval 86.61% to 89.45%)"),
        ("0.875", "F1"),
        ("0.028", "expected calibration error (ECE) of the probabilities"),
    ]
    assert about.accuracy_rows(facts, "slices", "length_tokens") == [("1-64", "47", "91.49%")]
    assert about.accuracy_rows(facts, "error_analysis", "behavior", "sentences") == [
        ("double negation", "27", "59.26%")
    ]
    assert about.unsure_summary(facts) == (
        "The model is uncertain below a probability of 93.57%: 46.60% of the test reviews (76.61% "
        "accuracy there, 98.13% on the rest)."
    )
    assert dict(about.provenance(facts)) == {
        "Training data": "user/reviews: 22,389 reviews",
        "Base model": "user/base",
        "Language": "en",
        "License": "apache-2.0",
        "Revision": "c0ffee",
        "ONNX file": "model.onnx",
    }
    assert facts.missing == []
    assert facts.plots == {"Confusion matrix on the test set": PNG}


def test_run_without_test_split_shows_validation_metrics(repository: Path):
    results = {**RESULTS, "metrics": {"validation": RESULTS["metrics"]["test"]}}
    (repository / "results.json").write_text(json.dumps(results))
    (repository / "plots/reliability.png").write_bytes(PNG)
    facts = read_facts(repository)
    assert about.headline_metrics(facts)[0][1].startswith("validation accuracy on 2,000 reviews")
    assert "of the validation reviews" in about.unsure_summary(facts)
    page = render(repository)
    assert "Confusion matrix on the validation set" in page.text
    assert "Reliability diagram on the validation set" in page.text
    assert "Validation metrics" in str(page.tags) + page.text
    assert " test " not in page.text.partition("Behavioral")[0]


@pytest.mark.parametrize("name", ["imdb-pseudo-labels", "reviews-any-length"])
def test_reads_recorded_results(tmp_path: Path, name: str):
    recorded = REPOSITORY / f"benchmarks/results/{name}.json"
    shutil.copy(recorded, tmp_path / "results.json")
    facts = read_facts(tmp_path)
    assert len(about.headline_metrics(facts)) == 3
    assert about.unsure_summary(facts)
    for keys in [("slices", "length_tokens"), ("error_analysis", "behavior", "pairs")]:
        assert about.accuracy_rows(facts, *keys)


def test_limitations_are_the_matching_sections_of_the_card():
    limits = about.limitations(CARD)
    assert limits.startswith("## Intended use and limits")
    assert limits.endswith("### More\n\nIt errs.")
    assert "# no heading <b>" in limits
    assert "Not shown" not in limits
    assert about.limitations("# A model\n\nNo word of that.") == ""
    assert about.limitations("## Bias\na\n## Other\nb\n## Risks\nc") == "## Bias\na\n## Risks\nc"


def test_reports_each_missing_file(tmp_path: Path):
    facts = read_facts(tmp_path)
    assert facts.missing == [
        "The repository has no results.json, so there are no metrics to show.",
        "The repository has no README.md, so its limitations are unknown.",
        "The repository has no plots/*.png, so there are no plots to show.",
    ]
    assert about.headline_metrics(facts) == []
    assert about.unsure_summary(facts) == ""
    assert dict(about.provenance(facts)).keys() == {"Revision", "ONNX file"}
    page = render(tmp_path)
    for sentence in facts.missing:
        assert sentence in page.text
    assert "Use this model" in page.text
    assert "Error analysis" not in page.text


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
def test_accepts_any_results_json(tmp_path: Path, results: bytes):
    (tmp_path / "results.json").write_bytes(results)
    (tmp_path / "README.md").write_bytes(b"---\n- [\n---\n")
    facts = read_facts(tmp_path)
    assert about.headline_metrics(facts) == []
    assert about.accuracy_rows(facts, "slices", "length_tokens") == []
    assert about.unsure_summary(facts) == ""
    assert about.provenance(facts)
    assert facts.missing


def test_datasets_are_named_once_and_without_folders(repository: Path):
    path = repository / "results.json"
    results = json.loads(path.read_text(encoding="utf-8"))
    results["data"]["repo"] = ["user/reviews", "./runs/patterns", "./runs/patterns"]
    path.write_text(json.dumps(results), encoding="utf-8")
    origin = dict(about.provenance(read_facts(repository)))
    assert origin["Training data"].startswith("user/reviews, patterns: ")


def test_provenance_falls_back_to_the_card(repository: Path):
    (repository / "results.json").unlink()
    origin = dict(about.provenance(read_facts(repository)))
    assert origin["Training data"] == "user/a, user/b"
    assert origin["Base model"] == "user/other"
    assert origin["License"] == "mit"


def test_all_languages_of_the_card_are_shown(repository: Path):
    card = repository / "README.md"
    languages = CARD.replace("license: mit\n", "license: mit\nlanguage:\n- en\n- fr\n")
    card.write_text(languages, encoding="utf-8")
    assert dict(about.provenance(read_facts(repository)))["Language"] == "en, fr"


def test_repository_content_is_escaped_and_loads_nothing(repository: Path):
    results = json.loads(json.dumps(RESULTS))
    results["recipe"]["base_model"] = "<img src=https://example.com/y onerror=alert(1)>"
    results["slices"]["length_tokens"] = {"<script>": {"n": 1, "accuracy": 1.0}}
    (repository / "results.json").write_text(json.dumps(results))
    page = render(repository)
    tags = [tag for tag, _ in page.tags]
    assert not {"script", "svg", "iframe", "style", "b"} & set(tags)
    (image,) = (attributes for tag, attributes in page.tags if tag == "img")
    assert image["alt"] == "Confusion matrix on the test set"
    assert str(image["src"]).startswith("data:image/png;base64,")
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert "<script>alert(1)</script>" in page.text
    assert "# no heading <b>" in page.text
    links = {attributes["href"] for tag, attributes in page.tags if tag == "a"}
    assert "http://hub/demo/tiny/tree/c0ffee" in links
    assert "http://hub/demo/tiny/blob/c0ffee/recipe.yaml" in links
    assert not any(str(link).startswith("javascript") for link in links)


def test_usage_names_this_model_and_this_page(repository: Path):
    page = render(repository)
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


def test_page_address_is_the_public_one():
    from space.usage import page_address

    local = {"host": "127.0.0.1:7860"}
    assert page_address({}, local, "http") == "http://127.0.0.1:7860"
    proxied = {**local, "x-forwarded-host": "a.org", "x-forwarded-proto": "https,http"}
    assert page_address({}, proxied, "http") == "https://a.org"
    space = {"SPACE_HOST": "user-x.hf.space"}
    assert page_address(space, local, "http") == "https://user-x.hf.space"


def test_usage_names_the_hub_only_if_it_is_not_the_default(tmp_path: Path):
    code = (
        "from space.about import Facts; from space.usage import usage, retraining\n"
        "facts = Facts('demo/tiny', 'c0ffee', 'model_quantized.onnx')\n"
        "snippets = usage(facts, 'http://here')\n"
        "python = [code for code in snippets.values() if code.startswith('from ')]\n"
        "assert len(python) == 2 and all(compile(code, '', 'exec') for code in python)\n"
        "print(snippets, retraining(facts))\n"
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


def test_loads_facts_once_from_the_loaded_revision(
    tiny_classifier: Path, repository: Path, tmp_path: Path
):
    root = tmp_path / "hub"
    with running_hub(root) as hub:
        push(hub, tiny_classifier, "demo/bare")
        push(hub, tiny_classifier, MODEL)
        commit = push(hub, repository, MODEL)
        env = hub.env(tmp_path / "home", token=None)
        facts = load_facts(env)
        assert facts["commit"] == commit
        assert facts["results"] == RESULTS
        assert facts["plots"] == ["Confusion matrix on the test set"]
        assert facts["missing"] == []
        assert facts["url"] == f"{hub.endpoint}/{MODEL}/tree/{commit}"
        download_model(env, "demo/bare")
    # While the Hub is down, cached facts are shown; missing ones are an error.
    assert load_facts(env) == facts
    assert load_facts(env, "demo/bare") == (
        f"The Hub at {hub.endpoint} does not answer, so this page can't show the results of "
        "demo/bare. Try again later."
    )
    assert load_facts(env | {"HF_HUB_OFFLINE": "1"}) == facts
    assert load_facts(env | {"HF_HUB_OFFLINE": "1"}, "demo/bare") == (
        f"HF_HUB_OFFLINE is set, and {tmp_path / 'home'} has no complete copy of demo/bare. Unset "
        "HF_HUB_OFFLINE to download it."
    )


def test_reports_why_a_download_fails(tiny_classifier: Path, repository: Path, tmp_path: Path):
    with running_hub(tmp_path / "hub") as hub:
        push(hub, tiny_classifier, "demo/bare")
        push(hub, repository, "demo/bare")
        env = hub.env(tmp_path / "home", token=None)
        download_model(env, "demo/bare")
        blobs = tmp_path / "home/hub/models--demo--bare/blobs"
        # The cached model stays readable, but nothing can be added.
        blobs.rename(blobs.with_name("moved"))
        for snapshot in blobs.with_name("snapshots").rglob("*"):
            if snapshot.is_symlink():
                target = blobs.with_name("moved") / Path(os.readlink(snapshot)).name
                snapshot.unlink()
                snapshot.symlink_to(target)
        blobs.write_text("no folder")
        message = load_facts(env, "demo/bare")
        assert message.startswith(f"The cache can't be written, {blobs}"), message
        assert "HF_HOME must name a folder that can be written and has free space." in message
        HfApi(endpoint=hub.endpoint, token=WRITE).delete_repo("demo/bare")
        message = load_facts(env, "demo/bare")
        assert "has no model demo/bare, or this app's HF_TOKEN may not" in message


def download_model(env: dict[str, str], model: str) -> None:
    """Download a model into the cache, and nothing else of its repository."""
    code = f"from space.inference.classifier import Classifier; Classifier('{model}').load()"
    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, env=env, check=True)


def test_reports_a_missing_model_id(tmp_path: Path):
    message = load_facts({**os.environ, "HF_HOME": str(tmp_path)}, "")
    assert message.startswith("MODEL_ID is not set.")


def test_facts_are_those_of_the_model_after_a_reload(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = SimpleNamespace(file=tmp_path / "model.onnx", engine="ONNX Runtime")
    classifier: Any = SimpleNamespace(repo_id="demo/tiny", commit="first", load=lambda: model)
    monkeypatch.setattr(about, "download", lambda repo_id, commit: tmp_path)
    loader = about.FactsLoader(classifier)
    assert loader.load().commit == "first"
    classifier.commit = "second"
    assert loader.load().commit == "second"
    assert loader.load() is loader.load()
