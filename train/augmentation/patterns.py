"""Short opinions of films with negation, contrast and hedges, made from word lists and templates.

In: `pattern_data/`, all written for this project, and a seed. Out: rows of text, label, kind and
words. `python -m train.augmentation.patterns --out FOLDER` writes JSON lines, one file a split:

    train                 the kinds of base.yaml, and after them those of extended.yaml
    validation            the kinds of base.yaml, the same rows as before there were others
    extended_validation   the kinds of extended.yaml
    neutral, neutral_validation   label NEUTRAL: statements without a verdict, of neutral.yaml

A recipe that does not map NEUTRAL reads no neutral rows, as they are splits of their own. Splits
for validation share no template with training. Half of their rows (words: new) share no opinion
word either, the others (words: known) do: what is hard shows, the pattern alone or new words too.

A template serves each label; of its own words only those in square brackets give the verdict away:

    {word=}, {word!}   an opinion word of the row's polarity, and one of the opposite polarity
    {word+}, {word-}   a positive opinion word, and a negative one
    [fine|foul]        the first in a positive row, the second in a negative one
    <one|another>      either, at random
    {part} {was} ...   what carries no opinion; a verb agrees with the last part before it
    {claim=}, {claim!} a whole clause with the row's verdict, and one with the opposite verdict
"""

import argparse
import json
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from train import plain_yaml

# File -> grammar, its split and the number of rows, for each set of rows in the file.
FILES: dict[str, list[tuple[str, str, int]]] = {
    "train": [("base", "train", 50_000), ("extended", "train", 32_000)],
    "validation": [("base", "validation", 1_600)],
    "extended_validation": [("extended", "validation", 1_280)],
    "neutral": [("neutral", "train", 8_000)],
    "neutral_validation": [("neutral", "validation", 320)],
}
DATA = Path(__file__).parent / "pattern_data"
ADDED = ("words", "pools", "slots", "facts")  # what a file adds to those before it
Row = dict[str, str]
Words = tuple[str, ...]


@dataclass(frozen=True)
class Grammar:
    """Words and templates; the comments of `pattern_data/` say what each part is."""

    labels: list[str]
    words: dict[str, dict[str, dict[str, Words]]]
    pools: dict[str, Words]
    slots: dict[str, Words]
    facts: dict[str, dict[str, Words]]
    clauses: dict[str, list[str]]
    templates: dict[str, dict[str, Words]]
    openers: dict[str, list[str]]
    plurals: dict[str, str]
    long_forms: dict[str, str]


def read(*names: str) -> Grammar:
    """The grammar of these files of `pattern_data/`; each adds words, and replaces other parts.

    Raises:
        RecipeError: A file can't be read.
    """
    data: dict[str, Any] = {}
    for name in names:
        own = _data(name)
        data |= own | {key: _merged(data.get(key), own[key]) for key in ADDED if key in own}
    templates = {
        split: {kind: _expand(entries, data["frames"]) for kind, entries in kinds.items()}
        for split, kinds in data["templates"].items()
    }
    others = {key: data[key] for key in data.keys() - {*ADDED, "templates", "frames"}}
    added = {key: _lists(data[key]) for key in ADDED}
    return Grammar(templates=templates, **added, **others)


@cache  # the first file is part of every grammar
def _data(name: str) -> Any:
    return plain_yaml.read(DATA / f"{name}.yaml")


def _merged(lists: Any, more: Any) -> Any:
    """The word lists of both, at any depth, as texts that are separated by commas."""
    if not lists:
        return more
    if isinstance(more, str):
        return f"{lists}, {more}"
    return lists | {name: _merged(lists.get(name), part) for name, part in more.items()}


def _lists(texts: Any) -> Any:
    """The words of lists, at any depth."""
    if isinstance(texts, str):
        return tuple(texts.split(", "))
    return {name: _lists(part) for name, part in texts.items()}


def _expand(entries: list[Any], frames: dict[str, list[str]]) -> Words:
    """The templates that the entries of a kind stand for."""
    pairs = [next(iter(e.items())) if isinstance(e, dict) else ("", e) for e in entries]
    framed = [(frame, clause) for name, clause in pairs for frame in frames.get(name, ["{}"])]
    return tuple(frame.replace("{}", clause) for frame, clause in framed)


NAMES = ("base", "extended", "neutral")
GRAMMARS = {name: read(*NAMES[:number]) for number, name in enumerate(NAMES, start=1)}


