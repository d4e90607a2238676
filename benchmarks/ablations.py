"""Ablations of the fine-tuning: one option of `imdb-small` at a time, compared on validation.

In: a folder with IMDb as Parquet files, as for `benchmarks.record`. Out: a table and
`ablations.json`, written after each run. Finished runs are not repeated, so the same command
resumes.

    python -m benchmarks.ablations --imdb DIR [--reviews 5000] [--only NAME …] [--out FOLDER]
"""

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks import REPOSITORY, RESULTS, add_out, machine, save
from benchmarks.record import Client, hub_with, sets, train_command
from train import recipe, run_folder

RECIPE = "imdb-small"
RUNS = REPOSITORY / "runs" / "ablations"
BASELINE = "recipe defaults, one epoch"
VARIANTS: dict[str, list[str]] = {
    BASELINE: [],
    "two epochs": ["epochs=2"],
    "head 256": ["max_tokens=256", "truncation=head"],
    "head and tail 256": ["max_tokens=256"],
    "head 512": ["truncation=head"],
    "whole reviews": ["max_tokens=4096"],
    "attention dropout 0.1": ["attention_dropout=0.1"],
    "updates of 4,096 tokens": ["batch_tokens=4096"],
    "learning rate 2e-4": ["learning_rate=2e-4"],
    "learning rate 5e-5": ["learning_rate=5e-5"],
}


def main() -> None:
    """Run the missing variants, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--imdb", type=Path, required=True, help="folder of the Parquet files")
    parser.add_argument("--reviews", type=int, default=5000, help="number of training reviews")
    parser.add_argument("--only", action="append", choices=list(VARIANTS), help="repeatable")
    add_out(parser, RESULTS)
    arguments = parser.parse_args()
    file = arguments.out / "ablations.json"
    work = {"recipe": RECIPE, "reviews": arguments.reviews, "epochs": 1}
    before = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    rows = before.get("rows", {}) if before.get("work") == work else {}
    described = machine.describe()  # before the cores are busy
    with hub_with([recipe.load(RECIPE)], arguments.imdb) as client:
        for name in arguments.only or VARIANTS:
            if name in rows:
                continue
            rows[name] = _run(client, name, arguments.reviews)
            rows = {name: rows[name] for name in VARIANTS if name in rows}
            save(file, {"work": work, "machine": described, "rows": rows})
    print(table({"rows": rows}))


def table(results: dict[str, Any]) -> str:
    """Every variant, in Markdown; the loss shows smaller differences than the accuracy."""
    lines = [
        "| fine-tuning | validation accuracy | validation loss | relative time |",
        "|---|---|---|---|",
    ]
    rows = results["rows"]
    baseline_seconds = rows[BASELINE]["train_seconds"] if BASELINE in rows else float("nan")
    for name, row in rows.items():
        times = row["train_seconds"] / baseline_seconds
        lines.append(f"| {name} | {100 * row['accuracy']:.2f}% | {row['nll']:.4f} | {times:.1f} |")
    return "\n".join(lines)


def _run(client: Client, name: str, reviews: int) -> dict[str, Any]:
    folder = RUNS / name.replace(" ", "-").replace(",", "")
    settings = [
        "datasets.0.group=movie",
        f"max_train={reviews}",
        "epochs=1",
        "evaluations_per_epoch=1",
        *VARIANTS[name],
    ]
    options = sets(settings) + ["--resume"] * (folder / "recipe.yaml").exists()
    train_command(client, "fit", RECIPE, "--out", str(folder), *options)
    results = run_folder.load_results(folder)
    validation = results["metrics"]["validation"]
    return {
        "settings": VARIANTS[name],
        "accuracy": validation["accuracy"],
        "nll": validation["nll"],
        "ece": validation["ece"],
        "n": validation["n"],
        "train_seconds": results["training"]["seconds"],
        "tokens_per_second": results["training"]["tokens_per_second"],
    }


if __name__ == "__main__":
    main()
