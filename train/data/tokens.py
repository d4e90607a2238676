"""Tokens: from the texts of a split to batches with little padding.

In: a `Split` and a tokenizer. Out: `Tokens`, then batches of row numbers that hold reviews of
similar length within a budget of padded tokens, then rectangular arrays.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from tqdm import tqdm

from train.data.splits import IntArray, Split

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase


CHUNK_ROWS = 500  # tokenized at once
PAD_MULTIPLE = 8  # batches are padded to a multiple of 8 tokens, for tensor cores


@dataclass(frozen=True)
class Tokens:
    """Token ids of reviews, not padded; `type_ids` only for models with token types."""

    ids: list[IntArray]
    labels: Any  # (reviews,) label numbers, or (reviews, labels) probabilities for training
    type_ids: list[IntArray] | None = None

    @cached_property
    def lengths(self) -> IntArray:
        """Tokens of each review, (reviews,)."""
        return np.array([len(ids) for ids in self.ids], dtype=np.int64)

    def take(self, rows: IntArray) -> "Tokens":
        """The reviews at `rows`, in that order."""
        types = None if self.type_ids is None else [self.type_ids[i] for i in rows]
        return Tokens([self.ids[i] for i in rows], self.labels[rows], types)

    def truncate(self, max_tokens: int, truncation: Literal["head", "head_tail"]) -> "Tokens":
        """Truncate each review to `max_tokens` tokens, [CLS] and [SEP] included.

        `head` keeps the beginning and [SEP]. `head_tail` keeps a quarter from the beginning and the
        rest from the end, where reviewers sum up (Sun et al. 2019,
        https://arxiv.org/abs/1905.05583).
        """
        tail = 1 if truncation == "head" else max_tokens - max_tokens // 4

        def shorten(ids: IntArray) -> IntArray:
            if len(ids) <= max_tokens:
                return ids
            return np.concatenate([ids[: max_tokens - tail], ids[-tail:]])

        types = None if self.type_ids is None else [shorten(t) for t in self.type_ids]
        return Tokens([shorten(ids) for ids in self.ids], self.labels, types)


def encode(tokenizer: "PreTrainedTokenizerBase", split: Split, name: str = "") -> Tokens:
    """Tokenize whole reviews, with a progress bar."""
    ids: list[IntArray] = []
    type_ids: list[IntArray] = []
    with tqdm(total=len(split), desc=f"tokenize {name}", unit="review") as progress:
        for start in range(0, len(split), CHUNK_ROWS):
            part = slice(start, start + CHUNK_ROWS)
            pairs = split.pairs[part] if split.pairs else None
            encoded = tokenizer(split.texts[part], pairs, truncation=False, verbose=False)
            ids += [np.asarray(row, dtype=np.int64) for row in encoded["input_ids"]]
            types = encoded.get("token_type_ids", [])
            type_ids += [np.asarray(row, dtype=np.int64) for row in types]
            progress.update(len(encoded["input_ids"]))
    return Tokens(ids, np.asarray(split.labels, dtype=np.int64), type_ids or None)


def batches(lengths: IntArray, batch_tokens: int, seed: tuple[int, ...] | None) -> list[IntArray]:
    """Group reviews of similar length so that rows times longest row fits the budget.

    Args:
        lengths: Tokens of each review, (reviews,).
        batch_tokens: Padded tokens per batch; a longer review gets a batch of its own.
        seed: Shuffles the batches and, slightly, their composition; None for no shuffling.

    Returns:
        One array of row numbers per batch; each row is in exactly one.
    """
    rng = None if seed is None else np.random.default_rng(seed)
    jitter = np.ones(len(lengths)) if rng is None else rng.uniform(0.9, 1.1, len(lengths))
    lengths = lengths + -lengths % PAD_MULTIPLE  # as `pad` will make them
    order = np.argsort(lengths * jitter, kind="stable")
    grouped: list[IntArray] = []
    start = longest = 0
    for end, row in enumerate(order):
        longest = max(longest, int(lengths[row]))
        if end > start and longest * (end + 1 - start) > batch_tokens:
            grouped.append(order[start:end])
            start, longest = end, int(lengths[row])
    if len(order):
        grouped.append(order[start:])
    if rng is not None:
        grouped = [grouped[i] for i in rng.permutation(len(grouped))]
    return grouped


def pad(tokens: Tokens, rows: IntArray, pad_id: int) -> dict[str, IntArray]:
    """One batch as rectangular arrays of shape (reviews, longest), padded on the right."""
    longest = max(len(tokens.ids[i]) for i in rows)
    width = longest + -longest % PAD_MULTIPLE
    batch = {"input_ids": _rectangle([tokens.ids[i] for i in rows], width, pad_id)}
    batch["attention_mask"] = _rectangle([np.ones_like(tokens.ids[i]) for i in rows], width, 0)
    if tokens.type_ids is not None:
        batch["token_type_ids"] = _rectangle([tokens.type_ids[i] for i in rows], width, 0)
    return batch


def tensors(
    tokens: Tokens, rows: IntArray, pad_id: int, device: "torch.device"
) -> "dict[str, torch.Tensor]":
    """A batch as `pad` makes it, on a device."""
    import torch

    return {
        key: torch.from_numpy(value).to(device, non_blocking=True)
        for key, value in pad(tokens, rows, pad_id).items()
    }


def _rectangle(rows: list[IntArray], width: int, fill: int) -> IntArray:
    filled = np.full((len(rows), width), fill, dtype=np.int64)
    for line, row in zip(filled, rows, strict=True):
        line[: len(row)] = row
    return filled
