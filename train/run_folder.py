"""The run folder: the interface between all stages.

In and out: `runs/NAME/` as DESIGN draws it; `results.json` in it is the one source of every
number in the card, the README and the plots.
"""

import fnmatch
import json
import os
import platform
import resource
import shutil
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from itertools import chain, count
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from train import plain_yaml
from train import recipe as recipes
from train import results as results_file
from train.errors import RecipeError, RunError
from train.evaluation import row_results
from train.recipe import Recipe, shown

MODEL_FILES = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
PUBLIC = [  # patterns of what is published of a run folder
    *MODEL_FILES,
    *["special_tokens_map.json", "README.md", "recipe.yaml", "results.json"],
    *[
        "test-predictions.parquet",
        "validation-predictions.parquet",
        row_results.FILE,
        "plots/*.png",
        "onnx/model*.onnx",
    ],
]
LISTED = 20  # names of files in a line


def is_first_process() -> bool:
    """Under `accelerate launch` one process does what is to be done once."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep a run folder, or a file that is written, from all other processes in the block.

    The system releases the lock when the process ends, however it ends. The lock file lies beside
    the path and stays there: to remove it would let two processes in. A block inside a block of
    the same path goes through. Of several processes under `accelerate launch` the first holds it.

    Raises:
        RunError: Another process holds it.
    """
    if not is_first_process():
        yield
        return
    path = path.resolve()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Where nothing can be written beside the folder it can't be moved away either.
        beside = path.parent if os.access(path.parent, os.W_OK) else path
        lock = FileLock(beside / f".{path.name}.lock", is_singleton=True)
        lock.acquire(blocking=False)
    except Timeout:
        raise RunError(
            f"{path} is in use by another process — wait until that ends, or choose another place"
        ) from None
    except OSError as error:
        raise RunError(
            f"nothing can be written at {path} ({error}) — choose another place"
        ) from error
    try:
        yield
    finally:
        lock.release()


def changes(saved: Recipe, asked: Recipe) -> str:
    """What differs between two recipes, as far as the run does; empty where nothing does.

    Required steps are compared by their digests, where both recipes have one.
    """
    apart = {"requires", "requires_sha256"}
    changed = differences(saved.model_dump(exclude=apart), asked.model_dump(exclude=apart))
    digests = {saved.requires_sha256, asked.requires_sha256}
    is_stale = len(digests) == 2 and None not in digests
    return changed or "a step that it requires has changed" * is_stale


def differences(before: dict[str, Any], now: dict[str, Any]) -> str:
    """The keys whose values differ, each with both values."""
    changed = [key for key in now if now[key] != before.get(key)]
    return "; ".join(f"{key} was {before.get(key)!r}, now {now[key]!r}" for key in changed)


def check_resumable(folder: Path, recipe: Recipe) -> None:
    """Raise `RunError` unless the folder holds a run of this very recipe."""
    if not (folder / "recipe.yaml").exists():
        raise RunError(f"nothing to resume in {folder} — start without --resume")
    _check_same(load_recipe(folder), recipe, folder)


def prepare(folder: Path, recipe: Recipe) -> None:
    """Make the folder ready for a new run; an earlier run in it is moved aside, not lost."""
    if folder.exists() and any(not file.name.endswith(".lock") for file in folder.iterdir()):
        stamp = f"{folder.name}-{time.strftime('%Y%m%d-%H%M%S')}"
        extras = chain([""], map("-{}".format, count(2)))
        names = (folder.with_name(stamp + extra) for extra in extras)
        kept = next(name for name in names if not name.exists())
        folder.rename(kept)
        print_line(f"the earlier run is kept in {kept}")
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / "recipe.part"
    draft.write_text(recipes.dump(recipe), encoding="utf-8")
    draft.replace(folder / "recipe.yaml")


def load_recipe(folder: Path) -> Recipe:
    """The recipe that a run folder was made with."""
    try:
        values = plain_yaml.read(folder / "recipe.yaml")
    except RecipeError as error:
        raise RunError(f"{folder} is not a run folder: {error}") from error
    return recipes.parse(values, str(folder / "recipe.yaml"))


