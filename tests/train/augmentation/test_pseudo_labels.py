"""Pseudo-labels of a model and an n-gram classifier, weighted on validation; soft targets."""

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import fit_toy_run, toy_settings, write_toy_csv

from train import recipe as recipes
from train import run_folder
from train.augmentation import pseudo_labels
from train.augmentation.ngrams import NgramClassifier, words
from train.data import preparation
from train.errors import DataError, RunError
from train.pipeline import training_run
from train.publishing import export
from train.recipe import Corpus


def test_words_have_contractions_numbers_and_marks() -> None:
    assert words("Don't go!<br />It's 3/10…") == ["don't", "go", "!", "it's", "3", "10"]


def test_ngrams_learn_negation() -> None:
    texts = ["not bad at all", "bad at all", "good fun", "not good fun"] * 5
    classifier = NgramClassifier.fit(texts, [1, 0, 1, 0] * 5, 2)
    logits = classifier.logits(["not bad", "not good", "a film nobody has heard of"])
    assert logits.shape == (3, 2)
    assert logits[:2].argmax(axis=1).tolist() == [1, 0]
    assert abs(logits[2, 1] - logits[2, 0]) < abs(logits[0, 1] - logits[0, 0])


def test_ngrams_with_three_labels() -> None:
    texts = ["dreadful", "so so", "wonderful"] * 5
    classifier = NgramClassifier.fit(texts, [0, 1, 2] * 5, 3)
    assert classifier.logits(["wonderful", "dreadful", "so so"]).argmax(axis=1).tolist() == [
        2,
        0,
        1,
    ]


def test_weights_follow_the_information_of_each_classifier() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 2000)
    informed = np.stack([np.zeros(2000), (2 * labels - 1) * 1.5 + rng.normal(0, 1, 2000)], axis=1)
    noise = np.stack([np.zeros(2000), rng.normal(0, 1, 2000)], axis=1)
    weights = pseudo_labels.fit_weights([informed, noise], labels.tolist())
    assert weights[0] == pytest.approx(3, rel=0.15)  # the log-odds of that signal: 2 * 1.5 a unit
    assert weights[1] < 0.2


