"""README.md → what is wrong with the metadata at its head, as the Hub would put it.

Only the rules that a push is refused for: the front matter is a YAML mapping, its well-known
keys have the right shape, `model-index` has the structure the Hub renders, and a Space says
how it runs.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

import yaml

COLORS = ("red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray")
SPACE_SDKS = ("gradio", "docker", "static")
SHORT_DESCRIPTION_CHARS = 60
FRONT_MATTER_CHARS = 200_000  # more takes seconds to parse
FRONT_MATTER_VALUES = 100_000  # with what aliases repeat

_FRONT_MATTER = re.compile(
    r"\A\ufeff?\s*---[ \t]*\r?\n(.*?)(?:\A|(?<=\n))---[ \t]*(?:\r?\n|\Z)", re.S
)
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_LICENSE = re.compile(r"[a-z0-9][a-z0-9.+-]*")


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _is_license(value: Any) -> bool:
    values = value if isinstance(value, list) else [value]
    return all(isinstance(item, str) and _LICENSE.fullmatch(item) for item in values)


def _is_color(value: Any) -> bool:
    return value in COLORS


def _is_version(value: Any) -> bool:
    return isinstance(value, (str, float)) and bool(re.match(r"\d+(\.\w+)*$", str(value)))


_TEXT: tuple[Callable[[Any], bool], str] = (_is_text, "a string")
_TEXTS: tuple[Callable[[Any], bool], str] = (_is_texts, "an array of strings")
_EITHER: tuple[Callable[[Any], bool], str] = (
    lambda value: _is_text(value) or _is_texts(value),
    "a string or an array of strings",
)
_COLOR = (_is_color, f"one of [{', '.join(COLORS)}]")
_VERSION = (_is_version, "a version such as 6.31.0")

_SHAPES = {
    "license": (_is_license, "a lower-case license identifier such as mit or apache-2.0"),
    "language": _EITHER,
    "tags": _TEXTS,
    "datasets": _EITHER,
    "base_model": _EITHER,
    "metrics": _TEXTS,
    "pipeline_tag": _TEXT,
    "library_name": _TEXT,
    "task_categories": _TEXTS,
    "configs": (
        lambda value: isinstance(value, list) and all(isinstance(item, dict) for item in value),
        "an array of objects",
    ),
}
_SPACE_SHAPES = {
    "title": _TEXT,
    "emoji": _TEXT,
    "colorFrom": _COLOR,
    "colorTo": _COLOR,
    "sdk": (lambda value: value in SPACE_SDKS, f"one of [{', '.join(SPACE_SDKS)}]"),
    "sdk_version": _VERSION,
    "python_version": _VERSION,
    "app_file": _TEXT,
    "models": _TEXTS,
    "datasets": _TEXTS,
    "tags": _TEXTS,
    "license": _SHAPES["license"],
    "suggested_hardware": _TEXT,
    "short_description": (
        lambda value: _is_text(value) and len(value) <= SHORT_DESCRIPTION_CHARS,
        f"a string of at most {SHORT_DESCRIPTION_CHARS} characters",
    ),
}


def _load(readme: str) -> Any:
    """The value of the front matter, or None when there is none.

    Raises:
        ValueError: It can't be read.
    """
    match = _FRONT_MATTER.match(readme)
    if match is None:
        return None
    try:
        if len(match[1]) > FRONT_MATTER_CHARS:
            raise ValueError(f"at most {FRONT_MATTER_CHARS} characters, got {len(match[1])}")
        loader = yaml.SafeLoader(match[1])
        node = loader.get_single_node()
        _check_nodes(node)
        return loader.construct_document(node) if node else None
    # PyYAML lets through what its constructors stumble over: `!!int x`, `2026-02-31`, `!!bool x`.
    except (
        yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError, ArithmeticError
    ) as error:  # fmt: skip
        raise ValueError(f"Invalid YAML: {error}") from error
    except RecursionError as error:
        raise ValueError("Invalid YAML: it is nested too deeply") from error


def _check_nodes(root: yaml.Node | None) -> None:
    """Make sure that a document stays small when its aliases are followed, and can be sent.

    Raises:
        ValueError: It doesn't.
    """
    left, nodes = FRONT_MATTER_VALUES, [root]
    while nodes:
        node, left = nodes.pop(), left - 1
        if left < 0:
            raise ValueError(f"at most {FRONT_MATTER_VALUES} values, aliases included")
        if isinstance(node, yaml.ScalarNode) and _SURROGATE.search(node.value):
            raise ValueError(f"half of a surrogate pair in {node.value!r}")
        if isinstance(node, yaml.SequenceNode):
            nodes += node.value
        elif isinstance(node, yaml.MappingNode):
            nodes += [part for pair in node.value for part in pair]


def card_of(readme: str) -> dict[str, Any]:
    """The metadata of a README.md as JSON values; empty when there is none that can be read."""
    try:
        value = _load(readme)
    except ValueError:
        return {}
    card: dict[str, Any] = _plain(value) if isinstance(value, dict) else {}
    return card


def _plain(value: Any) -> Any:
    """A YAML value as JSON has it: dates become text, numbers that are none there become null."""
    if isinstance(value, dict):
        return {str(_plain(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, int | float) and not -1e308 <= value <= 1e308:
        return None
    return value if isinstance(value, (str, int, float, type(None))) else str(value)


def _model_index(value: Any) -> Iterator[str]:
    """What is wrong with a `model-index`: where, and what should be there."""
    if not isinstance(value, list):
        yield '"model-index" must be an array'
        return
    for i, model in enumerate(value):
        at = f"model-index[{i}]"
        if not isinstance(model, dict) or not _is_text(model.get("name")):
            yield f'"{at}.name" is required and must be a string'
        results = model.get("results") if isinstance(model, dict) else None
        if not isinstance(results, list):
            yield f'"{at}.results" is required and must be an array'
            continue
        for j, result in enumerate(results):
            yield from _result(f"{at}.results[{j}]", result)


def _result(at: str, result: Any) -> Iterator[str]:
    """What is wrong with one result: its task, its dataset, and the metrics on it."""
    fields = result if isinstance(result, dict) else {}
    for key, needed in (("task", ("type",)), ("dataset", ("type", "name"))):
        part = fields.get(key)
        for name in needed:
            if not isinstance(part, dict) or not _is_text(part.get(name)):
                yield f'"{at}.{key}.{name}" is required and must be a string'
    metrics = fields.get("metrics")
    if not isinstance(metrics, list) or not metrics:
        yield f'"{at}.metrics" is required and must be an array'
        return
    for k, metric in enumerate(metrics):
        if not isinstance(metric, dict) or not _is_text(metric.get("type")):
            yield f'"{at}.metrics[{k}].type" is required and must be a string'
        value = metric.get("value") if isinstance(metric, dict) else None
        if value is None or value != value:
            yield f'"{at}.metrics[{k}].value" is required and must not be NaN'


def validate_card(readme: str, kind: str) -> tuple[list[str], list[str]]:
    """Check the metadata of a README.md.

    Args:
        readme: The whole text.
        kind: `models`, `datasets` or `spaces`.

    Returns:
        Errors, for which the Hub refuses the file, and warnings, for which it doesn't.
    """
    try:
        card = _load(readme)
    except ValueError as error:
        return [str(error)], []
    if card is None:
        if kind == "spaces":
            return ["Missing configuration in README: a Space needs at least its sdk"], []
        return [], ["empty or missing yaml metadata in repo card"]
    if not isinstance(card, dict):
        return ["The metadata must be an object of keys and values"], []
    errors = [
        f'"{key}" must be {what}'
        for key, (is_right, what) in (_SPACE_SHAPES if kind == "spaces" else _SHAPES).items()
        if card.get(key) is not None and not is_right(card[key])
    ]
    if kind == "spaces" and card.get("sdk") is None:
        errors.append('"sdk" is required')
    if kind == "models" and card.get("model-index") is not None:
        errors += _model_index(card["model-index"])
    return errors, []
