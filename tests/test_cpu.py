"""What makes training fast on a CPU changes no result but in the way it says."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from train import cpu


def test_byte_dropout_drops_its_share_and_keeps_the_mean() -> None:
    dropout = cpu.ByteDropout(0.1).train()
    torch.manual_seed(0)
    hidden = dropout(torch.ones(1000, 1001))
    assert float((hidden == 0).float().mean()) == pytest.approx(26 / 256, abs=1e-3)
    assert float(hidden.mean()) == pytest.approx(1, abs=2e-3)
    assert sorted(set(hidden.flatten().tolist())) == pytest.approx([0, 256 / 230])


def test_byte_dropout_follows_the_seed() -> None:
    dropout, ones = cpu.ByteDropout(0.5).train(), torch.ones(64, 7)
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(dropout(ones))
    again = dropout(ones)
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[1], drawn[2])
    assert not torch.equal(drawn[2], again)


def test_gradient_flows_where_values_were_kept_and_only_there() -> None:
    hidden = torch.randn(8, 16, requires_grad=True)
    kept = cpu.ByteDropout(0.5).train()(hidden)
    kept.sum().backward()
    assert hidden.grad is not None
    assert torch.equal(hidden.grad == 0, kept == 0)
    assert 0 < int((kept == 0).sum()) < kept.numel()


@pytest.mark.parametrize(("p", "training"), [(0.0, True), (0.1, False)])
def test_nothing_is_dropped_in_evaluation_or_at_nought(p: float, training: bool) -> None:
    hidden = torch.randn(4, 4)
    assert cpu.ByteDropout(p).train(training)(hidden) is hidden


def test_dropout_is_replaced_at_any_depth_and_nothing_else() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Dropout(0.3), nn.Dropout1d(0.2)))
    before = set(model.state_dict())
    cpu.quicken_dropout(model)
    inner = model[1]
    assert isinstance(inner, nn.Sequential)
    assert isinstance(inner[0], cpu.ByteDropout)
    assert inner[0].p == 0.3
    assert type(inner[1]) is nn.Dropout1d
    assert set(model.state_dict()) == before


def test_bf16_is_chosen_by_measured_products(monkeypatch: pytest.MonkeyPatch) -> None:
    for bf16_seconds, faster in [(1.0, False), (0.9, False), (0.5, True), (2.0, False)]:
        seconds = {torch.float32: 1.0, torch.bfloat16: bf16_seconds}
        monkeypatch.setattr(cpu, "_product_seconds", seconds.__getitem__)
        assert cpu.bf16_is_faster() is faster


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's counters of page faults")
def test_memory_that_is_freed_is_used_again_without_page_faults() -> None:
    code = (
        "import resource, torch\n"
        "from train import cpu\n"
        "cpu.keep_memory()\n"
        "for _ in range(30): torch.ones(16, 1 << 20)\n"
        "faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "before = faults()\n"
        "for _ in range(5): torch.ones(16, 1 << 20)\n"
        "print(faults() - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 1000  # 5 * 16,384 without
