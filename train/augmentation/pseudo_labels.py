"""Pseudo-labels: unlabelled texts, labelled by a run's model and an n-gram classifier.

In: a run folder with ONNX files, and a corpus. Out: JSONL with `text`, `label` and `score`, the
label's probability, which a recipe names as `confidence`. The n-gram classifier trains on the
run's training reviews; the weights of the two are fitted on validation. Texts of the run's
training, validation and test splits are excluded.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax
from tqdm import tqdm

from train import run_folder
from train.augmentation.ngrams import NgramClassifier
from train.data import preparation, sources
from train.errors import DataError
from train.evaluation import metrics
from train.evaluation.metrics import FloatArray
from train.recipe import Corpus

if TYPE_CHECKING:
    from space.inference.classifier import Classifier

BATCH_TEXTS = 500  # written at once, so the most that an interruption loses


def write(run: Path, corpus: Corpus, out: Path) -> dict[str, Any]:
    """Label a corpus; the same call resumes after an interruption.

    Args:
        run: The run folder, with its ONNX files.
        corpus: Where the texts come from. A Hub dataset of the run without a revision is read at
            the run's revision.
        out: The JSONL file.

    Returns:
        `texts` (labelled), `dropped` (reason to number of texts) and `validation`: `accuracy` and
        `nll` of `model`, `n-grams` and `both`.

    Raises:
        RunError: The run isn't exported, or its splits have changed.
        DataError: The corpus can't be read, or has no text that the run doesn't have.
    """
    from space.inference.classifier import Classifier

    run_folder.check_exported(run)
    recipe = run_folder.load_pinned_recipe(run)
    splits = preparation.load(recipe)
    run_folder.check_split(run, "validation", splits["validation"].sha256())
    revisions = {dataset.source: dataset.revision for dataset in recipe.datasets}
    revision = corpus.revision or revisions.get(corpus.source)
    corpus = corpus.model_copy(update={"revision": revision})
    excluded = {key for split in splits.values() for key, _ in split.keys()}
    texts, dropped = preparation.deduplicate(sources.texts(corpus), excluded)
    if not texts:
        raise DataError(
            f"{corpus.source} holds no text that the run doesn't have (dropped: {dropped}) — "
            "name another corpus or split"
        )
    train, validation = splits["train"], splits["validation"]
    ngrams = NgramClassifier.fit(train.texts, train.labels, len(recipe.labels))
    ensemble = Ensemble(Classifier.from_folder(run), ngrams, recipe.labels)
    measured = ensemble.fit(validation.texts, validation.labels)
    identity = repr((run_folder.load_results(run), corpus, len(texts)))
    digest = hashlib.sha256(identity.encode()).hexdigest()[:8]
    ensemble.label(texts, out.with_name(f"{out.name}.{digest}.part"), out)
    return {"texts": len(texts), "dropped": dropped, "validation": measured}


@dataclass
class Ensemble:
    """A run's model and an n-gram classifier, whose logits are added with fitted weights."""

    classifier: "Classifier"
    ngrams: NgramClassifier
    labels: list[str]
    weights: FloatArray | None = None  # of model and n-grams, (2,)

    def fit(self, texts: Sequence[str], labels: Sequence[int]) -> dict[str, dict[str, float]]:
        """Fit the weights on validation; returns metrics of `model`, `n-grams` and `both`."""
        logits = self._logits(texts)
        self.weights = fit_weights(logits, labels)
        # Calibrated, as the model is.
        ngrams = logits[1] / metrics.fit_temperature(logits[1], labels)
        compared = {"model": logits[0], "n-grams": ngrams, "both": mix(logits, self.weights)}
        return {name: _accuracy_and_nll(value, labels) for name, value in compared.items()}

    def label(self, texts: Sequence[str], draft: Path, out: Path) -> None:
        """Write labelled rows to a draft, after those that it has, and rename it to `out`."""
        assert self.weights is not None
        draft.parent.mkdir(parents=True, exist_ok=True)
        done = _complete_lines(draft)
        with (
            draft.open("a", encoding="utf-8") as file,
            tqdm(total=len(texts), initial=done, desc="pseudo-labels", unit="text") as bar,
        ):
            for start in range(done, len(texts), BATCH_TEXTS):
                batch = texts[start : start + BATCH_TEXTS]
                probabilities = softmax(mix(self._logits(batch), self.weights), axis=1)
                file.writelines(_lines(batch, probabilities, self.labels))
                file.flush()
                bar.update(len(batch))
        draft.replace(out)

    def _logits(self, texts: Sequence[str]) -> list[FloatArray]:
        return [_log_probabilities(self.classifier, texts, self.labels), self.ngrams.logits(texts)]


def fit_weights(logits: Sequence[FloatArray], labels: Sequence[int]) -> FloatArray:
    """Fit the weights of classifiers that minimize the loss of the weighted sum of their logits.

    Args:
        logits: Of each classifier, (texts, labels).
        labels: Label numbers of the texts.

    Returns:
        (classifiers,), from 0 to 10.
    """
    rows = np.arange(len(labels))
    # In double precision: the minimizer's steps are too small to show a slope in fp32.
    precise = [np.asarray(values, dtype=np.float64) for values in logits]

    def nll(weights: Any) -> float:
        mixed = np.tensordot(weights, precise, axes=1)  # (texts, labels)
        return float(-log_softmax(mixed, axis=1)[rows, labels].mean())

    fitted = minimize(nll, np.full(len(logits), 0.5), bounds=[(0, 10)] * len(logits))
    return np.asarray(fitted.x, dtype=np.float32)


def mix(logits: Sequence[FloatArray], weights: FloatArray) -> FloatArray:
    """The weighted sum of logits, (texts, labels)."""
    return np.asarray(np.tensordot(weights, np.stack(logits), axes=1), dtype=np.float32)


def _accuracy_and_nll(logits: FloatArray, labels: Sequence[int]) -> dict[str, float]:
    measured = metrics.metrics(logits, np.array(labels))
    return {key: measured[key] for key in ["accuracy", "nll"]}


def _log_probabilities(
    classifier: "Classifier", texts: Sequence[str], labels: list[str]
) -> FloatArray:
    """The model's log-probabilities, (texts, labels); equal ones for a text it can't read."""
    from space.inference.classifier import Prediction

    rows = [
        [answer.probabilities[label] for label in labels]
        if isinstance(answer, Prediction)
        else [1 / len(labels)] * len(labels)
        for answer in classifier.predict_batch(texts)
    ]
    return np.asarray(np.log(np.clip(rows, 1e-6, 1)), dtype=np.float32)


def _lines(texts: Sequence[str], probabilities: FloatArray, labels: list[str]) -> list[str]:
    rows = [
        {"text": text, "label": labels[row.argmax()], "score": round(float(row.max()), 4)}
        for text, row in zip(texts, probabilities, strict=True)
    ]
    return [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]


def _complete_lines(draft: Path) -> int:
    """The number of complete lines of a draft; an incomplete last line is removed."""
    if not draft.exists():
        return 0
    content = draft.read_bytes()
    complete = content[: content.rfind(b"\n") + 1]
    draft.write_bytes(complete)
    return complete.count(b"\n")
