"""Training and evaluation of one run.

In: a recipe, or the run folder of a trained model. Out: files in the run folder. `fit` writes the
model with its validation metrics, `evaluate` adds test metrics, error analysis and plots.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from space.inference.labels import label_values
from train import environment, run_folder
from train.augmentation import distillation as teacher_probabilities
from train.data import preparation, sources
from train.data.splits import Split
from train.data.tokens import Tokens, encode
from train.evaluation import behavior_suite, error_analysis, metrics, plots, row_results
from train.modeling import devices, model, training
from train.modeling.resolve import resolve, start_run
from train.publishing import examples
from train.recipe import Recipe
from train.sections import Dataset, Distillation, public_name

MAX_ASPECTS = 50  # second texts that config.json lists


def fit(
    recipe: Recipe,
    folder: Path,
    *,
    resume: bool = False,
    after_checkpoint: Callable[[Path], None] | None = None,
) -> None:
    """Train a calibrated model and write it, with validation metrics, to a run folder.

    Args:
        recipe: The recipe.
        folder: The run folder; an earlier run in it is renamed.
        resume: Continue the run in the folder from its newest checkpoint.
        after_checkpoint: Called with the folder of each checkpoint.

    Raises:
        TrainError: Most errors are raised before the training, the cheapest checks first.
    """
    for dataset in recipe.datasets:
        sources.check_exists(dataset)
    behavior_suite.load()  # `evaluate` needs it, and for aspects the second
    behavior_suite.load_aspects()
    if resume:
        run_folder.check_resumable(folder, recipe)
    resolved = resolve(recipe, folder, resume=resume)
    accelerator = devices.accelerator_for(resolved.precision)
    with accelerator.main_process_first():
        splits = preparation.load(resolved)
        preparation.check_unseen(run_folder.lineage(recipe), splits, recipe.labels)
        train = splits["train"]
        classifier, tokenizer = model.build(resolved, [*train.texts, *(train.pairs or [])])
    environment.check_disk(folder, needed_bytes=8 * 4 * classifier.num_parameters())
    start_run(recipe, resolved, folder, accelerator, resume=resume)
    tokens = {name: encode(tokenizer, splits[name], name) for name in ["train", "validation"]}
    cut = {name: t.truncate(recipe.max_tokens, recipe.truncation) for name, t in tokens.items()}
    targets = _targets(splits["train"], recipe.labels, recipe.distillation)
    cut["train"] = replace(cut["train"], labels=targets)
    progress = training.fit(
        classifier, recipe, accelerator, cut["train"], cut["validation"], tokenizer.pad_token_id,
        folder, weights=_row_weights([d.weight for d in recipe.datasets], splits["train"]),
        resume=resume, after_checkpoint=after_checkpoint,
    )  # fmt: skip
    if accelerator.is_main_process:
        calibration, validation_metrics = _calibrate(
            classifier, tokens["validation"], tokenizer.pad_token_id, _test_mixture_weights(splits),
            recipe.values, splits["validation"].ratings,
        )  # fmt: skip
        if second_texts := splits["train"].pairs:
            classifier.config.aspects = _aspects(second_texts)
        model.save(classifier, tokenizer, folder)
        statistics = training.statistics(progress, accelerator) | calibration
        statistics |= {"parameters": classifier.num_parameters(), **_describe_base(resolved)}
        data = _describe_data(resolved.datasets, splits)
        device = devices.device_name(accelerator)
        _save_first_results(recipe, folder, data, statistics, validation_metrics, device)
    accelerator.wait_for_everyone()


def _aspects(second_texts: Sequence[str]) -> list[str]:
    """The distinct second texts, for `config.json`; none if there are too many to be a list."""
    aspects = list(dict.fromkeys(second_texts))
    return aspects if len(aspects) <= MAX_ASPECTS else []


def _save_first_results(
    recipe: Recipe,
    folder: Path,
    data: dict[str, Any],
    statistics: dict[str, Any],
    validation_metrics: dict[str, Any],
    device: str,
) -> None:
    """Write results.json; `evaluate` and `export` add what is still empty."""
    results = {
        "recipe": recipe.model_dump(),
        "environment": environment.describe(device),
        "data": data,
        "training": statistics,
        "metrics": {"validation": validation_metrics},
        "slices": {},
        "export": {},
    }
    run_folder.save_results(folder / "results.json", results)


def _calibrate(
    classifier: Any,
    tokens: Tokens,
    pad_id: int,
    weights: Any,
    values: list[float] | None,
    ratings: Any,
) -> tuple[dict[str, float], dict[str, Any]]:
    """Fit temperature and abstention threshold on validation, and store both in the model.

    Args:
        classifier: The trained model; the temperature is folded into its last layer.
        tokens: The validation reviews, with labels.
        pad_id: The id of the padding token.
        weights: The weight of each review, (reviews,); None for equal weights.
        values: The numbers of ordered labels; within one step of it, a label counts as right.
        ratings: See `metrics.metrics`.

    Returns:
        `temperature` and `unsure_below`; the validation metrics of the calibrated model.
    """
    logits = _logits(classifier, tokens, pad_id, "validation")
    temperature = metrics.fit_temperature(logits, tokens.labels, weights)
    logits = logits / temperature
    model.fold_temperature(classifier, temperature)
    unsure_below = error_analysis.unsure_below(logits, tokens.labels, int(values is not None))
    classifier.config.unsure_below = unsure_below
    calibration = {"temperature": temperature, "unsure_below": unsure_below}
    return calibration, metrics.metrics(logits, tokens.labels, values, ratings)


def evaluate(folder: Path) -> dict[str, Any]:
    """Score the test split of a run; adds metrics, slices, error analysis and plots to the folder.

    `test-predictions.parquet` gets the probability of each label, `row-results.parquet` whether
    each row of the split and of the behavior suite is right. Without a test split, all this is
    done for validation, under that name.

    Returns:
        The contents of results.json.

    Raises:
        RunError: The folder has no trained run, or the reviews have changed since.
    """
    recipe, results = run_folder.load_recipe(folder), run_folder.load_results(folder)
    suite, name = behavior_suite.load(), recipe.evaluation_split
    test = preparation.load(run_folder.load_pinned_recipe(folder))[name]
    run_folder.check_split(folder, name, test.sha256())
    classifier, tokenizer = model.load(str(folder))
    scored = score(classifier, tokenizer, test, name, recipe.values)
    logits, labels = scored["logits"], scored["labels"]
    results["evaluation"] = environment.code()
    results["metrics"][name] = scored["metrics"]
    results["slices"] = scored["slices"]
    if len(recipe.datasets) > 1:
        results["datasets"] = _metrics_by_dataset(logits, labels, test, recipe.values)

    def predict(texts: Sequence[str], pairs: Sequence[str] | None = None) -> metrics.FloatArray:
        split = Split(list(texts), [0] * len(texts), list(pairs) if pairs else None)
        return _logits(
            classifier, encode(tokenizer, split, "texts"), tokenizer.pad_token_id, "texts"
        )

    threshold = results["training"]["unsure_below"]
    if recipe.has_pairs:
        passed = behavior_suite.run_aspects(predict, recipe.labels, behavior_suite.load_aspects())
    else:
        passed = behavior_suite.run(predict, recipe.labels, suite)
    results["error_analysis"] = _analyze_errors(recipe, logits, labels, threshold, test, predict)
    results["error_analysis"]["behavior"] = behavior_suite.pass_rates(passed)
    results["examples"] = _examples(predict, recipe, threshold)
    metrics.save_predictions(folder / f"{name}-predictions.parquet", logits, recipe.labels)
    names = [public_name(dataset.source, dataset.is_local) for dataset in recipe.datasets]
    is_right = logits.argmax(axis=1) == labels
    rows = _row_results(name, test, names, recipe.labels, is_right)
    row_results.save(folder / row_results.FILE, passed + rows)
    plots.save(folder / "plots", results, logits, labels, name)
    run_folder.save_results(folder / "results.json", results)
    return results


def _analyze_errors(
    recipe: Recipe,
    logits: metrics.FloatArray,
    labels: Any,
    threshold: float,
    test: Split,
    predict: Callable[[Sequence[str]], metrics.FloatArray],
) -> dict[str, Any]:
    """`unsure`, `confident_errors` and `suspected_label_errors`; see `error_analysis`."""
    tolerance = int(recipe.ordered)
    errors = error_analysis.confident_errors(logits, labels, tolerance)
    suspected = (
        {}
        if recipe.has_pairs
        else error_analysis.suspected_label_errors(errors, test.texts, predict)
    )
    return {
        "unsure": error_analysis.abstention(logits, labels, threshold, tolerance),
        "confident_errors": errors,
        "suspected_label_errors": suspected,
    }


def _row_results(
    name: str, split: Split, datasets: list[str], labels: list[str], is_right: Any
) -> list[row_results.RowResult]:
    """The result of each row of a split; `datasets` has the public names of the datasets."""
    kinds = [datasets[number] for number in split.datasets or [0] * len(split)]
    ids = [
        row_results.row_id(*key, labels[label])
        for key, label in zip(split.keys(), split.labels, strict=True)
    ]
    return [
        row_results.RowResult(name, kind, row, bool(correct))
        for kind, row, correct in zip(kinds, ids, is_right, strict=True)
    ]


def _examples(predict: examples.Predict, recipe: Recipe, unsure_below: float) -> list[Any]:
    if examples.LANGUAGE not in recipe.languages:
        return []
    return examples.select(predict, recipe.labels, recipe.has_pairs, unsure_below)


def evaluate_elsewhere(
    source: str, revision: str | None, dataset: Dataset, split: str, max_rows: int | None
) -> dict[str, Any]:
    """Evaluate any model on any labeled dataset.

    Args:
        source: A folder or a Hub id of a model.
        revision: Commit or tag of a Hub model.
        dataset: The dataset.
        split: Its split.
        max_rows: Evaluate at most this many rows, sampled at random.

    Returns:
        `model`, `environment`, `data`, `metrics` and `slices`, as in results.json.
    """
    dataset = dataset.model_copy(update={"revision": sources.revision(dataset)})
    classifier, tokenizer = model.load(source, revision)
    labels = [classifier.config.id2label[i] for i in range(classifier.config.num_labels)]
    rows = preparation.read_split(dataset, split, labels, max_rows)
    scored = score(classifier, tokenizer, rows, split, label_values(labels))
    return {
        "model": {"source": source, "revision": model.commit(source, revision)},
        "environment": environment.describe(str(classifier.device)),
        "data": {"dataset": dataset.model_dump(), "split": split, **_describe_split(rows)},
        "metrics": {split: scored["metrics"]},
        "slices": scored["slices"],
    }


def score(
    classifier: Any,
    tokenizer: Any,
    split: Split,
    name: str = "test",
    values: list[float] | None = None,
) -> dict[str, Any]:
    """Score a split; `values` are those of `metrics.metrics`.

    Returns:
        `logits`, (reviews, labels); `labels`, (reviews,); `metrics` and `slices`.
    """
    model.to_device(classifier)
    tokens = encode(tokenizer, split, name)
    logits = _logits(classifier, tokens, tokenizer.pad_token_id, name)
    right = logits.argmax(axis=1) == tokens.labels
    return {
        "logits": logits,
        "labels": tokens.labels,
        "metrics": metrics.metrics(logits, tokens.labels, values, split.ratings),
        "slices": error_analysis.slices(split.texts, tokens.lengths, split.slice_columns, right),
    }


def _logits(classifier: Any, tokens: Tokens, pad_id: int, name: str) -> metrics.FloatArray:
    """Logits, (reviews, labels); a too long text is truncated to its beginning and end."""
    cut = tokens.truncate(model.max_tokens(classifier), "head_tail")
    return metrics.predict(classifier, cut, pad_id, name=name)


def _metrics_by_dataset(
    logits: metrics.FloatArray, labels: Any, split: Split, values: list[float] | None
) -> dict[str, dict[str, Any]]:
    """The metrics of each dataset, by its number in the recipe."""
    numbers = np.array(split.datasets)
    ratings = None if split.ratings is None else np.array(split.ratings)
    return {
        str(number): metrics.metrics(
            logits[rows], labels[rows], values, None if ratings is None else ratings[rows]
        )
        for number in sorted(set(numbers.tolist()))
        for rows in [numbers == number]
    }


def _describe_data(datasets: list[Dataset], splits: dict[str, Split]) -> dict[str, Any]:
    """The `data` section of results.json."""
    return {
        "repo": [dataset.source for dataset in datasets],
        "local": [dataset.is_local for dataset in datasets],
        "revision": [dataset.revision for dataset in datasets],
        "splits": {name: _describe_split(split) for name, split in splits.items() if len(split)},
    }


def _row_weights(dataset_weights: list[float], train: Split) -> Any:
    """The weight of each training row, (rows,); None if all are 1."""
    weights = np.array([dataset_weights[number] for number in train.datasets or []])
    return None if (weights == 1).all() else weights


def _targets(train: Split, labels: list[str], distillation: Distillation | None) -> Any:
    """The labels that `losses.classification_loss` takes, of every row."""
    numbers = np.array(train.labels)
    if train.probabilities is None and distillation is None:
        return numbers
    is_label = np.arange(len(labels)) == numbers[:, None]
    probabilities = is_label.astype(np.float32)  # (rows, labels)
    for row, soft_label in enumerate(train.probabilities or []):
        if soft_label:
            probabilities[row] = soft_label
    if distillation is None:
        return probabilities
    file = Path(distillation.probabilities)
    return teacher_probabilities.targets(train, probabilities, file, labels)


def _test_mixture_weights(splits: dict[str, Split]) -> Any:
    """Weights of the validation reviews, (rows,), that give each dataset its share of the test."""
    validation, test = splits["validation"].datasets, splits["test"].datasets
    if validation is None or test is None:
        return None
    size = 1 + max(*validation, *test)
    counts = [np.bincount(split, minlength=size) for split in (validation, test)]
    weights = (counts[1] / np.maximum(counts[0], 1))[validation]
    return weights if weights.any() else None


def _describe_split(split: Split) -> dict[str, Any]:
    return {"rows": len(split), "sha256": split.sha256(), "dropped": split.dropped}


def _describe_base(recipe: Recipe) -> dict[str, Any]:
    """What the model was trained from, for the `training` section of results.json."""
    return {
        "base_revision": recipe.base_revision,
        "base_is_local": recipe.base_is_local,
        "origin": _describe_origin(recipe),
    }


def _describe_origin(recipe: Recipe) -> dict[str, Any] | None:
    """The first base model and the runs since, if the base model is a run; None otherwise."""
    folders = reversed(run_folder.lineage(recipe))
    runs = [run_folder.load_pinned_recipe(folder) for folder in folders]
    if not runs:
        return None
    first = runs[0]
    datasets = [dataset for run in runs for dataset in run.datasets]
    return {
        "base_model": public_name(first.base_model, first.base_is_local),
        "base_revision": first.base_revision,
        "base_is_local": first.base_is_local,
        "runs": [run.name for run in runs],
        "datasets": sorted({dataset.source for dataset in datasets if not dataset.is_local}),
    }
