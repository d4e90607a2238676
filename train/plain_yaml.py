"""A safe subset of YAML: text, numbers, booleans, null, lists and mappings, of limited size.

In: text or a file. Out: plain Python values, or a `RecipeError` for any other bytes. Tags, dates,
merge keys and the implicit types of YAML 1.1 (`yes`, `1:30`, `0x10`) are not supported: such a
word stays text, because it can be a label.
"""

import re
from pathlib import Path
from typing import Any

import yaml

from train.errors import RecipeError, shorten

MAX_BYTES, MAX_DEPTH, MAX_ALIASES, MAX_DIGITS = 500_000, 16, 20, 100


class _Loader(yaml.SafeLoader):
    """Refuses unsupported YAML during parsing, before any value is constructed."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.depth = self.anchors_open = self.aliases = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        is_alias = isinstance(event, yaml.AliasEvent)
        self.aliases += is_alias
        if self.aliases > MAX_ALIASES or (is_alias and self.anchors_open):
            _refuse(event, f"at most {MAX_ALIASES} aliases, none of them inside an anchor")
        if getattr(event, "tag", None) is not None:
            _refuse(event, f"no tags, got {event.tag!r}; leave it out")
        if isinstance(event, yaml.ScalarEvent):
            event.value.encode()  # raises for a lone surrogate, which can't be saved
        has_anchor = not is_alias and event.anchor is not None
        self.depth, self.anchors_open = self.depth + 1, self.anchors_open + has_anchor
        if self.depth > MAX_DEPTH:
            _refuse(event, f"at most {MAX_DEPTH} levels of nesting")
        node: yaml.Node | None = super().compose_node(parent, index)
        self.depth, self.anchors_open = self.depth - 1, self.anchors_open - has_anchor
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if repeated := sorted({key for key in keys if keys.count(key) > 1}):
            _refuse(node, f"each key once, got {repeated[0]!r} twice")
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        if len(mapping) < len(node.value):
            _refuse(node, f"each key once, got two spellings of one of {list(mapping)[:5]}")
        return mapping

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        if len(node.value) > MAX_DIGITS:
            _refuse(node, f"numbers of at most {MAX_DIGITS} digits, got {len(node.value)}")
        return int(node.value)


# Each pattern is a subset of PyYAML's, so PyYAML quotes every text that matches when it writes.
_Loader.yaml_implicit_resolvers = {}
for tag, pattern, first in [
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?(?:0|[1-9][0-9_]*)", list("-+0123456789")),
    (
        "float",
        r"[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
]:
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(f"^(?:{pattern})$"), first)
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)


def parse(text: str) -> Any:
    """Parse text to plain values.

    Raises:
        RecipeError: It is not YAML, or uses an unsupported feature.
    """
    try:
        return _unshared(_Loader(text).get_single_data())
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise RecipeError(str(error)) from error


def read(file: Path) -> Any:
    """Parse a file to plain values.

    Raises:
        RecipeError: The file can't be read or is too large; otherwise as `parse`.
    """
    try:
        with file.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise RecipeError(f"{file} can't be read: {error.strerror}") from error
    if len(content) > MAX_BYTES:
        raise RecipeError(
            f"{file} must have at most {MAX_BYTES:,} bytes — check that it is a recipe"
        )
    try:
        return parse(content.decode("utf-8-sig"))
    except (RecipeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{file} is not valid YAML: {error}") from error


def override(values: dict[str, Any], assignment: str) -> None:
    """Apply one `key=value` to the raw values of a recipe, in place; see `recipe.load`.

    Raises:
        RecipeError: It is not an assignment, or the recipe has no such section.
    """
    key, equals, text = assignment.partition("=")
    if not equals or not key:
        got = shorten(repr(assignment))
        raise RecipeError(f"--set takes key=value, got {got} — for example --set epochs=2")
    try:
        value = parse(text)
    except RecipeError as error:
        raise RecipeError(
            f"--set {shorten(key)}: {shorten(repr(text))} is not a YAML value: {error}"
        ) from error
    *parents, leaf = key.split(".")
    targets: list[Any] = [values]
    for parent in parents:
        targets = [child for target in targets for child in _children(target, parent, key)]
    for target in targets:
        for entry in target if isinstance(target, list) else [target]:
            if not isinstance(entry, dict):
                where = f"--set {shorten(key)}: {shorten(repr(leaf))}"
                raise RecipeError(f"{where} is not inside a section of the recipe")
            entry[leaf] = value


def _children(target: Any, name: str, key: str) -> list[Any]:
    if isinstance(target, list) and name in map(str, range(len(target))):
        return [target[int(name)]]
    if isinstance(target, dict) and name in target:
        return [target[name]]
    raise RecipeError(f"--set {shorten(key)}: the recipe has no {shorten(repr(name))} there")


def _unshared(value: Any) -> Any:
    """Copy the values of aliases, because `override` changes values in place."""
    if isinstance(value, list):
        return [_unshared(item) for item in value]
    return {k: _unshared(v) for k, v in value.items()} if isinstance(value, dict) else value


def _refuse(node: Any, rule: str) -> None:
    raise yaml.composer.ComposerError(None, None, f"a recipe has {rule}", node.start_mark)
