"""The CPU: the number of cores that this process may use, and the instruction sets.

psutil reports the affinity, but not the quota of a container, which a Space has.
"""

import math
import os
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
CPUINFO = Path("/proc/cpuinfo")


def available_cores() -> int:
    """The cores in the affinity mask, or the container's CPU quota if it is lower; at least 1."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, math.ceil(min(affinity or 1, _quota())))


def _quota() -> float:
    """The CPU quota in cores (cgroups version 2, then 1); infinite if there is none."""
    try:
        quota, period = (CGROUPS / "cpu.max").read_text().split()
        return math.inf if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        pass
    try:
        quota = (CGROUPS / "cpu/cpu.cfs_quota_us").read_text()
        period = (CGROUPS / "cpu/cpu.cfs_period_us").read_text()
        return int(quota) / int(period) if int(quota) > 0 else math.inf
    except (OSError, ValueError):
        return math.inf


def flags() -> frozenset[str]:
    """The instruction sets of the CPU as Linux names them, such as `amx_bf16`; empty elsewhere."""
    try:
        lines = CPUINFO.read_text(encoding="utf-8").splitlines()
    except OSError:
        return frozenset()
    named = (line.partition(":")[2] for line in lines if line.startswith("flags"))
    return frozenset(next(named, "").split())
