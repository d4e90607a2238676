"""The Hub: from a run folder to one verified commit.

In: a complete run folder. Out: `Published`. `HF_ENDPOINT` alone chooses the Hub, the token is
read by huggingface_hub alone, and whatever fails leaves the run folder whole. Only this room and
`deployment`, which is built on it, write to a Hub.
"""

import fnmatch
import hashlib
import itertools
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    constants,
    get_token,
    hf_hub_download,
    snapshot_download,
)

from train import console, run_folder
from train.errors import HubBusy, HubError
from train.evaluation import row_results
from train.hub_errors import NO_TOKEN, check_repo_id, diagnose, explained, is_transient
from train.publishing import card, published_files, release_gate
from train.publishing.smoke_test_model import BUSY

LONG_REVIEW = "An opening that drags, and then it never lets go of you. " * 250  # 3,000 tokens
MANIFEST = "published.json"  # in a repository: what we put there, which the next time may go
UNCHANGED = "nothing in the run folder has changed; `python -m train publish` can be run later"
RETRY_SECONDS = 60  # how long an upload or a read is tried again while the Hub is in trouble
# How long reading back what was pushed may take: this, and its size at that rate.
VERIFY_SECONDS = 300
VERIFY_BYTES_PER_SECOND = 250_000

Result = TypeVar("Result")


@dataclass(frozen=True)
class Published:
    """What is on the Hub now."""

    repo_id: str
    revision: str
    url: str
    files: frozenset[str]  # their paths in the repository


def check_target(to: str, private: bool) -> None:
    """Make sure, before anything expensive, that this token may write there.

    Creates the repository, still empty, where it is missing: it is the one honest test.

    Raises:
        HubError: No token, one that may not write, no connection.
    """
    check_named(to)
    api = HfApi()
    with explained(f"checking that {to} can be written", remedies=REMEDIES):
        api.create_repo(to, private=private or None, exist_ok=True)
        api.auth_check(to, write=True)
        check_private(api, to, "model", private)


def check_named(repo_id: str) -> None:
    """Raise `HubError` where that is no repository's name, or nobody is logged in."""
    check_repo_id(repo_id)
    if "/" not in repo_id:
        raise HubError(f"a repository is named user/name, got {repo_id!r}")
    if not get_token():
        raise HubError(NO_TOKEN)


def publish(run: Path, to: str, private: bool = False, allow_regression: bool = False) -> Published:
    """Put a run folder on the Hub in one commit, read it back, and call it.

    Args:
        run: A complete, evaluated run folder.
        to: The model repository, `user/name`.
        private: Whether to create the repository private.
        allow_regression: Publish without the release gate.

    Raises:
        RunError: The folder is incomplete.
        HubError: What the Hub or the release gate refused, and what to do about it.
    """
    run_folder.check_complete(run)
    check_target(to, private)
    if not allow_regression:
        _check_no_worse(run, to)
    rendered = card.render(run_folder.load_results(run), to)
    (run / "README.md").write_text(rendered, encoding="utf-8")
    files = with_manifest(published_files.public_files(run))
    published_files.print_unpublished(run, files)
    with explained(f"publishing {run} to {to}", remedies=REMEDIES, after=UNCHANGED):
        title = f"Publish {run.name}: accuracy {_accuracy(run)}"
        revision = commit(HfApi(), to, "model", files, title)
        seconds = _verify_seconds(files)
        console.print_line(
            f"pushed {len(files)} files to {to} at {revision[:12]}; reading them back, for at most "
            f"{seconds:,} s"
        )
    _verify(to, revision, files, run_folder.load_results(run), seconds)
    return Published(to, revision, f"{constants.ENDPOINT}/{to}", frozenset(files))


def _check_no_worse(run: Path, to: str) -> None:
    """Raise `HubError` where the published model is significantly better; see `release_gate`."""
    file = None
    with explained(f"reading {row_results.FILE} of {to}", after=UNCHANGED):
        there = HfApi().list_repo_files(to)
        if row_results.FILE in there:
            file = hf_hub_download(to, row_results.FILE)
    if file:
        release_gate.check(run, Path(file), to)
    elif "config.json" in there:
        console.print_line(
            f"the model in {to} was published without {row_results.FILE}: there is nothing to "
            "compare row by row, publishing without the release gate"
        )


