"""Devices and numeric precision: what a model trains on, and in which floating-point format.

In: the `precision` of a recipe. Out: an `Accelerator` of accelerate, and the device's name.
"""

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from train import environment
from train.errors import RecipeError
from train.modeling import cpu


def choose_precision(precision: str) -> str:
    """Replace `auto` by the fastest precision that trains well on this machine.

    Args:
        precision: `auto`, `fp16`, `bf16` or `fp32`.

    Returns:
        `fp16`, `bf16` or `fp32`.

    Raises:
        RecipeError: fp16 without a CUDA GPU.
    """
    has_cuda = torch.cuda.is_available()
    if precision == "fp16" and not has_cuda:
        raise RecipeError(
            "precision fp16 needs a CUDA GPU, and this machine has none — use --set "
            "precision=auto, which chooses bf16 on a CPU with fast bf16 and fp32 elsewhere"
        )
    if precision != "auto":
        return precision
    if has_cuda:
        return "fp16"
    return "bf16" if not torch.backends.mps.is_available() and cpu.bf16_is_faster() else "fp32"


def accelerator_for(precision: str) -> Accelerator:
    """Create the accelerator in a precision (see `choose_precision`), on the launched devices."""
    precision = choose_precision(precision)
    # Without this, accelerate keeps the precision of the first training in the process.
    AcceleratorState._reset_state()
    return Accelerator(mixed_precision="no" if precision == "fp32" else precision)


def device_name(accelerator: Accelerator) -> str:
    """Describe the device, such as `cuda: NVIDIA T4, 2 processes`."""
    is_cuda = accelerator.device.type == "cuda"
    name = torch.cuda.get_device_name() if is_cuda else environment.cpu()["cpu"]
    processes = f", {accelerator.num_processes} processes" if accelerator.num_processes > 1 else ""
    return f"{accelerator.device.type}: {name}{processes}"
