"""Reads results.json of a run and checks the types of what later steps use.

In: the file's text. Out: nested dictionaries that raise a `RunError` for a missing key.
"""

import json
from typing import Any

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict  # pydantic wants this one on Python 3.11

from train.errors import RunError, shorten

REMEDY = "evaluate the run again, or train it again"
Part = dict[str, Any]


class Results(dict[str, Any]):
    """A section of results.json; reading a missing key raises `RunError`."""

    def __missing__(self, key: str) -> Any:
        raise RunError(f"results.json has no key {key!r}: it is truncated or was edited — {REMEDY}")


class _Split(TypedDict, total=False):
    rows: int
    sha256: str
    dropped: dict[str, int]


class _Data(TypedDict, total=False):
    repo: list[str]
    local: list[bool]
    revision: list[str | None]
    splits: dict[str, _Split]


class _Training(TypedDict, total=False):
    history: dict[str, list[dict[str, float]]]
    unsure_below: float
    base_is_local: bool


class _Schema(TypedDict, total=False):
    """The sections that code reads. Only the card reads the metrics, and it checks them."""

    recipe: Part
    environment: Part
    data: _Data
    training: _Training
    metrics: dict[str, Part]
    datasets: dict[str, Part]
    slices: dict[str, Part]
    error_analysis: dict[str, Part | list[Part]]
    export: Part


_CHECK = TypeAdapter(_Schema)


def parse(text: str) -> Results:
    """Parse and check the text of a results.json.

    Raises:
        RunError: It is not JSON, or a section has another type than `fit` and `evaluate` write.
    """
    try:
        values = json.loads(text, object_hook=Results)
        _CHECK.validate_python(values, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = shorten(".".join(map(str, first["loc"])) or "content")
        rule, value = first["msg"].replace("Input should", "must"), first["input"]
        raise RunError(
            f"results.json was edited: {where} {rule}, got {shorten(repr(value), 100)} — {REMEDY}"
        ) from None
    except (ValueError, RecursionError) as error:
        raise RunError(f"results.json is not JSON: {error} — {REMEDY}") from None
    assert isinstance(values, Results)
    return values
