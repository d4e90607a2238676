"""results.json of a run, read back: what the next stages go by is there, or a `RunError` says why.

In: the file's text. Out: nested dictionaries which name the key that they lack.
"""

import json
from typing import Any

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict  # pydantic wants this one on Python 3.11

from train.errors import RunError, shorten

REMEDY = "evaluate the run again, or train it anew"
Part = dict[str, Any]


class Results(dict[str, Any]):
    """A part of results.json; a key that is missing is a sentence."""

    def __missing__(self, key: str) -> Any:
        raise RunError(f"results.json lacks {key!r}: it was cut or changed — {REMEDY}")


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
    adaptation: Part | None


class _Whole(TypedDict, total=False):
    """What is read by code; the figures are read by the card alone, which checks them."""

    recipe: Part
    environment: Part
    data: _Data
    training: _Training
    metrics: dict[str, Part]
    datasets: dict[str, Part]
    slices: dict[str, Part]
    error_analysis: dict[str, Part | list[Part]]
    export: Part


_CHECK = TypeAdapter(_Whole)


def parse(text: str) -> Results:
    """The text of a results.json.

    Raises:
        RunError: It is not JSON, or a part has another type than `fit` and `evaluate` write.
    """
    try:
        values = json.loads(text, object_hook=Results)
        _CHECK.validate_python(values, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = shorten(".".join(map(str, first["loc"])) or "it")
        rule, got = first["msg"].replace("Input should", "must"), first["input"]
        raise RunError(
            f"results.json was changed: {where} {rule}, got {shorten(repr(got), 100)} — {REMEDY}"
        ) from None
    except (ValueError, RecursionError) as error:
        raise RunError(f"results.json is not JSON: {error} — {REMEDY}") from None
    assert isinstance(values, Results)
    return values
