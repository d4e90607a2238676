"""Requests to the model: their limits, and what is classified within them."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY
from hypothesis import given, settings
from hypothesis import strategies as st
from test_attribution import CountingClassifier

from space.inference import memory, serving
from space.inference.classifier import Classifier, InvalidText, Prediction
from space.inference.concurrency import Busy, Cancelled
from space.inference.onnx_model import Tokens
from space.inference.serving import LimitReached, Limits, Request, Service


@pytest.fixture
def counting() -> Any:
    return CountingClassifier()


def request(counting: Any, limits: Limits, **options: Any) -> Request:
    return Request(Service(counting), limits, **options)


def test_batch_is_classified_up_to_the_token_limit(counting: Any):
    texts = ["a" * 40, " ", 7, *["b" * 30] * 3, ""]
    answers = request(counting, Limits(tokens=100, seconds=60)).predict_batch(texts)
    assert sum(counting.tokens) == 100
    kinds = [type(answer) for answer in answers]
    assert kinds == [
        Prediction,
        InvalidText,
        InvalidText,
        Prediction,
        Prediction,
        LimitReached,
        InvalidText,
    ]
    assert str(answers[5]) == "Left out: the limit of 100 tokens for one request was reached."


def test_only_tokens_that_the_model_reads_count(counting: Any):
    answers = request(counting, Limits(tokens=8_192, seconds=60)).predict_batch(["x" * 100_000] * 3)
    assert [type(answer) for answer in answers] == [Prediction, Prediction, LimitReached]


def test_first_text_is_always_classified(counting: Any):
    assert request(counting, Limits(tokens=1, seconds=60)).predict("a long text").tokens == 11


def test_calls_of_a_request_share_its_limits(counting: Any):
    shared = request(counting, Limits(tokens=100, seconds=60))
    first = shared.predict_batch(["a" * 30] * 3, reserved_tokens=40)
    second = shared.predict_batch(["a" * 30] * 3)
    assert [type(answer) for answer in first + second] == [
        *(Prediction, Prediction, LimitReached), *(Prediction, LimitReached, LimitReached),
    ]  # fmt: skip


def test_batch_stops_at_the_time_limit(counting: Any, monkeypatch: pytest.MonkeyPatch):
    """Each takes 4 s by a clock of the test."""
    now = [0.0]
    monkeypatch.setattr(serving.time, "monotonic", lambda: now[0])
    queue = serving.AdmissionQueue(workers=1, clock=lambda: now[0])
    predict_tokens = counting.predict_tokens

    def slow(tokens: Tokens, all_cores: bool) -> Prediction:
        now[0] += 4
        return predict_tokens(tokens, all_cores)

    counting.predict_tokens = slow
    answers = Request(Service(counting, queue), serving.BATCH).predict_batch(["x" * 30_000] * 40)
    assert len(counting.tokens) == 30
    dropped = [answer for answer in answers if isinstance(answer, LimitReached)]
    assert len(dropped) == 10
    assert str(dropped[0]) == "Left out: the limit of 120 s for one request was reached."


class CountingTokenizer(CountingClassifier):
    """Reads each text as a single token; says how many characters it was given at once."""

    def __init__(self, after: Any = lambda: None) -> None:
        super().__init__()
        self.characters, self.after = list[int](), after

    def encode(self, texts: list[str]) -> list[Tokens]:
        self.characters.append(sum(map(len, texts)))
        self.after()
        return [Tokens([0], 1) for _ in texts]


def test_no_text_is_tokenized_after_the_deadline(monkeypatch: pytest.MonkeyPatch):
    now = [0.0]
    monkeypatch.setattr(serving.time, "monotonic", lambda: now[0])

    def wait() -> None:
        now[0] += 10

    tokenizing = CountingTokenizer(wait)
    answers = request(tokenizing, Limits(tokens=1_000, seconds=25)).predict_batch(
        ["x" * 100_000] * 40
    )
    assert tokenizing.characters == [200_000] * 3
    assert {str(answer) for answer in answers} == {
        "Left out: the limit of 25 s for one request was reached."
    }


def test_no_text_is_tokenized_after_the_client_has_gone():
    gone: list[bool] = []
    tokenizing = CountingTokenizer(lambda: gone.append(True))
    with pytest.raises(Cancelled):
        request(tokenizing, serving.FILE, cancelled=lambda: bool(gone)).predict_batch(
            ["x" * 100_000] * 40
        )
    assert tokenizing.characters == [200_000]


def test_batch_stops_at_the_character_limit():
    tokenizing = CountingTokenizer()
    answers = request(tokenizing, serving.BATCH).predict_batch(["x" * 100_000] * 1_000 + [" "])
    assert sum(tokenizing.characters) == 7_500_000
    assert [type(answer) for answer in answers] == [Prediction] * 75 + [LimitReached] * 925 + [
        InvalidText
    ]
    assert str(answers[999]) == (
        "Left out: the limit of 7,500,000 characters for one request was reached."
    )


@settings(derandomize=True, max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 100_000), max_size=60))
def test_texts_are_tokenized_in_bounded_chunks_in_order(sizes: list[int]):
    chunks = list(serving._chunks(range(len(sizes)), sizes))
    assert [i for chunk in chunks for i in chunk] == list(range(len(sizes)))
    for chunk in chunks:
        assert 0 < len(chunk) <= 16
        assert sum(sizes[i] for i in chunk[:-1]) < 200_000


def test_encode_keeps_only_the_tokens_that_the_model_reads(tiny_classifier: Path):
    """They are the beginning and the end of all the tokens of a text."""
    classifier = Classifier.from_folder(tiny_classifier)
    model = classifier.load()
    for count in [1, model.max_tokens - 2, model.max_tokens - 1, 3 * model.max_tokens]:
        text = " ".join(["good", "film"][i * i % 3 % 2] for i in range(count))
        ids = model._tokenizer.encode(text).ids
        (tokens,) = model.encode([text])
        head = model.max_tokens // 4
        read = ids if len(ids) <= model.max_tokens else ids[:head] + ids[head - model.max_tokens :]
        assert (tokens.count, tokens.ids.tolist()) == (len(ids), read)
        assert tokens.ids.nbytes <= 8 * model.max_tokens
        prediction = classifier.predict_tokens(tokens, all_cores=True)
        assert isinstance(prediction, Prediction)
        assert (prediction.tokens, prediction.tokens_read) == (len(ids) - 2, len(read) - 2)


def test_cancelled_request_is_not_classified(counting: Any):
    with pytest.raises(Cancelled):
        request(counting, serving.BATCH, cancelled=lambda: True).predict_batch(["a review"])
    assert counting.tokens == []


def test_request_is_refused_only_at_its_first_call(counting: Any):
    refusing = Limits(tokens=1_000, seconds=60, patience=-1_000)
    with pytest.raises(Busy):
        request(counting, refusing).predict_batch(["a review"])
    shared = request(counting, refusing)
    shared._admitted = True
    assert isinstance(shared.predict("a review"), Prediction)


def test_batches_run_on_the_gpu_machine_of_a_zerogpu_space(
    counting: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    monkeypatch.setattr(
        serving.zerogpu, "predict_batch", lambda _, texts: [f"gpu {text}" for text in texts]
    )
    limits = Limits(tokens=10, seconds=60, zerogpu=True)
    results = request(counting, limits).predict_batch(["aaaa", "", "bbbb", "cccc"])
    assert [results[0], results[2]] == ["gpu aaaa", "gpu bbbb"]
    assert isinstance(results[3], LimitReached)
    assert request(counting, serving.SINGLE).predict("here").tokens == 4
    assert counting.tokens == [4]


def test_memory_is_released_after_long_texts(counting: Any, monkeypatch: pytest.MonkeyPatch):
    returned: list[int] = []
    monkeypatch.setattr(memory, "release", lambda: returned.append(1))
    request(counting, serving.BATCH).predict_batch(["short"] * 5 + ["x" * 30_000] * 3)
    assert len(returned) == 3


def test_freed_memory_is_returned_to_the_system():
    """Blocks between others that are in use; glibc keeps them otherwise."""
    code = (
        "import ctypes, sys\n"
        "from space.inference import memory\n"
        "size = lambda: int(open('/proc/self/statm').read().split()[1]) * 4096 / 2**20\n"
        "libc = ctypes.CDLL('libc.so.6')\n"
        "libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]\n"
        "memory.limit_arenas()\n"
        "held = [libc.malloc(100_000) for _ in range(2_000)]\n"
        "for piece in held: ctypes.memset(ctypes.c_void_p(piece), 1, 100_000)\n"
        "for piece in held[::2] + held[1:-1:2]: libc.free(piece)\n"
        "before = size()\n"
        "memory.release()\n"
        "assert before - size() > 100, (before, size())\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=True)
