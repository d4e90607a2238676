"""The baselines of the aspects: what each can and can't know, and the table."""

from pathlib import Path

import numpy as np
import pytest
from conftest import ASPECTS, toy_aspect_pairs

from benchmarks import aspects
from train.data.splits import Split

LABELS = ["NEGATIVE", "POSITIVE", "NOT_MENTIONED"]


def test_all_methods_are_measured(aspect_run: Path, tiny_classifier: Path) -> None:
    results = aspects.measure(aspect_run, tiny_classifier)
    methods = results["methods"]
    assert list(methods) == [aspects.MODEL, aspects.WORDS, aspects.VERDICT, aspects.NAMED]
    assert methods[aspects.MODEL]["macro_f1"] > methods[aspects.VERDICT]["macro_f1"]
    for scores in methods.values():
        assert list(scores["f1"]) == LABELS and set(scores["by_aspect"]) == set(ASPECTS)
        assert 0 <= scores["opposite"] <= 1
    assert methods[aspects.VERDICT]["f1"]["NOT_MENTIONED"] == 0
    assert methods[aspects.VERDICT]["opposite"] == 0  # one verdict can't be right about both
    assert methods[aspects.MODEL]["f1"]["NOT_MENTIONED"] == pytest.approx(1)
    table = aspects.table(results)
    assert "| **trained model** |" in table and "F1 not mentioned" in table


def test_bag_of_words_combines_words_with_the_aspect() -> None:
    rows = toy_aspect_pairs()
    numbers = [LABELS.index(row["label"]) for row in rows]
    train = Split([r["text"] for r in rows], numbers, [r["aspect"] for r in rows])
    predict = aspects.bag_of_words(train, LABELS, [1.0])
    shares = predict(["film 1 was wonderful"] * 2, ["acting", "music"])
    assert np.allclose(shares.sum(axis=1), 1)
    assert [LABELS[i] for i in shares.argmax(axis=1)] == ["POSITIVE", "NOT_MENTIONED"]


def test_verdict_is_the_same_for_every_named_aspect(tiny_classifier: Path) -> None:
    text = "The acting and the songs were wonderful."
    predict = aspects.review_verdict(tiny_classifier, LABELS)
    first, second = predict([text] * 2, ["acting", "story"])
    assert (first == second).all() and first.argmax() != 2
    named = aspects.review_verdict(tiny_classifier, LABELS, only_named=True)
    labels = [LABELS[row.argmax()] for row in named([text] * 3, ["acting", "music", "story"])]
    assert labels[0] == labels[1] and labels[2] == "NOT_MENTIONED"
