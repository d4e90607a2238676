"""What this machine can do at best: the yardstick of every benchmark.

python -m benchmarks.machine
"""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

SHAPES = [(2048, 384, 1536), (2048, 1536, 384), (4096, 4096, 4096)]  # rows, inner, columns


def peaks() -> dict[str, float]:
    """Torch's matrix products in GFLOP/s by precision, the best of several shapes and tries."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    kinds = {"fp32": torch.float32, "bf16": torch.bfloat16}
    if device == "cuda":
        kinds["fp16"] = torch.float16
    found = dict.fromkeys(kinds, 0.0)
    for name, dtype in kinds.items():
        for rows, inner, columns in SHAPES:
            left = torch.ones(rows, inner, dtype=dtype, device=device)
            right = torch.ones(columns, inner, dtype=dtype, device=device)
            seconds = _best_seconds(lambda a=left, b=right: torch.nn.functional.linear(a, b))
            found[name] = max(found[name], 2e-9 * rows * inner * columns / seconds)
    return found


def describe() -> dict[str, object]:
    """CPU with its bf16 and AMX flags, cores and the versions that matter."""
    from importlib.metadata import version

    import torch

    from train import environment

    packages = ["torch", "transformers", "tokenizers", "onnxruntime", "accelerate"]
    return {
        **environment.cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "versions": {name: version(name) for name in packages},
        "peak_gflops": peaks(),
    }


def peak_memory_mb() -> float:
    """Most memory this process has held, in MB (10^6 bytes)."""
    from train import runs

    return runs.peak_memory_mb()


def peak_gpu_memory_mb() -> float | None:
    """Most memory that torch has held on the GPU, in MB (10^6 bytes); without one, None."""
    import torch

    return torch.cuda.max_memory_allocated() / 1e6 if torch.cuda.is_available() else None


def memory_mb() -> float:
    """Memory that this process holds now, in MB (10^6 bytes); Linux only."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _best_seconds(work: Callable[[], object]) -> float:
    import torch

    best, deadline = float("inf"), time.perf_counter() + 1
    while time.perf_counter() < deadline:
        started = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - started)
    return best


if __name__ == "__main__":
    print(json.dumps(describe(), indent=2))
