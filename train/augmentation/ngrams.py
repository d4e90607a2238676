"""A classifier of n-grams, which errs on other texts than a transformer.

In: texts and label numbers. Out: logits of other texts. Logistic regression on the words, pairs
and triples of a text, weighted by their naive-Bayes log-ratios (Wang & Manning 2012,
https://aclanthology.org/P12-2018).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from train.data.preparation import BREAK
from train.evaluation.metrics import FloatArray

WORD = re.compile(r"\w+(?:['’]\w+)?|[!?]")
MAX_NGRAM_WORDS = 3
MIN_TEXTS_TO_PRUNE = 1000  # with more texts, n-grams of a single text are left out
INVERSE_PENALTY = 30.0


@dataclass(frozen=True)
class NgramClassifier:
    """One regression of each label against the rest; two labels share one."""

    label_count: int
    vectorizer: Any  # texts -> (texts, n-grams), 1 where a text has the n-gram
    ratios: list[FloatArray]  # of each regression, (n-grams,)
    regressions: list[Any]

    @classmethod
    def fit(cls, texts: Sequence[str], labels: Sequence[int], label_count: int) -> Self:
        """Train on texts with label numbers; half a minute for 25,000 reviews."""
        from sklearn.feature_extraction.text import CountVectorizer
        from sklearn.linear_model import LogisticRegression

        vectorizer = CountVectorizer(
            tokenizer=words, token_pattern=None, lowercase=False, binary=True, dtype=np.float32,
            ngram_range=(1, MAX_NGRAM_WORDS), min_df=2 if len(texts) > MIN_TEXTS_TO_PRUNE else 1,
        )  # fmt: skip
        features, numbers = vectorizer.fit_transform(texts), np.asarray(labels)
        ratios, regressions = [], []
        for label in [1] if label_count == 2 else range(label_count):
            positive = numbers == label
            ratios.append(_log_shares(features[positive]) - _log_shares(features[~positive]))
            # Dual, as there are far more n-grams than texts; it visits the texts in random order.
            regression = LogisticRegression(
                C=INVERSE_PENALTY, solver="liblinear", dual=True, random_state=0
            )
            regressions.append(regression.fit(_weighted(features, ratios[-1]), positive))
        return cls(label_count, vectorizer, ratios, regressions)

    def logits(self, texts: Sequence[str]) -> FloatArray:
        """Logits, (texts, labels), not calibrated."""
        features = self.vectorizer.transform(texts)
        columns = [
            regression.decision_function(_weighted(features, ratio))
            for regression, ratio in zip(self.regressions, self.ratios, strict=True)
        ]
        if self.label_count == 2:
            columns.insert(0, np.zeros(len(texts)))
        return np.stack(columns, axis=1).astype(np.float32)


def words(text: str) -> list[str]:
    """The words of a text in lower case, with exclamation and question marks."""
    return WORD.findall(BREAK.sub(" ", text).lower())


def _log_shares(features: Any) -> FloatArray:
    """The logarithm of each n-gram's share of all, with add-one smoothing, (n-grams,)."""
    counts = 1 + np.asarray(features.sum(axis=0)).ravel()
    return np.asarray(np.log(counts / counts.sum()), dtype=np.float32)


def _weighted(features: Any, ratio: FloatArray) -> Any:
    from sklearn.preprocessing import normalize

    return normalize(features.multiply(ratio).tocsr())