def as_read(folder: Path) -> Recipe:
    """The recipe of a run that is finished, with the commits that it read from the Hub."""
    recipe, results = load_recipe(folder), load_results(folder)
    # An adaptation of before the commits were on record has none.
    revisions = results["data"].get("revision", [None] * len(recipe.datasets))
    datasets = [
        dataset.model_copy(update={"revision": revision or dataset.revision})
        for dataset, revision in zip(recipe.datasets, revisions, strict=True)
    ]
    base_revision = results["training"].get("base_revision") or recipe.base_revision
    return recipe.model_copy(update={"datasets": datasets, "base_revision": base_revision})


def adapted_folder(run: Path) -> Path:
    """Where the adapted base of a run is: beside it."""
    return run.with_name(f"{run.name}-adapted")


def is_adapted(folder: Path) -> bool:
    """Whether an adaptation has come to its end there."""
    return (folder / "results.json").is_file()


def with_adapted_base(recipe: Recipe, run: Path) -> Recipe:
    """The recipe with the adapted base in the place of the original, where it asks for one.

    Raises:
        RunError: It was not adapted, or by another recipe.
    """
    if recipe.adaptation is None:
        return recipe
    folder = adapted_folder(run)
    if not is_adapted(folder):
        raise RunError(
            f"{folder} holds no adapted base model — `python -m train adapt` with the same recipe "
            "comes first, or leave it out with --set adaptation=null"
        )
    if changed := adapted_otherwise(folder, recipe):
        raise RunError(
            f"{folder} was adapted with another {' and '.join(changed)} — adapt again, or choose "
            "another folder with --out"
        )
    adapted = {"base_model": str(folder), "base_revision": None, "adaptation": None}
    return recipe.model_copy(update=adapted)


def adapted_otherwise(folder: Path, recipe: Recipe) -> list[str]:
    """The keys by which the adaptation there differs from that of a recipe."""
    made, keys = load_recipe(folder), ["adaptation", "base_model", "base_revision"]
    return [key for key in keys if getattr(made, key) != getattr(recipe, key)]


def lineage(recipe: Recipe) -> list[Path]:
    """The run folders that the base model has been through, the last first; of the Hub's, none."""
    folders: list[Path] = []
    while recipe.base_is_local and os.path.isfile(Path(recipe.base_model) / "recipe.yaml"):
        folder = Path(recipe.base_model)
        if folder in folders:  # one that was trained on from itself
            break
        folders.append(folder)
        recipe = load_recipe(folder)
    return folders


