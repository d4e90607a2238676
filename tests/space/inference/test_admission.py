"""The queue before the model: which item runs next, who is refused, and when work stops."""

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


class Bench:
    """A queue of one worker, which is held by an item until `release`; notes what runs."""

    def __init__(self, held_cost: float = 1.0) -> None:
        self.clock, self.ran = Clock(), list[str]()
        self.queue = AdmissionQueue(workers=1, clock=self.clock)
        self.holding, self.let_go = Event(), Event()
        self.threads: list[Thread] = []
        self.results: dict[str, Any] = {}
        self.submit("held", [held_cost], self._hold)
        assert self.holding.wait(20)

    def _hold(self, index: int, alone: bool) -> str:
        self.holding.set()
        assert self.let_go.wait(20)
        return "held"

    def submit(self, name: str, costs: list[float], work: Any = None, **options: Any) -> None:
        """Ask in a thread; comes back once the request is in the queue or was refused."""

        def note(index: int, alone: bool) -> str:
            self.ran.append(f"{name}{index}")
            return f"{name}{index}"

        def ask() -> None:
            try:
                self.results[name] = self.queue.run(costs, work or note, **options)
            except Exception as error:
                self.results[name] = error

        before = len(self.queue._jobs)
        self.threads.append(Thread(target=ask))
        self.threads[-1].start()
        while not work and len(self.queue._jobs) == before and name not in self.results:
            pass

    def release(self) -> None:
        self.let_go.set()
        for thread in self.threads:
            thread.join(20)
            assert not thread.is_alive()


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.release()


def test_short_requests_pass_long_ones(bench: Bench):
    bench.submit("long", [4_000.0] * 3)
    bench.submit("middle", [500.0])
    bench.submit("short", [2.0])
    bench.release()
    assert bench.ran == ["short0", "middle0", "long0", "long1", "long2"]
    assert bench.results["long"] == ["long0", "long1", "long2"]


def test_a_short_request_runs_between_two_items_of_a_long_one(bench: Bench):
    going, arrived = Event(), Event()

    def work(index: int, alone: bool) -> None:
        bench.ran.append(f"long{index}")
        going.set()
        assert arrived.wait(20)

    thread = Thread(target=bench.queue.run, args=[[1_000.0] * 3, work])
    thread.start()
    bench.let_go.set()
    assert going.wait(20)
    bench.submit("short", [2.0])
    arrived.set()
    thread.join(20)
    bench.release()
    assert bench.ran == ["long0", "short0", "long1", "long2"]


def test_waiting_improves_the_rank_of_long_requests(bench: Bench):
    bench.submit("long", [4_000.0])
    bench.clock.now = 1.0
    bench.submit("early", [500.0])
    bench.clock.now = 2.0
    bench.submit("late", [500.0])  # the long one has waited for as long as its cost is worth
    bench.release()
    assert bench.ran == ["early0", "long0", "late0"]


def test_requests_of_the_same_size_take_turns(bench: Bench):
    bench.submit("a", [100.0] * 3)
    bench.clock.now = 0.01
    bench.submit("b", [100.0] * 3)
    bench.release()
    assert bench.ran == ["a0", "b0", "a1", "b1", "a2", "b2"]


def test_a_short_item_runs_although_long_ones_occupy_all_workers():
    bench = Bench(held_cost=admission.SHORT + 1)
    assert bench.queue.run([1.0], lambda index, alone: alone) == [False]
    assert not bench.let_go.is_set()
    bench.submit("long", [admission.SHORT + 1])
    bench.release()
    assert bench.ran == ["long0"]


def test_a_request_gets_all_cores_only_when_it_is_alone(bench: Bench):
    alone: list[bool] = []

    def work(index: int, is_alone: bool) -> None:
        alone.append(is_alone)

    bench.submit("noted", [1.0, 1.0])
    bench.release()
    bench.queue.run([1.0], work)
    bench.queue.run([1.0, 1.0], work)
    assert alone == [True, False, False]


def test_what_would_wait_too_long_is_refused_with_the_time_that_the_queue_needs(bench: Bench):
    bench.queue._cost, bench.queue._seconds = 1_000.0, 1.0  # measured
    bench.submit("first", [1_000.0] * 4)
    bench.clock.now = 10.0  # it goes before whatever comes now
    bench.submit("patient", [10.0], patience=4)
    bench.submit("impatient", [10.0], patience=3.9)
    assert str(bench.results.pop("impatient")).endswith("Try again in 5 s.")
    bench.release()
    assert bench.ran == ["first0", "first1", "first2", "first3", "patient0"]


def test_the_time_that_a_request_takes_itself_is_no_reason_to_refuse_it(bench: Bench):
    bench.queue._cost, bench.queue._seconds = 1_000.0, 1.0
    bench.submit("first", [1_000.0] * 20)
    bench.submit("second", [1_000.0] * 20)  # waits as long as it takes itself
    bench.submit("third", [1_000.0] * 20)
    refused = bench.results.pop("third")
    assert isinstance(refused, Busy)
    assert refused.seconds == 41  # both, and half of a second for the item that runs
    bench.release()
    assert set(bench.results) == {"held", "first", "second"}


def test_the_rate_follows_what_items_take():
    clock = Clock()
    queue = AdmissionQueue(workers=2, clock=clock)

    def work(index: int, alone: bool) -> None:
        clock.now += 2.0

    for _ in range(300):
        queue.run([100.0], work)  # alone: with all cores
    assert queue.rate == pytest.approx(50, rel=0.01)


def test_nothing_more_is_run_once_the_caller_has_gone(bench: Bench):
    gone: list[bool] = []
    bench.submit("gone", [1.0] * 40, cancelled=lambda: bool(gone))
    bench.submit("other", [5.0])
    gone.append(True)
    bench.release()
    assert bench.ran == ["other0"]
    assert isinstance(bench.results["gone"], Cancelled)


def test_the_item_that_runs_when_the_caller_goes_is_the_last(bench: Bench):
    gone: list[bool] = []

    def work(index: int, alone: bool) -> None:
        bench.ran.append(f"gone{index}")
        gone.append(True)

    bench.let_go.set()
    with pytest.raises(Cancelled):
        bench.queue.run([1.0] * 40, work, cancelled=lambda: bool(gone))
    assert bench.ran == ["gone0"]


def test_no_item_is_started_behind_the_deadline(bench: Bench):
    def work(index: int, alone: bool) -> int:
        bench.clock.now += 1.0
        return index

    bench.let_go.set()
    assert bench.queue.run([1.0] * 5, work, deadline=2.5) == [0, 1, 2, None, None]


def test_an_error_reaches_who_asked_and_ends_the_request(bench: Bench):
    def work(index: int, alone: bool) -> None:
        bench.ran.append(f"broken{index}")
        raise ValueError("broken")

    bench.let_go.set()
    with pytest.raises(ValueError, match="broken"):
        bench.queue.run([1.0] * 3, work)
    assert bench.ran == ["broken0"]
    assert bench.queue.run([1.0], lambda index, alone: index) == [0]
    assert bench.queue.run([], work) == []
