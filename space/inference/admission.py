"""The queue before the model: short requests pass long ones, and the waiting time is known.

In: requests of one or more items, each with its cost. Out: what was computed of them before the
deadline; `Busy` with the estimated wait, or `Cancelled` once nobody waits for the answer.
"""

import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import Condition, Event, Thread
from typing import Any, TypeVar

from space.inference.concurrency import Busy, Cancelled

PACE = 2_000.0  # cost that a request may use per second since its arrival and still be first
PATIENCE_SECONDS = 5.0  # of waiting, in addition to the time that a request itself takes
SHORT = 2_000.0  # cost of an item that runs beside long ones although all workers are busy
FIRST_RATE = 5_000.0  # cost per second and worker, until it has been measured
NICE = 5  # of the workers: the page's own thread, which answers everybody, goes before them
DECAY = 0.95  # weight of the measured rate's past when the next item is added

T = TypeVar("T")


@dataclass(eq=False)
class _Job:
    """A request in the queue; its items are started in their order."""

    costs: Sequence[float]
    work: Callable[[int, bool], Any]
    arrived: float
    deadline: float
    cancelled: Callable[[], bool]
    results: list[Any] = field(init=False)  # None for an item that was not run
    started: int = 0  # items
    attained: float = 0.0  # their cost
    running: int = 0
    error: BaseException | None = None
    done: Event = field(default_factory=Event)

    def __post_init__(self) -> None:
        self.results = [None] * len(self.costs)

    @property
    def left(self) -> float:
        return sum(self.costs[self.started :])

    @property
    def next_cost(self) -> float:
        return self.costs[self.started]

    @property
    def rank(self) -> float:
        """The item with the lowest rank runs first.

        A request's next item ranks as if the request had got `PACE` since its arrival. Those of
        little cost therefore pass the others, and waiting improves the rank of any.
        """
        return self.arrived + (self.attained + self.next_cost) / PACE


class AdmissionQueue:
    """Runs the items of requests on a few threads.

    One more thread takes short items while long ones occupy all the others: an item can't be
    interrupted, and sharing a core for milliseconds costs less than a wait of seconds.

    Args:
        workers: How many items run at once.
        clock: Seconds, as `time.monotonic`.
    """

    def __init__(self, workers: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.workers = workers
        self._clock = clock
        self._changed = Condition()
        self._threads: list[Thread] = []
        self._jobs: list[_Job] = []  # with items that were not started
        self._running: list[float] = []  # costs
        self._cost, self._seconds = FIRST_RATE, 1.0  # decayed sums over the items that were run

    def run(
        self,
        costs: Sequence[float],
        work: Callable[[int, bool], T],
        *,
        deadline: float = math.inf,
        patience: float = PATIENCE_SECONDS,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> list[T | None]:
        """Run a request's items, and wait for them.

        Args:
            costs: Of each item.
            work: Gets an item's index, and whether nothing else runs meanwhile.
            deadline: When, by the queue's clock, no further item is started.
            patience: Seconds for which the request may wait for others, in addition to the time
                that it takes itself.
            cancelled: Whether nobody waits for the answer any more.

        Returns:
            What `work` gave for each item; None for those that were not started in time.

        Raises:
            Busy: The wait would be longer.
            Cancelled: Nobody waits for the answer.
        """
        job = _Job(costs, work, self._clock(), deadline, cancelled)
        if not costs:
            return []
        with self._changed:
            self._drop_dead_jobs()
            wait = self._seconds_before(job)
            if wait > patience + job.left / self.rate:
                raise Busy(max(1, math.ceil(wait)))
            self._jobs.append(job)
            self._start_threads()
            self._changed.notify_all()
        job.done.wait()
        if job.error:
            raise job.error
        if cancelled():
            raise Cancelled
        return job.results

    @property
    def rate(self) -> float:
        """Cost per second of all workers together, as measured."""
        return self.workers * self._cost / self._seconds

    def _seconds_before(self, job: _Job) -> float:
        """How long what runs before the job's last item takes, as long as nothing else comes."""
        last = job.arrived + job.left / PACE
        before = sum(self._running) / 2
        for other in self._jobs:
            if other.rank <= last:
                due = (last - other.arrived) * PACE - other.attained
                before += min(other.left, max(due, other.next_cost))
        return before / self.rate

    def _drop_dead_jobs(self) -> None:
        now = self._clock()
        for job in list(self._jobs):
            if now >= job.deadline or job.cancelled() or job.error:
                self._jobs.remove(job)
                if not job.running:
                    job.done.set()

    def _start_threads(self) -> None:
        while len(self._threads) < self.workers + 1:
            express = len(self._threads) == self.workers
            self._threads.append(Thread(target=self._serve, args=[express], daemon=True))
            self._threads[-1].start()

    def _serve(self, express: bool) -> None:
        if sys.platform == "linux":
            os.nice(NICE)  # of this thread alone
        while True:
            with self._changed:
                while (job := self._next(express)) is None:
                    self._changed.wait()
                index, cost = job.started, job.next_cost
                alone = len(job.costs) == 1 and len(self._jobs) == 1 and not self._running
                job.started, job.attained, job.running = (
                    index + 1,
                    job.attained + cost,
                    job.running + 1,
                )
                self._running.append(cost)
                if job.started == len(job.costs):
                    self._jobs.remove(job)
                self._changed.notify_all()  # the express thread, which looks at what is running
            begun = self._clock()
            try:
                job.results[index] = job.work(index, alone)
            except BaseException as error:
                job.error = error
            with self._changed:
                self._learn(cost, (self._clock() - begun) * (self.workers if alone else 1))
                self._running.remove(cost)
                job.running -= 1
                if not job.running and job not in self._jobs:
                    job.done.set()
                self._changed.notify_all()

    def _next(self, express: bool) -> _Job | None:
        """The job whose item runs next, if any may run now."""
        self._drop_dead_jobs()
        jobs = self._jobs
        if express:
            if len(self._running) < self.workers or min(self._running) <= SHORT:
                return None
            jobs = [job for job in jobs if job.next_cost <= SHORT]
        return min(jobs, key=lambda job: job.rank, default=None)

    def _learn(self, cost: float, seconds: float) -> None:
        self._cost = DECAY * self._cost + cost
        self._seconds = DECAY * self._seconds + seconds
