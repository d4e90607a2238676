"""The plan of a training run: which rows each update reads, at which learning rate.

In: the lengths of the reviews and numbers of the recipe. Out: rows, steps and parameter groups.
"""

import math
from typing import Any

import numpy as np
from torch import nn

from train.data.splits import IntArray
from train.data.tokens import batches


def plan_updates(
    lengths: IntArray, epochs: int, batch_tokens: int, seed: int, weights: Any = None
) -> tuple[list[IntArray], list[int]]:
    """Assign rows to the updates of a run.

    Args:
        lengths: Tokens of each row, (rows,).
        epochs: Passes over the rows.
        batch_tokens: Padded tokens of one update.
        seed: Of the order of the rows and the draws by weight.
        weights: How often an epoch reads each row, on average, (rows,); None: once.

    Returns:
        The row numbers of each update, and for each epoch the number of updates done at its end.
    """
    updates: list[IntArray] = []
    epoch_ends: list[int] = []
    for epoch in range(epochs):
        rows = np.arange(len(lengths)) if weights is None else _draw_rows(weights, seed, epoch)
        updates += [rows[batch] for batch in batches(lengths[rows], batch_tokens, (seed, epoch))]
        epoch_ends.append(len(updates))
    return updates, epoch_ends


def _draw_rows(weights: Any, seed: int, epoch: int) -> IntArray:
    """Row numbers of an epoch: the integer part of each weight, and its fraction at random."""
    repeats = np.floor(weights)
    extra = np.random.default_rng((seed, epoch, 1)).random(len(weights)) < weights - repeats
    return np.repeat(np.arange(len(weights)), (repeats + extra).astype(int))


def validation_steps(epoch_ends: list[int], per_epoch: int) -> set[int]:
    """The numbers of updates after which to validate, spread evenly over each epoch."""
    begins = [0, *epoch_ends[:-1]]
    spread = [
        np.linspace(*ends, per_epoch + 1)[1:] for ends in zip(begins, epoch_ends, strict=True)
    ]
    return {int(step) for steps in spread for step in steps.round()}


def learning_rate_factor(step: int, total: int, warmup_fraction: float) -> float:
    """The share of the peak learning rate at an update, in (0, 1].

    Args:
        step: Number of the update, from 0.
        total: Updates of the run.
        warmup_fraction: Share of the updates in which the rate rises linearly; then it falls
            linearly.
    """
    warmup = math.ceil(warmup_fraction * total)
    if step < warmup:
        return (step + 1) / warmup
    return 1 - (step - warmup) / max(1, total - warmup)


def parameter_groups(
    model: Any, learning_rate: float, head_learning_rate: float | None, weight_decay: float
) -> list[dict[str, Any]]:
    """Group parameters by peak learning rate (body, head) and weight decay (none on vectors)."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        is_body = name.startswith(f"{model.base_model_prefix}.")
        peak = learning_rate if is_body else head_learning_rate or learning_rate
        decay = weight_decay if parameter.ndim > 1 else 0.0  # biases and norms are vectors
        groups.setdefault((peak, decay), []).append(parameter)
    return [
        {"params": parameters, "lr": peak, "peak": peak, "weight_decay": decay}
        for (peak, decay), parameters in groups.items()
    ]
