"""A trimmed vocabulary: the same tokens, ids and logits for the texts that it was made from."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import SAMPLES
from hubserver import WRITE, RunningHub
from test_transformers_js import LIBRARIES, in_javascript
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import AutoTokenizer, BertConfig, BertModel, PreTrainedTokenizerFast, pipeline

from space.inference.classifier import Classifier
from train import recipe as recipes
from train.errors import ModelError
from train.modeling import model, vocabulary
from train.publishing import export

COVERED = ["Un film wonderful, vraiment.", "참 좋은 영화였다", "这部电影很好看", "A dreadful bore."]
OTHER = "Quelle zythologie: 고양이 猫 ☂"  # single characters remain, and one that nobody knows


def unigram() -> Tokenizer:
    """A tokenizer like XLM-R's, trained on the samples and on words of other languages."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(vocab_size=1500, special_tokens=special, unk_token="<unk>")
    rows = (SAMPLES / "train.jsonl").read_text(encoding="utf-8").splitlines()[:200]
    texts = [json.loads(row)["text"] for row in rows]
    tokenizer.train_from_iterator([*texts, *COVERED * 30, "zythologie 고양이 猫 " * 9], trainer)
    tokenizer.add_special_tokens(["<mask>"])  # the last id, as in XLM-R
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    return tokenizer


def save_base(tokenizer: Any, folder: Path) -> Path:
    """A BERT of one layer with the vocabulary of a tokenizer, as e5-small is."""
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer) + 5,  # e5-small has more rows than tokens, too
        hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=64, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def unigram_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    names = {"bos_token": "<s>", "eos_token": "</s>", "cls_token": "<s>", "sep_token": "</s>"}
    names |= {"pad_token": "<pad>", "unk_token": "<unk>", "mask_token": "<mask>"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=unigram(), **names)
    return save_base(tokenizer, tmp_path_factory.mktemp("unigram-base"))


@pytest.fixture(params=["Unigram", "WordPiece"])
def base(request: pytest.FixtureRequest, unigram_base: Path, tiny_base: Path) -> Path:
    return {"Unigram": unigram_base, "WordPiece": tiny_base}[request.param]


def recipe_for(base: Path, trim: bool) -> recipes.Recipe:
    return recipes.parse(
        {
            "name": "tiny", "base_model": str(base), "datasets": [{"source": "reviews.csv"}],
            "max_position_embeddings": 64, "max_tokens": 64, "trim_vocabulary": trim,
        }
    )  # fmt: skip


Tokens = Callable[[str], list[str]]


def tokens_of(tokenizer: Any) -> Tokens:
    return lambda text: tokenizer.convert_ids_to_tokens(tokenizer(text)["input_ids"])


def logits_of(classifier: Any, tokenizer: Any, texts: list[str]) -> torch.Tensor:
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    with torch.inference_mode():
        logits: torch.Tensor = classifier.eval()(**batch).logits
    return logits


def test_covered_texts_have_the_same_tokens_and_logits(base: Path) -> None:
    whole, whole_tokenizer = model.build(recipe_for(base, False))
    small, small_tokenizer = model.build(recipe_for(base, True), COVERED)
    assert len(small_tokenizer) < len(whole_tokenizer)
    assert small.config.vocab_size == len(small_tokenizer)
    assert small.get_input_embeddings().num_embeddings == len(small_tokenizer)
    for text in COVERED:
        assert tokens_of(small_tokenizer)(text) == tokens_of(whole_tokenizer)(text)
    logits = [
        logits_of(*pair, COVERED) for pair in ((whole, whole_tokenizer), (small, small_tokenizer))
    ]
    assert torch.equal(*logits)


def test_other_texts_are_read_by_characters(base: Path) -> None:
    whole, whole_tokenizer = model.build(recipe_for(base, False))
    small, small_tokenizer = model.build(recipe_for(base, True), COVERED)
    unknown = small_tokenizer.unk_token
    pieces = tokens_of(small_tokenizer)(OTHER)
    assert len(pieces) > len(tokens_of(whole_tokenizer)(OTHER))
    assert pieces.count(unknown) == tokens_of(whole_tokenizer)(OTHER).count(unknown) >= 1
    assert logits_of(small, small_tokenizer, [OTHER]).isfinite().all()


