"""The classifier: from a pre-trained encoder to a folder that `pipeline()` loads directly.

In: a recipe. Out: a model and a tokenizer, and a saved folder. They contain everything inference
needs: label names, removal of `<br />`, positions for long reviews, calibrated scores.
"""

import inspect
import json
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import set_seed
from huggingface_hub import constants, try_to_load_from_cache
from safetensors import SafetensorError
from tokenizers import Regex, Tokenizer, normalizers
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

from space.inference import languages
from train.data.preparation import BREAK
from train.errors import ModelError, RunError
from train.hub_errors import explained
from train.modeling import first_token, vocabulary
from train.recipe import Recipe
from train.sections import is_commit

DROPOUTS = {  # key in the configs of BERT and DistilBERT -> key in the recipe
    "hidden_dropout_prob": "dropout",
    "dropout": "dropout",
    "attention_probs_dropout_prob": "attention_dropout",
    "attention_dropout": "attention_dropout",
}
REQUIRED_FILES = [  # one file of each line
    ["config.json"],
    ["model.safetensors", "model.safetensors.index.json"],
    ["tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "sentencepiece.bpe.model"],
]
TOKENIZER_KEYS = ["unk_token", "sep_token", "pad_token", "cls_token", "mask_token"]


def build(
    recipe: Recipe, texts: Sequence[str] = ()
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The base model with a new classifier, and its tokenizer.

    The seed is set before the head is created: in another order the same seed would give
    another model (transformers#8569).

    Args:
        recipe: Names the base model.
        texts: What the model will be trained on: decides which tokens `trim_vocabulary` keeps, and
            which scripts config.json names.

    Raises:
        ModelError: The base model is missing, gated, has no safetensors, or too few positions; or
            its vocabulary can't be trimmed.
    """
    labels = dict(enumerate(recipe.labels))
    model, tokenizer = _load_pretrained(
        recipe,
        num_labels=len(labels),
        id2label=labels,
        label2id={label: i for i, label in labels.items()},
    )
    stretch_positions(model, recipe.max_position_embeddings)
    first_token.use_first_token_only(model)
    tokenizer = portable_tokenizer(tokenizer, recipe.max_position_embeddings)
    if recipe.trim_vocabulary:
        backend = vocabulary.trim(model, tokenizer.backend_tokenizer, texts)
        tokenizer = _as_fast_tokenizer(backend, tokenizer, recipe.max_position_embeddings)
    if texts:
        model.config.text_scripts = languages.scripts(texts)
    # transformers 5 gives DistilBERT the tokenizer of BERT; the model of 4.x rejects its type ids.
    inputs = inspect.signature(model.forward).parameters
    tokenizer.model_input_names = [n for n in tokenizer.model_input_names if n in inputs]
    return model, tokenizer


def _load_pretrained(recipe: Recipe, **settings: Any) -> tuple[Any, Any]:
    """Load the recipe's base model in fp32, with settings of its config, and its tokenizer."""
    revision = {} if recipe.base_is_local else {"revision": recipe.base_revision or "main"}
    set_seed(recipe.seed)
    logging.set_verbosity_error()  # no warning that the head is new
    with _base_model_errors(recipe):
        _check_cached(recipe.base_model, recipe.base_revision)
        tokenizer = AutoTokenizer.from_pretrained(recipe.base_model, **revision)
        config = AutoConfig.from_pretrained(recipe.base_model, **settings, **revision)
        config.text_pairs = recipe.has_pairs  # `score` and the Space read pairs differently
        config.text_languages = recipe.languages  # the Space warns of texts in others
        for name, key in DROPOUTS.items():
            if hasattr(config, name):
                setattr(config, name, getattr(recipe, key))
        model, loading = AutoModelForSequenceClassification.from_pretrained(
            recipe.base_model,
            config=config,
            dtype=torch.float32,  # fp16 weights can't be trained with loss scaling
            use_safetensors=True,
            ignore_mismatched_sizes=True,  # of the head of a base model with other labels
            output_loading_info=True,
            **revision,
        )
        _check_only_head_is_new(model, loading["mismatched_keys"])
    return model, tokenizer


def _check_only_head_is_new(model: Any, mismatched: Any) -> None:
    """Raise `ValueError` if weights other than the classifier's have another shape."""
    if body := sorted(key for key, *_ in mismatched if f"{model.base_model_prefix}." in key):
        raise ValueError(f"its weights don't fit its config.json: {', '.join(body[:3])}")


def _base_model_errors(recipe: Recipe) -> AbstractContextManager[None]:
    """Raise errors of loading the base model as a `ModelError`."""
    return explained(
        f"base model {recipe.base_model!r} (revision {recipe.base_revision or 'main'}) can't be "
        "loaded",
        ModelError,
        name=recipe.base_model,
        expected=(OSError, ValueError, SafetensorError),
        after="or name a local folder",
    )


def load(source: str, revision: str | None = None) -> tuple[Any, Any]:
    """Load a trained classifier and its tokenizer from a run folder or the Hub.

    Raises:
        ModelError: The model is missing, gated or no classifier.
    """
    with explained(
        f"no model at {source}",
        ModelError,
        name=source,
        expected=(OSError, ValueError, SafetensorError),
        after="give a run folder that `fit` has finished or a Hub id that you can read",
    ):
        _check_cached(source, revision)
        tokenizer = AutoTokenizer.from_pretrained(source, revision=revision)
        model = AutoModelForSequenceClassification.from_pretrained(
            source, revision=revision, dtype=torch.float32, use_safetensors=True
        )
    first_token.use_first_token_only(model)
    return model.eval(), tokenizer


def _check_cached(source: str, revision: str | None) -> None:
    """Raise `ModelError` if, offline, the cache lacks a file of a model on the Hub.

    transformers reports missing weights as a repository without weights, and creates an empty
    tokenizer if its file is missing. Scoring, for instance, caches no safetensors.
    """
    if not constants.is_offline_mode() or Path(source).exists():
        return
    missing = [
        names[0]
        for names in REQUIRED_FILES
        if not any(
            isinstance(try_to_load_from_cache(source, name, revision=revision), str)
            for name in names
        )
    ]
    if missing:
        raise ModelError(
            f"model {source!r} (revision {revision or 'main'}) can't be loaded: HF_HUB_OFFLINE is "
            f"set, and {constants.HF_HUB_CACHE} holds no {', '.join(missing)} of it — unset "
            "HF_HUB_OFFLINE to download it, or name a local folder"
        )


def base_commit(recipe: Recipe) -> str | None:
    """The commit that the recipe's `base_revision` refers to; None for a local folder.

    Raises:
        ModelError: As for `build`.
    """
    if recipe.base_is_local or is_commit(recipe.base_revision):
        return recipe.base_revision
    with _base_model_errors(recipe):
        return commit(recipe.base_model, recipe.base_revision)


def commit(source: str, revision: str | None) -> str | None:
    """The commit that a revision of a model on the Hub refers to; None for a local folder."""
    # The cache keeps the files of a commit in a folder of its name.
    folder = Path(str(cached_file(source, "config.json", revision=revision))).parent
    return folder.name if is_commit(folder.name) else revision


def stretch_positions(model: PreTrainedModel, positions: int) -> None:
    """Extend the model to `positions` tokens by repeating its trained position embeddings.

    `pipeline()` never truncates, so a review with more tokens than positions would crash it.
    The copies are initial values: reviews that reach them are trained like all others.

    Raises:
        ModelError: There are too few, and the positions are not a plain table that can be tiled.
    """
    if not hasattr(model.config, "max_position_embeddings"):
        return
    available = max_tokens(model)
    if positions <= available:
        return
    embeddings = getattr(model.base_model, "embeddings", None)
    table = getattr(embeddings, "position_embeddings", None)
    if not isinstance(table, nn.Embedding) or table.padding_idx is not None:
        raise ModelError(
            f"max_position_embeddings must be at most {available} for a {model.config.model_type} "
            f"model, whose position embeddings can't be stretched, got {positions} — "
            f"--set max_position_embeddings={available // 8 * 8}"
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
    """The longest input of the model, in tokens, special tokens included.

    In RoBERTa and MPNet the first position comes after that of the padding.
    """
    embeddings = getattr(model.base_model, "embeddings", None)
    table = getattr(embeddings, "position_embeddings", None)
    padding = getattr(table, "padding_idx", None)
    positions = int(model.config.max_position_embeddings)
    return positions if padding is None else positions - padding - 1


def to_device(model: Any) -> Any:
    """Move the model to the GPU, if there is one."""
    return model.to("cuda" if torch.cuda.is_available() else "cpu")


def portable_tokenizer(
    tokenizer: PreTrainedTokenizerBase, positions: int
) -> PreTrainedTokenizerBase:
    """The tokenizer with `<br />` normalized to a space, in a class that all loaders preserve.

    transformers 5 rebuilds the normalizer of its own BERT classes and would drop ours; the
    generic fast class keeps it. It saves no truncation and no padding.

    Raises:
        ModelError: The base model has no fast tokenizer.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    # If its files are missing, transformers 5 creates a tokenizer without words.
    if backend is None or len(tokenizer) <= len(tokenizer.all_special_ids):
        raise ModelError(
            f"{tokenizer.name_or_path} has no tokenizer.json — choose a base model with one"
        )
    breaks = normalizers.Replace(Regex(BREAK.pattern), " ")
    steps = [breaks] if backend.normalizer is None else [breaks, backend.normalizer]
    backend.normalizer = normalizers.Sequence(steps)
    backend.no_truncation()
    backend.no_padding()
    return _as_fast_tokenizer(backend, tokenizer, positions)


def _as_fast_tokenizer(
    backend: Tokenizer, like: PreTrainedTokenizerBase, positions: int
) -> PreTrainedTokenizerFast:
    """A tokenizer of the generic fast class with the special tokens of another."""
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        model_max_length=positions,
        model_input_names=like.model_input_names,
        **{key: getattr(like, key) for key in TOKENIZER_KEYS if getattr(like, key)},
    )


def fold_temperature(model: PreTrainedModel, temperature: float) -> None:
    """Calibrate the logits by dividing the last layer's weights by the temperature."""
    head = [module for module in model.modules() if isinstance(module, nn.Linear)][-1]
    assert head.out_features == model.config.num_labels
    with torch.no_grad():
        head.weight.div_(temperature)
        if head.bias is not None:
            head.bias.div_(temperature)


def save(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Write config, weights and tokenizer in a form that transformers 4 and 5 load alike.

    Raises:
        RunError: They can't be written, for instance because the disk is full.
    """
    try:
        model.save_pretrained(folder)
    except SafetensorError as error:
        raise RunError(
            f"the model can't be written to {folder} ({error}) — free disk space, then run the "
            "same command to resume"
        ) from error
    tokenizer.save_pretrained(folder)
    file = folder / "tokenizer_config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    # transformers 5 writes "TokenizersBackend", which 4.x doesn't know (transformers#47553).
    config["tokenizer_class"] = "PreTrainedTokenizerFast"
    config["model_input_names"] = tokenizer.model_input_names
    for key in ["is_local", "local_files_only", "backend"]:
        config.pop(key, None)
    file.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
