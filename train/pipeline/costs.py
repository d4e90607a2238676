"""Prints a plan: the state of each step and the measured cost of each step to do.

In: the tasks of `train.pipeline.plan`, the results files of `benchmarks/results`, and the header
comments of the recipes. Out: lines for the terminal.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from train import console
from train import recipe as recipes
from train import results as results_file
from train.environment import REPOSITORY
from train.errors import TrainError
from train.pipeline.plan import Task

RESULTS = REPOSITORY / "benchmarks" / "results"
NOT_MEASURED = "time, memory and disk not measured"
DISK_BYTES_PER_PARAMETER = 32  # weights and checkpoints, at most; `fit` checks for it


def print_plan(tasks: Sequence[Task]) -> None:
    """Print each step with its state and, unless it is finished, its cost."""
    console.print_line("steps, in order:")
    for number, task in enumerate(tasks, 1):
        state = describe_state(task, is_last=number == len(tasks))
        console.print_line(f"{number:>3}. {task.title} → {task.out}: {state}")
        if not task.is_done:
            for line in describe_costs(task):
                console.print_line(f"     {line}")


def describe_state(task: Task, is_last: bool = False) -> str:
    """The state of a step's output; the last step may rename an earlier output."""
    if changes := task.changes():
        remedy = "will be renamed" if is_last else "must be renamed or removed first"
        return f"exists with other inputs and {remedy} ({changes})"
    if task.is_done:
        return f"finished, {_size_bytes(task.out) / 1e6:,.1f} MB"
    return "started, will be resumed" if task.is_started else "missing"


def describe_costs(task: Task) -> Iterator[str]:
    """The measured cost of a step, or else what the header of its recipe says."""
    if results := _measured_results(task):
        yield _measured_cost(results)
        return
    yield NOT_MEASURED
    if task.is_run:
        for key, text in _recipe_header(task).items():
            yield f"{key}: {text}"


def _measured_cost(results: dict[str, Any]) -> str:
    training, environment = results["training"], results["environment"]
    disk_mb = DISK_BYTES_PER_PARAMETER * training["parameters"] / 1e6
    return (
        f"time {_duration(training['seconds'])}, memory "
        f"{training['peak_memory_mb']:,.0f} MB, disk {disk_mb:,.0f} MB, as measured on "
        f"{environment['device']}, {environment['cores']} cores"
    )


def _measured_results(task: Task) -> dict[str, Any] | None:
    """The results file of a shipped recipe; None for any other step."""
    name = task.arguments.get("name", "")
    file = RESULTS / f"{name}.json"
    if not (task.is_run and (recipes.RECIPES / f"{name}.yaml").is_file() and file.is_file()):
        return None
    return results_file.parse(file.read_text(encoding="utf-8"))


def _recipe_header(task: Task) -> dict[str, str]:
    try:
        header = recipes.read_header(str(task.arguments["name"]))
    except TrainError:
        return {}
    return {key: header[key] for key in ["cost", "hardware"] if key in header}


def _duration(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.0f} min"


def _size_bytes(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
