"""Models on the Hub: a run folder -> one verified commit; checkpoints to the Hub and back.

In: a complete run folder. Out: `Published`. `HF_ENDPOINT` selects the Hub, only huggingface_hub
reads the token, and a failure leaves the run folder as it is.
"""

import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, constants, get_token, hf_hub_download, snapshot_download

from train import console, run_folder
from train.environment import REPOSITORY
from train.errors import HubBusy, HubError, RunError
from train.evaluation import row_results
from train.hub_errors import NO_TOKEN, check_repo_id, explained
from train.publishing import card, golden_scores, published_files, release_gate
from train.publishing.commits import REMEDIES, Files, commit, retry, with_manifest
from train.publishing.smoke_test_model import BUSY
from train.recipe import Recipe

TEXTS = [
    "A joy from start to finish.",
    "Dull, long and badly acted.",
    "An opening that drags, and then it never lets go of you. " * 250,  # 3,000 tokens
]
RUN_COMPLETE = "the run folder is complete; `python -m train publish` can be run again"
# Time limit for downloading what was pushed: a constant and the size at a slow rate.
VERIFY_SECONDS = 300
VERIFY_BYTES_PER_SECOND = 250_000


@dataclass(frozen=True)
class Published:
    """A model as it was published."""

    repo_id: str
    revision: str  # SHA of the commit
    url: str
    files: frozenset[str]  # paths in the repository


def check_target(to: str, private: bool) -> None:
    """Check before any work that the token may write to a model repository.

    Creates the repository, empty, if it does not exist: only that shows whether it is allowed.

    Raises:
        HubError: There is no token, it may not write, or the Hub can't be reached.
    """
    check_name(to)
    api = HfApi()
    with explained(f"checking that {to} can be written", remedies=REMEDIES):
        api.create_repo(to, private=private or None, exist_ok=True)
        api.auth_check(to, write=True)
        check_private(api, to, "model", private)


def check_name(repo_id: str) -> None:
    """Raise `HubError` unless this is the name of a repository and a token is present."""
    check_repo_id(repo_id)
    if "/" not in repo_id:
        raise HubError(f"a repository is named user/name, got {repo_id!r}")
    if not get_token():
        raise HubError(NO_TOKEN)


def check_private(api: HfApi, repo_id: str, repo_type: str, private: bool) -> None:
    """Raise `HubError` if private was asked for and the repository already exists as public."""
    if private and not api.repo_info(repo_id, repo_type=repo_type).private:
        raise HubError(
            f"{repo_id} already exists and is public — make it private on its settings page, "
            "omit --private, or choose another name"
        )


def publish(run: Path, to: str, private: bool = False, allow_regression: bool = False) -> Published:
    """Push a run folder to the Hub in one commit, download it again and call it.

    Args:
        run: A complete, evaluated run folder.
        to: The model repository, `user/name`.
        private: Create the repository private.
        allow_regression: Publish without the release gate.

    Raises:
        RunError: The folder is incomplete.
        HubError: The Hub or the release gate refuses it, or it can't be verified.
    """
    run_folder.check_complete(run)
    check_target(to, private)
    if not allow_regression:
        _check_release_gate(run, to)
    results = run_folder.load_results(run)
    (run / "README.md").write_text(card.render(results, to), encoding="utf-8")
    if not run_folder.load_recipe(run).has_pairs:
        golden_scores.write(run)
    files = with_manifest(published_files.public_files(run))
    published_files.print_unpublished(run, files)
    split = run_folder.load_recipe(run).evaluation_split
    title = f"Publish {run.name}: accuracy {results['metrics'][split]['accuracy']:.4f}"
    title += "" if split == "test" else f" on {split}"
    with explained(f"publishing {run} to {to}", remedies=REMEDIES, after=RUN_COMPLETE):
        revision = commit(HfApi(), to, "model", files, title)
    seconds = _verify_seconds(files)
    console.print_line(
        f"pushed {len(files)} files to {to} at {revision[:12]}; downloading them again, for at "
        f"most {seconds:,} s"
    )
    _verify(to, revision, files, results["recipe"]["labels"], seconds)
    return Published(to, revision, f"{constants.ENDPOINT}/{to}", frozenset(files))


def push_checkpoint(checkpoint: Path, repo_id: str) -> None:
    """Replace the checkpoint in a private repository by this one, in one commit.

    Raises:
        HubError: The Hub refuses it.
    """
    folder, run = checkpoint.parent, checkpoint.parent.parent
    kept = [run / "recipe.yaml", *(f for f in folder.rglob("*") if f.is_file())]
    files = {str(file.relative_to(run)): file for file in kept if file.exists()}
    with explained(f"pushing a checkpoint to {repo_id}", remedies=REMEDIES):
        api = HfApi()
        api.create_repo(repo_id, private=True, exist_ok=True)
        title = f"Checkpoint {checkpoint.name}"
        commit(api, repo_id, "model", files, title, own=f"{folder.name}/*")


