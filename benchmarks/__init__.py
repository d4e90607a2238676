"""Measurements, each a command that prints a table and writes a file."""

from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parent.parent
RESULTS = REPOSITORY / "benchmarks" / "results"


def save(file: Path, results: dict[str, Any]) -> None:
    """Write a results file, with the state of the code that it was measured on."""
    from train import runs

    file.parent.mkdir(parents=True, exist_ok=True)
    environment = runs.environment("cpu")
    state = {key: environment[key] for key in ("git_sha", "dirty")}
    runs.save_results(file, {**results, **state})
    print(f"wrote {file}")
