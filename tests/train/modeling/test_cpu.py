"""Faster training on a CPU: same results, within the rounding of bf16."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from train.modeling import cpu


def test_bf16_is_chosen_by_measured_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    for bf16_seconds, faster in [(1.0, False), (0.9, False), (0.5, True), (2.0, False)]:
        seconds = {torch.float32: 1.0, torch.bfloat16: bf16_seconds}
        monkeypatch.setattr(cpu, "_matmul_seconds", seconds.__getitem__)
        assert cpu.bf16_is_faster() is faster


def attention(attend: Any, dtype: torch.dtype, masked: bool, dropout: float = 0.0) -> Any:
    """The output of a small attention and its gradients, from the same inputs at each call."""
    torch.manual_seed(3)
    inputs = [torch.randn(2, 4, 10, 8).to(dtype).requires_grad_() for _ in range(3)]
    mask = (torch.arange(10) < torch.tensor([[10], [6]]))[:, None, None].expand(2, 1, 10, 10)
    output, _ = attend(nn.Module(), *inputs, mask if masked else None, 0.3, dropout=dropout)
    output.float().square().sum().backward()
    return [output.detach(), *(tensor.grad for tensor in inputs)]


@pytest.mark.parametrize("masked", [True, False])
def test_matrix_attention_equals_attention(masked: bool) -> None:
    def expected(
        _: Any, query: Any, key: Any, value: Any, mask: Any, scale: float, **__: Any
    ) -> Any:
        scores = scale * query @ key.transpose(-1, -2)
        scores = scores if mask is None else scores.masked_fill(~mask, -torch.inf)
        return (scores.softmax(-1) @ value).transpose(1, 2), None

    exact = attention(expected, torch.float32, masked)
    for output, correct in zip(attention(cpu.attend, torch.bfloat16, masked), exact, strict=True):
        torch.testing.assert_close(output.float(), correct, rtol=0.05, atol=0.05)
    for output, correct in zip(attention(cpu.attend, torch.float32, masked), exact, strict=True):
        torch.testing.assert_close(output, correct, rtol=1e-4, atol=1e-5)


def test_attention_dropout_uses_the_kernel_of_torch() -> None:
    (dropped, *_), (full, *_) = (
        attention(cpu.attend, torch.bfloat16, True, dropout) for dropout in (0.9, 0.0)
    )
    assert not torch.allclose(dropped, full, atol=0.1)


@pytest.mark.parametrize("kind", ["bert", "distilbert"])
def test_gradients_of_matrix_attention_equal_those_of_the_kernel(kind: str, tmp_path: Path) -> None:
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
    for change in (lambda _: None, cpu.use_fast_attention):
        change(model)
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            model(**batch).logits.sum().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    torch.testing.assert_close(*gradients, rtol=0.1, atol=0.02)
    model.save_pretrained(tmp_path)
    assert "attn" not in (tmp_path / "config.json").read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's counters of page faults")
def test_freed_memory_is_reused_without_page_faults() -> None:
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
