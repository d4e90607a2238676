"""The model behind the page: from a repo id and a revision to scores.

In: `MODEL_ID` and `MODEL_REVISION`. Out: `{label: probability}` and how much of the text was read,
or a sentence for the page why there is none.
"""

import logging
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from huggingface_hub import constants, snapshot_download
from huggingface_hub.errors import (  # type: ignore[attr-defined]  # HTTPError is httpx2's
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

MAX_CHARACTERS = 100_000
# No pickle and no code is ever pulled, and nothing of plots/, onnx/ or checkpoints/.
NEEDED, NOT_NEEDED = ["*.json", "*.safetensors", "*.txt", "*.model"], ["*/*"]

log = logging.getLogger(__name__)


class Unavailable(Exception):
    """The model can't be had; why, in a sentence for the page."""


class Unreadable(Exception):
    """The text can't be judged; why, in a sentence for the page."""


@dataclass(frozen=True)
class Verdict:
    """Probabilities by label, and how many of the text's tokens were read."""

    probabilities: dict[str, float]
    tokens_read: int
    tokens: int


class Classifier:
    """A text-classification pipeline, pulled when first needed, that reads any text.

    Args:
        repo_id: `user/name` on the Hub that `HF_ENDPOINT` names.
        revision: Commit, tag or branch; the newest of `main` when left out.
    """

    def __init__(self, repo_id: str | None, revision: str | None = None) -> None:
        self.repo_id = repo_id
        self.revision = revision or None
        self.commit: str | None = None  # the one that is loaded
        self._pipeline: Any = None
        self._loading = Lock()
        self._reading = Lock()  # a tokenizer is one thread's at a time, and one text fills the CPU

    def load(self) -> None:
        """Pull and load the model, unless it is there already; from the cache if the Hub is away.

        Raises:
            Unavailable: No repo id, no such model, or no Hub and nothing in the cache. Another
                call tries again.
        """
        with self._loading:
            if self._pipeline is None:
                folder = self.pull()
                self._pipeline = self._open(folder)
                self.commit = folder.name

    def __call__(self, text: str) -> Verdict:
        """Probabilities of a text; what is beyond the model's reach is cut off.

        Raises:
            Unreadable: The text has no word in it, or more than `MAX_CHARACTERS` characters.
            Unavailable: As for `load`.
        """
        check(text)
        self.load()
        text = text.encode("utf-8", "replace").decode()  # half a surrogate pair can come by JSON
        with self._reading:
            tokenizer, config = self._pipeline.tokenizer, self._pipeline.model.config
            own = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
            if not own:
                raise Unreadable("There is no word in this review.")
            limit = min(
                tokenizer.model_max_length,
                getattr(config, "max_position_embeddings", None) or tokenizer.model_max_length,
            )
            answers = self._pipeline(text, top_k=None, truncation=True, max_length=limit)
        probabilities = {answer["label"]: float(answer["score"]) for answer in answers}
        read = min(len(own), limit - tokenizer.num_special_tokens_to_add())
        return Verdict(probabilities, read, len(own))

    def pull(self) -> Path:
        """Bring the model into the cache or up to date; gives its folder, named by the commit.

        Raises:
            Unavailable: As for `load`.
        """
        if not self.repo_id:
            raise Unavailable(
                "MODEL_ID is not set. It names the model to show, such as user/movie-sentiment: "
                "set it on a Space under Settings, Variables, and elsewhere in the environment."
            )

        def download(local_files_only: bool) -> Path:
            assert self.repo_id is not None
            return Path(
                snapshot_download(
                    self.repo_id,
                    revision=self.revision,
                    allow_patterns=NEEDED,
                    ignore_patterns=NOT_NEEDED,
                    local_files_only=local_files_only,
                )
            )

        try:
            try:
                return download(local_files_only=False)
            except HfHubHTTPError:
                raise  # the Hub's own answer
            except HTTPError:
                # A connection that breaks off, unlike a refused one, doesn't end in the cache.
                return download(local_files_only=True)
        except (HTTPError, OSError, HFValidationError) as error:
            raise Unavailable(self._reason(error)) from error

    def _open(self, folder: Path) -> Any:
        from transformers import AutoConfig, pipeline

        try:
            config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
            named = config.architectures or []
            if not any(name.endswith("ForSequenceClassification") for name in named):
                # transformers would put a head of random weights on it, and answer.
                raise ValueError(f"its architecture is {' '.join(named) or 'not named'}")
            return pipeline(
                "text-classification",
                model=str(folder),
                config=config,
                dtype="float32",
                trust_remote_code=False,
                model_kwargs={"use_safetensors": True},
            )
        except Exception as error:  # whatever is on the Hub can be named: anything can go wrong
            log.exception("%s can't be loaded", self.repo_id)
            raise Unavailable(
                f"{self.repo_id} is not a text classifier that this app can load: it needs a "
                "config.json of a …ForSequenceClassification model, safetensors weights and a "
                "tokenizer. The app's log says what went wrong."
            ) from error

    def _reason(self, error: Exception) -> str:
        hub, model = constants.ENDPOINT, self.repo_id
        if isinstance(error, HFValidationError):
            return f"MODEL_ID must be user/name, as the Hub writes it, got {model!r}."
        if isinstance(error, GatedRepoError):
            return f"{model} is gated: ask for access on its page, and set the secret HF_TOKEN."
        if isinstance(error, RepositoryNotFoundError):
            return f"The Hub at {hub} has no model {model}, or this app's HF_TOKEN may not read it."
        if isinstance(error, RevisionNotFoundError):
            return f"{model} has no revision {self.revision}: check MODEL_REVISION."
        return (
            f"The Hub at {hub} does not answer, and there is no copy of {model} here. "
            "The next question tries again."
        )


def check(text: object) -> None:
    """Refuse what no model needs to see.

    Raises:
        Unreadable: It is no text, blank or has more than `MAX_CHARACTERS` characters.
    """
    if text is not None and not isinstance(text, str):
        raise Unreadable(f"A review is text, got {type(text).__name__}.")
    if not text or not text.strip():
        raise Unreadable("Write or paste a review first.")
    if len(text) > MAX_CHARACTERS:
        raise Unreadable(
            f"A review may have at most {MAX_CHARACTERS:,} characters; this one has {len(text):,}."
        )
