"""The queue before the model: the order of items, refusals, and when work stops."""

from collections.abc import Iterator
from threading import Event, Thread
from typing import Any

import pytest

from space.inference import admission
from space.inference.admission import AdmissionQueue
from space.inference.concurrency import Busy, Cancelled


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class BlockedQueue:
    """A queue with one worker, which one item blocks until `release`; records what runs."""

    def __init__(self, held_cost: float = 1.0) -> None:
        self.clock, self.ran = Clock(), list[str]()
        self.queue = AdmissionQueue(workers=1, clock=self.clock)
        self.holding, self.released = Event(), Event()
        self.threads: list[Thread] = []
        self.results: dict[str, Any] = {}
        self.submit("held", [held_cost], self._hold)
        assert self.holding.wait(20)

    def _hold(self, index: int, alone: bool) -> str:
        self.holding.set()
        assert self.released.wait(20)
        return "held"

    def submit(self, name: str, costs: list[float], work: Any = None, **options: Any) -> None:
        """Submit in a thread; returns once the request is queued or refused."""

        def record(index: int, alone: bool) -> str:
            self.ran.append(f"{name}{index}")
            return f"{name}{index}"

        def run() -> None:
            try:
                self.results[name] = self.queue.run(costs, work or record, **options)
            except Exception as error:
                self.results[name] = error

        before = len(self.queue._jobs)
        self.threads.append(Thread(target=run))
        self.threads[-1].start()
        while not work and len(self.queue._jobs) == before and name not in self.results:
            pass

    def release(self) -> None:
        self.released.set()
        for thread in self.threads:
            thread.join(20)
            assert not thread.is_alive()


@pytest.fixture
def blocked() -> Iterator[BlockedQueue]:
    blocked = BlockedQueue()
    yield blocked
    blocked.release()


def test_short_requests_pass_long_ones(blocked: BlockedQueue):
    blocked.submit("long", [4_000.0] * 3)
    blocked.submit("middle", [500.0])
    blocked.submit("short", [2.0])
    blocked.release()
    assert blocked.ran == ["short0", "middle0", "long0", "long1", "long2"]
    assert blocked.results["long"] == ["long0", "long1", "long2"]


def test_a_short_request_runs_between_two_items_of_a_long_one(blocked: BlockedQueue):
    going, arrived = Event(), Event()

    def work(index: int, alone: bool) -> None:
        blocked.ran.append(f"long{index}")
        going.set()
        assert arrived.wait(20)

    thread = Thread(target=blocked.queue.run, args=[[1_000.0] * 3, work])
    thread.start()
    blocked.released.set()
    assert going.wait(20)
    blocked.submit("short", [2.0])
    arrived.set()
    thread.join(20)
    blocked.release()
    assert blocked.ran == ["long0", "short0", "long1", "long2"]


def test_long_requests_rank_higher_the_longer_they_wait(blocked: BlockedQueue):
    blocked.submit("long", [4_000.0])
    blocked.clock.now = 1.0
    blocked.submit("early", [500.0])
    blocked.clock.now = 2.0
    blocked.submit("late", [500.0])  # the credit of the long one covers its cost by now
    blocked.release()
    assert blocked.ran == ["early0", "long0", "late0"]


def test_requests_of_the_same_size_take_turns(blocked: BlockedQueue):
    blocked.submit("a", [100.0] * 3)
    blocked.clock.now = 0.01
    blocked.submit("b", [100.0] * 3)
    blocked.release()
    assert blocked.ran == ["a0", "b0", "a1", "b1", "a2", "b2"]


def test_express_thread_runs_short_items_while_long_ones_occupy_all_workers():
    blocked = BlockedQueue(held_cost=admission.SHORT_COST + 1)
    assert blocked.queue.run([1.0], lambda index, alone: alone) == [False]
    assert not blocked.released.is_set()
    blocked.submit("long", [admission.SHORT_COST + 1])
    blocked.release()
    assert blocked.ran == ["long0"]


def test_item_is_told_whether_it_runs_alone(blocked: BlockedQueue):
    alone: list[bool] = []

    def work(index: int, is_alone: bool) -> None:
        alone.append(is_alone)

    blocked.submit("noted", [1.0, 1.0])
    blocked.release()
    blocked.queue.run([1.0], work)
    blocked.queue.run([1.0, 1.0], work)
    assert alone == [True, False, False]


def test_request_that_would_wait_too_long_is_refused_with_the_estimated_wait(blocked: BlockedQueue):
    blocked.queue._total_cost, blocked.queue._total_seconds = 1_000.0, 1.0  # measured
    blocked.submit("first", [1_000.0] * 4)
    blocked.clock.now = 10.0  # it ranks before new requests
    blocked.submit("patient", [10.0], patience=4)
    blocked.submit("impatient", [10.0], patience=3.9)
    assert str(blocked.results.pop("impatient")).endswith("Try again in 5 s.")
    blocked.release()
    assert blocked.ran == ["first0", "first1", "first2", "first3", "patient0"]


def test_own_running_time_of_a_request_does_not_count_as_waiting(blocked: BlockedQueue):
    blocked.queue._total_cost, blocked.queue._total_seconds = 1_000.0, 1.0
    blocked.submit("first", [1_000.0] * 20)
    blocked.submit("second", [1_000.0] * 20)  # waits as long as it takes itself
    blocked.submit("third", [1_000.0] * 20)
    refused = blocked.results.pop("third")
    assert isinstance(refused, Busy)
    assert refused.seconds == 41  # both, and half of a second for the item that runs
    blocked.release()
    assert set(blocked.results) == {"held", "first", "second"}


def test_rate_follows_the_measured_seconds_of_items():
    clock = Clock()
    queue = AdmissionQueue(workers=2, clock=clock)

    def work(index: int, alone: bool) -> None:
        clock.now += 2.0

    for _ in range(300):
        queue.run([100.0], work)  # alone: with all cores
    assert queue.rate == pytest.approx(50, rel=0.01)


def test_no_item_runs_after_the_client_has_gone(blocked: BlockedQueue):
    gone: list[bool] = []
    blocked.submit("gone", [1.0] * 40, cancelled=lambda: bool(gone))
    blocked.submit("other", [5.0])
    gone.append(True)
    blocked.release()
    assert blocked.ran == ["other0"]
    assert isinstance(blocked.results["gone"], Cancelled)


def test_running_item_is_the_last_when_the_client_goes(blocked: BlockedQueue):
    gone: list[bool] = []

    def work(index: int, alone: bool) -> None:
        blocked.ran.append(f"gone{index}")
        gone.append(True)

    blocked.released.set()
    with pytest.raises(Cancelled):
        blocked.queue.run([1.0] * 40, work, cancelled=lambda: bool(gone))
    assert blocked.ran == ["gone0"]


def test_no_item_starts_after_the_deadline(blocked: BlockedQueue):
    def work(index: int, alone: bool) -> int:
        blocked.clock.now += 1.0
        return index

    blocked.released.set()
    assert blocked.queue.run([1.0] * 5, work, deadline=2.5) == [0, 1, 2, None, None]


def test_error_of_an_item_is_raised_and_ends_its_request(blocked: BlockedQueue):
    def work(index: int, alone: bool) -> None:
        blocked.ran.append(f"broken{index}")
        raise ValueError("broken")

    blocked.released.set()
    with pytest.raises(ValueError, match="broken"):
        blocked.queue.run([1.0] * 3, work)
    assert blocked.ran == ["broken0"]
    assert blocked.queue.run([1.0], lambda index, alone: index) == [0]
    assert blocked.queue.run([], work) == []
