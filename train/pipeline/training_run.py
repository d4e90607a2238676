"""The stages of a run: each reads a run folder and writes into it.

`fit` makes the model, `evaluate` adds the test figures, the plots and the card.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from train import environment, run_folder
from train.augmentation import distillation
from train.data import preparation, sources
from train.data.tokens import Tokens, encode
from train.evaluation import error_analysis, metrics, row_results
from train.modeling import model, training
from train.modeling.resolve import resolve, store
from train.publishing import examples
from train.recipe import Dataset, Recipe, shown

if TYPE_CHECKING:
    from accelerate import Accelerator

    from train.data.preparation import Split
    from train.modeling.checkpoints import Progress


def fit(
    recipe: Recipe,
    folder: Path,
    *,
    resume: bool = False,
    after_checkpoint: Callable[[Path], None] | None = None,
) -> None:
    """Reviews to a calibrated model with validation figures, in a run folder.

    What can fail cheaply comes first: precision, data and disk before the base model's download
    and long before training.
    """
    error_analysis.load_suite()  # `evaluate` needs it
    base = run_folder.with_adapted_base(recipe, folder)
    if resume:
        run_folder.check_resumable(folder, recipe)
    resolved = resolve(base, folder, resume=resume)
    accelerator = training.accelerator_for(resolved)
    with accelerator.main_process_first():
        splits = preparation.load(resolved)
        preparation.check_unseen(run_folder.lineage(recipe), splits)
        classifier, tokenizer = model.build(resolved)
    run_folder.check_disk(folder, needed_bytes=8 * 4 * classifier.num_parameters())
    if accelerator.is_main_process:
        if not resume:
            run_folder.prepare(folder, recipe)
        store(resolved, folder)
    accelerator.wait_for_everyone()
    whole = {name: encode(tokenizer, splits[name], name) for name in ["train", "validation"]}
    cut = {name: t.truncate(recipe.max_tokens, recipe.truncation) for name, t in whole.items()}
    cut["train"] = replace(cut["train"], labels=_targets(splits["train"], recipe))
    progress = training.fit(
        classifier,
        recipe,
        accelerator,
        cut["train"],
        cut["validation"],
        tokenizer.pad_token_id,
        folder,
        weights=_weights(recipe, splits["train"]),
        resume=resume,
        after_checkpoint=after_checkpoint,
    )
    if accelerator.is_main_process:
        pad_id = tokenizer.pad_token_id
        logits = _logits(classifier, whole["validation"], pad_id, "validation")
        labels = whole["validation"].labels
        temperature = metrics.fit_temperature(logits, labels, _as_in_test(splits))
        model.fold_temperature(classifier, temperature)
        unsure_below = error_analysis.unsure_below(logits / temperature, labels)
        classifier.config.unsure_below = unsure_below  # for whoever shows the answers
        model.save(classifier, tokenizer, folder)
        results = {
            "recipe": recipe.model_dump(),
            "environment": environment.describe(device_name(accelerator)),
            "data": _data(resolved, splits),
            "training": training_figures(progress, accelerator)
            | {"parameters": classifier.num_parameters(), "temperature": temperature}
            | {"unsure_below": unsure_below}
            | _base(recipe, resolved, folder),
            "metrics": {"validation": metrics.metrics(logits / temperature, labels)},
            "slices": {},
            "export": {},
        }
        run_folder.save_results(folder / "results.json", results)
    accelerator.wait_for_everyone()


def evaluate(folder: Path) -> dict[str, Any]:
    """Score the test split of a run; adds metrics, slices, weaknesses and plots to the folder.

    `test-predictions.parquet` gets the probability of each label for each row of the split,
    `row-results.parquet` which rows of the split and of the behaviour suite are right. A
    recipe without a test split has all this of validation, under that name.
    """
    recipe, results = run_folder.load_recipe(folder), run_folder.load_results(folder)
    suite, name = error_analysis.load_suite(), recipe.evaluation_split
    test = preparation.load(run_folder.as_read(folder))[name]
    run_folder.check_split(folder, name, test.sha256())
    classifier, tokenizer = model.load(str(folder))
    scored = score(classifier, tokenizer, test, name)
    logits, labels = scored["logits"], scored["labels"]
    results["metrics"][name] = scored["metrics"]
    results["slices"] = scored["slices"]
    if len(recipe.datasets) > 1:
        results["datasets"] = _by_dataset(logits, labels, test.datasets or [])

    def predict(texts: Sequence[str], pairs: Sequence[str] | None = None) -> metrics.FloatArray:
        split = preparation.Split(list(texts), [0] * len(texts), list(pairs) if pairs else None)
        return _logits(
            classifier, encode(tokenizer, split, "texts"), tokenizer.pad_token_id, "texts"
        )

    errors = error_analysis.confident_errors(logits, labels)
    passed = [] if recipe.has_pairs else error_analysis.behaviour(predict, recipe.labels, suite)
    results["weaknesses"] = {
        "unsure": error_analysis.band(logits, labels, results["training"]["unsure_below"]),
        "confident_errors": errors,
        "suspected_label_errors": {}
        if recipe.has_pairs
        else error_analysis.suspected_label_errors(errors, test.texts, predict),
        "behaviour": error_analysis.pass_rates(passed),
    }
    results["examples"] = _examples(predict, recipe, results["training"]["unsure_below"])
    metrics.save_predictions(folder / f"{name}-predictions.parquet", logits, recipe.labels)
    measured = _row_results(name, test, recipe, logits.argmax(axis=1) == labels)
    row_results.save(folder / row_results.FILE, passed + measured)
    metrics.plot(folder / "plots", results, logits, labels, name)
    run_folder.save_results(folder / "results.json", results)
    return results


def _row_results(
    name: str, split: "Split", recipe: Recipe, right: Any
) -> list[row_results.RowResult]:
    names = [shown(dataset.source, dataset.is_local) for dataset in recipe.datasets]
    kinds = [names[number] for number in split.datasets or [0] * len(split)]
    ids = [
        row_results.row_id(*key, recipe.labels[label])
        for key, label in zip(split.keys(), split.labels, strict=True)
    ]
    return [
        row_results.RowResult(name, kind, row, bool(correct))
        for kind, row, correct in zip(kinds, ids, right, strict=True)
    ]


def _examples(predict: examples.Predict, recipe: Recipe, unsure_below: float) -> list[Any]:
    if recipe.language != examples.LANGUAGE:
        return []
    return examples.choose(predict, recipe.labels, recipe.has_pairs, unsure_below)


def evaluate_elsewhere(
    source: str, revision: str | None, dataset: Dataset, split: str, most: int | None
) -> dict[str, Any]:
    """Figures of a model, from a folder or the Hub, on a dataset it may never have seen."""
    dataset = dataset.model_copy(update={"revision": sources.revision(dataset)})
    classifier, tokenizer = model.load(source, revision)
    labels = [classifier.config.id2label[i] for i in range(classifier.config.num_labels)]
    found = preparation.read_split(dataset, split, labels, most)
    scored = score(classifier, tokenizer, found, split)
    return {
        "model": {"source": source, "revision": model.commit(source, revision)},
        "environment": environment.describe(str(classifier.device)),
        "data": {"dataset": dataset.model_dump(), "split": split, **_described(found)},
        "metrics": {split: scored["metrics"]},
        "slices": scored["slices"],
    }


def device_name(accelerator: "Accelerator") -> str:
    """The accelerator's device in words, with the number of processes where there are several."""
    name = environment.cpu()["cpu"]
    if accelerator.device.type == "cuda":
        name = torch.cuda.get_device_name()
    processes = f", {accelerator.num_processes} processes" if accelerator.num_processes > 1 else ""
    return f"{accelerator.device.type}: {name}{processes}"


