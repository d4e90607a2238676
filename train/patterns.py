"""Short opinions of films with negation, contrast and hedges, made from word lists and templates.

In: `pattern_data/`, all written for this project, and a seed. Out: rows of text, label, kind and
words; `python -m train.patterns --out FOLDER` writes them as `train.jsonl` and `validation.jsonl`.
The two share no template. Half of the second's rows (words: new) share no opinion word with the
first either, the others (words: known) use its opinion words: what is hard shows, the pattern alone
or new words as well.

A template serves both labels; of its own words only those in square brackets give the verdict away:

    {word=}, {word!}   an opinion word of the row's polarity, and one of the opposite polarity
    [fine|foul]        the first in a positive row, the second in a negative one
    <one|another>      either, at random
    {part} {was} ...   what carries no opinion; a verb agrees with the last part before it
    {claim=}, {claim!} a whole clause with the row's verdict, and one with the opposite verdict
"""

import argparse
import json
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from train import plain_yaml

LABELS = ("POSITIVE", "NEGATIVE")
ROWS = {"train": 50_000, "validation": 1_600}
DATA = Path(__file__).parent / "pattern_data"
Row = dict[str, str]
Words = tuple[str, ...]


@dataclass(frozen=True)
class Grammar:
    """Words and templates; the comments of `pattern_data/base.yaml` say what each part is."""

    words: dict[str, dict[str, dict[str, Words]]]
    pools: dict[str, Words]
    slots: dict[str, Words]
    plurals: dict[str, str]
    clauses: dict[str, Words]
    templates: dict[str, dict[str, Words]]
    openers: dict[str, Words]
    long_forms: dict[str, str]


def read() -> Grammar:
    """The grammar of `pattern_data/base.yaml`.

    Raises:
        RecipeError: The file can't be read.
    """
    data = plain_yaml.read(DATA / "base.yaml")
    return Grammar(
        words={
            split: {label: _lists(lists) for label, lists in labels.items()}
            for split, labels in data["words"].items()
        },
        pools=_lists(data["pools"]),
        slots=_lists(data["slots"]),
        plurals=data["plurals"],
        clauses=_tuples(data["clauses"]),
        templates={
            split: {kind: _expand(entries, data["frames"]) for kind, entries in kinds.items()}
            for split, kinds in data["templates"].items()
        },
        openers=_tuples(data["openers"]),
        long_forms=data["long_forms"],
    )


def _lists(texts: dict[str, str]) -> dict[str, Words]:
    """The words of lists that are separated by commas."""
    return {name: tuple(text.split(", ")) for name, text in texts.items()}


def _tuples(lists: dict[str, list[str]]) -> dict[str, Words]:
    return {name: tuple(entries) for name, entries in lists.items()}


def _expand(entries: list[Any], frames: dict[str, list[str]]) -> Words:
    """The templates that the entries of a kind stand for."""
    templates: list[str] = []
    for entry in entries:
        if isinstance(entry, str):
            templates.append(entry)
        elif "times" in entry:
            templates += [entry["clause"]] * entry["times"]
        else:
            templates += [f.replace("{}", entry["clause"]) for f in frames[entry["frames"]]]
    return tuple(templates)


GRAMMAR = read()


