"""The queue before the model: short requests pass long ones, and the waiting time is known.

In: requests of one or more items, each with its cost. Out: the results of the items that were run
before the deadline; or `Busy` with the estimated wait, or `Cancelled` if the client has gone.
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

CREDIT_PER_SECOND = 2_000.0  # cost that a request may use per second and keep its rank
PATIENCE_SECONDS = 5.0  # that a request may wait, in addition to its own running time
SHORT_COST = 2_000.0  # an item up to this cost runs at once if long ones occupy all workers
INITIAL_RATE = 5_000.0  # cost per second and worker, until it has been measured
NICE = 5  # of the worker threads: the thread that answers HTTP requests has priority
DECAY = 0.95  # weight of the measured rate's past when an item is added

T = TypeVar("T")


@dataclass(eq=False)
class _Job:
    """A request in the queue; its items start in order."""

    costs: Sequence[float]
    work: Callable[[int, bool], Any]
    arrived: float
    deadline: float
    cancelled: Callable[[], bool]
    results: list[Any] = field(init=False)  # None for an item that was not run
    started: int = 0  # items
    started_cost: float = 0.0
    running: int = 0  # items
    error: BaseException | None = None
    done: Event = field(default_factory=Event)

    def __post_init__(self) -> None:
        self.results = [None] * len(self.costs)

    @property
    def remaining_cost(self) -> float:
        return sum(self.costs[self.started :])

    @property
    def next_cost(self) -> float:
        return self.costs[self.started]

    @property
    def rank(self) -> float:
        """The job with the lowest rank runs next: the time at which its credit covers its cost.

        Short requests therefore pass long ones, and no request waits forever.
        """
        return self.arrived + (self.started_cost + self.next_cost) / CREDIT_PER_SECOND

    def start_next(self) -> tuple[int, float]:
        """Count the next item as started; returns its index and cost."""
        index, cost = self.started, self.next_cost
        self.started += 1
        self.started_cost += cost
        self.running += 1
        return index, cost


class AdmissionQueue:
    """Runs the items of requests on a few threads.

    An item can't be interrupted. One more thread, the express thread, therefore runs short items
    while long ones occupy all workers: sharing a core for milliseconds beats waiting for seconds.

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
        self._running_costs: list[float] = []
        self._total_cost, self._total_seconds = INITIAL_RATE, 1.0  # decayed, of the items run

    def run(
        self,
        costs: Sequence[float],
        work: Callable[[int, bool], T],
        *,
        deadline: float = math.inf,
        patience: float = PATIENCE_SECONDS,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> list[T | None]:
        """Run the items of a request, and wait for them.

        Args:
            costs: The cost of each item.
            work: Called with an item's index, and whether nothing else is running.
            deadline: The time of the queue's clock after which no item is started.
            patience: Seconds that the request may wait for others, in addition to its own running
                time.
            cancelled: Whether the client has gone.

        Returns:
            The result of `work` for each item; None for those that were not started in time.

        Raises:
            Busy: The wait would be longer.
            Cancelled: The client has gone.
        """
        if not costs:
            return []
        job = _Job(costs, work, self._clock(), deadline, cancelled)
        with self._changed:
            self._drop_dead_jobs()
            wait = self._estimated_wait(job)
            if wait > patience + job.remaining_cost / self.rate:
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
    def length(self) -> int:
        """The number of items that wait, of all requests."""
        with self._changed:
            return sum(len(job.costs) - job.started for job in self._jobs)

    @property
    def rate(self) -> float:
        """Cost per second of all workers together, as measured."""
        return self.workers * self._total_cost / self._total_seconds

    def _estimated_wait(self, job: _Job) -> float:
        """Seconds of work on other items before the job's last item, if no other job arrives."""
        last_rank = job.arrived + job.remaining_cost / CREDIT_PER_SECOND
        cost = sum(self._running_costs) / 2  # running items are half done on average
        for other in self._jobs:
            if other.rank <= last_rank:
                credit = (last_rank - other.arrived) * CREDIT_PER_SECOND - other.started_cost
                cost += min(other.remaining_cost, max(credit, other.next_cost))
        return cost / self.rate

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
            self._threads.append(Thread(target=self._run_worker, args=[express], daemon=True))
            self._threads[-1].start()

    def _run_worker(self, express: bool) -> None:
        if sys.platform == "linux":
            os.nice(NICE)  # on Linux, of this thread alone
        while True:
            with self._changed:
                while (job := self._next_job(express)) is None:
                    self._changed.wait()
                alone = len(job.costs) == 1 and len(self._jobs) == 1 and not self._running_costs
                index, cost = job.start_next()
                self._running_costs.append(cost)
                if job.started == len(job.costs):
                    self._jobs.remove(job)
                self._changed.notify_all()  # the express thread depends on what is running
            started = self._clock()
            try:
                job.results[index] = job.work(index, alone)
            except BaseException as error:
                job.error = error
            seconds = (self._clock() - started) * (self.workers if alone else 1)
            with self._changed:
                self._finish(job, cost, seconds)

    def _next_job(self, express: bool) -> _Job | None:
        """The job whose item runs next; None if none may run now."""
        self._drop_dead_jobs()
        jobs = self._jobs
        if express:
            if len(self._running_costs) < self.workers or min(self._running_costs) <= SHORT_COST:
                return None
            jobs = [job for job in jobs if job.next_cost <= SHORT_COST]
        return min(jobs, key=lambda job: job.rank, default=None)

    def _finish(self, job: _Job, cost: float, seconds: float) -> None:
        """Update the measured rate, and wake the job's client after its last item."""
        self._total_cost = DECAY * self._total_cost + cost
        self._total_seconds = DECAY * self._total_seconds + seconds
        self._running_costs.remove(cost)
        job.running -= 1
        if not job.running and job not in self._jobs:
            job.done.set()
        self._changed.notify_all()
