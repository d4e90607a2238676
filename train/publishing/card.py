"""The model card: results.json and the template model_card.md -> README.md.

The same results and repo id give the same bytes. A missing value is an error;
`ModelCard.from_template` would leave it blank.
"""

import json
import re
from pathlib import Path
from typing import Any

from space.inference.labels import unit
from train import console
from train import recipe as recipes
from train.environment import REPOSITORY
from train.errors import RunError
from train.recipe import Recipe
from train.results import REMEDY
from train.sections import Dataset, public_name

TEMPLATE = REPOSITORY / "model_card.md"

IMDB = {"stanfordnlp/imdb", "imdb-ratings"}  # on the Hub; the folder in train/recipes/stars.yaml
METRIC_NAMES = {
    "n": "reviews",
    "accuracy": "accuracy",
    "accuracy_ci95": "95% interval",
    "f1": "F1",
    "f1_macro": "F1, macro",
    "precision": "precision",
    "recall": "recall",
    "roc_auc": "ROC AUC",
    "nll": "NLL (nats)",
    "ece": "ECE",
    # Of ordered labels only.
    "within_one": "within one step of the label",
    "mae": "MAE of the expected value",
    "quadratic_weighted_kappa": "quadratic weighted kappa",
    "spearman": "Spearman correlation",
    "verdict_accuracy": "accuracy of the verdict",
}
INDEXED = ["accuracy", "f1", "precision", "recall", "roc_auc"]  # in the model-index
INDEXED_OF_SCALES = ["within_one", "mae", "quadratic_weighted_kappa", "spearman"]
IN_SAMPLE = {"nll", "ece"}  # on validation, where the temperature is fitted
HYPERPARAMETERS = (
    "epochs batch_tokens max_tokens truncation learning_rate head_learning_rate "
    "warmup_fraction weight_decay max_grad_norm dropout attention_dropout "
    "early_stopping_patience seed"
).split()
IMDB_CITATION = """@inproceedings{maas-etal-2011-learning,
  title = {Learning Word Vectors for Sentiment Analysis},
  author = {Maas, Andrew L. and Daly, Raymond E. and Pham, Peter T. and Huang, Dan and
            Ng, Andrew Y. and Potts, Christopher},
  booktitle = {Proceedings of ACL-HLT 2011},
  pages = {142--150},
  year = {2011},
}"""


def render(results: dict[str, Any], repo_id: str, template: Path = TEMPLATE) -> str:
    """The card as Markdown with YAML front matter.

    Args:
        results: results.json of an evaluated run.
        repo_id: The repository to publish to, `user/name`.
        template: The Jinja template.

    Raises:
        RunError: A value that the template names is missing from the results or has a wrong type.
    """
    import jinja2

    try:
        return _render(results, repo_id, template)
    except (jinja2.UndefinedError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise RunError(f"can't render the card from results.json: {error} — {REMEDY}") from error


def _render(results: dict[str, Any], repo_id: str, template: Path) -> str:
    import jinja2
    from huggingface_hub import ModelCardData

    recipe = recipes.parse(results["recipe"], "results.json: recipe")
    data, origin = results["data"], _origin(results, recipe)
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined)
    body = environment.from_string(template.read_text(encoding="utf-8")).render(
        **FORMATS,
        **_run(results, recipe, origin),
        **_data(results, recipe),
        repo_id=repo_id,
        title=repo_id.split("/")[-1],
    )
    on_hub = [s for s, local in zip(data["repo"], data["local"], strict=True) if not local]
    metadata = ModelCardData(
        language=recipe.languages if len(recipe.languages) > 1 else recipe.languages[0],
        license=recipe.license,
        library_name="transformers",
        pipeline_tag="text-classification",
        tags=["sentiment-analysis", "movie-reviews"],
        base_model=None if origin["base_is_local"] else origin["base_model"],
        datasets=list(dict.fromkeys([*on_hub, *origin["datasets"]])) or None,
        metrics=["accuracy", "f1", "roc_auc", *["mae", "spearmanr"] * recipe.ordered],
        model_name=repo_id.split("/")[-1],
        eval_results=_eval_results(results, recipe),
    )
    body = re.sub(r"\n{3,}", "\n\n", body).strip()
    return f"---\n{metadata.to_yaml()}\n---\n\n{body}\n"


def _run(results: dict[str, Any], recipe: Recipe, origin: dict[str, Any]) -> dict[str, Any]:
    """Template values about the model, its training and its metrics."""
    base, split = origin["base_model"], recipe.evaluation_split
    columns = {name: results["metrics"][name] for name in dict.fromkeys(["validation", split])}
    link = f"[{base}](https://huggingface.co/{base})"
    return {
        "recipe": recipe.model_dump(),
        "labels": [label.replace("|", "\\|") for label in recipe.labels],
        "languages": recipe.languages,
        "has_pairs": recipe.has_pairs,
        "unit": unit(recipe.labels) if recipe.ordered else None,
        "middle": (values[0] + values[-1]) / 2 if (values := recipe.values) else None,
        "examples": [_example(example) for example in results.get("examples", [])],
        "base_link": f"`{Path(base).name}`" if origin["base_is_local"] else link,
        "base_revision": origin["base_revision"],
        "runs_before": origin["runs"],
        "split": split,
        "measured": results["metrics"][split],
        "columns": columns,
        # A run that was evaluated before a metric was added lacks it.
        "metric_names": {
            key: name
            for key, name in METRIC_NAMES.items()
            if all(metrics.get(key) is not None for metrics in columns.values())
        },
        "slices": results["slices"],
        "error_analysis": results.get("error_analysis"),
        "weakest": _weakest_kinds(results),
        "training": results["training"],
        "export": results["export"],
        "environment": results["environment"],
        "release": results.get("release"),
        "repository": results["environment"].get("repository"),
        "f1_meaning": f"F1, precision and recall are those of `{recipe.labels[1]}`."
        if len(recipe.labels) == 2
        else "F1, precision and recall are means over the labels, weighted by support.",
    }


