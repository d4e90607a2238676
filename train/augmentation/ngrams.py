"""A bag of n-grams: what a text's words, pairs and triples say, whatever their order beyond.

In: texts and label numbers. Out: logits of other texts. It errs elsewhere than a transformer, so
that the two together know more than either. Logistic regression on n-grams weighted by their
naive-Bayes log-ratios (Wang & Manning 2012, https://aclanthology.org/P12-2018).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from train.data.preparation import BREAK
from train.evaluation.metrics import FloatArray

WORD = re.compile(r"\w+(?:['’]\w+)?|[!?]")
LONGEST = 3  # words of an n-gram
FEW = 1000  # texts; of more, n-grams that only one has are left out
INVERSE_PENALTY = 30.0


@dataclass(frozen=True)
class NgramClassifier:
    """One regression for each label against the rest; two labels share one."""

    labels: int
    counter: Any  # texts -> which n-grams they have
    ratios: list[FloatArray]  # of each regression, (n-grams,)
    regressions: list[Any]

    @classmethod
    def fit(cls, texts: Sequence[str], labels: Sequence[int], count: int) -> Self:
        """Learn from texts with label numbers below `count`; half a minute for 25,000 reviews."""
        from sklearn.feature_extraction.text import CountVectorizer
        from sklearn.linear_model import LogisticRegression

        counter = CountVectorizer(
            tokenizer=words, token_pattern=None, lowercase=False, binary=True,
            ngram_range=(1, LONGEST), min_df=2 if len(texts) > FEW else 1, dtype=np.float32,
        )  # fmt: skip
        bags, numbers = counter.fit_transform(texts), np.asarray(labels)
        ratios, regressions = [], []
        for label in [1] if count == 2 else range(count):
            mine = numbers == label
            ratios.append(_log_share(bags[mine]) - _log_share(bags[~mine]))
            # Dual, as there are far more n-grams than texts; it visits these in a drawn order.
            regression = LogisticRegression(
                C=INVERSE_PENALTY, solver="liblinear", dual=True, random_state=0
            )
            regressions.append(regression.fit(_weighted(bags, ratios[-1]), mine))
        return cls(count, counter, ratios, regressions)

    def logits(self, texts: Sequence[str]) -> FloatArray:
        """(texts, labels), not calibrated."""
        bags = self.counter.transform(texts)
        columns = [
            regression.decision_function(_weighted(bags, ratio))
            for regression, ratio in zip(self.regressions, self.ratios, strict=True)
        ]
        if self.labels == 2:
            columns.insert(0, np.zeros(len(texts)))
        return np.stack(columns, axis=1).astype(np.float32)


def words(text: str) -> list[str]:
    """The words of a text in lower case, with exclamation and question marks."""
    return WORD.findall(BREAK.sub(" ", text).lower())


def _log_share(bags: Any) -> FloatArray:
    """The logarithm of each n-gram's share of all, smoothed by one, (n-grams,)."""
    counts = 1 + np.asarray(bags.sum(axis=0)).ravel()
    return np.asarray(np.log(counts / counts.sum()), dtype=np.float32)


def _weighted(bags: Any, ratio: FloatArray) -> Any:
    from sklearn.preprocessing import normalize

    return normalize(bags.multiply(ratio).tocsr())
