"""Distillation: teachers label each text once, and a student trains on that beside the labels."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import toy_reviews, toy_settings, write_toy_csv
from pyarrow import parquet
from scipy.special import log_softmax, softmax
from transformers import (
    AutoConfig,
    AutoModel,
    AutoTokenizer,
    DebertaV2Config,
    DistilBertConfig,
    ModernBertConfig,
    MPNetConfig,
    PreTrainedConfig,
    RobertaConfig,
)

from train import recipe as recipes
from train import run_folder
from train.augmentation import distillation
from train.data import preparation
from train.data.labels import NO_LABEL
from train.errors import DataError, RecipeError, RunError
from train.modeling import losses
from train.pipeline import training_run


@pytest.fixture
def teacher(fitted_run: Path) -> Path:
    return fitted_run


def student(folder: Path, base: Path, *overrides: str) -> recipes.Recipe:
    """A recipe of the toy reviews and of ten texts without labels."""
    folder.mkdir(exist_ok=True)
    texts = [{"text": row["text"].replace("film", "play")} for row in toy_reviews(10)]
    lines = "".join(json.dumps(row) + "\n" for row in texts)
    (folder / "unlabeled.jsonl").write_text(lines, encoding="utf-8")
    own = {"source": str(write_toy_csv(folder / "reviews.csv")), "label": "label", "group": "title"}
    own["label_map"] = {"neg": "NEGATIVE", "pos": "POSITIVE"}
    other = {"source": str(folder / "unlabeled.jsonl"), "label": None, "splits": ["train"]}
    shared = [s for s in toy_settings("unused", base) if not s.startswith("datasets.")]
    probabilities = f"distillation={{probabilities: {folder / 'teacher.parquet'}, weight: 0.5}}"
    settings = [f"datasets={json.dumps([own, other])}", *shared, probabilities, *overrides]
    return recipes.load("quickstart", settings)


def test_student_trains_on_labels_and_teacher_probabilities(
    teacher: Path, tiny_base: Path, tmp_path: Path
) -> None:
    recipe = student(tmp_path / "s", tiny_base)
    file = Path(recipe.distillation.probabilities)
    train = preparation.load(recipe)["train"]
    assert train.labels.count(NO_LABEL) == 10
    assert distillation.teach([teacher, teacher], recipe, file) == len(train)
    assert list(file.parent.glob("*.parts")) == []
    table = parquet.read_table(file)
    assert table.column_names == ["key", *recipe.labels]
    assert np.allclose(sum(table[label].to_numpy() for label in recipe.labels), 1, atol=0.002)
    targets = training_run._targets(train, recipe.labels, recipe.distillation)  # (rows, 2, labels)
    assert targets.shape == (len(train), 2, 2)
    unlabeled = np.array(train.labels) == NO_LABEL
    assert (targets[unlabeled, 0] == targets[unlabeled, 1]).all()
    assert set(targets[~unlabeled, 0].ravel()) == {0, 1}
    training_run.fit(recipe, tmp_path / "run")
    assert run_folder.load_results(tmp_path / "run")["metrics"]["validation"]["n"] > 0


def sizes(config: type[PreTrainedConfig]) -> dict[str, int]:
    """A tiny size, in the names of an architecture's config."""
    usual = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    usual |= {"intermediate_size": 64, "max_position_embeddings": 66}
    return {config.attribute_map.get(name, name): n for name, n in usual.items()}


