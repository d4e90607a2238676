"""Where a model fails, as counted by hand."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from train.errors import DataError
from train.evaluation import error_analysis
from train.evaluation.metrics import FloatArray


def logits_of(positive: Sequence[float]) -> FloatArray:
    """Logits of two labels from the probability of the second."""
    p = np.array(positive)
    return np.log(np.stack([1 - p, p], axis=1)).astype(np.float32)


def by_word(texts: Sequence[str]) -> FloatArray:
    """A model that knows one word."""
    return logits_of([0.95 if "good" in text else 0.05 for text in texts])


def test_the_band_is_as_narrow_as_the_accuracy_outside_allows() -> None:
    # From the surest on: 40 right, then one wrong at 0.8, then three wrong at 0.6.
    logits = logits_of([0.99] * 40 + [0.8] + [0.6] * 3)
    labels = np.array([1] * 40 + [0] * 4)
    below = error_analysis.unsure_below(logits, labels)
    assert below == pytest.approx(0.8, abs=1e-6)  # 40 of 41 are 97.6%
    found = error_analysis.band(logits, labels, below - 1e-6)
    assert found["share"] == pytest.approx(3 / 44)
    assert found["accuracy_inside"] == 0
    assert found["accuracy_outside"] == pytest.approx(40 / 41)


def test_a_model_that_is_right_is_never_unsure_and_one_that_is_wrong_always() -> None:
    logits = logits_of([0.9, 0.2, 0.7])
    right, wrong = np.array([1, 0, 1]), np.array([0, 1, 0])
    assert error_analysis.unsure_below(logits, right) == 0.5
    assert error_analysis.band(logits, right, 0.5)["accuracy_inside"] is None
    assert error_analysis.unsure_below(logits, wrong) == pytest.approx(0.9, abs=1e-6)


def test_slices_by_markers_and_by_columns() -> None:
    texts = [
        "a good film",
        "it isn't a good film but I did not mind",
        "word " * 98 + "never again",
        'the "acting" was a cure for insomnia',
    ]
    right = np.array([True, False, True, False])
    found = error_analysis.slices(texts, {"rating": ["10", "7", "10", "2"]}, right)
    assert found["negation"] == {
        "none": {"n": 2, "accuracy": 0.5},
        "up to 2 in 100 words": {"n": 1, "accuracy": 1.0},
        "more": {"n": 1, "accuracy": 0.0},
    }
    assert found["contrast"]["more"] == {"n": 1, "accuracy": 0.0}
    assert found["sarcasm markers"]["some"] == {"n": 1, "accuracy": 0.0}
    assert list(found["rating"]) == ["2", "7", "10"]
    assert found["rating"]["10"] == {"n": 2, "accuracy": 1.0}


def test_confident_errors_come_surest_first() -> None:
    logits = logits_of([0.9, 0.99, 0.05, 0.6])
    found = error_analysis.confident_errors(logits, np.array([0, 1, 1, 0]))
    assert [error["row"] for error in found] == [2, 0, 3]
    assert found[0] == {
        "row": 2,
        "label": 1,
        "predicted": 0,
        "confidence": pytest.approx(0.95, abs=1e-6),
    }


def test_a_label_looks_wrong_where_every_third_says_so() -> None:
    texts = ["good a good b good c", "good a bad b bad c", "good"]
    errors = [{"row": row, "predicted": 1} for row in range(3)]
    found = error_analysis.suspected_label_errors(errors, texts, by_word)
    assert found == {"of": 3, "rows": [0], "confidence": 0.9}
    assert error_analysis.suspected_label_errors([], texts, by_word) == {}


def write_suite(folder: Path, sentences: list[dict[str, str]], pairs: list[dict[str, str]]) -> Path:
    for name, rows in [("sentences", sentences), ("pairs", pairs)]:
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
    return folder


SENTENCES = [
    {"kind": "plain", "text": "good", "label": "POSITIVE"},
    {"kind": "plain", "text": "poor", "label": "NEGATIVE"},
    {"kind": "negation", "text": "not good", "label": "NEGATIVE"},
]
PAIR = {"kind": "flip", "text": "good", "label": "POSITIVE"}
PAIRS = [
    {**PAIR, "edited": "poor", "edited_label": "NEGATIVE"},
    {**PAIR, "edited": "not good", "edited_label": "NEGATIVE"},
]


def test_behaviour_counts_a_pair_when_both_sides_are_right(tmp_path: Path) -> None:
    suite = error_analysis.load_suite(write_suite(tmp_path, SENTENCES, PAIRS))
    rows = error_analysis.behaviour(by_word, ["NEGATIVE", "POSITIVE"], suite)
    assert [row.correct for row in rows] == [True, True, False, True, False]
    assert len({row.row for row in rows}) == 5
    found = error_analysis.pass_rates(rows)
    assert found["sentences"] == {
        "plain": {"n": 2, "accuracy": 1.0},
        "negation": {"n": 1, "accuracy": 0.0},
        "all": {"n": 3, "accuracy": pytest.approx(2 / 3)},
    }
    assert found["pairs"]["all"] == {"n": 2, "accuracy": 0.5}
    assert error_analysis.behaviour(by_word, ["BAD", "GOOD"], suite) == []
    assert error_analysis.pass_rates([]) == {}


def test_a_row_keeps_its_id_when_its_kind_is_renamed(tmp_path: Path) -> None:
    def ids(sentences: list[dict[str, str]]) -> list[str]:
        suite = error_analysis.Suite(sentences, PAIRS)
        return [
            row.row for row in error_analysis.behaviour(by_word, ["NEGATIVE", "POSITIVE"], suite)
        ]

    assert ids([{**row, "kind": "other"} for row in SENTENCES]) == ids(SENTENCES)
    corrected = [*SENTENCES[:2], {**SENTENCES[2], "label": "POSITIVE"}]
    assert [a == b for a, b in zip(ids(corrected), ids(SENTENCES), strict=True)] == [
        True, True, False, True, True,
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["sentences", "pairs"])
@pytest.mark.parametrize("content", [None, "", "{"], ids=["missing", "empty", "no JSON"])
def test_a_suite_that_is_not_whole_is_an_error(
    tmp_path: Path, name: str, content: str | None
) -> None:
    write_suite(tmp_path, SENTENCES, PAIRS)
    file = tmp_path / f"{name}.jsonl"
    if content is None:
        file.unlink()
    else:
        file.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match="restore .* from the repository") as caught:
        error_analysis.load_suite(tmp_path)
    assert str(file) in str(caught.value)
