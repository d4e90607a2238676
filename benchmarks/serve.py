"""Inference speed compared with `pipeline()` and plain ONNX Runtime on the same texts.

Each implementation has its own warmed-up process; they alternate in rounds. In: a run folder with
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
IMPLEMENTATIONS = [PIPELINE_1, PIPELINE_32, "ONNX Runtime, fp32", "ours, fp32", OURS]
COLD = """
import sys
from space.inference.classifier import Classifier
print(Classifier.from_hub(sys.argv[1]).predict("Not a minute too long.").label)
"""
COLD_STARTS = 5
LENGTHS = [16, 32, 64, 128, 256, 512, 1024, 2048]
BATCH_SIZES = [1, 2, 4, 8, 16, 32, 64]


def main() -> None:
    """Measure every implementation; print, plot and write the results."""
    parser = parser_of(__doc__)
    parser.add_argument("--model", type=Path, default=REPOSITORY / "runs" / "quickstart")
    parser.add_argument("--reviews", type=int, default=1000)
    parser.add_argument(
        "--rounds", type=int, default=4, help="parts that the reviews are split into"
    )
    options = parser.parse_args()
    for name in ["model.onnx", "model_quantized.onnx"]:
        if not (options.model / "onnx" / name).is_file():
            sys.exit(
                f"{options.model}/onnx/{name} is missing — run `make quickstart`, or pass another "
                "run folder with --model"
            )
    texts, labels = reviews.load(options.data, options.reviews)
    with tempfile.TemporaryDirectory() as folder:
        full = Path(folder) / "fp32"
        skip = shutil.ignore_patterns("model_quantized.onnx", "checkpoints", "plots")
        shutil.copytree(options.model, full, ignore=skip)
        rounds = _alternate(options.model, full, texts, options.rounds)
        measured = {name: _summary(rounds[name], texts, labels) for name in IMPLEMENTATIONS}
    latency = _latency(options.model)
    results: dict[str, Any] = {
        "ratio_pipeline_batch1": _ratio(rounds, PIPELINE_1),
        "ratio_pipeline_batch32": _ratio(rounds, PIPELINE_32),
        "p50_ms_250_words": latency["p50_ms"],
        "cold_first_answer_seconds": _cold(options.model),
        "rss_mb": measured[OURS]["memory_mb"],
        "int8_accuracy_drop_points": 100
        * (measured["ours, fp32"]["accuracy"] - measured[OURS]["accuracy"]),
        "p95_ms_250_words": latency["p95_ms"],
        "machine": machine.describe(),
        "model": options.model.name,
        "data": reviews.describe(options.data, texts),
        "implementations": measured,
        **_curves(options.model),
    }
    save(options.out / "serve.json", results)
    plots.serving(options.out / "serve.png", results)
    print(table(results))


def table(results: dict[str, Any]) -> str:
    """The speed, agreement and memory of each implementation, in Markdown."""
    rows = [
        "| scoring | reviews/s | speedup of ours (int8) | labels equal to pipeline()'s "
        "| memory, then peak (MB) |",
        "|---|---|---|---|---|",
    ]
    ours = results["implementations"][OURS]["reviews_per_second"]
    for name, measured in results["implementations"].items():
        speed = measured["reviews_per_second"]
        rows.append(
            f"| {name} | {speed:.1f} | {ours / speed:.1f} | {100 * measured['agreement']:.1f}% "
            f"| {measured['memory_mb']:,.0f}, {measured['peak_memory_mb']:,.0f} |"
        )
    return "\n".join(rows)


def _alternate(
    model: Path, full: Path, texts: list[str], rounds: int
) -> dict[str, list[dict[str, Any]]]:
    """Each implementation's answers and seconds, for each part of the texts."""
    processes = {
        name: _start(name, full if name != OURS else model, texts, rounds)
        for name in IMPLEMENTATIONS
    }
    answers_by_name: dict[str, list[dict[str, Any]]] = {name: [] for name in IMPLEMENTATIONS}
    for part in range(rounds):
        for name, process in processes.items():
            answers_by_name[name].append(_ask(process, str(part)))
            print(f"{name}: {answers_by_name[name][-1]['seconds']:.1f} s", flush=True)
    for process in processes.values():
        process.communicate(timeout=60)
    reference = [p for answer in answers_by_name[PIPELINE_1] for p in answer["probabilities"]]
    for answers in answers_by_name.values():
        answers[0]["reference"] = reference
    return answers_by_name


