"""Metrics: equal to those counted by hand and by scikit-learn."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import REPOSITORY
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax, softmax
from sklearn import metrics as sklearn_metrics

from train.data.tokens import Tokens
from train.evaluation import metrics
from train.evaluation.classification_report.classification_report import (
    BINS,
    expected_calibration_error,
    roc_auc,
)
from train.publishing.card import METRIC_NAMES


def logits_of(probabilities: list[list[float]]) -> np.ndarray:
    return np.log(np.array(probabilities)).astype(np.float32)


def random_case(labels: int, rows: int = 200) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(labels)
    truth = rng.integers(0, labels, rows)
    logits = rng.normal(size=(rows, labels)) + 1.5 * np.eye(labels)[truth]
    return logits.astype(np.float32), truth


def test_metrics_equal_those_counted_by_hand() -> None:
    #            predicted: 1           1           0           1           0
    probabilities = [[0.1, 0.9], [0.2, 0.8], [0.7, 0.3], [0.4, 0.6], [0.6, 0.4]]
    result = metrics.metrics(logits_of(probabilities), np.array([1, 1, 0, 0, 1]))
    assert result["n"] == 5
    assert result["confusion"] == [[1, 1], [1, 2]]  # true in rows, predicted in columns
    assert result["accuracy"] == 3 / 5
    assert result["precision"] == pytest.approx(2 / 3)
    assert result["recall"] == pytest.approx(2 / 3)
    assert result["f1"] == pytest.approx(2 / 3)
    assert result["f1_macro"] == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert result["roc_auc"] == pytest.approx(5 / 6)  # of 6 pairs, only 0.4 stands below 0.6
    assert result["nll"] == pytest.approx(-np.log([0.9, 0.8, 0.7, 0.4, 0.4]).mean(), abs=1e-6)
    # Each review has a bin of its own but the two of confidence 0.6: 1 of 15 is 0.0667 wide.
    gaps = [abs(0.9 - 1), abs(0.8 - 1), abs(0.7 - 1), 2 * abs(0.6 - 0)]
    assert result["ece"] == pytest.approx(sum(gaps) / 5, abs=1e-6)


@pytest.mark.parametrize("labels", [2, 3, 5])
def test_metrics_agree_with_scikit_learn(labels: int) -> None:
    logits, truth = random_case(labels)
    result = metrics.metrics(logits, truth)
    predicted, probabilities = logits.argmax(axis=1), softmax(logits.astype(float), axis=1)
    average = "binary" if labels == 2 else "weighted"
    expected = {
        "accuracy": sklearn_metrics.accuracy_score(truth, predicted),
        "f1": sklearn_metrics.f1_score(truth, predicted, average=average),
        "f1_macro": sklearn_metrics.f1_score(truth, predicted, average="macro"),
        "precision": sklearn_metrics.precision_score(truth, predicted, average=average),
        "recall": sklearn_metrics.recall_score(truth, predicted, average=average),
        "nll": sklearn_metrics.log_loss(truth, probabilities),
        "roc_auc": sklearn_metrics.roc_auc_score(truth, probabilities[:, 1])
        if labels == 2
        else sklearn_metrics.roc_auc_score(truth, probabilities, multi_class="ovr"),
    }
    assert {key: result[key] for key in expected} == pytest.approx(expected)
    assert result["confusion"] == sklearn_metrics.confusion_matrix(truth, predicted).tolist()


def test_report_has_all_metrics() -> None:
    ordered = set(metrics.metrics(*random_case(5), STARS))
    assert ordered == {*METRIC_NAMES, "confusion", "calibration"}
    computed = set(metrics.metrics(*random_case(2)))
    assert ordered - computed == {
        "within_one", "mae", "quadratic_weighted_kappa", "spearman", "verdict_accuracy",
        "calibration",
    }  # fmt: skip
    assert not [name for name in ordered if f"`{name}`" not in (metrics.metrics.__doc__ or "")]


def test_metrics_do_not_depend_on_row_order() -> None:
    logits, truth = random_case(3)
    shuffled = np.random.default_rng(0).permutation(len(truth))
    result = metrics.metrics(logits[shuffled], truth[shuffled])
    for key, value in metrics.metrics(logits, truth).items():
        np.testing.assert_allclose(result[key], value, rtol=1e-9, err_msg=key)


@pytest.mark.parametrize(
    ("correct", "low", "high"),
    [(10, 0.7225, 1.0), (0, 0.0, 0.2775), (5, 0.2366, 0.7634)],
    ids=["all", "none", "half"],
)
def test_wilson_interval_of_ten(correct: int, low: float, high: float) -> None:
    truth = np.array([1] * correct + [0] * (10 - correct))
    result = metrics.metrics(logits_of([[0.2, 0.8]] * 10), truth)
    assert result["accuracy_ci95"] == pytest.approx([low, high], abs=5e-5)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=40))
def test_interval_contains_the_accuracy_and_stays_in_bounds(hits: list[bool]) -> None:
    result = metrics.metrics(logits_of([[0.2, 0.8]] * len(hits)), np.array(hits, dtype=int))
    low, high = result["accuracy_ci95"]
    assert 0 <= low <= sum(hits) / len(hits) + 1e-9
    assert sum(hits) / len(hits) - 1e-9 <= high <= 1


@pytest.mark.parametrize(
    ("probabilities", "labels", "expected"),
    [
        ([[0.0, 1.0]] * 4, [1, 1, 1, 1], 0.0),
        ([[0.0, 1.0]] * 4, [0, 0, 0, 0], 1.0),
        ([[0.25, 0.75]] * 4, [1, 1, 1, 0], 0.0),
        ([[0.25, 0.75]] * 4, [1, 1, 0, 0], 0.25),
        ([[0.25, 0.75], [0.05, 0.95]], [1, 0], (0.25 + 0.95) / 2),
        ([[0.2, 0.5, 0.3]] * 2, [1, 0], 0.0),
    ],
    ids=["right", "wrong", "calibrated", "overconfident", "two-bins", "three-labels"],
)
def test_calibration_error_by_hand(
    probabilities: list[list[float]], labels: list[int], expected: float
) -> None:
    result = expected_calibration_error(np.array(probabilities), np.array(labels))
    assert result == pytest.approx(expected)


def test_calibration_has_15_bins() -> None:
    # 0.70 and 0.72 share the bin from 10/15 to 11/15; 0.74 is in the next one.
    assert BINS == 15
    together = expected_calibration_error(np.array([[0.3, 0.7], [0.28, 0.72]]), np.array([1, 0]))
    assert together == pytest.approx(abs(0.71 - 0.5))
    apart = expected_calibration_error(np.array([[0.3, 0.7], [0.26, 0.74]]), np.array([1, 0]))
    assert apart == pytest.approx((0.3 + 0.74) / 2)


def test_roc_auc_is_none_if_a_label_has_no_row() -> None:
    probabilities = softmax(random_case(3)[0], axis=1)
    assert roc_auc(np.zeros(200, dtype=int), probabilities) is None


@pytest.mark.parametrize(
    "truth", [[1, 1, 1], [0, 0, 0], [0, 1, 1]], ids=["one-class", "other-class", "perfect"]
)
def test_one_class_splits_have_all_metrics_but_roc_auc(truth: list[int]) -> None:
    logits = logits_of([[0.9, 0.1] if label == 0 else [0.1, 0.9] for label in truth])
    result = metrics.metrics(logits, np.array(truth))
    assert result["accuracy"] == 1
    assert np.sum(result["confusion"]) == 3
    assert (result["roc_auc"] is None) == (len(set(truth)) == 1)
    assert all(np.isfinite(result[key]) for key in ["f1", "precision", "recall", "nll", "ece"])


def test_metric_module_loads_offline(tmp_path: Path) -> None:
    code = (
        "import evaluate\n"
        "report = evaluate.load('train/evaluation/classification_report')\n"
        "result = report.compute(predictions=[[0.0, 1.0], [1.0, 0.0]], references=[1, 1])\n"
        "assert result['accuracy'] == 0.5, result\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "PATH": ""},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0, 4.0])
def test_fit_temperature_recovers_a_known_temperature(temperature: float) -> None:
    rng = np.random.default_rng(0)
    honest = rng.normal(scale=2, size=(20_000, 3))
    shares = softmax(honest, axis=1).cumsum(axis=1)
    labels = (rng.random((20_000, 1)) > shares).sum(axis=1)
    result = metrics.fit_temperature((honest * temperature).astype(np.float32), labels)
    assert result == pytest.approx(temperature, rel=0.03)


def test_fitted_temperature_lowers_the_nll() -> None:
    logits, truth = random_case(2)

    def nll(scores: np.ndarray) -> float:
        return -log_softmax(scores, axis=1)[np.arange(len(truth)), truth].mean()

    temperature = metrics.fit_temperature(5 * logits, truth)
    assert nll(5 * logits / temperature) < nll(5 * logits)


@pytest.mark.parametrize("truth", [[0, 1], [1, 0]], ids=["all-right", "all-wrong"])
def test_fitted_temperature_stays_in_range(truth: list[int]) -> None:
    logits = logits_of([[0.9, 0.1], [0.1, 0.9]])
    assert 0.1 <= metrics.fit_temperature(logits, np.array(truth)) <= 10


def test_predict_keeps_the_order_of_reviews(tiny_base: Path) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification

    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_pretrained(tiny_base)
    rng = np.random.default_rng(0)
    ids = [rng.integers(5, 900, length) for length in rng.integers(3, 60, 50)]
    tokens = Tokens(ids, np.zeros(50, dtype=np.int64))
    result = metrics.predict(model, tokens, pad_id=0, batch_tokens=256)
    assert not model.training
    with torch.inference_mode():
        alone = np.concatenate([model(torch.from_numpy(row)[None]).logits.numpy() for row in ids])
    np.testing.assert_allclose(result, alone, atol=1e-5)


STARS = [1.0, 2.0, 3.0, 4.0, 5.0]


def test_ordered_metrics_equal_those_counted_by_hand() -> None:
    probabilities = [
        [0.6, 0.4, 0.0, 0.0, 0.0],  # 1.4, label 1: right
        [0.0, 0.2, 0.3, 0.5, 0.0],  # 3.3, label 3: one step off, no verdict
        [0.0, 0.0, 0.0, 0.4, 0.6],  # 4.6, label 2: three steps off, wrong verdict
        [0.0, 0.0, 0.1, 0.2, 0.7],  # 4.6, label 5: right
    ]
    logits = np.log(np.maximum(probabilities, 1e-12)).astype(np.float32)
    labels = np.array([0, 2, 1, 4])
    result = metrics.metrics(logits, labels, STARS)
    assert result["accuracy"] == 2 / 4
    assert result["within_one"] == 3 / 4
    assert result["mae"] == pytest.approx((0.4 + 0.3 + 2.6 + 0.4) / 4, abs=1e-6)
    assert result["verdict_accuracy"] == pytest.approx(2 / 3)
    # 1 - observed / expected squared distances: predicted 1, 4, 5, 5 for 1, 3, 2, 5.
    observed = (0 + 1 + 9 + 0) / 4
    expected = np.mean([(p - t) ** 2 for p in [1, 4, 5, 5] for t in [1, 3, 2, 5]])
    assert result["quadratic_weighted_kappa"] == pytest.approx(1 - observed / expected)
    shares = [star["share"] for star in result["calibration"]]
    assert shares == [0.25, 0.25, 0.25, 0, 0.25]
    means = [star["mean"] for star in result["calibration"]]
    assert means == pytest.approx(np.mean(probabilities, axis=0), abs=1e-6)
    # Of 1 star: 0.6 in a bin of its own, and three rows with 0.
    assert result["calibration"][0]["ece"] == pytest.approx(0.4 / 4, abs=1e-6)


def test_spearman_is_that_of_the_ratings_if_there_are_any() -> None:
    from scipy.stats import spearmanr

    logits, labels = random_case(5)
    ratings = 2 * labels + np.random.default_rng(0).integers(0, 2, len(labels))
    expected = softmax(logits.astype(float), axis=1) @ np.array(STARS)
    by_label = metrics.metrics(logits, labels, STARS)["spearman"]
    by_rating = metrics.metrics(logits, labels, STARS, ratings)["spearman"]
    assert by_label == pytest.approx(spearmanr(expected, labels).statistic)
    assert by_rating == pytest.approx(spearmanr(expected, ratings).statistic)
    assert by_label != by_rating


def test_perfect_expected_values_have_no_error() -> None:
    """Also of ratings between two labels, where no label alone is right."""
    ratings = np.array([1, 13 / 9, 17 / 9, 33 / 9, 5])
    weights = np.maximum(0, 1 - np.abs(ratings[:, None] - STARS))
    logits = np.log(np.maximum(weights, 1e-30)).astype(np.float32)
    labels = weights.argmax(axis=1)
    assert metrics.metrics(logits, labels, STARS, ratings)["mae"] == pytest.approx(0, abs=1e-6)
    by_label = metrics.metrics(logits, labels, STARS)["mae"]
    assert by_label == pytest.approx((4 / 9 + 1 / 9 + 3 / 9) / 5, abs=1e-6)
    certain = np.log(np.maximum(np.eye(5)[labels], 1e-30)).astype(np.float32)
    assert metrics.metrics(certain, labels, STARS)["mae"] == pytest.approx(0, abs=1e-6)


def test_ordered_metrics_without_a_meaning_are_none() -> None:
    logits = np.tile(np.array([[0, 0, 3, 0, 0]], dtype=np.float32), (4, 1))
    result = metrics.metrics(logits, np.array([2, 2, 2, 2]), STARS)
    assert result["within_one"] == 1
    for name in ["spearman", "quadratic_weighted_kappa", "verdict_accuracy"]:
        assert result[name] is None
    assert "mae" not in metrics.metrics(logits, np.array([2, 2, 2, 2]))


def test_description_names_the_distance_of_ordered_labels() -> None:
    logits, labels = random_case(5)
    line = metrics.describe(metrics.metrics(logits, labels, STARS))
    assert "within one 0." in line
    assert "MAE 0." in line
    assert "MAE" not in metrics.describe(metrics.metrics(logits, labels))