def pull_checkpoint(repo_id: str, recipe: Recipe, run: Path) -> bool:
    """Download the checkpoint of a recipe's run into a run folder; False if there is none.

    recipe.yaml comes last, so an interrupted download is no run. An earlier run in the folder is
    renamed.

    Raises:
        HubError: The Hub refuses it.
        RunError: The repository has the checkpoint of another recipe.
    """
    with explained(f"fetching the checkpoint from {repo_id}"):
        if not HfApi().file_exists(repo_id, "recipe.yaml"):
            return False
        file = Path(hf_hub_download(repo_id, "recipe.yaml"))
        if changes := run_folder.describe_changes(run_folder.load_recipe(file.parent), recipe):
            raise RunError(
                f"{repo_id} has the checkpoint of another recipe ({changes}), which this run would "
                "replace — name another repository with --checkpoints-to, or resume that recipe"
            )
        if (run / "recipe.yaml").exists():
            run_folder.set_aside(run)
        snapshot_download(repo_id, local_dir=run, allow_patterns=["checkpoints/**"])
        shutil.rmtree(run / ".cache", ignore_errors=True)  # metadata of the download
        shutil.copyfile(file, run / "recipe.yaml")
    return True


def _check_release_gate(run: Path, to: str) -> None:
    """Raise `HubError` if the published model is significantly better; see `release_gate`."""
    file = None
    with explained(f"reading {row_results.FILE} of {to}", after=RUN_COMPLETE):
        present = HfApi().list_repo_files(to)
        if row_results.FILE in present:
            file = hf_hub_download(to, row_results.FILE)
    if file:
        release_gate.check(run, Path(file), to)
    elif "config.json" in present:
        console.print_line(
            f"the model in {to} has no {row_results.FILE} to compare with: publishing without the "
            "release gate"
        )


def _verify(repo_id: str, revision: str, files: Files, labels: list[str], seconds: int) -> None:
    """Download what was pushed into an empty cache, compare it, and call `pipeline()` on it.

    Raises:
        HubError: It can't be downloaded in time, differs, or does not work.
    """
    until = time.monotonic() + seconds
    retry_hint = (
        f"the run folder is complete: `python -m train publish RUN --to {repo_id}` tries again"
    )
    unverified = f"the commit {revision} is on {repo_id}, but was not verified"
    action = f"downloading {repo_id}"
    try:
        report = retry(action, lambda: _run_smoke_test(repo_id, revision, until))
    except subprocess.TimeoutExpired:
        raise HubError(
            f"{unverified}: {action} took more than {seconds} s — {retry_hint}"
        ) from None
    except HubBusy as error:
        raise HubError(f"{unverified}: {error}; {retry_hint}") from error
    except subprocess.CalledProcessError as error:
        raise HubError(
            f"the model is pushed, but calling {repo_id} at {revision} fails — {retry_hint}:\n"
            f"{error.stderr[-2000:]}"
        ) from error
    for name, file in files.items():
        if report["files"].get(name) != published_files.sha256(file):
            raise HubError(
                f"the model is pushed, but {name} from {repo_id} differs from the file that was "
                f"pushed — {retry_hint}"
            )
    predicted = {answer["label"] for answer in report["answers"]}
    if not predicted <= set(labels):
        raise HubError(
            f"the model is pushed, but {repo_id} must answer with labels of the recipe "
            f"({', '.join(labels)}), got {', '.join(predicted)} — {retry_hint}"
        )
    console.print_line(f"all {len(files)} files are identical, and pipeline() works")


def _run_smoke_test(repo_id: str, revision: str, until: float) -> dict[str, Any]:
    """The output of `smoke_test_model` with an empty cache.

    Args:
        repo_id: The model repository.
        revision: The commit.
        until: The end of the time limit, on the monotonic clock.

    Returns:
        `files` (path -> SHA-256) and `answers` (of `pipeline()`).
    """
    command = [sys.executable, "-m", "train.publishing.smoke_test_model"]
    with tempfile.TemporaryDirectory() as empty:
        cache = {"HF_HUB_CACHE": f"{empty}/hub", "HF_XET_CACHE": f"{empty}/xet"}
        process = subprocess.run(
            [*command, repo_id, "--revision", revision, *TEXTS],
            env={**os.environ, **cache},
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=max(0, until - time.monotonic()),
        )
    if process.returncode == BUSY:
        raise HubBusy(process.stderr.strip().rpartition("\n")[2])
    process.check_returncode()
    report: dict[str, Any] = json.loads(process.stdout.strip().splitlines()[-1])
    return report


def _verify_seconds(files: Files) -> int:
    """Time limit for downloading these files again, in seconds."""
    sizes = [
        len(file) if isinstance(file, bytes) else file.stat().st_size for file in files.values()
    ]
    return math.ceil(VERIFY_SECONDS + sum(sizes) / VERIFY_BYTES_PER_SECOND)
