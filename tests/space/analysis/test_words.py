"""Characteristic words against counts by hand, and typical sentences."""

import numpy as np
import pytest

from space.analysis import words

GOOD = "A warm film. The harbour scenes are lovely and the slow burn of the plot pays off."
BAD = "A cold film. The harbour scenes are dreadful and the slow burn of the plot goes nowhere."


def test_words_and_pairs_of_each_side() -> None:
    texts = [f"{GOOD} I saw it {i} times." for i in range(10)] + [BAD] * 10 + ["slow burn"] * 5
    found = words.characterize(texts, [1] * 10 + [-1] * 10 + [0] * 5)
    assert found is not None
    positive, negative = found
    assert {"warm", "lovely"} <= set(positive.terms) and "dreadful" in negative.terms
    assert not {"harbour", "plot", "the", "film"} & {*positive.terms, *negative.terms}
    assert positive.quotes[0][1].startswith("The harbour scenes are lovely")
    assert texts[negative.quotes[0][0]] == BAD


def test_nothing_without_enough_reviews_or_difference() -> None:
    assert words.characterize([GOOD] * 9, [1] * 5 + [-1] * 4) is None
    assert words.characterize([], []) is None
    same = words.characterize([GOOD] * 10, [1, -1] * 5)
    assert same is not None and same[0].terms == same[1].terms == []
    assert same[0].quotes == []


def test_log_odds_equals_the_formula() -> None:
    first = [{"a"}] * 6 + [{"b"}] * 2
    second = [{"a"}] * 1 + [{"b"}] * 3
    scores = words.log_odds(first, second)
    prior = words.PRIOR * 7 / 12
    seen = [6 + prior, 1 + prior]
    odds = [s / (n + words.PRIOR - s + 1) for s, n in zip(seen, (8, 4), strict=True)]
    expected = np.log(odds[0] / odds[1]) / np.sqrt(1 / seen[0] + 1 / seen[1])
    assert scores["a"] == pytest.approx(expected) and scores["a"] > 0 > scores["b"]
    assert words.log_odds(first[:1], second[:1]) == {}


def test_pairs_have_no_stop_words() -> None:
    assert words.text_terms("The slow burn of it isn’t bad") == {
        "slow", "burn", "isn't", "bad", "slow burn", "isn't bad",
    }  # fmt: skip


def test_large_files_are_counted_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[str] = []
    terms = words.text_terms
    monkeypatch.setattr(words, "text_terms", lambda text: counted.append(text) or terms(text))
    monkeypatch.setattr(words, "MAX_WORDS", 1000)
    words.characterize([GOOD] * 500 + [BAD] * 500, [1] * 500 + [-1] * 500)
    assert len(counted) < 800
