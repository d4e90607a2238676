"""JSON from outside as types: the one place that turns invalid JSON into a 400.

Also the files in the root that a person may have changed: these are read when the server starts,
and what is wrong with one ends it with a sentence.

The parser limits nesting and the digits of integers, and refuses lone surrogates, so that whatever
passes can be stored and sent again. Keys that a type does not name are ignored.
"""

import reprlib
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, FailFast, Field, TypeAdapter, ValidationError

from .errors import HubError

# One wrong item refuses a list: the errors of a million items would fill the memory.
Strings = Annotated[list[str], FailFast()]
Bytes = Annotated[int, Field(ge=0, lt=1 << 63)]
Seconds = Annotated[int, Field(ge=-1, lt=1 << 31)]


class Named(BaseModel):
    """A repository, as create and delete name it."""

    name: str = ""
    organization: str | None = None
    type: str | None = None


class Pair(BaseModel):
    """A variable or a secret of a Space, which goes into the environment of a process."""

    key: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*\z", max_length=200)
    value: str = Field(pattern=r"^[^\x00]*\z", max_length=30_000)
    description: str | None = None


class PairKey(BaseModel):
    """The variable or secret to remove."""

    key: str


class Settings(BaseModel):
    """What may be changed about a repository; `private` is how old clients say `visibility`."""

    visibility: str | None = None
    private: bool | None = None
    gated: bool | str | None = None


class Creation(Named, Settings):
    """A new repository; from `sdk` on, of a Space."""

    sdk: str | None = None
    hardware: str | None = None
    sleepTimeSeconds: Seconds | None = None
    variables: Annotated[list[Pair] | None, FailFast()] = None
    secrets: Annotated[list[Pair] | None, FailFast()] = None


class Operation(BaseModel):
    """A change of the hardware or the sleep time of a Space."""

    flavor: str | None = None
    sleepTimeSeconds: Seconds | None = None
    seconds: Seconds | None = None


class NewRef(BaseModel):
    """A branch or a tag."""

    startingPoint: str | None = None
    tag: str | None = None


class Card(BaseModel):
    """A README.md whose metadata is to be checked."""

    content: str = ""
    repoType: str | None = None


class Paths(BaseModel):
    """The paths to tell about."""

    paths: Strings = []
    expand: bool = False


class PreuploadFile(BaseModel):
    """A file that will be sent; `sample` is its beginning in base64."""

    path: str
    size: Bytes
    sample: str = ""


class Preupload(BaseModel):
    """The files of a commit to come."""

    files: Annotated[list[PreuploadFile], FailFast()]


class LfsObject(BaseModel):
    """A large file."""

    oid: str
    size: Bytes


class LfsBatch(BaseModel):
    """The large files of a commit to come."""

    operation: str
    objects: Annotated[list[LfsObject], FailFast()] = []


class LineValue(BaseModel):
    """What a line of a commit holds; which of it is needed depends on the line's key."""

    summary: str = ""
    description: str | None = None
    parentCommit: str | None = None
    path: str = ""
    content: str = ""
    encoding: str | None = None
    oid: str | None = None
    size: Bytes | None = None


class Line(BaseModel):
    """A line of a commit."""

    key: str
    value: LineValue


Body = TypeVar("Body", bound=BaseModel)
Value = TypeVar("Value")


def parse(body: type[Body], raw: bytes | bytearray, what: str = "The body") -> Body:
    """Read JSON.

    Args:
        body: What it should hold.
        raw: The text in UTF-8.
        what: What it is, for the message.

    Raises:
        HubError: 400 when it is not JSON or holds something else.
    """
    try:
        return body.model_validate_json(raw)
    except ValidationError as error:
        problem, value = _first(error)
        raise HubError(
            400, f"{what} must be a JSON object of the Hub's API: {problem}, got {value}"
        ) from error


def read(file: Path, what: TypeAdapter[Value], rule: str, remedy: str) -> Value:
    """Read a JSON file.

    Args:
        file: Where it lies.
        what: What it should hold.
        rule: The same, for the message.
        remedy: What to do about it, for the message. Values stay out of it: they may be secrets.

    Raises:
        ValueError: It can't be read, is not JSON, or holds something else.
    """
    try:
        return what.validate_json(file.read_bytes(), strict=True)
    except ValidationError as error:
        problem = _first(error)[0]
    except OSError as error:
        problem = error.strerror or str(error)
    raise ValueError(f"{file} must be {rule}: {problem}. {remedy}")


def _first(error: ValidationError) -> tuple[str, str]:
    """The first problem, with its place, and the value there."""
    # As a plain dict: the types of its keys are pydantic's own.
    first: dict[str, Any] = {**error.errors(include_url=False, include_context=False)[0]}
    where = ".".join(map(str, first["loc"])) or "all of it"
    return f"{where}: {first['msg']}", reprlib.repr(first["input"])
