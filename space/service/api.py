"""The API: predictions in text-embeddings-inference's form, and in the app's own.

In: texts in JSON, or one per line. Out: scores, classifications, explanations.
"""

import io
import json
import math
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Any, TypeVar

import anyio
import anyio.to_thread
from fastapi import Request as HttpRequest
from fastapi import Response
from fastapi.responses import JSONResponse, StreamingResponse

from space.endpoints import MAX_TEXTS, answer_to_json, explanation_to_json, find_aspects
from space.inference import attribution
from space.inference.classifier import InvalidText, Prediction
from space.inference.client import DISCONNECTED
from space.inference.concurrency import Cancelled
from space.inference.onnx_model import OnnxModel
from space.inference.serving import BATCH, EXPLANATION, REFUSALS, SINGLE, Limits, Request, Service
from space.inference.texts import check_text
from space.service import problems
from space.service.lifecycle import Lifecycle
from space.service.metrics import Metrics
from space.service.problems import Problem
from space.service.schemas import ClassifyRequest, ExplainRequest, PredictRequest, Text, parse_text
from space.service.settings import Settings
from space.web.middleware import JSON_LINES

STREAM_TEXTS = 64  # of a stream that are classified at once
# Admitted as a batch; then as much as its body has, at the pace at which its client reads.
STREAM = Limits(tokens=math.inf, seconds=math.inf, patience=BATCH.patience)

Answer = Prediction | InvalidText
T = TypeVar("T")


class Api:
    """The routes that answer from the model.

    Args:
        service: The model and its queue.
        settings: Limits of requests.
        metrics: Where texts and tokens are counted.
        lifecycle: Whether accepted requests have to end.
    """

    def __init__(
        self, service: Service, settings: Settings, metrics: Metrics, lifecycle: Lifecycle
    ) -> None:
        self._service, self._settings = service, settings
        self._metrics, self._lifecycle = metrics, lifecycle
        self._threads = anyio.CapacityLimiter(settings.max_concurrent_requests)

    async def predict(self, body: PredictRequest, http: HttpRequest) -> Response:
        """Score texts as text-embeddings-inference does: all labels, the most probable first.

        A text that is longer than the model reads is truncated unless `truncate` is false. One text
        that can't be read refuses the whole request; `/v1/classify` answers the others.
        """
        if body.truncate is False:
            self._lifecycle.check_ready()
            model = self._service.classifier.load()
            await self._in_thread(lambda: _check_lengths(model, body.inputs.texts))
        _, answers = await self._classify(http, body.inputs.texts)
        scores = [_scores(i, answer, body) for i, answer in enumerate(answers)]
        return JSONResponse(scores if body.inputs.is_batch else scores[0])

    async def classify(self, body: ClassifyRequest, http: HttpRequest) -> Response:
        """Classify up to 1,000 texts: label, probability, whether it is unsure, tokens read.

        A text that can't be classified has an `error` in its place.
        """
        request, answers = await self._classify(http, body.inputs.texts)
        if not body.inputs.is_batch and isinstance(answers[0], InvalidText):
            raise problems.of_refusal(answers[0])
        results = list(map(answer_to_json, answers))
        return JSONResponse(_model(request) | {"results": results})

    async def classify_stream(self, http: HttpRequest) -> Response:
        """Classify as many texts as fit into a body: each line is `{"inputs": text}`, or a text.

        The answers are lines in the same order, each with the `index` of its text, as in
        `/v1/classify`. They are sent as they are made, without a limit of time.
        """
        texts = _lines(await http.body())
        request = self._request(http, STREAM)
        first = await self._classify_lines(request, texts)  # a refusal still has its status
        return StreamingResponse(self._stream(request, texts, first), media_type=JSON_LINES)

    async def explain(self, body: ExplainRequest, http: HttpRequest) -> Response:
        """Classify a text; measure each sentence, and the words in the strongest sentences.

        With an ASPECT_MODEL_ID it also has the `aspects` of the film that the text mentions.
        """
        request = self._request(http, EXPLANATION)
        has_aspects = self._service.aspects is not None

        def work() -> tuple[list[dict[str, Any]], attribution.Explanation]:
            # The explanation comes last, because it can leave out what there is no time for.
            mentions = find_aspects(self._service, body.inputs, request.limits, request.cancelled)
            return mentions, attribution.explain(request, body.inputs)

        mentions, explanation = await self._in_thread(work)
        self._metrics.count_texts(1)
        self._metrics.count_tokens([explanation.prediction])
        aspects = {"aspects": mentions} if has_aspects else {}
        return JSONResponse(_model(request) | explanation_to_json(explanation) | aspects)

    async def _classify(self, http: HttpRequest, texts: list[Text]) -> tuple[Request, list[Answer]]:
        if len(texts) > MAX_TEXTS:
            rule = f"inputs must have at most {MAX_TEXTS:,} texts"
            remedy = "send several requests, or lines to /v1/classify/stream"
            raise Problem(413, rule, f"{len(texts):,}", remedy)
        request = self._request(http, BATCH if len(texts) > 1 else SINGLE)
        answers = await self._in_thread(lambda: request.predict_batch(texts))
        self._metrics.count_texts(len(answers))
        self._metrics.count_tokens(answers)
        return request, answers

    async def _classify_lines(
        self, request: Request, texts: Iterator[Any], admitted: bool = False
    ) -> list[Answer]:
        """The answers to the next lines; none at the end."""
        chunk = list(islice(texts, STREAM_TEXTS))
        valid = [text for text in chunk if not isinstance(text, InvalidText)]
        answers = iter(await self._in_thread(lambda: request.predict_batch(valid), admitted))
        merged = [text if isinstance(text, InvalidText) else next(answers) for text in chunk]
        self._metrics.count_tokens(merged)
        return merged

    async def _stream(
        self, request: Request, texts: Iterator[Any], answers: list[Answer]
    ) -> AsyncIterator[bytes]:
        index = 0
        try:
            while answers:
                for answer in answers:
                    line = {"index": index} | answer_to_json(answer)
                    yield json.dumps(line).encode() + b"\n"
                    index += 1
                answers = await self._classify_lines(request, texts, admitted=True)
        except (Problem, *REFUSALS) as error:  # too late for a status: the last line tells
            problem = error if isinstance(error, Problem) else problems.of_refusal(error)
            yield json.dumps({"index": index, "error": problem.detail}).encode() + b"\n"
        finally:
            self._metrics.count_texts(index)

    def _request(self, http: HttpRequest, limits: Limits) -> Request:
        self._lifecycle.check_ready()
        disconnected, expired = http.scope[DISCONNECTED], self._lifecycle.expired
        if limits is not STREAM:
            seconds = min(limits.seconds, self._settings.request_timeout_seconds)
            limits = replace(limits, seconds=seconds)
        return Request(self._service, limits, lambda: disconnected.is_set() or expired.is_set())

    async def _in_thread(self, work: Callable[[], T], admitted: bool = False) -> T:
        """Run work that waits for the model.

        Args:
            work: A function.
            admitted: Whether the request runs already, so that it may wait for a thread.

        Raises:
            Problem: As many requests as allowed are running; or the service shuts down.
        """
        limiter = self._threads
        if not admitted and limiter.borrowed_tokens >= limiter.total_tokens:
            limit = f"{limiter.total_tokens:,.0f}"
            rule = f"at most {limit} requests may run at once"
            raise problems.busy(1, rule, "more", f"The limit of {limit} requests is reached")
        try:
            return await anyio.to_thread.run_sync(work, limiter=limiter)
        except Cancelled:
            if self._lifecycle.expired.is_set():
                raise problems.shutdown() from None
            raise


