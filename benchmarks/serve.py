"""Inference speed beside `pipeline()` and plain ONNX Runtime, on the same texts.

Every contestant has its own warm process; they alternate, round by round. In: a run folder with
its ONNX files, and the invented reviews or a file with `text` and `label`. Out: a table, a plot,
and `serve.json`, which begins with the ratios.

    python -m benchmarks.serve [--model RUN] [--data FILE] [--out FOLDER]
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import REPOSITORY, machine, parser_of, plots, reviews, save

OURS = "ours, int8"
PIPELINE_1, PIPELINE_32 = "pipeline(), batch 1", "pipeline(), batch 32"
CONTESTANTS = [PIPELINE_1, PIPELINE_32, "ONNX Runtime, fp32", "ours, fp32", OURS]
COLD = """
import sys
from space.inference.classifier import Classifier
print(Classifier.from_hub(sys.argv[1]).predict("Not a minute too long.").label)
"""
COLD_STARTS = 5
LENGTHS = [16, 32, 64, 128, 256, 512, 1024, 2048]
AT_ONCE = [1, 2, 4, 8, 16, 32, 64]


def main() -> None:
    """Run all contestants, print, plot and write the results."""
    parser = parser_of(__doc__)
    parser.add_argument("--model", type=Path, default=REPOSITORY / "runs" / "quickstart")
    parser.add_argument("--reviews", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=4, help="parts that the reviews come in")
    given = parser.parse_args()
    for name in ["model.onnx", "model_quantized.onnx"]:
        if not (given.model / "onnx" / name).is_file():
            sys.exit(
                f"{given.model}/onnx/{name} is missing — `make quickstart` first, or name a run "
                "folder with --model"
            )
    texts, labels = reviews.load(given.data, given.reviews)
    with tempfile.TemporaryDirectory() as folder:
        full = Path(folder) / "fp32"
        skip = shutil.ignore_patterns("model_quantized.onnx", "checkpoints", "plots")
        shutil.copytree(given.model, full, ignore=skip)
        rounds = _in_turn(given.model, full, texts, given.rounds)
        measured = {name: _summary(rounds[name], texts, labels) for name in CONTESTANTS}
    latency = _latency(given.model)
    results: dict[str, Any] = {
        "ratio_pipeline_batch1": _ratio(rounds, PIPELINE_1),
        "ratio_pipeline_batch32": _ratio(rounds, PIPELINE_32),
        "p50_ms_250_words": latency["p50_ms"],
        "cold_first_answer_seconds": _cold(given.model),
        "rss_mb": measured[OURS]["memory_mb"],
        "int8_accuracy_drop_points": 100
        * (measured["ours, fp32"]["accuracy"] - measured[OURS]["accuracy"]),
        "p95_ms_250_words": latency["p95_ms"],
        "machine": machine.describe(),
        "model": given.model.name,
        "data": reviews.describe(given.data, texts),
        "contestants": measured,
        **_curves(given.model),
    }
    save(given.out / "serve.json", results)
    plots.serving(given.out / "serve.png", results)
    print(table(results))


def table(results: dict[str, Any]) -> str:
    """The contestants, in Markdown."""
    rows = [
        "| scoring | reviews/s | speedup of ours (int8) | labels equal to pipeline()'s "
        "| memory, then peak (MB) |",
        "|---|---|---|---|---|",
    ]
    ours = results["contestants"][OURS]["reviews_per_second"]
    for name, found in results["contestants"].items():
        speed = found["reviews_per_second"]
        rows.append(
            f"| {name} | {speed:.1f} | {ours / speed:.1f} | {100 * found['agreement']:.1f}% "
            f"| {found['memory_mb']:,.0f}, {found['peak_memory_mb']:,.0f} |"
        )
    return "\n".join(rows)


def _in_turn(
    model: Path, full: Path, texts: list[str], rounds: int
) -> dict[str, list[dict[str, Any]]]:
    """Each contestant's answers and seconds, for each part of the texts."""
    processes = {
        name: _start(name, full if name != OURS else model, texts, rounds) for name in CONTESTANTS
    }
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in CONTESTANTS}
    for part in range(rounds):
        for name, process in processes.items():
            found[name].append(_ask(process, str(part)))
            print(f"{name}: {found[name][-1]['seconds']:.1f} s", flush=True)
    for process in processes.values():
        process.communicate(timeout=60)
    reference = [p for answer in found[PIPELINE_1] for p in answer["probabilities"]]
    for answers in found.values():
        answers[0]["reference"] = reference
    return found


def _start(name: str, folder: Path, texts: list[str], rounds: int) -> "subprocess.Popen[str]":
    job = {"contestant": name, "folder": str(folder), "texts": texts, "rounds": rounds}
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.serve", "--job"],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    _ask(process, json.dumps(job))
    return process


def _ask(process: "subprocess.Popen[str]", line: str) -> dict[str, Any]:
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()
    answer = process.stdout.readline()
    if not answer:
        sys.exit(f"a contestant ended: {process.args}")
    found: dict[str, Any] = json.loads(answer)
    return found


