"""Ready comparisons for the Compare tab: the loaded model beside others that the Hub has.

In: the loaded classifier. Out: up to two comparisons that fill in the tab; none that would fail,
because each of their models was found on the Hub.
"""

from dataclasses import dataclass
from threading import Lock

from huggingface_hub import constants

from space.examples import CANDIDATES
from space.inference.classifier import Classifier
from space.inference.download import ONNX_FILES
from space.inference.model_cache import ModelName, is_available

# Public models in the form that this app runs, by what they are.
OTHERS = {
    "a general sentiment model": "Xenova/distilbert-base-uncased-finetuned-sst-2-english",
    "a model for social media": "Xenova/twitter-roberta-base-sentiment-latest",
}
PRECISIONS = dict(zip(ONNX_FILES, ("its int8 version", "its full-precision version"), strict=True))
REVIEW = CANDIDATES["Mixed"][0][0]


@dataclass(frozen=True)
class Suggestion:
    """A comparison: what a user would enter."""

    caption: str
    models: tuple[str, str]  # names or addresses
    review: str = ""  # "" for the sample file


class Suggestions:
    """The suggestions for a model, found once it is loaded."""

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier
        self._commit: str | None = None  # of the model that the suggestions are for
        self._found: list[Suggestion] = []
        self._searching = Lock()

    def get(self) -> list[Suggestion]:
        """Two suggestions; none while the model is not loaded, or without other models."""
        commit = self._classifier.commit
        if commit is None:
            return []
        with self._searching:
            if not self._found or self._commit != commit:
                self._found, self._commit = suggest(self._classifier), commit
            return self._found


def suggest(classifier: Classifier) -> list[Suggestion]:
    """The first available partner on the sample file, and the next one on a single review."""
    partners = list(find_partners(classifier).items())
    if not partners:
        return []
    (first, models), (second, other_models) = partners[0], partners[:2][-1]
    return [
        Suggestion(f"Try {first} on the sample file", models),
        Suggestion(f"Try {second} on one review", other_models, REVIEW),
    ]


def find_partners(classifier: Classifier) -> dict[str, tuple[str, str]]:
    """Models that a loaded model can be compared with, if the Hub has them.

    Returns:
        What the other model is, for a caption → the names of the loaded model and the other one.
    """
    own, commit = classifier.repo_id or "", classifier.commit
    address = f"{constants.ENDPOINT}/{own}/blob/{commit}"
    own_file = next(file for file in ONNX_FILES if classifier.load().file.match(file))
    partners = {
        caption: (own, other)
        for caption, other in OTHERS.items()
        if other != own and is_available(ModelName(other))
    }
    for file, caption in PRECISIONS.items():
        if file != own_file and is_available(ModelName(own, commit, file)):
            partners[caption] = (f"{address}/{own_file}", f"{address}/{file}")
    return partners
