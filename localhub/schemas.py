"""JSON from clients and from files → typed objects. Invalid JSON becomes a 400 or a ValueError.

Pydantic's parser limits nesting and the digits of integers and refuses lone surrogates, so every
accepted value can be stored and sent again. Unknown keys are ignored.
"""

import reprlib
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, FailFast, Field, TypeAdapter, ValidationError

from .errors import HubError

RepoType = Literal["model", "dataset", "space"]
Sdk = Literal["gradio", "docker", "static"]
Hardware = Literal[
    "cpu-basic", "cpu-upgrade", "zero-a10g", "t4-small", "t4-medium", "l4x1", "a10g-small",
    "a10g-large", "a100-large",
]  # fmt: skip
# FailFast: the errors of a million invalid items would fill the memory.
Strings = Annotated[list[str], FailFast()]
Bytes = Annotated[int, Field(ge=0, lt=1 << 63)]


class RepoName(BaseModel):
    """The repository to create or delete."""

    name: str = ""
    organization: str | None = None
    type: RepoType | None = None


class Settings(BaseModel):
    """The settings of a repository. huggingface_hub before 2.0 sends `private`."""

    visibility: Literal["public", "private"] | None = None
    private: bool | None = None
    gated: Literal[False, "auto", "manual"] | None = None


class Variable(BaseModel):
    """A variable or a secret of a Space: part of the environment of its process."""

    key: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*\z", max_length=200)
    value: str = Field(pattern=r"^[^\x00]*\z", max_length=30_000)
    description: str | None = None


class VariableKey(BaseModel):
    """The variable or secret to remove."""

    key: str


class NewRepo(RepoName, Settings):
    """A new repository. The last four fields are those of a Space."""

    sdk: Sdk | None = None
    hardware: Hardware | None = None
    variables: Annotated[list[Variable] | None, FailFast()] = None
    secrets: Annotated[list[Variable] | None, FailFast()] = None


class HardwareChange(BaseModel):
    """The new hardware of a Space."""

    flavor: Hardware


class NewTag(BaseModel):
    """The name of a tag."""

    tag: str = ""


class Readme(BaseModel):
    """A README.md to validate."""

    content: str = ""
    repoType: RepoType | None = None


class Paths(BaseModel):
    """The paths to describe."""

    paths: Strings = []


class PreuploadFile(BaseModel):
    """A file about to be uploaded. `sample` is its beginning, in base64."""

    path: str
    size: Bytes
    sample: str = ""


class Preupload(BaseModel):
    """The files of the next commit."""

    files: Annotated[list[PreuploadFile], FailFast()]


class LfsObject(BaseModel):
    """A large file: `oid` is its sha256."""

    oid: str
    size: Bytes


class LfsBatch(BaseModel):
    """The large files of the next commit."""

    operation: str
    objects: Annotated[list[LfsObject], FailFast()] = []


class CommitValue(BaseModel):
    """The value of a line of a commit. Which fields are needed depends on the line's key."""

    summary: str = ""
    description: str | None = None
    parentCommit: str | None = None
    path: str = ""
    content: str = ""
    encoding: str | None = None
    oid: str | None = None
    size: Bytes | None = None


class CommitLine(BaseModel):
    """A line of a commit's NDJSON body."""

    key: str
    value: CommitValue


Schema = TypeVar("Schema", bound=BaseModel)
Value = TypeVar("Value")


def parse(schema: type[Schema], data: bytes | bytearray, subject: str = "The body") -> Schema:
    """Parse JSON sent by a client.

    Args:
        schema: What it must match.
        data: The JSON in UTF-8.
        subject: What the JSON is, for the error message.

    Raises:
        HubError: 400 when it is not JSON or does not match.
    """
    try:
        return schema.model_validate_json(data)
    except ValidationError as error:
        problem, value = _first_problem(error)
        raise HubError(
            400, f"{subject} must be a JSON object of the Hub's API: {problem}, got {value}"
        ) from error


def read_json(file: Path, schema: TypeAdapter[Value], rule: str, remedy: str) -> Value:
    """Read a JSON file of the root, which a person may have edited.

    Args:
        file: The file.
        schema: What it must match.
        rule: What it must be, for the error message.
        remedy: What to do about it, for the error message.

    Raises:
        ValueError: It can't be read, is not JSON or does not match. The message never shows the
            value, which may be a secret.
    """
    try:
        return schema.validate_json(file.read_bytes(), strict=True)
    except ValidationError as error:
        problem = _first_problem(error)[0]
    except OSError as error:
        problem = error.strerror or str(error)
    raise ValueError(f"{file} must be {rule}: {problem}. {remedy}")


def _first_problem(error: ValidationError) -> tuple[str, str]:
    """The first problem with its location, and the value there."""
    # As a plain dict: the types of its keys are pydantic's own.
    first: dict[str, Any] = {**error.errors(include_url=False, include_context=False)[0]}
    where = ".".join(map(str, first["loc"])) or "all of it"
    return f"{where}: {first['msg']}", reprlib.repr(first["input"])