def load_results(folder: Path) -> dict[str, Any]:
    """The results of a run folder."""
    try:
        return results_file.parse((folder / "results.json").read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(
            f"{folder} has no results that can be read — run `python -m train fit` first: {error}"
        ) from error
    except RunError as error:
        raise RunError(f"{folder} has no results that can be read: {error}") from error


def save_results(file: Path, results: dict[str, Any]) -> None:
    """Write results whole or not at all."""
    draft = file.with_suffix(".part")
    draft.write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    draft.replace(file)


def check_complete(folder: Path) -> None:
    """Raise `RunError` unless everything that is published is there."""
    wanted = [*MODEL_FILES, "recipe.yaml", "results.json"]
    if missing := [name for name in wanted if not (folder / name).is_file()]:
        raise RunError(
            f"{folder} is incomplete, it lacks {', '.join(missing)} — finish it with "
            f"`python -m train fit RECIPE --out {folder} --resume`"
        )
    results = load_results(folder)
    # Without a test split, what `evaluate` adds to the figures of validation is `error_analysis`.
    adds = "test" if load_recipe(folder).evaluation_split == "test" else "error_analysis"
    if adds not in {**results, **results.get("metrics", {})}:
        raise RunError(
            f"{folder} was never evaluated — `python -m train evaluate {folder}` comes first"
        )
    check_exported(folder)


def check_exported(folder: Path) -> None:
    """Raise `RunError` unless the ONNX model is there."""
    if not (folder / "onnx" / "model.onnx").is_file():
        raise RunError(
            f"{folder} has no ONNX files — `python -m train export {folder}` comes first"
        )


def check_split(folder: Path, name: str, sha256: str) -> None:
    """Raise `RunError` unless this is the split that the run set apart."""
    if sha256 != load_results(folder)["data"]["splits"][name]["sha256"]:
        raise RunError(
            f"the {name} reviews are not those that {folder} set apart — the dataset changed "
            "since; pin it with datasets.revision and train again"
        )


def is_public(name: str) -> bool:
    """Whether a path in a run folder is one of those that are published."""
    parts = Path(name).parts
    return any(
        len(parts) == len(Path(pattern).parts) and fnmatch.fnmatchcase(name, pattern)
        for pattern in PUBLIC
    )


def public_files(folder: Path) -> dict[str, Path | bytes]:
    """What is published of a run, by path in the folder: the files named in `PUBLIC`.

    Of paths on this machine, in the recipe and the results, only the last part goes out.
    """
    files: dict[str, Path | bytes] = {
        name: file for name, file in _files_in(folder).items() if is_public(name)
    }
    results = load_results(folder)
    try:
        recipe = _without_paths(load_recipe(folder), results)
    except (TypeError, ValueError) as error:  # of other datasets than the recipe's
        raise RunError(
            f"{folder}: results.json is of another recipe than recipe.yaml — {results_file.REMEDY}"
        ) from error
    results["recipe"] = recipe.model_dump()
    results["data"]["repo"] = [dataset.source for dataset in recipe.datasets]
    files["recipe.yaml"] = recipes.dump(recipe).encode()
    files["results.json"] = json.dumps(results, indent=2, ensure_ascii=False).encode() + b"\n"
    return files


def print_left_out(folder: Path, files: Collection[str]) -> None:
    """Tell which files of a folder are not published; checkpoints and caches never are."""
    left = {
        name
        for name in _files_in(folder).keys() - set(files)
        if not name.startswith("checkpoints/") and "__pycache__" not in name
    }
    if left:
        print_line(f"of {folder} this leaves out {listing(left)}, which are not published")


def listing(names: Collection[str]) -> str:
    """How many files there are, and the first of their names."""
    shown = ", ".join(sorted(names)[:LISTED]) + ", …" * (len(names) > LISTED)
    return f"{len(names):,} file{'s' * (len(names) != 1)}: {shown}"


def check_disk(folder: Path, needed_bytes: int) -> None:
    """Raise `RunError` unless the disk under the folder has so much room."""
    existing = next(parent for parent in [folder, *folder.absolute().parents] if parent.exists())
    free = shutil.disk_usage(existing).free
    if free < needed_bytes:
        raise RunError(
            f"the run needs {needed_bytes / 1e6:,.0f} MB for weights and checkpoints, {existing} "
            f"has {free / 1e6:,.0f} MB free — make room, or choose another disk with --out"
        )


def reset_peak_memory() -> None:
    """Let `peak_memory_mb` begin anew, where the system can: Linux."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_memory_mb() -> float:
    """Most memory that this process has held, in MB (10^6 bytes)."""
    try:  # what getrusage says on Linux includes the process that started this one
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6
    except (OSError, IndexError):
        unit = 1 if platform.system() == "Darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def print_line(text: str) -> None:
    """A line for the person at the terminal, at once; of several processes, from the first."""
    import typer

    if is_first_process():
        typer.echo(text)


def _files_in(folder: Path) -> dict[str, Path]:
    return {
        file.relative_to(folder).as_posix(): file
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def _without_paths(recipe: Recipe, results: dict[str, Any]) -> Recipe:
    """What was local is on record, so it does not matter where this is asked."""
    datasets = [
        dataset.model_copy(update={"source": shown(dataset.source, local)})
        for dataset, local in zip(recipe.datasets, results["data"]["local"], strict=True)
    ]
    base_model = shown(recipe.base_model, results["training"]["base_is_local"])
    # Required steps name paths and sources here; whoever has none of them can't do them.
    changed: dict[str, Any] = {"datasets": datasets, "base_model": base_model, "requires": []}
    if recipe.adaptation:
        corpora = [
            corpus.model_copy(update={"source": shown(corpus.source, local)})
            for corpus, local in zip(
                recipe.adaptation.corpora, results["training"]["adaptation"]["local"], strict=True
            )
        ]
        changed["adaptation"] = recipe.adaptation.model_copy(update={"corpora": corpora})
    return recipe.model_copy(update=changed)


def _check_same(saved: Recipe, asked: Recipe, folder: Path) -> None:
    if changed := changes(saved, asked):
        raise RunError(
            f"{folder} was started with another recipe ({changed}) — resume with the same one, or "
            "train anew without --resume"
        )
