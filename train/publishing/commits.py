"""Commits to the Hub: files -> one commit, which also removes what an earlier publish left.

In: file contents by path. Out: the SHA of the commit. A manifest in the repository lists the files
that were published, so that files added by others are kept.
"""

import fnmatch
import itertools
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

from train import console
from train.hub_errors import diagnose, is_transient

Files = Mapping[str, Path | bytes]  # path in the repository -> a local file, or the content
Result = TypeVar("Result")

MANIFEST = "published.json"
RETRY_SECONDS = 60  # how long a request is retried while the Hub is unavailable
REMEDIES = {
    401: "the token is invalid; create one with write permission and run `hf auth login`",
    402: "the Hub asks for payment; see the account's billing page",
    403: "the token may not write there; use one with the role `write` (or a fine-grained one for "
    "this repository) and a namespace that is yours",
    404: "no such repository, or it is private and the token may not read it",
    409: "the repository exists in another form, or is being written to; wait a moment or choose "
    "another name",
    412: "someone else pushed in between; run the same command again",
    413: "the Hub refuses files of that size",
    429: "too many requests; wait a few minutes",
}


def with_manifest(files: Files) -> dict[str, Path | bytes]:
    """The files and a manifest that lists them."""
    names = sorted({*files, MANIFEST})
    return {**files, MANIFEST: (json.dumps({"files": names}, indent=2) + "\n").encode()}


def commit(
    api: HfApi, repo_id: str, repo_type: str, files: Files, title: str, own: str | None = None
) -> str:
    """Upload files in one commit.

    Files from an earlier publish that are not among them are deleted; others are kept.
    `upload_folder` would make several commits with xet.

    Args:
        api: The client, whose token is used.
        repo_id: The repository.
        repo_type: `model` or `space`.
        files: What to upload.
        title: The title of the commit.
        own: A pattern of the files from an earlier publish; None: those that the manifest lists.

    Returns:
        The SHA of the commit.
    """
    head = api.repo_info(repo_id, repo_type=repo_type).sha
    present = set(api.list_repo_files(repo_id, repo_type=repo_type, revision=head))
    if own:
        stale = set(fnmatch.filter(present, own)) - set(files)
    else:
        stale = present & _in_manifest(api, repo_id, repo_type, head, present) - set(files)
        _print_changes(repo_id, present, set(files), stale)
    additions = [CommitOperationAdd(name, content) for name, content in files.items()]
    _upload(api, repo_id, repo_type, additions)
    info = api.create_commit(
        repo_id,
        repo_type=repo_type,
        operations=[*additions, *(CommitOperationDelete(name) for name in sorted(stale))],
        commit_message=title,
        parent_commit=head,  # a push by someone else in between is a 412, not overwritten
    )
    assert info.oid is not None
    return info.oid


def retry(action: str, attempt: Callable[[], Result]) -> Result:
    """Call `attempt` until it succeeds, for up to `RETRY_SECONDS` while the Hub is unavailable.

    Args:
        action: What is attempted, for the printed message.
        attempt: Raises as the Hub's client does.
    """
    started = time.monotonic()
    for wait in itertools.chain([1, 3], itertools.repeat(10)):
        try:
            return attempt()
        except Exception as error:
            if not is_transient(error) or time.monotonic() - started + wait > RETRY_SECONDS:
                raise
            console.print_line(
                f"{action} failed: {diagnose(error)}. Retrying in {wait} s, for up to "
                f"{RETRY_SECONDS} s in total"
            )
            time.sleep(wait)
    raise AssertionError("unreachable: the last attempt returns or raises")


def _in_manifest(
    api: HfApi, repo_id: str, repo_type: str, head: str | None, present: set[str]
) -> set[str]:
    """The files that the last publish put into a repository."""
    if MANIFEST not in present:
        return set()
    file = api.hf_hub_download(repo_id, MANIFEST, repo_type=repo_type, revision=head)
    try:
        names = json.loads(Path(file).read_text(encoding="utf-8"))["files"]
        return {name for name in names if isinstance(name, str)} - {".gitattributes"}
    except (ValueError, KeyError, TypeError):
        return set()  # another project's file of that name


def _print_changes(repo_id: str, present: set[str], files: set[str], stale: set[str]) -> None:
    """Print what a commit is going to change in a repository."""
    kept = present - files - stale - {".gitattributes"}
    for verb, names in [("replaces", present & files), ("removes", stale), ("keeps", kept)]:
        if names:
            console.print_line(f"in {repo_id} this {verb} {console.summarize_names(names)}")


def _upload(
    api: HfApi, repo_id: str, repo_type: str, additions: Sequence[CommitOperationAdd]
) -> None:
    """Upload file contents before the commit refers to them."""

    def attempt() -> None:
        api.preupload_lfs_files(repo_id, additions, repo_type=repo_type, free_memory=False)

    retry(f"the upload to {repo_id}", attempt)
