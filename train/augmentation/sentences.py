"""Sentences for training on short input, cut from unlabeled texts; a teacher labels them.

In: a corpus. Out: JSONL with `text`, which a recipe names as a dataset with `label: null`.
"""

import json
from pathlib import Path

import numpy as np

from space.inference.texts import segment
from train.data import preparation, sources
from train.data.preparation import BREAK
from train.sections import CutSentences

WORDS = range(3, 41)  # number of words of a sentence that is kept
SEED = 0  # of the draw


def split_sentences(text: str) -> list[str]:
    """The sentences of a review that have 3 to 40 words; a line break also ends a sentence."""
    lines = BREAK.sub("\n", text).splitlines()
    sentences = [sentence.strip() for line in lines for sentence in segment(line)]
    return [sentence for sentence in sentences if len(sentence.split()) in WORDS]


def cut(step: CutSentences, out: Path) -> int:
    """Write sentences of a corpus, at most `max_sentences`, drawn at random without duplicates.

    Args:
        step: The corpus and the number of sentences.
        out: The JSONL file.

    Returns:
        The number of sentences.

    Raises:
        DataError: See `sources.texts`.
    """
    texts = preparation.deduplicate(sources.texts(step, step.split, step.text))
    sentences = preparation.deduplicate([s for text in texts for s in split_sentences(text)])
    draw = np.random.default_rng(SEED).permutation(len(sentences))[: step.max_sentences]
    lines = [json.dumps({"text": sentences[i]}, ensure_ascii=False) + "\n" for i in np.sort(draw)]
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text("".join(lines), encoding="utf-8")
    return len(lines)
