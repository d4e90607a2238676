"""Pairs of a text and an aspect of the film, such as its acting, for models of text pairs.

In: reviews with rated aspects, or unrated reviews and a teacher. Out: JSONL files with `text`,
`aspect` and `label`: NEGATIVE, POSITIVE, NEUTRAL or NOT_MENTIONED.
"""

import json
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from space.inference.labels import NOT_MENTIONED
from train import plain_yaml, run_folder
from train.augmentation import distillation
from train.augmentation.sentences import split_sentences
from train.data import preparation, sources
from train.data.labels import NO_LABEL
from train.data.splits import Split
from train.errors import DataError, shorten
from train.sections import AspectPairs, AspectSentences

WORDS = Path(__file__).with_name("aspect_words.yaml")
SEED = 0  # of the draw
POLARITIES = {name: name.upper() for name in ["negative", "positive", "neutral"]}

Row = dict[str, Any]


def load_words() -> dict[str, re.Pattern[str]]:
    """Aspect -> a pattern of the words that name it."""
    words = plain_yaml.read(WORDS)
    return {
        aspect: re.compile(rf"\b(?:{'|'.join(map(re.escape, names.split()))})\b", re.IGNORECASE)
        for aspect, names in words.items()
    }


def write_pairs(step: AspectPairs, out: Path) -> int:
    """Write a pair for each review and aspect, a file for each split.

    Args:
        step: The reviews, with a column of lists of `aspect` and `polarity`.
        out: The folder to create.

    Returns:
        The number of pairs.

    Raises:
        DataError: The source can't be read or lacks a column, or a list has other contents.
    """
    aspects, count = list(load_words()), 0
    out.mkdir(parents=True)
    for split, rows in sources.read_splits(step).items():
        where = f"{step.source} split {split!r}"
        columns = [step.text, step.aspects, step.group]
        if missing := [name for name in columns if name and name not in rows.column_names]:
            raise DataError(
                f"{where} has no column {missing[0]!r} — it has: {', '.join(rows.column_names)}"
            )
        pairs: list[Row] = []
        for number, row in enumerate(rows, start=1):
            rated = _polarities(row[step.aspects], aspects, f"{where}, row {number}")
            group = {step.group: row[step.group]} if step.group else {}
            pairs += [
                {"text": row[step.text], "aspect": a, "label": rated.get(a, NOT_MENTIONED), **group}
                for a in aspects
            ]
        write_rows(out / f"{split}.jsonl", pairs)
        count += len(pairs)
    return count


def _polarities(cell: Any, aspects: Sequence[str], where: str) -> dict[str, str]:
    """Aspect -> label; an aspect that is rated twice must have one polarity."""
    rated: dict[str, str] = {}
    for item in cell or []:
        parts = item if isinstance(item, dict) else {}
        aspect, polarity = str(parts.get("aspect")), str(parts.get("polarity"))
        label = POLARITIES.get(polarity)
        if aspect not in aspects or label is None or rated.get(aspect, label) != label:
            raise DataError(
                f"{where}: an aspect must be one of {', '.join(aspects)}, each with one polarity of"
                f" {', '.join(POLARITIES)}, got {shorten(repr(item))}"
            )
        rated[aspect] = label
    return rated


def write_sentences(step: AspectSentences, out: Path) -> int:
    """Write sentences with the aspect that they name, labeled by a teacher where it is sure.

    A sentence that names exactly one aspect gets the teacher's label of the sentence. For each such
    pair, another has an aspect that the sentence does not name. Two sentences with different
    aspects are also joined into one text.

    Args:
        step: The reviews, the teacher and the limits.
        out: The JSONL file. An interrupted call continues after the last finished part.

    Returns:
        The number of pairs.

    Raises:
        DataError: See `sources.texts`; the teacher has other labels than NEGATIVE and POSITIVE; or
            no sentence names exactly one aspect.
        RunError: The teacher is no finished run.
    """
    labels = run_folder.load_recipe(Path(step.teacher)).labels
    if set(labels) != {"NEGATIVE", "POSITIVE"}:
        raise DataError(
            f"the labels of {step.teacher} must be NEGATIVE and POSITIVE, got {labels} — choose "
            "another teacher"
        )
    texts = preparation.deduplicate(sources.texts(step, step.split, step.text))
    sentences = preparation.deduplicate([s for text in texts for s in split_sentences(text)])
    words, random = load_words(), np.random.default_rng(SEED)
    shuffled = [sentences[i] for i in random.permutation(len(sentences))]
    named = [(s, [a for a, pattern in words.items() if pattern.search(s)]) for s in shuffled]
    single = [(s, aspects[0]) for s, aspects in named if len(aspects) == 1][: step.max_sentences]
    if not single:
        raise DataError(
            f"{step.source} must have sentences that name exactly one of {', '.join(words)}, got "
            f"none in {len(texts):,} texts — choose another `source`, `split` or `text`"
        )
    folder = distillation.parts_of(out)
    named_one = Split([sentence for sentence, _ in single], [NO_LABEL] * len(single))
    shares_of = distillation.predict_in_parts([Path(step.teacher)], named_one, folder, "fp32")
    sure = [
        {"text": sentence, "aspect": aspect, "label": labels[int(shares.argmax())]}
        for (sentence, aspect), shares in zip(single, shares_of, strict=True)
        if shares.max() >= step.min_confidence
    ]
    pairs = [*sure, *_absent(sure, random), *_joined(sure)]
    draft = folder / "pairs"
    write_rows(draft, pairs)
    draft.replace(out)
    shutil.rmtree(folder)
    return len(pairs)


def _absent(sure: list[Row], random: np.random.Generator) -> Iterator[Row]:
    """Each labeled sentence with the aspect of another one.

    So each aspect is absent about as often as it is named.
    """
    aspects = [row["aspect"] for row in sure]
    if len(set(aspects)) < 2:
        aspects = list(load_words())
    for row in sure:
        aspect = row["aspect"]
        while aspect == row["aspect"]:
            aspect = aspects[int(random.integers(len(aspects)))]
        yield {"text": row["text"], "aspect": aspect, "label": NOT_MENTIONED}


def _joined(sure: list[Row]) -> Iterator[Row]:
    """Two labeled sentences as one text, with the aspect of each, so that texts have several."""
    for first, second in zip(sure[::2], sure[1::2], strict=False):
        if first["aspect"] != second["aspect"]:
            text = f"{first['text']} {second['text']}"
            yield from ({**row, "text": text} for row in (first, second))


def write_rows(file: Path, rows: Iterable[Row]) -> None:
    """Write rows as JSON lines."""
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    file.write_text("".join(lines), encoding="utf-8")
