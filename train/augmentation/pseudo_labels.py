"""Pseudo-labels: from texts without labels to rows that a recipe can train on.

In: a run folder, exported, and a corpus. Out: JSONL with `text`, `label` and `score`, the label's
probability, which a recipe names as `confidence`. The run's model and a bag of n-grams, learned
from the same training reviews, judge together; how much each counts is fitted on validation. No
text of the run's training, validation or test reviews gets a label.
"""

import hashlib
import json
from collections.abc import Sequence
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

AT_ONCE = 500  # texts; what a kill costs at most


def write(run: Path, corpus: Corpus, out: Path) -> dict[str, Any]:
    """Label a corpus; the same call goes on where it was stopped.

    Args:
        run: The run folder, with its ONNX files.
        corpus: Where the texts come from; from a Hub dataset of the run, at the run's revision
            where it names none.
        out: The JSONL file.

    Returns:
        How many texts were labelled and left out, and the validation accuracy and loss of the
        model, of the n-grams and of both.

    Raises:
        RunError: The run isn't exported, or its splits are no longer those it was made with.
        DataError: The corpus can't be read, or holds no text that the run doesn't have.
    """
    from space.inference.classifier import Classifier

    run_folder.check_exported(run)
    recipe = run_folder.as_read(run)
    splits = preparation.load(recipe)
    run_folder.check_split(run, "validation", splits["validation"].sha256())
    pinned = {dataset.source: dataset.revision for dataset in recipe.datasets}
    corpus = corpus.model_copy(update={"revision": corpus.revision or pinned.get(corpus.source)})
    held = {key for split in splits.values() for key, _ in split.keys()}
    texts, dropped = preparation.deduplicate(sources.texts(corpus), held)
    if not texts:
        raise DataError(
            f"{corpus.source} holds no text that the run doesn't have (left out: {dropped}) — "
            "name another corpus or split"
        )
    classifier = Classifier.from_folder(run)
    train, validation = splits["train"], splits["validation"]
    bag = NgramClassifier.fit(train.texts, train.labels, len(recipe.labels))
    views = [
        _logits(classifier, validation.texts, recipe.labels),
        bag.logits(validation.texts),
    ]
    shares = fit_shares(views, validation.labels)
    # Calibrated, as the model is.
    alone = views[1] / metrics.fit_temperature(views[1], validation.labels)
    judged = {"model": views[0], "n-grams": alone, "both": mix(views, shares)}
    out.parent.mkdir(parents=True, exist_ok=True)
    identity = repr((run_folder.load_results(run), corpus, len(texts)))
    draft = out.with_name(f"{out.name}.{hashlib.sha256(identity.encode()).hexdigest()[:8]}.part")
    done = _whole_lines(draft)
    with draft.open("a", encoding="utf-8") as file:
        bar = tqdm(total=len(texts), initial=done, desc="pseudo-labels", unit="text")
        for start in range(done, len(texts), AT_ONCE):
            part = texts[start : start + AT_ONCE]
            logits = mix([_logits(classifier, part, recipe.labels), bag.logits(part)], shares)
            file.writelines(_lines(part, softmax(logits, axis=1), recipe.labels))
            file.flush()
            bar.update(len(part))
        bar.close()
    draft.replace(out)
    return {
        "texts": len(texts),
        "dropped": dropped,
        "validation": {name: _figures(found, validation.labels) for name, found in judged.items()},
    }


def fit_shares(views: Sequence[FloatArray], labels: Sequence[int]) -> FloatArray:
    """The factor of each view, (views,), none below 0, with the lowest NLL of their sum."""
    rows = np.arange(len(labels))
    # In double precision: the minimiser's steps are too small for fp32 to show a slope.
    precise = [np.asarray(view, dtype=np.float64) for view in views]

    def nll(shares: Any) -> float:
        mixed = np.tensordot(shares, precise, axes=1)  # (texts, labels)
        return float(-log_softmax(mixed, axis=1)[rows, labels].mean())

    found = minimize(nll, np.full(len(views), 0.5), bounds=[(0, 10)] * len(views))
    return np.asarray(found.x, dtype=np.float32)


def mix(views: Sequence[FloatArray], shares: FloatArray) -> FloatArray:
    """The weighted sum of logits, (texts, labels)."""
    return np.asarray(np.tensordot(shares, np.stack(views), axes=1), dtype=np.float32)


def _figures(logits: FloatArray, labels: Sequence[int]) -> dict[str, float]:
    found = metrics.metrics(logits, np.array(labels))
    return {key: found[key] for key in ["accuracy", "nll"]}


def _logits(classifier: "Classifier", texts: Sequence[str], labels: list[str]) -> FloatArray:
    """The model's log-probabilities; nothing, where it can't read a text."""
    from space.inference.classifier import Prediction

    rows = [
        [answer.probabilities[label] for label in labels]
        if isinstance(answer, Prediction)
        else [1 / len(labels)] * len(labels)
        for answer in classifier.many(texts)
    ]
    return np.asarray(np.log(np.clip(rows, 1e-6, 1)), dtype=np.float32)


def _lines(texts: list[str], probabilities: FloatArray, labels: list[str]) -> list[str]:
    best = probabilities.argmax(axis=1)
    return [
        json.dumps(
            {"text": text, "label": labels[i], "score": round(float(row[i]), 4)},
            ensure_ascii=False,
        )
        + "\n"
        for text, row, i in zip(texts, probabilities, best, strict=True)
    ]


def _whole_lines(draft: Path) -> int:
    """How many lines a draft holds; one that was cut off in writing is dropped."""
    if not draft.exists():
        return 0
    kept = draft.read_bytes()
    kept = kept[: kept.rfind(b"\n") + 1]
    draft.write_bytes(kept)
    return kept.count(b"\n")
