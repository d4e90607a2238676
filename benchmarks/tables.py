"""The tables of the README, from the files in `results/`: `python -m benchmarks.tables`.

A test compares README.md with what this prints, so that no figure there is typed by hand.
"""

import json
from typing import Any

from benchmarks import RESULTS, ablations, export, precision, serve, space, train

TRAINING_REVIEWS, EPOCHS = 25_000, 2  # of the recipe imdb-small-plain
RECORDS = {  # recipe -> what its training rows are
    "imdb-small-plain": "IMDb reviews",
    "imdb-small": "IMDb reviews, labelled and pseudo-labelled",
    "reviews-any-length": "reviews, sentences and patterns, after imdb-small",
}
RECORD = "imdb-small"
# What others report on the same 25,000 test reviews, with the size of their models.
PUBLISHED = {
    "the project that this grows from, DistilBERT": (66, 91.19),
    "MiniLM-L12 (best public model)": (33, 92.29),
    "DistilBERT, as in its paper": (66, 92.82),
    "DistilBERT (best public model)": (66, 93.0),
    "ELECTRA-small (best public model under 30 M)": (14, 93.14),
    "BERT-base, head and tail": (110, 94.6),
}
SHORT = ["imdb-small-plain", "imdb-small", "reviews-any-length"]
MIXTURES = {  # what was tried -> its results file
    "all equally sure, label smoothing 0.05, no neutral sentences": "reviews-any-length-smoothed",
    "98% and 93%, more of the reviews, no R-Drop": "reviews-any-length-soft",
    "plain": "reviews-any-length-hard",
    "99% and 97%: the one of record": "reviews-any-length",
}
MEASURED = {  # what -> end of the names of its results files
    "the machine of the tables below": "",
    "the same, 1,000 real IMDb reviews": "-imdb",
    "two Xeon cores without fast bf16": "-xeon",
}
# An hour of two cores like the measured ones, in dollars, as of November 2026: assumptions, to be
# replaced by what you pay.
PRICES = {"a rented 2-core machine": 0.09, "the same, interruptible": 0.03}


def accuracy_table() -> str:
    """Accuracy, F1 and calibration of what was measured here, in Markdown."""
    small, first = _load("imdb-small-2k"), _load("imdb-small-2k-512")
    quick, quick_on_imdb = _load("quickstart"), small["quickstart_on_the_same_test"]
    reviews, invented = "IMDb reviews", "invented reviews"
    rows = [
        _row("quickstart", quick, invented, quick["metrics"]["test"], invented),
        _row("quickstart", quick, invented, quick_on_imdb["metrics"]["test"], reviews),
        _row("imdb-small-2k-512", first, reviews, first["metrics"]["test"], reviews),
        _row("imdb-small-2k", small, reviews, small["metrics"]["test"], reviews),
    ]
    for name, trained_on in RECORDS.items():
        run = _load(name)
        rows.append(_row(f"**{name}**", run, trained_on, _on_imdb(run), reviews))
    head = "| model, all MiniLM-L6 | trained on | tested on | accuracy (95% interval) | F1 | ECE |"
    return "\n".join([head, "|---|---|---|---|---|---|", *rows])


def published_table() -> str:
    """The models of record among what others report, in Markdown."""
    rows = dict(PUBLISHED)
    for name in RECORDS:
        run = _load(name)
        size = round(run["training"]["parameters"] / 1e6)
        rows[f"**{name}**, this project's"] = (size, 100 * _on_imdb(run)["accuracy"])
    lines = ["| model | parameters | IMDb test accuracy |", "|---|---|---|"]
    for name, (size, accuracy) in sorted(rows.items(), key=lambda row: row[1][1]):
        lines.append(f"| {name} | {size} M | {accuracy:.2f}% |")
    return "\n".join(lines)


def slices_table() -> str:
    """Where the model of record fails, in Markdown."""
    record = _load(RECORD)
    lines = ["| test reviews | how many | accuracy |", "|---|---|---|"]
    for kind, slices in record["slices"].items():
        for value, found in slices.items():
            name = f"{kind.replace('_', ' ')}: {value}"
            lines.append(f"| {name} | {found['n']:,} | {100 * found['accuracy']:.1f}% |")
    return "\n".join(lines)


def ablations_table() -> str:
    """What was tried of the fine-tuning, on validation, in Markdown."""
    return ablations.table(_load("ablations"))