def score(classifier: Any, tokenizer: Any, split: "Split", name: str = "test") -> dict[str, Any]:
    """A model's logits on a split, with metrics and slices."""
    model.to_device(classifier)
    tokens = encode(tokenizer, split, name)
    logits = _logits(classifier, tokens, tokenizer.pad_token_id, name)
    right = logits.argmax(axis=1) == tokens.labels
    return {
        "logits": logits,
        "labels": tokens.labels,
        "metrics": metrics.metrics(logits, tokens.labels),
        "slices": metrics.slices(logits, tokens)
        | error_analysis.slices(split.texts, split.slice_columns, right),
    }


def _logits(classifier: Any, tokens: Tokens, pad_id: int, name: str) -> metrics.FloatArray:
    """Of whole texts; of one beyond the model's reach, of its beginning and end."""
    cut = tokens.truncate(model.max_tokens(classifier), "head_tail")
    return metrics.predict(classifier, cut, pad_id, name=name)


def _by_dataset(
    logits: metrics.FloatArray, labels: Any, numbers: list[int]
) -> dict[str, dict[str, Any]]:
    """The figures of each dataset that has test reviews, by its number in the recipe."""
    each = np.array(numbers)
    return {
        str(number): metrics.metrics(logits[each == number], labels[each == number])
        for number in sorted(set(numbers))
    }


