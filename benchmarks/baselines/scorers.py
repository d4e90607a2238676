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


def best_pipeline(folder: Path, precision: str) -> Score:
    """`pipeline()` at its best plain settings: the faster precision, batches of similar length.

    A batch of texts of different length would be padded to the longest one.

    Args:
        folder: The run folder.
        precision: The name of torch's type, such as `bfloat16`.
    """
    import torch
    from transformers import pipeline

    dtype = getattr(torch, precision)
    classify = pipeline("sentiment-analysis", model=str(folder), dtype=dtype)
    second = classify.model.config.id2label[1]

    def score(texts: list[str]) -> list[float]:
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        answers = classify([texts[i] for i in order], batch_size=32)
        scores = [0.0] * len(texts)
        for i, answer in zip(order, answers, strict=True):
            scores[i] = answer["score"] if answer["label"] == second else 1 - answer["score"]
        return scores

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


def ours(folder: Path, threads: int | None = None, engine: str | None = None) -> Score:
    """`space/inference/classifier.py` on an engine, by default the one that it chooses here."""
    from space.inference.classifier import Classifier, Prediction

    classifier = Classifier.from_folder(folder, threads, engine=engine)
    second = classifier.load().labels[1]

    def score(texts: list[str]) -> list[float]:
        answers = classifier.predict_batch(texts)
        return [a.probabilities[second] if isinstance(a, Prediction) else np.nan for a in answers]

    return score
