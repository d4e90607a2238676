"""Speed, memory and accuracy of half precision: the same batches in fp32, bf16 and, on CUDA, fp16.

Speed and memory are measured on DistilBERT's architecture with random weights; with `--test`, the
accuracy of MiniLM-L6 after the same work in each precision. Each run has its own process; several
rounds alternate. In: the invented reviews, or a file with `text` and `label`. Out: a table and
`precision.json`.

    python -m benchmarks.precision [--data FILE] [--test ROWS] [--out FOLDER]
"""

import statistics
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import machine, parser_of, reviews, save, train


def main() -> None:
    """Measure each precision; print and write the results."""
    parser = parser_of(__doc__)
    parser.add_argument("--reviews", type=int, default=96, help="number of training reviews")
    parser.add_argument("--rounds", type=int, default=3, help="per precision")
    parser.add_argument(
        "--test", type=int, default=0, help="number of test reviews; 0 skips the accuracy"
    )
    options = parser.parse_args()
    texts, labels = reviews.load(options.data, options.reviews + options.test)
    described = machine.describe()
    peaks: dict[str, float] = described["peak_gflops"]  # type: ignore[assignment]
    job = train.job_for(texts[: options.reviews], labels[: options.reviews], peaks)
    with tempfile.TemporaryDirectory() as folder:
        speed_job = {**job, "base": distilbert(Path(folder))}
        rounds = [
            {"precision": precision, **train.measure(speed_job, train.OURS, precision=precision)}
            for _ in range(options.rounds)
            for precision in peaks
        ]
    results = {
        "precisions": {precision: summary(precision, rounds, peaks) for precision in peaks},
        "machine": described,
        "data": reviews.describe(options.data, texts),
        "work": {"architecture": "DistilBERT, random weights", "reviews": options.reviews},
        "rounds": rounds,
    }
    if options.test:
        tested = {"test_texts": texts[options.reviews :], "test_labels": labels[options.reviews :]}
        for precision, measured in results["precisions"].items():
            trained = train.measure({**job, **tested}, train.OURS, precision=precision)
            measured["minilm_accuracy"] = trained["accuracy"]
    save(options.out / "precision.json", results)
    print(table(results))


def distilbert(folder: Path, base: Path | None = None, shape: dict[str, int] | None = None) -> str:
    """A base of DistilBERT's shape with random weights; MiniLM's tokenizer is the same.

    Args:
        folder: Where it is written.
        base: The folder of MiniLM; by default that of the installed package.
        shape: Arguments of `DistilBertConfig` for another size.
    """
    from transformers import AutoTokenizer, DistilBertConfig, DistilBertForMaskedLM

    from train import quickstart

    DistilBertForMaskedLM(DistilBertConfig(**shape or {})).save_pretrained(folder)
    AutoTokenizer.from_pretrained(base or quickstart.base_folder()).save_pretrained(folder)
    return str(folder)


def summary(
    precision: str, rounds: list[dict[str, Any]], peaks: dict[str, float]
) -> dict[str, float | None]:
    """Medians over the rounds, and the time saved against fp32, in percent."""

    def median(key: str, of: str = precision) -> float:
        return statistics.median(r[key] for r in rounds if r["precision"] == of)

    on_gpu = rounds[0]["peak_gpu_memory_mb"] is not None
    return {
        "seconds": median("seconds"),
        "saved_percent": 100 * (1 - median("seconds") / median("seconds", "fp32")),
        "tokens_per_second": median("tokens_per_second"),
        "fraction_of_peak": median("gflops") / peaks[precision],
        "peak_memory_mb": median("peak_memory_mb"),
        "peak_gpu_memory_mb": median("peak_gpu_memory_mb") if on_gpu else None,
    }


def table(results: dict[str, Any]) -> str:
    """The measurements of each precision, in Markdown."""
    rows = [
        "| precision | tokens/s | time saved | memory (MB) | share of peak speed |",
        "|---|---|---|---|---|",
    ]
    for precision, measured in results["precisions"].items():
        speed, memory = measured["tokens_per_second"], measured["peak_memory_mb"]
        rows.append(
            f"| {precision} | {speed:,.0f} | {measured['saved_percent']:.0f}% "
            f"| {measured['peak_gpu_memory_mb'] or memory:,.0f} "
            f"| {100 * measured['fraction_of_peak']:.0f}% |"
        )
    return "\n".join(rows)


if __name__ == "__main__":
    main()
