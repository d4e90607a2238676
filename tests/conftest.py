"""What all tests share: no network, an empty cache, and a base model small enough to train here.

HF_ENDPOINT and HF_HOME are read when huggingface_hub is imported, so they are set before it is.
In this process the endpoint leads nowhere; tests that need a Hub run their client in a subprocess
with the environment of a `running_hub`.
"""

import csv
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

HOME = tempfile.mkdtemp(prefix="hf-home-")
for name in [name for name in os.environ if name.startswith(("HF_", "MODEL_"))]:
    del os.environ[name]
os.environ |= {
    "HF_HOME": HOME,
    "HF_ENDPOINT": "http://127.0.0.1:9",  # the discard port: a call that goes astray fails
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "GRADIO_ANALYTICS_ENABLED": "False",
    "MPLBACKEND": "Agg",
    "ENGINE": "onnxruntime-int8",  # the same on every CPU; test_engine.py has the others
    "OMP_NUM_THREADS": "1",  # tiny models are faster so, and two workers share the cores
}

import pytest
from filelock import FileLock
from hubserver import RunningHub, call, running_hub

from train import environment, network

network.prepare()  # the Hubs of the tests are on loopback

REPOSITORY = Path(__file__).resolve().parent.parent
SAMPLES = REPOSITORY / "train" / "samples"
# Files that `make test` leaves out. The longest start first, so that no worker waits at the end.
SLOW = [
    "train/test_cli.py",
    "train/publishing/test_hub.py",
    "train/pipeline/test_plan.py",
    "train/test_hub_errors.py",
    "train/publishing/test_deployment.py",
    "space/test_browser_files.py",
    "train/modeling/test_training.py",
    "space_static/test_static_tabs.py",
    "space/test_browser.py",
    "space_static/test_page.py",
    "test_notebook.py",
    "test_infinity.py",
    "space/inference/test_sandbox.py",
    "benchmarks/test_on_gpu.py",
    "benchmarks/test_service_benchmark.py",
    "space/test_review_tab.py",
    "train/publishing/test_export.py",
    "train/scoring/test_score.py",
    "test_quickstart.py",
    "train/modeling/test_resolve.py",
    "train/pipeline/test_release.py",
    "train/pipeline/test_stars.py",
    "train/augmentation/test_patterns.py",
    "train/publishing/test_pipeline_call.py",
    "train/publishing/test_release_gate.py",
    "train/scoring/test_score_pairs.py",
    "space/service/test_server.py",
    "space/service/test_container.py",
    "space/test_browser_aspects.py",
    "space/test_browser_compare.py",
    "space/test_browser_stars.py",
    "space/test_suggestions.py",
    "space/test_star_model.py",
    "space_static/test_local_page.py",
    "space_static/test_static_languages.py",
    "space_static/test_static_stars.py",
    "space_static/test_webgpu.py",
    "test_released_model.py",
    "test_transformers_js.py",
    "benchmarks/test_aspects_benchmark.py",
    "benchmarks/test_attribution_benchmark.py",
    "benchmarks/test_languages_benchmark.py",
    "benchmarks/test_serve_benchmark.py",
    "benchmarks/test_stars_benchmark.py",
    "localhub/test_space_runner.py",
    "localhub/test_concurrent_deletion.py",
    "localhub/test_clients.py",
    "localhub/test_xet.py",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of slow files, and put them first."""
    ranks = {REPOSITORY / "tests" / name: rank for rank, name in enumerate(SLOW)}
    for item in items:
        if item.path in ranks:
            item.add_marker("slow")
    items.sort(key=lambda item: ranks.get(item.path, len(ranks)))


def sample_rows(split: str) -> list[dict]:
    """The reviews in `train/samples` of one split."""
    lines = (SAMPLES / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def hub() -> Iterator[RunningHub]:
    """A local Hub without faults, for the tests of one module."""
    with running_hub() as running:
        yield running


@pytest.fixture
def repo(hub: RunningHub, request: pytest.FixtureRequest) -> str:
    """A new model on it, as `models/demo/NAME`."""
    name = re.sub("[^A-Za-z0-9]+", "-", request.node.name)[:60].strip("-")
    call(hub, "DELETE", "/api/repos/delete", {"name": name})
    assert call(hub, "POST", "/api/repos/create", {"name": name}).status == 200
    return f"models/demo/{name}"


def shared(factory: pytest.TempPathFactory, name: str, write: Callable[[Path], object]) -> Path:
    """A folder that the first worker writes and every worker reads; tests change only copies."""
    root = factory.getbasetemp()
    folder = (root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) / name
    finished = folder.with_suffix(".finished")
    with FileLock(folder.with_suffix(".lock")), pytest.MonkeyPatch.context() as patch:
        if not finished.exists():
            patch.setattr(environment, "changed_files", list)  # a release needs a clean tree
            shutil.rmtree(folder, ignore_errors=True)  # of a worker that failed
            folder.mkdir()
            write(folder)
            finished.touch()
    return folder


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of 2 layers and width 32 with random weights and a WordPiece vocabulary of 2,000.

    It learns `wonderful` from `dreadful` in seconds, and nothing harder.
    """
    return shared(tmp_path_factory, "tiny-base", write_tiny_base)


def write_tiny_base(folder: Path) -> None:
    import torch
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertConfig, BertModel, BertTokenizer

    words = BertWordPieceTokenizer()
    texts = [row["text"] for row in sample_rows("train")[:200]]
    words.train_from_iterator([*texts, "wonderful dreadful " * 50], vocab_size=2000)
    words.save_model(str(folder))
    BertTokenizer.from_pretrained(folder).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=words.get_vocab_size(),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    BertModel(config).save_pretrained(folder)


@pytest.fixture(scope="session")
def tiny_classifier(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with random weights that reads 64 tokens, with onnx/model.onnx."""
    return shared(
        tmp_path_factory, "tiny-classifier", lambda folder: write_tiny_classifier(folder, tiny_base)
    )


def write_tiny_classifier(folder: Path, base: Path) -> None:
    import torch

    from train import recipe as recipes
    from train.modeling import model
    from train.publishing import export

    settings = [*toy_settings("unused.csv", base), "max_position_embeddings=64"]
    built, tokenizer = model.build(recipes.load("quickstart", settings))
    torch.manual_seed(1)
    texts = [row["text"].partition(".")[0] for row in sample_rows("test")[:40]]
    encoded = tokenizer(texts, padding=True, truncation=True, max_length=64, return_tensors="pt")
    with torch.no_grad():  # verdicts that differ: half of the texts on either side
        torch.nn.init.normal_(built.classifier.weight)
        logits = built.eval()(**encoded).logits
        spread = (logits[:, 1] - logits[:, 0]).std()
        built.classifier.weight.div_(spread)
        built.classifier.bias.copy_(-logits.median(dim=0).values / spread)
    model.save(built, tokenizer, folder)
    (folder / "onnx").mkdir()
    export.write(built, False, folder / "onnx/model.onnx")


def assert_card_tells_the_truth(card: str, model: Path) -> int:
    """Run the Python of a card on its model: each answer is the one shown; returns how many."""
    import contextlib
    import io
    import re

    import transformers

    code = card.partition("```python\n")[2].partition("```")[0]
    code = re.sub(r'model="[^"]*"', f"model={str(model)!r}", code)
    shown = [line[2:] for line in code.splitlines() if line.startswith("# ")]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, {"pipeline": transformers.pipeline, "review": "A film.", "part": "film"})
    answers = printed.getvalue().splitlines()
    for example, line in zip(shown, answers if shown else [], strict=True):
        ours, theirs = re.split(r"(?<='score': )", example), re.split(r"(?<='score': )", line)
        assert ours[0] == theirs[0]
        assert abs(float(ours[1].strip("]}")) - float(theirs[1].strip("]}"))) < 0.001
    return len(shown)


def toy_reviews(count: int = 80) -> list[dict]:
    """Rows of `text`, `label` (neg, pos), `title`, easy to learn; no text stands twice."""
    rows = []
    for i in range(count):
        word = ["dreadful", "wonderful"][i % 2]
        text = f"film number {i} was {word}, with {i % 7} {word} songs and a {word} end"
        rows.append({"text": text, "label": ["neg", "pos"][i % 2], "title": f"film {i // 4}"})
    return rows


def write_toy_csv(path: Path) -> Path:
    """`toy_reviews` as a CSV file."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, ["text", "label", "title"])
        writer.writeheader()
        writer.writerows(toy_reviews())
    return path


def fit_toy_run(folder: Path, base: Path, *overrides: str) -> Path:
    """A run of the toy reviews in a folder, fitted; overrides are those of `recipe.load`."""
    from train import recipe
    from train.pipeline import training_run

    source = write_toy_csv(folder / "reviews.csv")
    settings = [*toy_settings(source, base), *overrides]
    training_run.fit(recipe.load("quickstart", settings), folder / "tiny")
    return folder / "tiny"


@pytest.fixture(scope="session")
def toy_classifier(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fitted model of the toy reviews, with both ONNX files: sure enough for coarse numbers."""
    from train.modeling import model
    from train.publishing import export

    def write(folder: Path) -> None:
        onnx = fit_toy_run(folder, tiny_base, "epochs=12") / "onnx"
        onnx.mkdir()
        export.write(model.load(str(onnx.parent))[0], False, onnx / "model.onnx")
        export.quantize(onnx / "model.onnx", onnx / "model_quantized.onnx", ["MatMul", "Gather"])

    return shared(tmp_path_factory, "toy", write) / "tiny"


def finish(run: Path, repo_id: str = "demo/tiny") -> Path:
    """Do what comes after fitting, up to publishing."""
    from train.pipeline import training_run
    from train.publishing import card, export

    results = training_run.evaluate(run)
    (run / "README.md").write_text(card.render(results, repo_id), encoding="utf-8")
    export.export(run)
    return run


@pytest.fixture(scope="session")
def fitted_run(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the toy reviews, fitted."""
    return shared(tmp_path_factory, "fitted", lambda f: fit_toy_run(f, tiny_base)) / "tiny"


@pytest.fixture(scope="session")
def finished_run(fitted_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run, evaluated and exported, with its card."""

    def write(folder: Path) -> None:
        finish(Path(shutil.copytree(fitted_run, folder / "tiny")))

    return shared(tmp_path_factory, "finished", write) / "tiny"


STARS = ["1 star", "2 stars", "3 stars", "4 stars", "5 stars"]
STAR_WORDS = ["dreadful", "bad", "so so", "good", "wonderful"]


def toy_star_reviews(count: int = 600) -> list[dict]:
    """Rows of `text`, `rating` (1 to 10), `title`, easy to learn; no text stands twice.

    Every seventh has the word of the next star: of a model without errors, the best temperature
    would be 0, and its logits too large to compare.
    """
    rows = []
    for i in range(count):
        word = STAR_WORDS[min(4, i % 10 // 2 + (i % 7 == 3))]
        text = f"film number {i} was {word}, with {i % 7} {word} songs and a {word} end"
        rows.append({"text": text, "rating": 1 + i % 10, "title": f"film {i // 10}"})
    return rows


@pytest.fixture(scope="session")
def star_run(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with five ordered labels and soft ones between them: fitted, evaluated, exported."""
    folder = shared(tmp_path_factory, "stars", lambda folder: write_star_run(folder, tiny_base))
    return folder / "toy-stars"


def write_star_run(folder: Path, base: Path) -> None:
    from train import recipe
    from train.pipeline import training_run

    with (folder / "reviews.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, ["text", "rating", "title"])
        writer.writeheader()
        writer.writerows(toy_star_reviews())
    label_map = {
        rating: {STARS[star]: 0.9, STARS[star + (1 if star < 2 else -1)]: 0.1}
        for rating in range(1, 11)
        for star in [(rating - 1) // 2]
    }
    settings = [
        *toy_settings(folder / "reviews.csv", base),
        f"labels={json.dumps(STARS)}",
        "ordered=true",
        "datasets.label=rating",
        f"datasets.label_map={json.dumps(label_map)}",
        "epochs=20",
        "learning_rate=2e-3",
        "head_learning_rate=2e-3",
    ]
    training_run.fit(recipe.load("quickstart", settings), folder / "toy-stars")
    finish(folder / "toy-stars", "demo/stars")


ASPECTS = ["acting", "story", "music"]


def toy_aspect_pairs(count: int = 60) -> list[dict]:
    """Rows of `text`, `aspect`, `label`, `title`, easy to learn: no text mentions the music."""
    rows = []
    for i in range(count):
        word, polarity = [("dreadful", "NEGATIVE"), ("wonderful", "POSITIVE")][i % 2]
        text = f"film {i} was {word}"
        for aspect in ASPECTS:
            label = "NOT_MENTIONED" if aspect == "music" else polarity
            row = {"text": text, "aspect": aspect, "label": label, "title": f"film {i // 4}"}
            rows.append(row)
    return rows


@pytest.fixture(scope="session")
def aspect_run(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of text pairs with the labels of the aspects recipe: fitted, evaluated, exported."""
    folder = shared(tmp_path_factory, "aspects", lambda folder: write_aspect_run(folder, tiny_base))
    return folder / "toy-aspects"


def write_aspect_run(folder: Path, base: Path) -> None:
    from train import recipe
    from train.pipeline import training_run

    lines = "".join(json.dumps(row) + "\n" for row in toy_aspect_pairs())
    (folder / "pairs.jsonl").write_text(lines, encoding="utf-8")
    settings = [
        *toy_settings(folder / "pairs.jsonl", base),
        "labels=[NEGATIVE, POSITIVE, NOT_MENTIONED]",
        "datasets.label_map=null",
        "datasets.text_pair=aspect",
        "datasets.slice_by=[aspect]",
        "epochs=20",
        "learning_rate=2e-3",
        "head_learning_rate=2e-3",
    ]
    training_run.fit(recipe.load("quickstart", settings), folder / "toy-aspects")
    finish(folder / "toy-aspects", "demo/aspects")


@pytest.fixture
def toy_csv(tmp_path: Path) -> Path:
    """`toy_reviews` as a CSV file."""
    return write_toy_csv(tmp_path / "reviews.csv")


def toy_settings(source: Path | str, base: Path | str) -> list[str]:
    """Overrides that turn the quick start's recipe into a run of seconds on toy reviews."""
    return [
        f"datasets.source={source}",
        "datasets.label=label",
        "datasets.label_map={neg: NEGATIVE, pos: POSITIVE}",
        f"base_model={base}",
        "base_revision=null",
        "precision=fp32",
        "epochs=6",
        "learning_rate=5e-3",
        "head_learning_rate=5e-3",
        "batch_tokens=256",
        "max_tokens=64",
        "max_position_embeddings=4096",
        "validation_fraction=0.2",
        "test_fraction=0.2",
    ]
