"""The shortcut through the last layer has the logits and gradients of the full layer."""

from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    DistilBertConfig,
    RobertaConfig,
)

from train.modeling import first_token

SMALL = {"vocab_size": 99, "max_position_embeddings": 64, "num_labels": 3}
BERT = BertConfig(
    hidden_size=32, num_hidden_layers=3, num_attention_heads=4, intermediate_size=48, **SMALL
)
DISTILBERT = DistilBertConfig(dim=32, n_layers=2, n_heads=4, hidden_dim=48, **SMALL)


def classifier(config: Any, attention: str = "sdpa") -> Any:
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_config(config, attn_implementation=attention)
    return model.eval()


def mixed_lengths() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    mask = (torch.arange(20) < torch.tensor([[20], [13], [1]])).long()
    return {"input_ids": torch.randint(1, 99, (3, 20)) * mask, "attention_mask": mask}


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("config", [BERT, DISTILBERT], ids=["bert", "distilbert"])
def test_logits_and_gradients_equal_those_of_the_full_layer(config: Any, attention: str) -> None:
    full, short = classifier(config, attention), classifier(config, attention)
    assert first_token.use_first_token_only(short)
    for batch in [mixed_lengths(), {"input_ids": torch.randint(1, 99, (2, 9))}]:
        expected, actual = full(**batch).logits, short(**batch).logits
        torch.testing.assert_close(actual, expected, rtol=0, atol=1e-6)
        full.zero_grad()
        short.zero_grad()
        expected.square().sum().backward()
        actual.square().sum().backward()
        gradients = dict(full.named_parameters())
        for name, parameter in short.named_parameters():
            torch.testing.assert_close(
                parameter.grad, gradients[name].grad, rtol=1e-4, atol=1e-6, msg=name
            )


@pytest.mark.parametrize("config", [BERT, DISTILBERT], ids=["bert", "distilbert"])
def test_only_the_first_token_goes_through_the_last_layer(config: Any) -> None:
    model = classifier(config)
    first_token.use_first_token_only(model)
    assert model.base_model(**mixed_lengths()).last_hidden_state.shape == (3, 1, 32)


@pytest.mark.parametrize("config", [BERT, DISTILBERT], ids=["bert", "distilbert"])
def test_shortcut_supports_dropout_and_autocast(config: Any) -> None:
    model = classifier(config).train()
    before = list(model.state_dict())
    first_token.use_first_token_only(model)
    batch = mixed_lengths()
    with torch.autocast("cpu", torch.bfloat16):
        first, second = (model(**batch).logits for _ in range(2))
    assert first.dtype == torch.bfloat16
    assert not torch.equal(first, second)
    assert list(model.state_dict()) == before


def test_unsupported_architecture_is_unchanged() -> None:
    config = RobertaConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48, **SMALL
    )
    model = classifier(config)
    assert not first_token.use_first_token_only(model)
    assert model.base_model(**mixed_lengths()).last_hidden_state.shape == (3, 20, 32)
