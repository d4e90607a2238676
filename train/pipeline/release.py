"""Releases: a finished run as a small folder for this repository, and back.

In: a finished run folder. Out: `models/NAME`, the same files with fp16 weights and without ONNX.
A release is never written to: commands that write, or need ONNX, use its `working_copy`.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from train import console, run_folder
from train.environment import REPOSITORY
from train.errors import RunError
from train.publishing.published_files import is_public, sha256

MAX_BYTES = 60_000_000  # of all files
MAX_CHANGED = 1e-4  # share of the evaluated rows
SURE = 0.75  # rows with a higher probability are not scored again: rounding changes far less
STORAGE = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}  # name -> dtype of torch
WEIGHTS = "model.safetensors"
SAMPLE_TEXTS = 40  # for the check of the ONNX files
COPIES = Path("runs") / "released"


def write(run: Path, out: Path) -> None:
    """Write a finished run as a release; an earlier release in `out` is replaced.

    Its results get a section `release`: `storage` (of the weights), `sha256` of the weights file,
    `rows` (evaluated rows), `compared` (those that were scored again, because the model is not
    `SURE`) and, for each storage of the weights, `changed` (the share of all rows that change
    between right and wrong, which with two labels means that the label changes) and
    `largest_change` (of a probability, in the compared rows).

    Args:
        run: A trained, evaluated and exported run folder, on the machine that has its data.
        out: The folder of the release.

    Raises:
        RunError: The run is not finished or its code was not committed, `out` is something else,
            fp16 changes too many predictions or a probability by too much, or the release would be
            too large.
    """
    from train.publishing import card

    run_folder.check_complete(run)
    run_folder.check_committed(run)
    if out.exists() and not is_release(out):
        raise RunError(f"{out} exists and is not a release — choose another folder")
    results = run_folder.load_results(run)
    results["release"] = {"storage": "fp16", **_compare_storage(run)}
    draft = out.with_name(f".{out.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    for file in sorted(run.rglob("*")):
        name = file.relative_to(run).as_posix()
        if file.is_file() and is_public(name) and not name.startswith("onnx/"):
            (draft / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, draft / name)
    _convert(run / WEIGHTS, draft / WEIGHTS, "fp16")
    results["release"]["sha256"] = sha256(draft / WEIGHTS)
    run_folder.save_results(draft / "results.json", results)
    text = card.render(results, f"user/{results['recipe']['name']}")
    (draft / "README.md").write_text(text, encoding="utf-8")
    size = sum(file.stat().st_size for file in draft.rglob("*") if file.is_file())
    if size > MAX_BYTES:
        shutil.rmtree(draft)
        raise RunError(
            f"a release must have at most {MAX_BYTES / 1e6:.0f} MB, {run} makes one of "
            f"{size / 1e6:.0f} MB — publish the run to the Hub instead, or train a smaller model"
        )
    shutil.rmtree(out, ignore_errors=True)
    draft.replace(out)
    console.print_line(f"wrote {out}, {size / 1e6:.1f} MB")


def is_release(folder: Path) -> bool:
    """Whether a folder is a release, and not an ordinary run folder."""
    if not (folder / "results.json").is_file():
        return False
    release = run_folder.load_results(folder).get("release", {})
    return bool(release.get("storage") == "fp16")


def check_files(release: Path) -> None:
    """Raise `RunError` if a file of a release is missing."""
    required = [*run_folder.MODEL_FILES, "recipe.yaml", "results.json", "README.md"]
    if missing := [name for name in required if not (release / name).is_file()]:
        raise RunError(
            f"{release} is incomplete: {', '.join(missing)} missing — restore it with "
            f"`git checkout -- {release}`"
        )


def working_copy(folder: Path) -> Path:
    """The folder itself or, of a release, an ordinary run folder made from it.

    The copy of an earlier call is used again if it has the same weights, exported in the same way.
    """
    if not is_release(folder):
        return folder
    copy = _copy_of(folder)
    if (copy / "results.json").is_file():
        if origin(run_folder.load_results(copy)) == origin(run_folder.load_results(folder)):
            return copy
    return unpack(folder)


def origin(results: dict[str, Any]) -> tuple[Any, Any] | None:
    """The weights of a release or of its copy, and how the int8 file is made; None of others."""
    if "release" not in results:
        return None
    return results["release"]["sha256"], results["export"]["int8"].get("scheme")


def unpack(release: Path) -> Path:
    """Make a run folder with fp32 weights and ONNX files from a release; returns its path.

    Raises:
        RunError: The release is incomplete or damaged, or an exported model differs from it.
    """
    from train.publishing import export

    check_files(release)
    copy = _copy_of(release)
    if sha256(release / WEIGHTS) != run_folder.load_results(release)["release"]["sha256"]:
        raise RunError(
            f"{release / WEIGHTS} is not the file that results.json names — restore it with "
            f"`git checkout -- {release}`"
        )
    with run_folder.locked(copy):
        console.print_line(f"making {copy} from {release}: fp32 weights and ONNX files")
        draft = copy.with_name(f".{copy.name}.draft")
        shutil.rmtree(draft, ignore_errors=True)
        shutil.copytree(release, draft, copy_function=shutil.copyfile)
        _convert(release / WEIGHTS, draft / WEIGHTS, "fp32")
        results = run_folder.load_results(draft)
        results["release"]["storage"] = "fp32"
        run_folder.save_results(draft / "results.json", results)
        export.restore(draft, _sample_texts())
        shutil.rmtree(copy, ignore_errors=True)
        draft.replace(copy)
    return copy


def _copy_of(release: Path) -> Path:
    return COPIES / release.resolve().name


def _compare_storage(run: Path) -> dict[str, Any]:
    """`rows`, `compared`, `changed` and `largest_change` of the release; see `write`."""
    from scipy.special import softmax

    from train.data import preparation
    from train.evaluation import metrics, row_results
    from train.modeling import model
    from train.pipeline import training_run

    recipe = run_folder.load_pinned_recipe(run)
    name = recipe.evaluation_split
    split = preparation.load(recipe)[name]
    run_folder.check_split(run, name, split.sha256())
    rows = row_results.load(run / row_results.FILE)
    recorded = np.array(rows.loc[rows["part"] == name, "correct"], dtype=bool)
    predicted = metrics.load_predictions(run / f"{name}-predictions.parquet", recipe.labels)
    compared = np.flatnonzero(predicted.max(axis=1) <= SURE)
    classifier, tokenizer = model.load(str(run))
    weights = {key: value.clone() for key, value in classifier.state_dict().items()}
    changed, largest = dict[str, float](), dict[str, float]()
    for storage in STORAGE:
        rounded = {key: _stored(value, storage).to(value) for key, value in weights.items()}
        classifier.load_state_dict(rounded)
        again = predicted.copy()
        if len(compared):
            part = split.take(compared)
            scored = training_run.score(classifier, tokenizer, part, f"{name}, {storage}")
            again[compared] = softmax(scored["logits"], axis=1)
        is_right = again.argmax(axis=1) == np.array(split.labels)
        changed[storage] = float((is_right != recorded).mean())
        largest[storage] = float(np.abs(again - predicted).max())
        console.print_line(
            f"weights in {storage}: {changed[storage]:.4%} of {len(recorded):,} predictions change,"
            f" probabilities by at most {largest[storage]:.4f}"
        )
    _check_storage(changed, largest, name)
    return {
        "rows": len(recorded),
        "compared": len(compared),
        "changed": changed,
        "largest_change": largest,
    }


def _check_storage(changed: dict[str, float], largest: dict[str, float], name: str) -> None:
    """Raise `RunError` if fp16 changes too many predictions of a split, or one too much."""
    if (worst := max(changed["fp32"], changed["fp16"])) > MAX_CHANGED:
        raise RunError(
            f"storing the weights as fp16 must change at most {MAX_CHANGED:.2%} of the recorded "
            f"{name} predictions, got {worst:.4%} — evaluate the run again, or train it again"
        )
    if (worst := max(largest["fp32"], largest["fp16"])) > (SURE - 0.5) / 2:
        raise RunError(
            f"storing the weights as fp16 must change a recorded probability by at most "
            f"{(SURE - 0.5) / 2:.3f}, got {worst:.3f} — evaluate the run again, or train it again"
        )


def _convert(source: Path, target: Path, storage: str) -> None:
    """Copy a weights file in another storage; config.json still says fp32, so loaders convert."""
    from safetensors.torch import load_file, save_file

    weights = {key: _stored(value, storage) for key, value in load_file(source).items()}
    if not all(bool(value.isfinite().all()) for value in weights.values()):
        raise RunError(f"{source} has weights that {storage} can't store")
    save_file(weights, target, metadata={"format": "pt"})


def _stored(tensor: Any, storage: str) -> Any:
    import torch

    return tensor.to(getattr(torch, STORAGE[storage])) if tensor.is_floating_point() else tensor


def _sample_texts() -> list[str]:
    lines = (REPOSITORY / "train/samples/test.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["text"] for line in lines[:SAMPLE_TEXTS]]
