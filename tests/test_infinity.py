"""infinity-emb, a server that others use, loads a model of this project and gives its scores."""

import os
from pathlib import Path

import httpx
import pytest
from hubserver import REPOSITORY

from benchmarks import service

REVIEWS = ["a wonderful film", "a dreadful film with songs and an end"]


@pytest.mark.parametrize("engine", ["torch", "optimum"])
def test_a_model_has_the_scores_of_pipeline(
    engine: str, tiny_classifier: Path, tmp_path: Path
) -> None:
    from transformers import pipeline

    if not service.INFINITY.exists():
        pytest.skip("`make setup-tests` installs infinity-emb")
    assert service.INFINITY.is_relative_to(REPOSITORY)
    server = service.servers(tiny_classifier)[f"infinity_{engine}"]
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "DO_NOT_TRACK": "1"}
    with service.running(server, env) as (url, _):
        answers = [
            httpx.post(url + server.path, json=server.body(text), timeout=60).json()["data"][0]
            for text in REVIEWS
        ]
    classify = pipeline("text-classification", str(tiny_classifier), top_k=None)
    for text, answer in zip(REVIEWS, answers, strict=True):
        expected = classify(text)
        assert [score["label"] for score in answer] == [score["label"] for score in expected]
        scores = [score["score"] for score in answer]
        assert scores == pytest.approx([score["score"] for score in expected], abs=1e-4)