def _weakest_kinds(results: dict[str, Any]) -> list[str]:
    """At most three kinds of behavioral sentences that are passed least, below the mean of all."""
    behavior = results.get("error_analysis", {}).get("behavior", {})
    kinds = dict(behavior.get("sentences", {}))
    mean = kinds.pop("all")["accuracy"] if kinds else 0.0
    lowest = sorted((rate["accuracy"], kind) for kind, rate in kinds.items())[:3]
    return [
        f"{kind.replace('_', ' ')} ({100 * accuracy:.2f}% passed)"
        for accuracy, kind in lowest
        if accuracy < mean
    ]


def _data(results: dict[str, Any], recipe: Recipe) -> dict[str, Any]:
    """Template values about the datasets."""
    data = results["data"]
    names, revisions = _names(results), data["revision"]
    on_imdb = [name in IMDB for name in names]
    return {
        "source_links": list(dict.fromkeys(map(_link, names, data["local"]))),
        "subject": "IMDb reviews" if all(on_imdb) else "reviews",
        "citations": [IMDB_CITATION] if any(on_imdb) else [],
        "grouped": any(dataset.group for dataset in recipe.datasets),
        "named_tests": _named_tests(names, recipe),
        "tested": [(names[number], values) for number, values in _tested(results, recipe)],
        "splits": results["data"]["splits"],
        "sources": list(dict.fromkeys(zip(names, revisions, strict=True))),
    }


def _link(name: str, is_local: bool) -> str:
    return f"`{name}`" if is_local else f"[{name}](https://huggingface.co/datasets/{name})"


def _example(example: dict[str, Any]) -> dict[str, str]:
    """Python source of what `pipeline()` takes and returns for an example of the results."""
    answer = f"{{'label': {example['label']!r}, 'score': {example['score']:.3f}}}"
    if "text_pair" not in example:
        return {"input": json.dumps(example["text"], ensure_ascii=False), "answer": f"[{answer}]"}
    pair = {key: example[key] for key in ["text", "text_pair"]}
    return {"input": json.dumps(pair, ensure_ascii=False), "answer": answer}


def _origin(results: dict[str, Any], recipe: Recipe) -> dict[str, Any]:
    """The first base model of the chain of runs, and the runs and datasets after it."""
    training = results["training"]
    return training.get("origin") or {
        "base_model": recipe.base_model,
        "base_revision": training["base_revision"],
        "base_is_local": training["base_is_local"],
        "runs": [],
        "datasets": [],
    }


def _eval_results(results: dict[str, Any], recipe: Recipe) -> list[Any]:
    """The model-index that the Hub shows, for each dataset of the evaluated split."""
    from huggingface_hub import EvalResult

    names, split = _names(results), recipe.evaluation_split
    return [
        EvalResult(
            task_type="text-classification",
            task_name="Aspect sentiment" if recipe.has_pairs else "Sentiment analysis",
            dataset_type=names[number],
            dataset_name=names[number],
            dataset_split=_own_split(recipe.datasets[number], split) or split,
            dataset_revision=results["data"]["revision"][number],
            metric_type={"spearman": "spearmanr"}.get(key, key),
            metric_name=METRIC_NAMES[key],
            metric_value=round(test[key], 6),
        )
        for number, test in _tested(results, recipe)
        for key in [*INDEXED, *INDEXED_OF_SCALES]
        if test.get(key) is not None
    ]


def _named_tests(names: list[str], recipe: Recipe) -> list[tuple[str, str]]:
    """Each dataset whose test split has another name there, and that name."""
    return [
        (name, own)
        for name, dataset in zip(names, recipe.datasets, strict=True)
        if "test" in dataset.splits and (own := _own_split(dataset, "test"))
    ]


def _own_split(dataset: Dataset, split: str) -> str | None:
    """The dataset's own name of a split; None if it is the same or split off from training."""
    name: str | None = getattr(dataset, split)
    return None if name in {split, dataset.train} else name


def _tested(results: dict[str, Any], recipe: Recipe) -> list[tuple[int, dict[str, Any]]]:
    """Each dataset of the evaluated split, by its number in the recipe, and its metrics."""
    by_dataset = results.get("datasets") or {"0": results["metrics"][recipe.evaluation_split]}
    return [(int(number), metrics) for number, metrics in by_dataset.items()]


def _figure(key: str, value: Any, split: str) -> str:
    """A metric as text; † marks those that the temperature was fitted to."""
    if key == "n":
        return f"{value:,}"
    if key == "accuracy_ci95":
        return f"{100 * value[0]:.2f}% to {100 * value[1]:.2f}%"
    if key in {"accuracy", "within_one", "verdict_accuracy"}:
        return f"{100 * value:.2f}%"
    return f"{value:.4f}" + "†" * (key in IN_SAMPLE and split == "validation")


def _names(results: dict[str, Any]) -> list[str]:
    """The public name of each dataset."""
    data = results["data"]
    pairs = zip(data["repo"], data["local"], strict=True)
    return [public_name(source, is_local) for source, is_local in pairs]


FORMATS: dict[str, Any] = {
    "hyperparameters": HYPERPARAMETERS,
    "figure": _figure,
    "duration": console.format_duration,
    "percent": lambda share: f"{100 * share:.2f}%",
    "megabytes": lambda size: f"{size / 1e6:.0f} MB",
    "dropped": lambda reasons: "; ".join(f"{n:,} {why}" for why, n in reasons.items()) or "none",
}
