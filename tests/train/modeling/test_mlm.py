"""Domain-adaptive pretraining: lower perplexity, no test texts read, `fit` starts from it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import REPOSITORY, toy_settings, write_toy_csv
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForMaskedLM, AutoTokenizer

from train import recipe as recipes
from train import run_folder
from train.data import preparation
from train.data.tokens import Tokens
from train.errors import DataError, RecipeError, RunError
from train.modeling import mlm
from train.pipeline import training_run
from train.publishing import published_files
from train.recipe import Recipe

WORDS = "the film was long and the songs were short but the end came soon enough for all".split()


def texts(count: int = 120) -> list[str]:
    rng = np.random.default_rng(0)
    return [
        " ".join(WORDS[: 8 + int(rng.integers(8))]) + f" and took {i} minutes" for i in range(count)
    ]


def write_corpus(path: Path, rows: list[str]) -> Path:
    path.write_text("".join(json.dumps({"text": row}) + "\n" for row in rows), encoding="utf-8")
    return path


def recipe_for(folder: Path, base: Path, *more: str) -> Recipe:
    """The toy recipe with an adaptation, on a corpus that contains its test reviews too."""
    source = write_toy_csv(folder / "reviews.csv")
    plain = recipes.load("quickstart", toy_settings(source, base))
    excluded = [
        text.upper()
        for name in ["test", "validation"]
        for text in preparation.load(plain)[name].texts
    ]
    corpus = write_corpus(folder / "corpus.jsonl", [*texts(), *excluded, "", texts()[0]])
    part = (
        f"adaptation={{corpora: [{{source: {corpus}, split: train}}], validation_texts: 20, "
        "epochs: 6, batch_tokens: 256, max_tokens: 32, learning_rate: 5e-3, checkpoint_every: 2}"
    )
    return recipes.load("quickstart", [*toy_settings(source, base), part, *more])


@pytest.fixture(scope="module")
def recipe(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    return recipe_for(tmp_path_factory.mktemp("data"), tiny_base)


@pytest.fixture(scope="module")
def run(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with an adapted base, not fitted yet."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("runs") / "toy"
    mlm.adapt(recipe, run_folder.adapted_folder(folder))
    return folder


def test_perplexity_falls(run: Path) -> None:
    measured = run_folder.load_results(run_folder.adapted_folder(run))["perplexity"]
    assert 1 < measured["after"] < 0.2 * measured["before"]


def test_texts_of_validation_and_test_are_excluded(recipe: Recipe, run: Path) -> None:
    (train, validation), dropped = mlm.load_texts(recipe)
    read = [*train, *validation]
    assert len(validation) == 20
    assert not set(train) & set(validation)
    splits = preparation.load(recipe)
    excluded = {key for name in ["validation", "test"] for key, _ in splits[name].keys()}
    assert excluded
    assert not excluded & {preparation.normalized(text) for text in read}
    assert dropped == {"blank": 1, "texts held out": len(excluded), "read already": 1}
    assert len(read) == len(texts()) + len(splits["train"])
    data = run_folder.load_results(run_folder.adapted_folder(run))["data"]
    assert (data["texts"], data["held_out_texts"]) == (len(read), len(validation))
    assert data["dropped"] == dropped


def test_fit_starts_from_the_adapted_base(recipe: Recipe, run: Path) -> None:
    training_run.fit(recipe, run)
    results = run_folder.load_results(run)
    assert results["recipe"]["base_model"] == recipe.base_model
    assert results["training"]["adaptation"]["perplexity"]["after"] > 1
    corpus = recipe.adaptation.corpora[0].source  # type: ignore[union-attr]
    for name in ["recipe.yaml", "results.json"]:
        content = published_files.public_files(run)[name]
        assert isinstance(content, bytes)
        assert Path(corpus).name.encode() in content
        assert str(Path(corpus).parent).encode() not in content
    asked = run_folder.with_adapted_base(recipe, run)
    adapted, original = (
        load_file(Path(base) / "model.safetensors")
        for base in [asked.base_model, recipe.base_model]
    )
    name = "embeddings.word_embeddings.weight"
    assert not torch.equal(adapted[name], original[name])
    fitted = load_file(run / "model.safetensors")[f"bert.{name}"]
    assert (fitted - adapted[name]).norm() < (fitted - original[name]).norm()


def test_fit_without_the_adapted_base_is_an_error(recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="`python -m train adapt` with the same recipe"):
        training_run.fit(recipe, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_fit_from_a_base_adapted_by_another_recipe_is_an_error(recipe: Recipe, run: Path) -> None:
    assert recipe.adaptation is not None
    other = recipe.adaptation.model_copy(update={"epochs": 7})
    with pytest.raises(RunError, match="was adapted with another adaptation"):
        training_run.fit(recipe.model_copy(update={"adaptation": other}), run)


def test_adapting_a_recipe_without_adaptation_is_an_error(tiny_base: Path, tmp_path: Path) -> None:
    plain = recipes.load("quickstart", toy_settings("none.csv", tiny_base))
    with pytest.raises(RecipeError, match="has no `adaptation`"):
        mlm.adapt(plain, tmp_path / "adapted")


def test_too_few_texts_are_an_error(recipe: Recipe, tmp_path: Path) -> None:
    assert recipe.adaptation is not None
    many = recipe.adaptation.model_copy(update={"validation_texts": 1000})
    with pytest.raises(DataError, match=r"more than validation_texts \(1,000\) texts, got 1"):
        mlm.adapt(recipe.model_copy(update={"adaptation": many}), tmp_path / "adapted")


@pytest.mark.parametrize("max_texts", [19, 20])
def test_max_texts_below_validation_texts_are_an_error(
    recipe: Recipe, tmp_path: Path, max_texts: int
) -> None:
    assert recipe.adaptation is not None
    few = recipe.adaptation.model_copy(update={"max_texts": max_texts})
    message = (
        rf"than validation_texts \(20\) texts, got {max_texts} with max_texts {max_texts} .* — "
        "add corpora, raise adaptation.max_texts"
    )
    with pytest.raises(DataError, match=message):
        mlm.adapt(recipe.model_copy(update={"adaptation": few}), tmp_path / "adapted")
    assert not (tmp_path / "adapted").exists()


def test_a_corpus_of_lists_is_an_error(tmp_path: Path) -> None:
    from train.data import sources
    from train.recipe import Corpus

    path = tmp_path / "corpus.jsonl"
    path.write_text('{"text": ["a", "b"]}\n', encoding="utf-8")
    with pytest.raises(DataError, match="'text' must hold text, got the type list"):
        sources.texts(Corpus(source=str(path), split="train"))


def test_missing_split_and_column_of_a_corpus_are_named(tmp_path: Path) -> None:
    from train.data import sources
    from train.recipe import Corpus

    corpus = write_corpus(tmp_path / "corpus.jsonl", ["a", "b"])
    with pytest.raises(DataError, match=r"no split 'unsupervised' — it has: train"):
        sources.texts(Corpus(source=str(corpus)))
    with pytest.raises(DataError, match=r"no column 'body' — it has: text"):
        sources.texts(Corpus(source=str(corpus), split="train", text="body"))


def loss_of(tokenizer: Any) -> mlm.MaskedLanguageLoss:
    return mlm.MaskedLanguageLoss(tokenizer, 0.15, 100.0)


def test_masking_follows_bert_and_varies_in_training_only(tiny_base: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_base)
    masking = loss_of(tokenizer)
    ids = torch.randint(1000, 1400, (200, 100))
    ids[:, 0], ids[:, -1] = tokenizer.cls_token_id, tokenizer.sep_token_id
    ids[:, 60:-1] = tokenizer.pad_token_id
    corrupted, selected = masking.corrupt(ids, training=True)
    assert not selected[:, 0].any() and not selected[:, 60:].any()
    assert float(selected[:, 1:60].float().mean()) == pytest.approx(0.15, abs=0.01)
    assert torch.equal(corrupted[~selected], ids[~selected])
    masked = (corrupted == tokenizer.mask_token_id)[selected].float().mean()
    kept = (corrupted == ids)[selected].float().mean()
    assert float(masked) == pytest.approx(0.8, abs=0.03)
    assert float(kept) == pytest.approx(0.1, abs=0.03)
    assert not torch.equal(selected, masking.corrupt(ids, training=True)[1])
    again = [masking.corrupt(ids, training=False)[1] for _ in range(2)]
    assert torch.equal(*again)


def test_texts_without_a_masked_token_have_no_loss(recipe: Recipe) -> None:
    masked, tokenizer = mlm.build(recipe)
    ids = torch.tensor([[tokenizer.cls_token_id, tokenizer.sep_token_id]] * 3)
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    losses = loss_of(tokenizer)(masked.train(), batch, None)
    losses.sum().backward()
    assert losses.tolist() == [0, 0, 0]
    assert all(not p.grad.any() for p in masked.parameters() if p.grad is not None)
    empty = Tokens([row.numpy() for row in ids], np.zeros(3, dtype=np.int64))
    assert mlm.perplexity(masked, empty, loss_of(tokenizer)) == 1


def test_chunks_of_long_texts_keep_every_token() -> None:
    ids = [np.array([2, *range(100, 100 + n), 3]) for n in (5, 30, 31, 95)]
    parts = mlm.split_into_chunks(Tokens(ids, np.zeros(4, dtype=np.int64)), 32).ids
    assert max(map(len, parts)) <= 32
    assert all(part[0] == 2 and part[-1] == 3 for part in parts)
    body = np.concatenate([part[1:-1] for part in parts])
    assert np.array_equal(body, np.concatenate([row[1:-1] for row in ids]))


@pytest.mark.parametrize("kind", ["bert", "distilbert"])
def test_logits_equal_those_of_the_masked_language_model(
    kind: str, tiny_base: Path, tmp_path: Path
) -> None:
    config = AutoConfig.for_model(kind, vocab_size=1500, max_position_embeddings=64)
    config.update({"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2})
    config.update({"intermediate_size": 48, "hidden_dim": 48})
    torch.manual_seed(0)
    full = AutoModelForMaskedLM.from_config(config).eval()
    full.save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(tiny_base).save_pretrained(tmp_path)
    settings = recipes.load("quickstart", toy_settings("none.csv", tmp_path))
    masked, _ = mlm.build(settings)
    ids = torch.randint(10, 1400, (2, 12))
    mask = torch.ones_like(ids)
    where = torch.zeros_like(ids, dtype=torch.bool)
    where[0, 3] = where[1, 7] = True
    with torch.inference_mode():
        expected = full(input_ids=ids, attention_mask=mask).logits[where]
        torch.testing.assert_close(masked.eval()(ids, mask, where), expected, atol=1e-5, rtol=0)


def test_interrupted_adaptation_resumes_bit_for_bit(tiny_base: Path, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    adapted = recipe_for(tmp_path, tiny_base)
    file = tmp_path / "recipe.yaml"
    file.write_text(recipes.dump(adapted), encoding="utf-8")
    whole, broken = tmp_path / "whole-adapted", tmp_path / "broken-adapted"
    mlm.adapt(adapted, whole)
    command = [sys.executable, "-m", "train", "adapt", str(file), "--out", str(tmp_path / "broken")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, cwd=REPOSITORY, env=environment, stderr=subprocess.PIPE)
    while not list(broken.glob("checkpoints/step-*")) and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 130
    subprocess.run([*command, "--resume"], cwd=REPOSITORY, env=environment, check=True)
    ours, theirs = (load_file(folder / "model.safetensors") for folder in (broken, whole))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    perplexities = [run_folder.load_results(folder)["perplexity"] for folder in (broken, whole)]
    assert perplexities[0] == perplexities[1]
