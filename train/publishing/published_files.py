"""Which files of a run folder are published, with local paths removed from them.

In: a run folder. Out: path in the repository → file or content. Only files that match a pattern in
`PUBLIC` are published; checkpoints and caches never are.
"""

import fnmatch
import hashlib
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from train import console, run_folder
from train import recipe as recipes
from train import results as results_file
from train.errors import RunError
from train.evaluation import row_results
from train.publishing import golden_scores
from train.recipe import Recipe
from train.sections import public_name

PUBLIC = [
    *run_folder.MODEL_FILES,
    "special_tokens_map.json",
    "README.md",
    "recipe.yaml",
    "results.json",
    "test-predictions.parquet",
    "validation-predictions.parquet",
    row_results.FILE,
    golden_scores.FILE,
    "plots/*.png",
    "onnx/model*.onnx",
]


def is_public(name: str) -> bool:
    """Whether a path, relative to the run folder, is published."""
    parts = Path(name).parts
    return any(
        len(parts) == len(Path(pattern).parts) and fnmatch.fnmatchcase(name, pattern)
        for pattern in PUBLIC
    )


def public_files(folder: Path) -> dict[str, Path | bytes]:
    """The published files of a run, by their path relative to the folder.

    `recipe.yaml` and `results.json` are rewritten: of a local path only the last part is published.

    Raises:
        RunError: `results.json` lists other datasets than `recipe.yaml`.
    """
    files: dict[str, Path | bytes] = {
        name: file for name, file in _files_in(folder).items() if is_public(name)
    }
    results = run_folder.load_results(folder)
    try:
        recipe = _without_paths(run_folder.load_recipe(folder), results)
    except (TypeError, ValueError) as error:  # other datasets than the recipe's
        raise RunError(
            f"{folder}: results.json is of another recipe than recipe.yaml — {results_file.REMEDY}"
        ) from error
    results["recipe"] = recipe.model_dump()
    results["data"]["repo"] = [dataset.source for dataset in recipe.datasets]
    files["recipe.yaml"] = recipes.dump(recipe).encode()
    files["results.json"] = json.dumps(results, indent=2, ensure_ascii=False).encode() + b"\n"
    return files


def print_unpublished(folder: Path, published: Collection[str]) -> None:
    """Print which files of a folder are not published, except checkpoints and caches."""
    unpublished = {
        name
        for name in _files_in(folder).keys() - set(published)
        if not name.startswith("checkpoints/") and "__pycache__" not in name
    }
    if unpublished:
        console.print_line(f"not published from {folder}: {console.summarize_names(unpublished)}")


def _files_in(folder: Path) -> dict[str, Path]:
    return {
        file.relative_to(folder).as_posix(): file
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def _without_paths(recipe: Recipe, results: dict[str, Any]) -> Recipe:
    """The recipe without local paths; the results record which sources were local."""
    datasets = [
        dataset.model_copy(update={"source": public_name(dataset.source, local)})
        for dataset, local in zip(recipe.datasets, results["data"]["local"], strict=True)
    ]
    base_model = public_name(recipe.base_model, results["training"]["base_is_local"])
    # Required steps name local paths, which nobody else has.
    return recipe.model_copy(
        update={"datasets": datasets, "base_model": base_model, "requires": []}
    )


def sha256(file: Path | bytes) -> str:
    """The SHA-256 of a file or of its content, in hexadecimal digits."""
    if isinstance(file, bytes):
        return hashlib.sha256(file).hexdigest()
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
