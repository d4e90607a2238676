"""Export: the ONNX files answer as the original does; int8 goes out where it is as good."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import fit_toy_run
from transformers import AutoModelForSequenceClassification, DistilBertConfig, RobertaConfig

from train import export, first_token, runs
from train.errors import RunError
from train.tokens import Tokens


@pytest.fixture(scope="module")
def run(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that is fitted, not yet exported."""
    return fit_toy_run(tmp_path_factory.mktemp("runs"), tiny_base)


def test_writes_both_files_and_the_figures(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import onnxruntime

    found = export.export(run)
    session = onnxruntime.InferenceSession(run / "onnx/model.onnx")
    assert [i.name for i in session.get_inputs()] == ["input_ids", "attention_mask"]
    assert runs.load_results(run)["export"] == found
    assert found["fp32"]["max_difference"] <= export.MAX_DIFFERENCE
    assert found["int8"]["agreement"] >= export.MIN_AGREEMENT
    assert found["int8"]["published"]
    for name, kind in [("model", "fp32"), ("model_quantized", "int8")]:
        assert (run / "onnx" / f"{name}.onnx").stat().st_size == found[kind]["bytes"]
    assert found["int8"]["bytes"] < found["fp32"]["bytes"]
    assert "of labels equal" in capsys.readouterr().out
    assert sorted(p.name for p in (run / "onnx").iterdir()) == [
        "model.onnx",
        "model_quantized.onnx",
    ]


def test_int8_that_is_worse_is_not_kept(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    right = export.predict

    def worse(file: Path, tokens: Tokens, name: str = "") -> Any:
        logits = right(file, tokens, name)
        if name == "int8":
            logits[0] = -logits[0]  # one of 13 or so
        return logits

    monkeypatch.setattr(export, "predict", worse)
    found = export.export(run)["int8"]
    assert not found["published"]
    assert found["agreement"] < export.MIN_AGREEMENT
    assert [tried["scheme"] for tried in [*found["tried_before"], found]] == list(export.SCHEMES)
    assert not (run / "onnx/model_quantized.onnx").exists()
    assert "int8 is not kept" in capsys.readouterr().out


def test_fp32_that_answers_otherwise_is_an_error(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = export.predict
    monkeypatch.setattr(export, "predict", lambda *given: right(*given) + 0.001)
    with pytest.raises(RunError, match=r"differ from the original's by 0\.001, more than 0\.0001"):
        export.export(run)
    assert not (run / "onnx/model.onnx").exists()


def test_changed_validation_reviews_are_refused(run: Path) -> None:
    results = runs.load_results(run)
    changed = runs.load_results(run)
    changed["data"]["splits"]["validation"]["sha256"] = "0" * 64
    runs.save_results(run / "results.json", changed)
    with pytest.raises(
        RunError, match="the validation reviews are not those .* changed since; pin it"
    ):
        export.export(run)
    runs.save_results(run / "results.json", results)


SMALL: dict[str, Any] = {"vocab_size": 99, "max_position_embeddings": 96, "num_labels": 3}
DISTILBERT = DistilBertConfig(dim=32, n_layers=2, n_heads=4, hidden_dim=48, **SMALL)
ROBERTA = RobertaConfig(
    hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48, **SMALL
)


@pytest.mark.parametrize("config", [DISTILBERT, ROBERTA], ids=["distilbert", "roberta"])
def test_padded_and_whole_batches_of_any_shape_give_the_original_logits(
    config: Any, tmp_path: Path
) -> None:
    import onnx
    import onnxruntime

    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_config(config).eval()
    first_token.shorten(model)
    export.write(model, False, tmp_path / "model.onnx")
    operators = [node.op_type for node in onnx.load(tmp_path / "model.onnx").graph.node]
    assert operators.count("If") == config.num_hidden_layers  # attention, fused where it may be
    assert "Transpose" not in operators  # nothing is turned around for it
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    assert [found.name for found in session.get_inputs()] == ["input_ids", "attention_mask"]
    for lengths in ([5], [80, 80], [1, 7, 30], [64, 3]):
        mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
        # RoBERTa counts positions by what isn't its padding, 1.
        ids = torch.randint(3, 99, mask.shape) * mask + (1 - mask) * (config.pad_token_id or 0)
        with torch.inference_mode():
            expected = model(input_ids=ids, attention_mask=mask).logits.numpy()
        fed = {"input_ids": ids.numpy(), "attention_mask": mask.numpy()}
        (found,) = session.run(None, fed)
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_pairs_of_texts_keep_their_types(tmp_path: Path) -> None:
    import onnxruntime
    from transformers import BertConfig

    torch.manual_seed(0)
    config = BertConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48, **SMALL
    )
    model = AutoModelForSequenceClassification.from_config(config).eval()
    export.write(model, True, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    ids = torch.randint(3, 99, (2, 12))
    types = (torch.arange(12) > 5).long().expand(2, 12).contiguous()
    with torch.inference_mode():
        expected = model(input_ids=ids, token_type_ids=types).logits.numpy()
    fed = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "token_type_ids": types}
    (found,) = session.run(None, {name: tensor.numpy() for name, tensor in fed.items()})
    np.testing.assert_allclose(found, expected, atol=1e-5)
