"""The model folder has all that inference needs, for pipeline() and without our code."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import REPOSITORY
from transformers import (
    AutoTokenizer,
    BertModel,
    DistilBertConfig,
    DistilBertModel,
    MPNetConfig,
    MPNetForSequenceClassification,
    RobertaConfig,
    RobertaModel,
    pipeline,
)

from train import recipe as recipes
from train.errors import ModelError
from train.modeling import model
from train.recipe import Recipe

LONG_REVIEW = "wonderful songs and " * 750  # 3,000 words and as many tokens, or more


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)  # threads that wait for a busy core make small models slow


def recipe_for(base: Path | str, **changes: Any) -> Recipe:
    values = {"name": "tiny", "base_model": str(base), "datasets": [{"source": "reviews.csv"}]}
    return recipes.parse({**values, **changes})


@pytest.fixture(scope="module")
def distil_base(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DistilBERT with the tiny base's vocabulary and the tokenizer files of the Hub's one."""
    folder = tmp_path_factory.mktemp("distil-base")
    tokenizer = AutoTokenizer.from_pretrained(tiny_base)
    shutil.copy(tiny_base / "tokenizer.json", folder)
    settings = {"do_lower_case": True, "model_max_length": 512}  # without a class and inputs
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    torch.manual_seed(0)
    config = DistilBertConfig(
        vocab_size=len(tokenizer), dim=32, n_layers=1, n_heads=2, hidden_dim=64,
        max_position_embeddings=64,
    )  # fmt: skip
    DistilBertModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def roberta_base(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A RoBERTa, which numbers positions after the padding's, with the tiny base's vocabulary."""
    folder = tmp_path_factory.mktemp("roberta-base")
    tokenizer = AutoTokenizer.from_pretrained(tiny_base)
    tokenizer.save_pretrained(folder)
    config = RobertaConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=66, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    RobertaModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", params=["bert", "distilbert"])
def saved(
    request: pytest.FixtureRequest,
    tiny_base: Path,
    distil_base: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A model folder, once of BERT and once of DistilBERT."""
    base = {"bert": tiny_base, "distilbert": distil_base}[request.param]
    folder = tmp_path_factory.mktemp(f"saved-{request.param}")
    model.save(*model.build(recipe_for(base)), folder)
    return folder


def read_json(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text(encoding="utf-8"))


def test_config_has_the_labels(saved: Path) -> None:
    config = read_json(saved / "config.json")
    assert config["id2label"] == {"0": "NEGATIVE", "1": "POSITIVE"}
    assert config["label2id"] == {"NEGATIVE": 0, "POSITIVE": 1}


def test_any_number_of_labels(tiny_base: Path) -> None:
    classifier, _ = model.build(recipe_for(tiny_base, labels=["BAD", "SO-SO", "GOOD"]))
    assert classifier.config.id2label == {0: "BAD", 1: "SO-SO", 2: "GOOD"}
    assert classifier.classifier.out_features == 3


def test_folder_holds_no_pickle(saved: Path) -> None:
    names = {file.name for file in saved.iterdir()}
    assert names == {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}


def test_tokenizer_config_loads_in_transformers_4_and_5(saved: Path) -> None:
    config = read_json(saved / "tokenizer_config.json")
    assert config["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert config["model_max_length"] == 4096
    assert not {"is_local", "local_files_only", "backend"} & set(config)
    types = [] if "distil" in saved.name else ["token_type_ids"]
    assert config["model_input_names"][:1] == ["input_ids"]
    assert set(config["model_input_names"]) == {"input_ids", "attention_mask", *types}


def test_tokenizer_returns_only_inputs_of_the_model(saved: Path) -> None:
    encoded = AutoTokenizer.from_pretrained(saved)("wonderful")
    assert ("token_type_ids" in encoded) == ("distil" not in saved.name)


@pytest.mark.parametrize("tag", ["<br />", "<br/>", "<br>", "<br /><br />"])
def test_line_break_tag_is_a_space(saved: Path, tag: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(saved)
    with_tags = tokenizer(f"wonderful{tag}songs, a{tag} dreadful end")["input_ids"]
    assert with_tags == tokenizer("wonderful songs, a dreadful end")["input_ids"]


def test_tokens_equal_those_of_the_base_model(saved: Path, tiny_base: Path) -> None:
    text = "A Wonderful film — naïve, but less dreadful than 5 < 6 <brr />."
    ours, base = (AutoTokenizer.from_pretrained(folder) for folder in (saved, tiny_base))
    assert ours(text)["input_ids"] == base(text)["input_ids"]


def test_tokenizer_is_saved_without_truncation_or_padding(saved: Path) -> None:
    backend = read_json(saved / "tokenizer.json")
    assert backend["truncation"] is None
    assert backend["padding"] is None


def test_saving_a_loaded_model_writes_the_same_files(saved: Path, tmp_path: Path) -> None:
    classifier, tokenizer = model.load(str(saved))
    model.save(classifier, tokenizer, tmp_path)
    for name in ["tokenizer.json", "tokenizer_config.json", "model.safetensors"]:
        assert (tmp_path / name).read_bytes() == (saved / name).read_bytes()


def test_positions_are_tiled(saved: Path) -> None:
    classifier, _ = model.load(str(saved))
    assert classifier.config.max_position_embeddings == 4096
    weights = classifier.base_model.embeddings.position_embeddings.weight  # (positions, width)
    assert weights.shape == (4096, 32)
    for start in range(64, 4096, 64):
        assert torch.equal(weights[start : start + 64], weights[:64])


def test_last_tile_of_positions_may_be_partial(tiny_base: Path) -> None:
    classifier, _ = model.build(recipe_for(tiny_base, max_position_embeddings=104, max_tokens=64))
    weights = classifier.base_model.embeddings.position_embeddings.weight  # (104, width)
    assert torch.equal(weights[64:], weights[:40])


def test_stretching_keeps_the_logits_of_short_reviews(tiny_base: Path) -> None:
    stretched, tokenizer = model.build(recipe_for(tiny_base))
    plain, _ = model.build(recipe_for(tiny_base, max_position_embeddings=64, max_tokens=64))
    batch = tokenizer("a wonderful film", return_tensors="pt")
    with torch.inference_mode():
        assert torch.equal(stretched.eval()(**batch).logits, plain.eval()(**batch).logits)


def test_pipeline_classifies_a_long_review(saved: Path) -> None:
    classify = pipeline("sentiment-analysis", model=str(saved))
    tokens = classify.tokenizer(LONG_REVIEW)["input_ids"]
    assert len(tokens) >= 3000
    [answer] = classify(LONG_REVIEW)
    assert answer["label"] in {"NEGATIVE", "POSITIVE"}
    assert 0.5 <= answer["score"] <= 1


def test_pipeline_truncates_at_the_positions_if_asked(saved: Path) -> None:
    classify = pipeline("sentiment-analysis", model=str(saved))
    assert len(classify.tokenizer(LONG_REVIEW * 2, truncation=True)["input_ids"]) == 4096


@pytest.mark.parametrize("temperature", [0.25, 1.7, 10.0])
def test_folded_temperature_divides_the_logits(saved: Path, temperature: float) -> None:
    classifier, tokenizer = model.load(str(saved))
    torch.nn.init.normal_(classifier.classifier.bias)
    batch = tokenizer(["a wonderful film", "dreadful"], padding=True, return_tensors="pt")
    with torch.inference_mode():
        before = classifier(**batch).logits  # (2, labels)
        model.fold_temperature(classifier, temperature)
        after = classifier(**batch).logits
    torch.testing.assert_close(after, before / temperature, rtol=1e-5, atol=1e-7)


def test_same_seed_gives_the_same_head(tiny_base: Path) -> None:
    def head(seed: int) -> torch.Tensor:
        torch.rand(seed + 3)  # any earlier use of the generator
        return model.build(recipe_for(tiny_base, seed=seed))[0].classifier.weight

    assert torch.equal(head(5), head(5))
    assert not torch.equal(head(5), head(6))


def test_body_has_the_weights_of_the_base_model(tiny_base: Path) -> None:
    classifier, _ = model.build(recipe_for(tiny_base))
    base = BertModel.from_pretrained(tiny_base)
    ours = classifier.bert.encoder.state_dict()
    assert all(
        torch.equal(ours[name], tensor) for name, tensor in base.encoder.state_dict().items()
    )


def test_missing_base_model_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # between huggingface_hub's retries
    with pytest.raises(ModelError) as caught:
        model.build(recipe_for("user/no-such-model", base_revision="v1"))
    message = str(caught.value)
    assert "base model 'user/no-such-model' (revision v1) can't be loaded" in message
    assert "the connection to http://127.0.0.1:9 failed" in message
    assert "check the network and HF_ENDPOINT; or name a local folder" in message


def test_error_for_a_gated_base_model_says_how_to_get_access(tmp_path: Path) -> None:
    from hubserver import ADMIN, running_hub

    command = (
        "from train.modeling import model; from train import recipe\n"
        "model.build(recipe.parse({'name': 'x', 'base_model': 'owner/gated',"
        " 'datasets': [{'source': 'a.csv'}]}))"
    )
    with running_hub() as hub:
        from huggingface_hub import HfApi

        api = HfApi(endpoint=hub.endpoint, token=ADMIN)
        api.create_repo("owner/gated")
        api.upload_file(repo_id="owner/gated", path_or_fileobj=b"{}", path_in_repo="config.json")
        api.update_repo_settings("owner/gated", gated="manual")
        done = subprocess.run(
            [sys.executable, "-c", command],
            env=hub.env(tmp_path / "home"),
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
        )
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("train.errors.ModelError: base model 'owner/gated'")
    assert "request access on its page and log in with `hf auth login`" in last


def test_pickled_weights_are_an_error(tiny_base: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pickled"
    shutil.copytree(tiny_base, folder)
    torch.save(BertModel.from_pretrained(folder).state_dict(), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="safetensors"):
        model.build(recipe_for(folder))


def test_base_model_without_tokenizer_is_an_error(tiny_base: Path, tmp_path: Path) -> None:
    folder = tmp_path / "wordless"
    folder.mkdir()
    for name in ["config.json", "model.safetensors"]:
        shutil.copy(tiny_base / name, folder)
    with pytest.raises(ModelError, match="wordless"):
        model.build(recipe_for(folder))


def test_damaged_weights_are_an_error(tiny_base: Path, tmp_path: Path) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(tiny_base, folder)
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(ModelError, match="damaged"):
        model.build(recipe_for(folder))


def test_positions_that_cannot_be_stretched_are_an_error(roberta_base: Path) -> None:
    with pytest.raises(ModelError, match="for a roberta model, whose position embeddings can't"):
        model.build(recipe_for(roberta_base))


def test_positions_named_as_remedy_work(roberta_base: Path) -> None:
    with pytest.raises(ModelError) as caught:
        model.build(recipe_for(roberta_base))
    remedy = int(str(caught.value).rpartition("--set max_position_embeddings=")[2])
    recipe = recipe_for(roberta_base, max_position_embeddings=remedy, max_tokens=remedy)
    classifier, tokenizer = model.build(recipe)
    batch = tokenizer("wonderful " * 99, truncation=True, return_tensors="pt")
    with torch.inference_mode():
        assert classifier(**batch).logits.shape == (1, 2)


def test_max_tokens_of_mpnet_is_its_longest_input() -> None:
    """As in RoBERTa, the first position comes after that of the padding."""
    config = MPNetConfig(
        vocab_size=50,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=18,
    )
    classifier = MPNetForSequenceClassification(config).eval()
    longest = model.max_tokens(classifier)
    with torch.inference_mode():
        assert classifier(torch.full((1, longest), 5)).logits.shape == (1, 2)
        with pytest.raises(IndexError):
            classifier(torch.full((1, longest + 1), 5))


def test_loading_a_folder_without_a_model_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=f"no model at {tmp_path}: .*; give a run folder"):
        model.load(str(tmp_path))
