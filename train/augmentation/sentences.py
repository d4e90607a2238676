"""Sentences: from the training reviews of a run to labelled sentences, for short input.

In: a run folder, exported. Out: JSONL with `text`, `label` and `score`, which a recipe can name as
a dataset. A sentence is kept where the run's model is sure of it and agrees with its review's
label; a review gives each label at most a few, so that long ones don't speak for all.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from train import run_folder
from train.data import preparation, sources
from train.data.preparation import BREAK, IntArray, Split
from train.errors import RunError
from train.recipe import Corpus

END = re.compile(r"([.!?][\"')\]]*)\s+(?=[\"'(\[]*[A-Z0-9])")
WORDS = range(3, 41)  # of a sentence that may stand alone
AT_ONCE = 100


def cut(text: str) -> list[str]:
    """The sentences of a review, by its line breaks and full stops; of 3 to 40 words."""
    lines = END.sub(r"\1\n", BREAK.sub("\n", text)).splitlines()
    return [line.strip() for line in lines if len(line.split()) in WORDS]


def sample(corpus: Corpus, out: Path, *, most: int, seed: int = 0) -> int:
    """Write sentences of a corpus as JSONL with `text`, for a teacher to label; returns how many.

    Args:
        corpus: Texts without labels.
        out: The JSONL file.
        most: Sentences at most; they are drawn at random, each text once.
        seed: Of the drawing.
    """
    texts, _ = preparation.deduplicate(sources.texts(corpus), set())
    each, _ = preparation.deduplicate([s for text in texts for s in cut(text)], set())
    rows = np.sort(np.random.default_rng(seed).permutation(len(each))[:most])
    out.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"text": each[i]}, ensure_ascii=False) + "\n" for i in rows]
    out.write_text("".join(lines), encoding="utf-8")
    return len(rows)


def write(run: Path, out: Path, *, least: float = 0.98, each: int = 2, most: int = 20_000) -> int:
    """Write the sentences of a run's training reviews; returns how many.

    Args:
        run: The run folder, with its ONNX files.
        out: The JSONL file.
        least: The model's probability of the review's label from which on it is sure.
        each: Sentences of one review, at most.
        most: Sentences in all, at most, as many of each label.

    Raises:
        RunError: The run isn't exported, or no sentence is sure enough.
    """
    run_folder.check_exported(run)
    recipe = run_folder.as_read(run)
    train = preparation.load(recipe)["train"]
    kept: dict[str, list[dict[str, object]]] = {label: [] for label in recipe.labels}
    share = most // len(recipe.labels)
    order = np.random.default_rng(recipe.split_seed).permutation(len(train))
    for row in _judged(run, train, order, least, each, recipe.labels):
        found = kept[str(row["label"])]
        if len(found) < share:
            found.append(row)
        if all(len(rows) >= share for rows in kept.values()):
            break
    rows = [row for group in zip(*kept.values(), strict=False) for row in group]
    if not rows:
        raise RunError(
            f"no sentence of {run}'s training reviews is judged like its review with at least "
            f"{least} — lower --least"
        )
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text, encoding="utf-8")
    return len(rows)


def _judged(
    run: Path, train: Split, order: IntArray, least: float, each: int, labels: list[str]
) -> Iterator[dict[str, object]]:
    """Sentences that are sure enough, the surest of each review, review by review."""
    from space.inference.classifier import Classifier, Prediction

    classifier = Classifier.from_folder(run)
    seen: set[str] = set()
    starts = range(0, len(order), AT_ONCE)
    for start in tqdm(starts, desc="sentences", unit="review", unit_scale=AT_ONCE):
        part = order[start : start + AT_ONCE]
        sentences = [(i, sentence) for i in part for sentence in cut(train.texts[i])]
        answers = classifier.many([sentence for _, sentence in sentences])
        found: dict[int, list[tuple[float, str]]] = {}
        for (i, sentence), answer in zip(sentences, answers, strict=True):
            label = labels[train.labels[i]]
            score = answer.probabilities[label] if isinstance(answer, Prediction) else 0.0
            if score >= least:
                found.setdefault(int(i), []).append((score, sentence))
        for i, scored in found.items():
            label = labels[train.labels[i]]
            for score, sentence in sorted(scored, reverse=True)[:each]:
                if (key := preparation.normalized(sentence)) not in seen:
                    seen.add(key)
                    yield {"text": sentence, "label": label, "score": round(score, 4)}
