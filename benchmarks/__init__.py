"""Measurements, each a command that prints a table and writes a file."""

import argparse
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parent.parent
RESULTS = REPOSITORY / "benchmarks" / "results"


def parser_of(doc: str | None) -> argparse.ArgumentParser:
    """The options of a command that measures on reviews; it is told by its docstring's first line.

    They are invented ones, or those of `--data`; what was measured goes to the folder `--out`.
    """
    parser = argparse.ArgumentParser(description=(doc or "").partition("\n")[0])
    parser.add_argument("--data", help="CSV, TSV, JSONL or Parquet with `text` and `label`")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "runs" / "bench")
    return parser


def save(file: Path, results: dict[str, Any]) -> None:
    """Write a results file, with the state of the code that it was measured on."""
    from train import runs

    file.parent.mkdir(parents=True, exist_ok=True)
    environment = runs.environment("cpu")
    state = {key: environment[key] for key in ("git_sha", "dirty")}
    runs.save_results(file, {**results, **state})
    print(f"wrote {file}")
