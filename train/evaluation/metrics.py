"""Evaluation: from a model and a split to figures, slices and plots.

In: logits and labels. Out: the `metrics` and `slices` of results.json, and PNG files. Predictions
are made in fp32 on whole reviews, the way `pipeline()` makes them.
"""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from tqdm import tqdm

from train.data.tokens import Tokens, batches, tensors
from train.evaluation.classification_report.classification_report import BINS
from train.modeling.cpu import MICRO_BATCH_TOKENS

FloatArray = npt.NDArray[np.float32]
LENGTHS = [0, 64, 128, 256, 512, 1024, 4096]  # edges of the slices, in tokens


def predict(
    model: Any, tokens: Tokens, pad_id: int, batch_tokens: int | None = None, name: str = ""
) -> FloatArray:
    """Logits of every review, (reviews, labels), in the order of `tokens`."""
    device = next(model.parameters()).device
    batch_tokens = batch_tokens or (MICRO_BATCH_TOKENS if device.type == "cpu" else 32768)
    groups = batches(tokens.lengths, batch_tokens, seed=None)
    logits = np.zeros((len(tokens.ids), model.config.num_labels), dtype=np.float32)
    model.eval()
    with (
        torch.inference_mode(),
        tqdm(total=len(tokens.ids), desc=f"score {name}", unit="review") as bar,
    ):
        for rows in groups:
            batch = tensors(tokens, rows, pad_id, device)
            logits[rows] = model(**batch).logits.float().cpu().numpy()
            bar.update(len(rows))
    return logits


def fit_temperature(logits: FloatArray, labels: Any, weights: FloatArray | None = None) -> float:
    """The temperature in [0.1, 10] with the lowest NLL (Guo et al. 2017, arXiv 1706.04599).

    Args:
        logits: Of each review, (reviews, labels).
        labels: The number of each review's label, (reviews,).
        weights: How much each review counts, (reviews,); None: all the same.
    """

    def nll(log_temperature: float) -> float:
        scores = log_softmax(logits / np.exp(log_temperature), axis=1)
        return float(np.average(-scores[np.arange(len(labels)), labels], weights=weights))

    found = minimize_scalar(nll, bounds=(np.log(0.1), np.log(10.0)), method="bounded")
    return float(np.exp(found.x))


def metrics(logits: FloatArray, labels: Any) -> dict[str, Any]:
    """Every figure of one split; see `train/classification_report`."""
    import evaluate

    report = evaluate.load(str(Path(__file__).parent / "classification_report"))
    computed: dict[str, Any] = report.compute(predictions=logits, references=labels)
    return computed


def slices(logits: FloatArray, tokens: Tokens) -> dict[str, dict[str, Any]]:
    """Accuracy by length of the review, in tokens; only the bands that hold a review."""
    lengths = tokens.lengths
    found = {
        f"{low + 1}-{high}": (lengths > low) & (lengths <= high)
        for low, high in itertools.pairwise(LENGTHS)
    }
    found[f"{LENGTHS[-1] + 1}+"] = lengths > LENGTHS[-1]
    return {"length_tokens": bands(found, logits.argmax(axis=1) == tokens.labels)}


def bands(chosen: dict[str, Any], right: Any) -> dict[str, dict[str, Any]]:
    """Of each band that holds a row, how many and the share that is right.

    Args:
        chosen: Name -> which rows it has, (rows,) of bool.
        right: Which rows are right, (rows,) of bool.
    """
    return {
        name: {"n": int(rows.sum()), "accuracy": float(right[rows].mean())}
        for name, rows in chosen.items()
        if rows.any()
    }


def save_predictions(file: Path, logits: FloatArray, labels: list[str]) -> None:
    """Probabilities as float16, a column a label, in the order of the split, as Parquet."""
    import pyarrow
    from pyarrow import parquet

    shares = softmax(logits.astype(np.float64), axis=1).astype(np.float16)
    columns = {label: pyarrow.array(shares[:, i]) for i, label in enumerate(labels)}
    parquet.write_table(pyarrow.table(columns), file)


def plot(
    folder: Path, results: dict[str, Any], logits: FloatArray, labels: Any, split: str = "test"
) -> None:
    """Write the confusion matrix, reliability diagram and training curves of a run as PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    folder.mkdir(parents=True, exist_ok=True)
    drawings: dict[str, Callable[[Any], None]] = {
        "confusion": lambda axes: _confusion(axes, results, split),
        "reliability": lambda axes: _reliability(axes, softmax(logits, axis=1), labels, split),
        "training": lambda axes: _training(axes, results["training"]["history"]),
    }
    for name, draw in drawings.items():
        figure, axes = pyplot.subplots(figsize=(5, 4), layout="constrained")
        draw(axes)
        # No software version or date inside: the same results give the same bytes.
        figure.savefig(folder / f"{name}.png", dpi=120, metadata={"Software": None})
        pyplot.close(figure)


def _confusion(axes: Any, results: dict[str, Any], split: str) -> None:
    names = results["recipe"]["labels"]
    counts = np.array(results["metrics"][split]["confusion"])
    axes.imshow(counts, cmap="Blues")
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks(range(len(names)), names, rotation=90, va="center")
    for (row, column), count in np.ndenumerate(counts):
        dark = count > counts.max() / 2
        axes.text(column, row, f"{count:,}", ha="center", color="white" if dark else "black")
    axes.set(xlabel="predicted", ylabel="true", title=f"{split.title()}: {counts.sum():,} reviews")


def _reliability(axes: Any, probabilities: Any, labels: Any, split: str) -> None:
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == labels
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    used = np.unique(bins)
    accuracy = [correct[bins == b].mean() for b in used]
    mean_confidence = [confidence[bins == b].mean() for b in used]
    size = [20 + 400 * (bins == b).mean() for b in used]
    axes.plot([0, 1], [0, 1], color="grey", linestyle="--", linewidth=1)
    axes.scatter(mean_confidence, accuracy, s=size)
    low = 1 / probabilities.shape[1] - 0.03
    axes.set(xlim=(low, 1.03), ylim=(min(low, min(accuracy) - 0.03), 1.03))
    title = f"{split.title()}: are the probabilities honest?"
    axes.set(xlabel="confidence", ylabel="accuracy", title=title)


def _training(axes: Any, history: dict[str, list[dict[str, float]]]) -> None:
    styles: dict[str, dict[str, Any]] = {"train": {"alpha": 0.6}, "validation": {"marker": "o"}}
    for name, style in styles.items():
        points = history[name]
        axes.plot([p["step"] for p in points], [p["loss"] for p in points], **style)
    axes.legend(["train", "validation"])
    axes.set(xlabel="update", ylabel="cross-entropy (nats)", title="Training", ylim=(0, None))
