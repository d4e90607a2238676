"""Generate short opinions of films with negation, contrast and hedges from words and templates.

In: `pattern_data/*.yaml`, written for this project, and a seed. Out: rows of text, label, kind and
words. `python -m train.augmentation.patterns --out FOLDER` writes JSON lines, one file per split:

    train                         the kinds of base.yaml, then those of extended.yaml
    validation                    the kinds of base.yaml
    extended_validation           the kinds of extended.yaml
    neutral, neutral_validation   statements without a verdict (neutral.yaml), label NEUTRAL

A recipe that does not map NEUTRAL reads no neutral rows, as they are separate splits. Validation
shares no template with training. Half of its rows have opinion words of training (words: known),
half have others (words: new), which separates what the model misses: the pattern or the words.

A template serves every label; only its words in square brackets depend on the label:

    {word=}, {word!}   an opinion word of the row's polarity, and one of the opposite polarity
    {word+}, {word-}   a positive opinion word, and a negative one
    [fine|foul]        the first in a positive row, the second in a negative one
    <one|another>      one of them at random
    {part} {was} ...   words without an opinion; a verb agrees with the last {part} before it
    {claim=}, {claim!} a whole clause with the row's verdict, and one with the opposite verdict
"""

import json
import random
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import typer

from train import plain_yaml

# File -> grammar, split and number of rows, for each set of rows in the file.
FILES: dict[str, list[tuple[str, str, int]]] = {
    "train": [("base", "train", 50_000), ("extended", "train", 32_000)],
    "validation": [("base", "validation", 1_600)],
    "extended_validation": [("extended", "validation", 1_280)],
    "neutral": [("neutral", "train", 8_000)],
    "neutral_validation": [("neutral", "validation", 320)],
}
CUMULATIVE = ("words", "pools", "slots", "facts")  # a file adds to those of the earlier files
MAX_ATTEMPTS = 200  # to generate a text that is not among the rows yet
Words = tuple[str, ...]


@dataclass(frozen=True)
class Grammar:
    """Words and templates; the comments in `pattern_data/` describe each field."""

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
    """Read files of `pattern_data/` as one grammar; a later file extends or replaces sections.

    Raises:
        RecipeError: A file can't be read.
    """
    data: dict[str, Any] = {}
    for name in names:
        file = _read_file(name)
        data |= file | {key: _merge(data.get(key), file[key]) for key in CUMULATIVE if key in file}
    frames = data.pop("frames")
    data["templates"] = {
        split: {kind: _expand(entries, frames) for kind, entries in kinds.items()}
        for split, kinds in data["templates"].items()
    }
    return Grammar(**data | {key: _split_lists(data[key]) for key in CUMULATIVE})


@cache  # every grammar includes the first file
def _read_file(name: str) -> Any:
    return plain_yaml.read(Path(__file__).parent / "pattern_data" / f"{name}.yaml")


def _merge(lists: Any, more: Any) -> Any:
    """Merge nested mappings of comma-separated word lists."""
    if not lists:
        return more
    if isinstance(more, str):
        return f"{lists}, {more}"
    return lists | {name: _merge(lists.get(name), part) for name, part in more.items()}


def _split_lists(lists: Any) -> Any:
    """Split nested comma-separated word lists into tuples."""
    if isinstance(lists, str):
        return tuple(lists.split(", "))
    return {name: _split_lists(part) for name, part in lists.items()}


def _expand(entries: list[Any], frames: dict[str, list[str]]) -> Words:
    """Replace each entry `{FRAMES: clause}` by one template per frame."""
    pairs = [next(iter(e.items())) if isinstance(e, dict) else ("", e) for e in entries]
    return tuple(
        frame.replace("{}", clause) for name, clause in pairs for frame in frames.get(name, ["{}"])
    )


NAMES = ("base", "extended", "neutral")
GRAMMARS = {name: read(*NAMES[:number]) for number, name in enumerate(NAMES, start=1)}


