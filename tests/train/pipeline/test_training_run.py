"""Training and evaluation of one small run, from a CSV file to a published folder."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from commands import run_train
from conftest import (
    REPOSITORY,
    assert_card_tells_the_truth,
    toy_reviews,
    toy_settings,
    write_toy_csv,
)
from huggingface_hub import ModelCard

from train import __main__ as command_line
from train import recipe as recipes
from train import run_folder
from train.data import preparation
from train.data.splits import Split
from train.data.tokens import encode
from train.errors import DataError, ModelError, RunError
from train.evaluation import behavior_suite, metrics, row_results
from train.modeling import model
from train.pipeline import training_run
from train.publishing import card, published_files
from train.sections import Dataset, Patterns

LABEL_MAP = {"neg": "NEGATIVE", "pos": "POSITIVE"}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy_csv(tmp_path_factory.mktemp("data") / "reviews.csv")


@pytest.fixture(scope="module")
def fitted(fitted_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained run folder, to be evaluated."""
    return Path(shutil.copytree(fitted_run, tmp_path_factory.mktemp("runs") / "toy"))


@pytest.fixture(scope="module")
def fit_results(fitted: Path) -> dict[str, Any]:
    return run_folder.load_results(fitted)


@pytest.fixture(scope="module")
def evaluated(fitted: Path, fit_results: dict[str, Any]) -> Path:
    """The same folder after `evaluate`."""
    training_run.evaluate(fitted)
    return fitted


def test_fit_writes_all_files(fitted: Path) -> None:
    for name in [
        *run_folder.MODEL_FILES,
        "recipe.yaml",
        "results.json",
        "checkpoints/best.safetensors",
    ]:
        assert (fitted / name).is_file(), name


def test_fit_does_not_use_the_test_split(fit_results: dict[str, Any]) -> None:
    assert set(fit_results["metrics"]) == {"validation"}


def test_fit_results_have_the_documented_keys(fit_results: dict[str, Any]) -> None:
    assert set(fit_results) == {
        "recipe", "environment", "data", "training", "metrics", "slices", "export",
    }  # fmt: skip
    assert set(fit_results["data"]["splits"]) == {"train", "validation", "test"}
    training = fit_results["training"]
    assert training["precision"] == "fp32"
    assert training["updates"] == training["history"]["validation"][-1]["step"]
    assert training["seconds"] > 0
    assert training["tokens_per_second"] > 0
    assert 0.1 <= training["temperature"] <= 10
    assert training["parameters"] > 32 * 4096  # the positions alone


def test_results_record_the_splits_of_the_recipe(fitted: Path) -> None:
    results = run_folder.load_results(fitted)
    for name, split in preparation.load(run_folder.load_recipe(fitted)).items():
        described = results["data"]["splits"][name]
        assert (described["rows"], described["sha256"]) == (len(split), split.sha256())


def test_validation_metrics_match_the_saved_model(
    fitted: Path, fit_results: dict[str, Any]
) -> None:
    validation = preparation.load(run_folder.load_recipe(fitted))["validation"]
    scored = training_run.score(*model.load(str(fitted)), validation)["metrics"]
    for key, value in fit_results["metrics"]["validation"].items():
        np.testing.assert_allclose(scored[key], value, atol=1e-5, err_msg=key)


def test_model_reaches_95_percent_test_accuracy(evaluated: Path) -> None:
    assert run_folder.load_results(evaluated)["metrics"]["test"]["accuracy"] >= 0.95


def test_evaluate_adds_test_metrics_slices_and_plots(
    evaluated: Path, fit_results: dict[str, Any]
) -> None:
    results = run_folder.load_results(evaluated)
    assert results["metrics"]["validation"] == fit_results["metrics"]["validation"]
    rows = results["data"]["splits"]["test"]["rows"]
    assert results["metrics"]["test"]["n"] == rows
    assert sum(band["n"] for band in results["slices"]["length_tokens"].values()) == rows
    assert set(results["error_analysis"]) == {
        "unsure", "confident_errors", "suspected_label_errors", "behavior",
    }  # fmt: skip
    assert results["error_analysis"]["behavior"]["sentences"]["all"]["n"] >= 300
    plots = {file.name for file in (evaluated / "plots").iterdir()}
    assert plots == {"confusion.png", "reliability.png", "training.png"}
    with pytest.raises(RunError, match="python -m train export"):  # the only step left
        run_folder.check_complete(evaluated)