def _model(request: Request) -> dict[str, Any]:
    """What names the model that answered."""
    return {"model_id": request.service.classifier.repo_id, "model_sha": request.model.commit}


def _check_lengths(model: OnnxModel, texts: list[Text]) -> None:
    """Raise `Problem` for a text that would be truncated; texts that can't be read pass."""
    for index, text in enumerate(texts):
        if check_text(text) is not None:
            continue
        (tokens,) = model.encode([text])
        if tokens.count > model.max_tokens:
            most, count = (n - model.special_tokens for n in (model.max_tokens, tokens.count))
            rule = f"a text must have at most {most:,} tokens with truncate=false"
            remedy = "shorten the text, or omit truncate"
            raise Problem(413, rule, f"{count:,} in text {index}", remedy)


def _scores(index: int, answer: Answer, body: PredictRequest) -> list[dict[str, Any]]:
    """The scores of one text, the highest first."""
    if isinstance(answer, InvalidText):
        raise problems.of_refusal(answer, index if body.inputs.is_batch else None)
    values = answer.logits if body.raw_scores else answer.probabilities.values()
    scores = zip(answer.probabilities, values, strict=True)
    ranked = sorted(scores, key=lambda item: -item[1])
    return [{"score": score, "label": label} for label, score in ranked]


def _lines(body: bytes) -> Iterator[Text | InvalidText]:
    """The texts or pairs of a body with one JSON value per line; blank lines are skipped."""
    for number, line in enumerate(io.BytesIO(body), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
            is_named = isinstance(value, dict) and value.keys() == {"inputs"}
            yield parse_text(value["inputs"] if is_named else value)
        except (ValueError, RecursionError):
            yield InvalidText(
                f"Line {number} must be a text in quotes, a pair, or an object with either as "
                f"`inputs`, got {len(line):,} bytes of something else."
            )
