"""Prints a plan: the state of each step and the measured cost of each step to do.

In: the tasks of `train.pipeline.plan`, the results files of `benchmarks/results`, and the header
comments of the recipes. Out: lines for the terminal.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from train import console, run_folder
from train import recipe as recipes
from train import results as results_file
from train.environment import REPOSITORY
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
    """The measured cost of a step, or else what the header of its recipe says.

    Both are of a shipped recipe as it is: a run with other settings has no known cost.
    """
    name = _shipped_recipe(task)
    if name and (results := _measured_results(name)):
        yield _measured_cost(results)
        return
    yield NOT_MEASURED
    header = recipes.read_header(name) if name else {}
    for key in ["cost", "hardware"]:
        if key in header:
            yield f"{key}: {header[key]}"


def _measured_cost(results: dict[str, Any]) -> str:
    training, environment = results["training"], results["environment"]
    disk_mb = DISK_BYTES_PER_PARAMETER * training["parameters"] / 1e6
    return (
        f"time {console.format_duration(training['seconds'])}, memory "
        f"{training['peak_memory_mb']:,.0f} MB, disk {disk_mb:,.0f} MB, as measured on "
        f"{environment['device']}, {environment['cores']} cores"
    )


def _shipped_recipe(task: Task) -> str | None:
    """The name of the shipped recipe that a step runs without any override; None for others."""
    file = recipes.RECIPES / f"{task.arguments.get('name', '')}.yaml"
    if task.recipe is None or not task.is_run or not file.is_file():
        return None
    changes = run_folder.describe_changes(recipes.load(file), task.recipe)
    return None if changes else task.recipe.name


def _measured_results(name: str) -> dict[str, Any] | None:
    """The results file of a shipped recipe; None without one."""
    file = RESULTS / f"{name}.json"
    return results_file.parse(file.read_text(encoding="utf-8")) if file.is_file() else None


def _size_bytes(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
