"""README.md → its metadata, and what is wrong with it.

Checks only what the Hub refuses a push for: the front matter is a YAML mapping, its well-known
keys have the right type, `model-index` has the structure the Hub renders, and a Space has an SDK.
"""

import re
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from .schemas import Sdk

MAX_FRONT_MATTER_CHARS = 200_000  # more takes seconds to parse
MAX_FRONT_MATTER_VALUES = 100_000  # including values repeated by aliases

MAX_ERRORS = 20

_FRONT_MATTER = re.compile(
    r"\A\ufeff?\s*---[ \t]*\r?\n(.*?)(?:\A|(?<=\n))---[ \t]*(?:\r?\n|\Z)", re.S
)
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


def _check_number(value: Any) -> Any:
    if value is None or value != value:
        raise ValueError("must not be null or NaN")
    return value


Texts = list[str]
TextOrTexts = Annotated[list[str], BeforeValidator(_as_list)]
Identifier = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.+-]*\z")]
License = Annotated[list[Identifier], BeforeValidator(_as_list)]
Version = Annotated[str, BeforeValidator(str), Field(pattern=r"^\d+(\.\w+)*\z")]
Color = Literal["red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"]


class _Metadata(BaseModel):
    model_config = ConfigDict(strict=True)


class Task(_Metadata):
    """The task of a result."""

    type: str


class Dataset(_Metadata):
    """The dataset of a result."""

    type: str
    name: str


class Metric(_Metadata):
    """One value of a result."""

    type: str
    value: Annotated[Any, AfterValidator(_check_number)]


class Result(_Metadata):
    """The metrics of a model on one dataset."""

    task: Task
    dataset: Dataset
    metrics: list[Metric] = Field(min_length=1)


class Model(_Metadata):
    """One model of a `model-index`."""

    name: str
    results: list[Result]


class Card(_Metadata):
    """The metadata of a model or a dataset."""

    license: License | None = None
    language: TextOrTexts | None = None
    tags: Texts | None = None
    datasets: TextOrTexts | None = None
    base_model: TextOrTexts | None = None
    metrics: Texts | None = None
    pipeline_tag: str | None = None
    library_name: str | None = None
    task_categories: Texts | None = None
    configs: list[dict[Any, Any]] | None = None


class ModelCard(Card):
    """The metadata of a model."""

    model_index: list[Model] | None = Field(None, alias="model-index")


class SpaceCard(_Metadata):
    """The metadata of a Space."""

    sdk: Sdk
    title: str | None = None
    emoji: str | None = None
    colorFrom: Color | None = None
    colorTo: Color | None = None
    sdk_version: Version | None = None
    python_version: Version | None = None
    app_file: str | None = None
    models: Texts | None = None
    datasets: Texts | None = None
    tags: Texts | None = None
    license: License | None = None
    suggested_hardware: str | None = None
    short_description: str | None = Field(None, max_length=60)


_SCHEMAS: dict[str, type[_Metadata]] = {"model": ModelCard, "dataset": Card, "space": SpaceCard}


def _load(readme: str) -> Any:
    """The YAML value of the front matter, or None when there is none.

    Raises:
        ValueError: It is invalid or too large.
    """
    match = _FRONT_MATTER.match(readme)
    if match is None:
        return None
    try:
        if len(match[1]) > MAX_FRONT_MATTER_CHARS:
            raise ValueError(f"at most {MAX_FRONT_MATTER_CHARS} characters, got {len(match[1])}")
        loader = yaml.SafeLoader(match[1])
        node = loader.get_single_node()
        _check_nodes(node)
        return loader.construct_document(node) if node else None
    except (yaml.YAMLError, ValueError) as error:
        raise ValueError(f"Invalid YAML: {error}") from error
    # PyYAML's constructors raise these for `!!int x`, `!!timestamp x`, `!!bool x` and the like.
    except (LookupError, AttributeError, TypeError, ArithmeticError) as error:
        raise ValueError("Invalid YAML: a value does not have the type of its tag") from error
    except RecursionError as error:
        raise ValueError("Invalid YAML: it is nested too deeply") from error


def _check_nodes(root: yaml.Node | None) -> None:
    """Check that a document is small even with its aliases expanded, and can be encoded.

    Raises:
        ValueError: It is not.
    """
    if root and _contains_itself(root, set()):
        raise ValueError("a value contains itself")
    count, nodes = 0, [root]
    while nodes:
        node, count = nodes.pop(), count + 1
        if count > MAX_FRONT_MATTER_VALUES:
            raise ValueError(f"at most {MAX_FRONT_MATTER_VALUES} values, aliases included")
        if isinstance(node, yaml.ScalarNode) and _SURROGATE.search(node.value):
            raise ValueError(f"half of a surrogate pair in {node.value!r}")
        if isinstance(node, yaml.SequenceNode):
            nodes += node.value
        elif isinstance(node, yaml.MappingNode):
            nodes += [part for pair in node.value for part in pair]


def _contains_itself(node: yaml.Node, parents: set[int], done: set[int] | None = None) -> bool:
    """Whether an alias below this node leads back to it or to one of its parents."""
    done = set() if done is None else done
    if id(node) in parents:
        return True
    if id(node) in done or isinstance(node, yaml.ScalarNode):
        return False
    parts = [
        part for entry in node.value for part in (entry if isinstance(entry, tuple) else [entry])
    ]
    found = any(_contains_itself(part, parents | {id(node)}, done) for part in parts)
    done.add(id(node))
    return found


def read_card(readme: str) -> dict[str, Any]:
    """The metadata of a README.md as JSON values; empty when absent or invalid."""
    try:
        value = _load(readme)
    except ValueError:
        return {}
    card: dict[str, Any] = _to_json(value) if isinstance(value, dict) else {}
    return card


def _to_json(value: Any) -> Any:
    """A YAML value as a JSON value: dates become strings, NaN and infinities become null."""
    if isinstance(value, dict):
        return {str(_to_json(key)): _to_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_to_json(item) for item in value]
    if isinstance(value, int | float) and not -1e308 <= value <= 1e308:
        return None
    return value if isinstance(value, (str, int, float, type(None))) else str(value)


def validate_card(readme: str, repo_type: str) -> tuple[list[str], list[str]]:
    """Check the metadata of a README.md.

    Args:
        readme: The whole text.
        repo_type: `model`, `dataset` or `space`.

    Returns:
        The errors, for which the Hub refuses the file, and the warnings.
    """
    try:
        card = _load(readme)
    except ValueError as error:
        return [str(error)], []
    if card is None:
        if repo_type == "space":
            return ["Missing configuration in README: a Space needs at least its sdk"], []
        return [], ["empty or missing yaml metadata in repo card"]
    if not isinstance(card, dict):
        return ["The metadata must be an object of keys and values"], []
    try:
        _SCHEMAS[repo_type].model_validate(card)
    except ValidationError as error:
        problems = error.errors(include_input=False, include_url=False)[:MAX_ERRORS]
        return [_message(problem["loc"], problem["msg"]) for problem in problems], []
    return [], []


def _message(location: tuple[int | str, ...], problem: str) -> str:
    """A problem as the Hub words it: `"model-index[0].name" is required`."""
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    if problem == "Field required":
        return f'"{path[1:]}" is required'
    return f'"{path[1:]}": {problem}'
