"""The tables that put the kinds of machines side by side, for `benchmarks.tables`.

In: `results/train-KIND.json` and `results/serve-KIND.json`, of own data `KIND-FILE`. Out: Markdown
with a row for each.
"""

import json
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

from benchmarks import RESULTS, serve

KINDS = ["epyc", "xeon", "avx2", "amx", "other"]  # see `machine.kind`


def training_table() -> str:
    """Training on each machine: speed, share of the peak, and Trainer's time divided by ours."""
    columns = ["tokens/s", "share of peak", "Trainer, default", "Trainer, best"]
    columns += ["Trainer, best without attention dropout"]
    ratios = ["ratio_trainer_default", "ratio_trainer_best", "ratio_trainer_best_fair"]

    def cells(results: dict[str, Any]) -> list[str]:
        own = [f"{results['tokens_per_second']:,.0f}", f"{results['fraction_of_peak']:.0%}"]
        return own + [_ratio(results, key) for key in ratios]

    return _table("train", columns, cells)


def serving_table() -> str:
    """Inference on each machine: the time of `pipeline()` divided by ours, and ours alone."""
    columns = ["engine of ours", "pipeline(), batch 1", "pipeline(), batch 32", "pipeline(), best"]
    columns += ["250 words, median", "cold start", "memory"]
    ratios = ["ratio_pipeline_batch1", "ratio_pipeline_batch32", "ratio_pipeline_best"]

    def cells(results: dict[str, Any]) -> list[str]:
        return [
            serve.own_row(results).removeprefix("ours, "),
            *[_ratio(results, key) for key in ratios],
            f"{results['p50_ms_250_words']:.1f} ms",
            f"{results['cold_first_answer_seconds']:.2f} s",
            f"{results['rss_mb']:,.0f} MB",
        ]

    return _table("serve", columns, cells)


def _table(
    benchmark: str, columns: Sequence[str], cells: Callable[[dict[str, Any]], list[str]]
) -> str:
    lines = [f"| measured on | {' | '.join(columns)} |", f"|---{'|---' * len(columns)}|"]
    lines += [f"| {name} | {' | '.join(cells(r))} |" for name, r in _measured(benchmark)]
    return "\n".join(lines)


def _measured(benchmark: str) -> list[tuple[str, dict[str, Any]]]:
    """What each results file of a benchmark was measured on, and its contents."""
    measured = []
    for kind in KINDS:
        for file in sorted(RESULTS.glob(f"{benchmark}-{kind}*.json"), key=attrgetter("stem")):
            results = json.loads(file.read_text(encoding="utf-8"))
            own_data = file.stem.removeprefix(f"{benchmark}-{kind}").lstrip("-")
            measured.append((_describe(results["machine"], own_data), results))
    return measured


def _describe(machine: dict[str, Any], own_data: str) -> str:
    """The CPU, its peak in bf16 and fp32 when it was measured, and the data if it was a file."""
    cpu = machine["cpu"].replace("(R)", "").removesuffix(" Processor")
    if any("amx" in flag for flag in machine.get("cpu_flags") or []):
        cpu += ", AMX"
    elif machine.get("instructions") == "AVX2":
        cpu += ", AVX2"
    peaks = machine["peak_gflops"]
    data = f", {own_data} reviews" if own_data else ""
    return (
        f"{machine['cores']} cores, {cpu} ({peaks['bf16']:,.0f} GFLOP/s in bf16, "
        f"{peaks['fp32']:,.0f} in fp32){data}"
    )


def _ratio(results: dict[str, Any], key: str) -> str:
    """A ratio; empty if the file has none, as those from before the ratio was measured."""
    return f"{results[key]:.1f}" if key in results else ""
