"""Costs: what the steps of a pipeline ask for, as far as it was measured, and what is there.

In: the tasks of `train.pipeline.plan`, the results files of `benchmarks/results`, which hold
measured runs, and the comments at the top of the recipes. Out: lines for the person at the
terminal.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from train import console
from train import recipe as recipes
from train import results as results_file
from train.errors import TrainError
from train.pipeline.plan import Task

RESULTS = Path(__file__).parent.parent.parent / "benchmarks" / "results"
NOT_MEASURED = "time, memory and disk not measured"
BYTES_PER_PARAMETER = 32  # of weights and checkpoints, at most: what `fit` asks for


def show(tasks: Sequence[Task]) -> None:
    """Print each step with what is there of it and, where it isn't finished, what it costs."""
    console.print_line("steps, in order:")
    for number, task in enumerate(tasks, 1):
        found = state(task, is_last=number == len(tasks))
        console.print_line(f"{number:>3}. {task.title} → {task.out}: {found}")
        if not task.is_done:
            for line in costs(task):
                console.print_line(f"     {line}")


def state(task: Task, is_last: bool = False) -> str:
    """What is there of a step's output; the last step makes room for itself."""
    if changed := task.changes():
        remedy = "is moved aside" if is_last else "must be renamed or removed first"
        return f"something else is there and {remedy} ({changed})"
    if task.is_done:
        return f"finished, {_size(task.out) / 1e6:,.1f} MB"
    return "begun, will go on" if task.is_begun else "missing"


def costs(task: Task) -> Iterator[str]:
    """What a step costs: of a run by its results file, else by its recipe's own words."""
    measured = _measured(task)
    if measured:
        yield _figures(measured)
    else:
        yield NOT_MEASURED
        if task.is_run:
            for key, text in _header(task).items():
                yield f"{key}: {text}"


def _figures(results: dict[str, Any]) -> str:
    training, environment = results["training"], results["environment"]
    adapted = (training.get("adaptation") or {}).get("seconds", 0)
    disk_mb = BYTES_PER_PARAMETER * training["parameters"] / 1e6
    return (
        f"time {_duration(training['seconds'] + adapted)}, memory "
        f"{training['peak_memory_mb']:,.0f} MB, disk {disk_mb:,.0f} MB, as measured on "
        f"{environment['device']}, {environment['cores']} cores"
    )


def _measured(task: Task) -> dict[str, Any] | None:
    """The results file of a shipped recipe; None of any other."""
    name = task.arguments.get("name", "")
    file = RESULTS / f"{name}.json"
    if not (task.is_run and (recipes.RECIPES / f"{name}.yaml").is_file() and file.is_file()):
        return None
    return results_file.parse(file.read_text(encoding="utf-8"))


def _header(task: Task) -> dict[str, str]:
    try:
        found = recipes.read_header(str(task.arguments["name"]))
    except TrainError:
        return {}
    return {key: found[key] for key in ["cost", "hardware"] if key in found}


def _duration(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.0f} min"


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
