"""What a run was made with: versions, device, CPU, and the state of this repository.

In: nothing but the machine. Out: the `environment` of results.json.
"""

import os
import platform
import re
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = (
    "torch transformers tokenizers datasets accelerate huggingface_hub onnx onnxruntime".split()
)
REPOSITORY = Path(__file__).parent.parent
RECORDS = "benchmarks/results"


def describe(device: str) -> dict[str, Any]:
    """What a run was made with: versions, device, CPU and the state of this repository.

    `dirty` says whether tracked files differ from the commit `git_sha`, but for the records of
    benchmarks: these are what measurements write. Files that are not tracked don't count.
    """
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:  # for instance accelerate, where only evaluating
            continue
    sha = _git("rev-parse", "HEAD")
    return {
        "versions": versions,
        "device": device,
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        **cpu(),
        "repository": repository_url(),
        "git_sha": sha,
        "dirty": bool(changed_files()) if sha else None,
    }


def changed_files() -> list[str]:
    """The tracked files of this repository that are not as committed, but for the records."""
    listed = _git("diff", "--name-only", "HEAD", "--", ".", f":(exclude){RECORDS}")
    return (listed or "").splitlines()


def repository_url() -> str | None:
    """Address of this repository on GitHub, by its remote `origin`; None if it has none there.

    Only owner and name are taken from the remote, so no credentials reach the result.
    """
    remote = _git("remote", "get-url", "origin") or ""
    match = re.search(r"(?:^|[/@])github\.com[:/]([\w-]+/[\w.-]+?)(?:\.git)?/?$", remote)
    return f"https://github.com/{match[1]}" if match else None


def cpu() -> dict[str, Any]:
    """The name of the CPU, and which instructions for bf16 and AMX it has; off Linux no flags."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return {"cpu": platform.processor() or platform.machine(), "cpu_flags": None}
    keys = dict(re.findall(r"^(.*?)[ \t]*: (.*)$", text.partition("\n\n")[0], re.MULTILINE))
    flags = (keys.get("flags") or keys.get("Features", "")).split()  # of x86, of ARM
    return {
        "cpu": keys.get("model name") or platform.processor() or platform.machine(),
        "cpu_flags": sorted(flag for flag in flags if "bf16" in flag or "amx" in flag),
    }


def _git(*arguments: str) -> str | None:
    command = ["git", "-C", str(REPOSITORY), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None  # not a checkout
    return done.stdout.strip()
