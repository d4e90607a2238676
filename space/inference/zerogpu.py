"""Batches on a ZeroGPU Space, inside the function call that Hugging Face requires of such a Space.

In: the model and texts. Out: a prediction for each text, or the reason for having none.
"""

import importlib.util
import os
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from space.inference.classifier import Classifier, InvalidText, Prediction
from space.inference.onnx_model import OnnxModel

PredictInFolder = Callable[[str, str, Sequence[Any]], list[Prediction | InvalidText]]


def predict_batch(model: OnnxModel, texts: Sequence[Any]) -> list[Prediction | InvalidText]:
    """As `Classifier.predict_batch`, within ZeroGPU's limits on time."""
    return _predict(str(model.file.parent.parent), model.engine.name, texts)


def is_zerogpu() -> bool:
    """Whether this is a ZeroGPU Space."""
    return bool(os.environ.get("SPACES_ZERO_GPU"))


def _predict_in_folder(
    folder: str, engine: str, texts: Sequence[Any]
) -> list[Prediction | InvalidText]:
    """ZeroGPU runs this in another process, so the model is opened again: threads don't survive."""
    return _open(folder, engine).predict_batch(texts)


@lru_cache(maxsize=2)  # the model of reviews and the one of aspects
def _open(folder: str, engine: str) -> Classifier:
    return Classifier.from_folder(Path(folder), pairs=True, engine=engine)


def _decorate(function: PredictInFolder) -> PredictInFolder:
    """Apply `spaces.GPU`, without which a ZeroGPU Space does not start; elsewhere do nothing."""
    if importlib.util.find_spec("spaces") is None:
        return function
    import spaces  # type: ignore[import-not-found,unused-ignore]

    decorated: PredictInFolder = spaces.GPU(function)
    return decorated


_predict = _decorate(_predict_in_folder)