@pytest.fixture(scope="module")
def run(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fit_toy_run(tmp_path_factory.mktemp("runs"), tiny_base)


def unlabelled(folder: Path, texts: list[str | None]) -> Corpus:
    file = folder / "unlabelled.jsonl"
    file.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    return Corpus(source=str(file), split="train")


def test_run_without_onnx_files_is_an_error(run: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="python -m train export"):
        pseudo_labels.write(run, unlabelled(tmp_path, ["new"]), tmp_path / "out.jsonl")


@pytest.mark.parametrize("revision", [None, "b" * 40])
def test_corpus_of_the_run_is_read_at_the_revision_of_the_run(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, revision: str | None
) -> None:
    splits, recipe = preparation.load(run_folder.load_recipe(run)), run_folder.load_recipe(run)
    recipe.datasets[0] = recipe.datasets[0].model_copy(
        update={"source": "demo/reviews", "revision": "a" * 40}
    )
    revisions = []
    monkeypatch.setattr(run_folder, "load_recipe", lambda _: recipe)
    monkeypatch.setattr(run_folder, "check_exported", lambda _: None)
    monkeypatch.setattr(preparation, "load", lambda _: splits)
    monkeypatch.setattr(
        pseudo_labels.sources, "texts", lambda c: revisions.append(c.revision) or []
    )
    with pytest.raises(DataError, match="demo/reviews holds no text"):
        corpus = Corpus(source="demo/reviews", revision=revision)
        pseudo_labels.write(run, corpus, tmp_path / "out.jsonl")
    assert revisions == [revision or "a" * 40]


def test_labels_only_texts_that_the_run_does_not_have(run: Path, tmp_path: Path) -> None:
    export.export(run)
    splits = preparation.load(run_folder.load_recipe(run))
    theirs = [split.texts[0].upper() for split in splits.values()]
    fresh = [f"{text} Number {i}." for i, text in enumerate(splits["train"].texts[:700])]
    out = tmp_path / "new" / "out.jsonl"
    corpus = unlabelled(tmp_path, [*theirs, *fresh, fresh[0], None, "…"])
    result = pseudo_labels.write(run, corpus, out)
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [row["text"] for row in rows] == [*fresh, "…"]
    assert result["texts"] == len(rows)
    assert result["dropped"] == {"blank": 1, "texts held out": 3, "read already": 1}
    assert all(0.5 <= row["score"] <= 1 for row in rows)
    labels = run_folder.load_recipe(run).labels
    truth = [labels[number] for number in splits["train"].labels[: len(fresh)]]
    right = [row["label"] == label for row, label in zip(rows, truth, strict=False)]
    assert np.mean(right) > 0.9
    validation = result["validation"]
    assert validation["both"]["nll"] <= min(v["nll"] for v in validation.values()) + 1e-4


def test_interrupted_labelling_resumes(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pseudo_labels, "BATCH_TEXTS", 3)
    corpus = unlabelled(tmp_path, [f"a film with number {i}" for i in range(8)])
    complete, out = tmp_path / "complete.jsonl", tmp_path / "out.jsonl"
    pseudo_labels.write(run, corpus, complete)
    lines = pseudo_labels._lines
    calls = iter(range(9))

    def interrupted(*arguments: object) -> list[str]:
        if next(calls):
            raise KeyboardInterrupt
        return lines(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(pseudo_labels, "_lines", interrupted)
    with pytest.raises(KeyboardInterrupt):
        pseudo_labels.write(run, corpus, out)
    assert not out.exists()
    (draft,) = tmp_path.glob("out.jsonl.*.part")
    with draft.open("a", encoding="utf-8") as file:
        file.write('{"text": "a film wi')  # cut off in the middle of a line
    monkeypatch.setattr(pseudo_labels, "_lines", lines)
    pseudo_labels.write(run, corpus, out)
    assert out.read_bytes() == complete.read_bytes()
    assert not draft.exists()


def test_corpus_of_known_texts_is_an_error(run: Path, tmp_path: Path) -> None:
    known = preparation.load(run_folder.load_recipe(run))["train"].texts
    with pytest.raises(DataError, match="holds no text that the run doesn't have"):
        pseudo_labels.write(run, unlabelled(tmp_path, [*known]), tmp_path / "out.jsonl")


def test_targets_are_label_probabilities() -> None:
    recipe = recipes.load("quickstart", ["labels=[A, B, C]", "datasets.label_map=null"])
    hard = preparation.Split(["a", "b"], [1, 0])
    assert training_run._targets(hard, recipe.labels, recipe.distillation).tolist() == [1, 0]
    soft = preparation.Split(["a", "b"], [1, 0], confidences=[0.75, 1.0])
    assert training_run._targets(soft, recipe.labels, recipe.distillation).tolist() == [
        [0.125, 0.75, 0.125],
        [1, 0, 0],
    ]
    assert training_run._targets(soft, recipe.labels, recipe.distillation).dtype == np.float32


def test_recipe_trains_on_label_probabilities(tiny_base: Path, tmp_path: Path) -> None:
    """Wrong labels with a probability of 51% do little harm."""
    source = write_toy_csv(tmp_path / "reviews.csv")
    plain = recipes.load("quickstart", toy_settings(source, tiny_base))
    train = preparation.load(plain)["train"]
    pseudo = [
        {"text": f"{text} Again.", "label": plain.labels[1 - number], "score": 0.51}
        for text, number in zip(train.texts, train.labels, strict=True)
    ]
    file = tmp_path / "pseudo.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in pseudo), encoding="utf-8")
    values = plain.model_dump()
    values["datasets"].append({"source": str(file), "splits": ["train"], "confidence": "score"})
    training_run.fit(recipes.parse(values), tmp_path / "soft")
    accuracy = run_folder.load_results(tmp_path / "soft")["metrics"]["validation"]["accuracy"]
    assert accuracy > 0.9  # with certain labels it would be near 0.5
