"""A smaller vocabulary: the tokens that texts use, and the rows of the embeddings for them.

In: a model, its tokenizer and texts. Out: the same model and a tokenizer with fewer tokens, which
give these texts the same tokens and therefore the same logits: Unigram takes the most probable
sequence of tokens and WordPiece the longest ones, whatever else is in the vocabulary. BPE needs all
merges.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import nn

from train.data.tokens import CHUNK_ROWS
from train.errors import ModelError

# What a token may have before its characters, in Unigram and in WordPiece.
PREFIXES = {"Unigram": "▁", "WordPiece": "##"}
ID_KEYS = ["bos_token_id", "eos_token_id", "pad_token_id", "sep_token_id", "cls_token_id"]


def trim(model: Any, tokenizer: Tokenizer, texts: Sequence[str]) -> Tokenizer:
    """Remove the tokens that texts don't use from a model and its tokenizer.

    Single characters, bytes and special tokens stay, so other texts can still be read.

    Args:
        model: Its input embeddings, (tokens, width), and its config are changed in place.
        tokenizer: It adds no truncation and no padding; it is not changed.
        texts: All that the model is trained on.

    Returns:
        The tokenizer with the remaining tokens, in the same order.

    Raises:
        ModelError: The tokenizer is neither Unigram nor WordPiece.
    """
    saved = json.loads(tokenizer.to_str())
    kind = saved["model"]["type"]
    if kind not in PREFIXES:
        raise ModelError(
            f"trim_vocabulary needs a tokenizer of the kind {' or '.join(PREFIXES)}, got {kind}: "
            "without all of its merges it would split words differently — remove trim_vocabulary"
        )
    kept = sorted(_used(tokenizer, texts) | _indispensable(tokenizer, saved["model"]))
    new_ids = {old: new for new, old in enumerate(kept)}
    _renumber(saved, new_ids)
    _select_rows(model, kept)
    for key in ID_KEYS:
        if (old := getattr(model.config, key, None)) is not None:
            setattr(model.config, key, new_ids[old])
    return Tokenizer.from_str(json.dumps(saved))


def _used(tokenizer: Tokenizer, texts: Sequence[str]) -> set[int]:
    """The ids of all tokens of the texts."""
    ids: set[int] = set()
    for start in range(0, len(texts), CHUNK_ROWS):
        for encoding in tokenizer.encode_batch_fast(texts[start : start + CHUNK_ROWS]):
            ids.update(encoding.ids)
    return ids


def _indispensable(tokenizer: Tokenizer, saved: Mapping[str, Any]) -> set[int]:
    """Single characters, bytes, special tokens, and what determines the score of unknown ones."""
    added = tokenizer.get_added_tokens_decoder()
    prefix = PREFIXES[saved["type"]]
    pieces = tokenizer.get_vocab(with_added_tokens=True)
    ids = {i for piece, i in pieces.items() if len(piece.removeprefix(prefix)) <= 1}
    ids |= {i for piece, i in pieces.items() if saved.get("byte_fallback") and _is_byte(piece)}
    if saved["type"] == "Unigram":  # an unknown character scores below the least probable piece
        scores = [score for _, score in saved["vocab"]]
        ids.add(scores.index(min(scores)))
    unknown = saved["unk_id"] if "unk_id" in saved else pieces.get(saved["unk_token"])
    if unknown is not None:
        ids.add(unknown)
    return ids | set(added)


def _is_byte(piece: str) -> bool:
    return len(piece) == 6 and piece.startswith("<0x")


def _renumber(saved: dict[str, Any], new_ids: Mapping[int, int]) -> None:
    """Remove tokens from a tokenizer's JSON and give the others their new ids."""
    model = saved["model"]
    if model["type"] == "Unigram":
        model["vocab"] = [row for i, row in enumerate(model["vocab"]) if i in new_ids]
        model["unk_id"] = new_ids.get(model["unk_id"])
    else:
        model["vocab"] = {piece: new_ids[i] for piece, i in model["vocab"].items() if i in new_ids}
    for token in saved["added_tokens"]:
        token["id"] = new_ids[token["id"]]
    processors = [saved["post_processor"] or {}]
    while processors:
        processor = processors.pop()
        processors += processor.get("processors", [])
        for token in processor.get("special_tokens", {}).values():
            token["ids"] = [new_ids[i] for i in token["ids"]]
        for key in ["cls", "sep"]:
            if key in processor:
                processor[key][1] = new_ids[processor[key][1]]


def _select_rows(model: Any, rows: Sequence[int]) -> None:
    """Keep only these rows of the input embeddings."""
    old = model.get_input_embeddings()
    padding = None if old.padding_idx is None else rows.index(old.padding_idx)
    new = nn.Embedding(len(rows), old.embedding_dim, padding_idx=padding)
    with torch.no_grad():
        new.weight.copy_(old.weight[list(rows)])  # (tokens, width)
    model.set_input_embeddings(new)
    model.config.vocab_size = len(rows)
