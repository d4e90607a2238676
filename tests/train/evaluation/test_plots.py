"""Plots: complete, deterministic, and drawn from the predictions."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_metrics import logits_of, random_case

from train.evaluation import metrics, plots


def results_of(logits: np.ndarray, truth: np.ndarray, labels: list[str]) -> dict[str, Any]:
    history = {
        "train": [{"step": step, "loss": 1 / step} for step in range(1, 9)],
        "validation": [{"step": 4, "loss": 0.5}, {"step": 8, "loss": 0.4}],
    }
    return {
        "recipe": {"labels": labels},
        "metrics": {"test": metrics.metrics(logits, truth)},
        "training": {"history": history},
    }


def saved_plots(folder: Path, logits: np.ndarray, truth: np.ndarray, labels: list[str]) -> dict:
    plots.save(folder, results_of(logits, truth, labels), logits, truth)
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.mark.parametrize("labels", [["NEGATIVE", "POSITIVE"], ["BAD", "SO-SO", "GOOD"]])
def test_plots_are_deterministic(tmp_path: Path, labels: list[str]) -> None:
    logits, truth = random_case(len(labels))
    first = saved_plots(tmp_path / "first", logits, truth, labels)
    assert set(first) == {"confusion.png", "reliability.png", "training.png"}
    assert all(content.startswith(b"\x89PNG") for content in first.values())
    assert saved_plots(tmp_path / "second", logits, truth, labels) == first


def test_plots_change_with_the_predictions(tmp_path: Path) -> None:
    logits, truth = random_case(2)
    first = saved_plots(tmp_path / "first", logits, truth, ["NEGATIVE", "POSITIVE"])
    other = saved_plots(tmp_path / "other", -logits, truth, ["NEGATIVE", "POSITIVE"])
    assert first["confusion.png"] != other["confusion.png"]
    assert first["reliability.png"] != other["reliability.png"]
    assert first["training.png"] == other["training.png"]


@pytest.mark.parametrize("truth", [[1, 1, 1], [0, 1, 1]], ids=["one-class", "perfect"])
def test_one_class_splits_can_be_plotted(tmp_path: Path, truth: list[int]) -> None:
    logits = logits_of([[0.9, 0.1] if label == 0 else [0.001, 0.999] for label in truth])
    assert len(saved_plots(tmp_path / "plots", logits, np.array(truth), ["NEG", "POS"])) == 3