def make(split: str, rows: int, seed: int = 0) -> list[Row]:
    """Rows of one split, shuffled, all different, with both labels equally often in each kind.

    Kinds are equally often too, but for `plain`: twice, so that an opinion word stands for what it
    means more often than for the opposite.

    Args:
        split: `train` or `validation`.
        rows: How many.
        seed: The same seed gives the same rows.

    Raises:
        ValueError: The templates do not give so many different rows.
    """
    chance = random.Random(f"{split} {seed}")
    templates = GRAMMAR.templates[split]
    turns = ["plain", *templates]
    seen: set[str] = set()
    made: list[Row] = []
    for i in range(rows):
        kind, label = turns[i // 2 % len(turns)], LABELS[i % 2]
        words = "train" if i // (2 * len(turns)) % 2 else split
        for _ in range(200):
            template = chance.choice(templates[kind])
            text = _dress(fill(template, words, label, chance), split, label, chance)
            letters = re.sub("[^a-z]", "", text.lower())
            if letters not in seen:
                break
        else:
            raise ValueError(f"rows must be fewer, got {rows} — {kind} has no more to give")
        seen.add(letters)
        of_training = "known" if words == "train" else "new"
        made.append({"text": text, "label": label, "kind": kind, "words": of_training})
    chance.shuffle(made)
    return made


def fill(template: str, words: str, label: str, chance: random.Random) -> str:
    """A template's words in place, in lower case and without punctuation at the end.

    Args:
        template: One of the grammar's templates.
        words: The split whose opinion words it gets.
        label: `POSITIVE` or `NEGATIVE`, the verdict of the sentence.
        chance: Where the choices come from.
    """
    side = LABELS.index(label)
    used: set[str] = set()
    plural = False

    def word(match: re.Match[str]) -> str:
        nonlocal plural
        slot, polarity = match.groups()
        if slot in GRAMMAR.plurals:
            return GRAMMAR.plurals[slot] if plural else slot
        if polarity:
            choices = _pool(slot, GRAMMAR.words[words][LABELS[side ^ (polarity == "!")]])
        elif slot == "part":
            plural = chance.random() < 0.35
            choices = GRAMMAR.slots["more_parts" if plural else "one_part"]
        else:
            choices = GRAMMAR.slots[slot]
        chosen = chance.choice([choice for choice in choices if choice not in used])
        used.add(chosen)
        return chosen

    def clause(match: re.Match[str]) -> str:
        chosen = chance.choice(GRAMMAR.clauses[match[1]])
        return chosen if match[2] == "=" else chosen.translate(str.maketrans("=!", "!="))

    text = re.sub(rf"\{{({'|'.join(GRAMMAR.clauses)})([=!])\}}", clause, template)
    text = re.sub(r"\[(.*?)\|(.*?)\]", lambda m: m[1 + side], text)
    text = re.sub(r"<(.*?)>", lambda m: chance.choice(m[1].split("|")), text)
    text = re.sub(r"\{([\w']+)([=!]?)\}", word, text)
    return re.sub(r"\ba (?=[aeiou])", "an ", text)


def _pool(slot: str, lists: dict[str, Words]) -> Words:
    """The words of a slot: adjectives, nouns, or verbs in the form that it asks for."""
    words = [word for name in GRAMMAR.pools[slot] for word in lists[name]]
    if slot in {"like", "love", "liked", "loved"}:
        return tuple(word.split("/")[slot.endswith("d")] for word in words)
    if slot == "long":
        return tuple(word for word in words if len(word) > 6 and not word.endswith("y"))
    return tuple(words)


def _dress(text: str, split: str, label: str, chance: random.Random) -> str:
    """A sentence as people type it: opener, second sentence, contractions, case, punctuation."""
    if chance.random() < 0.35:
        text = f"{chance.choice(GRAMMAR.openers[split])} {text}"
    end = chance.choices([".", "!", "...", ""], [75, 10, 5, 10])[0]
    ended = text[-1] in ".?!"
    if chance.random() < 0.15:
        closer = chance.choice(GRAMMAR.words[split][label]["closer"])
        text += f" {closer}" if ended else f"{end or '.'} {closer}"
    elif not ended:
        text += end
    text = re.sub(r"(^|[.?!] )([a-z])", lambda m: m[1] + m[2].upper(), text)
    style = chance.choices(["short", "long", "bare", "curly"], [50, 27, 13, 10])[0]
    if style == "long":
        text = _lengthen(text)
    elif style == "bare":
        text = re.sub(r"(?i)(n't|\bit's|\bthere's)\b", lambda m: m[0].replace("'", ""), text)
    elif style == "curly":
        text = text.replace("'", "’")
    case = chance.choices(["as it is", "lower", "upper"], [88, 10, 2])[0]
    return {"as it is": text, "lower": text.lower(), "upper": text.upper()}[case]


def _lengthen(text: str) -> str:
    """Without contractions; the first letter stays as it is."""
    for short, long in GRAMMAR.long_forms.items():
        text = re.sub(rf"(?i)\b({short[0]}){short[1:]}\b", rf"\g<1>{long[1:]}", text)
    return text.replace("n't", " not")


def write(folder: Path, rows: Mapping[str, int] = ROWS, seed: int = 0) -> None:
    """Both splits as JSON lines, `FOLDER/train.jsonl` and `FOLDER/validation.jsonl`."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, number in rows.items():
        lines = (json.dumps(row, ensure_ascii=False) for row in make(split, number, seed))
        (folder / f"{split}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m train.patterns", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--out", type=Path, required=True, help="the folder to write to")
    parser.add_argument("--seed", type=int, default=0)
    for split, number in ROWS.items():
        parser.add_argument(f"--{split}-rows", type=int, default=number)
    given = parser.parse_args(arguments)
    rows = {split: getattr(given, f"{split}_rows") for split in ROWS}
    write(given.out, rows, given.seed)


if __name__ == "__main__":
    main()
