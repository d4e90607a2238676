"""Names sent by clients (repository ids, paths, tags) → the same names, checked."""

import re
from urllib.parse import quote

from .errors import HubError

KINDS = ("models", "datasets", "spaces")
RESERVED = ("api", "lfs", "xet", *KINDS)  # first parts of URLs, so no namespace may have them
MAX_PATH_BYTES, MAX_PART_BYTES = 2000, 255  # limits of file systems; clients write these files

_ID_PART = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_INVALID_IN_REF = re.compile(r"[\x00-\x20\x7f~^:?*\[\\\ud800-\udfff]|\.\.|//|@\{")
_INVALID_IN_PATH = re.compile(r"[\x00-\x1f\x7f\\\ud800-\udfff]")


def is_repo_id(repo_id: str) -> bool:
    """Whether `repo_id` is `namespace/name` in the Hub's alphabet."""
    parts = repo_id.split("/")
    return (
        len(parts) == 2
        and parts[0] not in RESERVED
        and all(
            _ID_PART.fullmatch(part)
            and "--" not in part
            and ".." not in part
            and not part.endswith((".git", ".ipynb"))
            for part in parts
        )
    )


def check_repo_id(repo_id: str) -> str:
    """Return `repo_id` if it is valid.

    Raises:
        HubError: 400 when it is not.
    """
    if not is_repo_id(repo_id):
        raise HubError(
            400,
            f"A repository id must be namespace/name, each 1 to 96 of [A-Za-z0-9_.-] without"
            f" '--' or '..' and starting and ending with [A-Za-z0-9_], got {repo_id!r}.",
        )
    return repo_id


def check_path(path: str) -> str:
    """Return `path` if it is a relative POSIX path that stays inside its repository.

    Raises:
        HubError: 400 when it is absolute, empty or too long, or has `..`, `.`, `.git`, a backslash
            or a control character.
    """
    parts = path.split("/")
    if _INVALID_IN_PATH.search(path) or any(part in ("", ".", "..", ".git") for part in parts):
        raise HubError(
            400,
            f"A path must be relative, with '/' between its parts and none of them empty, '.',"
            f" '..' or '.git', got {path!r}.",
        )
    if len(path.encode()) > MAX_PATH_BYTES or any(
        len(part.encode()) > MAX_PART_BYTES for part in parts
    ):
        raise HubError(
            400,
            f"A path must have at most {MAX_PATH_BYTES} bytes, and {MAX_PART_BYTES} between two"
            f" '/', got {path!r}.",
        )
    return path


def check_ref(name: str) -> str:
    """Return `name` if git accepts it as a tag.

    A tag may look like a commit's sha: a copy of another Hub's repository can thus be loaded by
    the revision it was copied from.

    Raises:
        HubError: 400 when git refuses it, or when it could be taken for a full ref.
    """
    if (
        not 0 < len(name) <= 200
        or _INVALID_IN_REF.search(name)
        or len(quote(name, safe="")) > MAX_PART_BYTES  # the name of its file
        or name.startswith(("/", "-", ".", "refs/"))
        or name.endswith(("/", ".", ".lock"))
        or name == "HEAD"
    ):
        raise HubError(
            400, f"Invalid reference for a tag: {name!r}. Use a short name such as 'v1'."
        )
    return name


def check_sha256(value: str | None) -> str:
    """Return `value` if it is a sha256 (or a xet hash) in lower-case hex.

    Raises:
        HubError: 400 when it is not.
    """
    if value is None or not _SHA256.fullmatch(value):
        raise HubError(400, f"A content hash must be 64 lower-case hex digits, got {value!r}.")
    return value
