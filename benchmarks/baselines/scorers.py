"""Scoring with `pipeline()`, plain ONNX Runtime, and the Space's own classifier.

Each takes a run folder and returns a function from texts to the probability of the second label.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

Score = Callable[[list[str]], list[float]]


def pipeline(folder: Path, batch_size: int) -> Score:
    """`pipeline("sentiment-analysis")` in fp32 by torch, as its documentation shows."""
    from transformers import pipeline

    classify = pipeline("sentiment-analysis", model=str(folder))
    second = classify.model.config.id2label[1]

    def score(texts: list[str]) -> list[float]:
        answers = classify(texts, batch_size=batch_size)
        return [a["score"] if a["label"] == second else 1 - a["score"] for a in answers]

    return score


def onnxruntime(folder: Path) -> Score:
    """An fp32 session with default options and transformers' tokenizer, one text at a time."""
    from onnxruntime import InferenceSession
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    session = InferenceSession(folder / "onnx/model.onnx", providers=["CPUExecutionProvider"])
    names = {probabilities.name for probabilities in session.get_inputs()}

    def score(texts: list[str]) -> list[float]:
        probabilities = []
        for text in texts:
            encoded = tokenizer(text, return_tensors="np")
            inputs = {name: value for name, value in encoded.items() if name in names}
            (logits,) = session.run(["logits"], inputs)[0]
            probabilities.append(float(1 / (1 + np.exp(logits[0] - logits[1]))))
        return probabilities

    return score


def ours(folder: Path, threads: int | None = None) -> Score:
    """`space/inference/classifier.py`; int8 where the folder has it."""
    from space.inference.classifier import Classifier, Prediction

    classifier = Classifier.from_folder(folder, threads)
    second = classifier.load().labels[1]

    def score(texts: list[str]) -> list[float]:
        answers = classifier.predict_batch(texts)
        return [a.probabilities[second] if isinstance(a, Prediction) else np.nan for a in answers]

    return score