def push_checkpoint(checkpoint: Path, repo_id: str) -> None:
    """Replace the checkpoint kept on the Hub by this one, in one commit on a private repository.

    Raises:
        HubError: What the Hub refused.
    """
    run = checkpoint.parent.parent
    folder = checkpoint.parent
    kept = [run / "recipe.yaml", *(f for f in folder.rglob("*") if f.is_file())]
    files = {str(file.relative_to(run)): file for file in kept if file.exists()}
    with explained(f"pushing a checkpoint to {repo_id}", remedies=REMEDIES):
        api = HfApi()
        api.create_repo(repo_id, private=True, exist_ok=True)
        title = f"Checkpoint {checkpoint.name}"
        commit(api, repo_id, "model", files, title, own=f"{folder.name}/*")


def pull_checkpoint(repo_id: str, run: Path) -> bool:
    """Bring the checkpoint kept on the Hub into a run folder; False where there is none.

    Raises:
        HubError: What the Hub refused.
    """
    with explained(f"fetching the checkpoint from {repo_id}"):
        if not HfApi().file_exists(repo_id, "recipe.yaml"):
            return False
        snapshot_download(repo_id, local_dir=run, allow_patterns=["recipe.yaml", "checkpoints/**"])
        shutil.rmtree(run / ".cache", ignore_errors=True)  # the download's notes
    return True


def with_manifest(files: Mapping[str, Path | bytes]) -> dict[str, Path | bytes]:
    """The files and one more, which lists them all: the next time it tells ours from others'."""
    names = sorted({*files, MANIFEST})
    return {**files, MANIFEST: (json.dumps({"files": names}, indent=2) + "\n").encode()}


def commit(
    api: HfApi,
    repo_id: str,
    repo_type: str,
    files: Mapping[str, Path | bytes],
    title: str,
    own: str | None = None,
) -> str:
    """Put these files into a repository in one commit; returns its SHA.

    Files there that we put in before, and that are none of these, are removed; others stay.
    `upload_folder` would make several commits under xet.

    Args:
        api: Whose token is used.
        repo_id: The repository.
        repo_type: model or space.
        files: Path in the repository -> its content.
        title: Of the commit.
        own: A pattern of the files that we put in before; None: those that the manifest lists.
    """
    head = api.repo_info(repo_id, repo_type=repo_type).sha
    there = set(api.list_repo_files(repo_id, repo_type=repo_type, revision=head))
    if own:
        stale = set(fnmatch.filter(there, own)) - set(files)
    else:
        stale = there & _listed(api, repo_id, repo_type, head, there) - set(files)
        _print_changes(repo_id, there, set(files), stale)
    additions = [CommitOperationAdd(name, content) for name, content in files.items()]
    _upload(api, repo_id, repo_type, additions)
    done = api.create_commit(
        repo_id,
        repo_type=repo_type,
        operations=[*additions, *(CommitOperationDelete(name) for name in sorted(stale))],
        commit_message=title,
        parent_commit=head,  # someone else's push in between is a 412, not overwritten
    )
    assert done.oid is not None
    return done.oid


def _listed(
    api: HfApi, repo_id: str, repo_type: str, head: str | None, there: set[str]
) -> set[str]:
    """What we put into a repository the last time."""
    if MANIFEST in there:
        file = api.hf_hub_download(repo_id, MANIFEST, repo_type=repo_type, revision=head)
        try:
            listed = json.loads(Path(file).read_text(encoding="utf-8"))["files"]
            return {name for name in listed if isinstance(name, str)} - {".gitattributes"}
        except (ValueError, KeyError, TypeError):
            return set()  # another project's
    if repo_type == "model" and {"recipe.yaml", "results.json"} <= there:  # before manifests
        return {name for name in there if published_files.is_public(name)}
    return set()


def _print_changes(repo_id: str, there: set[str], files: set[str], stale: set[str]) -> None:
    """Tell what a commit is about to change in a repository."""
    kept = there - files - stale - {".gitattributes"}
    for doing, names in [("replaces", there & files), ("removes", stale), ("keeps", kept)]:
        if names:
            console.print_line(f"in {repo_id} this {doing} {console.summarize_names(names)}")


def _upload(
    api: HfApi, repo_id: str, repo_type: str, additions: Sequence[CommitOperationAdd]
) -> None:
    """Send contents ahead of their commit, again while the Hub is in trouble."""

    def send() -> None:
        api.preupload_lfs_files(repo_id, additions, repo_type=repo_type, free_memory=False)

    _retry(f"the upload to {repo_id}", RETRY_SECONDS, send)


