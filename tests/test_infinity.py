"""infinity-emb, a server that others use, loads a published model and gives pipeline()'s scores."""

from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from conftest import toy_settings
from hubserver import running_hub
from test_app import push

from benchmarks import service
from benchmarks.space import MODEL

REVIEWS = ["a wonderful film", "a dreadful film with songs and an end", "wonderful " * 600]


@pytest.fixture(scope="module")
def folder(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with random weights that reads 4,096 tokens, with both ONNX files.

    infinity-emb warms up with texts of 512 tokens, and does not truncate for ONNX.
    """
    import torch

    from train import recipe
    from train.modeling import model
    from train.publishing import export

    torch.manual_seed(0)
    built, tokenizer = model.build(recipe.load("quickstart", toy_settings("unused.csv", tiny_base)))
    torch.nn.init.normal_(built.classifier.weight)
    folder = tmp_path_factory.mktemp("infinity") / "model"
    model.save(built.eval(), tokenizer, folder)
    onnx = folder / "onnx"
    onnx.mkdir()
    export.write(built, False, onnx / "model.onnx")
    export.quantize(onnx / "model.onnx", onnx / "model_quantized.onnx", ["MatMul", "Gather"])
    return folder


@pytest.mark.parametrize(
    ("engine", "options", "tolerance"),
    [
        ("torch", [], 1e-4),
        ("optimum", [], 0.02),  # the int8 file
        ("optimum", ["--onnx-do-not-prefer-quantized"], 1e-4),
    ],
    ids=["torch", "int8", "fp32"],
)
def test_a_published_model_has_the_scores_of_pipeline(
    engine: str, options: list[str], tolerance: float, folder: Path, tmp_path: Path
) -> None:
    from transformers import pipeline

    if not service.INFINITY.exists():
        pytest.skip("infinity-emb is not installed: `make setup-tests` installs it")
    server = service.servers(folder)[f"infinity_{engine}"]
    server = replace(server, command=[*server.command, *options])
    with running_hub() as hub:
        push(hub, folder, MODEL)
        env = hub.env(tmp_path, token=None) | {"DO_NOT_TRACK": "1"}
        with service.running(server, env) as (url, _):
            request = {"model": MODEL, "input": REVIEWS}
            answer = httpx.post(url + server.path, json=request, timeout=60).json()
    classify = pipeline("text-classification", str(folder), top_k=None)
    for scores, expected in zip(answer["data"], classify(REVIEWS), strict=True):
        assert [score["label"] for score in scores] == [score["label"] for score in expected]
        values = [score["score"] for score in scores]
        assert values == pytest.approx([score["score"] for score in expected], abs=tolerance)
