"""Metric module for `evaluate.load()`: all metrics of a split that results.json holds.

`evaluate.load("train/evaluation/classification_report")` loads it without a network.
"""

from typing import Any

import datasets
import evaluate
import numpy as np
from scipy.special import log_softmax
from scipy.stats import binomtest, spearmanr
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

    def _compute(
        self, predictions: Any, references: Any, values: Any = None, ratings: Any = None
    ) -> dict[str, Any]:
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
        report = {
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
        return report | (
            {} if values is None else ordered_metrics(probabilities, labels, values, ratings)
        )


def ordered_metrics(
    probabilities: Any, labels: Any, values: Any, ratings: Any = None
) -> dict[str, Any]:
    """Metrics of labels that are steps of a scale, such as stars.

    The expected value of a row is the mean of the labels' numbers, weighted by probability. Its
    verdict is whether that is above or below the middle of the scale.

    Args:
        probabilities: (rows, labels), rows sum to 1.
        labels: The label id of each row, (rows,).
        values: The number of each label, (labels,), ascending.
        ratings: The true place of each row on the scale, which can be between two labels, (rows,);
            None: the number of its label.

    Returns:
        `within_one` (share of rows predicted at most one step from their label), `mae` (between
        expected value and rating, in units of the labels), `quadratic_weighted_kappa` (Cohen 1968),
        `spearman` (of expected value and rating, None if all of one are equal), `verdict_accuracy`
        (is the expected value on the same side of the middle as the label, of the rows labeled
        above or below the middle, None without any) and `calibration`: for each label `mean` (of
        its probability), `share` (of the rows with it) and `ece` (Kull et al. 2019, arXiv
        1910.12656: the label against the rest).
    """
    count, values = len(values), np.asarray(values, dtype=np.float64)
    expected, true = probabilities @ values, values[labels]  # (rows,) each
    predicted = probabilities.argmax(axis=1)
    ratings = true if ratings is None else np.asarray(ratings, dtype=np.float64)
    varies = len(np.unique(expected)) > 1 and len(np.unique(ratings)) > 1
    middle = (values[0] + values[-1]) / 2
    has_verdict = true != middle
    verdicts = (np.sign(expected - middle) == np.sign(true - middle))[has_verdict]
    is_constant = len({*np.unique(labels), *np.unique(predicted)}) == 1  # kappa is 0 / 0
    kappa = None if is_constant else float(
        metrics.cohen_kappa_score(labels, predicted, labels=range(count), weights="quadratic")
    )  # fmt: skip
    return {
        "within_one": float((np.abs(predicted - labels) <= 1).mean()),
        "mae": float(metrics.mean_absolute_error(ratings, expected)),
        "quadratic_weighted_kappa": kappa,
        "spearman": float(spearmanr(expected, ratings).statistic) if varies else None,
        "verdict_accuracy": float(verdicts.mean()) if len(verdicts) else None,
        "calibration": [
            {
                "mean": float(probabilities[:, label].mean()),
                "share": float((labels == label).mean()),
                "ece": _calibration_error(*label_bins(probabilities, labels, label)),
            }
            for label in range(count)
        ],
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
    return _calibration_error(*calibration_bins(probabilities, labels))


def label_bins(probabilities: Any, labels: Any, label: int) -> tuple[Any, Any, Any]:
    """As `calibration_bins`, of the probability of one label, and how often it is right."""
    return _bins(probabilities[:, label], labels == label)


def calibration_bins(probabilities: Any, labels: Any) -> tuple[Any, Any, Any]:
    """Bins of confidence that have rows, for the ECE and the reliability diagram.

    Args:
        probabilities: (rows, labels), rows sum to 1.
        labels: (rows,).

    Returns:
        Share of the rows, mean confidence and accuracy of each bin, (bins,) each.
    """
    return _bins(probabilities.max(axis=1), probabilities.argmax(axis=1) == labels)


def _calibration_error(share: Any, confidence: Any, accuracy: Any) -> float:
    return float((share * np.abs(confidence - accuracy)).sum())


def _bins(confidence: Any, correct: Any) -> tuple[Any, Any, Any]:
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    counts = np.bincount(bins)
    used = counts > 0
    mean_confidence = np.bincount(bins, confidence)[used] / counts[used]
    accuracy = np.bincount(bins, correct)[used] / counts[used]
    return counts[used] / len(bins), mean_confidence, accuracy
