"""Training speed compared with `transformers.Trainer` on the same work.

Same model, reviews, epochs, reviews per update, learning rates and seed. Each implementation runs
in its own process; the rounds alternate. In: the invented reviews, or a file with `text` and
`label`. Out: a table, a plot, and `train-KIND.json`, which begins with the ratios; KIND is that of
`machine.kind`, and for a file `KIND-FILE`.

    python -m benchmarks.train [--data FILE] [--out FOLDER]
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from benchmarks import REPOSITORY, file_name, machine, parser_of, plots, reviews, save

OURS, BEST, DEFAULT = "ours", "trainer best", "trainer default"
FAIR = "trainer best, no attention dropout"  # ours has none either
# Our optimizations, disabled one at a time, and rejected ones, enabled.
VARIANTS = {
    "with attention dropout 0.1": {"attention_dropout": 0.1},
    "with torch's attention": {"off": ["use_fast_attention"]},
    "without hidden dropout": {"dropout": 0.0},
    "one micro-batch per update": {"micro_batch_tokens": 1 << 20},
    "micro-batches of 1,024 tokens": {"micro_batch_tokens": 1024},
    "micro-batches of 4,096 tokens": {"micro_batch_tokens": 4096},
    "with malloc's default settings": {"off": ["tune_malloc"]},
    "with the last layer for all tokens": {"off": ["use_first_token_only"]},
    "in the other precision": {"other_precision": True},
    "with torch.compile": {"compile": True},
}
PASSED_ON = [
    "dropout",
    "attention_dropout",
    "micro_batch_tokens",
    "checkpoint_every",
]  # to the recipe
LENGTHS = [64, 128, 256, 512, 1024, 2048]


def main() -> None:
    """Measure every implementation; print, plot and write the results."""
    parser = parser_of(__doc__)
    parser.add_argument("--reviews", type=int, default=192, help="number of training reviews")
    parser.add_argument(
        "--rounds", type=int, default=3, help="rounds of ours and of Trainer's best"
    )
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument(
        "--test",
        type=int,
        default=0,
        help="number of test reviews; compares accuracy instead of speed",
    )
    parser.add_argument(
        "--seeds", type=int, default=1, help="number of seeds when accuracy is compared"
    )
    options = parser.parse_args()
    texts, labels = reviews.load(options.data, options.reviews + options.test)
    described = machine.describe()
    job = {**job_for(texts, labels, described["peak_gflops"]), "epochs": options.epochs}
    if options.test:
        save(options.out / "train-quality.json", quality(job, options, described))
        return
    order = [OURS, BEST, FAIR, DEFAULT] + [OURS, BEST, FAIR] * (options.rounds - 1)
    measured = [measure(job, implementation) for implementation in order]
    variants = {name: measure(_third(job), OURS, **change) for name, change in VARIANTS.items()}
    plain = measure(_third(job), OURS)
    results = {
        **summary(measured, described),
        "machine": described,
        "data": reviews.describe(options.data, texts),
        "work": {k: v for k, v in job.items() if k not in {"texts", "labels", "base"}},
        "rounds": measured,
        "variants": {
            name: {**variant, "times_our_seconds": variant["seconds"] / plain["seconds"]}
            for name, variant in variants.items()
        },
        "tokens_per_second_by_length": _by_length(job),
    }
    name = file_name("train", options.data)
    save(options.out / f"{name}.json", results)
    plots.training(options.out / f"{name}.png", results)
    print(table(results))


def summary(measured: list[dict[str, Any]], described: dict[str, Any]) -> dict[str, float]:
    """The flat keys at the top of the results file: medians over rounds."""

    def median(implementation: str, key: str) -> float:
        return statistics.median(m[key] for m in measured if m["implementation"] == implementation)

    ours = median(OURS, "seconds")
    return {
        "ratio_trainer_default": median(DEFAULT, "seconds") / ours,
        "ratio_trainer_best": median(BEST, "seconds") / ours,
        "fraction_of_peak": median(OURS, "gflops") / max(described["peak_gflops"].values()),
        "peak_memory_mb": max(m["peak_memory_mb"] for m in measured if m["implementation"] == OURS),
        "ratio_trainer_best_fair": median(FAIR, "seconds") / ours,
        "tokenization_share": median(OURS, "tokenize_seconds") / ours,
        "reviews_per_second": median(OURS, "reviews_per_second"),
        "tokens_per_second": median(OURS, "tokens_per_second"),
    }


def table(results: dict[str, Any]) -> str:
    """The speed of each implementation and the effect of each optimization, in Markdown."""
    rows = ["| training | reviews/s | times as long as ours | memory (MB) |", "|---|---|---|---|"]
    ours = results["reviews_per_second"]
    for name in [DEFAULT, BEST, FAIR, OURS]:
        rounds = [m for m in results["rounds"] if m["implementation"] == name]
        if not rounds:  # files from before this row
            continue
        speed = statistics.median(m["reviews_per_second"] for m in rounds)
        memory = max(m["peak_memory_mb"] for m in rounds)
        rows.append(f"| {name} | {speed:.1f} | {ours / speed:.1f} | {memory:,.0f} |")
    rows += ["", "| change to ours | times as long |", "|---|---|"]
    for name, variant in results["variants"].items():
        rows.append(f"| {name} | {variant['times_our_seconds']:.2f} |")
    return "\n".join(rows)


def quality(job: dict[str, Any], options: Any, described: dict[str, Any]) -> dict[str, Any]:
    """Accuracy of ours and of Trainer's best settings after the same work, over several seeds."""
    train, test = slice(0, options.reviews), slice(options.reviews, None)
    shared = {**job, "texts": job["texts"][train], "labels": job["labels"][train]}
    tested = {"test_texts": job["texts"][test], "test_labels": job["labels"][test]}
    runs = [
        measure({**shared, **tested, "seed": seed}, implementation)
        for seed in range(options.seeds)
        for implementation in [OURS, BEST]
    ]
    accuracies = {
        implementation: [run["accuracy"] for run in runs if run["implementation"] == implementation]
        for implementation in [OURS, BEST]
    }
    for implementation, values in accuracies.items():
        print(f"{implementation}: {', '.join(f'{100 * accuracy:.1f}%' for accuracy in values)}")
    return {
        "accuracy_ours": statistics.mean(accuracies[OURS]),
        "accuracy_trainer_best": statistics.mean(accuracies[BEST]),
        "accuracies": accuracies,
        "machine": described,
        "data": reviews.describe(options.data, job["texts"]),
        "work": {"reviews": options.reviews, "tested_on": options.test, "epochs": options.epochs},
        "runs": runs,
    }


