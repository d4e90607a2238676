"""What makes training fast on a CPU changes no result but in the way it says."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from train.modeling import cpu


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
    cpu.use_fast_dropout(model)
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


def attention(attend: Any, dtype: torch.dtype, masked: bool, dropout: float = 0.0) -> Any:
    """What a small attention gives, and its gradients, from the same numbers each time."""
    torch.manual_seed(3)
    inputs = [torch.randn(2, 4, 10, 8).to(dtype).requires_grad_() for _ in range(3)]
    mask = (torch.arange(10) < torch.tensor([[10], [6]]))[:, None, None].expand(2, 1, 10, 10)
    found, _ = attend(nn.Module(), *inputs, mask if masked else None, 0.3, dropout=dropout)
    found.float().square().sum().backward()
    return [found.detach(), *(tensor.grad for tensor in inputs)]


@pytest.mark.parametrize("masked", [True, False])
def test_attention_by_matrices_is_attention(masked: bool) -> None:
    def expected(
        _: Any, query: Any, key: Any, value: Any, mask: Any, scale: float, **__: Any
    ) -> Any:
        scores = scale * query @ key.transpose(-1, -2)
        scores = scores if mask is None else scores.masked_fill(~mask, -torch.inf)
        return (scores.softmax(-1) @ value).transpose(1, 2), None

    exact = attention(expected, torch.float32, masked)
    for found, wanted in zip(attention(cpu.attend, torch.bfloat16, masked), exact, strict=True):
        torch.testing.assert_close(found.float(), wanted, rtol=0.05, atol=0.05)
    for found, wanted in zip(attention(cpu.attend, torch.float32, masked), exact, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_attention_that_drops_weights_is_torch_s_own() -> None:
    (found, *_), (kept, *_) = (
        attention(cpu.attend, torch.bfloat16, True, dropout) for dropout in (0.9, 0.0)
    )
    assert not torch.allclose(found, kept, atol=0.1)


@pytest.mark.parametrize("kind", ["bert", "distilbert"])
def test_a_model_trains_by_matrices_in_bf16_as_before(kind: str, tmp_path: Path) -> None:
    from transformers import AutoConfig, AutoModelForSequenceClassification

    small = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = AutoConfig.for_model(kind, vocab_size=50, max_position_embeddings=16)
    config.update({**small, "intermediate_size": 48, "hidden_dim": 48})
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_config(config).eval()
    ids = torch.randint(1, 50, (3, 12))
    batch = {
        "input_ids": ids,
        "attention_mask": (torch.arange(12) < torch.tensor([[12], [7], [1]])),
    }
    gradients = []
    for quicken in (lambda _: None, cpu.use_fast_attention):
        quicken(model)
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            model(**batch).logits.sum().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    torch.testing.assert_close(*gradients, rtol=0.1, atol=0.02)
    model.save_pretrained(tmp_path)
    assert "attn" not in (tmp_path / "config.json").read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's counters of page faults")
def test_memory_that_is_freed_is_used_again_without_page_faults() -> None:
    code = (
        "import resource, torch\n"
        "from train.modeling import cpu\n"
        "cpu.tune_malloc()\n"
        "for _ in range(30): torch.ones(16, 1 << 20)\n"
        "faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "before = faults()\n"
        "for _ in range(5): torch.ones(16, 1 << 20)\n"
        "print(faults() - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 1000  # 5 * 16,384 without