def _data(recipe: Recipe, splits: "dict[str, Split]") -> dict[str, Any]:
    return {
        "repo": [dataset.source for dataset in recipe.datasets],
        "local": [dataset.is_local for dataset in recipe.datasets],
        "revision": [dataset.revision for dataset in recipe.datasets],
        "splits": {name: _described(split) for name, split in splits.items() if len(split)},
    }


def _weights(recipe: Recipe, train: "Split") -> Any:
    """How often an epoch meets each training row, (rows,); None where all are met once."""
    found = np.array([recipe.datasets[number].weight for number in train.datasets or []])
    return None if (found == 1).all() else found


def _targets(train: "Split", recipe: Recipe) -> Any:
    """The labels that `loop.classification` takes, of every row."""
    numbers, labels = np.array(train.labels), len(recipe.labels)
    if train.confidences is None and recipe.distillation is None:
        return numbers
    sure = np.array(train.confidences or [1.0] * len(train), dtype=np.float32)[:, None]
    own = np.where(np.arange(labels) == numbers[:, None], sure, (1 - sure) / (labels - 1))
    if recipe.distillation is None:
        return own
    return distillation.targets(train, own, Path(recipe.distillation.probabilities), recipe.labels)


def _as_in_test(splits: "dict[str, Split]") -> Any:
    """What each validation review counts, (rows,), that each dataset counts as it does in test."""
    validation, test = splits["validation"].datasets, splits["test"].datasets
    if validation is None or test is None:
        return None
    size = 1 + max(*validation, *test)
    counts = [np.bincount(split, minlength=size) for split in (validation, test)]
    found = (counts[1] / np.maximum(counts[0], 1))[validation]
    return found if found.any() else None


def _described(split: "Split") -> dict[str, Any]:
    return {"rows": len(split), "sha256": split.sha256(), "dropped": split.dropped}


def training_figures(progress: "Progress", accelerator: "Accelerator") -> dict[str, Any]:
    """What a training has to tell, of whatever it trained."""
    progress.note_memory(accelerator.device)
    precision = accelerator.mixed_precision
    return {
        "history": progress.history,
        "updates": progress.step,
        "seconds": progress.seconds,
        "tokens_per_second": progress.tokens / progress.seconds,
        "precision": "fp32" if precision == "no" else precision,
        "peak_memory_mb": progress.peak_memory_mb,
    }


def _base(recipe: Recipe, resolved: Recipe, folder: Path) -> dict[str, Any]:
    """What the model was made from."""
    adapted, base_revision = None, resolved.base_revision
    if recipe.adaptation:
        whole = run_folder.load_results(run_folder.adapted_folder(folder))
        base_revision = run_folder.as_read(run_folder.adapted_folder(folder)).base_revision
        adapted = {key: whole[key] for key in ["data", "perplexity"]}
        adapted["seconds"] = whole["training"]["seconds"]
        adapted["local"] = [corpus.is_local for corpus in recipe.adaptation.corpora]
    return {
        "base_revision": base_revision,
        "base_is_local": recipe.base_is_local,
        "origin": _origin(recipe),
        "adaptation": adapted,
    }


def _origin(recipe: Recipe) -> dict[str, Any] | None:
    """What the runs began with that the base model has been through; None if through none."""
    passed = [run_folder.as_read(folder) for folder in reversed(run_folder.lineage(recipe))]
    if not passed:
        return None
    return {
        "base_model": shown(passed[0].base_model, passed[0].base_is_local),
        "base_revision": passed[0].base_revision,
        "base_is_local": passed[0].base_is_local,
        "runs": [earlier.name for earlier in passed],
        "datasets": sorted({d.source for e in passed for d in e.datasets if not d.is_local}),
    }
