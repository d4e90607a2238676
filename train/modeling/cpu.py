"""What makes training fast on a CPU: precision, attention, memory that stays, quick dropout.

In: a model about to be trained. Out: the same model, whose passes wait less. What each part
brings is measured by `benchmarks/train.py`.
"""

import ctypes
import sys
import time
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.autograd.function import once_differentiable

PASS_TOKENS = 2048  # activations of one pass stay near the caches; more of them run slower
WORTH_BF16 = 1.2  # times as fast, at least, for its coarser steps to be worth it
MATRIX_TOKENS = 2048  # of a review; attention weights of more would fill the memory
_ATTENTION = "bf16_matrix_products"  # its name among those of transformers
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4  # of glibc's malloc.h


def bf16_is_faster() -> bool:
    """Whether this CPU multiplies bf16 matrices clearly faster than fp32, by trying it.

    A flag of the CPU doesn't tell: with AMX bf16 is four times as fast, and with AVX512-BF16
    alone half as fast on some.
    """
    seconds = {dtype: _product_seconds(dtype) for dtype in [torch.float32, torch.bfloat16]}
    return seconds[torch.float32] > WORTH_BF16 * seconds[torch.bfloat16]


def tune_malloc() -> None:
    """Let the allocator keep what is freed: every pass asks for the same again.

    By default glibc hands large blocks back to the system, which then clears each page anew at
    its next use. Elsewhere than on Linux with glibc nothing happens.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # another C library
        return
    mallopt(_M_MMAP_MAX, 0)
    mallopt(_M_TRIM_THRESHOLD, -1)  # never
    mallopt(_M_TOP_PAD, 64 << 20)


def use_fast_attention(model: Any) -> None:
    """Let attention in bf16 go through whole matrix products, `attend`, from now on.

    torch's fused kernel multiplies small blocks, at an eighth of what such a CPU can do in bf16,
    and backwards at less. Nothing that is saved changes.
    """
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

    AttentionInterface.register(_ATTENTION, attend)
    AttentionMaskInterface.register(_ATTENTION, sdpa_mask)
    model.set_attn_implementation(_ATTENTION)


def attend(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    """Attention as transformers calls it: three of (batch, heads, tokens, size) to one.

    Returns:
        (batch, tokens, heads, size), and no weights. Whatever whole products don't serve (other
        precisions, dropout on weights, very long reviews) goes to torch's fused kernel.
    """
    fused = query.dtype != torch.bfloat16 or dropout > 0 or key.shape[2] > MATRIX_TOKENS
    if fused or (attention_mask is not None and attention_mask.dtype != torch.bool):
        attended = nn.functional.scaled_dot_product_attention(
            query, key, value, attention_mask, dropout, scale=scaling
        )
    else:
        bias = None
        if attention_mask is not None:
            least = torch.finfo(query.dtype).min
            bias = torch.zeros_like(attention_mask, dtype=query.dtype)
            bias.masked_fill_(~attention_mask, least)
        apply: Any = _MatrixAttention.apply
        attended = apply(query, key, value, bias, scaling)
    return attended.transpose(1, 2), None


class _MatrixAttention(torch.autograd.Function):
    """softmax(q kᵀ · scale + bias) v, with weights kept for the way back."""

    @staticmethod
    def forward(
        ctx: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        bias: torch.Tensor | None,
        scale: float,
    ) -> torch.Tensor:
        scaled = query * scale
        scores = scaled @ key.transpose(-1, -2)  # (batch, heads, tokens, tokens)
        if bias is not None:
            scores += bias
        weights = scores.softmax(-1)
        ctx.save_for_backward(scaled, key, value, weights)
        ctx.scale = scale
        return weights @ value

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        scaled, key, value, weights = ctx.saved_tensors
        of_weights = gradient @ value.transpose(-1, -2)
        of_scores = torch._softmax_backward_data(of_weights, weights, -1, weights.dtype)
        of_query, of_key = of_scores @ key, of_scores.transpose(-1, -2) @ scaled
        of_value = weights.transpose(-1, -2) @ gradient
        return of_query * ctx.scale, of_key, of_value, None, None


class ByteDropout(nn.Module):
    """Dropout that draws one byte an element, in numpy's fastest generator.

    torch draws on one core by a Mersenne Twister, which takes longer than the matrix products
    around it. The share dropped is `p` rounded to 1/256; what is kept is scaled by exactly its
    inverse, so the mean stays. Follows `torch.manual_seed`.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Drop elements in training; any shape in, the same out."""
        dropped = round(256 * self.p)
        if not self.training or not dropped:
            return hidden
        seed = int(torch.randint(2**62, ()))
        count = hidden.numel()
        words = np.random.Generator(np.random.SFC64(seed)).integers(
            2**64, size=-(-count // 8), dtype=np.uint64
        )
        drawn = torch.from_numpy(words.view(np.uint8)[:count]).view(hidden.shape)
        keep = (drawn >= dropped).to(hidden.dtype) * (256 / (256 - dropped))
        return hidden * keep


def use_fast_dropout(model: nn.Module) -> None:
    """Put `ByteDropout` where the model has `nn.Dropout`; neither holds weights."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if type(child) is nn.Dropout:
                setattr(module, name, ByteDropout(child.p))


def _product_seconds(dtype: torch.dtype) -> float:
    """The best of a few matrix products of the size that training has, in seconds."""
    left, right = torch.ones(PASS_TOKENS, 384, dtype=dtype), torch.ones(1536, 384, dtype=dtype)
    seconds = []
    for _ in range(6):  # the first sets up
        started = time.perf_counter()
        nn.functional.linear(left, right)
        seconds.append(time.perf_counter() - started)
    return min(seconds)
