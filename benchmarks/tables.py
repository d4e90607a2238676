"""The tables of the documents, for `benchmarks.documents`.

In: the files in `results/`, some of them from recipes that no longer exist. Out: Markdown.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel

from benchmarks import (
    RESULTS,
    ablations,
    aspects,
    export,
    languages,
    machine_tables,
    precision,
    serve,
    service,
    space,
    stars,
    static,
    train,
)
from train.recipe import Recipe
from train.sections import STEPS, Dataset, Distillation

CURRENT = {  # recipe -> its training rows; shown as soon as its results are on record
    "imdb-small": "IMDb reviews",
    "movie-sentiment-labels": "reviews, sentences and patterns",
    "movie-sentiment": "reviews, sentences and patterns, labeled by the teacher",
    "teacher": "reviews, sentences and patterns",
}
EARLIER = {  # removed recipe -> its training rows
    "imdb-adapted": "IMDb reviews, after masked-language modeling",
    "imdb-pseudo-labels": "IMDb reviews, labeled and pseudo-labeled",
    "reviews-any-length": "reviews, sentences and patterns, after imdb-pseudo-labels",
}
BEST = "reviews-any-length"
RELEASED = "movie-sentiment-labels"  # the recipe of models/movie-sentiment
ORIGINAL = "original project, DistilBERT"
# Reported by others on the same 25,000 test reviews: parameters in millions, accuracy in percent.
HUB, PAPERS = "https://huggingface.co", "https://arxiv.org/abs"
PUBLISHED = {
    ORIGINAL: (66, 91.19),
    f"MiniLM-L12, [spolivin/minilm-imdb]({HUB}/spolivin/minilm-imdb)": (33, 92.29),
    f"DistilBERT, [its paper]({PAPERS}/1910.01108)": (66, 92.82),
    "DistilBERT, [antonkurylo/distilbert-base-uncased-imdb]"
    f"({HUB}/antonkurylo/distilbert-base-uncased-imdb)": (66, 93.14),
    "ELECTRA-small, [knslee07/IMDB_sentiment_ELECTRA-small]"
    f"({HUB}/knslee07/IMDB_sentiment_ELECTRA-small)": (14, 93.14),
    f"BERT-base, [head and tail]({PAPERS}/1905.05583)": (110, 94.6),
}
MAMS_PAPER = "https://aclanthology.org/D19-1654"
MAMS = {  # on its aspect categories
    f"BERT-base, [the data set's paper]({MAMS_PAPER})": ("110 M", "78 to 79%"),
    f"CapsNet-BERT, [the same]({MAMS_PAPER})": ("110 M", "79.5%"),
}
MIXTURES = {  # mixture -> its results file
    "equal for both, label smoothing 0.05, no neutral sentences": "reviews-any-length-smoothed",
    "98% and 93%, more of the reviews, no R-Drop": "reviews-any-length-soft",
    "plain": "reviews-any-length-hard",
    "99% and 97% (selected)": "reviews-any-length",
}
# An hour of two cores like the measured ones, in dollars, as of November 2026: assumptions, to be
# replaced by what you pay.
PRICES = {"a rented 2-core machine": 0.09, "the same, interruptible": 0.03}


def accuracy_table() -> str:
    """Accuracy, F1 and calibration of the models measured here, in Markdown."""
    small, first = load("imdb-small-2k"), load("imdb-small-2k-512")
    quick, quick_on_imdb = load("quickstart"), small["quickstart_on_the_same_test"]
    reviews, invented = "IMDb reviews", "invented reviews"
    rows = [
        _row("quickstart", quick, invented, quick["metrics"]["test"], invented),
        _row("quickstart", quick, invented, quick_on_imdb["metrics"]["test"], reviews),
        _row("imdb-small-2k-512", first, reviews, first["metrics"]["test"], reviews),
        _row("imdb-small-2k", small, reviews, small["metrics"]["test"], reviews),
    ]
    for name, trained_on in EARLIER.items():
        run = load(name)
        rows.append(_row(f"*{name}*", run, trained_on, _on_imdb(run), reviews))
    for name in _measured():
        run = load(name)
        rows.append(_row(name, run, CURRENT[name], _on_imdb(run), reviews))
    head = "| model | trained on | tested on | accuracy (95% interval) | F1 | ECE |"
    return "\n".join([head, "|---|---|---|---|---|---|", *rows])


def summary_table() -> str:
    """The best measured model and the original project, in Markdown."""
    lines = [
        "| model | parameters | IMDb test accuracy | SST-5 sentences | ECE on IMDb |",
        "|---|---|---|---|---|",
        f"| {ORIGINAL} | 66 M | {PUBLISHED[ORIGINAL][1]:.2f}% | | |",
    ]
    for title, name in {
        "**MiniLM-L6, the released model**": RELEASED,
        "MiniLM-L6, best measured; its weights are lost": BEST,
    }.items():
        lines.append(_summary_row(title, name, load(f"sst5-{name}")["metrics"]["test"]))
    for title, name, share in [
        ("multilingual-e5-small for six languages", "multilingual", "accuracy"),
        ("MiniLM-L6 for one to five stars: above or below three", "stars", "verdict_accuracy"),
    ]:
        if _is_recorded(name):
            lines.append(_summary_row(title, name, load(name)["datasets"]["1"], share))
    return "\n".join(lines)


def _summary_row(title: str, name: str, sentences: dict[str, Any], share: str = "accuracy") -> str:
    """A run by its share of correct answers on IMDb and on SST-5's sentences, in Markdown."""
    run = load(name)
    imdb = _on_imdb(run)
    return (
        f"| {title} ({name}) | {_millions(run)} M | {100 * imdb[share]:.2f}% "
        f"| {100 * sentences[share]:.1f}% | {imdb['ece']:.3f} |"
    )