def make(grammar: Grammar, split: str, rows: int, seed: int = 0) -> list[dict[str, str]]:
    """Generate distinct rows of one split, shuffled, with the labels balanced in each kind.

    The kinds are equally frequent, except that `plain` is twice as frequent: an opinion word
    should have its usual meaning more often than the opposite.

    Args:
        grammar: One of `GRAMMARS`.
        split: `train` or `validation`.
        rows: Number of rows.
        seed: The same seed gives the same rows.

    Raises:
        ValueError: The templates don't give so many distinct rows.
    """
    rng = random.Random(f"{split} {seed}")
    templates, labels = grammar.templates[split], grammar.labels
    kinds = [*(["plain"] if "plain" in templates else []), *templates]
    seen: set[str] = set()
    generated: list[dict[str, str]] = []
    for i in range(rows):
        kind, label = kinds[i // len(labels) % len(kinds)], labels[i % len(labels)]
        words = "train" if i // (len(labels) * len(kinds)) % 2 else split
        for _ in range(MAX_ATTEMPTS):
            text = fill(grammar, rng.choice(templates[kind]), words, label, rng)
            text = _style(grammar, text, split, label, rng)
            if (letters := re.sub("[^a-z]", "", text.lower())) not in seen:
                break
        else:
            raise ValueError(f"rows must be fewer, got {rows} — {kind} has no more distinct texts")
        seen.add(letters)
        novelty = "known" if words == "train" else "new"
        generated.append({"text": text, "label": label, "kind": kind, "words": novelty})
    rng.shuffle(generated)
    return generated


def fill(grammar: Grammar, template: str, words: str, label: str, rng: random.Random) -> str:
    """Fill a template; the text is in lower case and has no punctuation at its end.

    Args:
        grammar: One of `GRAMMARS`.
        template: One of its templates.
        words: The split whose opinion words are used.
        label: The verdict of the sentence.
        rng: Source of the random choices.
    """
    is_negative = label == "NEGATIVE"
    negative_signs = {"-", "=" if is_negative else "!"}
    used, is_plural = set[str](), False

    def word(match: re.Match[str]) -> str:
        nonlocal is_plural
        slot, sign = match.groups()
        if slot in grammar.plurals:
            return grammar.plurals[slot] if is_plural else slot
        if sign:
            polarity = "NEGATIVE" if sign in negative_signs else "POSITIVE"
            choices = _opinion_words(grammar, slot, words, polarity)
        elif slot == "part":
            is_plural = rng.random() < 0.35
            choices = grammar.slots["more_parts" if is_plural else "one_part"]
        else:
            choices = (grammar.slots | grammar.facts[words])[slot]
        choice = rng.choice([choice for choice in choices if choice not in used])
        used.add(choice)
        return choice

    def clause(match: re.Match[str]) -> str:
        choice = rng.choice(grammar.clauses[match[1]])
        return choice if match[2] == "=" else choice.translate(str.maketrans("=!", "!="))

    text = re.sub(rf"\{{({'|'.join(grammar.clauses)})([=!])\}}", clause, template)
    text = re.sub(r"\[(.*?)\|(.*?)\]", lambda m: m[1 + is_negative], text)
    text = re.sub(r"<(.*?)>", lambda m: rng.choice(m[1].split("|")), text)
    text = re.sub(r"\{([\w']+)([-=!+]?)\}", word, text)
    return re.sub(r"\ba (?=[aeiou])", "an ", text)


def _opinion_words(grammar: Grammar, slot: str, split: str, polarity: str) -> Words:
    """The adjectives or nouns of a slot, or its verbs in the tense that the slot's name implies."""
    lists = grammar.words[split][polarity]
    entries = [word for name in grammar.pools[slot] for word in lists[name]]
    if slot == "long":
        return tuple(word for word in entries if len(word) > 6 and not word.endswith("y"))
    return tuple(word.split("/")[-1 if slot.endswith("d") else 0] for word in entries)


def _style(grammar: Grammar, text: str, split: str, label: str, rng: random.Random) -> str:
    """Vary a sentence as users type: opener, second sentence, contractions, case, punctuation."""
    if rng.random() < 0.35:
        text = f"{rng.choice(grammar.openers[split])} {text}"
    end = rng.choices([".", "!", "...", ""], [75, 10, 5, 10])[0]
    has_end = text[-1] in ".?!"
    if rng.random() < 0.15:
        closer = rng.choice(grammar.words[split][label]["closer"])
        text += f" {closer}" if has_end else f"{end or '.'} {closer}"
    elif not has_end:
        text += end
    text = re.sub(r"(^|[.?!] )([a-z])", lambda m: m[1] + m[2].upper(), text)
    contractions = rng.choices(["short", "long", "bare", "curly"], [50, 27, 13, 10])[0]
    if contractions == "long":
        for short, long in grammar.long_forms.items():
            text = re.sub(rf"(?i)\b({short[0]}){short[1:]}\b", rf"\g<1>{long[1:]}", text)
        text = text.replace("n't", " not")
    elif contractions == "bare":
        text = re.sub(r"(?i)(n't|\bit's|\bthere's)\b", lambda m: m[0].replace("'", ""), text)
    elif contractions == "curly":
        text = text.replace("'", "’")
    return rng.choices([text, text.lower(), text.upper()], [88, 10, 2])[0]


def write(
    out: Annotated[Path, typer.Option(help="the folder to write to, created if missing")],
    seed: Annotated[int, typer.Option(help="the same seed gives the same rows")] = 0,
    max_rows: Annotated[int | None, typer.Option(help="maximum rows of each file")] = None,
) -> int:
    """Write the rows as JSON lines, with a README.md that declares the splits; returns how many."""
    count = 0
    out.mkdir(parents=True, exist_ok=True)
    for file, sets in FILES.items():
        rows = [row for name, split, n in sets for row in make(GRAMMARS[name], split, n, seed)]
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows[:max_rows]]
        (out / f"{file}.jsonl").write_text("".join(lines), encoding="utf-8")
        count += len(lines)
    splits = "".join(f"  - {{split: {file}, path: {file}.jsonl}}\n" for file in FILES)
    readme = f"---\nconfigs:\n- config_name: default\n  data_files:\n{splits}---\n"
    (out / "README.md").write_text(readme, encoding="utf-8")
    return count


if __name__ == "__main__":
    typer.run(write)