def random_base(folder: Path, vocabulary: Path, config: type[PreTrainedConfig]) -> Path:
    """A base model with random weights, and the tokenizer of the tiny base."""
    tokenizer = AutoTokenizer.from_pretrained(vocabulary)
    tokenizer.save_pretrained(folder)
    own = sizes(config) | {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
    torch.manual_seed(0)
    AutoModel.from_config(config(**own)).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("config", [MPNetConfig, RobertaConfig, ModernBertConfig, DebertaV2Config])
def test_teacher_and_student_of_other_architectures(
    config: type[PreTrainedConfig], tiny_base: Path, tmp_path: Path
) -> None:
    """Fit a teacher, label the texts with it, and fit a DistilBERT on the result."""
    base = random_base(tmp_path / "teacher-base", tiny_base, config)
    settings = toy_settings(write_toy_csv(tmp_path / "reviews.csv"), base)
    own = recipes.load("quickstart", [*settings, "max_position_embeddings=64"])
    training_run.fit(own, tmp_path / "teacher")
    other = random_base(tmp_path / "student-base", tiny_base, DistilBertConfig)
    recipe = student(tmp_path / "s", other, "max_position_embeddings=64")
    rows = distillation.teach(
        [tmp_path / "teacher"], recipe, Path(recipe.distillation.probabilities)
    )
    assert rows == len(preparation.load(recipe)["train"])
    training_run.fit(recipe, tmp_path / "run")
    results = run_folder.load_results(tmp_path / "run")
    assert results["metrics"]["validation"]["n"] > 0
    assert AutoConfig.from_pretrained(tmp_path / "run").model_type == "distilbert"
    assert AutoConfig.from_pretrained(tmp_path / "teacher").model_type == config.model_type


def test_interrupted_teach_resumes_after_the_finished_parts(
    teacher: Path, tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = student(tmp_path / "s", tiny_base)
    file = Path(recipe.distillation.probabilities)
    monkeypatch.setattr(distillation, "PART_TEXTS", 20)
    calls = 0
    real = distillation._logits

    def interrupted(*arguments):
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(distillation, "_logits", interrupted)
    with pytest.raises(KeyboardInterrupt):
        distillation.teach([teacher], recipe, file)
    assert not file.exists()
    rows = distillation.teach([teacher], recipe, file)
    assert calls == 1 + -(-rows // 20)  # each part once, the interrupted one twice


def test_teacher_trained_on_held_out_reviews_is_an_error(
    teacher: Path, tiny_base: Path, tmp_path: Path
) -> None:
    recipe = student(tmp_path / "s", tiny_base, "split_seed=1")
    message = f"{teacher} was trained on .* of the reviews that are now in validation or test"
    with pytest.raises(DataError, match=message):
        distillation.teach([teacher], recipe, tmp_path / "out.parquet")


def test_teacher_whose_base_was_trained_on_held_out_reviews_is_an_error(
    teacher: Path, tiny_base: Path, tmp_path: Path
) -> None:
    """The teacher itself was trained on other texts."""
    shutil.copytree(teacher, tmp_path / "next")
    own = tmp_path / "own.csv"
    own.write_text(
        "text,label,title\n"
        + "".join(
            f"{word} {i},{label},t{i}\n"
            for i in range(60)
            for word, label in [("good", "pos"), ("bad", "neg")]
        ),
        encoding="utf-8",
    )
    settings = [*toy_settings(own, tiny_base), f"base_model={teacher}"]
    made = recipes.dump(recipes.load("quickstart", settings))
    (tmp_path / "next/recipe.yaml").write_text(made, encoding="utf-8")
    recipe = student(tmp_path / "s", tiny_base, "split_seed=1")
    with pytest.raises(DataError, match=f"{teacher} was trained on .* now in validation"):
        distillation.teach([tmp_path / "next"], recipe, tmp_path / "out.parquet")


def test_teacher_with_another_order_of_labels_is_an_error(
    teacher: Path, tiny_base: Path, tmp_path: Path
) -> None:
    recipe = student(tmp_path / "s", tiny_base, "labels=[POSITIVE, NEGATIVE]")
    with pytest.raises(DataError, match="must be .'POSITIVE', 'NEGATIVE'., got"):
        distillation.teach([teacher], recipe, tmp_path / "out.parquet")


def test_teachers_are_checked_before_the_data_is_read(
    teacher: Path, tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = student(tmp_path / "s", tiny_base)
    monkeypatch.delattr(preparation, "load")
    with pytest.raises(RunError, match="no run folder at nowhere"):
        distillation.teach([teacher, Path("nowhere")], recipe, tmp_path / "out.parquet")
    other = student(tmp_path / "o", tiny_base, "labels=[POSITIVE, NEGATIVE]")
    with pytest.raises(DataError, match="must be .'POSITIVE', 'NEGATIVE'., got"):
        distillation.teach([teacher], other, tmp_path / "out.parquet")


def test_text_without_label_and_teacher_is_an_error(
    teacher: Path, tiny_base: Path, tmp_path: Path
) -> None:
    recipe = student(tmp_path / "s", tiny_base)
    file = Path(recipe.distillation.probabilities)
    with pytest.raises(DataError, match="python -m train teach"):
        training_run._targets(preparation.load(recipe)["train"], recipe.labels, recipe.distillation)
    distillation.teach([teacher], recipe, file)
    table = parquet.read_table(file)
    parquet.write_table(table.slice(0, len(table) - 3), file)
    with pytest.raises(DataError, match="lacks 3 of the reviews that have no label"):
        training_run._targets(preparation.load(recipe)["train"], recipe.labels, recipe.distillation)


@pytest.mark.parametrize(
    "overrides",
    [["distillation=null"], ["datasets.1.splits=[train, test]"]],
    ids=["no teacher", "to be tested on"],
)
def test_unlabeled_rows_without_a_teacher_are_an_error(
    tiny_base: Path, tmp_path: Path, overrides: list[str]
) -> None:
    with pytest.raises(RecipeError, match="has `label: null`: this needs"):
        student(tmp_path / "s", tiny_base, *overrides)


def test_distillation_loss_equals_hintons_formula(tiny_base: Path, tmp_path: Path) -> None:
    both = "distillation={probabilities: x, weight: 0.7, temperature: 3}"
    recipe = student(tmp_path / "s", tiny_base, both)
    rng = np.random.default_rng(0)
    logits, teacher_logits = rng.normal(size=(5, 2)), rng.normal(size=(5, 2))
    label, teacher = np.eye(2)[[0, 1, 1, 0, 1]], softmax(teacher_logits, axis=1)
    targets = torch.tensor(np.stack([label, teacher], axis=1))
    student_logits = torch.tensor(logits, dtype=torch.float32)
    loss = losses.classification_loss(student_logits, targets.float(), recipe.distillation)
    own = -(label * log_softmax(logits, axis=1)).sum(axis=1)
    soft = -(softmax(teacher_logits / 3, axis=1) * log_softmax(logits / 3, axis=1)).sum(axis=1)
    assert np.allclose(loss, 0.3 * own + 0.7 * 9 * soft, atol=1e-6)
