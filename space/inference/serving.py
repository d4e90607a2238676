"""What the page and its endpoints ask of the model: each request in the queue and within limits.

In: texts, and how many tokens and seconds a request may take. Out: a verdict for each text, or the
reason why it has none; what the limits left out has such a reason too.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from space.inference import batch, cancellation, memory
from space.inference.admission import PATIENCE_SECONDS, AdmissionQueue
from space.inference.classifier import Classifier, InvalidText, Prediction, Tokens, cores, refusal
from space.inference.concurrency import Cancelled

LONG = 1_000  # tokens, from which the memory of a text is returned once it is judged
# Between two looks at the limits; 100,000 characters take about 50 ms.
TEXTS_AT_ONCE, CHARACTERS_AT_ONCE = 16, 200_000


@dataclass(frozen=True)
class Limits:
    """What one request may take.

    Attributes:
        tokens: Of all its texts, as the model reads them; its first text is always judged.
        seconds: From its arrival, waiting included.
        characters: Of all its texts. They take time to tokenize, whether the model reads them or
            not: texts may be longer than its limit, and a word of any length is one token.
        patience: Seconds that it may wait for others, see `AdmissionQueue.run`.
        lent: Whether a ZeroGPU Space judges its texts on the hardware that it is lent.
    """

    tokens: int
    seconds: float
    characters: float = math.inf
    patience: float = PATIENCE_SECONDS
    lent: bool = False


VERDICT = Limits(tokens=10_000, seconds=30)
BATCH = Limits(tokens=300_000, seconds=120, characters=7_500_000, lent=True)
EXPLANATION = Limits(tokens=70_000, seconds=20)  # 60,000 for 100,000 characters of English
FILE = Limits(tokens=5_000_000, seconds=1_800, patience=math.inf, lent=True)


class LeftOut(InvalidText):
    """The text was not judged, because the request had reached one of its limits."""


class Service:
    """The model behind its queue.

    Args:
        classifier: The model that answers.
        queue: Whose turn it is; with as many workers as there are cores when left out.
    """

    def __init__(self, classifier: Classifier, queue: AdmissionQueue | None = None) -> None:
        self.classifier = classifier
        self.queue = queue or AdmissionQueue(cores())

    def request(self, limits: Limits) -> "Request":
        """A request of the Gradio event that the calling thread works on."""
        return Request(self, limits, cancellation.watch())


class Request:
    """What one client asks for, in one or more calls that share the limits.

    Args:
        service: The model and its queue.
        limits: What the request may take.
        cancelled: Whether the client has gone.
    """

    def __init__(
        self, service: Service, limits: Limits, cancelled: Callable[[], bool] = lambda: False
    ) -> None:
        self.service, self.limits, self.cancelled = service, limits, cancelled
        self.tokens = self.characters = 0  # used so far
        self._deadline = time.monotonic() + limits.seconds
        self._admitted = False

    def __call__(self, text: str) -> Prediction:
        """The verdict on a text.

        Raises:
            InvalidText: As for `Classifier.__call__`, or there was no time left for it.
            ModelUnavailable: As for `Classifier.load`.
            Busy: Too many wait.
            Cancelled: The client has gone.
        """
        (answer,) = self.many([text])
        if isinstance(answer, InvalidText):
            raise answer
        return answer

    def many(self, texts: Sequence[Any], spare: int = 0) -> list[Prediction | InvalidText]:
        """For each text a verdict, or the reason why it has none.

        Args:
            texts: In the order in which they are judged, as far as the limits allow.
            spare: Tokens to leave for later calls.

        Raises:
            ModelUnavailable: As for `Classifier.load`.
            Busy: Too many wait, and this is the request's first call.
            Cancelled: The client has gone.
        """
        rows, answers = self._encoded(texts, self.limits.tokens - spare)
        verdicts: Sequence[Prediction | InvalidText | None]
        if self.limits.lent and batch.on_lent_hardware():
            verdicts = batch.judge(self.service.classifier, [texts[i] for i in rows])
        else:
            verdicts = self._run(list(rows.values()))
        for i, verdict in zip(rows, verdicts, strict=True):
            answers[i] = verdict or self._left_out("seconds")
        return [answers[i] for i in range(len(texts))]

    def _encoded(
        self, texts: Sequence[Any], tokens: int
    ) -> tuple[dict[int, Tokens], dict[int, Prediction | InvalidText]]:
        """By index: the tokens of the texts within the limits, and why the others have none."""
        rows: dict[int, Tokens] = {}
        refused = self._refused(texts)
        good = [i for i in range(len(texts)) if i not in refused]
        limit = "seconds"
        for i, row in self._tokenized(texts, good):
            if self.tokens and self.tokens + len(row.ids) > tokens:
                limit = "tokens"
                break
            self.tokens += len(row.ids)
            rows[i] = row
        return rows, refused | {i: self._left_out(limit) for i in good if i not in rows}

    def _tokenized(
        self, texts: Sequence[Any], indices: Sequence[int]
    ) -> Iterator[tuple[int, Tokens]]:
        """Texts by index, with their tokens, until the deadline."""
        reader = self.service.classifier.load()
        for part in _parts(indices, [len(texts[i]) for i in indices]):
            if self.cancelled():
                raise Cancelled
            if time.monotonic() >= self._deadline:
                return
            yield from zip(part, reader.encode([texts[i] for i in part]), strict=True)

    def _refused(self, texts: Sequence[Any]) -> dict[int, Prediction | InvalidText]:
        """Why some texts are not even tokenized, by index."""
        refused: dict[int, Prediction | InvalidText] = {}
        for i, text in enumerate(texts):
            if reason := refusal(text):
                refused[i] = reason
                continue
            self.characters += len(text)
            if self.characters > self.limits.characters:
                refused[i] = self._left_out("characters")
        return refused

    def _run(self, rows: Sequence[Tokens]) -> list[Prediction | InvalidText | None]:
        reader = self.service.classifier.load()
        sizes = [len(row.ids) for row in rows]

        def judge(i: int, alone: bool) -> Prediction | InvalidText:
            verdict = reader.judge(rows[i], alone)
            if sizes[i] > LONG:
                memory.release()
            return verdict

        verdicts = self.service.queue.run(
            [cost(size) for size in sizes],
            judge,
            deadline=self._deadline,
            patience=math.inf if self._admitted else self.limits.patience,
            cancelled=self.cancelled,
        )
        self._admitted = True
        return verdicts

    def _left_out(self, limit: str) -> LeftOut:
        most = f"{getattr(self.limits, limit):,} {'s' if limit == 'seconds' else limit}"
        return LeftOut(f"Left out: the limit of {most} for one request was reached.")


def _parts(indices: Sequence[int], sizes: Sequence[int]) -> Iterator[list[int]]:
    """The indices in groups of at most `TEXTS_AT_ONCE`, and about `CHARACTERS_AT_ONCE`."""
    part, characters = list[int](), 0
    for i, size in zip(indices, sizes, strict=True):
        part.append(i)
        characters += size
        if len(part) == TEXTS_AT_ONCE or characters >= CHARACTERS_AT_ONCE:
            yield part
            part, characters = [], 0
    if part:
        yield part


def cost(tokens: int) -> float:
    """What a text costs: of 1,000 tokens each takes about twice the time of one in a short text.

    Measured on a CPU with the quick start's model (int8): 10,500 tokens per second and core at 300
    tokens, 6,500 at 1,000, 2,000 at 4,096.
    """
    return tokens * (1 + tokens / 1_000)
