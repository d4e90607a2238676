"""Domain-adaptive pretraining: masked-language modeling of a base model on unlabelled texts.

In: a recipe with an `adaptation` section. Out: a folder with the adapted encoder and its
tokenizer, from which `fit` of the same recipe starts, and a results.json with the perplexity
before and after. Masking as in BERT (Devlin et al. 2019, https://arxiv.org/abs/1810.04805), on
texts of the domain (Gururangan et al. 2020, https://arxiv.org/abs/2004.10964).
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
from train.modeling import devices, model, training
from train.modeling.resolve import resolve, start_run
from train.recipe import Adaptation, Recipe

# The layers of the masked-language head: dense layer, norm, and projection to the vocabulary.
HEADS = {
    "bert": [f"cls.predictions.{n}" for n in ["transform.dense", "transform.LayerNorm", "decoder"]],
    "distilbert": ["vocab_transform", "vocab_layer_norm", "vocab_projector"],
}
PERPLEXITY_BATCH_TOKENS = 4096
Texts = tuple[list[str], list[str]]  # to train on, and to measure the perplexity on


def adapt(
    recipe: Recipe,
    folder: Path,
    *,
    resume: bool = False,
    after_checkpoint: Callable[[Path], None] | None = None,
) -> dict[str, Any]:
    """Train the base model on unlabelled texts; returns the contents of results.json.

    Args:
        recipe: With an `adaptation` section.
        folder: Of the adapted base, see `run_folder.adapted_folder`.
        resume: Continue in the folder.
        after_checkpoint: Called with the folder of each new checkpoint.

    Raises:
        RecipeError, DataError, ModelError: No `adaptation`; as for `load_texts` and `build`.
    """
    adaptation = _adaptation(recipe)
    if resume:
        run_folder.check_resumable(folder, recipe)
    resolved = resolve(recipe, folder, resume=resume)
    settings = resolved.model_copy(update=adaptation.training())
    accelerator = devices.accelerator_for(settings.precision)
    with accelerator.main_process_first():
        texts, dropped = load_texts(resolved)
        masked, tokenizer = build(resolved)
    train, validation = (_chunks(tokenizer, part, settings.max_tokens) for part in texts)
    environment.check_disk(folder, needed_bytes=8 * 4 * sum(p.numel() for p in masked.parameters()))
    start_run(recipe, resolved, folder, accelerator, resume=resume)
    loss = MaskedLanguageLoss(tokenizer, adaptation.mask_fraction, float(train.lengths.mean()))
    before = perplexity(masked.to(accelerator.device), validation, loss)  # of the base model
    progress = training.fit(
        masked, settings, accelerator, train, validation, tokenizer.pad_token_id, folder,
        loss_function=loss, resume=resume, after_checkpoint=after_checkpoint,
    )  # fmt: skip
    if accelerator.is_main_process:
        masked.encoder.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        results = {
            "recipe": recipe.model_dump(),
            "environment": environment.describe(devices.device_name(accelerator)),
            "data": _data(resolved, texts, dropped, train, validation),
            "training": training.statistics(progress, accelerator)
            | {"base_revision": resolved.base_revision},
            "perplexity": {"before": before, "after": perplexity(masked, validation, loss)},
        }
        run_folder.save_results(folder / "results.json", results)
    accelerator.wait_for_everyone()
    return run_folder.load_results(folder)


def _data(
    resolved: Recipe, texts: Texts, dropped: dict[str, int], train: Tokens, validation: Tokens
) -> dict[str, Any]:
    return {
        "revision": [dataset.revision for dataset in resolved.datasets],
        "corpora_revision": [corpus.revision for corpus in _adaptation(resolved).corpora],
        "texts": sum(map(len, texts)),
        "held_out_texts": len(texts[1]),
        "dropped": dropped,
        "chunks": {"train": len(train.ids), "validation": len(validation.ids)},
    }


def _adaptation(recipe: Recipe) -> Adaptation:
    if recipe.adaptation is None:
        raise RecipeError(
            f"the recipe {recipe.name} has no `adaptation` — add one, for instance "
            "--set 'adaptation={corpora: [{source: unlabelled.csv, split: train}]}'"
        )
    return recipe.adaptation


def load_texts(recipe: Recipe) -> tuple[Texts, dict[str, int]]:
    """Read the corpora, without the texts of the recipe's validation and test splits.

    Returns:
        The texts to train on and those to measure the perplexity on, and how many were dropped
        for which reason.

    Raises:
        DataError: The corpora can't be read, or have no more texts than `validation_texts`.
    """
    adaptation, splits = _adaptation(recipe), preparation.load(recipe)
    excluded = {key for name in ["validation", "test"] for key, _ in splits[name].keys()}
    rows: list[Any] = list(splits["train"].texts) if adaptation.with_train else []
    for corpus in adaptation.corpora:
        rows += sources.texts(corpus)
    unique, dropped = preparation.deduplicate(rows, excluded)
    texts = preparation.sample(
        Split(unique, [0] * len(unique)), adaptation.max_texts, recipe.split_seed
    ).texts
    count = adaptation.validation_texts
    if len(texts) <= count:
        raise DataError(
            f"adaptation needs more than validation_texts ({count:,}) texts, got {len(texts):,} "
            f"with max_texts {adaptation.max_texts or 'null'} (dropped: {dropped}) — add corpora, "
            "raise adaptation.max_texts, or lower adaptation.validation_texts"
        )
    order = np.random.default_rng(recipe.split_seed).permutation(len(texts))
    train = [texts[i] for i in np.sort(order[count:])]
    validation = [texts[i] for i in np.sort(order[:count])]
    return (train, validation), dropped


class MaskedModel(nn.Module):
    """An encoder with a masked-language head that predicts the selected tokens alone."""

    base_model_prefix = "encoder"

    def __init__(self, encoder: Any, dense: nn.Module, norm: nn.Module, bias: Any) -> None:
        super().__init__()
        self.encoder, self.dense, self.norm, self.bias = encoder, dense, norm, bias

    def set_attn_implementation(self, name: str) -> None:
        """Set the encoder's attention function, as transformers' models do."""
        self.encoder.set_attn_implementation(name)

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, selected: torch.Tensor
    ) -> torch.Tensor:
        """Logits of the tokens that `selected`, (texts, tokens), marks: (selected, vocabulary)."""
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask)
        output = self.norm(functional.gelu(self.dense(hidden.last_hidden_state[selected])))
        return functional.linear(output, self.encoder.get_input_embeddings().weight, self.bias)


def build(recipe: Recipe) -> tuple[MaskedModel, Any]:
    """Load the base model with its own masked-language head, or a new one, and the tokenizer.

    Raises:
        ModelError: The architecture of the base model is not supported, or it can't be loaded.
    """
    from transformers import AutoModelForMaskedLM

    full, tokenizer = model.load_pretrained(recipe, AutoModelForMaskedLM)
    model_type = full.config.model_type
    if model_type not in HEADS:
        raise ModelError(
            f"adaptation supports base models of the types {', '.join(HEADS)}, got {model_type} — "
            "choose another base_model, or disable adaptation with --set adaptation=null"
        )
    dense, norm, projector = (full.get_submodule(name) for name in HEADS[model_type])
    masked = MaskedModel(full.base_model, dense, norm, nn.Parameter(projector.bias.detach()))
    return masked, tokenizer


class MaskedLanguageLoss:
    """Cross-entropy of masked tokens, as a loss function of `training.fit`.

    The loss of a text is the sum over its selected tokens, divided by their expected number in a
    text of mean length, so the mean loss is about nats per token. Training selects other tokens
    each time, evaluation the same.
    """

    def __init__(self, tokenizer: Any, mask_fraction: float, mean_length: float) -> None:
        from transformers import DataCollatorForLanguageModeling

        self.collator = DataCollatorForLanguageModeling(tokenizer, mlm_probability=mask_fraction)
        self.special_ids = torch.tensor(tokenizer.all_special_ids)
        self.pad_id = tokenizer.pad_token_id
        self.scale = 1 / (mask_fraction * mean_length)

    def __call__(self, masked: Any, batch: dict[str, torch.Tensor], _: Any) -> torch.Tensor:
        """The loss of each text, (texts,)."""
        sums, _ = self.sums(masked, batch)
        return sums * self.scale

    def sums(self, masked: Any, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, int]:
        """The summed loss of each text, (texts,), in nats, and the number of selected tokens."""
        ids = batch["input_ids"]
        corrupted, selected = self.corrupt(ids.cpu(), masked.training)
        selected = selected.to(ids.device)
        logits = masked(corrupted.to(ids.device), batch["attention_mask"], selected)
        losses = functional.cross_entropy(logits.float(), ids[selected], reduction="none")
        text = selected.nonzero()[:, 0]
        sums = torch.zeros(len(ids), device=ids.device).index_add(0, text, losses)
        return sums, len(losses)

    def corrupt(self, ids: torch.Tensor, training: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """Ids with the selected tokens masked, replaced or kept, and the selection.

        Args:
            ids: Token ids, (texts, tokens).
            training: Select by torch's global generator; else by one seeded by the batch size.
        """
        generator = None if training else torch.Generator().manual_seed(len(ids))
        self.collator.generator = generator
        special = torch.isin(ids, self.special_ids)
        corrupted, labels = self.collator.torch_mask_tokens(ids.clone(), special)
        return corrupted, labels >= 0


def perplexity(masked: MaskedModel, tokens: Tokens, loss: MaskedLanguageLoss) -> float:
    """The exponential of the mean loss over the same selected tokens at each call, in fp32."""
    device = next(masked.parameters()).device
    masked.eval()
    total, count = 0.0, 0
    with torch.inference_mode():
        for rows in batches(tokens.lengths, PERPLEXITY_BATCH_TOKENS, seed=None):
            sums, selected = loss.sums(masked, tensors(tokens, rows, loss.pad_id, device))
            total, count = total + float(sums.sum()), count + selected
    return math.exp(total / max(1, count))


def _chunks(tokenizer: Any, texts: list[str], max_tokens: int) -> Tokens:
    # A copy, as it changes the tokenizer, which is saved as the base model has it.
    portable = model.portable_tokenizer(copy.deepcopy(tokenizer), max_tokens)
    return split_into_chunks(encode(portable, Split(texts, [0] * len(texts)), "texts"), max_tokens)


def split_into_chunks(tokens: Tokens, max_tokens: int) -> Tokens:
    """Split long texts into chunks of equal length, each between [CLS] and [SEP]."""
    chunks = []
    for ids in tokens.ids:
        first, body, last = ids[:1], ids[1:-1], ids[-1:]
        for chunk in np.array_split(body, math.ceil(len(body) / (max_tokens - 2)) or 1):
            chunks.append(np.concatenate([first, chunk, last]))
    return Tokens(chunks, np.zeros(len(chunks), dtype=np.int64))
