"""A shortcut through the last layer of a classifier that reads only the first token.

In: a BERT or DistilBERT classifier. Out: the same classifier with the same logits and gradients.
Its last layer computes keys and values of all tokens, and the rest for the first token alone,
which saves about a seventh of the work of six layers.
"""

from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn import functional


def use_first_token_only(model: Any) -> bool:
    """Take the shortcut in all forward passes; what is saved doesn't change.

    `last_hidden_state` then holds one token.

    Returns:
        Whether the model's architecture is supported; others stay as they are.
    """
    model_type = str(model.config.model_type)
    forward = {"bert": _bert, "distilbert": _distilbert}.get(model_type)
    if forward is None or getattr(model.config, "is_decoder", False):
        return False
    encoder = model.base_model
    layers = encoder.encoder.layer if model_type == "bert" else encoder.transformer.layer
    layers[-1].forward = partial(forward, layers[-1])
    return True


def _bert(layer: Any, hidden: torch.Tensor, mask: torch.Tensor | None, *_: Any, **__: Any) -> Any:
    attention, first = layer.attention.self, hidden[:, :1]  # (batch, 1, width)
    projections = attention.query, attention.key, attention.value
    attended = _attend(projections, attention, hidden, mask)
    return layer.feed_forward_chunk(layer.attention.output(attended, first))


def _distilbert(layer: Any, hidden: torch.Tensor, mask: torch.Tensor | None, **_: Any) -> Any:
    attention, first = layer.attention, hidden[:, :1]  # (batch, 1, width)
    projections = attention.q_lin, attention.k_lin, attention.v_lin
    attended = attention.out_lin(_attend(projections, attention, hidden, mask))
    normalized = layer.sa_layer_norm(attended + first)
    return layer.output_layer_norm(layer.ffn(normalized) + normalized)


def _attend(
    projections: tuple[nn.Module, nn.Module, nn.Module],
    attention: Any,
    hidden: torch.Tensor,
    mask: torch.Tensor | None,
) -> torch.Tensor:
    """Attention of the first token to all: (batch, tokens, width) to (batch, 1, width)."""
    inputs = hidden[:, :1], hidden, hidden
    size = attention.attention_head_size
    query, key, value = (
        project(x).unflatten(-1, (-1, size)).transpose(1, 2)  # (batch, heads, tokens, size)
        for project, x in zip(projections, inputs, strict=True)
    )
    attended = functional.scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=None if mask is None else mask[:, :, :1],
        dropout_p=attention.dropout.p if attention.training else 0.0,
        scale=attention.scaling,
    )
    return attended.transpose(1, 2).flatten(2)