def _start(name: str, folder: Path, texts: list[str], rounds: int) -> "subprocess.Popen[str]":
    job = {"implementation": name, "folder": str(folder), "texts": texts, "rounds": rounds}
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


def _ask(process: "subprocess.Popen[str]", request: str) -> dict[str, Any]:
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(request + "\n")
    process.stdin.flush()
    answer = process.stdout.readline()
    if not answer:
        sys.exit(f"an implementation's process exited: {process.args}")
    parsed: dict[str, Any] = json.loads(answer)
    return parsed


def _serve() -> None:
    """An implementation's process: a job on the first line, then the number of a part on each."""
    output = sys.stdout
    with redirect_stdout(sys.stderr):
        job = json.loads(sys.stdin.readline())
        score = _implementation(job["implementation"], Path(job["folder"]))
        score(job["texts"][:8])  # warm up
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


def _implementation(name: str, folder: Path) -> Any:
    from benchmarks.baselines import scorers

    if name.startswith("pipeline"):
        return scorers.pipeline(folder, 1 if name == PIPELINE_1 else 32)
    return scorers.onnxruntime(folder) if name.startswith("ONNX") else scorers.ours(folder)


def _ratio(rounds: dict[str, list[dict[str, Any]]], baseline: str) -> float:
    """The baseline's time divided by ours, the median over rounds."""
    pairs = zip(rounds[baseline], rounds[OURS], strict=True)
    return statistics.median(theirs["seconds"] / ours["seconds"] for theirs, ours in pairs)


def _summary(
    answers: list[dict[str, Any]], texts: list[str], labels: list[int]
) -> dict[str, float]:
    probabilities = np.array([p for answer in answers for p in answer["probabilities"]])
    order = np.concatenate(
        [np.arange(len(texts))[part :: len(answers)] for part in range(len(answers))]
    )
    truth = np.array(labels)[order]
    reference = answers[0].get("reference")
    same = (probabilities > 0.5) == (np.array(reference) > 0.5) if reference else np.ones(1)
    return {
        "reviews_per_second": len(texts) / sum(answer["seconds"] for answer in answers),
        "accuracy": float(((probabilities > 0.5) == truth).mean()),
        "agreement": float(same.mean()),
        "memory_mb": answers[-1]["memory_mb"],
        "peak_memory_mb": answers[-1]["peak_memory_mb"],
    }


def _latency(model: Path) -> dict[str, float]:
    """Milliseconds from text to prediction, one review of 250 words at a time."""
    from benchmarks.baselines import scorers

    score, text = scorers.ours(model), " ".join(_words()[:250])
    milliseconds = []
    for _ in range(110):
        started = time.perf_counter()
        score([text])
        milliseconds.append(1000 * (time.perf_counter() - started))
    p50, p95 = np.percentile(milliseconds[10:], [50, 95])
    return {"p50_ms": float(p50), "p95_ms": float(p95)}


def _cold(model: Path) -> float:
    """Seconds from the start of a process to its first prediction, with the model in the cache.

    The Hub is a local one. As always, the client asks it for a newer revision.
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
        seconds = []
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
            seconds.append(time.perf_counter() - started)
        return statistics.median(seconds[1:])


def _curves(model: Path) -> dict[str, dict[str, float]]:
    """Reviews/s by length, by reviews per call, and by threads."""
    from benchmarks.baselines import scorers
    from space.inference.cpu import available_cores

    predict, words = scorers.ours(model), _words()

    def speed(texts: list[str], batch_size: int, score: Any = predict) -> float:
        started = time.perf_counter()
        for i in range(0, len(texts), batch_size):
            score(texts[i : i + batch_size])
        return len(texts) / (time.perf_counter() - started)

    def of_length(tokens: int, count: int) -> list[str]:
        size = round(tokens / 1.15)  # words of these reviews
        return [" ".join(words[7 * i : 7 * i + size]) for i in range(count)]

    sample = of_length(256, 64)
    return {
        "by_length": {str(n): speed(of_length(n, max(16, 16384 // n)), 1000) for n in LENGTHS},
        "by_batch": {str(n): speed(sample, n) for n in BATCH_SIZES},
        "by_threads": {
            str(n): speed(sample, 64, scorers.ours(model, n))
            for n in range(1, available_cores() + 1)
        },
    }


def _words() -> list[str]:
    return " ".join(reviews.load(None, 100)[0]).split()


if __name__ == "__main__":
    if "--job" in sys.argv:
        _serve()
    else:
        main()
