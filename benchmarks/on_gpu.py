"""Measurements on a GPU: half precision, `imdb-small` by seed, and `transformers.Trainer`.

In: the folder of IMDb's `train.parquet` and `test.parquet`, and that of MiniLM-L6. Out:
`gpu-precision.json`, `gpu-imdb-small.json` and `gpu-train.json`, rewritten after every measurement.
The parts run one after the other, each with a time limit; a part that fails doesn't stop the next.

    benchmarks/on_gpu.sh --imdb DIR --base DIR --out DIR
"""

import argparse
import shutil
import statistics
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

from benchmarks import children, machine, output_folder, precision, reviews, save, train
from train import recipe, run_folder
from train.pipeline import training_run

RECIPE = "imdb-small"  # MiniLM-L6 on IMDb's 25,000 training reviews alone
REVIEWS_PER_UPDATE = 32  # of 512 tokens at most: enough work to fill a large GPU
NO_CHECKPOINT = 1_000_000  # updates; the last one is written in any case
TINY_SHAPE = {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64}
TINY_SETTINGS = ["epochs=1", "batch_tokens=512", "max_position_embeddings=64", "max_tokens=64"]


def main() -> None:
    """Describe the machine, then run the parts."""
    options = parse_arguments()
    options.out.mkdir(parents=True, exist_ok=True)
    children.preload()
    described = children.call(machine.describe, 0.01 if options.tiny else 0.5, seconds=120)
    print(f"{described['gpu'] or described['cpu']}: {described['peak_gflops']} GFLOP/s", flush=True)
    # Time limits in seconds; their sum is less than 9 minutes.
    parts = {measure_precision: 160, measure_seeds: 190, compare_with_trainer: 130}
    failed = []
    for part, seconds in parts.items():
        started = time.monotonic()
        try:
            part(options, described, started + seconds)
        except Exception:
            traceback.print_exc()
            failed.append(part.__name__)
        print(f"{part.__name__}: {time.monotonic() - started:.0f} s", flush=True)
    if failed:
        sys.exit(f"not finished: {', '.join(failed)}")


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="benchmarks/on_gpu.sh", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--imdb", type=Path, required=True, help="folder of the Parquet files")
    parser.add_argument("--base", type=Path, required=True, help="folder of MiniLM-L6")
    parser.add_argument(
        "--out", type=output_folder, required=True, help="folder of the results files"
    )
    parser.add_argument(
        "--reviews", type=int, default=25_000, help="reviews per epoch in each precision"
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--tiny", action="store_true", help="toy sizes, for tests")
    return parser.parse_args()


def measure_precision(
    options: argparse.Namespace, described: dict[str, Any], deadline: float
) -> None:
    """An epoch of DistilBERT's architecture in fp32, fp16 and bf16."""
    count = 24 if options.tiny else options.reviews
    job = _job(options, described, count)
    order = [name for name in ["fp32", "fp16", "bf16"] if name in described["peak_gflops"]]
    rounds: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        job["base"] = _distilbert(options, folder)
        for name in order:
            measured = _measure({**job, "implementation": train.OURS, "precision": name}, deadline)
            rounds.append({"precision": name, **measured})
            results = {
                **_flat(rounds, described["peak_gflops"]),
                **_described(options, described, job),
                "rounds": rounds,
            }
            save(options.out / "gpu-precision.json", results)


def measure_seeds(options: argparse.Namespace, described: dict[str, Any], deadline: float) -> None:
    """The recipe of MiniLM-L6 on IMDb with several seeds, concurrently on one GPU."""
    with tempfile.TemporaryDirectory() as scratch:
        folders = {seed: Path(scratch) / f"seed-{seed}" for seed in range(options.seeds)}
        started = {
            seed: children.start(fit_seed, _settings(options, seed), folder)
            for seed, folder in folders.items()
        }
        runs: dict[int, dict[str, Any]] = {}
        for seed, succeeded in children.finished(started, deadline):
            if not succeeded:
                print(f"seed {seed} was not finished", file=sys.stderr)
                continue
            runs[seed] = run_folder.load_results(folders[seed])
            for kind in ["results.json", "test-predictions.parquet"]:
                kept = options.out / f"gpu-imdb-small-seed-{seed}-{kind}"
                shutil.copy(folders[seed] / kind, kept)
            save(options.out / "gpu-imdb-small.json", _seeds(runs, described))
    if len(runs) < options.seeds:
        raise RuntimeError(
            f"{options.seeds - len(runs)} of {options.seeds} seeds were not finished"
        )


def fit_seed(settings: list[str], folder: Path) -> None:
    """Train and evaluate one run of the recipe; in its own process."""
    training_run.fit(recipe.load(RECIPE, settings), folder)
    training_run.evaluate(folder)


def compare_with_trainer(
    options: argparse.Namespace, described: dict[str, Any], deadline: float
) -> None:
    """Trainer's defaults and best settings compared with ours, on DistilBERT's architecture."""
    job = _job(options, described, 24 if options.tiny else 6_000)
    order = [train.OURS, train.BEST, train.DEFAULT]
    order += [] if options.tiny else [train.OURS, train.BEST]
    rounds: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        job["base"] = _distilbert(options, folder)
        for implementation in order:
            measured = _measure({**job, "implementation": implementation}, deadline)
            rounds.append({"implementation": implementation, **measured})
            seconds = {
                name: statistics.median(r["seconds"] for r in rounds if r["implementation"] == name)
                for name in dict.fromkeys(order)
                if any(r["implementation"] == name for r in rounds)
            }
            results = {
                f"ratio_{name.replace(' ', '_')}": taken / seconds[train.OURS]
                for name, taken in seconds.items()
                if name != train.OURS
            }
            results["ours_seconds"] = seconds[train.OURS]
            results["ours_reviews_per_second"] = len(job["texts"]) / seconds[train.OURS]
            results |= _described(options, described, job)
            save(options.out / "gpu-train.json", {**results, "rounds": rounds})


def _job(options: argparse.Namespace, described: dict[str, Any], count: int) -> dict[str, Any]:
    texts, labels = reviews.load(str(options.imdb / "train.parquet"), count)
    job = train.job_for(texts, labels, described["peak_gflops"], options.base)
    job |= {"reviews_per_update": REVIEWS_PER_UPDATE, "checkpoint_every": NO_CHECKPOINT}
    return {**job, "reviews_per_update": 4, "max_tokens": 64} if options.tiny else job


def _measure(job: dict[str, Any], deadline: float) -> dict[str, Any]:
    measured: dict[str, Any] = children.call(train.run, job, seconds=deadline - time.monotonic())
    print(
        f"{job['implementation']} {job.get('precision', '')}: {measured['seconds']:.1f} s",
        flush=True,
    )
    return measured


def _flat(rounds: list[dict[str, Any]], peaks: dict[str, float]) -> dict[str, Any]:
    """The measurements of each precision, as keys that begin with its name."""
    flat: dict[str, Any] = {}
    for measured in rounds:
        name, seconds = measured["precision"], measured["epochs_seconds"]
        # Over `epochs_seconds`, which excludes validation and the checkpoint.
        gflops = measured["gflops"] * measured["seconds"] / seconds
        flat |= {
            f"{name}_epoch_seconds": seconds,
            f"{name}_saved_percent": 100 * (1 - seconds / rounds[0]["epochs_seconds"]),
            f"{name}_fraction_of_peak": gflops / peaks[name],
            f"{name}_peak_gpu_memory_mb": measured["peak_gpu_memory_mb"],
        }
    return flat


def _seeds(runs: dict[int, dict[str, Any]], described: dict[str, Any]) -> dict[str, Any]:
    """Mean and sample deviation over the seeds, and the metrics of each seed."""
    tests = {seed: results["metrics"]["test"] for seed, results in sorted(runs.items())}
    accuracies = [test["accuracy"] for test in tests.values()]
    first = next(iter(runs.values()))
    return {
        "accuracy_mean": statistics.mean(accuracies),
        "accuracy_stdev": statistics.stdev(accuracies) if len(accuracies) > 1 else None,
        "ece_mean": statistics.mean(test["ece"] for test in tests.values()),
        "train_seconds": max(results["training"]["seconds"] for results in runs.values()),
        "test_reviews": first["metrics"]["test"]["n"],
        "seeds": {str(seed): test for seed, test in tests.items()},
        "work": {
            "recipe": first["recipe"],
            "side_by_side": "the seeds share the GPU, so each takes longer than alone",
        },
        "machine": described,
    }


def _settings(options: argparse.Namespace, seed: int) -> list[str]:
    """The overrides that make the recipe read the local files."""
    local = [f"datasets.source={options.imdb}", "datasets.revision=null"]
    base = [f"base_model={options.base}", "base_revision=null"]
    return [*local, *base, f"seed={seed}", *(TINY_SETTINGS if options.tiny else [])]


def _distilbert(options: argparse.Namespace, folder: str) -> str:
    shape = TINY_SHAPE if options.tiny else None
    made = children.call(precision.distilbert, Path(folder), options.base, shape, seconds=60)
    return str(made)


def _described(
    options: argparse.Namespace, described: dict[str, Any], job: dict[str, Any]
) -> dict[str, Any]:
    work = {key: value for key, value in job.items() if key not in {"texts", "labels", "base"}}
    architecture = "DistilBERT, random weights" + ", tiny" * options.tiny
    return {
        "machine": described,
        "data": reviews.describe(str(options.imdb / "train.parquet"), job["texts"]),
        "work": {"architecture": architecture, **work},
    }


if __name__ == "__main__":
    main()
