"""The benchmark of attribution: its sentences, its methods, and its figures."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import REPOSITORY

from benchmarks import attribution

WEIGHTS = np.array([0.0, 2.0, 0.0, -1.0, 0.5])


def test_sentences_are_marked() -> None:
    sentences = attribution.load_sentences()
    assert len(sentences) == 40
    for sentence in sentences:
        assert any(sentence.signs)
        assert len(sentence.spans) == len(sentence.signs)
        assert not set("+?") & set(sentence.text)
    known = attribution._parse("It was +good, -bad and ?odd at half-past two")
    words = [known.text[start:end] for start, end in known.spans]
    assert words == ["It", "was", "good", "bad", "and", "odd", "at", "half-past", "two"]
    assert known.signs == [0, 0, 1, -1, 0, None, 0, 0, 0]
    with pytest.raises(ValueError, match="a mark must precede one word"):
        attribution._parse("It was + good")


@pytest.mark.parametrize(
    "method", [attribution.leave_one_out, attribution.shapley_sampling, attribution.lime]
)
def test_method_finds_the_weights_of_an_additive_model(method: attribution.Explain) -> None:
    effects = method(len(WEIGHTS), lambda masks: np.array([mask @ WEIGHTS for mask in masks]))
    np.testing.assert_allclose(effects, WEIGHTS, atol=0.01)


def test_n_grams_share_their_effect() -> None:
    effects = attribution.leave_n_grams_out(
        2, lambda masks: np.array([2.0 * mask[0] for mask in masks])
    )
    np.testing.assert_allclose(effects, [1.5, 0.5])  # alone 2 and 0, together 1 each


def test_command_measures_every_method_on_any_model(tiny_classifier: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.attribution", "--model", str(tiny_classifier)]
    done = subprocess.run(
        [*command, "--out", str(tmp_path)], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "attribution.json").read_text(encoding="utf-8"))
    assert set(results["methods"]) == set(attribution.METHODS)
    for figures in results["methods"].values():
        assert -1 <= figures["rank_agreement"] <= 1
        assert 0 <= figures["sign_accuracy"] <= 1
        assert figures["passes_per_word"] >= 1
