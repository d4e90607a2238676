"""What makes training fast on a CPU: the right precision, memory that stays, quick dropout.

In: a model about to be trained. Out: the same model, whose passes wait less. What each part
brings is measured by `benchmarks/train.py`.
"""

import ctypes
import sys
import time

import numpy as np
import torch
from torch import nn

PASS_TOKENS = 2048  # activations of one pass stay near the caches; more of them run slower
WORTH_BF16 = 1.2  # times as fast, at least, for its coarser steps to be worth it
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4  # of glibc's malloc.h


def bf16_is_faster() -> bool:
    """Whether this CPU multiplies bf16 matrices clearly faster than fp32, by trying it.

    A flag of the CPU doesn't tell: with AMX bf16 is four times as fast, and with AVX512-BF16
    alone half as fast on some.
    """
    seconds = {dtype: _product_seconds(dtype) for dtype in [torch.float32, torch.bfloat16]}
    return seconds[torch.float32] > WORTH_BF16 * seconds[torch.bfloat16]


def keep_memory() -> None:
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


def quicken_dropout(model: nn.Module) -> None:
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
