"""The machine of a benchmark: hardware, versions, and peak speed of matrix products.

python -m benchmarks.machine
"""

import importlib.util
import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

SHAPES = [(2048, 384, 1536), (2048, 1536, 384), (4096, 4096, 4096)]  # rows, inner, columns
GPU_SHAPES = [*SHAPES, (8192, 8192, 8192)]


def peaks(seconds: float = 1.0) -> dict[str, float]:
    """Peak GFLOP/s of torch's matrix products by precision, the best of several shapes.

    Args:
        seconds: Spent on each shape and precision.
    """
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    kinds = {"fp32": torch.float32, "bf16": torch.bfloat16}
    if device == "cuda":
        kinds["fp16"] = torch.float16
    gflops = dict.fromkeys(kinds, 0.0)
    for name, dtype in kinds.items():
        for rows, inner, columns in GPU_SHAPES if device == "cuda" else SHAPES:
            # Random, because a GPU multiplies equal numbers faster than real weights.
            left = torch.randn(rows, inner, dtype=dtype, device=device)
            right = torch.randn(columns, inner, dtype=dtype, device=device)
            best = _best_seconds(lambda a=left, b=right: torch.nn.functional.linear(a, b), seconds)
            gflops[name] = max(gflops[name], 2e-9 * rows * inner * columns / best)
    return gflops


def start_gpu() -> None:
    """Initialize CUDA, if there is any, before a measurement."""
    import torch

    if torch.cuda.is_available():
        ones = torch.ones(8, 8, device="cuda", requires_grad=True)
        torch.nn.functional.linear(ones, ones).sum().backward()
        torch.cuda.synchronize()


def describe(seconds: float = 1.0) -> dict[str, object]:
    """CPU with its bf16 and AMX flags, GPU, cores, versions; the `peaks` take `seconds` each."""
    from importlib.metadata import version

    import torch

    from train import environment

    packages = "torch transformers tokenizers onnxruntime openvino accelerate".split()
    installed = [name for name in packages if importlib.util.find_spec(name)]
    return {
        **environment.cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "driver": _driver(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "versions": {name: version(name) for name in installed},
        "peak_gflops": peaks(seconds),
    }


def kind() -> str:
    """What the results files of this machine are named after: one of `machine_tables.KINDS`.

    `avx2` is any CPU without AVX-512.
    """
    import torch

    from train import environment

    if torch.backends.cpu.get_cpu_capability() == "AVX2":
        return "avx2"
    described = environment.cpu()
    if any(flag.startswith("amx") for flag in described["cpu_flags"] or []):
        return "amx"
    name = described["cpu"].lower()
    return next((kind for kind in ("epyc", "xeon") if kind in name), "other")


def peak_memory_mb() -> float:
    """Peak memory of this process, in MB (10^6 bytes)."""
    from train import environment

    return environment.peak_memory_mb()


def peak_gpu_memory_mb() -> float | None:
    """Peak GPU memory of torch, in MB (10^6 bytes); None without a GPU."""
    import torch

    return torch.cuda.max_memory_allocated() / 1e6 if torch.cuda.is_available() else None


def memory_mb() -> float:
    """Current memory of this process, in MB (10^6 bytes); Linux only."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _best_seconds(work: Callable[[], object], seconds: float) -> float:
    import torch

    best, deadline = float("inf"), time.perf_counter() + seconds
    while best == float("inf") or time.perf_counter() < deadline:
        started = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - started)
    return best


def _driver() -> str | None:
    """The version of NVIDIA's driver; None without one."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        process = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return None
    return process.stdout.split()[0] if process.stdout.split() else None


if __name__ == "__main__":
    print(json.dumps(describe(), indent=2))
