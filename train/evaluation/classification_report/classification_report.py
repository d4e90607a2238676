"""Metric module for `evaluate.load()`: all metrics of a split that results.json holds.

`evaluate.load("train/evaluation/classification_report")` loads it without a network.
"""

from typing import Any

import datasets
import evaluate
import numpy as np
from scipy.special import log_softmax
from scipy.stats import binomtest
from sklearn import metrics

BINS = 15


class ClassificationReport(evaluate.Metric):
    """Accuracy with its interval, F1, precision, recall, ROC AUC, NLL, ECE and confusion."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=__doc__,
            citation="",
            inputs_description="predictions: logits, (rows, labels); references: labels, (rows,)",
            features=datasets.Features(
                {
                    "predictions": datasets.Sequence(datasets.Value("float32")),
                    "references": datasets.Value("int64"),
                }
            ),
        )

    def _compute(self, predictions: Any, references: Any) -> dict[str, Any]:
        logits = np.asarray(predictions, dtype=np.float64)  # (rows, labels)
        labels = np.asarray(references)  # (rows,)
        log_probabilities = log_softmax(logits, axis=1)
        probabilities = np.exp(log_probabilities)
        predicted = logits.argmax(axis=1)
        count = logits.shape[1]
        correct = int((predicted == labels).sum())
        interval = binomtest(correct, len(labels)).proportion_ci(method="wilson")
        # Two labels: of the second, the positive one. More: the mean, weighted by support.
        average = "binary" if count == 2 else "weighted"
        precision, recall, f1, _ = metrics.precision_recall_fscore_support(
            labels, predicted, labels=range(count), average=average, zero_division=0.0
        )
        f1_macro = metrics.f1_score(
            labels, predicted, labels=range(count), average="macro", zero_division=0.0
        )
        return {
            "n": len(labels),
            "accuracy": correct / len(labels),
            "accuracy_ci95": [float(interval.low), float(interval.high)],
            "f1": float(f1),
            "f1_macro": float(f1_macro),
            "precision": float(precision),
            "recall": float(recall),
            "roc_auc": roc_auc(labels, probabilities),
            "nll": float(-log_probabilities[np.arange(len(labels)), labels].mean()),
            "ece": expected_calibration_error(probabilities, labels),
            "confusion": metrics.confusion_matrix(labels, predicted, labels=range(count)).tolist(),
        }


def roc_auc(labels: Any, probabilities: Any) -> float | None:
    """Area under the ROC curve, one label against the rest; None if a label has no row.

    Args:
        labels: (rows,).
        probabilities: (rows, labels).
    """
    count = probabilities.shape[1]
    if len(np.unique(labels)) < count:
        return None
    scores = probabilities[:, 1] if count == 2 else probabilities
    return float(metrics.roc_auc_score(labels, scores, multi_class="ovr"))


def expected_calibration_error(probabilities: Any, labels: Any) -> float:
    """Mean gap between confidence and accuracy, in [0, 1]; 0 is perfectly calibrated.

    Over 15 bins of equal width (Guo et al. 2017, arXiv 1706.04599).

    Args:
        probabilities: (rows, labels), rows sum to 1.
        labels: (rows,).
    """
    share, confidence, accuracy = calibration_bins(probabilities, labels)
    return float((share * np.abs(confidence - accuracy)).sum())


def calibration_bins(probabilities: Any, labels: Any) -> tuple[Any, Any, Any]:
    """Bins of confidence that have rows, for the ECE and the reliability diagram.

    Args:
        probabilities: (rows, labels), rows sum to 1.
        labels: (rows,).

    Returns:
        Share of the rows, mean confidence and accuracy of each bin, (bins,) each.
    """
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == labels
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    counts = np.bincount(bins)
    used = counts > 0
    mean_confidence = np.bincount(bins, confidence)[used] / counts[used]
    accuracy = np.bincount(bins, correct)[used] / counts[used]
    return counts[used] / len(bins), mean_confidence, accuracy
