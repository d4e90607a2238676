"""Losses of the classifier, one value for each row of a batch.

In: logits and labels. Out: cross-entropy in nats, with the labels and, in distillation, a teacher.
"""

import torch
from torch.nn import functional

from train.sections import Distillation


def classification_loss(
    logits: torch.Tensor, labels: torch.Tensor, distillation: Distillation | None
) -> torch.Tensor:
    """The loss of each row, (rows,), in nats.

    Args:
        logits: Of the model, (rows, labels), fp32.
        labels: Label numbers, (rows,); probabilities, (rows, labels); or, in distillation, the
            probabilities of label and teacher, (rows, 2, labels).
        distillation: Weight and temperature of the teacher's loss, if there is a teacher.
    """
    if labels.ndim < 3 or distillation is None:
        return functional.cross_entropy(logits, labels, reduction="none")
    return distillation_loss(logits, labels, distillation.weight, distillation.temperature)


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
