"""What of the fine-tuning pays? One option at a time, chosen on validation, never on test.

In: a folder with IMDb as `benchmarks.record` takes it, which this repository does not contain, and
the adapted base of `imdb-small-plain` in `runs/` (`benchmarks.record` makes it).
Out: a table and `ablations.json`, after each run; what is there already is not run again, so that
it goes on where it was stopped. Rows of options that did not pay and are gone stay in it.

    python -m benchmarks.ablations --imdb DIR [--reviews 5000] [--only NAME …] [--out FOLDER]
"""

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks import REPOSITORY, RESULTS, add_out, machine, save
from benchmarks.record import Client, hub_with, sets, train_command
from train import quickstart, recipe, run_folder

RECIPE = "imdb-small-plain"
RUNS = REPOSITORY / "runs" / "ablations"
PLAIN = "without adaptation"
AS_IT_IS = "as the recipe, one epoch"
VARIANTS: dict[str, list[str]] = {
    AS_IT_IS: [],
    "two epochs": ["epochs=2"],
    PLAIN: [],
    "head 256": ["max_tokens=256", "truncation=head"],
    "head and tail 256": ["max_tokens=256"],
    "head 512": ["truncation=head"],
    "whole reviews": ["max_tokens=4096"],
    "R-Drop, weight 1": ["rdrop_alpha=1"],
    "attention dropout 0.1": ["attention_dropout=0.1"],
    "updates of 4,096 tokens": ["batch_tokens=4096"],
    "learning rate 2e-4": ["learning_rate=2e-4"],
    "learning rate 5e-5": ["learning_rate=5e-5"],
}


def main() -> None:
    """Run what is missing, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--imdb", type=Path, required=True, help="folder of the Parquet files")
    parser.add_argument("--reviews", type=int, default=5000, help="to train on")
    parser.add_argument("--only", action="append", choices=list(VARIANTS), help="repeatable")
    add_out(parser, RESULTS)
    given = parser.parse_args()
    adapted = run_folder.adapted_folder(REPOSITORY / "runs" / RECIPE)
    if not run_folder.is_adapted(adapted):
        parser.error(f"no adapted base in {adapted} — `train adapt {RECIPE}` makes it")
    file = given.out / "ablations.json"
    work = {"recipe": RECIPE, "reviews": given.reviews, "epochs": 1}
    before = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    rows = before.get("rows", {}) if before.get("work") == work else {}
    described = machine.describe()  # before the cores are busy
    with hub_with([recipe.load(RECIPE)], given.imdb) as client:
        for name in given.only or VARIANTS:
            if name in rows:
                continue
            base = quickstart.base_folder() if name == PLAIN else adapted
            rows[name] = _run(client, name, base, given.reviews)
            rows = {name: rows[name] for name in [*VARIANTS, *rows] if name in rows}
            save(file, {"work": work, "machine": described, "rows": rows})
    print(table({"rows": rows}))


def table(results: dict[str, Any]) -> str:
    """Every option, in Markdown; the loss tells smaller differences than the accuracy."""
    lines = [
        "| fine-tuning | validation accuracy | validation loss | times as long |",
        "|---|---|---|---|",
    ]
    rows = results["rows"]
    plain = rows[AS_IT_IS]["train_seconds"] if AS_IT_IS in rows else float("nan")
    for name, row in rows.items():
        times = row["train_seconds"] / plain
        lines.append(f"| {name} | {100 * row['accuracy']:.2f}% | {row['nll']:.4f} | {times:.1f} |")
    return "\n".join(lines)


def _run(client: Client, name: str, base: Path, reviews: int) -> dict[str, Any]:
    folder = RUNS / name.replace(" ", "-").replace(",", "")
    settings = [
        "datasets.0.group=movie",
        f"base_model={base}",
        "adaptation=null",
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
