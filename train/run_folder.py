"""The run folder `runs/NAME`: the interface between all steps.

In and out: the folder's recipe, results and lock; docs/architecture.md lists its files.
`results.json` is the one source of every number in the card, the documents and the plots.
"""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, count
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from train import console, plain_yaml
from train import recipe as recipes
from train import results as results_file
from train.errors import RecipeError, RunError
from train.recipe import Recipe

MODEL_FILES = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Lock a run folder, or a file that is being written, against all other processes.

    The operating system releases the lock when the process ends, also after a crash. The lock file
    lies beside the path and is never removed: removing it would let two processes in. Nested locks
    of the same path in one process succeed. Under `accelerate launch` the first process holds it.

    Raises:
        RunError: Another process holds the lock, or the lock file can't be written.
    """
    if not console.is_first_process():
        yield
        return
    path = path.resolve()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Without write permission on the parent the folder can't be moved either.
        beside = path.parent if os.access(path.parent, os.W_OK) else path
        lock = FileLock(beside / f".{path.name}.lock", is_singleton=True)
        lock.acquire(blocking=False)
    except Timeout:
        raise RunError(
            f"{path} is in use by another process — wait until it ends, or choose another path"
        ) from None
    except OSError as error:
        raise RunError(f"can't write to {path} ({error}) — choose another path") from error
    try:
        yield
    finally:
        lock.release()


def describe_changes(saved: Recipe, requested: Recipe) -> str:
    """The differences between two recipes that change the run; empty when there are none.

    Required steps are compared by their digests, if both recipes have one.
    """
    by_digest = {"requires", "requires_sha256"}
    changes = describe_differences(
        saved.model_dump(exclude=by_digest), requested.model_dump(exclude=by_digest)
    )
    digests = {saved.requires_sha256, requested.requires_sha256}
    is_stale = len(digests) == 2 and None not in digests
    return changes or "a required step has changed" * is_stale


def describe_differences(before: dict[str, Any], now: dict[str, Any]) -> str:
    """The keys whose values differ, each with both values."""
    changed = [key for key in now if now[key] != before.get(key)]
    return "; ".join(f"{key} was {before.get(key)!r}, now {now[key]!r}" for key in changed)


def check_resumable(folder: Path, recipe: Recipe) -> None:
    """Raise `RunError` unless the folder holds a run of this recipe."""
    if not (folder / "recipe.yaml").exists():
        raise RunError(f"nothing to resume in {folder} — start without --resume")
    if changes := describe_changes(load_recipe(folder), recipe):
        raise RunError(
            f"{folder} was started with another recipe ({changes}) — resume with the same recipe, "
            "or start again without --resume"
        )


def set_aside(folder: Path) -> None:
    """Rename a folder that has an earlier run, which is never deleted, and create a new one."""
    if folder.exists() and any(not file.name.endswith(".lock") for file in folder.iterdir()):
        stamp = f"{folder.name}-{time.strftime('%Y%m%d-%H%M%S')}"
        suffixes = chain([""], map("-{}".format, count(2)))
        names = (folder.with_name(stamp + suffix) for suffix in suffixes)
        backup = next(name for name in names if not name.exists())
        folder.rename(backup)
        console.print_line(f"moved the earlier run to {backup}")
    folder.mkdir(parents=True, exist_ok=True)


def prepare(folder: Path, recipe: Recipe) -> None:
    """Create the folder for a new run; see `set_aside`."""
    set_aside(folder)
    draft = folder / "recipe.part"
    draft.write_text(recipes.dump(recipe), encoding="utf-8")
    draft.replace(folder / "recipe.yaml")


def load_recipe(folder: Path) -> Recipe:
    """The recipe of a run folder, as it was requested.

    Raises:
        RunError: The folder has no readable `recipe.yaml`.
        RecipeError: The recipe breaks a rule.
    """
    _check_exists(folder)
    try:
        values = plain_yaml.read(folder / "recipe.yaml")
    except RecipeError as error:
        raise RunError(f"{folder} is not a run folder: {error}") from error
    return recipes.parse(values, str(folder / "recipe.yaml"))


def load_pinned_recipe(folder: Path) -> Recipe:
    """The recipe of a finished run, with the Hub commits that the run read."""
    recipe, results = load_recipe(folder), load_results(folder)
    revisions = results["data"].get("revision", [None] * len(recipe.datasets))
    datasets = [
        dataset.model_copy(update={"revision": revision or dataset.revision})
        for dataset, revision in zip(recipe.datasets, revisions, strict=True)
    ]
    base_revision = results["training"].get("base_revision") or recipe.base_revision
    return recipe.model_copy(update={"datasets": datasets, "base_revision": base_revision})


def lineage(recipe: Recipe) -> list[Path]:
    """The run folders that the base model was trained in, newest first; empty for a Hub model."""
    folders: list[Path] = []
    while recipe.base_is_local and os.path.isfile(Path(recipe.base_model) / "recipe.yaml"):
        folder = Path(recipe.base_model)
        if folder in folders:  # a run whose base model is the run itself
            break
        folders.append(folder)
        recipe = load_recipe(folder)
    return folders


def load_results(folder: Path) -> dict[str, Any]:
    """The results of a run folder.

    Raises:
        RunError: `results.json` is missing, unreadable or changed by hand.
    """
    _check_exists(folder)
    try:
        return results_file.parse((folder / "results.json").read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(
            f"{folder} has no readable results — run `python -m train fit` first: {error}"
        ) from error
    except RunError as error:
        raise RunError(f"{folder} has no readable results: {error}") from error


def save_results(file: Path, results: dict[str, Any]) -> None:
    """Write results atomically."""
    draft = file.with_suffix(".part")
    draft.write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    draft.replace(file)


def check_complete(folder: Path) -> None:
    """Raise `RunError` unless the run is trained, evaluated and exported."""
    _check_exists(folder)
    required = [*MODEL_FILES, "recipe.yaml", "results.json"]
    if missing := [name for name in required if not (folder / name).is_file()]:
        raise RunError(
            f"{folder} is incomplete: {', '.join(missing)} missing — finish it with "
            f"`python -m train fit RECIPE --out {folder} --resume`"
        )
    results = load_results(folder)
    # Only `evaluate` writes test metrics or, without a test split, `error_analysis`.
    marker = "test" if load_recipe(folder).evaluation_split == "test" else "error_analysis"
    if marker not in {**results, **results.get("metrics", {})}:
        raise RunError(f"{folder} is not evaluated — run `python -m train evaluate {folder}` first")
    check_exported(folder)


def check_committed(folder: Path) -> None:
    """Raise `RunError` if the run was trained or evaluated by code that is not in a commit."""
    results = load_results(folder)
    for section, verb in [("environment", "trained"), ("evaluation", "evaluated")]:
        if results.get(section, {}).get("dirty"):
            raise RunError(
                f"results on record must come from committed code, but {folder} was {verb} while "
                f"tracked files had changed — commit them, and the run must be {verb} again"
            )


def _check_exists(folder: Path) -> None:
    if not folder.is_dir():
        raise RunError(f"no run folder at {folder} — `python -m train fit RECIPE` writes one")


def check_exported(folder: Path) -> None:
    """Raise `RunError` unless the folder has the ONNX model."""
    if not (folder / "onnx" / "model.onnx").is_file():
        raise RunError(f"{folder} has no ONNX files — run `python -m train export {folder}` first")


def check_split(folder: Path, name: str, sha256: str) -> None:
    """Raise `RunError` unless the split equals the one that the run recorded."""
    if sha256 != load_results(folder)["data"]["splits"][name]["sha256"]:
        raise RunError(
            f"the {name} reviews differ from those that {folder} recorded — the dataset has "
            "changed; pin it with datasets.revision and train again"
        )
