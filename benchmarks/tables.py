"""The tables of the README, from the files in `results/`: `python -m benchmarks.tables`.

A test compares README.md with what this prints, so that no figure there is typed by hand.
"""

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def accuracy_table() -> str:
    """Accuracy, F1 and calibration of what was measured here, in Markdown."""
    small = _load("imdb-small-2k")
    first = _load("imdb-small-2k-512")
    quick = _load("quickstart")
    elsewhere = small["quickstart_on_the_same_test"]
    lines = [
        "| model | trained on | tested on | accuracy (95% interval) | F1 | ECE |",
        "|---|---|---|---|---|---|",
        _row("quickstart (MiniLM-L6)", quick, "invented", quick["metrics"]["test"], "invented"),
        _row("quickstart (MiniLM-L6)", quick, "invented", elsewhere["metrics"]["test"], "IMDb"),
        _row("imdb-small-2k-512 (MiniLM-L6)", first, "IMDb", first["metrics"]["test"], "IMDb"),
        _row("imdb-small-2k (MiniLM-L6)", small, "IMDb", small["metrics"]["test"], "IMDb"),
    ]
    return "\n".join(lines)


def _row(name: str, run: dict[str, Any], data: str, test: dict[str, Any], test_data: str) -> str:
    rows = run["data"]["splits"]["train"]["rows"]
    low, high = test["accuracy_ci95"]
    return (
        f"| {name} | {rows:,} {data} reviews | {test['n']:,} held-out {test_data} reviews "
        f"| {100 * test['accuracy']:.2f}% ({100 * low:.2f} to {100 * high:.2f}) "
        f"| {test['f1']:.4f} | {test['ece']:.3f} |"
    )


def _load(name: str) -> dict[str, Any]:
    results: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return results


if __name__ == "__main__":
    print(accuracy_table())
