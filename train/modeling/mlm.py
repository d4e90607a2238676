"""Adaptation: the base model first reads on in the language of the reviews, without labels.

In: a recipe with an `adaptation` part. Out: a folder with the encoder and its tokenizer, which
`fit` of the same recipe starts from, and a results.json with the perplexity before and after.
Masked-language modelling as BERT was made (Devlin et al. 2019, https://arxiv.org/abs/1810.04805)
on texts of the domain (Gururangan et al. 2020, https://arxiv.org/abs/2004.10964).
"""

import copy
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from train import environment, run_folder
from train.data import preparation, sources
from train.data.preparation import Split
from train.data.tokens import Tokens, batches, encode, tensors
from train.errors import DataError, ModelError, RecipeError
from train.modeling import model, training
from train.modeling.resolve import resolve, store
from train.pipeline import training_run
from train.recipe import Adaptation, Recipe

# Of an encoder's masked-language model: the dense layer, its norm, and the bias of each word.
HEADS = {
    "bert": [f"cls.predictions.{n}" for n in ["transform.dense", "transform.LayerNorm", "decoder"]],
    "distilbert": ["vocab_transform", "vocab_layer_norm", "vocab_projector"],
}
KEPT, REPLACED = 0.1, 0.1  # of the chosen tokens; the rest become [MASK]


def adapt(
    recipe: Recipe,
    folder: Path,
    *,
    resume: bool = False,
    after_checkpoint: Callable[[Path], None] | None = None,
) -> dict[str, Any]:
    """Read on in the unlabelled texts; returns what results.json holds.

    Raises:
        RecipeError: The recipe has no `adaptation`.
        DataError: The corpora can't be read, or hold nothing that isn't validation or test.
        ModelError: The base model is of a kind whose head isn't known here.
    """
    if recipe.adaptation is None:
        raise RecipeError(
            f"the recipe {recipe.name} has no `adaptation` — add one, for instance "
            "--set 'adaptation={corpora: [{source: unlabelled.csv, split: train}]}'"
        )
    if resume:
        run_folder.check_resumable(folder, recipe)
    resolved = resolve(recipe, folder, resume=resume)
    assert resolved.adaptation is not None
    shaped = resolved.model_copy(update=recipe.adaptation.training())
    accelerator = training.accelerator_for(shaped)
    with accelerator.main_process_first():
        texts, dropped = corpus(resolved, resolved.adaptation)
        masked, tokenizer = build(resolved)
    reader = model.portable(copy.deepcopy(tokenizer), shaped.max_tokens)
    tokens = chunks(encode(reader, Split(texts, [0] * len(texts)), "texts"), shaped.max_tokens)
    train, validation = _held_out(tokens, recipe.adaptation, recipe.split_seed)
    run_folder.check_disk(folder, needed_bytes=8 * 4 * sum(p.numel() for p in masked.parameters()))
    if accelerator.is_main_process:
        if not resume:
            run_folder.prepare(folder, recipe)
        store(resolved, folder)
    accelerator.wait_for_everyone()
    objective = Objective(tokenizer, recipe.adaptation.mask_fraction, float(train.lengths.mean()))
    # A resumed run has the weights of the base model here still, so `before` is before.
    before = perplexity(masked.to(accelerator.device), validation, objective)
    progress = training.fit(
        masked, shaped, accelerator, train, validation, tokenizer.pad_token_id, folder,
        objective=objective, resume=resume, after_checkpoint=after_checkpoint,
    )  # fmt: skip
    results: dict[str, Any] = {}
    if accelerator.is_main_process:
        masked.encoder.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        results = {
            "recipe": recipe.model_dump(),
            "environment": environment.describe(training_run.device_name(accelerator)),
            "data": {
                "revision": [dataset.revision for dataset in resolved.datasets],
                "corpora_revision": [c.revision for c in resolved.adaptation.corpora],
                "texts": len(texts),
                "dropped": dropped,
                "chunks": {"train": len(train.ids), "validation": len(validation.ids)},
            },
            "training": training_run.training_figures(progress, accelerator)
            | {"base_revision": resolved.base_revision},
            "perplexity": {"before": before, "after": perplexity(masked, validation, objective)},
        }
        run_folder.save_results(folder / "results.json", results)
    accelerator.wait_for_everyone()
    return results


def corpus(recipe: Recipe, adaptation: Adaptation) -> tuple[list[str], dict[str, int]]:
    """Texts to read, and how many were left out why: never one of validation or test."""
    splits = preparation.load(recipe)
    held = {key for name in ["validation", "test"] for key, _ in splits[name].keys()}
    rows: list[Any] = list(splits["train"].texts) if adaptation.with_train else []
    for source in adaptation.corpora:
        rows += sources.texts(source)
    found, dropped = preparation.deduplicate(rows, held)
    if len(found) <= adaptation.validation_texts:
        raise DataError(
            f"adaptation needs more than validation_texts ({adaptation.validation_texts:,}) texts, "
            f"got {len(found):,} (left out: {dropped}) — add corpora, or lower it"
        )
    chosen = preparation.sample(
        Split(found, [0] * len(found)), adaptation.max_texts, recipe.split_seed
    )
    return chosen.texts, dropped


