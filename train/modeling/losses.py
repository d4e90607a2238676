"""Losses of the classifier, one value for each row of a batch.

In: logits and labels. Out: cross-entropy in nats, with R-Drop or distillation where asked for.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

from train.recipe import Distillation

# (model, batch, labels) -> the loss of each row, (rows,). It is called under autocast.
LossFunction = Callable[[Any, dict[str, torch.Tensor], torch.Tensor], torch.Tensor]


def classification_loss(rdrop_alpha: float, distillation: Distillation | None) -> LossFunction:
    """Cross-entropy with the labels, plus R-Drop in training.

    R-Drop (Liang et al. 2021, https://arxiv.org/abs/2106.14448) passes each row through the model
    twice with different dropout and penalizes the divergence of the two outputs.

    Args:
        rdrop_alpha: Weight of the divergence; 0 disables R-Drop.
        distillation: Weight and temperature of the teacher's loss, if there is a teacher.

    Returns:
        A function of model, batch and labels. The labels are label numbers, (rows,);
        probabilities, (rows, labels); or, in distillation, the probabilities of label and
        teacher, (rows, 2, labels).
    """

    def row_losses(
        model: Any, batch: dict[str, torch.Tensor], labels: torch.Tensor
    ) -> torch.Tensor:
        passes = 2 if model.training and rdrop_alpha else 1
        logits = [model(**batch).logits.float() for _ in range(passes)]  # (rows, labels) each
        losses = [
            functional.cross_entropy(row, labels, reduction="none")
            if labels.ndim < 3 or distillation is None
            else distillation_loss(row, labels, distillation.weight, distillation.temperature)
            for row in logits
        ]
        loss = torch.stack(losses).mean(dim=0)
        if passes == 2:
            loss = loss + rdrop_alpha * _symmetric_divergence(*logits)
        return loss

    return row_losses


def distillation_loss(
    logits: torch.Tensor, targets: torch.Tensor, weight: float, temperature: float
) -> torch.Tensor:
    """Weighted sum of the teacher's loss and the labels' (Hinton et al. 2015, arXiv 1503.02531).

    Args:
        logits: The student's, (rows, labels).
        targets: Probabilities of label and teacher, (rows, 2, labels).
        weight: Weight of the teacher's loss; the labels' loss has the rest.
        temperature: Divisor of the logits of both in the teacher's loss.

    Returns:
        The loss of each row, (rows,), in nats.
    """
    label, teacher = targets.unbind(dim=1)  # (rows, labels) each
    softened = (teacher.clamp_min(1e-6).log() / temperature).softmax(dim=1)
    label_loss = functional.cross_entropy(logits, label, reduction="none")
    teacher_loss = functional.cross_entropy(logits / temperature, softened, reduction="none")
    # The square keeps the size of the gradient independent of the temperature.
    return (1 - weight) * label_loss + weight * temperature**2 * teacher_loss


def _symmetric_divergence(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """The mean of both Kullback-Leibler divergences of each row, (rows,), in nats."""
    p, q = first.log_softmax(dim=1), second.log_softmax(dim=1)
    return ((p.exp() - q.exp()) * (p - q)).sum(dim=1) / 2
