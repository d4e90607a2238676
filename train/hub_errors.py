"""Turns errors of Hub clients into errors of this project, with a reason and a remedy.

In: exceptions of huggingface_hub, its HTTP client, hf_xet, datasets and transformers. Out: a
`TrainError`. All code that reads a repository or writes to the Hub runs inside `explained`.
"""

import importlib
import os
import re
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from huggingface_hub import constants
from huggingface_hub.errors import (  # type: ignore[attr-defined]  # HTTPError is the client's
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
    LocalEntryNotFoundError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RevisionNotFoundError,
)
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # re-exported

from space.inference.download import UNWRITABLE
from train.errors import HubBusy, HubError, TrainError
from train.sections import is_path

# huggingface_hub 1 uses httpx and huggingface_hub 2 httpx2, which have the same errors.
_client = importlib.import_module(HTTPError.__module__.partition(".")[0])

TRANSIENT = {408, 429, 500, 502, 503, 504}  # HTTP statuses worth a retry
NO_TOKEN = (
    "no Hub token — create one with write permission on the Hub's settings page (Access Tokens), "
    "then run `hf auth login` or set HF_TOKEN"
)
_NAMING = (
    "a Hub repository must be named user/name, in letters without accents, digits, '-', '_' and '.'"
)
READING = {
    401: "check the id, and log in with `hf auth login` if it is private",
    403: "log in with `hf auth login` as a user with read access",
    404: "check the id and the revision, and log in with `hf auth login` if it is private",
    429: "too many requests; wait a few minutes",
}


@contextmanager
def explained(
    doing: str,
    error: type[TrainError] = HubError,
    *,
    remedies: Mapping[int, str] = READING,
    name: str | None = None,
    expected: tuple[type[Exception], ...] = (),
    after: str = "",
) -> Iterator[None]:
    """Raise errors of the Hub and the network as `error`; other exceptions pass unchanged.

    Args:
        doing: The operation, as the beginning of the message.
        error: The class to raise.
        remedies: HTTP status → remedy.
        name: The repository id or path that is read; checked before the block runs.
        expected: Further exceptions to convert.
        after: The state after the failure, as the end of the message.
    """
    if name is not None:
        check_source(name, error)
    try:
        yield
    except TrainError:
        raise
    except Exception as cause:
        prefix, reason = "", diagnose(cause, remedies)
        if reason is not None and name is not None and "/" in name and not _exists(name):
            prefix = f"there is no local file or folder {name}, and "
        elif reason is None and isinstance(cause, expected):
            reason = str(cause).strip().partition("\n")[0] or type(cause).__name__
        if reason is None:
            raise
        message = f"{doing}: {prefix}{reason}"
        raise error(f"{message.rstrip('.')}; {after}" if after else message) from cause


def check_source(name: str, error: type[TrainError]) -> None:
    """Raise `error` unless a name is an existing path or a valid repository id."""
    if _exists(name):
        return
    if is_path(name):
        raise error(
            f"no file or folder at {name} — give a path relative to the current folder, or the id "
            "of a Hub repository"
        )
    check_repo_id(name, error)


def check_repo_id(name: str, error: type[TrainError] = HubError) -> None:
    """Raise `error` unless a name is a valid repository id."""
    try:
        validate_repo_id(name)
    except HFValidationError:
        raise error(f"{_NAMING}, got {name[:200]!r}") from None


def diagnose(error: BaseException, remedies: Mapping[int, str] = READING) -> str | None:
    """The reason and remedy of a Hub or network error; None for any other error."""
    reasons = (_reason(cause, remedies) for cause in _causes(error))
    return next(filter(None, reasons), None)


def is_transient(error: BaseException) -> bool:
    """Whether a retry of the same request may succeed."""
    for cause in _causes(error):
        if isinstance(cause, HubBusy):
            return True
        if status := _status(cause):
            return status in TRANSIENT
        if _is_connection(cause):
            return not isinstance(cause, OfflineModeIsEnabled)
    return False