def stars_table() -> str:
    """The model of stars on each dataset's test split, in Markdown."""
    if not _is_recorded("stars"):
        return "The recipe `stars` is not measured yet."
    run = load("stars")
    sources = [Path(dataset["source"]).name for dataset in run["recipe"]["datasets"]]
    lines = [
        "| test texts | number | exact | within one star | MAE (stars) | kappa | Spearman "
        "| verdict | ECE |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for number, measured in run["datasets"].items():
        cells = [f"{measured['n']:,}", *stars.cells_of(measured), f"{measured['ece']:.3f}"]
        lines.append(f"| {sources[int(number)]} | {' | '.join(cells)} |")
    return "\n".join(lines)


def aspects_table() -> str:
    """The model of aspects and its baselines, in Markdown; a sentence before it is measured."""
    parts = []
    if _is_recorded("aspects"):
        run = load("aspects")
        test, opposite = run["metrics"]["test"], run["error_analysis"]["behavior"]["aspects"]["all"]
        parts.append(
            "| model | held-out pairs | accuracy | macro F1 | ECE | opposite sentences, both right "
            "|\n|---|---|---|---|---|---|\n"
            f"| aspects | {test['n']:,} | {100 * test['accuracy']:.2f}% | {test['f1_macro']:.3f} "
            f"| {test['ece']:.3f} | {100 * opposite['accuracy']:.1f}% of {opposite['n']} |"
        )
    if _is_recorded("aspects-baselines"):
        parts.append(aspects.table(load("aspects-baselines")))
    return "\n\n".join(parts) or "The recipe `aspects` is not measured yet."


def mams_table() -> str:
    """Accuracy on the aspect categories of MAMS, of others and this project, in Markdown."""
    rows = dict(MAMS)
    if _is_recorded("aspects-mams"):
        run = load("aspects-mams")
        size = round(run["training"]["parameters"] / 1e6)
        rows["**aspects-mams**, MiniLM-L6, this project"] = (
            f"{size} M", f"{100 * run['metrics']['test']['accuracy']:.2f}%"
        )  # fmt: skip
    lines = ["| model | parameters | MAMS test accuracy |", "|---|---|---|"]
    lines += [f"| {name} | {size} | {accuracy} |" for name, (size, accuracy) in rows.items()]
    return "\n".join(lines)


def keys_table() -> str:
    """Every key of a recipe with its default and its meaning, in Markdown."""
    sections: dict[str, type[BaseModel]] = {"": Recipe, "datasets.": Dataset}
    sections |= {"distillation.": Distillation} | {f"{step}.": STEPS[step] for step in STEPS}
    lines = ["| key | default | meaning |", "|---|---|---|"]
    for prefix, section in sections.items():
        for name, field in section.model_fields.items():
            if name == "step":  # names the step itself
                continue
            default = "required" if field.is_required() else f"`{json.dumps(field.default)}`"
            meaning = (field.description or "see below").replace("|", "\\|")
            values = ", ".join(f"`{value}`" for value in _literals(field.annotation))
            meaning += f"; values: {values}" * bool(values)
            lines.append(f"| `{prefix}{name}` | {default} | {meaning} |")
    return "\n".join(lines)


def _literals(annotation: Any) -> Iterator[str]:
    """The values that a type allows, if it is made of `Literal`."""
    for part in get_args(annotation):
        if get_origin(annotation) is Literal:
            yield part
        else:
            yield from _literals(part)


def published_table() -> str:
    """This project's models and those that others report, in Markdown."""
    rows = dict(PUBLISHED)
    titles = {name: f"**{name}**, earlier recipe of this project" for name in EARLIER}
    titles |= {name: f"**{name}**, this project" for name in _measured()}
    for name, title in titles.items():
        run = load(name)
        rows[title] = (_millions(run), 100 * _on_imdb(run)["accuracy"])
    lines = ["| model | parameters | IMDb test accuracy |", "|---|---|---|"]
    for name, (size, accuracy) in sorted(rows.items(), key=lambda row: row[1][1]):
        lines.append(f"| {name} | {size} M | {accuracy:.2f}% |")
    return "\n".join(lines)


def slices_table() -> str:
    """Accuracy by slices of the test reviews, in Markdown."""
    lines = ["| test reviews | number | accuracy |", "|---|---|---|"]
    for kind, slices in load("imdb-pseudo-labels")["slices"].items():
        for value, part in slices.items():
            name = f"{kind.replace('_', ' ')}: {value}"
            lines.append(f"| {name} | {part['n']:,} | {100 * part['accuracy']:.1f}% |")
    return "\n".join(lines)


def cost_table() -> str:
    """The cost of the released model's training, and of a million reviews, in Markdown."""
    serving = load("serve-epyc")
    hours = load(RELEASED)["training"]["seconds"] / 3600
    rate = serving["implementations"][serve.own_row(serving)]["reviews_per_second"]
    million = 1e6 / rate / 3600
    lines = [
        "| machine | price assumed | to retrain | a million reviews |",
        "|---|---|---|---|",
    ]
    for name, dollars in PRICES.items():
        lines.append(
            f"| {name} | ${dollars:.3f} an hour | {100 * dollars * hours:.0f} cents, "
            f"{hours:.1f} h | {100 * dollars * million:.0f} cents, {million:.1f} h |"
        )
    return "\n".join(lines)


def short_table() -> str:
    """Accuracy on short input and pass rates of the behavioral suite, in Markdown."""
    lines = [
        "| model | SST-5 sentences | patterns, known words | new words "
        "| behavior: sentences | of these, negations | pairs that flip |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in [*EARLIER, *filter(_is_measured_on_short_texts, _measured())]:
        results, elsewhere = load(name), load(f"sst5-{name}")
        by_words = load(f"patterns-{name}")["slices"]["words"]
        behavior = results["error_analysis"]["behavior"]
        shares = [
            elsewhere["metrics"]["test"]["accuracy"],
            by_words["known"]["accuracy"],
            by_words["new"]["accuracy"],
            behavior["sentences"]["all"]["accuracy"],
            _pass_rate(behavior["sentences"], "negation"),
            _pass_rate(behavior["pairs"], "flip_"),
        ]
        lines.append(f"| {name} | {' | '.join(f'{100 * share:.1f}%' for share in shares)} |")
    return "\n".join(lines)


def mixtures_table() -> str:
    """Validation accuracy and loss of each mixture, in Markdown."""
    lines = [
        "| labels of SST-5's clear and mild sentences | validation accuracy | validation loss |",
        "|---|---|---|",
    ]
    for mixture, name in MIXTURES.items():
        validation = load(name)["metrics"]["validation"]
        lines.append(
            f"| {mixture} | {100 * validation['accuracy']:.2f}% | {validation['nll']:.4f} |"
        )
    return "\n".join(lines)


def _measured() -> list[str]:
    """The current recipes whose results are on record."""
    return [name for name in CURRENT if _is_recorded(name)]


def _is_recorded(name: str) -> bool:
    return (RESULTS / f"{name}.json").exists()


def _is_measured_on_short_texts(name: str) -> bool:
    return _is_recorded(f"sst5-{name}") and _is_recorded(f"patterns-{name}")


def _pass_rate(kinds: dict[str, Any], part: str) -> float:
    """The pass rate of all kinds with this in their name."""
    selected = [kind for name, kind in kinds.items() if part in name]
    return float(sum(k["n"] * k["accuracy"] for k in selected) / sum(k["n"] for k in selected))


def training_table() -> str:
    """Training speed and the effect of each optimization that still exists, in Markdown."""
    results = load("train-epyc")
    removed = "with torch's dropout"  # the file was measured with a dropout that was removed
    results["variants"].pop(removed, None)
    return train.table(results)


def quality_table() -> str:
    """Accuracy after the same work, by seed, in Markdown."""
    quality = load("train-quality")
    lines = ["| training | accuracy, seed by seed | mean |", "|---|---|---|"]
    for name, accuracies in quality["accuracies"].items():
        each = ", ".join(f"{100 * accuracy:.1f}%" for accuracy in accuracies)
        lines.append(f"| {name} | {each} | {100 * sum(accuracies) / len(accuracies):.1f}% |")
    return "\n".join(lines)


def _on_imdb(run: dict[str, Any]) -> dict[str, Any]:
    """The metrics on IMDb's test reviews alone, the first dataset of every recipe."""
    return run.get("datasets", {}).get("0") or run["metrics"]["test"]


def _millions(run: dict[str, Any]) -> int:
    return round(run["training"]["parameters"] / 1e6)


def _row(
    name: str, run: dict[str, Any], trained_on: str, test: dict[str, Any], tested_on: str
) -> str:
    rows = run["data"]["splits"]["train"]["rows"]
    low, high = test["accuracy_ci95"]
    return (
        f"| {name} | {rows:,} {trained_on} | {test['n']:,} held-out {tested_on} "
        f"| {100 * test['accuracy']:.2f}% ({100 * low:.2f} to {100 * high:.2f}) "
        f"| {test['f1']:.4f} | {test['ece']:.3f} |"
    )


def _if_measured(name: str, table: Callable[[dict[str, Any]], str]) -> str:
    """The table of a results file; a sentence as long as there is none."""
    return table(load(name)) if (RESULTS / f"{name}.json").exists() else "Not measured yet."


def _side_by_side(table: Callable[[dict[str, Any]], str], files: dict[str, str]) -> str:
    """Tables with the same kinds of rows as one, with a column for each results file."""
    columns = {}
    for heading, name in files.items():
        rows = table(load(name)).splitlines()[2:]
        columns[heading] = dict(row.strip("| ").split(" | ") for row in rows)
    lines = [f"| measurement | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for label in dict.fromkeys(label for column in columns.values() for label in column):
        cells = [column.get(label, "") for column in columns.values()]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return "\n".join(lines)


def load(name: str) -> dict[str, Any]:
    """A results file, by its path in `results/` without the ending."""
    results: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return results


# By the heading of its column: a results file of the Space, and of the static page.
SPACE = {
    "AVX-512, first edition": "space",
    "AVX2, first edition": "avx2/space-first-edition",
    "AVX2": "avx2/space",
}
STATIC = {"AVX-512": "static", "AVX2": "avx2/static"}

TABLES: dict[str, Callable[[], str]] = {
    "summary": summary_table,
    "accuracy": accuracy_table,
    "published": published_table,
    "slices": slices_table,
    "stars": stars_table,
    "stars-variants": lambda: _if_measured("stars-variants", stars.table),
    "aspects": aspects_table,
    "mams": mams_table,
    "ablations": lambda: ablations.table(load("ablations-adapted")),
    "short": short_table,
    "mixtures": mixtures_table,
    "training-machines": machine_tables.training_table,
    "serving-machines": machine_tables.serving_table,
    "training": training_table,
    "precision": lambda: precision.table(load("precision")),
    "quality": quality_table,
    "scoring": lambda: serve.table(load("serve-epyc")),
    "forms": lambda: export.table(load("export")),
    "space": lambda: _side_by_side(space.table, SPACE),
    "service": lambda: _if_measured("service", service.table),
    "static": lambda: _side_by_side(static.table, STATIC),
    "languages": lambda: _if_measured("languages", languages.table),
    "cost": cost_table,
    "keys": keys_table,
}
