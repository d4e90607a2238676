"""The classifier: from a pre-trained encoder to a folder that `pipeline()` loads as it is.

In: a recipe. Out: a model and a tokenizer, and a saved folder. Whatever inference needs travels
inside them: label names, clean-up of `<br />`, room for long reviews, calibrated scores.
"""

import inspect
import json
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import set_seed
from huggingface_hub import constants, try_to_load_from_cache
from safetensors import SafetensorError
from tokenizers import Regex, normalizers
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)
from transformers.utils import cached_file, logging

from train.data.preparation import BREAK
from train.errors import ModelError, RunError
from train.hub_errors import explained
from train.modeling import first_token
from train.recipe import Recipe, is_commit

DROPOUTS = {  # of BERT's kind and of DistilBERT's -> of the recipe
    "hidden_dropout_prob": "dropout",
    "dropout": "dropout",
    "attention_probs_dropout_prob": "attention_dropout",
    "attention_dropout": "attention_dropout",
}
NEEDED = [  # of each, one file
    ["config.json"],
    ["model.safetensors", "model.safetensors.index.json"],
    ["tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "sentencepiece.bpe.model"],
]
TOKENIZER_KEYS = ["unk_token", "sep_token", "pad_token", "cls_token", "mask_token"]


def build(recipe: Recipe) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The base model with a new classifier, and its tokenizer.

    The seed is set before the head is created: with another order the same seed would give
    another model (transformers#8569).

    Raises:
        ModelError: The base model is missing, gated, has no safetensors, or can't read so much.
    """
    labels = dict(enumerate(recipe.labels))
    model, tokenizer = pretrained(
        recipe,
        AutoModelForSequenceClassification,
        num_labels=len(labels),
        id2label=labels,
        label2id={label: i for i, label in labels.items()},
    )
    stretch_positions(model, recipe.max_position_embeddings)
    first_token.shorten(model)
    tokenizer = portable(tokenizer, recipe.max_position_embeddings)
    # transformers 5 gives DistilBERT the tokenizer of BERT; the model of 4.x refuses its type ids.
    taken = inspect.signature(model.forward).parameters
    tokenizer.model_input_names = [n for n in tokenizer.model_input_names if n in taken]
    return model, tokenizer


def pretrained(recipe: Recipe, kind: Any, **settings: Any) -> tuple[Any, Any]:
    """The recipe's base model as one of transformers' auto classes, fp32, and its tokenizer.

    Raises:
        ModelError: It is missing, gated or has no safetensors.
    """
    where = {} if recipe.base_is_local else {"revision": recipe.base_revision or "main"}
    set_seed(recipe.seed)
    logging.set_verbosity_error()  # that the head is new is no news
    with _reading_base(recipe):
        _check_cached(recipe.base_model, recipe.base_revision)
        tokenizer = AutoTokenizer.from_pretrained(recipe.base_model, **where)
        config = AutoConfig.from_pretrained(recipe.base_model, **settings, **where)
        for name, key in DROPOUTS.items():
            if hasattr(config, name):
                setattr(config, name, getattr(recipe, key))
        model = kind.from_pretrained(
            recipe.base_model,
            config=config,
            dtype=torch.float32,  # fp16 weights can't be trained with loss scaling
            use_safetensors=True,
            **where,
        )
    return model, tokenizer


def _reading_base(recipe: Recipe) -> AbstractContextManager[None]:
    """Turns what goes wrong while the base model is read into a `ModelError`."""
    return explained(
        f"base model {recipe.base_model!r} (revision {recipe.base_revision or 'main'}) can't be "
        "loaded",
        ModelError,
        name=recipe.base_model,
        expected=(OSError, ValueError, SafetensorError),
        after="or name a local folder",
    )


def load(source: str, revision: str | None = None) -> tuple[Any, Any]:
    """A classifier that is already trained, from a run folder or the Hub, with its tokenizer.

    Raises:
        ModelError: It is missing, gated or not a classifier with named labels.
    """
    with explained(
        f"no model at {source}",
        ModelError,
        name=source,
        expected=(OSError, ValueError, SafetensorError),
        after="give a run folder that `fit` has finished or a Hub id that you may read",
    ):
        _check_cached(source, revision)
        tokenizer = AutoTokenizer.from_pretrained(source, revision=revision)
        model = AutoModelForSequenceClassification.from_pretrained(
            source, revision=revision, dtype=torch.float32, use_safetensors=True
        )
    first_token.shorten(model)
    return model.eval(), tokenizer


def _check_cached(source: str, revision: str | None) -> None:
    """Raise `ModelError` where, offline, the cache lacks a file of a model on the Hub.

    transformers says of weights that are not in the cache that the repository has none, and makes
    an empty tokenizer without its file. Scoring alone, for instance, caches no safetensors.
    """
    if not constants.is_offline_mode() or Path(source).exists():
        return
    missing = [
        names[0]
        for names in NEEDED
        if not any(
            isinstance(try_to_load_from_cache(source, name, revision=revision), str)
            for name in names
        )
    ]
    if missing:
        raise ModelError(
            f"model {source!r} (revision {revision or 'main'}) can't be loaded: HF_HUB_OFFLINE is "
            f"set, and {constants.HF_HUB_CACHE} holds no {', '.join(missing)} of it — unset "
            "HF_HUB_OFFLINE, so that it can be fetched, or name a local folder"
        )


def revision(recipe: Recipe) -> str | None:
    """The commit of the base model that the recipe's revision stands for; of a folder, none.

    Raises:
        ModelError: As for `pretrained`.
    """
    if recipe.base_is_local or is_commit(recipe.base_revision):
        return recipe.base_revision
    with _reading_base(recipe):
        return commit(recipe.base_model, recipe.base_revision)


def commit(source: str, revision: str | None) -> str | None:
    """The commit of a model on the Hub that a revision stands for; of a folder, none."""
    # Files of the Hub lie in the cache in a folder named after their commit.
    folder = Path(str(cached_file(source, "config.json", revision=revision))).parent
    return folder.name if is_commit(folder.name) else revision


def stretch_positions(model: PreTrainedModel, positions: int) -> None:
    """Give the model room for `positions` tokens by repeating its trained position embeddings.

    `pipeline()` never truncates, so a review with more tokens than positions would crash it.
    The copies are starting values: reviews that reach them are trained like all others.

    Raises:
        ModelError: The positions are not a plain table (so can't be tiled), and too few.
    """
    if not hasattr(model.config, "max_position_embeddings"):
        return
    room = max_tokens(model)
    if positions <= room:
        return
    embeddings = getattr(model.base_model, "embeddings", None)
    table = getattr(embeddings, "position_embeddings", None)
    first = getattr(table, "padding_idx", None)
    if not isinstance(table, nn.Embedding) or first is not None:
        raise ModelError(
            f"max_position_embeddings must be at most {room} for a {model.config.model_type} "
            f"model, whose position embeddings can't be stretched, got {positions} — "
            f"--set max_position_embeddings={room // 8 * 8}"
        )
    assert embeddings is not None
    longer = nn.Embedding(positions, table.embedding_dim)
    with torch.no_grad():
        repeats = -(-positions // table.num_embeddings)
        longer.weight.copy_(table.weight.repeat(repeats, 1)[:positions])  # (positions, width)
    embeddings.position_embeddings = longer
    embeddings.register_buffer("position_ids", torch.arange(positions)[None], persistent=False)
    if hasattr(embeddings, "token_type_ids"):
        zeros = torch.zeros(1, positions, dtype=torch.long)
        embeddings.register_buffer("token_type_ids", zeros, persistent=False)
    model.config.max_position_embeddings = positions


def max_tokens(model: PreTrainedModel) -> int:
    """The longest input that the model reads, in tokens, special tokens included.

    RoBERTa's and MPNet's positions begin behind that of the padding.
    """
    embeddings = getattr(model.base_model, "embeddings", None)
    table = getattr(embeddings, "position_embeddings", None)
    first = getattr(table, "padding_idx", None)
    have = int(model.config.max_position_embeddings)
    return have if first is None else have - first - 1


def to_device(model: Any) -> Any:
    """The model on the GPU, where there is one."""
    return model.to("cuda" if torch.cuda.is_available() else "cpu")


def portable(tokenizer: PreTrainedTokenizerBase, positions: int) -> PreTrainedTokenizerBase:
    """The same tokenizer with `<br />` read as a space, in the form that all loaders keep.

    transformers 5 rebuilds the normalizer of its own BERT classes and would drop ours; the
    generic fast class keeps it. No truncation or padding is saved with it.

    Raises:
        ModelError: The base model has no fast tokenizer.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    # Without its files transformers 5 makes an empty tokenizer, which knows no word.
    if backend is None or len(tokenizer) <= len(tokenizer.all_special_ids):
        raise ModelError(
            f"{tokenizer.name_or_path} has no tokenizer.json — choose a base model with one"
        )
    breaks = normalizers.Replace(Regex(BREAK.pattern), " ")
    steps = [breaks] if backend.normalizer is None else [breaks, backend.normalizer]
    backend.normalizer = normalizers.Sequence(steps)
    backend.no_truncation()
    backend.no_padding()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        model_max_length=positions,
        model_input_names=tokenizer.model_input_names,
        **{key: getattr(tokenizer, key) for key in TOKENIZER_KEYS if getattr(tokenizer, key)},
    )


def fold_temperature(model: PreTrainedModel, temperature: float) -> None:
    """Divide the last layer by the temperature: the logits are calibrated, nothing is added."""
    heads = [m for m in model.modules() if isinstance(m, nn.Linear)]
    head = heads[-1]
    assert head.out_features == model.config.num_labels
    with torch.no_grad():
        head.weight.div_(temperature)
        if head.bias is not None:
            head.bias.div_(temperature)


def save(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Write config, weights and tokenizer so that transformers 4 and 5 read them alike.

    Raises:
        RunError: They can't be written, for instance because the disk is full.
    """
    try:
        model.save_pretrained(folder)
    except SafetensorError as error:
        raise RunError(
            f"the model can't be written to {folder} ({error}) — make room, then run the same "
            "command with --resume"
        ) from error
    tokenizer.save_pretrained(folder)
    file = folder / "tokenizer_config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    # "TokenizersBackend", what transformers 5 writes, is unknown to 4.x (transformers#47553).
    config["tokenizer_class"] = "PreTrainedTokenizerFast"
    config["model_input_names"] = tokenizer.model_input_names
    for key in ["is_local", "local_files_only", "backend"]:
        config.pop(key, None)
    file.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
