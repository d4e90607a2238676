"""The model card: from results.json and model_card.md to README.md, and nothing else.

Pure: the same results and repo id give the same bytes. A value that is missing is an error, where
`ModelCard.from_template` would leave a silent blank.
"""

import json
import re
from pathlib import Path
from typing import Any

from train import recipe as recipes
from train.errors import RunError
from train.recipe import Dataset, Recipe, shown
from train.results import REMEDY

TEMPLATE = Path(__file__).parent.parent.parent / "model_card.md"

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
}
HYPERPARAMETERS = [
    "epochs",
    "batch_tokens",
    "max_tokens",
    "truncation",
    "learning_rate",
    "head_learning_rate",
    "schedule",
    "warmup_fraction",
    "weight_decay",
    "max_grad_norm",
    "dropout",
    "attention_dropout",
    "rdrop_alpha",
    "early_stopping_patience",
    "seed",
]
IMDB_CITATION = """@inproceedings{maas-etal-2011-learning,
  title = {Learning Word Vectors for Sentiment Analysis},
  author = {Maas, Andrew L. and Daly, Raymond E. and Pham, Peter T. and Huang, Dan and
            Ng, Andrew Y. and Potts, Christopher},
  booktitle = {Proceedings of ACL-HLT 2011},
  pages = {142--150},
  year = {2011},
}"""


