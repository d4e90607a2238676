"""Requests to the model: what their limits leave out, and who gets all of it."""

import subprocess
import sys
from typing import Any

import pytest
from conftest import REPOSITORY
from test_space_explanation import Counting

sys.path.insert(0, str(REPOSITORY / "space"))

import memory
import serving
from classifier import Unreadable, Verdict
from line import Busy, Cancelled
from serving import LeftOut, Limits, Request, Service


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
    assert kinds == [Verdict, Unreadable, Unreadable, Verdict, Verdict, LeftOut, Unreadable]
    assert str(answers[5]) == "Left out: the limit of 100 tokens for one request was reached."


def test_only_what_the_model_reads_of_a_text_counts(counting: Any):
    answers = request(counting, Limits(tokens=8_192, seconds=60)).many(["x" * 100_000] * 3)
    assert [type(answer) for answer in answers] == [Verdict, Verdict, LeftOut]


def test_the_first_text_is_judged_whatever_the_limit_is(counting: Any):
    assert request(counting, Limits(tokens=1, seconds=60))("a long text").tokens == 11


def test_the_calls_of_a_request_share_its_limit(counting: Any):
    asked = request(counting, Limits(tokens=100, seconds=60))
    first = asked.many(["a" * 30] * 3, spare=40)
    second = asked.many(["a" * 30] * 3)
    assert [type(answer) for answer in first + second] == [
        *(Verdict, Verdict, LeftOut), *(Verdict, LeftOut, LeftOut),
    ]  # fmt: skip


def test_forty_long_reviews_are_bounded_in_seconds(counting: Any, monkeypatch: pytest.MonkeyPatch):
    """Each takes 4 s by a clock of the test."""
    now = [0.0]
    monkeypatch.setattr(serving.time, "monotonic", lambda: now[0])
    queue = serving.AdmissionQueue(workers=1, clock=lambda: now[0])
    judge = counting.judge

    def slow(ids: list[int], alone: bool) -> Verdict:
        now[0] += 4
        return judge(ids, alone)

    counting.judge = slow
    answers = Request(Service(counting, queue), serving.BATCH).many(["x" * 30_000] * 40)
    assert len(counting.tokens) == 30
    left = [answer for answer in answers if isinstance(answer, LeftOut)]
    assert len(left) == 10
    assert str(left[0]) == "Left out: the limit of 120 s for one request was reached."


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
    assert isinstance(asked("a review"), Verdict)


def test_on_zerogpu_many_texts_within_the_limit_are_judged_on_what_is_lent(
    counting: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    monkeypatch.setattr(serving.bulk, "judge", lambda _, texts: [f"lent {text}" for text in texts])
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
        "sys.path.insert(0, 'space')\n"
        "import memory\n"
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