def job_for(
    texts: list[str], labels: list[int], peaks: dict[str, float], base: Path | None = None
) -> dict[str, Any]:
    """One epoch over these reviews, from MiniLM-L6 or another base, in updates of 16."""
    from train import quickstart
    from train.modeling import cpu

    return {
        "base": str(base or quickstart.base_folder()),
        "texts": texts,
        "labels": labels,
        "epochs": 1,
        "reviews_per_update": 16,
        "max_tokens": 512,
        "learning_rate": 1e-4,
        "seed": 0,
        "bf16_is_faster": peaks["bf16"] > cpu.MIN_BF16_SPEEDUP * peaks["fp32"],
    }


def _third(job: dict[str, Any]) -> dict[str, Any]:
    count = len(job["texts"]) // 3
    return {**job, "texts": job["texts"][:count], "labels": job["labels"][:count]}


def measure(job: dict[str, Any], implementation: str, **change: Any) -> dict[str, Any]:
    """One run in its own process."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "job.json"
        file.write_text(json.dumps({**job, "implementation": implementation, **change}))
        command = [sys.executable, "-m", "benchmarks.train", "--job", str(file)]
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{implementation} {change} failed:\n{done.stderr[-3000:]}")
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(f"{implementation} {change or ''}: {measured['seconds']:.1f} s", flush=True)
    return {"implementation": implementation, "seed": job["seed"], **measured}


def run(job: dict[str, Any]) -> dict[str, Any]:
    """Build, tokenize and train in this process; returns the measurements of this run."""
    from benchmarks.baselines import trainer
    from train import recipe
    from train.data.splits import Split
    from train.data.tokens import encode
    from train.evaluation import metrics
    from train.modeling import model

    run_recipe = recipe.parse(
        {
            "name": "benchmark",
            "datasets": [{"source": "none"}],
            "base_model": job["base"],
            **{k: job[k] for k in ("epochs", "max_tokens", "learning_rate", "seed")},
            **{k: job[k] for k in PASSED_ON if k in job},
        }
    )
    ours = job["implementation"] == OURS
    _disable(job.get("off", []))
    classifier, tokenizer = model.build(run_recipe)
    started = time.perf_counter()
    split = Split(job["texts"], job["labels"])
    tokens = encode(tokenizer, split).truncate(run_recipe.max_tokens, "head")
    tokenize_seconds = time.perf_counter() - started
    machine.start_gpu()
    if ours:
        seconds, epochs_seconds = _train_ours(
            job, run_recipe, classifier, tokens, tokenizer.pad_token_id
        )
    else:
        _as_published(classifier, attention_dropout=0.0 if job["implementation"] == FAIR else 0.1)
        seconds = epochs_seconds = trainer.train(job, classifier, tokenizer)
    read = job["epochs"] * int(tokens.lengths.sum())
    measured = {
        "seconds": seconds,
        "epochs_seconds": epochs_seconds,
        "tokenize_seconds": tokenize_seconds,
        "reviews_per_second": job["epochs"] * len(split) / seconds,
        "tokens_per_second": read / seconds,
        "gflops": 1e-9 * job["epochs"] * _flops(classifier.config, tokens.lengths) / seconds,
        "peak_memory_mb": machine.peak_memory_mb(),
        "peak_gpu_memory_mb": machine.peak_gpu_memory_mb(),
    }
    if "test_texts" in job:
        test = encode(tokenizer, Split(job["test_texts"], job["test_labels"])).truncate(512, "head")
        logits = metrics.predict(classifier, test, tokenizer.pad_token_id)
        measured["accuracy"] = float((logits.argmax(axis=1) == test.labels).mean())
    return measured


def _train_ours(
    job: dict[str, Any], run_recipe: Any, classifier: Any, tokens: Any, pad_id: int
) -> tuple[float, float]:
    """Seconds of `training.fit` with its validation (on 16 reviews) and checkpoint, and without."""
    import torch

    from train.data.tokens import Tokens
    from train.modeling import devices, training
    from train.modeling.schedule import plan_updates

    updates = len(tokens.ids) / job["reviews_per_update"]
    budget = job["reviews_per_update"] * int(tokens.lengths.mean())
    for _ in range(5):  # so that an update averages as many reviews as in Trainer
        planned, _ = plan_updates(tokens.lengths, 1, budget, run_recipe.seed)
        budget = round(budget * len(planned) / updates)
    precision = job.get("precision", "auto")
    if job.get("other_precision"):
        auto = devices.choose_precision(run_recipe.precision)
        precision = "bf16" if auto == "fp32" else "fp32"
    run_recipe = run_recipe.model_copy(update={"batch_tokens": budget, "precision": precision})
    if job.get("compile"):
        classifier.forward = torch.compile(classifier.forward, dynamic=True)
        for length in [64, 96]:  # compiled before the clock starts
            ids = torch.ones(2, length, dtype=torch.int64)
            classifier.train()(input_ids=ids, attention_mask=ids).logits.sum().backward()
        classifier.zero_grad()
    few = Tokens(tokens.ids[:16], tokens.labels[:16])
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        accelerator = devices.accelerator_for(run_recipe.precision)
        progress = training.fit(
            classifier, run_recipe, accelerator, tokens, few, pad_id, Path(folder)
        )
        return time.perf_counter() - started, progress.seconds


def _disable(names: list[str]) -> None:
    from train.modeling import cpu, first_token

    for name in names:
        module: Any = first_token if name == "use_first_token_only" else cpu
        setattr(module, name, lambda *_: None)


def _as_published(classifier: Any, attention_dropout: float) -> None:
    """Restore the model for Trainer: the full last layer, and dropout of attention weights."""
    encoder = classifier.base_model
    layers = (encoder.encoder if hasattr(encoder, "encoder") else encoder.transformer).layer
    layers[-1].__dict__.pop("forward", None)
    for layer in layers:  # of BERT, or of DistilBERT
        getattr(layer.attention, "self", layer.attention).dropout.p = attention_dropout


def _flops(config: Any, lengths: Any) -> float:
    """Operations of one epoch (forward and backward), with one token in the last layer."""
    width, layers = config.hidden_size, config.num_hidden_layers
    inner = config.hidden_dim if hasattr(config, "hidden_dim") else config.intermediate_size
    linear = 2 * (4 * width * width + 2 * width * inner)  # a token in a layer
    keys_and_values = 2 * 2 * width * width
    tokens, pairs = float(lengths.sum()), float((lengths.astype(float) ** 2).sum())
    whole = (layers - 1) * (linear * tokens + 4 * width * pairs)
    last = keys_and_values * tokens + (linear - keys_and_values) * len(lengths)
    return 3 * (whole + last + 4 * width * tokens)


def _by_length(job: dict[str, Any]) -> dict[str, float]:
    """Our training tokens/s over the length of the reviews."""
    words = " ".join(job["texts"]).split()
    speeds = {}
    for length in LENGTHS:
        count = max(16, 16384 // length)
        texts = [" ".join(words[i : i + length]) for i in range(0, count * 7, 7)]
        sized = {**job, "texts": texts, "labels": [i % 2 for i in range(count)]}
        speeds[str(length)] = measure({**sized, "max_tokens": length}, OURS)["tokens_per_second"]
    return speeds


if __name__ == "__main__":
    if sys.argv[1:2] == ["--job"]:
        job = json.loads(Path(sys.argv[2]).read_text())
        with redirect_stdout(sys.stderr):
            measured = run(job)
        print(json.dumps(measured))
    else:
        main()
