"""The classifier: texts → probabilities, with a model from the Hub or a folder.

In: a repo id and a revision, or a folder; texts. Out: a `Prediction` for each text, or an
`InvalidText` or `ModelUnavailable` whose message the page shows.
"""

import logging
import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any, Self

import numpy as np
from huggingface_hub import HfApi, constants
from huggingface_hub.errors import (  # type: ignore[attr-defined]  # HTTPError is httpx2's
    HFValidationError,
    HTTPError,
)

from space.inference import download
from space.inference import engine as engines
from space.inference.engine import Engine, EngineUnavailable
from space.inference.labels import expected_value
from space.inference.onnx_model import OnnxModel, Tokens
from space.inference.texts import InvalidText as InvalidText  # for those who import it from here
from space.inference.texts import WrongKind, check_text

MIN_EVIDENCE = 0.5  # log-odds by which a text must differ from it to lean towards a label

log = logging.getLogger(__name__)


class ModelUnavailable(Exception):
    """The model can't be loaded; the message says why, in a sentence for the page."""


class HubUnreachable(ModelUnavailable):
    """The Hub does not answer; the same model may load later."""


class PairModel(ModelUnavailable):
    """The model classifies pairs of texts, which the caller doesn't support."""


@dataclass(frozen=True)
class Prediction:
    """What the model predicts for one text.

    Attributes:
        probabilities: By label, in the model's order.
        tokens_read: The number of tokens that the model read, without [CLS] and [SEP].
        tokens: The number of tokens in the text, without [CLS] and [SEP].
        unsure: Whether the highest probability is below the model's threshold `unsure_below`, or
            there is a `language_caution`.
        neutral: Whether the probability is below the threshold, and the text hardly makes the label
            more probable than a text without words does.
        unknown_tokens: The number of `tokens` that the model doesn't know, such as emoji.
        unreadable: What these stand for: the first different pieces of the text, shortened.
        logits: In the model's order.
        language_caution: A sentence for the page if the text looks like a language that the model
            was not trained on.
    """

    probabilities: dict[str, float]
    tokens_read: int
    tokens: int
    unsure: bool = False
    neutral: bool = False
    unknown_tokens: int = 0
    unreadable: list[str] = field(default_factory=list)
    logits: list[float] = field(default_factory=list)
    language_caution: str | None = None

    @property
    def label(self) -> str:
        """The most probable label."""
        return max(self.probabilities, key=self.probabilities.__getitem__)

    @property
    def expected(self) -> float | None:
        """The mean of labels that are a scale, such as stars; None of other labels."""
        return expected_value(self.probabilities)

    @property
    def leaning(self) -> str | None:
        """The label that the text points to; None if it points to none."""
        return None if self.neutral else self.label


