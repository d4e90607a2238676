"""Plots of a run: confusion matrix, reliability diagram and training curves.

In: results.json and the logits of a split. Out: PNG files, the same bytes for the same results.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import softmax

from train.evaluation.classification_report.classification_report import (
    calibration_bins,
    label_bins,
)
from train.evaluation.metrics import FloatArray


def save(
    folder: Path, results: dict[str, Any], logits: FloatArray, labels: Any, split: str = "test"
) -> None:
    """Write `confusion.png`, `reliability.png` and `training.png`.

    Args:
        folder: Where the files go.
        results: A run's results.json.
        logits: Of the split, (rows, labels).
        labels: The label id of each row, (rows,).
        split: The name of the split.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    folder.mkdir(parents=True, exist_ok=True)
    plots: dict[str, Callable[[Any], None]] = {
        "confusion": lambda axes: _confusion(axes, results, split),
        "reliability": lambda axes: _reliability(
            axes, softmax(logits, axis=1), labels, split, results["recipe"]
        ),
        "training": lambda axes: _training(axes, results["training"]["history"]),
    }
    for name, draw in plots.items():
        figure, axes = pyplot.subplots(figsize=(5, 4), layout="constrained")
        draw(axes)
        # Without the software version in the file, the same results give the same bytes.
        figure.savefig(folder / f"{name}.png", dpi=120, metadata={"Software": None})
        pyplot.close(figure)


def _confusion(axes: Any, results: dict[str, Any], split: str) -> None:
    from sklearn.metrics import ConfusionMatrixDisplay

    names, counts = results["recipe"]["labels"], np.array(results["metrics"][split]["confusion"])
    matrix = ConfusionMatrixDisplay(counts, display_labels=names)
    matrix.plot(cmap="Blues", values_format=",d", colorbar=False, ax=axes)
    axes.set_yticks(range(len(names)), names, rotation=90, va="center")
    axes.set(xlabel="predicted", ylabel="true", title=f"{split.title()}: {counts.sum():,} reviews")


def _reliability(
    axes: Any, probabilities: Any, labels: Any, split: str, recipe: dict[str, Any]
) -> None:
    axes.plot([0, 1], [0, 1], color="grey", linestyle="--", linewidth=1)
    if recipe.get("ordered"):  # a curve for each label, from cold to warm
        _reliability_by_label(axes, probabilities, labels, split, recipe["labels"])
        return
    share, confidence, accuracy = calibration_bins(probabilities, labels)
    axes.scatter(confidence, accuracy, s=20 + 400 * share)
    low = 1 / probabilities.shape[1] - 0.03
    axes.set(xlim=(low, 1.03), ylim=(min(low, accuracy.min() - 0.03), 1.03))
    axes.set(xlabel="confidence", ylabel="accuracy", title=f"{split.title()}: calibration")


def _reliability_by_label(
    axes: Any, probabilities: Any, labels: Any, split: str, names: list[str]
) -> None:
    from matplotlib import colormaps

    colors = colormaps["viridis"](np.linspace(0, 0.9, len(names)))
    for number, name in enumerate(names):
        share, probability, frequency = label_bins(probabilities, labels, number)
        axes.plot(probability, frequency, color=colors[number], linewidth=1, label=name)
        axes.scatter(probability, frequency, s=10 + 200 * share, color=[colors[number]])
    axes.legend()
    axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), title=f"{split.title()}: calibration")
    axes.set(xlabel="probability of the label", ylabel="share of reviews with it")


def _training(axes: Any, history: dict[str, list[dict[str, float]]]) -> None:
    styles: dict[str, dict[str, Any]] = {"train": {"alpha": 0.6}, "validation": {"marker": "o"}}
    for name, style in styles.items():
        points = history[name]
        axes.plot([p["step"] for p in points], [p["loss"] for p in points], label=name, **style)
    axes.legend()
    axes.set(xlabel="update", ylabel="cross-entropy (nats)", title="Training", ylim=(0, None))
