"""What all tests share: no network, an empty cache, and a base model small enough to train here.

HF_ENDPOINT and HF_HOME are read when huggingface_hub is imported, so they are set before it is.
In this process the endpoint leads nowhere; tests that need a Hub run their client in a subprocess
with the environment of a `running_hub`.
"""

import csv
import json
import os
import re
import tempfile
from collections.abc import Iterator
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
    "OMP_NUM_THREADS": "1",  # tiny models are faster so, and two workers share the cores
}

import pytest
from hubserver import RunningHub, call, running_hub

from train import network

network.prepare()  # the Hubs of the tests are on loopback

REPOSITORY = Path(__file__).resolve().parent.parent
SAMPLES = REPOSITORY / "train" / "samples"


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


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of 2 layers and width 32 with random weights and a WordPiece vocabulary of 2,000.

    It learns `wonderful` from `dreadful` in seconds, and nothing harder.
    """
    import torch
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertConfig, BertModel, BertTokenizer

    folder = tmp_path_factory.mktemp("tiny-base")
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
    return folder


@pytest.fixture(scope="session")
def tiny_classifier(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with random weights that reads 64 tokens, with onnx/model.onnx."""
    import torch

    from train import recipe as recipes
    from train.modeling import model
    from train.publishing import export

    folder = tmp_path_factory.mktemp("tiny-classifier")
    settings = [*toy_settings("unused.csv", tiny_base), "max_position_embeddings=64"]
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
    return folder


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


STARS = ["1 star", "2 stars", "3 stars", "4 stars", "5 stars"]
STAR_WORDS = ["dreadful", "bad", "so so", "good", "wonderful"]


def toy_star_reviews(count: int = 200) -> list[dict]:
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
    from train import recipe
    from train.pipeline import training_run
    from train.publishing import card, export

    folder = tmp_path_factory.mktemp("stars")
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
        *toy_settings(folder / "reviews.csv", tiny_base),
        f"labels={json.dumps(STARS)}",
        "ordered=true",
        "datasets.label=rating",
        f"datasets.label_map={json.dumps(label_map)}",
        "epochs=60",
    ]
    run = folder / "toy-stars"
    training_run.fit(recipe.load("quickstart", settings), run)
    results = training_run.evaluate(run)
    (run / "README.md").write_text(card.render(results, "demo/stars"), encoding="utf-8")
    export.export(run)
    return run


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
