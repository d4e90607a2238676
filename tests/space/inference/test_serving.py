"""Requests to the model: what their limits leave out, and who gets all of it."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY
from hypothesis import given, settings
from hypothesis import strategies as st
from test_attribution import Counting

from space.inference import memory, serving
from space.inference.classifier import Classifier, InvalidText, Prediction, Tokens
from space.inference.concurrency import Busy, Cancelled
from space.inference.serving import LeftOut, Limits, Request, Service


@pytest.fixture
def counting() -> Any:
    return Counting()


def request(counting: Any, limits: Limits, **options: Any) -> Request:
    return Request(Service(counting), limits, **options)


def test_a_batch_is_judged_up_to_its_limit_of_tokens(counting: Any):
    texts = ["a" * 40, " ", 7, *["b" * 30] * 3, ""]
    answers = request(counting, Limits(tokens=100, seconds=60)).many(texts)
    assert sum(counting.tokens) == 100
    kinds = [type(answer) for answer in answers]
    assert kinds == [
        Prediction,
        InvalidText,
        InvalidText,
        Prediction,
        Prediction,
        LeftOut,
        InvalidText,
    ]
    assert str(answers[5]) == "Left out: the limit of 100 tokens for one request was reached."


def test_only_what_the_model_reads_of_a_text_counts(counting: Any):
    answers = request(counting, Limits(tokens=8_192, seconds=60)).many(["x" * 100_000] * 3)
    assert [type(answer) for answer in answers] == [Prediction, Prediction, LeftOut]


def test_the_first_text_is_judged_whatever_the_limit_is(counting: Any):
    assert request(counting, Limits(tokens=1, seconds=60))("a long text").tokens == 11


def test_the_calls_of_a_request_share_its_limit(counting: Any):
    asked = request(counting, Limits(tokens=100, seconds=60))
    first = asked.many(["a" * 30] * 3, spare=40)
    second = asked.many(["a" * 30] * 3)
    assert [type(answer) for answer in first + second] == [
        *(Prediction, Prediction, LeftOut), *(Prediction, LeftOut, LeftOut),
    ]  # fmt: skip


def test_forty_long_reviews_are_bounded_in_seconds(counting: Any, monkeypatch: pytest.MonkeyPatch):
    """Each takes 4 s by a clock of the test."""
    now = [0.0]
    monkeypatch.setattr(serving.time, "monotonic", lambda: now[0])
    queue = serving.AdmissionQueue(workers=1, clock=lambda: now[0])
    judge = counting.judge

    def slow(tokens: Tokens, alone: bool) -> Prediction:
        now[0] += 4
        return judge(tokens, alone)

    counting.judge = slow
    answers = Request(Service(counting, queue), serving.BATCH).many(["x" * 30_000] * 40)
    assert len(counting.tokens) == 30
    left = [answer for answer in answers if isinstance(answer, LeftOut)]
    assert len(left) == 10
    assert str(left[0]) == "Left out: the limit of 120 s for one request was reached."


class Tokenizing(Counting):
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

    tokenizing = Tokenizing(wait)
    answers = request(tokenizing, Limits(tokens=1_000, seconds=25)).many(["x" * 100_000] * 40)
    assert tokenizing.characters == [200_000] * 3
    assert {str(answer) for answer in answers} == {
        "Left out: the limit of 25 s for one request was reached."
    }


def test_no_text_is_tokenized_once_the_caller_has_gone():
    gone: list[bool] = []
    tokenizing = Tokenizing(lambda: gone.append(True))
    with pytest.raises(Cancelled):
        request(tokenizing, serving.FILE, cancelled=lambda: bool(gone)).many(["x" * 100_000] * 40)
    assert tokenizing.characters == [200_000]


def test_the_characters_of_a_batch_are_limited_whatever_the_model_reads_of_them():
    tokenizing = Tokenizing()
    answers = request(tokenizing, serving.BATCH).many(["x" * 100_000] * 1_000 + [" "])
    assert sum(tokenizing.characters) == 7_500_000
    assert [type(answer) for answer in answers] == [Prediction] * 75 + [LeftOut] * 925 + [
        InvalidText
    ]
    assert str(answers[999]) == (
        "Left out: the limit of 7,500,000 characters for one request was reached."
    )


@settings(derandomize=True, max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 100_000), max_size=60))
def test_texts_are_tokenized_in_bounded_parts_and_in_their_order(sizes: list[int]):
    parts = list(serving._parts(range(len(sizes)), sizes))
    assert [i for part in parts for i in part] == list(range(len(sizes)))
    for part in parts:
        assert 0 < len(part) <= 16
        assert sum(sizes[i] for i in part[:-1]) < 200_000


def test_only_the_tokens_that_the_model_reads_are_kept(tiny_classifier: Path):
    """Beginning and end, as `_judge` took them from all the tokens of a text before."""
    reader = Classifier.from_folder(tiny_classifier).load()
    for count in [1, reader.limit - 2, reader.limit - 1, 3 * reader.limit]:
        text = " ".join(["good", "film"][i * i % 3 % 2] for i in range(count))
        ids = reader._tokenizer.encode(text).ids
        (tokens,) = reader.encode([text])
        head = reader.limit // 4
        read = ids if len(ids) <= reader.limit else ids[:head] + ids[head - reader.limit :]
        assert (tokens.count, tokens.ids.tolist()) == (len(ids), read)
        assert tokens.ids.nbytes <= 8 * reader.limit
        verdict = reader.judge(tokens, alone=True)
        assert isinstance(verdict, Prediction)
        assert (verdict.tokens, verdict.tokens_read) == (len(ids) - 2, len(read) - 2)


def test_whoever_has_gone_is_not_judged(counting: Any):
    with pytest.raises(Cancelled):
        request(counting, serving.BATCH, cancelled=lambda: True).many(["a review"])
    assert counting.tokens == []


def test_a_request_is_refused_at_its_first_call_or_never(counting: Any):
    refusing = Limits(tokens=1_000, seconds=60, patience=-1_000)
    with pytest.raises(Busy):
        request(counting, refusing).many(["a review"])
    asked = request(counting, refusing)
    asked._admitted = True
    assert isinstance(asked("a review"), Prediction)


def test_on_zerogpu_many_texts_within_the_limit_are_judged_on_what_is_lent(
    counting: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    monkeypatch.setattr(serving.batch, "judge", lambda _, texts: [f"lent {text}" for text in texts])
    limits = Limits(tokens=10, seconds=60, lent=True)
    lent = request(counting, limits).many(["aaaa", "", "bbbb", "cccc"])
    assert [lent[0], lent[2]] == ["lent aaaa", "lent bbbb"]
    assert isinstance(lent[3], LeftOut)
    assert request(counting, serving.VERDICT)("here").tokens == 4
    assert counting.tokens == [4]


def test_the_memory_of_long_texts_is_returned(counting: Any, monkeypatch: pytest.MonkeyPatch):
    returned: list[int] = []
    monkeypatch.setattr(memory, "release", lambda: returned.append(1))
    request(counting, serving.BATCH).many(["short"] * 5 + ["x" * 30_000] * 3)
    assert len(returned) == 3


def test_freed_memory_goes_back_to_the_system():
    """In pieces between others that are in use, which glibc keeps without being asked."""
    code = (
        "import ctypes, sys\n"
        "from space.inference import memory\n"
        "size = lambda: int(open('/proc/self/statm').read().split()[1]) * 4096 / 2**20\n"
        "libc = ctypes.CDLL('libc.so.6')\n"
        "libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]\n"
        "memory.share()\n"
        "held = [libc.malloc(100_000) for _ in range(2_000)]\n"
        "for piece in held: ctypes.memset(ctypes.c_void_p(piece), 1, 100_000)\n"
        "for piece in held[::2] + held[1:-1:2]: libc.free(piece)\n"
        "before = size()\n"
        "memory.release()\n"
        "assert before - size() > 100, (before, size())\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=True)
