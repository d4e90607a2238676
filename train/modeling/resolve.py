"""What a recipe leaves open, resolved once for a run: the precision and the commits on the Hub.

In: a recipe and its run folder. Out: the same recipe with a precision and with the commit of every
repository that it reads, equal in all processes. It is stored in `checkpoints/resolved.json`, from
which a resumed run takes it, so that nothing is chosen or asked for again.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from accelerate import PartialState
from accelerate.utils import broadcast_object_list, parse_flag_from_env

from train import run_folder
from train.data import sources
from train.errors import RecipeError, RunError, TrainError
from train.modeling import checkpoints, model, training
from train.recipe import Recipe, Source

FILE = Path(checkpoints.FOLDER) / "resolved.json"

Result = TypeVar("Result")


def once(call: Callable[[], Result]) -> Result:
    """The result, or the error, of a call that the main process alone makes; the others wait."""
    outcome: list[Any] = [None, None]
    # As AcceleratorState makes it; the first call in a process decides.
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
    """The recipe with its precision and commits; those of the run itself where it is resumed.

    Raises:
        RecipeError: The precision needs a device that isn't here.
        RunError: The same, of a run that is resumed.
        DataError, ModelError: A repository can't be read.
    """
    return once(lambda: (_stored(recipe, folder) if resume else None) or _resolved(recipe, folder))


def store(resolved: Recipe, folder: Path) -> None:
    """Keep what was resolved with the run."""
    file = folder / FILE
    file.parent.mkdir(exist_ok=True)
    run_folder.save_results(
        file,
        {
            "precision": resolved.precision,
            "base_revision": resolved.base_revision,
            "datasets": [dataset.revision for dataset in resolved.datasets],
            "corpora": [corpus.revision for corpus in _corpora(resolved)],
        },
    )


def _stored(recipe: Recipe, folder: Path) -> Recipe | None:
    """What `store` kept; None in a folder of before there was such a file."""
    file = folder / FILE
    if not file.is_file():
        return None
    try:
        resolved = _with(recipe, **json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise RunError(
            f"{file} can't be read ({error}) — remove it to choose what it holds anew, or train "
            "anew without --resume"
        ) from error
    try:
        training.choose_precision(resolved)
    except RecipeError as error:
        raise RunError(
            f"{folder} was started in {resolved.precision}, which this machine can't do — resume "
            "it on one that can, or train anew without --resume"
        ) from error
    return resolved


def _resolved(recipe: Recipe, folder: Path) -> Recipe:
    """Chosen and asked for now; what the base was adapted on is read at the same commits."""
    precision = training.choose_precision(recipe)
    known: dict[tuple[str, str | None, str | None], str | None] = {}
    adapted = run_folder.adapted_folder(folder)
    if recipe.base_model == str(adapted):
        pairs = zip(
            run_folder.load_recipe(adapted).datasets,
            run_folder.load_pinned_recipe(adapted).datasets,
            strict=True,
        )
        known = {_key(asked): read.revision for asked, read in pairs}

    def commit(source: Source) -> str | None:
        return known.get(_key(source)) or sources.revision(source)

    return _with(
        recipe,
        precision=precision,
        base_revision=model.revision(recipe),
        datasets=[commit(dataset) for dataset in recipe.datasets],
        corpora=[commit(corpus) for corpus in _corpora(recipe)],
    )


def _with(
    recipe: Recipe,
    precision: str,
    base_revision: str | None,
    datasets: list[str | None],
    corpora: list[str | None],
) -> Recipe:
    changed: dict[str, Any] = {
        "precision": precision,
        "base_revision": base_revision,
        "datasets": _at(recipe.datasets, datasets),
    }
    if recipe.adaptation:
        read = _at(recipe.adaptation.corpora, corpora)
        changed["adaptation"] = recipe.adaptation.model_copy(update={"corpora": read})
    return recipe.model_copy(update=changed)


def _at(asked: list[Any], commits: list[str | None]) -> list[Any]:
    return [
        source.model_copy(update={"revision": commit})
        for source, commit in zip(asked, commits, strict=True)
    ]


def _corpora(recipe: Recipe) -> list[Any]:
    return list(recipe.adaptation.corpora) if recipe.adaptation else []


def _key(source: Source) -> tuple[str, str | None, str | None]:
    return source.source, source.config, source.revision
