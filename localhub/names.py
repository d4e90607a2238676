"""Names that come over the wire (repository ids, paths, branches) → the same names, checked."""

import re
from urllib.parse import quote

from .errors import HubError

KINDS = ("models", "datasets", "spaces")
# Where a namespace stands in a path, these are something else.
RESERVED = ("api", "lfs", "xet", *KINDS)

_ID_PART = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_REF_REFUSED = re.compile(r"[\x00-\x20\x7f~^:?*\[\\\ud800-\udfff]|\.\.|//|@\{")
PATH_BYTES, PART_BYTES = 2000, 255  # as file systems have it; clients write the files by name
_PATH_REFUSED = re.compile(r"[\x00-\x1f\x7f\\\ud800-\udfff]")


def is_repo_id(repo_id: str) -> bool:
    """Whether `repo_id` reads `namespace/name` in the Hub's alphabet."""
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
    """Return `repo_id` when a repository may be called so.

    Raises:
        HubError: 400 when it may not.
    """
    if not is_repo_id(repo_id):
        raise HubError(
            400,
            f"A repository id must be namespace/name, each 1 to 96 of [A-Za-z0-9_.-] without"
            f" '--' or '..' and starting and ending with [A-Za-z0-9_], got {repo_id!r}.",
        )
    return repo_id


def check_path(path: object) -> str:
    """Return `path` when it is a relative POSIX path that stays inside its repository.

    Raises:
        HubError: 400 when it is absolute, empty, too long, or holds `..`, `.`, `.git`, a backslash
            or a control character.
    """
    if (
        not isinstance(path, str)
        or _PATH_REFUSED.search(path)
        or any(part in ("", ".", "..", ".git") for part in path.split("/"))
    ):
        raise HubError(
            400,
            f"A path must be relative, with '/' between its parts and none of them empty, '.',"
            f" '..' or '.git', got {path!r}.",
        )
    if len(path.encode()) > PATH_BYTES or any(
        len(part.encode()) > PART_BYTES for part in path.split("/")
    ):
        raise HubError(
            400,
            f"A path must have at most {PATH_BYTES} bytes, and {PART_BYTES} between two '/',"
            f" got {path!r}.",
        )
    return path


def check_ref(name: object) -> str:
    """Return `name` when git would take it as a branch or a tag.

    A tag may look like a commit: that is how a copy of another Hub's repository answers to the
    commit that it was copied from.

    Raises:
        HubError: 400 when git would not, or when it could be taken for a full ref.
    """
    if (
        not isinstance(name, str)
        or not 0 < len(name) <= 200
        or _REF_REFUSED.search(name)
        or len(quote(name, safe="")) > PART_BYTES  # the name of its file
        or name.startswith(("/", "-", ".", "refs/"))
        or name.endswith(("/", ".", ".lock"))
        or name == "HEAD"
    ):
        raise HubError(
            400, f"Invalid reference for a branch or tag: {name!r}. Use a short name such as 'v1'."
        )
    return name


def check_sha256(value: object) -> str:
    """Return `value` when it is a sha256 (or an xet hash) in lower-case hex.

    Raises:
        HubError: 400 when it is not.
    """
    if not isinstance(value, str) or not _SHA256.fullmatch(value):
        raise HubError(400, f"A content hash must be 64 lower-case hex digits, got {value!r}.")
    return value
