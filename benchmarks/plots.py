"""Plots of the benchmarks, as PNG: speed and memory over the amount of work."""

from collections.abc import Callable
from pathlib import Path
from typing import Any


def training(file: Path, results: dict[str, Any]) -> None:
    """Training tokens/s over the length of the reviews."""
    curve = results["tokens_per_second_by_length"]

    def draw(axes: list[Any]) -> None:
        _line(axes[0], curve, "tokens in a review", "tokens/s", "Training")

    _figure(file, 1, draw)


def serving(file: Path, results: dict[str, Any]) -> None:
    """Reviews/s over length, over reviews per call, and over threads."""
    title = f"Scoring, {results['engine']['name']}"

    def draw(axes: list[Any]) -> None:
        for axis, (key, label) in zip(
            axes,
            {
                "by_length": "tokens in a review",
                "by_batch": "reviews in a call",
                "by_threads": "threads",
            }.items(),
            strict=True,
        ):
            _line(axis, results[key], label, "reviews/s", title)

    _figure(file, 3, draw)


def bulk(file: Path, results: dict[str, Any]) -> None:
    """Peak memory of bulk scoring over rows."""
    curve = dict(zip(map(str, results["rows"]), results["peak_mb"], strict=True))

    def draw(axes: list[Any]) -> None:
        _line(axes[0], curve, "rows", "peak memory (MB)", "Bulk scoring")
        axes[0].set_ylim(0, None)

    _figure(file, 1, draw)


def _line(axis: Any, curve: dict[str, float], x: str, y: str, title: str) -> None:
    axis.plot([float(key) for key in curve], list(curve.values()), marker="o")
    axis.set_xscale("log")
    axis.set_xticks([float(key) for key in curve], [f"{int(key):,}" for key in curve])
    axis.minorticks_off()
    axis.set(xlabel=x, ylabel=y, title=title)
    axis.set_ylim(0, None)
    axis.grid(alpha=0.3)


def _figure(file: Path, panels: int, draw: Callable[[list[Any]], None]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(
        1, panels, figsize=(4 * panels, 3), layout="constrained", squeeze=False
    )
    draw(list(axes[0]))
    # No software version or date inside: the same results give the same bytes.
    figure.savefig(file, dpi=120, metadata={"Software": None})
    pyplot.close(figure)
