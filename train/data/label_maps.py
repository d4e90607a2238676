"""Label values that need no `label_map`, and a proposed map for values that do."""

import re
import shlex
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from train.sections import Dataset

SYNONYMS = [{"neg", "negative"}, {"neu", "neutral"}, {"pos", "positive"}]
UNLABELED = {"", "-1"}  # an empty cell; -1 as in the test splits of GLUE
MAX_VALUES = 20  # a column with more unknown values is probably not the label


def known_values(labels: Sequence[str]) -> dict[str, int]:
    """Values that need no `label_map`, in lower case -> label number.

    These are the label names, short and long forms of sentiment words, and numbers in the order of
    the labels. Numbers are excluded if label names begin with digits or go from good to bad.
    """
    own = {label.casefold(): number for number, label in enumerate(labels)}
    words = {
        w: own[label] for group in SYNONYMS for label in group & own.keys() for w in group
    } | own
    if any(re.match("[0-9]", label) for label in labels):
        return words
    if words.get("negative", 0) > words.get("positive", len(labels)):
        return words
    numbers = {str(number): number for number in range(len(labels))}
    return numbers | ({"false": 0, "true": 1} if len(labels) == 2 else {}) | words


def remedy(
    seen: Collection[str], names: list[str], dataset: Dataset, labels: list[str], setting: str
) -> str:
    """What to do about unknown values, of a column with the values `seen` or classes `names`."""
    values = names or sorted(seen)
    if len(values) > MAX_VALUES:
        return (
            f"there are {len(values):,} different values; if it isn't the column of the label, "
            f"name that with --set {setting}.label=…, else map each value with {setting}.label_map"
        )
    known = dict(dataset.label_map or {})
    unlabeled = [key for key in seen if key in UNLABELED]
    added = propose([*unlabeled, *values], known, labels)
    proposal = f"{setting_argument(known | added, setting)} (null leaves rows out)"
    if open_ := [value for value, target in added.items() if target == _choice(labels)]:
        return f"what {open_} mean is not known: give each one label, or null, in {proposal}"
    return f"map its values, for example: {proposal}"


def propose(
    values: Iterable[str], known: dict[str, Any], labels: list[str]
) -> dict[str, str | None]:
    """A `label_map` for values that `known` lacks: sentiment words, and numbers as a scale.

    The lower numbers get the first label and the higher ones the last. Other values get null or,
    if a label would have no values, a choice for the user.
    """
    words = {key: number for key, number in known_values(labels).items() if not key.isdecimal()}
    values = list(dict.fromkeys(values))
    scale = sorted(filter(_is_number, values), key=float)
    missing = {""}
    if scale[:1] == ["-1"] and "0" in scale:
        scale = scale[1:]
        missing = UNLABELED if len(scale) > 1 else missing  # -1 and 0 alone may both be labels
    proposed: dict[str, str | None] = {}
    for value in values:
        label = words.get(value.casefold())
        if label is None and value in scale and len(scale) > 1:
            position = scale.index(value) / (len(scale) - 1)  # from 0 to 1
            label = None if position == 0.5 else 0 if position < 0.5 else len(labels) - 1
        if value not in known and value.casefold() not in known:
            proposed[value] = None if label is None else labels[label]
    targets = [*known.values(), *proposed.values()]
    reached = {next(iter(t), None) if isinstance(t, dict) else t for t in targets}
    if reached >= set(labels):
        return proposed
    return {
        value: _choice(labels) if target is None and value not in missing else target
        for value, target in proposed.items()
    }


def _choice(labels: list[str]) -> str:
    """The placeholder in a proposed map for a label that the user must choose."""
    return " or ".join(labels)


def _is_number(value: str) -> bool:
    return re.fullmatch(r"-?[0-9]{1,9}(\.[0-9]{1,9})?", value) is not None


def setting_argument(label_map: dict[str, Any], setting: str) -> str:
    """The map as a `--set` argument, quoted for a shell and YAML."""
    entries = ", ".join(f"{_yaml(key)}: {_target(value)}" for key, value in label_map.items())
    return f"--set {shlex.quote(f'{setting}.label_map={{{entries}}}')}"


def _target(value: str | dict[str, float] | None) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_yaml(label)}: {share}" for label, share in value.items()) + "}"
    return "null" if value is None else _yaml(value)


def _yaml(text: str) -> str:
    """Text in flow YAML, quoted if needed."""
    plain = re.fullmatch(r"-?(0|[1-9][0-9]*)|[A-Za-z][\w-]*( [\w-]+)*", text, flags=re.ASCII)
    if plain and text.casefold() not in {"null", "true", "false"}:
        return text
    safe = (c if c.isprintable() and c not in '"\\' else f"\\U{ord(c):08x}" for c in text)
    return f'"{"".join(safe)}"'
