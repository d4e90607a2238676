"""The kind of a machine, which names its results files, follows the CPU."""

from typing import Any

import pytest

from benchmarks import machine
from train import environment


@pytest.mark.parametrize(
    ("cpu", "flags", "kind"),
    [
        ("AMD EPYC", ["avx512_bf16"], "epyc"),
        ("AMD EPYC 9B14", [], "epyc"),
        ("Intel(R) Xeon(R) Processor", [], "xeon"),
        ("Intel(R) Xeon(R) Processor", ["amx_bf16", "amx_tile", "avx512_bf16"], "amx"),
        ("Apple M3", None, "other"),
    ],
)
def test_kind_is_that_of_the_cpu(
    monkeypatch: pytest.MonkeyPatch, cpu: str, flags: Any, kind: str
) -> None:
    monkeypatch.setattr(environment, "cpu", lambda: {"cpu": cpu, "cpu_flags": flags})
    assert machine.kind() == kind