def make(grammar: Grammar, split: str, rows: int, seed: int = 0) -> list[Row]:
    """Rows of one split, shuffled, all different, with each label equally often in each kind.

    Kinds are equally often too, but for `plain`: twice, so that an opinion word stands for what it
    means more often than for the opposite.

    Args:
        grammar: One of `GRAMMARS`.
        split: `train` or `validation`.
        rows: How many.
        seed: The same seed gives the same rows.

    Raises:
        ValueError: The templates do not give so many different rows.
    """
    chance = random.Random(f"{split} {seed}")
    templates, labels = grammar.templates[split], grammar.labels
    turns = [*(["plain"] if "plain" in templates else []), *templates]
    seen: set[str] = set()
    made: list[Row] = []
    for i in range(rows):
        kind, label = turns[i // len(labels) % len(turns)], labels[i % len(labels)]
        words = "train" if i // (len(labels) * len(turns)) % 2 else split
        for _ in range(200):
            template = chance.choice(templates[kind])
            text = fill(grammar, template, words, label, chance)
            text = _dress(grammar, text, split, label, chance)
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


def fill(grammar: Grammar, template: str, words: str, label: str, chance: random.Random) -> str:
    """A template's words in place, in lower case and without punctuation at the end.

    Args:
        grammar: One of `GRAMMARS`.
        template: One of its templates.
        words: The split whose opinion words it gets.
        label: The verdict of the sentence.
        chance: Where the choices come from.
    """
    negative = label == "NEGATIVE"
    sides = {"=": negative, "!": not negative, "+": False, "-": True}
    used, plural = set[str](), False

    def word(match: re.Match[str]) -> str:
        nonlocal plural
        slot, polarity = match.groups()
        if slot in grammar.plurals:
            return grammar.plurals[slot] if plural else slot
        if polarity:
            choices = _pool(grammar, slot, words, "NEGATIVE" if sides[polarity] else "POSITIVE")
        elif slot == "part":
            plural = chance.random() < 0.35
            choices = grammar.slots["more_parts" if plural else "one_part"]
        else:
            choices = (grammar.slots | grammar.facts[words])[slot]
        chosen = chance.choice([choice for choice in choices if choice not in used])
        used.add(chosen)
        return chosen

    def clause(match: re.Match[str]) -> str:
        chosen = chance.choice(grammar.clauses[match[1]])
        return chosen if match[2] == "=" else chosen.translate(str.maketrans("=!", "!="))

    text = re.sub(rf"\{{({'|'.join(grammar.clauses)})([=!])\}}", clause, template)
    text = re.sub(r"\[(.*?)\|(.*?)\]", lambda m: m[1 + negative], text)
    text = re.sub(r"<(.*?)>", lambda m: chance.choice(m[1].split("|")), text)
    text = re.sub(r"\{([\w']+)([-=!+]?)\}", word, text)
    return re.sub(r"\ba (?=[aeiou])", "an ", text)


def _pool(grammar: Grammar, slot: str, words: str, label: str) -> Words:
    """The words of a slot: adjectives, nouns, or verbs in the form that it asks for."""
    lists = grammar.words[words][label]
    entries = [word for name in grammar.pools[slot] for word in lists[name]]
    if slot == "long":
        return tuple(word for word in entries if len(word) > 6 and not word.endswith("y"))
    return tuple(word.split("/")[-1 if slot.endswith("d") else 0] for word in entries)


def _dress(grammar: Grammar, text: str, split: str, label: str, chance: random.Random) -> str:
    """A sentence as people type it: opener, second sentence, contractions, case, punctuation."""
    if chance.random() < 0.35:
        text = f"{chance.choice(grammar.openers[split])} {text}"
    end = chance.choices([".", "!", "...", ""], [75, 10, 5, 10])[0]
    ended = text[-1] in ".?!"
    if chance.random() < 0.15:
        closer = chance.choice(grammar.words[split][label]["closer"])
        text += f" {closer}" if ended else f"{end or '.'} {closer}"
    elif not ended:
        text += end
    text = re.sub(r"(^|[.?!] )([a-z])", lambda m: m[1] + m[2].upper(), text)
    style = chance.choices(["short", "long", "bare", "curly"], [50, 27, 13, 10])[0]
    if style == "long":
        for short, long in grammar.long_forms.items():
            text = re.sub(rf"(?i)\b({short[0]}){short[1:]}\b", rf"\g<1>{long[1:]}", text)
        text = text.replace("n't", " not")
    elif style == "bare":
        text = re.sub(r"(?i)(n't|\bit's|\bthere's)\b", lambda m: m[0].replace("'", ""), text)
    elif style == "curly":
        text = text.replace("'", "’")
    case = chance.choices(["as it is", "lower", "upper"], [88, 10, 2])[0]
    return {"as it is": text, "lower": text.lower(), "upper": text.upper()}[case]


def write(folder: Path, seed: int = 0, max_rows: int | None = None) -> int:
    """All `FILES` as JSON lines, and a README.md that names them as the splits of a dataset.

    Args:
        folder: It is made where it is missing.
        seed: The same seed gives the same rows.
        max_rows: Maximum rows of each file; None writes all.

    Returns:
        The number of rows.
    """
    count = 0
    folder.mkdir(parents=True, exist_ok=True)
    for file, sets in FILES.items():
        rows = [row for name, split, n in sets for row in make(GRAMMARS[name], split, n, seed)][
            :max_rows
        ]
        count += len(rows)
        lines = (json.dumps(row, ensure_ascii=False) for row in rows)
        (folder / f"{file}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    splits = "".join(f"  - {{split: {file}, path: {file}.jsonl}}\n" for file in FILES)
    readme = f"---\nconfigs:\n- config_name: default\n  data_files:\n{splits}---\n"
    (folder / "README.md").write_text(readme)
    return count


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m train.augmentation.patterns", description=__doc__
    )
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--out", type=Path, required=True, help="the folder to write to")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--max-rows", type=int, help="maximum rows of each file")
    options = parser.parse_args(arguments)
    write(options.out, options.seed, options.max_rows)


if __name__ == "__main__":
    main()
