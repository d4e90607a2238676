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
MAX_ERRORS = 20

_FRONT_MATTER = re.compile(
    r"\A\ufeff?\s*---[ \t]*\r?\n(.*?)(?:\A|(?<=\n))---[ \t]*(?:\r?\n|\Z)", re.S
)


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


def _check_number(value: Any) -> Any:
    if value is None or value != value:
        raise ValueError("must not be null or NaN")
    return value


TextOrTexts = Annotated[list[str], BeforeValidator(_as_list)]
Identifier = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.+-]*\z")]
License = Annotated[list[Identifier], BeforeValidator(_as_list)]
Version = Annotated[str, BeforeValidator(str), Field(pattern=r"^\d+(\.\w+)*\z")]
CustomHeader = Literal[
    "cross-origin-embedder-policy", "cross-origin-opener-policy", "cross-origin-resource-policy"
]  # fmt: skip
Color = Literal["red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True)


class _Task(_Strict):
    type: str


class _Dataset(_Strict):
    type: str
    name: str


class _Metric(_Strict):
    type: str
    value: Annotated[Any, AfterValidator(_check_number)]


class _Result(_Strict):
    task: _Task
    dataset: _Dataset
    metrics: list[_Metric] = Field(min_length=1)


class _Model(_Strict):
    name: str
    results: list[_Result]


class _DatasetCard(_Strict):
    license: License | None = None
    language: TextOrTexts | None = None
    tags: list[str] | None = None
    datasets: TextOrTexts | None = None
    base_model: TextOrTexts | None = None
    metrics: list[str] | None = None
    pipeline_tag: str | None = None
    library_name: str | None = None
    task_categories: list[str] | None = None
    configs: list[dict[Any, Any]] | None = None


class _ModelCard(_DatasetCard):
    model_index: list[_Model] | None = Field(None, alias="model-index")


class _SpaceCard(_Strict):
    sdk: Sdk
    title: str | None = None
    emoji: str | None = None
    colorFrom: Color | None = None
    colorTo: Color | None = None
    sdk_version: Version | None = None
    python_version: Version | None = None
    app_file: str | None = None
    models: list[str] | None = None
    datasets: list[str] | None = None
    tags: list[str] | None = None
    license: License | None = None
    suggested_hardware: str | None = None
    short_description: str | None = Field(None, max_length=60)
    custom_headers: dict[CustomHeader, str] | None = None


_SCHEMAS: dict[str, type[_Strict]] = {
    "model": _ModelCard,
    "dataset": _DatasetCard,
    "space": _SpaceCard,
}


class _Loader(yaml.SafeLoader):
    """Refuses aliases: a short document could expand to a huge one."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise ValueError("aliases are not supported")
        return super().compose_node(parent, index)


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
        return yaml.load(match[1], _Loader)
    except (yaml.YAMLError, ValueError) as error:
        raise ValueError(f"Invalid YAML: {error}") from error
    # PyYAML's constructors raise these for `!!int x`, `!!timestamp x`, `!!bool x` and the like.
    except (LookupError, AttributeError, TypeError, ArithmeticError) as error:
        raise ValueError("Invalid YAML: a value does not have the type of its tag") from error
    except RecursionError as error:
        raise ValueError("Invalid YAML: it is nested too deeply") from error


def read_card(readme: str) -> dict[str, Any]:
    """The metadata of a README.md as JSON values; empty when absent or invalid."""
    try:
        value = _load(readme)
    except ValueError:
        return {}
    card: dict[str, Any] = _to_json(value) if isinstance(value, dict) else {}
    return card


def _to_json(value: Any) -> Any:
    """A YAML value as a JSON value: NaN and infinities become null, other types strings."""
    if isinstance(value, dict):
        return {str(_to_json(key)): _to_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_to_json(item) for item in value]
    if isinstance(value, int | float) and not -1e308 <= value <= 1e308:
        return None
    if isinstance(value, (int, float, type(None))):
        return value
    return str(value).encode("utf-8", "replace").decode()  # without lone surrogates


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
