"""What makes training fast on a CPU: precision, attention in bf16, memory that is kept.

In: a model about to be trained. Out: the same model with faster forward and backward passes.
`benchmarks/train.py` measures the effect of each part.
"""

import ctypes
import sys
import time
from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable

MICRO_BATCH_TOKENS = 2048  # the activations of this many tokens fit the caches
MIN_BF16_SPEEDUP = 1.2  # over fp32, to outweigh the coarser numbers
MAX_MATMUL_TOKENS = 2048  # of a row; the attention weights of more would need too much memory
_ATTENTION = "bf16_matrix_products"  # name of `attend` in transformers' registry
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4  # from glibc's malloc.h


def bf16_is_faster() -> bool:
    """Measure whether this CPU multiplies bf16 matrices clearly faster than fp32 matrices.

    CPU flags don't say: bf16 is four times as fast with AMX, and with AVX512-BF16 alone it takes
    twice as long on some CPUs.
    """
    seconds = {dtype: _matmul_seconds(dtype) for dtype in [torch.float32, torch.bfloat16]}
    return seconds[torch.float32] > MIN_BF16_SPEEDUP * seconds[torch.bfloat16]


def _matmul_seconds(dtype: torch.dtype) -> float:
    """The fastest of a few matrix products of the size that training has, in seconds."""
    left = torch.ones(MICRO_BATCH_TOKENS, 384, dtype=dtype)
    right = torch.ones(1536, 384, dtype=dtype)
    seconds = []
    for _ in range(6):  # the first one includes set-up
        start = time.perf_counter()
        nn.functional.linear(left, right)
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def prepare(model: Any, precision: str) -> None:
    """Make the training of a model on this CPU fast; `precision` is as accelerate names it."""
    tune_malloc()
    if precision == "bf16":
        use_fast_attention(model)


def tune_malloc() -> None:
    """Let the allocator keep freed memory, as every pass allocates the same blocks again.

    By default glibc returns large blocks to the system, which then clears every page at its next
    use. Without glibc on Linux nothing happens.
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
    """Compute attention by `attend`, with whole matrix products in bf16.

    torch's fused kernel multiplies small blocks, at an eighth of the speed that such a CPU has in
    bf16, and slower still in the backward pass. What is saved doesn't change.
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
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attention with the signature of transformers' attention functions.

    Other precisions, dropout of attention weights and very long rows use torch's fused kernel.

    Args:
        module: Unused.
        query: (batch, heads, tokens, size), as are `key` and `value`.
        key: See `query`.
        value: See `query`.
        attention_mask: (batch, 1, tokens, tokens), True where a token may attend; None: everywhere.
        scaling: Factor of the scores.
        dropout: Probability of dropping an attention weight.

    Returns:
        (batch, tokens, heads, size), and None in place of the weights.
    """
    fused = query.dtype != torch.bfloat16 or dropout > 0 or key.shape[2] > MAX_MATMUL_TOKENS
    if fused or (attention_mask is not None and attention_mask.dtype != torch.bool):
        output = nn.functional.scaled_dot_product_attention(
            query, key, value, attention_mask, dropout, scale=scaling
        )
    else:
        bias = None
        if attention_mask is not None:
            bias = torch.zeros_like(attention_mask, dtype=query.dtype)
            bias.masked_fill_(~attention_mask, torch.finfo(query.dtype).min)
        apply: Any = _MatrixAttention.apply
        output = apply(query, key, value, bias, scaling)
    return output.transpose(1, 2), None


class _MatrixAttention(torch.autograd.Function):
    """softmax(q kᵀ · scale + bias) v, which keeps the weights for the backward pass."""

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
        weights_grad = gradient @ value.transpose(-1, -2)
        scores_grad = torch._softmax_backward_data(weights_grad, weights, -1, weights.dtype)
        query_grad = scores_grad @ key * ctx.scale
        key_grad = scores_grad.transpose(-1, -2) @ scaled
        value_grad = weights.transpose(-1, -2) @ gradient
        return query_grad, key_grad, value_grad, None, None