def test_special_tokens_keep_their_roles(unigram_base: Path) -> None:
    whole = AutoTokenizer.from_pretrained(unigram_base)
    small, tokenizer = model.build(recipe_for(unigram_base, True), COVERED)
    for name in ["cls_token", "sep_token", "pad_token", "unk_token", "mask_token"]:
        assert getattr(tokenizer, name) == getattr(whole, name)
    assert tokenizer.mask_token_id == len(tokenizer) - 1
    assert small.config.pad_token_id == tokenizer.pad_token_id
    pair = tokenizer("wonderful", "dreadful")["input_ids"]
    assert pair[0] == tokenizer.cls_token_id and pair.count(tokenizer.sep_token_id) == 3


def test_bytes_are_kept() -> None:
    bytes_of = [(f"<0x{number:02X}>", -9.0) for number in range(256)]
    tokenizer = Tokenizer(
        models.Unigram([("<unk>", 0.0), *bytes_of, ("▁film", -1.0), ("▁zoo", -1.0)], 0, True)
    )
    embeddings = torch.nn.Embedding(len(bytes_of) + 3, 4)
    owner: Any = type("Owner", (), {"config": BertConfig()})()
    owner.config.pad_token_id = None
    owner.get_input_embeddings = lambda: embeddings
    owner.set_input_embeddings = lambda new: setattr(owner, "new", new)
    small = vocabulary.trim(owner, tokenizer, ["▁film"])
    assert small.get_vocab_size() == len(bytes_of) + 2 == owner.new.num_embeddings
    assert small.encode("☂").tokens == tokenizer.encode("☂").tokens


def test_bpe_is_an_error(tmp_path: Path) -> None:
    backend = Tokenizer(models.BPE({"a": 0, "b": 1, "ab": 2, "<pad>": 3}, [("a", "b")]))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>")
    base = save_base(tokenizer, tmp_path)
    message = "needs a tokenizer of the kind Unigram or WordPiece, got BPE"
    with pytest.raises(ModelError, match=message):
        model.build(recipe_for(base, True), ["ab"])


@pytest.fixture(scope="module")
def saved(unigram_base: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A run folder with a trimmed vocabulary and ONNX, and its probabilities of `COVERED`."""
    folder = tmp_path_factory.mktemp("trimmed")
    built, tokenizer = model.build(recipe_for(unigram_base, True), COVERED)
    model.fold_temperature(built, 0.01)
    model.save(built, tokenizer, folder)
    (folder / "onnx").mkdir()
    export.write(built, False, folder / "onnx/model.onnx")
    return folder, logits_of(built, tokenizer, COVERED).softmax(-1)[:, 1].numpy()


def test_pipeline_and_onnx_give_the_same_answers(saved: tuple[Path, Any]) -> None:
    folder, expected = saved
    classify = pipeline("sentiment-analysis", model=str(folder), top_k=None)
    positive = [
        {a["label"]: a["score"] for a in answer}["POSITIVE"] for answer in classify(COVERED)
    ]
    np.testing.assert_allclose(positive, expected, atol=1e-5)
    answers = Classifier.from_folder(folder).predict_batch(COVERED)
    onnx = [answer.probabilities["POSITIVE"] for answer in answers]
    np.testing.assert_allclose(onnx, expected, atol=1e-5)


@pytest.mark.parametrize("library", LIBRARIES)
def test_transformers_js_gives_the_same_answers(
    library: str, saved: tuple[Path, Any], hub: RunningHub, tmp_path: Path
) -> None:
    from huggingface_hub import HfApi

    folder, expected = saved
    api = HfApi(endpoint=hub.endpoint, token=WRITE)
    api.create_repo("demo/trimmed", exist_ok=True)
    api.upload_folder(repo_id="demo/trimmed", folder_path=folder)
    job = {"model": "demo/trimmed", "texts": COVERED}
    probabilities = in_javascript(library, hub, tmp_path, "fp32", **job)
    np.testing.assert_allclose(probabilities["alone"], expected, atol=1e-4)
