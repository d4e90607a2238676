"""Inference speed compared with `pipeline()` and plain ONNX Runtime on the same texts.

Each implementation has its own warmed-up process; they alternate in rounds. In: a run folder with
its ONNX files, and the invented reviews or a file with `text` and `label`. Out: a table, a plot,
and `serve-KIND.json`, which begins with the ratios; KIND is that of `machine.kind`, and for a file
`KIND-FILE`.

    python -m benchmarks.serve [--model RUN] [--data FILE] [--out FOLDER]
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import (
    REPOSITORY,
    add_model,
    file_name,
    machine,
    model_folder,
    parser_of,
    plots,
    print_engine,
    reviews,
    save,
)
from space.inference.download import INT8_FILE
from space.inference.engine import (
    ONNXRUNTIME_FP32,
    ONNXRUNTIME_INT8,
    OPENVINO_BF16,
    openvino_fault,
)

if TYPE_CHECKING:
    from benchmarks.baselines.scorers import Score

OURS = {  # engine -> ours on it
    ONNXRUNTIME_FP32: "ours, fp32",
    ONNXRUNTIME_INT8: "ours, int8",
    OPENVINO_BF16: "ours, bf16 by OpenVINO",
}
PIPELINE_1, PIPELINE_32 = "pipeline(), batch 1", "pipeline(), batch 32"
PIPELINE_BEST = "pipeline(), faster precision, sorted by length"
BASELINES = [PIPELINE_1, PIPELINE_32, PIPELINE_BEST, "ONNX Runtime, fp32"]
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
    add_model(parser)
    parser.add_argument("--reviews", type=int, default=1000)
    parser.add_argument(
        "--rounds", type=int, default=4, help="parts that the reviews are split into"
    )
    options = parser.parse_args()
    options.model = model_folder(options.model)
    from train.modeling.cpu import bf16_is_faster  # imports torch, which ours doesn't need

    if not (options.model / INT8_FILE).is_file():
        parser.error(f"{options.model} has no {INT8_FILE}: choose a model that is exact in int8")
    texts, labels = reviews.load(options.data, options.reviews)
    engine = print_engine(options.model)
    own = OURS[engine["name"]]
    latency = _latency(options.model)  # before torch starts its threads
    precision = "bfloat16" if bf16_is_faster() else "float32"
    rounds = _alternate(options.model, texts, options.rounds, precision)
    measured = {name: _summary(answers, texts, labels) for name, answers in rounds.items()}
    results: dict[str, Any] = {
        "ratio_pipeline_batch1": _ratio(rounds, PIPELINE_1, own),
        "ratio_pipeline_batch32": _ratio(rounds, PIPELINE_32, own),
        "p50_ms_250_words": latency["p50_ms"],
        "cold_first_answer_seconds": _cold(options.model),
        "rss_mb": measured[own]["memory_mb"],
        "int8_accuracy_drop_points": 100
        * (
            measured[OURS[ONNXRUNTIME_FP32]]["accuracy"]
            - measured[OURS[ONNXRUNTIME_INT8]]["accuracy"]
        ),
        "ratio_pipeline_best": _ratio(rounds, PIPELINE_BEST, own),
        "p95_ms_250_words": latency["p95_ms"],
        "engine": engine,
        "best_pipeline_precision": precision,
        "machine": machine.describe(),
        "model": options.model.name,
        "data": reviews.describe(options.data, texts),
        "implementations": measured,
        **_curves(options.model),
    }
    name = file_name("serve", options.data)
    save(options.out / f"{name}.json", results)
    plots.serving(options.out / f"{name}.png", results)
    print(table(results))


def table(results: dict[str, Any]) -> str:
    """The speed, agreement and memory of each implementation, in Markdown."""
    rows = [
        f"| scoring | reviews/s | speedup of {own_row(results)} | labels equal to pipeline()'s "
        "| memory, then peak (MB) |",
        "|---|---|---|---|---|",
    ]
    ours = results["implementations"][own_row(results)]["reviews_per_second"]
    for name, measured in results["implementations"].items():
        speed = measured["reviews_per_second"]
        rows.append(
            f"| {name} | {speed:.1f} | {ours / speed:.1f} | {100 * measured['agreement']:.1f}% "
            f"| {measured['memory_mb']:,.0f}, {measured['peak_memory_mb']:,.0f} |"
        )
    return "\n".join(rows)


def own_row(results: dict[str, Any]) -> str:
    """The name of ours on the engine that was chosen; earlier files have int8 alone."""
    return OURS[results.get("engine", {"name": ONNXRUNTIME_INT8})["name"]]


def _alternate(
    model: Path, texts: list[str], rounds: int, precision: str
) -> dict[str, list[dict[str, Any]]]:
    """Each implementation's answers and seconds, for each part of the texts."""
    ours = dict(OURS)
    if fault := openvino_fault():
        print(f"without {ours.pop(OPENVINO_BF16)}: {fault}")
    job = {"folder": str(model), "texts": texts, "rounds": rounds, "precision": precision}
    processes = {name: _start(name, job) for name in [*BASELINES, *ours.values()]}
    answers_by_name: dict[str, list[dict[str, Any]]] = {name: [] for name in processes}
    for part in range(rounds):
        for name, process in processes.items():
            answers_by_name[name].append(_ask(name, process, str(part)))
            print(f"{name}: {answers_by_name[name][-1]['seconds']:.1f} s", flush=True)
    for process in processes.values():
        process.communicate(timeout=60)
    reference = [p for answer in answers_by_name[PIPELINE_1] for p in answer["probabilities"]]
    for answers in answers_by_name.values():
        answers[0]["reference"] = reference
    return answers_by_name


def _start(name: str, job: dict[str, Any]) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.serve", "--job"],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"},
    )
    _ask(name, process, json.dumps({**job, "implementation": name}))
    return process


def _ask(name: str, process: "subprocess.Popen[str]", request: str) -> dict[str, Any]:
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(request + "\n")
    process.stdin.flush()
    answer = process.stdout.readline()
    if not answer:
        sys.exit(f"the process of {name!r} exited; its output is above")
    parsed: dict[str, Any] = json.loads(answer)
    return parsed


def _serve() -> None:
    """An implementation's process: a job on the first line, then the number of a part on each."""
    output = sys.stdout
    with redirect_stdout(sys.stderr):
        job = json.loads(sys.stdin.readline())
        score = implementation(job["implementation"], Path(job["folder"]), job["precision"])
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


def implementation(name: str, folder: Path, precision: str) -> "Score":
    """The function of a row of the table, from texts to probabilities of the second label.

    Args:
        name: The row.
        folder: The run folder.
        precision: Of `pipeline()` at its best, the name of torch's type.
    """
    from benchmarks.baselines import scorers

    if name == PIPELINE_BEST:
        return scorers.best_pipeline(folder, precision)
    if name.startswith("pipeline"):
        return scorers.pipeline(folder, 1 if name == PIPELINE_1 else 32)
    if name.startswith("ONNX"):
        return scorers.onnxruntime(folder)
    return scorers.ours(folder, engine={row: engine for engine, row in OURS.items()}[name])


def _ratio(rounds: dict[str, list[dict[str, Any]]], baseline: str, own: str) -> float:
    """The baseline's time divided by ours, the median over rounds."""
    pairs = zip(rounds[baseline], rounds[own], strict=True)
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
