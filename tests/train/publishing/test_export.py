"""Export: the ONNX files give the original logits; int8 is published if it is accurate."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import REPOSITORY
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForSequenceClassification, DistilBertConfig, RobertaConfig

from train import run_folder
from train.data.tokens import Tokens
from train.errors import RunError
from train.modeling import first_token, model
from train.publishing import export


@pytest.fixture(scope="module")
def run(fitted_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fitted run without ONNX files."""
    return Path(shutil.copytree(fitted_run, tmp_path_factory.mktemp("runs") / "tiny"))


def test_export_writes_both_files_and_their_results(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import onnxruntime

    result = export.export(run)
    session = onnxruntime.InferenceSession(run / "onnx/model.onnx")
    assert [i.name for i in session.get_inputs()] == ["input_ids", "attention_mask"]
    assert run_folder.load_results(run)["export"] == result
    assert result["fp32"]["max_difference"] <= export.MAX_DIFFERENCE
    assert result["int8"]["agreement"] >= export.MIN_AGREEMENT
    assert result["int8"]["published"]
    for name, kind in [("model", "fp32"), ("model_quantized", "int8")]:
        assert (run / "onnx" / f"{name}.onnx").stat().st_size == result[kind]["bytes"]
    assert result["int8"]["bytes"] < result["fp32"]["bytes"]
    assert "of labels equal" in capsys.readouterr().out
    assert sorted(p.name for p in (run / "onnx").iterdir()) == [
        "model.onnx",
        "model_quantized.onnx",
    ]


def test_inaccurate_int8_is_not_published(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    original = export.predict

    def worse(file: Path, tokens: Tokens, name: str = "", **batch: int) -> Any:
        logits = original(file, tokens, name, **batch)
        if name == "int8":
            logits[0] = -logits[0]  # one of 13 or so
        return logits

    monkeypatch.setattr(export, "predict", worse)
    result = export.export(run)["int8"]
    assert not result["published"]
    assert result["agreement"] < export.MIN_AGREEMENT
    assert [tried["scheme"] for tried in [*result["tried_before"], result]] == list(export.SCHEMES)
    assert not (run / "onnx/model_quantized.onnx").exists()
    assert "int8 is not kept" in capsys.readouterr().out


def test_fp32_with_other_logits_is_an_error(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = export.predict
    monkeypatch.setattr(export, "predict", lambda *args, **batch: original(*args, **batch) + 0.001)
    with pytest.raises(RunError, match=r"from the original's by at most 0\.0001, got 0\.001"):
        export.export(run)
    assert not (run / "onnx/model.onnx").exists()


@pytest.mark.parametrize("form", ["fp32", "int8"])
def test_batch_dependent_file_is_not_published(
    form: str, run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    original = export.predict
    names = {"fp32": "model.onnx", "int8": "model_quantized.onnx"}

    def shifted(file: Path, tokens: Tokens, name: str = "", **batch: int) -> Any:
        logits = original(file, tokens, name, **batch)
        return logits + np.array([0, 0.3]) * (batch.get("rows") == 8 and file.name == names[form])

    monkeypatch.setattr(export, "predict", shifted)
    measured = r"probabilities shift by up to 0\.0\d+ and \d labels change if 16 reviews"
    if form == "fp32":
        with pytest.raises(RunError, match=measured + r".* 2, 8, 32 or padded to 4,096 tokens"):
            export.export(run)
    else:
        result = export.export(run)
        assert not result["int8"]["published"]
        assert result["int8"]["in_batches"]["max_shift"] > export.MAX_SHIFT
        assert result["fp32"]["in_batches"]["max_shift"] <= export.MAX_SHIFT
        printed = capsys.readouterr().out
        assert re.search(f"int8 is not kept .*{measured}", printed)
        assert "and a shift of 0.01" in printed
    assert not (run / "onnx" / names[form]).exists()


def test_changed_validation_split_is_refused(run: Path) -> None:
    results = run_folder.load_results(run)
    changed = run_folder.load_results(run)
    changed["data"]["splits"]["validation"]["sha256"] = "0" * 64
    run_folder.save_results(run / "results.json", changed)
    with pytest.raises(
        RunError, match="the validation reviews differ from those .* has changed; pin it"
    ):
        export.export(run)
    run_folder.save_results(run / "results.json", results)


@pytest.fixture(scope="module")
def int8(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with random weights in int8."""
    folder = tmp_path_factory.mktemp("int8")
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_config(DISTILBERT).eval()
    model.config.save_pretrained(folder)
    (folder / "onnx").mkdir()
    full, file = folder / "onnx/model.onnx", folder / "onnx/model_quantized.onnx"
    export.write(model, False, full)
    export.quantize(full, file, ["MatMul", "Gather"])
    return file


SMALL: dict[str, Any] = {"vocab_size": 99, "max_position_embeddings": 96, "num_labels": 3}
DISTILBERT = DistilBertConfig(dim=32, n_layers=2, n_heads=4, hidden_dim=48, **SMALL)
ROBERTA = RobertaConfig(
    hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48, **SMALL
)


@pytest.mark.parametrize("config", [DISTILBERT, ROBERTA], ids=["distilbert", "roberta"])
def test_padded_and_unpadded_batches_give_the_original_logits(config: Any, tmp_path: Path) -> None:
    import onnx
    import onnxruntime

    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_config(config).eval()
    first_token.use_first_token_only(model)
    export.write(model, False, tmp_path / "model.onnx")
    graph = onnx.load(tmp_path / "model.onnx")
    assert [(o.domain, o.version) for o in graph.opset_import] == [("", 18), ("com.microsoft", 1)]
    operators = [node.op_type for node in graph.graph.node]
    assert operators.count("If") == config.num_hidden_layers  # attention, fused where it may be
    assert "Transpose" not in operators  # nothing is turned around for it
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    assert [result.name for result in session.get_inputs()] == ["input_ids", "attention_mask"]
    for lengths in ([5], [80, 80], [1, 7, 30], [64, 3]):
        mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
        # RoBERTa counts positions by what isn't its padding, 1.
        ids = torch.randint(3, 99, mask.shape) * mask + (1 - mask) * (config.pad_token_id or 0)
        with torch.inference_mode():
            expected = model(input_ids=ids, attention_mask=mask).logits.numpy()
        fed = {"input_ids": ids.numpy(), "attention_mask": mask.numpy()}
        (result,) = session.run(None, fed)
        np.testing.assert_allclose(result, expected, atol=1e-5)


@settings(derandomize=True, max_examples=12, deadline=None)
@given(lengths=st.lists(st.integers(1, 60), min_size=1, max_size=6), padding=st.integers(0, 36))
def test_int8_logits_do_not_depend_on_the_batch(
    int8: Path, lengths: list[int], padding: int
) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(int8)
    random = np.random.default_rng(len(lengths))
    texts = [random.integers(3, 99, size=length) for length in lengths]
    tokens = Tokens(texts, np.zeros(len(texts)))
    alone = export.predict(int8, tokens)
    padded_to = max(lengths) + padding
    together = export.predict(int8, tokens, rows=len(texts), padded_to=padded_to, pad=7)
    np.testing.assert_array_equal(together, alone)
    # Padding in front, as some callers have it, and a row that is nothing else.
    ids = np.stack([np.pad(text, (padded_to - len(text), 0)) for text in texts])
    mask = np.stack([np.pad(np.ones_like(text), (padded_to - len(text), 0)) for text in texts])
    fed = {
        "input_ids": np.concatenate([ids, ids[:1]]),
        "attention_mask": np.concatenate([mask, np.zeros_like(mask[:1])]),
    }
    (result,) = session.run(None, fed)
    np.testing.assert_array_equal(result[:-1], alone)
    assert np.isfinite(result[-1]).all()


ONNXRUNTIME_1_18 = """
import sys
import numpy as np, onnxruntime
assert onnxruntime.__version__ == "1.18.1"
fed = dict(np.load(sys.argv[1] + "/fed.npz"))
for name in ["model", "model_quantized"]:
    file = f"{sys.argv[1]}/onnx/{name}.onnx"
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    np.save(f"{file}.npy", session.run(["logits"], fed)[0])
"""
OPTIMUM = """
import sys
import numpy as np, torch
from optimum.onnxruntime import ORTModelForSequenceClassification
fed = {name: torch.from_numpy(x) for name, x in np.load(sys.argv[1] + "/fed.npz").items()}
for name, where in {
    "model": {}, "model_quantized": {"subfolder": "onnx", "file_name": "model_quantized.onnx"}
}.items():
    model = ORTModelForSequenceClassification.from_pretrained(sys.argv[1], **where)
    np.save(f"{sys.argv[1]}/onnx/{name}.onnx.npy", model(**fed).logits.numpy())
"""


@pytest.mark.parametrize(
    ("environment", "code"),
    [(".venv-onnxruntime18", ONNXRUNTIME_1_18), (".venv-transformers4", OPTIMUM)],
    ids=["ONNX Runtime 1.18", "optimum"],
)
def test_other_runtimes_give_the_same_logits(environment: str, code: str, int8: Path) -> None:
    folder = int8.parent.parent
    lengths = [60, 5, 31, 1]
    mask = (np.arange(64) < np.array(lengths)[:, None]).astype(np.int64)
    ids = np.random.default_rng(0).integers(3, 99, size=mask.shape) * mask
    np.savez(folder / "fed.npz", input_ids=ids, attention_mask=mask)
    python = REPOSITORY / environment / "bin" / "python"  # `make setup-tests` makes it
    subprocess.run([python, "-c", code, folder], check=True)
    texts = [row[:length] for row, length in zip(ids, lengths, strict=True)]
    for file in [folder / "onnx/model.onnx", int8]:
        expected = export.predict(file, Tokens(texts, np.zeros(len(texts))))
        np.testing.assert_allclose(np.load(f"{file}.npy"), expected, atol=1e-3)


def test_int8_products_cannot_overflow_on_a_cpu_without_vnni(int8: Path) -> None:
    """Such a CPU adds two products of an activation (0 to 255) and a weight in 16 bits."""
    import onnx

    (loop,) = onnx.load(int8).graph.node
    text = onnx.helper.get_node_attr_value(loop, "body")
    values = {item.name: onnx.numpy_helper.to_array(item) for item in text.initializer}
    weights = [values[node.input[1]] for node in text.node if node.op_type == "MatMulInteger"]
    assert weights and {matrix.dtype.name for matrix in weights} == {"int8"}
    largest = max(int(np.abs(matrix.astype(int)).max()) for matrix in weights)
    assert 32 < largest and 2 * 255 * largest < 2**15


def test_embeddings_have_one_scale_per_row(run: Path, tmp_path: Path) -> None:
    """A large embedding, of a token that no text has, changes no other embedding."""
    classifier, _ = model.load(str(run))
    words = classifier.base_model.embeddings.word_embeddings.weight
    ids = [np.arange(2, 2 + length) for length in (1, 5, 40)]
    tokens = Tokens(ids, np.zeros(len(ids), dtype=np.int64), None)
    full, file = tmp_path / "model.onnx", tmp_path / "int8.onnx"
    predicted = []
    for factor in (1, 10_000):
        with torch.no_grad():
            words[-1] *= factor
        export.write(classifier, False, full)
        export.quantize(full, file, ["Gather"])
        predicted.append(export.predict(file, tokens))
    np.testing.assert_allclose(*predicted, atol=1e-6)
    expected = export.predict(full, tokens)
    np.testing.assert_allclose(predicted[0], expected, atol=0.2)
    assert not np.array_equal(predicted[0], expected)
    assert file.stat().st_size < full.stat().st_size - 2 * words.nbytes // 3


def test_pairs_are_checked_with_their_token_types(
    aspect_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Path(shutil.copytree(aspect_run, tmp_path / "aspects"))
    write = export.write

    def write_without_types(classifier: Any, has_pairs: bool, file: Path) -> None:
        weights = classifier.base_model.embeddings.token_type_embeddings.weight
        with torch.no_grad():
            second = weights[1].clone()
            weights[1] = weights[0]
            write(classifier, has_pairs, file)
            weights[1] = second

    export.restore(run, ["A film.", "Good."])
    monkeypatch.setattr(export, "write", write_without_types)
    with pytest.raises(RunError, match="from the original's by at most"):
        export.export(run)
    with pytest.raises(RunError, match="got: fp32 logits differ by"):
        export.restore(run, ["A film.", "Good."])


def test_text_pairs_keep_their_token_types(tmp_path: Path) -> None:
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
    (result,) = session.run(None, {name: tensor.numpy() for name, tensor in fed.items()})
    np.testing.assert_allclose(result, expected, atol=1e-5)
    export.quantize(tmp_path / "model.onnx", tmp_path / "int8.onnx", ["MatMul"])
    session = onnxruntime.InferenceSession(tmp_path / "int8.onnx")
    (result,) = session.run(None, {name: tensor.numpy() for name, tensor in fed.items()})
    np.testing.assert_allclose(result, expected, atol=0.05)