def cost_table() -> str:
    """What a retraining and a million reviews cost at the measured rates, in Markdown."""
    training, serving = _load("train"), _load("serve")
    hours = EPOCHS * TRAINING_REVIEWS / training["reviews_per_second"] / 3600
    million = 1e6 / serving["contestants"][serve.OURS]["reviews_per_second"] / 3600
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
    """What a mixture does for short input, in Markdown: accuracies, and pass rates of the suite."""
    lines = [
        "| model | SST-5 sentences | patterns, known words | new words "
        "| behaviour: sentences | of these, negations | pairs that flip |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in SHORT:
        results, elsewhere = _load(name), _load(f"sst5-{name}")
        by_words = _load(f"patterns-{name}")["slices"]["words"]
        behaviour = results["error_analysis"]["behaviour"]
        shares = [
            elsewhere["metrics"]["test"]["accuracy"],
            by_words["known"]["accuracy"],
            by_words["new"]["accuracy"],
            behaviour["sentences"]["all"]["accuracy"],
            _pass_rate(behaviour["sentences"], "negation"),
            _pass_rate(behaviour["pairs"], "flip_"),
        ]
        lines.append(f"| {name} | {' | '.join(f'{100 * share:.1f}%' for share in shares)} |")
    return "\n".join(lines)


def mixtures_table() -> str:
    """What was tried of the mixture, on its validation, in Markdown."""
    lines = [
        "| labels of SST-5's clear and mild sentences | validation accuracy | validation loss |",
        "|---|---|---|",
    ]
    for tried, name in MIXTURES.items():
        found = _load(name)["metrics"]["validation"]
        lines.append(f"| {tried} | {100 * found['accuracy']:.2f}% | {found['nll']:.4f} |")
    return "\n".join(lines)


def _pass_rate(kinds: dict[str, Any], part: str) -> float:
    """Of the kinds with this in their name, together."""
    found = [kind for name, kind in kinds.items() if part in name]
    return float(sum(k["n"] * k["accuracy"] for k in found) / sum(k["n"] for k in found))


def machines_table() -> str:
    """The ratios again on other machines and on real reviews, in Markdown."""
    lines = [
        "| measured on | Trainer default | best | pipeline() batch 1 | batch 32 "
        "| 250 words, p50 | from cold | memory |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, suffix in MEASURED.items():
        training = _load(f"train{suffix}") if (RESULTS / f"train{suffix}.json").exists() else None
        serving = _load(f"serve{suffix}")
        ratios = ["ratio_trainer_default", "ratio_trainer_best"]
        cells = [f"{training[key]:.1f}" if training else "" for key in ratios]
        cells += [f"{serving[f'ratio_pipeline_batch{n}']:.1f}" for n in (1, 32)]
        cells += [f"{serving['p50_ms_250_words']:.1f} ms"]
        cells += [f"{serving['cold_first_answer_seconds']:.2f} s", f"{serving['rss_mb']:,.0f} MB"]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def quality_table() -> str:
    """What the same work gives in accuracy, over seeds, in Markdown."""
    quality = _load("train-quality")
    lines = ["| training | accuracy, seed by seed | mean |", "|---|---|---|"]
    for name, found in quality["accuracies"].items():
        each = ", ".join(f"{100 * accuracy:.1f}%" for accuracy in found)
        lines.append(f"| {name} | {each} | {100 * sum(found) / len(found):.1f}% |")
    return "\n".join(lines)


def speed_tables() -> dict[str, str]:
    """Each table of the README's section on speed."""
    return {
        "machines": machines_table(),
        "training": train.table(_load("train")),
        "precision": precision.table(_load("precision")),
        "quality": quality_table(),
        "scoring": serve.table(_load("serve")),
        "forms": export.table(_load("export")),
        "cost": cost_table(),
        "space": space.table(_load("space")),
    }


def _on_imdb(run: dict[str, Any]) -> dict[str, Any]:
    """The figures on IMDb's test reviews alone, the first dataset of every recipe."""
    return run.get("datasets", {}).get("0") or run["metrics"]["test"]


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


def _load(name: str) -> dict[str, Any]:
    results: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return results


if __name__ == "__main__":
    tables = [accuracy_table(), published_table(), slices_table(), ablations_table()]
    tables += [short_table(), mixtures_table()]
    print("\n\n".join([*tables, *speed_tables().values()]))