def test_card_examples_match_the_model(evaluated: Path) -> None:
    results = run_folder.load_results(evaluated)
    rendered = card.render(results, "user/toy")
    assert assert_card_tells_the_truth(rendered, evaluated) == len(results["examples"])


def test_metrics_match_the_saved_predictions(evaluated: Path) -> None:
    from pyarrow import parquet

    results = run_folder.load_results(evaluated)
    test = preparation.load(run_folder.load_recipe(evaluated))["test"]
    table = parquet.read_table(evaluated / "test-predictions.parquet")
    assert table.column_names == results["recipe"]["labels"]
    positive = np.array(table["POSITIVE"].to_pylist(), dtype=float)
    right = (positive > 0.5) == (np.array(test.labels) == 1)
    assert right.mean() == results["metrics"]["test"]["accuracy"]
    unsure = results["error_analysis"]["unsure"]
    config = json.loads((evaluated / "config.json").read_text(encoding="utf-8"))
    assert config["unsure_below"] == unsure["below"] == results["training"]["unsure_below"]


def test_row_results_match_the_metrics(evaluated: Path) -> None:
    results = run_folder.load_results(evaluated)
    rows = row_results.load(evaluated / row_results.FILE)
    assert row_results.FILE in published_files.public_files(evaluated)
    by_part = {part: (len(r), r["correct"].mean()) for part, r in rows.groupby("part")}
    behavior = results["error_analysis"]["behavior"]
    assert by_part == {
        **{part: tuple(behavior[part]["all"].values()) for part in ["sentences", "pairs"]},
        "test": (results["metrics"]["test"]["n"], results["metrics"]["test"]["accuracy"]),
    }
    assert set(rows["kind"][rows["part"] == "test"]) == {"reviews.csv"}
    assert rows["row"].is_unique


