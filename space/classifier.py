"""The model behind the page: from a repo id and a revision to scores.

In: `MODEL_ID` and `MODEL_REVISION`. Out: `{label: probability}` and how much of the text was read.
"""

from dataclasses import dataclass
from typing import Any

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError


class Unavailable(Exception):
    """The model can't be had, and why, in a sentence for the page."""


@dataclass(frozen=True)
class Verdict:
    """Probabilities by label, and how many of the text's tokens were read."""

    probabilities: dict[str, float]
    tokens_read: int
    tokens: int


class Classifier:
    """A text-classification pipeline of transformers that never fails on a long text."""

    def __init__(self, pipeline: Any, repo_id: str, revision: str) -> None:
        self._pipeline = pipeline
        self.repo_id = repo_id
        self.revision = revision  # the commit that is loaded

    @classmethod
    def from_hub(cls, repo_id: str | None, revision: str | None = None) -> "Classifier":
        """Pull a model once; from the cache when the Hub is away.

        Raises:
            Unavailable: No repo id, no such model, or no Hub and nothing in the cache.
        """
        if not repo_id:
            raise Unavailable(
                "MODEL_ID is not set. Set it to a model such as user/movie-sentiment: on a Space "
                "under Settings, Variables; at home with MODEL_ID=user/movie-sentiment make space."
            )
        try:
            folder = snapshot_download(repo_id, revision=revision)
        except (LocalEntryNotFoundError, HfHubHTTPError, OSError, ValueError) as error:
            raise Unavailable(
                f"The model {repo_id} ({revision or 'newest revision'}) can't be loaded: "
                f"{_reason(error)}"
            ) from error
        from transformers import pipeline

        loaded = pipeline("text-classification", model=folder, top_k=None)
        return cls(loaded, repo_id, folder.rstrip("/").split("/")[-1])

    def __call__(self, text: str) -> Verdict:
        """Probabilities of a text that is not blank; beyond the model's reach it is cut."""
        tokens = len(self._pipeline.tokenizer(text, truncation=False, verbose=False)["input_ids"])
        limit = self._pipeline.model.config.max_position_embeddings
        answers = self._pipeline(text, truncation=True, max_length=limit)
        probabilities = {answer["label"]: float(answer["score"]) for answer in answers}
        return Verdict(probabilities, min(tokens, limit), tokens)


def _reason(error: Exception) -> str:
    response = getattr(error, "response", None)
    if response is not None and response.status_code in (401, 403, 404):
        return "the Hub knows no such model or revision, or HF_TOKEN may not read it."
    if isinstance(error, LocalEntryNotFoundError | OSError) and response is None:
        return "the Hub can't be reached and no copy is in the cache. Try again in a minute."
    return str(error).strip().partition("\n")[0]
