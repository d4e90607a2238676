"""Requests of the page and its endpoints to the model: queued, and within limits.

In: texts, and the tokens and seconds that a request may use. Out: a prediction for each text, or
the reason for having none, which may be that the request reached a limit.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from space.inference import memory, zerogpu
from space.inference.admission import PATIENCE_SECONDS, AdmissionQueue
from space.inference.classifier import Classifier, InvalidText, ModelUnavailable, Prediction
from space.inference.client import cancel_check
from space.inference.concurrency import Busy, Cancelled
from space.inference.cpu import available_cores
from space.inference.onnx_model import OnnxModel, Tokens
from space.inference.texts import check_text

# What a request raises for a reason that its user is told; the message is that reason.
REFUSALS = (InvalidText, ModelUnavailable, Busy, Cancelled)
RELEASE_TOKENS = 1_000  # a text with more tokens has its memory released afterwards
# Texts and characters that are tokenized at once; 100,000 characters take about 50 ms.
CHUNK_TEXTS, CHUNK_CHARACTERS = 16, 200_000


@dataclass(frozen=True)
class Limits:
    """What one request may use.

    Attributes:
        tokens: The tokens that the model reads, in all texts; the first text is always classified.
            Infinite for no limit, as for `seconds`.
        seconds: From the request's arrival, with the time that it waits.
        characters: In all texts. They take time to tokenize even if the model doesn't read them:
            a text may be longer than the model's limit, and a word of any length may be one token.
        patience: Seconds that the request may wait for others, see `AdmissionQueue.run`.
        zerogpu: Whether a ZeroGPU Space runs it on its GPU machines.
    """

    tokens: float
    seconds: float
    characters: float = math.inf
    patience: float = PATIENCE_SECONDS
    zerogpu: bool = False


SINGLE = Limits(tokens=10_000, seconds=30)
BATCH = Limits(tokens=300_000, seconds=120, characters=7_500_000, zerogpu=True)
EXPLANATION = Limits(tokens=70_000, seconds=20)  # 100,000 characters of English need 60,000
FILE = Limits(tokens=5_000_000, seconds=1_800, patience=math.inf, zerogpu=True)


class LimitReached(InvalidText):
    """The text was not classified, because the request reached one of its limits.

    Attributes:
        limit: Which one: tokens, seconds or characters.
    """

    def __init__(self, limit: str, value: float) -> None:
        unit = "s" if limit == "seconds" else limit
        super().__init__(f"Left out: the limit of {value:,} {unit} for one request was reached.")
        self.limit = limit


class Service:
    """The model and its queue.

    Args:
        classifier: The model.
        queue: By default, one with as many workers as there are cores.
        aspects: A second model, of text pairs, which shares the queue.
    """

    def __init__(
        self,
        classifier: Classifier,
        queue: AdmissionQueue | None = None,
        aspects: Classifier | None = None,
    ) -> None:
        self.classifier = classifier
        self.queue = queue or AdmissionQueue(available_cores())
        self.aspects = Service(aspects, self.queue) if aspects else None

    def request(self, limits: Limits, cancelled: Callable[[], bool] | None = None) -> "Request":
        """A request, by default of the Gradio event that the calling thread handles.

        Args:
            limits: What the request may use.
            cancelled: Whether the client has gone; by default that of the event.
        """
        return Request(self, limits, cancelled or cancel_check())


class Request:
    """One or more calls of one client, which share the limits and the model.

    Args:
        service: The model and its queue.
        limits: What the request may use.
        cancelled: Whether the client has gone.
    """

    def __init__(
        self, service: Service, limits: Limits, cancelled: Callable[[], bool] = lambda: False
    ) -> None:
        self.service, self.limits, self.cancelled = service, limits, cancelled
        self.tokens = self.characters = 0  # used so far
        self._deadline = time.monotonic() + limits.seconds
        self._admitted = False

    @cached_property
    def model(self) -> OnnxModel:
        """The model of all its calls, whatever is loaded meanwhile.

        Raises:
            ModelUnavailable: See `Classifier.load`.
        """
        return self.service.classifier.load()

    def predict(self, text: str) -> Prediction:
        """Classify one text.

        Raises:
            InvalidText: See `Classifier.predict`; or no time was left.
            ModelUnavailable: See `Classifier.load`.
            Busy: Too many requests are waiting.
            Cancelled: The client has gone.
        """
        (prediction,) = self.predict_batch([text])
        if isinstance(prediction, InvalidText):
            raise prediction
        return prediction

    def predict_batch(
        self, texts: Sequence[Any], reserved_tokens: int = 0
    ) -> list[Prediction | InvalidText]:
        """Classify texts in order, as far as the limits allow.

        Args:
            texts: The texts, or pairs of texts as tuples for a model that reads pairs; the limits
                drop the last ones first.
            reserved_tokens: Tokens to leave for later calls of this request.

        Returns:
            For each text, a prediction or the reason for having none.

        Raises:
            ModelUnavailable: See `Classifier.load`.
            Busy: Too many requests are waiting, and this is the request's first call.
            Cancelled: The client has gone.
        """
        rows, results = self._encode(texts, self.limits.tokens - reserved_tokens)
        predictions: Sequence[Prediction | InvalidText | None]
        if self.limits.zerogpu and zerogpu.is_zerogpu():
            predictions = zerogpu.predict_batch(self.model, [texts[i] for i in rows])
        else:
            predictions = self._run(list(rows.values()))
        for i, prediction in zip(rows, predictions, strict=True):
            results[i] = prediction or self._limit_reached("seconds")
        return [results[i] for i in range(len(texts))]

    def _encode(
        self, texts: Sequence[Any], max_tokens: float
    ) -> tuple[dict[int, Tokens], dict[int, Prediction | InvalidText]]:
        """By index: the tokens of the texts within the limits, and the reasons for the others."""
        rows: dict[int, Tokens] = {}
        errors = self._check(texts)
        valid = [i for i in range(len(texts)) if i not in errors]
        limit = "seconds"
        for i, row in self._tokenize(texts, valid):
            if self.tokens and self.tokens + len(row.ids) > max_tokens:
                limit = "tokens"
                break
            self.tokens += len(row.ids)
            rows[i] = row
        return rows, errors | {i: self._limit_reached(limit) for i in valid if i not in rows}

    def _tokenize(
        self, texts: Sequence[Any], indices: Sequence[int]
    ) -> Iterator[tuple[int, Tokens]]:
        """Yield the index and the tokens of texts, in chunks until the deadline."""
        for chunk in _chunks(indices, [_characters(texts[i]) for i in indices]):
            if self.cancelled():
                raise Cancelled
            if time.monotonic() >= self._deadline:
                return
            yield from zip(chunk, self.model.encode([texts[i] for i in chunk]), strict=True)

    def _check(self, texts: Sequence[Any]) -> dict[int, Prediction | InvalidText]:
        """By index, why a text is not even tokenized."""
        errors: dict[int, Prediction | InvalidText] = {}
        for i, text in enumerate(texts):
            if error := check_text(text):
                errors[i] = error
                continue
            self.characters += _characters(text)
            if self.characters > self.limits.characters:
                errors[i] = self._limit_reached("characters")
        return errors

    def _run(self, rows: Sequence[Tokens]) -> list[Prediction | InvalidText | None]:
        sizes = [len(row.ids) for row in rows]

        def predict(i: int, alone: bool) -> Prediction | InvalidText:
            prediction = self.service.classifier.predict_tokens(rows[i], all_cores=alone)
            if sizes[i] > RELEASE_TOKENS:
                memory.release()
            return prediction

        predictions = self.service.queue.run(
            [cost(size) for size in sizes],
            predict,
            deadline=self._deadline,
            patience=math.inf if self._admitted else self.limits.patience,
            cancelled=self.cancelled,
        )
        self._admitted = True
        return predictions

    def _limit_reached(self, limit: str) -> LimitReached:
        return LimitReached(limit, getattr(self.limits, limit))


def _characters(text: str | tuple[str, str]) -> int:
    return sum(map(len, text if isinstance(text, tuple) else (text,)))


def _chunks(indices: Sequence[int], sizes: Sequence[int]) -> Iterator[list[int]]:
    """Split indices into groups of at most `CHUNK_TEXTS` and about `CHUNK_CHARACTERS`."""
    chunk, characters = list[int](), 0
    for i, size in zip(indices, sizes, strict=True):
        chunk.append(i)
        characters += size
        if len(chunk) == CHUNK_TEXTS or characters >= CHUNK_CHARACTERS:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk


def cost(tokens: int) -> float:
    """The cost of a text in the queue: a token in a text of 1,000 costs twice one in a short text.

    Measured on a CPU with the quick start's model (int8): 10,500 tokens per second and core at 300
    tokens, 6,500 at 1,000, 2,000 at 4,096.
    """
    return tokens * (1 + tokens / 1_000)