def test_missing_behavior_suite_is_an_error_before_any_work(
    fitted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load_missing() -> behavior_suite.Suite:
        return load(tmp_path / "none")

    load = behavior_suite.load
    monkeypatch.setattr(behavior_suite, "load", load_missing)
    with pytest.raises(DataError, match="restore .*sentences.jsonl from the repository"):
        training_run.fit(run_folder.load_recipe(fitted), tmp_path / "run")
    assert not list(tmp_path.iterdir())
    before = (fitted / "results.json").read_bytes()
    with pytest.raises(DataError, match="can't read the behavior suite"):
        training_run.evaluate(fitted)
    assert (fitted / "results.json").read_bytes() == before


def test_each_dataset_and_language_of_a_mixture_has_its_own_metrics(
    source: Path, tiny_base: Path, tmp_path: Path
) -> None:
    """With a vocabulary trimmed to both languages, as of the recipe `multilingual`."""
    rows = [{"text": f"short: {r['text']}", "label": r["label"]} for r in toy_reviews(40)]
    path = tmp_path / "short.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    settings = [*toy_settings(source, tiny_base), "epochs=1", "trim_vocabulary=true"]
    recipe = recipes.load("quickstart", settings)
    short = Dataset(source=str(path), label_map=LABEL_MAP, weight=0.5, language="fr")
    mixed = recipe.model_copy(
        update={"datasets": [recipe.datasets[0].model_copy(update={"group": None}), short]}
    )
    training_run.fit(mixed, tmp_path / "run")
    results = training_run.evaluate(tmp_path / "run")
    assert set(results["datasets"]) == {"0", "1"}
    parts = [results["datasets"][number]["n"] for number in "01"]
    assert sum(parts) == results["metrics"]["test"]["n"]
    assert parts[1] == 8
    rows = row_results.load(tmp_path / "run" / row_results.FILE)
    kinds = rows["kind"][rows["part"] == "test"].value_counts()
    assert kinds.to_dict() == {"reviews.csv": parts[0], "short.jsonl": parts[1]}
    by_language = results["slices"]["language"]
    assert [by_language[code]["n"] for code in ["en", "fr"]] == parts
    text = card.render(results, "user/toy")
    assert ModelCard(text).data.language == ["en", "fr"]
    trimmed, tokenizer = model.load(str(tmp_path / "run"))
    assert trimmed.config.text_languages == ["en", "fr"]
    whole = json.loads((tiny_base / "config.json").read_text("utf-8"))["vocab_size"]
    assert trimmed.config.vocab_size == len(tokenizer) < whole


def test_run_without_test_split_reports_validation(
    source: Path, tiny_base: Path, tmp_path: Path
) -> None:
    """The case of data whose test labels are secret."""
    settings = [*toy_settings(source, tiny_base), "epochs=1"]
    recipe = recipes.load("quickstart", [*settings, "datasets.splits=[train, validation]"])
    run = tmp_path / "run"
    training_run.fit(recipe, run)
    assert set(run_folder.load_results(run)["data"]["splits"]) == {"train", "validation"}
    with pytest.raises(RunError, match="python -m train evaluate"):
        run_folder.check_complete(run)
    results = training_run.evaluate(run)
    assert set(results["metrics"]) == {"validation"}
    rows = results["data"]["splits"]["validation"]["rows"]
    assert sum(band["n"] for band in results["slices"]["length_tokens"].values()) == rows
    assert (run / "validation-predictions.parquet").is_file()
    assert not (run / "test-predictions.parquet").exists()
    with pytest.raises(RunError, match="python -m train export"):  # the only step left
        run_folder.check_complete(run)
    text = card.render(results, "user/toy")
    assert "There are no test figures" in text
    assert "split: validation" in text


def test_run_on_a_run_records_its_origin(
    fitted: Path, source: Path, tiny_base: Path, tmp_path: Path
) -> None:
    settings = [*toy_settings(source, tiny_base), "epochs=1", f"base_model={fitted}", "name=next"]
    training_run.fit(recipes.load("quickstart", settings), tmp_path / "next")
    origin = run_folder.load_results(tmp_path / "next")["training"]["origin"]
    assert origin["base_model"] == tiny_base.name
    assert origin["runs"] == [run_folder.load_recipe(fitted).name]
    assert run_folder.load_results(fitted)["training"]["origin"] is None
    assert run_folder.lineage(run_folder.load_recipe(tmp_path / "next")) == [fitted]


def test_training_reviews_of_the_base_are_refused_in_validation(
    fitted: Path, source: Path, tiny_base: Path, tmp_path: Path
) -> None:
    settings = [*toy_settings(source, tiny_base), f"base_model={fitted}", "split_seed=1"]
    with pytest.raises(DataError, match="was trained on .* reviews that are now in validation"):
        training_run.fit(recipes.load("quickstart", settings), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_base_with_other_labels_may_know_validation_but_not_test(
    fitted: Path, source: Path, tiny_base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings, stars = toy_settings(source, tiny_base), ["1 star", "2 stars", "3 stars"]
    own, other = (
        preparation.load(recipes.load("quickstart", [*settings, f"split_seed={seed}"]))
        for seed in (0, 1)
    )
    with pytest.raises(DataError, match="was trained on"):
        preparation.check_unseen([fitted], other, stars)
    known = {**other, "test": own["test"]}
    with pytest.raises(DataError, match="was trained on"):
        preparation.check_unseen([fitted], known, run_folder.load_recipe(fitted).labels)
    preparation.check_unseen([fitted], known, stars)
    assert "validation figures may be too good" in capsys.readouterr().out


def test_base_is_compared_without_its_groups_and_patterns(
    fitted: Path, source: Path, tiny_base: Path, tmp_path: Path
) -> None:
    """As of the released model, where the user has IMDb from the Hub and no patterns."""
    base = shutil.copytree(fitted, tmp_path / "base")
    recipe, results = run_folder.load_recipe(base), run_folder.load_results(base)
    patterns = Dataset(source=str(tmp_path / "patterns"), splits=["train"])
    grouped = recipe.datasets[0].model_copy(update={"group": "movie"})
    step = Patterns(step="patterns", out=patterns.source)
    changes = {"datasets": [grouped, patterns], "requires": [step]}
    text = recipes.dump(recipe.model_copy(update=changes))
    (base / "recipe.yaml").write_text(text, encoding="utf-8")
    results["data"]["revision"] = [None, None]
    run_folder.save_results(base / "results.json", results)
    splits = preparation.load(recipes.load("quickstart", toy_settings(source, tiny_base)))
    new = Split([f"new {text}" for text in splits["test"].texts], splits["test"].labels)
    preparation.check_unseen([base], {"validation": new, "test": new}, recipe.labels)
    with pytest.raises(DataError, match="was trained on"):
        preparation.check_unseen([base], {"validation": new, "test": splits["train"]}, ["A", "B"])


def test_base_whose_training_reviews_are_missing_is_refused(
    fitted: Path, source: Path, tiny_base: Path, tmp_path: Path
) -> None:
    base = shutil.copytree(fitted, tmp_path / "base")
    recipe = run_folder.load_recipe(base)
    gone = recipe.datasets[0].model_copy(update={"source": str(tmp_path / "gone.csv")})
    text = recipes.dump(recipe.model_copy(update={"datasets": [gone]}))
    (base / "recipe.yaml").write_text(text, encoding="utf-8")
    settings = [*toy_settings(source, tiny_base), f"base_model={base}"]
    with pytest.raises(DataError, match="can't be read: .*gone.csv"):
        training_run.fit(recipes.load("quickstart", settings), tmp_path / "run")


def test_second_evaluate_changes_nothing(evaluated: Path) -> None:
    def content() -> dict[Path, bytes]:
        return {file: file.read_bytes() for file in evaluated.rglob("*") if file.is_file()}

    before = content()
    training_run.evaluate(evaluated)
    assert content() == before


def test_published_files_contain_no_local_path(
    evaluated: Path, source: Path, tiny_base: Path
) -> None:
    files = published_files.public_files(evaluated)
    assert not [name for name in files if name.startswith("checkpoints")]
    assert {*run_folder.MODEL_FILES, "recipe.yaml", "results.json"} <= set(files)
    for name, file in files.items():
        content = file if isinstance(file, bytes) else file.read_bytes()
        for path in (source, tiny_base):
            assert str(path.parent).encode() not in content, name


def test_card_contains_no_local_path(evaluated: Path) -> None:
    text = card.render(run_folder.load_results(evaluated), "user/toy")
    assert str(evaluated.parent) not in text
    assert "reviews.csv" in text


def test_transformers_pipeline_matches_evaluate(evaluated: Path) -> None:
    import transformers

    classify = transformers.pipeline("sentiment-analysis", model=str(evaluated))
    test = preparation.load(run_folder.load_recipe(evaluated))["test"]
    answers = classify(list(test.texts))
    predicted = [classify.model.config.label2id[answer["label"]] for answer in answers]
    right = sum(ours == label for ours, label in zip(predicted, test.labels, strict=True))
    assert right / len(test) == run_folder.load_results(evaluated)["metrics"]["test"]["accuracy"]
    scored = training_run.score(*model.load(str(evaluated)), test)
    confidence = torch.from_numpy(scored["logits"]).softmax(dim=1).max(dim=1).values
    assert [answer["score"] for answer in answers] == pytest.approx(confidence.tolist(), abs=1e-5)


def test_evaluate_refuses_changed_reviews(source: Path, tiny_base: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.csv"
    own.write_text(source.read_text(encoding="utf-8"), encoding="utf-8")
    settings = [*toy_settings(own, tiny_base), "epochs=1"]
    training_run.fit(recipes.load("quickstart", settings), tmp_path / "run")
    with own.open("a", encoding="utf-8") as stream:
        for row in toy_reviews(60):
            stream.write(f"a sequel: {row['text'].replace(',', '')},{row['label']},sequel\n")
    with pytest.raises(RunError, match="the test reviews differ from those that .* recorded"):
        training_run.evaluate(tmp_path / "run")


def test_evaluate_before_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is not a run folder"):
        training_run.evaluate(tmp_path)


def test_evaluate_elsewhere_reads_any_dataset(fitted: Path, tmp_path: Path) -> None:
    rows = [{"body": row["text"], "verdict": row["label"]} for row in toy_reviews(30)]
    path = tmp_path / "other.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    dataset = Dataset(source=str(path), text="body", label="verdict", label_map=LABEL_MAP)
    results = training_run.evaluate_elsewhere(str(fitted), None, dataset, "train", max_rows=20)
    assert results["metrics"]["train"]["n"] == 20
    assert results["metrics"]["train"]["accuracy"] >= 0.9
    again = training_run.evaluate_elsewhere(str(fitted), None, dataset, "train", max_rows=20)
    assert again["data"] == results["data"]


def test_evaluate_elsewhere_reports_missing_model(source: Path, tmp_path: Path) -> None:
    dataset = Dataset(source=str(source), label_map=LABEL_MAP)
    with pytest.raises(ModelError, match="no model at"):
        training_run.evaluate_elsewhere(str(tmp_path), None, dataset, "train", max_rows=None)


def test_second_fit_keeps_the_first_run(source: Path, tiny_base: Path, tmp_path: Path) -> None:
    settings = [*toy_settings(source, tiny_base), "epochs=1"]
    for seed in (0, 1):
        recipe = recipes.load("quickstart", [*settings, f"seed={seed}"])
        training_run.fit(recipe, tmp_path / "run")
    [backup] = tmp_path.glob("run-*")
    assert run_folder.load_results(backup)["recipe"]["seed"] == 0
    assert run_folder.load_results(tmp_path / "run")["recipe"]["seed"] == 1


def test_missing_base_model_leaves_earlier_run_unchanged(source: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    good = recipes.load("quickstart", toy_settings(source, "base"))
    run_folder.prepare(folder, good)
    (folder / "results.json").write_text("{}", encoding="utf-8")
    missing = recipes.load("quickstart", toy_settings(source, tmp_path / "no-such-base"))
    with pytest.raises(ModelError, match="no-such-base"):
        training_run.fit(missing, folder)
    assert (folder / "results.json").exists()


def test_disk_is_checked_before_training(
    source: Path, tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1))
    with pytest.raises(RunError, match="free some, or choose another disk with --out"):
        training_run.fit(
            recipes.load("quickstart", toy_settings(source, tiny_base)), tmp_path / "run"
        )
    assert not (tmp_path / "run/checkpoints").exists()


SENTENCE = """<sentence><text>take {} was {}</text><aspectCategories>
<aspectCategory category="songs" polarity="{}"/><aspectCategory category="end" polarity="neutral"/>
</aspectCategories></sentence>"""


def test_recipe_of_mams_trains_on_the_authors_files(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Converted by the code in docs/data.md."""
    words = {"negative": "dreadful", "neutral": "number", "positive": "wonderful"}
    raw = tmp_path / "MAMS-for-ABSA/data/MAMS-ACSA/raw"
    raw.mkdir(parents=True)
    for split, count in [("train", 20), ("val", 5), ("test", 5)]:
        rows = [SENTENCE.format(f"{split} {i}", words[p], p) for i in range(count) for p in words]
        (raw / f"{split}.xml").write_text(f"<sentences>{''.join(rows)}</sentences>")
    monkeypatch.chdir(tmp_path)
    pages = (REPOSITORY / "docs/data.md").read_text(encoding="utf-8")
    exec(pages.partition("```python\n")[2].partition("```")[0], {})
    settings = [f"base_model={tiny_base}", "base_revision=null", "precision=fp32", "epochs=1"]
    settings += ["max_tokens=64", "max_position_embeddings=64", "batch_tokens=256"]
    training_run.fit(recipes.load("aspects-mams", settings), tmp_path / "run")
    results = training_run.evaluate(tmp_path / "run")
    assert len(results["metrics"]["test"]["confusion"]) == 3
    rows_of = {name: split["rows"] for name, split in results["data"]["splits"].items()}
    assert rows_of == {"train": 120, "validation": 30, "test": 30}
    assert {name: part["n"] for name, part in results["slices"]["aspect"].items()} == {
        "songs": 15, "end": 15,
    }  # fmt: skip
    rendered = card.render(results, "user/aspects")
    assert '"text_pair"' in rendered
    assert assert_card_tells_the_truth(rendered, tmp_path / "run") == len(results["examples"])
    import transformers

    classify = transformers.pipeline("sentiment-analysis", model=str(tmp_path / "run"))
    assert classify({"text": "wonderful", "text_pair": "songs"})["label"] in words
    # The app and `score`, which read single texts, recognize such a model.
    assert json.loads((tmp_path / "run/config.json").read_text("utf-8"))["text_pairs"] is True
    to = ["--to", "user/a", "--space", "user/a"]
    recipe = ["aspects-mams", *(part for setting in settings for part in ["--set", setting])]
    for arguments in [["publish", str(tmp_path / "run")], ["run", *recipe]]:
        with pytest.raises(RunError, match="classifies pairs .* omit --space"):
            command_line.app([*arguments, *to], standalone_mode=False)


def test_predictions_do_not_depend_on_the_batch(fitted: Path) -> None:
    test = preparation.load(run_folder.load_recipe(fitted))["test"]
    together = training_run.score(*model.load(str(fitted)), test)["logits"]
    classifier, tokenizer = model.load(str(fitted))
    tokens = encode(tokenizer, test)
    alone = metrics.predict(classifier, tokens, tokenizer.pad_token_id, batch_tokens=16)
    assert abs(alone - together).max() < 1e-4


def test_validation_metrics_of_bf16_training_match_fp32_inference(
    toy_csv: Path, tiny_base: Path, tmp_path: Path
) -> None:
    """Trains in a subprocess, because accelerate keeps one precision per process."""
    settings = [*toy_settings(toy_csv, tiny_base), "precision=bf16", "epochs=1"]
    options = [part for setting in settings for part in ("--set", setting)]
    run = tmp_path / "run"
    run_train("fit", "quickstart", "--out", run, *options).check_returncode()
    validation = preparation.load(recipes.load("quickstart", settings))["validation"]
    again = training_run.score(*model.load(str(run)), validation)["metrics"]
    assert again["nll"] == pytest.approx(
        run_folder.load_results(run)["metrics"]["validation"]["nll"], abs=1e-6
    )


def test_temperature_is_weighted_by_the_test_mixture() -> None:
    splits = {
        "validation": Split([""] * 4, [0] * 4, datasets=[0, 0, 1, 2]),
        "test": Split([""] * 5, [0] * 5, datasets=[0, 0, 0, 0, 1]),
    }
    assert training_run._test_mixture_weights(splits).tolist() == [2, 2, 1, 0]
    splits["test"] = Split([""], [0], datasets=[3])
    assert training_run._test_mixture_weights(splits) is None
    logits = np.array([[0, 2], [0, 2], [0, 1], [1, 0]], dtype=np.float32)
    labels = np.array([1, 0, 1, 1])
    twice = metrics.fit_temperature(logits[[0, 0, 1, 2, 3]], labels[[0, 0, 1, 2, 3]])
    weights = np.array([2, 1, 1, 1], dtype=np.float32)
    assert metrics.fit_temperature(logits, labels, weights) == pytest.approx(twice, rel=1e-3)


def test_targets_are_label_probabilities() -> None:
    labels = ["A", "B", "C"]
    hard = Split(["a", "b"], [1, 0])
    assert training_run._targets(hard, labels, None).tolist() == [1, 0]
    soft = Split(["a", "b"], [1, 0], probabilities=[(0.125, 0.75, 0.125), None])
    targets = training_run._targets(soft, labels, None)
    assert targets.tolist() == [[0.125, 0.75, 0.125], [1, 0, 0]]
    assert targets.dtype == np.float32


def test_recipe_trains_on_label_probabilities(
    source: Path, tiny_base: Path, tmp_path: Path
) -> None:
    """Wrong labels with a probability of 51% do little harm."""
    plain = recipes.load("quickstart", toy_settings(source, tiny_base))
    train = preparation.load(plain)["train"]
    wrong = [
        {"text": f"{text} Again.", "label": plain.labels[1 - number]}
        for text, number in zip(train.texts, train.labels, strict=True)
    ]
    file = tmp_path / "wrong.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in wrong), encoding="utf-8")
    values = plain.model_dump()
    label_map = {label: {label: 0.51} for label in plain.labels}
    values["datasets"].append({"source": str(file), "splits": ["train"], "label_map": label_map})
    training_run.fit(recipes.parse(values), tmp_path / "soft")
    accuracy = run_folder.load_results(tmp_path / "soft")["metrics"]["validation"]["accuracy"]
    assert accuracy > 0.9  # with certain labels it would be near 0.5
