"""Training sentences for short input, split from reviews.

In: a run folder with ONNX files, or a corpus. Out: JSONL with `text` and, from a run, `label` and
`score`, which a recipe can name as a dataset. A run's sentence is kept where the model agrees with
the review's label with high confidence. The number per review is limited, so that long reviews
don't dominate.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sentencex import segment
from tqdm import tqdm

from train import run_folder
from train.data import preparation, sources
from train.data.preparation import BREAK
from train.errors import RunError
from train.recipe import Corpus

WORDS = range(3, 41)  # number of words of a sentence that is kept
BATCH_REVIEWS = 100


def split_sentences(text: str, language: str = "en") -> list[str]:
    """The sentences of a review that have 3 to 40 words; a line break also ends a sentence."""
    lines = BREAK.sub("\n", text).splitlines()
    sentences = [sentence.strip() for line in lines for sentence in segment(language, line)]
    return [sentence for sentence in sentences if len(sentence.split()) in WORDS]


def sample(corpus: Corpus, out: Path, *, max_sentences: int, seed: int = 0) -> int:
    """Write sentences of a corpus as JSONL with `text`, for a teacher to label.

    Args:
        corpus: Texts without labels.
        out: The JSONL file.
        max_sentences: Maximum number of sentences, drawn at random without duplicates.
        seed: Of the draw.

    Returns:
        The number of sentences.
    """
    texts, _ = preparation.deduplicate(sources.texts(corpus), set())
    sentences, _ = preparation.deduplicate([s for t in texts for s in split_sentences(t)], set())
    rows = np.sort(np.random.default_rng(seed).permutation(len(sentences))[:max_sentences])
    _write_lines(out, [{"text": sentences[i]} for i in rows])
    return len(rows)


def write(
    run: Path,
    out: Path,
    *,
    min_confidence: float = 0.98,
    max_per_review: int = 2,
    max_sentences: int = 20_000,
) -> int:
    """Write sentences of a run's training reviews as JSONL with `text`, `label` and `score`.

    Args:
        run: The run folder, with its ONNX files.
        out: The JSONL file.
        min_confidence: Minimum probability that the model gives the review's label.
        max_per_review: Maximum number of sentences of one review.
        max_sentences: Maximum number of sentences in all, the same number for each label.

    Returns:
        The number of sentences.

    Raises:
        RunError: The run isn't exported, or no sentence reaches the minimum probability.
    """
    run_folder.check_exported(run)
    recipe = run_folder.load_pinned_recipe(run)
    train = preparation.load(recipe)["train"]
    order = np.random.default_rng(recipe.split_seed).permutation(len(train))
    reviews = [(train.texts[i], recipe.labels[train.labels[i]]) for i in order]
    rows_by_label: dict[str, list[dict[str, Any]]] = {label: [] for label in recipe.labels}
    max_per_label = max_sentences // len(recipe.labels)
    for row in _confident_sentences(run, reviews, min_confidence, max_per_review, recipe.language):
        rows = rows_by_label[row["label"]]
        if len(rows) < max_per_label:
            rows.append(row)
        if all(len(rows) >= max_per_label for rows in rows_by_label.values()):
            break
    balanced = [row for group in zip(*rows_by_label.values(), strict=False) for row in group]
    if not balanced:
        raise RunError(
            f"the model gives no sentence of {run}'s training reviews the label of its review with "
            f"a probability of at least {min_confidence} — lower --min-confidence"
        )
    _write_lines(out, balanced)
    return len(balanced)


def _confident_sentences(
    run: Path,
    reviews: Sequence[tuple[str, str]],
    min_confidence: float,
    max_per_review: int,
    language: str,
) -> Iterator[dict[str, Any]]:
    """The sentences with the highest scores of each review, in the order of the reviews."""
    from space.inference.classifier import Classifier, Prediction

    classifier = Classifier.from_folder(run)
    seen: set[str] = set()
    starts = range(0, len(reviews), BATCH_REVIEWS)
    for start in tqdm(starts, desc="sentences", unit="review", unit_scale=BATCH_REVIEWS):
        batch = reviews[start : start + BATCH_REVIEWS]
        sentences = [split_sentences(text, language) for text, _ in batch]
        answers = iter(classifier.predict_batch([s for review in sentences for s in review]))
        for (_, label), of_review in zip(batch, sentences, strict=True):
            scored = []
            for sentence, answer in zip(of_review, answers, strict=False):
                score = answer.probabilities[label] if isinstance(answer, Prediction) else 0.0
                if score >= min_confidence:
                    scored.append((score, sentence))
            for score, sentence in sorted(scored, reverse=True)[:max_per_review]:
                if (key := preparation.normalized(sentence)) not in seen:
                    seen.add(key)
                    yield {"text": sentence, "label": label, "score": round(score, 4)}


def _write_lines(out: Path, rows: Iterable[dict[str, Any]]) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    out.write_text("".join(lines), encoding="utf-8")