def _retry(doing: str, seconds: float, attempt: Callable[[], Result]) -> Result:
    """Try something again while the Hub is in trouble, for so long, and say so."""
    started = time.monotonic()
    for wait in itertools.chain([1, 3], itertools.repeat(10)):
        try:
            return attempt()
        except Exception as error:
            if not is_transient(error) or time.monotonic() - started + wait > seconds:
                raise
            console.print_line(
                f"{doing} failed: {diagnose(error)}. Trying again in {wait} s, for {seconds} s in "
                "all"
            )
            time.sleep(wait)
    raise AssertionError("the last attempt returns or raises")


def _verify(
    repo_id: str,
    revision: str,
    files: Mapping[str, Path | bytes],
    results: dict[str, Any],
    seconds: int,
) -> None:
    """Download what was pushed into an empty cache, compare it, and call `pipeline()` on it."""
    until = time.monotonic() + seconds
    whole = f"the run folder is whole: `python -m train publish RUN --to {repo_id}` tries again"
    again = f"the model is pushed and {whole}"
    unverified = f"the commit {revision} is on {repo_id}, but was not verified"
    doing = f"reading back {repo_id}"
    try:
        answer = _retry(doing, RETRY_SECONDS, lambda: _call(repo_id, revision, until))
    except subprocess.TimeoutExpired:
        raise HubError(f"{unverified}: {doing} took more than {seconds} s — {whole}") from None
    except HubBusy as error:
        raise HubError(f"{unverified}: {error}; {whole}") from error
    except subprocess.CalledProcessError as error:
        raise HubError(
            f"{repo_id} at {revision} can't be called — {again}:\n{error.stderr[-2000:]}"
        ) from error
    for name, file in files.items():
        if answer["files"].get(name) != _sha256(file):
            raise HubError(f"{name} came back from {repo_id} other than it was pushed — {again}")
    named = {a["label"] for a in answer["answers"]} <= set(results["recipe"]["labels"])
    if not named:
        raise HubError(f"{repo_id} answers with labels that are not the recipe's — {again}")
    console.print_line(f"{len(files)} files came back equal, and pipeline() answers")


def _call(repo_id: str, revision: str, until: float) -> dict[str, Any]:
    """What the smoke test says about a repository, from an empty cache and before `until`."""
    with tempfile.TemporaryDirectory() as empty:
        cache = {"HF_HUB_CACHE": f"{empty}/hub", "HF_XET_CACHE": f"{empty}/xet"}
        called = subprocess.run(
            [
                sys.executable,
                "-m",
                "train.publishing.smoke_test_model",
                repo_id,
                "--revision",
                revision,
            ]
            + ["A joy from start to finish.", "Dull, long and badly acted.", LONG_REVIEW],
            env={**os.environ, **cache},
            cwd=Path(__file__).parent.parent.parent,
            capture_output=True,
            text=True,
            timeout=max(0, until - time.monotonic()),
        )
    if called.returncode == BUSY:
        raise HubBusy(called.stderr.strip().rpartition("\n")[2])
    called.check_returncode()
    answer: dict[str, Any] = json.loads(called.stdout.strip().splitlines()[-1])
    return answer


def _verify_seconds(files: Mapping[str, Path | bytes]) -> int:
    """How long reading back what was pushed may take."""
    sizes = [
        len(file) if isinstance(file, bytes) else file.stat().st_size for file in files.values()
    ]
    return math.ceil(VERIFY_SECONDS + sum(sizes) / VERIFY_BYTES_PER_SECOND)


def check_private(api: HfApi, repo_id: str, repo_type: str, private: bool) -> None:
    """Raise `HubError` where it was there, and public: creating it again has not changed that."""
    if private and not api.repo_info(repo_id, repo_type=repo_type).private:
        raise HubError(
            f"{repo_id} is there already, and public — make it private on its settings page, "
            "leave out --private, or choose another name"
        )


def _accuracy(run: Path) -> str:
    name = run_folder.load_recipe(run).evaluation_split
    accuracy = run_folder.load_results(run)["metrics"][name]["accuracy"]
    return f"{accuracy:.4f}" + ("" if name == "test" else f" on {name}")


def _sha256(file: Path | bytes) -> str:
    if isinstance(file, bytes):
        return hashlib.sha256(file).hexdigest()
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


REMEDIES = {
    401: "the token is not accepted; make a new one with the right to write and `hf auth login`",
    402: "the Hub asks for payment; see the account's billing page",
    403: "the token may not write there; use one with the role `write` (or a fine-grained one that "
    "names this repository) and a namespace that is yours",
    404: "no such repository, or it is private and the token may not see it",
    409: "the repository is there already in another form, or is being written to; wait a moment "
    "or choose another name",
    412: "somebody pushed in between; run the same command again",
    413: "the Hub refuses files of that size",
    429: "too many requests; wait a few minutes",
}