def render(results: dict[str, Any], repo_id: str, template: Path = TEMPLATE) -> str:
    """The card as Markdown with its YAML front matter.

    Args:
        results: A run's results.json, evaluated.
        repo_id: Where it will be published, `user/name`.
        template: The Jinja template.

    Raises:
        RunError: The results lack something that the template names, or it has another type.
    """
    import jinja2

    try:
        return _render(results, repo_id, template)
    except (jinja2.UndefinedError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise RunError(f"no card can be made of results.json: {error} — {REMEDY}") from error


def _render(results: dict[str, Any], repo_id: str, template: Path) -> str:
    import jinja2
    from huggingface_hub import ModelCardData

    recipe = recipes.parse(results["recipe"], "results.json: recipe")
    origin = _origin(results, recipe)
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    body = environment.from_string(template.read_text(encoding="utf-8")).render(
        **_context(results, recipe, repo_id)
    )
    own = [source for source, local in _sources(results) if not local]
    metadata = ModelCardData(
        language=recipe.language,
        license=recipe.license,
        library_name="transformers",
        pipeline_tag="text-classification",
        tags=["sentiment-analysis", "movie-reviews"],
        base_model=None if origin["base_is_local"] else origin["base_model"],
        datasets=list(dict.fromkeys([*own, *origin["datasets"]])) or None,
        metrics=["accuracy", "f1", "roc_auc"],
        model_name=repo_id.split("/")[-1],
        eval_results=_eval_results(results, recipe),
    )
    return f"---\n{metadata.to_yaml()}\n---\n\n{_tidy(body)}"


def _context(results: dict[str, Any], recipe: Recipe, repo_id: str) -> dict[str, Any]:
    binary = len(recipe.labels) == 2
    on_imdb = [d.source == "stanfordnlp/imdb" for d in recipe.datasets]
    only_imdb = any(on_imdb) and all(
        imdb or dataset.confidence for imdb, dataset in zip(on_imdb, recipe.datasets, strict=True)
    )
    origin = _origin(results, recipe)
    base = origin["base_model"]
    names = _names(results)
    columns = dict.fromkeys(["validation", recipe.evaluation_split])
    return {
        "repo_id": repo_id,
        "title": repo_id.split("/")[-1],
        "recipe": recipe.model_dump(),
        "labels": [label.replace("|", "\\|") for label in recipe.labels],
        "has_pairs": recipe.has_pairs,
        "grouped": any(d.group for d in recipe.datasets),
        "examples": [_example(found) for found in results.get("examples", [])],
        "subject": "IMDb reviews" if only_imdb else "reviews",
        "base_link": f"`{Path(base).name}`"
        if origin["base_is_local"]
        else f"[{base}](https://huggingface.co/{base})",
        "base_revision": origin["base_revision"],
        "runs_before": origin["runs"],
        "split": recipe.evaluation_split,
        "measured": results["metrics"][recipe.evaluation_split],
        "columns": {name: results["metrics"][name] for name in columns},
        "named_tests": _named_tests(names, recipe),
        "tested": [(names[number], found) for number, found in _tested(results, recipe)],
        "slices": results["slices"],
        "error_analysis": results.get("error_analysis"),
        "splits": results["data"]["splits"],
        "sources": [
            (name, revision, bool(dataset.confidence))
            for name, revision, dataset in zip(
                names, results["data"]["revision"], recipe.datasets, strict=True
            )
        ],
        "pseudo_labelled": any(dataset.confidence for dataset in recipe.datasets),
        "training": results["training"],
        "export": results["export"],
        "environment": results["environment"],
        "metric_names": METRIC_NAMES,
        "hyperparameters": HYPERPARAMETERS,
        "f1_meaning": f"F1, precision and recall are those of `{recipe.labels[1]}`."
        if binary
        else "F1, precision and recall are means over the labels, weighted by their reviews.",
        "citations": [IMDB_CITATION] if any(on_imdb) else [],
        "percent": lambda share: f"{100 * share:.2f}%",
        "figure": _figure,
        "dropped": lambda reasons: (
            "; ".join(f"{n:,} {why}" for why, n in reasons.items()) or "none"
        ),
        "duration": _duration,
        "megabytes": lambda size: f"{size / 1e6:.0f} MB",
    }


def _example(found: dict[str, Any]) -> dict[str, str]:
    """One of `examples` in the results as Python: what goes into `pipeline()` and comes out."""
    asked = {key: found[key] for key in ["text", "text_pair"] if key in found}
    answer = f"{{'label': {found['label']!r}, 'score': {found['score']:.3f}}}"
    text = json.dumps(asked if "text_pair" in asked else asked["text"], ensure_ascii=False)
    return {"input": text, "answer": answer if "text_pair" in asked else f"[{answer}]"}


def _origin(results: dict[str, Any], recipe: Recipe) -> dict[str, Any]:
    """What all began with, and the runs and their datasets in between, if there were any."""
    training = results["training"]
    return training.get("origin") or {
        "base_model": recipe.base_model,
        "base_revision": training["base_revision"],
        "base_is_local": training["base_is_local"],
        "runs": [],
        "datasets": [],
    }


def _eval_results(results: dict[str, Any], recipe: Recipe) -> list[Any]:
    """The model-index that the Hub shows, of each dataset that the reviews measured on are of."""
    from huggingface_hub import EvalResult

    names, split = _names(results), recipe.evaluation_split
    return [
        EvalResult(
            task_type="text-classification",
            task_name="Sentiment analysis",
            dataset_type=names[number],
            dataset_name=names[number],
            dataset_split=_own_split(recipe.datasets[number], split) or split,
            dataset_revision=results["data"]["revision"][number],
            metric_type=key,
            metric_name=METRIC_NAMES[key],
            metric_value=round(test[key], 6),
        )
        for number, test in _tested(results, recipe)
        for key in ["accuracy", "f1", "precision", "recall", "roc_auc"]
        if test[key] is not None
    ]


def _named_tests(names: list[str], recipe: Recipe) -> list[tuple[str, str]]:
    """Each dataset that is tested on a split of another name, and that name."""
    return [
        (name, own)
        for name, dataset in zip(names, recipe.datasets, strict=True)
        if "test" in dataset.splits and (own := _own_split(dataset, "test"))
    ]


def _own_split(dataset: Dataset, split: str) -> str | None:
    """What the dataset calls its validation or test; None where it is carved, or of that name."""
    name: str | None = getattr(dataset, split)
    return None if name in {split, dataset.train} else name


def _tested(results: dict[str, Any], recipe: Recipe) -> list[tuple[int, dict[str, Any]]]:
    """Each dataset with reviews measured on, by its number in the recipe, and its figures."""
    by_dataset = results.get("datasets") or {"0": results["metrics"][recipe.evaluation_split]}
    return [(int(number), found) for number, found in by_dataset.items()]


def _figure(key: str, value: Any) -> str:
    if key == "n":
        return f"{value:,}"
    if key == "accuracy_ci95":
        return f"{100 * value[0]:.2f}% to {100 * value[1]:.2f}%"
    return f"{100 * value:.2f}%" if key == "accuracy" else f"{value:.4f}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _sources(results: dict[str, Any]) -> list[tuple[str, bool]]:
    """Each dataset, and whether it was a file or folder of the trainer's."""
    return list(zip(results["data"]["repo"], results["data"]["local"], strict=True))


def _names(results: dict[str, Any]) -> list[str]:
    """Each dataset, as the card shows it."""
    return [shown(source, local) for source, local in _sources(results)]


def _tidy(body: str) -> str:
    return re.sub(r"\n{3,}", "\n\n", body).strip() + "\n"
