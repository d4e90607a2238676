"""Texts of several opinions about different aspects of a film, for models of text pairs.

In: `aspect_opinions.yaml`, written for this project, and a seed. Out: JSONL files with `text`,
`aspect` and `label`, one for each split: `train.jsonl` and `validation.jsonl`. Every fifth opinion
of each list is for validation alone, so validation shows whether a model knows opinions that it
never read. A slot of a template takes a clause or a phrase about an aspect that the text has not
named yet:

    {clause=}, {phrase=}   of the text's first polarity
    {clause!}, {phrase!}   of the opposite polarity
    {clause+}, {phrase-}   positive; negative
"""

import random
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from space.inference.labels import NOT_MENTIONED
from train import plain_yaml
from train.augmentation.aspects import write_rows

OPINIONS = Path(__file__).with_name("aspect_opinions.yaml")
SPLITS = {"train": range(5)[1:], "validation": range(5)[:1]}  # places of the opinions, modulo 5
VALIDATION_SHARE = 0.05  # texts of validation for each text of training
SLOT = re.compile(r"\{(clause|phrase)([-+=!])\}")


@cache
def load() -> dict[str, Any]:
    """`templates`, and `opinions`: aspect -> "positive" or "negative" -> "clause" or "phrase"."""
    data: dict[str, Any] = plain_yaml.read(OPINIONS)
    return data


def write(out: Path, texts: int, seed: int) -> int:
    """Write the pairs of generated texts to a folder, which is created.

    Each text gets a pair for each aspect that it rates, and one for an aspect that it does not.

    Args:
        out: The folder.
        texts: The number of texts of training.
        seed: The same seed gives the same texts.

    Returns:
        The number of pairs.
    """
    out.mkdir(parents=True)
    count = 0
    for split, number in {"train": texts, "validation": round(texts * VALIDATION_SHARE)}.items():
        rng = random.Random(f"{split} {seed}")
        pairs = [pair for _ in range(number) for pair in _pairs(split, rng)]
        write_rows(out / f"{split}.jsonl", pairs)
        count += len(pairs)
    return count


def _pairs(split: str, rng: random.Random) -> Iterator[dict[str, str]]:
    """The pairs of one random text."""
    data, labels = load(), dict[str, str]()
    first = rng.choice(["positive", "negative"])
    second = "negative" if first == "positive" else "positive"
    polarities = {"+": "positive", "-": "negative", "=": first, "!": second}

    def opinion(slot: re.Match[str]) -> str:
        aspect = rng.choice([aspect for aspect in data["opinions"] if aspect not in labels])
        polarity = polarities[slot[2]]
        labels[aspect] = polarity.upper()
        opinions = data["opinions"][aspect][polarity][slot[1]]
        return str(rng.choice([o for i, o in enumerate(opinions) if i % 5 in SPLITS[split]]))

    text = SLOT.sub(opinion, rng.choice(data["templates"]))
    text = re.sub(r"(^|[.?!] )([a-z])", lambda m: m[1] + m[2].upper(), text)
    text += rng.choices([".", "!", "...", ""], [80, 8, 4, 8])[0]
    text = rng.choices([text, text.lower()], [92, 8])[0]
    absent = rng.choice([aspect for aspect in data["opinions"] if aspect not in labels])
    for aspect, label in [*labels.items(), (absent, NOT_MENTIONED)]:
        yield {"text": text, "aspect": aspect, "label": label}
