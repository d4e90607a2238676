"""Models on the Hub → the Hub's cache, and messages for what can go wrong.

In: a repo id and a revision. Out: the folder of a snapshot, with the files that inference needs.
"""

import errno
import logging
from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import constants, snapshot_download
from huggingface_hub.errors import (  # type: ignore[attr-defined]  # HTTPError is httpx2's
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

CONFIG, TOKENIZER, TOKENIZER_CONFIG = "config.json", "tokenizer.json", "tokenizer_config.json"
REQUIRED_FILES = [CONFIG, TOKENIZER, TOKENIZER_CONFIG]
INT8_FILE = "onnx/model_quantized.onnx"  # published if its accuracy is good enough
FP32_FILE = "onnx/model.onnx"
ONNX_FILES = [INT8_FILE, FP32_FILE]
UNWRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.ENOSPC}
NO_MODEL_ID = (
    "MODEL_ID is not set. It names the model to show, such as user/movie-sentiment: "
    "set it on a Space under Settings, Variables, and elsewhere in the environment."
)

log = logging.getLogger(__name__)


def download(repo_id: str, revision: str | None, onnx_files: Sequence[str] = ONNX_FILES) -> Path:
    """Download a model or update it; use the cache if the Hub can't be reached, or it is read-only.

    Args:
        repo_id: `user/name`.
        revision: Commit, tag or branch; None for the newest commit of `main`.
        onnx_files: The first one that the repository has is downloaded, and no other model file.

    Returns:
        The folder of the snapshot; its name is the commit.

    Raises:
        HTTPError, OSError, HFValidationError: See `error_message`.
    """
    try:
        return _snapshot(repo_id, revision, onnx_files, local_files_only=False)
    except HfHubHTTPError:
        raise  # the Hub answered
    except HTTPError:
        # huggingface_hub uses the cache if a connection is refused, but not if it breaks off.
        return _snapshot(repo_id, revision, onnx_files, local_files_only=True)
    except OSError as error:
        if error.errno not in UNWRITABLE or not (
            folder := _complete_copy(repo_id, revision, onnx_files)
        ):
            raise
        log.warning(
            "the cache can't be written (%s): %s stays at %s", error.strerror, repo_id, folder.name
        )
        return folder


def _complete_copy(repo_id: str, revision: str | None, onnx_files: Sequence[str]) -> Path | None:
    """The folder of a copy in the cache that has every file; None without one."""
    try:
        folder = _snapshot(repo_id, revision, onnx_files, local_files_only=True)
    except OSError:  # no copy, or no folder
        return None
    has_model = any((folder / name).is_file() for name in onnx_files)
    is_complete = has_model and all((folder / name).is_file() for name in REQUIRED_FILES)
    return folder if is_complete else None


def _snapshot(
    repo_id: str, revision: str | None, onnx_files: Sequence[str], local_files_only: bool
) -> Path:
    for onnx_file in onnx_files:
        folder = Path(
            snapshot_download(
                repo_id,
                revision=revision,
                allow_patterns=[*REQUIRED_FILES, onnx_file],
                local_files_only=local_files_only,
            )
        )
        if (folder / onnx_file).exists():
            break
    return folder


def error_message(
    error: Exception, repo_id: str | None, revision: str | None, variable: str = "MODEL_ID"
) -> str | None:
    """The cause of a failed download in one sentence; None if the Hub could not be reached.

    Args:
        error: Of the download.
        repo_id: The model.
        revision: Of the model.
        variable: The environment variable that names the model.
    """
    hub = constants.ENDPOINT
    if isinstance(error, HFValidationError):
        return f"{variable} must be user/name, as the Hub writes it, got {repo_id!r}."
    if isinstance(error, GatedRepoError):
        return f"{repo_id} is gated: ask for access on its page, and set the secret HF_TOKEN."
    if isinstance(error, RepositoryNotFoundError):
        return f"The Hub at {hub} has no model {repo_id}, or this app's HF_TOKEN may not read it."
    if isinstance(error, RevisionNotFoundError):
        return f"{repo_id} has no revision {revision}: check {variable.removesuffix('ID')}REVISION."
    if isinstance(error, HfHubHTTPError) and error.response.status_code < 500:
        return f"The Hub at {hub} refused {repo_id} with status {error.response.status_code}."
    if isinstance(error, OSError) and error.errno in UNWRITABLE:
        return unwritable_message(error, "cache", "HF_HOME")
    if constants.is_offline_mode():
        return (
            f"HF_HUB_OFFLINE is set, and {constants.HF_HOME} has no complete copy of {repo_id}. "
            "Unset HF_HUB_OFFLINE to download it."
        )
    return None


def unwritable_message(error: OSError, folder: str, variable: str) -> str:
    """The message for a folder that can't be written, and the variable that names the folder."""
    path = f", {error.filename}" if error.filename else ""
    return (
        f"The {folder} can't be written{path}: {error.strerror}. {variable} must "
        "name a folder that can be written and has free space."
    )


def not_a_classifier_message(repo_id: str | None) -> str:
    """The message for a repository whose model can't be loaded."""
    return (
        f"{repo_id} is not a text classifier that this app can load: it needs a {CONFIG} with "
        f"named labels, a {TOKENIZER}, and ONNX files that output logits."
    )


def pair_model_message(repo_id: str | None) -> str:
    """The message for a model that classifies pairs of texts."""
    return (
        f"{repo_id} classifies pairs of texts (a review and a second text), and only models of "
        "single texts are supported here. Its model card shows how to call it."
    )


def failure_message(repo_id: str | None) -> str:
    """The message for another model, of any visitor's choice, that can't classify the texts."""
    return f"{repo_id} fails on these reviews. Choose another model."


def no_onnx_message(repo_id: str | None) -> str:
    """The message for a repository without an ONNX file."""
    return (
        f"{repo_id} has no onnx/model.onnx, which this app needs. Its owner can add it: "
        "`python -m train export RUN`, then publish again."
    )
