"""The kind of a machine, which names its results files, follows the CPU."""

from typing import Any

import pytest
import torch

from benchmarks import machine
from train import environment


@pytest.mark.parametrize(
    ("cpu", "flags", "instructions", "kind"),
    [
        ("AMD EPYC", ["avx512_bf16"], "AVX512", "epyc"),
        ("AMD EPYC 9B14", [], "AVX512", "epyc"),
        ("AMD EPYC", [], "AVX2", "avx2"),
        ("Intel(R) Xeon(R) Processor", [], "AVX512", "xeon"),
        ("Intel(R) Xeon(R) Processor", ["amx_bf16", "amx_tile", "avx512_bf16"], "AVX512", "amx"),
        ("Apple M3", None, "DEFAULT", "other"),
    ],
)
def test_kind_is_that_of_the_cpu(
    monkeypatch: pytest.MonkeyPatch, cpu: str, flags: Any, instructions: str, kind: str
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: instructions)
    monkeypatch.setattr(environment, "cpu", lambda: {"cpu": cpu, "cpu_flags": flags})
    assert machine.kind() == kind
