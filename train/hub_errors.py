"""What went wrong between here and the Hub, in one sentence: what was seen and the remedy.

In: whatever huggingface_hub, its HTTP client, hf_xet, datasets or transformers raise. Out: an error
of this project. Everything that names a repository or talks to the Hub goes through `explained`.
"""

import errno
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

from train.errors import HubBusy, HubError, TrainError
from train.recipe import is_path

# huggingface_hub 1 is built on httpx, huggingface_hub 2 on httpx2, which have the same errors.
_client = importlib.import_module(HTTPError.__module__.partition(".")[0])

TRANSIENT = {408, 429, 500, 502, 503, 504}  # statuses that may be others a moment later
UNWRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.ENOSPC}
NO_TOKEN = (
    "no token for the Hub — make one with the right to write on the Hub's settings page "
    "(Access Tokens), then `hf auth login`, or put it into the environment as HF_TOKEN"
)
_NAMING = (
    "a repository on the Hub is named user/name, in letters without accents, digits, '-', '_' "
    "and '.'"
)
READING = {
    401: "check the id, and log in with `hf auth login` if it is private",
    403: "log in with `hf auth login` as someone who may read it",
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
    """Turn what goes wrong on the way to the Hub into `error`; anything else passes.

    Args:
        doing: What is being done, for the beginning of the message.
        error: What to raise.
        remedies: HTTP status to what to do about it.
        name: What is read: the id of a repository, or a path. It is checked first.
        expected: Other exceptions that are the user's to mend.
        after: What holds after the failure, for the end of the message.
    """
    if name is not None:
        check_source(name, error)
    try:
        yield
    except TrainError:
        raise
    except Exception as cause:
        local, reason = "", diagnose(cause, remedies)
        if reason is not None and name is not None and "/" in name and not _exists(name):
            local = f"there is no file or folder {name} here, and "
        elif reason is None and isinstance(cause, expected):
            reason = str(cause).strip().partition("\n")[0] or type(cause).__name__
        if reason is None:
            raise
        raise error(f"{doing}: {local}{reason}{after and f'; {after}'}") from cause


def check_source(name: str, error: type[TrainError]) -> None:
    """Raise where a name is neither a path that exists nor a possible id on the Hub."""
    if _exists(name):
        return
    if is_path(name):
        raise error(
            f"no file or folder at {name} — give its path from the current folder, or the id of a "
            "repository on the Hub"
        )
    check_repo_id(name, error)


def check_repo_id(name: str, error: type[TrainError] = HubError) -> None:
    """Raise where this can't be the id of a repository on the Hub."""
    try:
        validate_repo_id(name)
    except HFValidationError:
        raise error(f"{_NAMING}, got {name[:200]!r}") from None


def diagnose(error: BaseException, remedies: Mapping[int, str] = READING) -> str | None:
    """Why the Hub did not give or take something, and the remedy; None where that isn't it."""
    reasons = (_reason(cause, remedies) for cause in _chain(error))
    return next(filter(None, reasons), None)


def is_transient(error: BaseException) -> bool:
    """Whether the same request may succeed a moment later."""
    for cause in _chain(error):
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
            f"HF_HUB_OFFLINE is set, and {constants.HF_HOME} holds no whole copy — unset "
            "HF_HUB_OFFLINE, so that it can be fetched"
        )
    if isinstance(error, EntryNotFoundError):  # one file of several: what follows from it counts
        return None
    if status := _status(error):
        return _refused(error, status, remedies)
    if _is_connection(error):
        return _unreachable(error)
    if isinstance(error, OSError) and error.errno in UNWRITABLE and _in_cache(error.filename):
        return (
            f"{error.filename} can't be written ({error.strerror}) — HF_HOME must name a folder "
            f"that can be written and has room, got {constants.HF_HOME}"
        )
    return None


def _refused(error: BaseException, status: int, remedies: Mapping[int, str]) -> str:
    """What an HTTP status means."""
    said = getattr(error, "server_message", None) or str(error).strip().partition("\n")[0]
    if isinstance(error, GatedRepoError):
        remedy = "it is gated: ask for access on its page and log in with `hf auth login`"
    elif isinstance(error, RevisionNotFoundError):
        remedy = "there is no such revision: check it"
    else:
        remedy = remedies.get(status, "the Hub is in trouble; try again in a few minutes")
    return f"{status} from {constants.ENDPOINT} ({said}) — {remedy}"


def _unreachable(error: BaseException) -> str:
    """What a connection that fails means; a proxy is named without its password."""
    url = urlsplit(constants.ENDPOINT)
    proxy = urllib.request.getproxies().get(url.scheme)
    if not proxy or urllib.request.proxy_bypass(url.netloc):
        through, check = "", "the network and HF_ENDPOINT"
    else:
        through = f" through the proxy {proxy.rpartition('@')[2]}"
        check = f"the network, {url.scheme.upper()}_PROXY and HF_ENDPOINT"
    said = str(error).strip().partition("\n")[0] or type(error).__name__
    return f"the connection to {constants.ENDPOINT}{through} failed ({said}) — check {check}"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An exception and what led to it, the last first."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _is_connection(error: BaseException) -> bool:
    kinds = (_client.RequestError, _client.InvalidURL, ConnectionError, TimeoutError)
    return isinstance(error, kinds)


def _status(error: BaseException) -> int | None:
    """The HTTP status that an exception tells of, where it tells of one."""
    if isinstance(error, HfHubHTTPError):
        return error.response.status_code
    # hf_xet has it in its text only.
    found = re.search(r"HTTP status \w+ error \((\d{3})", str(error))
    return int(found[1]) if found and isinstance(error, OSError) else None


def _in_cache(file: object) -> bool:
    """Whether a file is one of the cache, or a folder that the cache is to be in."""
    if not isinstance(file, str | bytes | os.PathLike):
        return False
    place = Path(os.path.abspath(os.fsdecode(file)))
    homes = [constants.HF_HOME, constants.HF_HUB_CACHE, constants.HF_XET_CACHE]
    homes.append(os.environ.get("HF_DATASETS_CACHE", constants.HF_HOME))
    caches = [Path(os.path.abspath(home)) for home in homes]
    return any(place.is_relative_to(cache) or cache.is_relative_to(place) for cache in caches)


def _exists(name: str) -> bool:
    return os.path.exists(os.path.expanduser(name))