def _serve() -> None:
    """A contestant's process: a job on the first line, then the number of a part on each."""
    output = sys.stdout
    with redirect_stdout(sys.stderr):
        job = json.loads(sys.stdin.readline())
        score = _contestant(job["contestant"], Path(job["folder"]))
        score(job["texts"][:8])  # warm
        print(json.dumps({"ready": True}), file=output, flush=True)
        for line in sys.stdin:
            texts = job["texts"][int(line) :: job["rounds"]]
            started = time.perf_counter()
            probabilities = score(texts)
            answer = {
                "seconds": time.perf_counter() - started,
                "probabilities": probabilities,
                "memory_mb": machine.memory_mb(),
                "peak_memory_mb": machine.peak_memory_mb(),
            }
            print(json.dumps(answer), file=output, flush=True)


def _contestant(name: str, folder: Path) -> Any:
    from benchmarks.peers import callers

    if name.startswith("pipeline"):
        return callers.pipeline(folder, 1 if name == PIPELINE_1 else 32)
    return callers.onnxruntime(folder) if name.startswith("ONNX") else callers.ours(folder)


def _ratio(rounds: dict[str, list[dict[str, Any]]], peer: str) -> float:
    """The other contestant's time divided by ours, the median over rounds."""
    pairs = zip(rounds[peer], rounds[OURS], strict=True)
    return statistics.median(theirs["seconds"] / ours["seconds"] for theirs, ours in pairs)


def _summary(
    answers: list[dict[str, Any]], texts: list[str], labels: list[int]
) -> dict[str, float]:
    found = np.array([p for answer in answers for p in answer["probabilities"]])
    order = np.concatenate(
        [np.arange(len(texts))[part :: len(answers)] for part in range(len(answers))]
    )
    truth = np.array(labels)[order]
    reference = answers[0].get("reference")
    same = (found > 0.5) == (np.array(reference) > 0.5) if reference else np.ones(1)
    return {
        "reviews_per_second": len(texts) / sum(answer["seconds"] for answer in answers),
        "accuracy": float(((found > 0.5) == truth).mean()),
        "agreement": float(same.mean()),
        "memory_mb": answers[-1]["memory_mb"],
        "peak_memory_mb": answers[-1]["peak_memory_mb"],
    }


def _latency(model: Path) -> dict[str, float]:
    """Milliseconds from text to prediction, one review of 250 words at a time."""
    from benchmarks.peers import callers

    score, text = callers.ours(model), " ".join(_words()[:250])
    taken = []
    for _ in range(110):
        started = time.perf_counter()
        score([text])
        taken.append(1000 * (time.perf_counter() - started))
    p50, p95 = np.percentile(taken[10:], [50, 95])
    return {"p50_ms": float(p50), "p95_ms": float(p95)}


def _cold(model: Path) -> float:
    """Seconds from the start of a process to its first prediction, with the model in the cache.

    The Hub is a local one, and is asked whether there is anything new, as always.
    """
    from huggingface_hub import HfApi

    from train import quickstart

    repo_id = f"{quickstart.MODEL.partition('/')[0]}/benchmark"
    with tempfile.TemporaryDirectory() as folder, quickstart.local_hub(Path(folder)) as endpoint:
        environment = quickstart.client_environment(endpoint, Path(folder))
        environment["HF_HOME"] = f"{folder}/cache"
        api = HfApi(endpoint=endpoint, token=environment["HF_TOKEN"])
        api.create_repo(repo_id)
        api.upload_folder(repo_id=repo_id, folder_path=model, ignore_patterns="checkpoints/*")
        taken = []
        for _ in range(1 + COLD_STARTS):  # the first fills the cache
            started = time.perf_counter()
            subprocess.run(
                [sys.executable, "-c", COLD, repo_id],
                cwd=REPOSITORY,
                env=environment,
                check=True,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            taken.append(time.perf_counter() - started)
        return statistics.median(taken[1:])


def _curves(model: Path) -> dict[str, dict[str, float]]:
    """Reviews/s over length, over reviews in a call, and over threads."""
    from benchmarks.peers import callers
    from space.inference.cpu import available_cores

    score, words = callers.ours(model), _words()

    def speed(texts: list[str], at_once: int, ask: Any = score) -> float:
        started = time.perf_counter()
        for i in range(0, len(texts), at_once):
            ask(texts[i : i + at_once])
        return len(texts) / (time.perf_counter() - started)

    def of_length(tokens: int, count: int) -> list[str]:
        size = round(tokens / 1.15)  # words of these reviews
        return [" ".join(words[7 * i : 7 * i + size]) for i in range(count)]

    some = of_length(256, 64)
    return {
        "by_length": {str(n): speed(of_length(n, max(16, 16384 // n)), 1000) for n in LENGTHS},
        "by_batch": {str(n): speed(some, n) for n in AT_ONCE},
        "by_threads": {
            str(n): speed(some, 64, callers.ours(model, n)) for n in range(1, available_cores() + 1)
        },
    }


def _words() -> list[str]:
    return " ".join(reviews.load(None, 100)[0]).split()


if __name__ == "__main__":
    if "--job" in sys.argv:
        _serve()
    else:
        main()
