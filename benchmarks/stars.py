"""Stars: soft labels between neighboring stars against plain ones, and a binary model's verdict.

In: IMDb with its ratings and SST-5 as Parquet files, as for `benchmarks.record`, and the run folder
of a binary model. Out: a table and `stars-variants.json`, written after each run: metrics of both
variants on validation, and, for each dataset of the test split, how often the verdict of the soft
one (above or below 3 stars) and the binary model are right on the same reviews. Finished runs are
not repeated, so the same command resumes.

    python -m benchmarks.stars --imdb DIR --sst5 DIR [--binary RUN] [--set KEY=VALUE …]
        [--out FOLDER]
"""

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks import REPOSITORY, RESULTS, add_out, machine, save
from benchmarks.record import Client, hub_with, sets, train_command, with_ancestors
from train import recipe, run_folder
from train.recipe import Recipe

RECIPE, RUNS = "stars", REPOSITORY / "runs" / "stars-variants"
SOFT, PLAIN = "soft labels", "plain labels"
METRICS = [
    "accuracy", "within_one", "mae", "quadratic_weighted_kappa", "spearman", "verdict_accuracy",
    "nll", "ece", "n",
]  # fmt: skip


def main() -> None:
    """Run the missing variants, evaluate the binary model, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--imdb", type=Path, required=True, help="folder of the Parquet files")
    parser.add_argument("--sst5", type=Path, required=True, help="folder of the Parquet files")
    parser.add_argument("--binary", type=Path, help="run folder of a model of two labels")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    add_out(parser, RESULTS)
    options = parser.parse_args()
    settings = [f"datasets.0.source={options.imdb.resolve()}", *options.set]
    own = recipe.load(RECIPE, settings)
    variants = {SOFT: settings, PLAIN: [*settings, *certain_labels(own)]}
    results: dict[str, Any] = {"settings": options.set, "machine": machine.describe(), "rows": {}}
    with hub_with(with_ancestors([own]), options.imdb, options.sst5) as client:
        for name, overrides in variants.items():
            folder = RUNS / name.replace(" ", "-")
            if not (folder / "results.json").exists():
                train_command(client, "fit", RECIPE, "--out", str(folder), *sets(overrides))
            validation = run_folder.load_results(folder)["metrics"]["validation"]
            results["rows"][name] = {key: validation[key] for key in METRICS}
            save(options.out / "stars-variants.json", results)
        if options.binary:
            results["verdicts"] = _verdicts(client, own, options.binary)
            save(options.out / "stars-variants.json", results)
    print(table(results))


def certain_labels(own: Recipe) -> list[str]:
    """Overrides that give each value its most probable label."""
    overrides = []
    for number, dataset in enumerate(own.datasets):
        targets = dataset.label_targets().items()
        certain = {key: max(t, key=t.__getitem__) if t else None for key, t in targets}
        overrides.append(f"datasets.{number}.label_map={json.dumps(certain)}")
    return overrides


def table(results: dict[str, Any]) -> str:
    """Both variants on validation, and the verdicts on test, in Markdown."""
    lines = [
        "| labels in training | accuracy | within one star | MAE | kappa | Spearman | verdict |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in results["rows"].items():
        lines.append(f"| {name} | {' | '.join(cells_of(row))} |")
    if "verdicts" in results:
        lines += ["", "| test reviews of | verdict of stars | binary model |", "|---|---|---|"]
        for name, pair in results["verdicts"].items():
            cells = [f"{100 * pair[model]:.2f}%" for model in ("stars", "binary")]
            lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def cells_of(metrics: dict[str, Any]) -> list[str]:
    """Accuracy, within one star, MAE, kappa, Spearman and accuracy of the verdict, as text."""
    shares = [f"{100 * metrics[key]:.2f}%" for key in ("accuracy", "within_one")]
    rest = [f"{metrics[key]:.3f}" for key in ("mae", "quadratic_weighted_kappa", "spearman")]
    return [*shares, *rest, f"{100 * metrics['verdict_accuracy']:.2f}%"]


def _verdicts(client: Client, own: Recipe, binary: Path) -> dict[str, dict[str, Any]]:
    """For each dataset of the test split: accuracy of the stars' verdict and of a binary model."""
    folder = RUNS / SOFT.replace(" ", "-")
    train_command(client, "evaluate", str(folder))
    stars = run_folder.load_results(folder)["datasets"]
    values, labels = own.values or [], run_folder.load_recipe(binary).labels
    middle = (values[0] + values[-1]) / 2
    verdicts: dict[str, dict[str, Any]] = {}
    for number, dataset in enumerate(own.datasets):
        label_map = {
            key: _side(own, target, middle, labels)
            for key, target in dataset.label_targets().items()
        }
        overrides = [f"label={dataset.label}", f"label_map={json.dumps(label_map)}"]
        overrides += [f"revision={dataset.revision}"] if dataset.revision else []
        out = RUNS / f"binary-{number}.json"
        train_command(
            client, "evaluate", str(binary), "--dataset", dataset.source, "--split", "test",
            "--out", str(out), *sets(overrides),
        )  # fmt: skip
        measured = json.loads(out.read_text(encoding="utf-8"))["metrics"]["test"]
        verdicts[Path(dataset.source).name] = {
            "stars": stars[str(number)]["verdict_accuracy"],
            "binary": measured["accuracy"],
            "n": measured["n"],
        }
    return verdicts


def _side(
    own: Recipe, target: dict[str, float] | None, middle: float, labels: list[str]
) -> str | None:
    """The binary label of a value; None in the middle of the scale."""
    if target is None or own.values is None:
        return None
    star = own.values[own.labels.index(max(target, key=target.__getitem__))]
    return None if star == middle else labels[star > middle]


if __name__ == "__main__":
    main()
