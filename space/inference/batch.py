"""Many texts at once on a ZeroGPU Space, inside the call that such a Space must have.

In: the classifier and texts. Out: a verdict for each, or why there is none.
"""

import importlib.util
import os
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from space.inference.classifier import Classifier, InvalidText, Prediction

Judge = Callable[[str, Sequence[Any]], list[Prediction | InvalidText]]


def judge(classifier: Classifier, texts: Sequence[Any]) -> list[Prediction | InvalidText]:
    """For each text a verdict, or the reason why it has none.

    Raises:
        ModelUnavailable: As for `Classifier.load`.
    """
    folder = classifier.load().file.parent.parent
    return _lent(str(folder), texts)


def on_lent_hardware() -> bool:
    """Whether this is a ZeroGPU Space."""
    return bool(os.environ.get("SPACES_ZERO_GPU"))


def _alone(folder: str, texts: Sequence[Any]) -> list[Prediction | InvalidText]:
    """In a process of its own, into which no thread of ONNX Runtime comes along."""
    return _opened(folder).many(texts)


@lru_cache(maxsize=1)
def _opened(folder: str) -> Classifier:
    return Classifier.from_folder(Path(folder))


def _decorated() -> Judge:
    """ZeroGPU starts no Space without a function for it; elsewhere its mark means nothing."""
    if importlib.util.find_spec("spaces") is None:
        return _alone
    import spaces  # type: ignore[import-not-found,unused-ignore]

    lent: Judge = spaces.GPU(_alone)
    return lent


_lent = _decorated()
