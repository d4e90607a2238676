"""The machine and the code of a run: versions, device, CPU, memory, disk, git state.

In: nothing but the machine. Out: the `environment` section of results.json, peak memory in MB, and
an error if the disk is too small.
"""

import os
import platform
import re
import resource
import shutil
import subprocess
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from train.errors import RunError

PACKAGES = (
    "torch transformers tokenizers datasets accelerate huggingface_hub onnx onnxruntime".split()
)
REPOSITORY = Path(__file__).parent.parent
RESULTS = "benchmarks/results"  # written by measurements, so not counted as a change


def describe(device: str) -> dict[str, Any]:
    """The `environment` section of results.json.

    Args:
        device: The name of the device, as `device_name` gives it.

    Returns:
        `versions` (package → version), `device`, `cores`, `repository`, and what `cpu` and `code`
        return.
    """
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:  # for example accelerate, which evaluation doesn't need
            continue
    return {
        "versions": versions,
        "device": device,
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        **cpu(),
        "repository": repository_url(),
        **code(),
    }


def code() -> dict[str, Any]:
    """The commit of this repository.

    Returns:
        `git_sha`, and `dirty`: whether tracked files outside `benchmarks/results` differ from it.
        Both are None outside a git checkout.
    """
    sha = _git("rev-parse", "HEAD")
    return {"git_sha": sha, "dirty": bool(changed_files()) if sha else None}


def changed_files() -> list[str]:
    """Tracked files outside `benchmarks/results` that differ from the last commit."""
    changed = _git("diff", "--name-only", "HEAD", "--", ".", f":(exclude){RESULTS}")
    return (changed or "").splitlines()


def repository_url() -> str | None:
    """Address of this repository on GitHub, by its remote `origin`; None if it has none there.

    Only owner and name are taken from the remote, so no credentials reach the result.
    """
    remote = _git("remote", "get-url", "origin") or ""
    match = re.search(r"(?:^|[/@])github\.com[:/]([\w-]+/[\w.-]+?)(?:\.git)?/?$", remote)
    return f"https://github.com/{match[1]}" if match else None


def cpu() -> dict[str, Any]:
    """`cpu`, its name, and `cpu_flags`, its bf16 and AMX flags; None except on Linux."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return {"cpu": platform.processor() or platform.machine(), "cpu_flags": None}
    keys = dict(re.findall(r"^(.*?)[ \t]*: (.*)$", text.partition("\n\n")[0], re.MULTILINE))
    flags = (keys.get("flags") or keys.get("Features", "")).split()  # x86, ARM
    return {
        "cpu": keys.get("model name") or platform.processor() or platform.machine(),
        "cpu_flags": sorted(flag for flag in flags if "bf16" in flag or "amx" in flag),
    }


def reset_peak_memory() -> None:
    """Restart the measurement of `peak_memory_mb`; only Linux can."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_memory_mb() -> float:
    """Peak resident memory of this process in MB (10^6 bytes)."""
    try:  # on Linux, getrusage includes the parent process
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6
    except (OSError, IndexError):
        unit_bytes = 1 if platform.system() == "Darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit_bytes / 1e6


def check_disk(folder: Path, needed_bytes: int) -> None:
    """Raise `RunError` unless the disk of the folder has `needed_bytes` free."""
    existing = next(parent for parent in [folder, *folder.absolute().parents] if parent.exists())
    free_bytes = shutil.disk_usage(existing).free
    if free_bytes < needed_bytes:
        raise RunError(
            f"the run needs {needed_bytes / 1e6:,.0f} MB for weights and checkpoints, {existing} "
            f"has {free_bytes / 1e6:,.0f} MB free — free some, or choose another disk with --out"
        )


def _git(*arguments: str) -> str | None:
    """The output of a git command in this repository; None outside a git checkout."""
    command = ["git", "-C", str(REPOSITORY), *arguments]
    try:
        process = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return process.stdout.strip()
