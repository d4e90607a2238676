"""Resolution of what a recipe leaves open: the precision, and the commits on the Hub.

In: a recipe and its run folder. Out: the same recipe with a precision and with the commit of every
repository that it reads, equal in all processes. `checkpoints/resolved.json` stores them for a
resumed run, which then neither chooses nor asks the Hub again.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from accelerate import Accelerator, PartialState
from accelerate.utils import broadcast_object_list, parse_flag_from_env

from train import run_folder
from train.data import sources
from train.errors import RecipeError, RunError, TrainError
from train.modeling import checkpoints, devices, model
from train.recipe import Recipe

FILE = Path(checkpoints.FOLDER) / "resolved.json"

Result = TypeVar("Result")


def on_main_process(call: Callable[[], Result]) -> Result:
    """Make a call in the main process alone; every process gets its result, or its error."""
    outcome: list[Any] = [None, None]
    # The first PartialState of a process decides the device: create it as AcceleratorState does.
    if PartialState(cpu=parse_flag_from_env("ACCELERATE_USE_CPU")).is_main_process:
        try:
            outcome[0] = call()
        except TrainError as error:
            outcome[1] = error
    broadcast_object_list(outcome)
    if outcome[1] is not None:
        raise outcome[1]
    result: Result = outcome[0]
    return result


def resolve(recipe: Recipe, folder: Path, *, resume: bool) -> Recipe:
    """The recipe with a precision and commits; a resumed run keeps those it started with.

    Raises:
        RecipeError: The device for the precision is missing.
        RunError: The same, in a resumed run.
        DataError, ModelError: A repository can't be read.
    """
    return on_main_process(lambda: (_load(recipe, folder) if resume else None) or _resolve(recipe))


def start_run(
    recipe: Recipe, resolved: Recipe, folder: Path, accelerator: Accelerator, *, resume: bool
) -> None:
    """Create the run folder, unless the run is resumed, and store what was resolved."""
    if accelerator.is_main_process:
        if not resume:
            run_folder.prepare(folder, recipe)
        store(resolved, folder)
    accelerator.wait_for_everyone()


def store(resolved: Recipe, folder: Path) -> None:
    """Save precision and commits in the run folder."""
    file = folder / FILE
    file.parent.mkdir(exist_ok=True)
    run_folder.save_results(
        file,
        {
            "precision": resolved.precision,
            "base_revision": resolved.base_revision,
            "datasets": [dataset.revision for dataset in resolved.datasets],
        },
    )


def _load(recipe: Recipe, folder: Path) -> Recipe | None:
    """The recipe with what `store` saved; None in the folder of an earlier version."""
    file = folder / FILE
    if not file.is_file():
        return None
    try:
        resolved = _updated(recipe, **json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise RunError(
            f"{file} can't be read ({error}) — remove it to resolve precision and commits again, "
            "or rename the run folder to train from scratch"
        ) from error
    try:
        devices.choose_precision(resolved.precision)
    except RecipeError as error:
        raise RunError(
            f"{folder} was started in {resolved.precision}, which this machine doesn't support — "
            "resume it on one that does, or rename the run folder to train from scratch"
        ) from error
    return resolved


def _resolve(recipe: Recipe) -> Recipe:
    """Choose the precision and ask the Hub for the commits."""
    return _updated(
        recipe,
        precision=devices.choose_precision(recipe.precision),
        base_revision=model.base_commit(recipe),
        datasets=[sources.revision(dataset) for dataset in recipe.datasets],
    )


def _updated(
    recipe: Recipe, precision: str, base_revision: str | None, datasets: list[str | None]
) -> Recipe:
    pinned = [
        dataset.model_copy(update={"revision": commit})
        for dataset, commit in zip(recipe.datasets, datasets, strict=True)
    ]
    return recipe.model_copy(
        update={"precision": precision, "base_revision": base_revision, "datasets": pinned}
    )