class MaskedModel(nn.Module):
    """An encoder with the head that guesses masked words."""

    base_model_prefix = "encoder"

    def __init__(self, encoder: Any, dense: nn.Module, norm: nn.Module, bias: Any) -> None:
        super().__init__()
        self.encoder, self.dense, self.norm, self.bias = encoder, dense, norm, bias

    def set_attn_implementation(self, name: str) -> None:
        """As transformers' models have it."""
        self.encoder.set_attn_implementation(name)

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, chosen: torch.Tensor
    ) -> torch.Tensor:
        """Logits over the vocabulary, (chosen tokens, words), of what `chosen` marks."""
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask)
        guessed = self.norm(functional.gelu(self.dense(hidden.last_hidden_state[chosen])))
        words = self.encoder.get_input_embeddings().weight
        return functional.linear(guessed, words, self.bias)


def build(recipe: Recipe) -> tuple[MaskedModel, Any]:
    """The base model with its own masked-language head, or a new one, and the tokenizer."""
    from transformers import AutoModelForMaskedLM

    full, tokenizer = model.pretrained(recipe, AutoModelForMaskedLM)
    kind = full.config.model_type
    if kind not in HEADS:
        raise ModelError(
            f"adaptation takes base models of the kinds {', '.join(HEADS)}, got {kind} — choose "
            "another base_model, or leave it out with --set adaptation=null"
        )
    dense, norm, projector = (full.get_submodule(name) for name in HEADS[kind])
    masked = MaskedModel(full.base_model, dense, norm, nn.Parameter(projector.bias.detach()))
    return masked, tokenizer


class Objective:
    """What the loop minimises: a text's loss is the sum over its masked tokens, scaled.

    The scale is that of a text of mean length, so that losses are about nats a token. Which
    tokens are masked is drawn anew each time in training, and the same each time otherwise.
    """

    def __init__(self, tokenizer: Any, fraction: float, mean_length: float) -> None:
        self.special = torch.tensor(tokenizer.all_special_ids)
        self.mask_id, self.pad_id = tokenizer.mask_token_id, tokenizer.pad_token_id
        self.words = len(tokenizer)
        self.fraction, self.scale = fraction, 1 / (fraction * mean_length)

    def __call__(self, masked: Any, batch: dict[str, torch.Tensor], _: Any) -> torch.Tensor:
        """The loss of each text, (texts,)."""
        losses, _ = self.losses(masked, batch)
        return losses * self.scale

    def losses(
        self, masked: Any, batch: dict[str, torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Of each text the sum of its losses in nats, and how many tokens they are of."""
        ids = batch["input_ids"]
        corrupted, chosen = self.corrupt(ids.cpu(), masked.training)
        chosen = chosen.to(ids.device)
        logits = masked(corrupted.to(ids.device), batch["attention_mask"], chosen)
        found = functional.cross_entropy(logits.float(), ids[chosen], reduction="none")
        row = chosen.nonzero()[:, 0]
        sums = torch.zeros(len(ids), device=ids.device).index_add(0, row, found)
        return sums, chosen.sum(dim=1)

    def corrupt(self, ids: torch.Tensor, training: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """Ids with some tokens masked, replaced or (to be guessed all the same) kept."""
        generator = None if training else torch.Generator().manual_seed(len(ids))
        plain = ~torch.isin(ids, self.special)
        drawn = torch.rand(ids.shape, generator=generator).masked_fill(~plain, 2)
        # Of a text of which nothing would be chosen, the token that came nearest.
        nearest = functional.one_hot(drawn.argmin(dim=1), ids.shape[1]).bool() & plain
        chosen = drawn < self.fraction
        chosen |= nearest & ~chosen.any(dim=1, keepdim=True)
        lot = torch.rand(ids.shape, generator=generator)
        others = torch.randint(self.words, ids.shape, generator=generator)
        replacement = torch.where(lot < KEPT, ids, others)
        replacement = replacement.masked_fill(lot >= KEPT + REPLACED, self.mask_id)
        return torch.where(chosen, replacement, ids), chosen


def perplexity(masked: MaskedModel, tokens: Tokens, objective: Objective) -> float:
    """From the mean loss over masked tokens, in fp32; the same tokens at each call."""
    device = next(masked.parameters()).device
    masked.eval()
    total = count = 0.0
    with torch.inference_mode():
        for rows in batches(tokens.lengths, 4096, seed=None):
            batch = tensors(tokens, rows, objective.pad_id, device)
            sums, counts = objective.losses(masked, batch)
            total, count = total + float(sums.sum()), count + float(counts.sum())
    return math.exp(total / count)


def chunks(tokens: Tokens, most: int) -> Tokens:
    """Long texts in parts of at most `most` tokens, each between [CLS] and [SEP]."""
    parts = []
    for ids in tokens.ids:
        first, body, last = ids[:1], ids[1:-1], ids[-1:]
        for part in np.array_split(body, math.ceil(len(body) / (most - 2)) or 1):
            parts.append(np.concatenate([first, part, last]))
    return Tokens(parts, np.zeros(len(parts), dtype=np.int64))


def _held_out(tokens: Tokens, adaptation: Adaptation, seed: int) -> tuple[Tokens, Tokens]:
    """Training chunks and, chosen at random, as many chunks to measure on as asked."""
    texts = adaptation.validation_texts
    if len(tokens.ids) <= texts:
        raise DataError(
            f"adaptation needs more parts of texts than validation_texts ({texts:,}), got "
            f"{len(tokens.ids):,} with max_texts {adaptation.max_texts or 'null'} and max_tokens "
            f"{adaptation.max_tokens} — raise adaptation.max_texts, or lower "
            "adaptation.validation_texts"
        )
    order = np.random.default_rng(seed).permutation(len(tokens.ids))
    return tokens.take(np.sort(order[texts:])), tokens.take(np.sort(order[:texts]))