def _reason(error: BaseException, remedies: Mapping[int, str]) -> str | None:
    if isinstance(error, HubBusy):
        return str(error)
    if isinstance(error, LocalTokenNotFoundError):
        return NO_TOKEN
    if isinstance(error, HFValidationError):
        return _NAMING
    if isinstance(error, OfflineModeIsEnabled):
        return "this needs the Hub, and HF_HUB_OFFLINE is set — unset it"
    if isinstance(error, LocalEntryNotFoundError | ConnectionError) and constants.is_offline_mode():
        return (
            f"HF_HUB_OFFLINE is set, and {constants.HF_HOME} has no complete copy — unset "
            "HF_HUB_OFFLINE to download it"
        )
    if isinstance(error, EntryNotFoundError):  # the caller decides what a missing file means
        return None
    if status := _status(error):
        return _refused(error, status, remedies)
    if _is_connection(error):
        return _unreachable(error)
    if isinstance(error, OSError) and error.errno in UNWRITABLE and _in_cache(error.filename):
        return (
            f"{error.filename} can't be written ({error.strerror}) — HF_HOME must be a writable "
            f"folder with free space, got {constants.HF_HOME}"
        )
    return None


def _refused(error: BaseException, status: int, remedies: Mapping[int, str]) -> str:
    """The message for an HTTP status."""
    reply = getattr(error, "server_message", None) or str(error).strip().partition("\n")[0]
    if isinstance(error, GatedRepoError):
        remedy = "it is gated: request access on its page and log in with `hf auth login`"
    elif isinstance(error, RevisionNotFoundError):
        remedy = "there is no such revision: check it"
    else:
        remedy = remedies.get(status, "the Hub has a problem; try again in a few minutes")
    return f"{status} from {constants.ENDPOINT} ({reply}) — {remedy}"


def _unreachable(error: BaseException) -> str:
    """The message for a failed connection; a proxy is named without its password."""
    url = urlsplit(constants.ENDPOINT)
    proxy = urllib.request.getproxies().get(url.scheme)
    if not proxy or urllib.request.proxy_bypass(url.netloc):
        route, settings = "", "the network and HF_ENDPOINT"
    else:
        route = f" through the proxy {proxy.rpartition('@')[2]}"
        settings = f"the network, {url.scheme.upper()}_PROXY and HF_ENDPOINT"
    reason = str(error).strip().partition("\n")[0] or type(error).__name__
    return f"the connection to {constants.ENDPOINT}{route} failed ({reason}) — check {settings}"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An exception and the chain of its causes, newest first."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _is_connection(error: BaseException) -> bool:
    kinds = (_client.RequestError, _client.InvalidURL, ConnectionError, TimeoutError)
    return isinstance(error, kinds)


def _status(error: BaseException) -> int | None:
    """The HTTP status of an exception; None without one."""
    if isinstance(error, HfHubHTTPError):
        return error.response.status_code
    # hf_xet has it only in its message.
    match = re.search(r"HTTP status \w+ error \((\d{3})", str(error))
    return int(match[1]) if match and isinstance(error, OSError) else None


def _in_cache(file: object) -> bool:
    """Whether a path is inside a Hub cache, or a parent folder of one."""
    if not isinstance(file, str | bytes | os.PathLike):
        return False
    path = Path(os.path.abspath(os.fsdecode(file)))
    homes = [constants.HF_HOME, constants.HF_HUB_CACHE, constants.HF_XET_CACHE]
    homes.append(os.environ.get("HF_DATASETS_CACHE", constants.HF_HOME))
    caches = [Path(os.path.abspath(home)) for home in homes]
    return any(path.is_relative_to(cache) or cache.is_relative_to(path) for cache in caches)


def _exists(name: str) -> bool:
    return os.path.exists(os.path.expanduser(name))