class Classifier:
    """A text classifier that accepts any text; the model is downloaded when it is first needed.

    Args:
        repo_id: `user/name` on the Hub at `HF_ENDPOINT`.
        revision: Commit, tag or branch; the newest commit of `main` by default.
        pairs: Whether a model of text pairs is accepted.
        variable: The environment variable with the `repo_id`, for messages.
        engine: See `engine.choose`.

    Attributes:
        loaded_revision: The revision that it was looked up by; None for `main`.
        load_error: Why the last attempt to load the model failed; None if it did not.
    """

    def __init__(
        self,
        repo_id: str | None,
        revision: str | None = None,
        pairs: bool = False,
        variable: str = "MODEL_ID",
        engine: str | None = None,
    ) -> None:
        self.repo_id = repo_id
        self.revision = self.loaded_revision = revision or None
        self._engine = engine
        self._pairs, self._variable = pairs, variable
        self.load_error: str | None = None
        self._model: OnnxModel | None = None
        self._loading = Lock()

    @classmethod
    def from_hub(cls, repo_id: str, revision: str | None = None, pairs: bool = False) -> Self:
        """A classifier with its model loaded. Raises ModelUnavailable, see `load`."""
        classifier = cls(repo_id, revision, pairs)
        classifier.load()
        return classifier

    @classmethod
    def from_folder(
        cls,
        folder: Path,
        threads: int | None = None,
        *,
        pairs: bool = False,
        engine: str | None = None,
    ) -> Self:
        """The classifier in a run folder or a copy of a repository.

        Raises:
            ModelUnavailable: The folder has no ONNX file, or its model can't be loaded.
        """
        classifier = cls(str(folder), pairs=pairs, engine=engine)
        classifier._model = classifier._open(folder, threads)
        return classifier

    def load(self) -> OnnxModel:
        """Download and load the model unless it is loaded. A failed attempt can be repeated.

        Raises:
            ModelUnavailable: There is no repo id or no such model, the Hub can't be reached and the
                cache has no copy, the model is no classifier of single texts, or the engine can't
                run here.
        """
        with self._loading:
            if self._model is None:
                try:
                    folder = self.download()
                    self._model = self._open(folder, commit=folder.name)
                except ModelUnavailable as error:
                    self.load_error = str(error)
                    raise
                self.load_error = None
            return self._model

    @property
    def commit(self) -> str | None:
        """The commit that is loaded; None if no model is, or one from a folder."""
        return self._model.commit if self._model else None

    def reload(self, revision: str | None = None) -> str:
        """Replace the model by a newer revision; the old one answers until it has been tried.

        Args:
            revision: Commit, tag or branch; by default the revision of the start, looked up again.

        Returns:
            The commit that is loaded now.

        Raises:
            ModelUnavailable: See `load`; or the Hub does not answer, the labels differ, or it
                can't classify a word. The old model stays.
        """
        current, folder = self.load(), self.download(self._newest_commit(revision))
        if folder.name == self.commit:
            self.loaded_revision = revision or self.revision
            return folder.name
        model = self._open(folder, commit=folder.name)
        if model.labels != current.labels or model.has_pairs != current.has_pairs:
            raise ModelUnavailable(
                f"A model is replaced by one with the same labels, {current.labels}, got "
                f"{model.labels} in {folder.name}. Restart the app for another model."
            )
        try:
            model.warm_up()
        except Exception as error:  # anyone can publish any graph
            log.exception("%s can't classify a word", self.repo_id)
            raise ModelUnavailable(download.not_a_classifier_message(self.repo_id)) from error
        with self._loading:
            self._model = model
            self.loaded_revision = revision or self.revision
        return folder.name

    def download(self, revision: str | None = None) -> Path:
        """Download the model or update it, and return its folder, whose name is the commit.

        Args:
            revision: By default the classifier's own.

        Raises:
            ModelUnavailable: See `load`.
        """
        if not self.repo_id:
            raise ModelUnavailable(download.NO_MODEL_ID)
        with self._hub_errors(revision, f"there is no copy of {self.repo_id} here"):
            files = [engine.file for engine in self._candidates()]
            return download.download(self.repo_id, revision or self.revision, files)

    def _newest_commit(self, revision: str | None) -> str:
        """The commit of a revision on the Hub; a copy in the cache would hide that it is old."""
        with self._hub_errors(revision, "the model stays as it is"):
            info = HfApi().model_info(str(self.repo_id), revision=revision or self.revision)
            return str(info.sha)

    @contextmanager
    def _hub_errors(self, revision: str | None, consequence: str) -> Iterator[None]:
        """Raise ModelUnavailable for an error of the Hub, or of its cache."""
        try:
            yield
        except (HTTPError, OSError, HFValidationError) as error:
            revision = revision or self.revision
            cause = download.error_message(error, self.repo_id, revision, self._variable)
            if cause:
                raise ModelUnavailable(cause) from error
            raise HubUnreachable(
                f"The Hub at {constants.ENDPOINT} does not answer, and {consequence}. The next "
                "request tries again."
            ) from error

    def _open(
        self, folder: Path, threads: int | None = None, commit: str | None = None
    ) -> OnnxModel:
        candidates = self._candidates()
        if not any((folder / engine.file).is_file() for engine in candidates):
            raise ModelUnavailable(download.no_onnx_message(self.repo_id))
        try:
            model = OnnxModel(folder, candidates, threads, commit)
        except Exception as error:  # anyone can name any repository, with any content
            log.exception("%s can't be loaded", self.repo_id)
            raise ModelUnavailable(download.not_a_classifier_message(self.repo_id)) from error
        if model.has_pairs and not self._pairs:
            raise PairModel(download.pair_model_message(self.repo_id))
        return model

    def _candidates(self) -> list[Engine]:
        """The engines that may run the model, the best one first."""
        try:
            return engines.choose(self._engine)
        except EngineUnavailable as error:
            raise ModelUnavailable(str(error)) from error

    @property
    def labels(self) -> list[str]:
        """The labels, in the model's order. Raises ModelUnavailable, see `load`."""
        return self.load().labels

    @property
    def unsure_below(self) -> float:
        """The probability below which the model is unsure. Raises ModelUnavailable, see `load`."""
        return self.load().unsure_below

    def predict(self, text: str) -> Prediction:
        """Classify one text. Of a text that is too long, the beginning and the end are read.

        Raises:
            InvalidText: The text has no words, or more than `MAX_CHARACTERS` characters.
            ModelUnavailable: See `load`.
        """
        (prediction,) = self.predict_batch([text])
        if isinstance(prediction, InvalidText):
            raise prediction
        return prediction

    def predict_batch(self, texts: Sequence[Any]) -> list[Prediction | InvalidText]:
        """Classify texts, each alone and on one core; a single text gets all cores.

        A CPU gains nothing from batches: one text of some length uses a core fully. With int8, a
        text's score would also depend on the other texts in its batch. For a model of text pairs,
        each text is a tuple of two.

        Returns:
            For each text, in order, a prediction or the reason for having none.

        Raises:
            ModelUnavailable: See `load`.
        """
        model = self.load()
        errors = [check_text(text) for text in texts]
        rows = model.encode([t for t, error in zip(texts, errors, strict=True) if not error])
        if len(rows) <= 1 or model.threads == 1:
            predictions = [self.predict_tokens(row, all_cores=True) for row in rows]
        else:
            # The longest first, so that all cores finish at about the same time.
            order = sorted(range(len(rows)), key=lambda i: -len(rows[i].ids))
            results = self._pool.map(lambda i: self.predict_tokens(rows[i]), order)
            by_index = dict(zip(order, results, strict=True))
            predictions = [by_index[i] for i in range(len(rows))]
        remaining = iter(predictions)
        return [error or next(remaining) for error in errors]

    def predict_tokens(self, tokens: Tokens, all_cores: bool = False) -> Prediction | InvalidText:
        """Classify one text in the calling thread.

        Args:
            tokens: From `OnnxModel.encode`.
            all_cores: Use all cores for this text; else one, so that other texts run beside it.

        Raises:
            ModelUnavailable: See `load`.
        """
        model = tokens.model or self.load()
        if model.has_pairs != (tokens.type_ids is not None):
            return WrongKind(model.has_pairs)
        if not tokens.has_words:
            return _no_words(model, tokens.unreadable)
        logits = model.logits(tokens, all_cores)  # (labels,)
        if not np.isfinite(logits).all():
            return InvalidText("The model's score for this review is not a number.")
        probabilities = model.probabilities(logits)
        unsure = max(probabilities.values()) < model.unsure_below
        return Prediction(
            probabilities,
            tokens_read=len(tokens.ids) - model.special_tokens,
            tokens=tokens.count - model.special_tokens,
            unsure=unsure or tokens.language_caution is not None,
            neutral=unsure and not model.has_pairs and _is_neutral(model, probabilities),
            unknown_tokens=tokens.unknown,
            unreadable=tokens.unreadable,
            logits=logits.tolist(),
            language_caution=tokens.language_caution,
        )

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self.load().threads)


def log_odds(probability: float) -> float:
    """`log(p / (1 - p))`, finite for 0 and 1."""
    bounded = min(max(probability, 1e-6), 1 - 1e-6)
    return math.log(bounded / (1 - bounded))


def _is_neutral(model: OnnxModel, probabilities: dict[str, float]) -> bool:
    label = max(probabilities, key=probabilities.__getitem__)
    evidence = log_odds(probabilities[label]) - log_odds(model.wordless[label])
    return evidence < MIN_EVIDENCE


def _no_words(model: OnnxModel, unreadable: Sequence[str]) -> InvalidText:
    if not unreadable:
        return InvalidText("This review has no words.")
    kinds, pieces = model.vocabulary.describe(unreadable), "”, “".join(unreadable)
    reason = f"The model can't read this review: it doesn't know {kinds}"
    return InvalidText(f"{reason} (“{pieces}”).", f"{reason}.")
