"""Predictions of a split and their metrics.

In: a model, token batches and labels. Out: logits, the temperature, and the `metrics` of
results.json. Predictions are made in fp32 on whole reviews, as `pipeline()` makes them.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from tqdm import tqdm

from train.data.tokens import Tokens, batches, tensors
from train.modeling.cpu import MICRO_BATCH_TOKENS

FloatArray = npt.NDArray[np.float32]
GPU_BATCH_TOKENS = 32_768


def predict(
    model: Any, tokens: Tokens, pad_id: int, batch_tokens: int | None = None, name: str = ""
) -> FloatArray:
    """Logits of every review, (reviews, labels), in the order of `tokens`.

    Args:
        model: A sequence classifier of transformers; it is left in evaluation mode.
        tokens: The reviews.
        pad_id: The id of the padding token.
        batch_tokens: Padded tokens per batch; None: a number that suits the device.
        name: Label of the progress bar.
    """
    device = next(model.parameters()).device
    batch_tokens = batch_tokens or (
        MICRO_BATCH_TOKENS if device.type == "cpu" else GPU_BATCH_TOKENS
    )
    logits = np.zeros((len(tokens.ids), model.config.num_labels), dtype=np.float32)
    model.eval()
    with (
        torch.inference_mode(),
        tqdm(total=len(tokens.ids), desc=f"score {name}", unit="review") as bar,
    ):
        for rows in batches(tokens.lengths, batch_tokens, seed=None):
            batch = tensors(tokens, rows, pad_id, device)
            logits[rows] = model(**batch).logits.float().cpu().numpy()
            bar.update(len(rows))
    return logits


def fit_temperature(logits: FloatArray, labels: Any, weights: FloatArray | None = None) -> float:
    """The temperature in [0.1, 10] with the lowest NLL (Guo et al. 2017, arXiv 1706.04599).

    Args:
        logits: (reviews, labels).
        labels: The label id of each review, (reviews,).
        weights: The weight of each review, (reviews,); None: equal weights.
    """

    def nll(log_temperature: float) -> float:
        log_probabilities = log_softmax(logits / np.exp(log_temperature), axis=1)
        return float(
            np.average(-log_probabilities[np.arange(len(labels)), labels], weights=weights)
        )

    optimum = minimize_scalar(nll, bounds=(np.log(0.1), np.log(10.0)), method="bounded")
    return float(np.exp(optimum.x))


def metrics(
    logits: FloatArray, labels: Any, values: list[float] | None = None, ratings: Any = None
) -> dict[str, Any]:
    """All metrics of one split, by the metric module in `classification_report/`.

    Args:
        logits: (rows, labels).
        labels: The label id of each row, (rows,).
        values: The number of each label if they are ordered, such as stars; ascending.
        ratings: Of ordered labels: the true place of each row on their scale, (rows,); None: the
            number of its label.

    Returns:
        `n`, `accuracy`, `accuracy_ci95` (Wilson interval), `f1`, `f1_macro`, `precision`,
        `recall`, `roc_auc` (None if a label has no row), `nll` in nats, `ece` and `confusion`
        (true labels in rows, predicted labels in columns). Of ordered labels also `within_one`,
        `mae`, `quadratic_weighted_kappa`, `spearman`, `verdict_accuracy` and `calibration`, see
        `ordered_metrics` there.
    """
    import evaluate

    report = evaluate.load(str(Path(__file__).parent / "classification_report"))
    computed: dict[str, Any] = report.compute(
        predictions=logits, references=labels, values=values, ratings=ratings
    )
    return computed


def describe(metrics: dict[str, Any]) -> str:
    """The main metrics as a line for the terminal."""
    low, high = metrics["accuracy_ci95"]
    line = f"accuracy {metrics['accuracy']:.4f} (95% CI {low:.4f} to {high:.4f}), "
    if "mae" in metrics:
        line += f"within one {metrics['within_one']:.4f}, MAE {metrics['mae']:.3f}, "
    return line + f"F1 {metrics['f1']:.4f}, ECE {metrics['ece']:.4f}, {metrics['n']:,} reviews"


def save_predictions(file: Path, logits: FloatArray, labels: list[str]) -> None:
    """Write probabilities as Parquet: one float16 column per label, rows in the split's order."""
    import pyarrow
    from pyarrow import parquet

    probabilities = softmax(logits.astype(np.float64), axis=1).astype(np.float16)
    columns = {label: pyarrow.array(probabilities[:, i]) for i, label in enumerate(labels)}
    parquet.write_table(pyarrow.table(columns), file)


def load_predictions(file: Path, labels: list[str]) -> FloatArray:
    """The probabilities that `save_predictions` wrote, (reviews, labels)."""
    from pyarrow import parquet

    table = parquet.read_table(file, columns=labels)
    return np.stack([table[label].to_numpy() for label in labels], axis=1).astype(np.float64)
