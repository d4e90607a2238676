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
from heapq import heappop, heappush
from itertools import count
from operator import itemgetter
from threading import Condition, Event, Lock, Thread
from typing import Any, TypeVar

from space.inference.concurrency import Busy, Cancelled

CREDIT_PER_SECOND = 2_000.0  # cost that a request may use per second and keep its rank
PATIENCE_SECONDS = 5.0  # that a request may wait, in addition to its own running time
SHORT_COST = 2_000.0  # an item up to this cost runs at once if long ones occupy all workers
INITIAL_RATE = 5_000.0  # cost per second and worker, until it has been measured
NICE = 5  # of the worker threads: the thread that answers HTTP requests has priority
DECAY = 0.95  # weight of the measured rate's past when an item is added

T = TypeVar("T")
_Entry = tuple[float, int, "_Job"]


@dataclass(eq=False)
class _Job:
    """A request in the queue; its items start in order.

    Attributes:
        rank: The job with the lowest rank runs next: the time at which its credit covers its cost.
            Short requests therefore pass long ones, and no request waits forever.
    """

    costs: Sequence[float]
    work: Callable[[int, bool], Any]
    arrived: float
    deadline: float
    cancelled: Callable[[], bool]
    results: list[Any] = field(init=False)  # None for an item that was not run
    rank: float = field(init=False)
    remaining_cost: float = field(init=False)
    started: int = 0  # items
    started_cost: float = 0.0
    running: int = 0  # items
    error: BaseException | None = None
    done: Event = field(default_factory=Event)

    def __post_init__(self) -> None:
        self.results = [None] * len(self.costs)
        self.remaining_cost = sum(self.costs)
        self._set_rank()

    @property
    def has_waiting_items(self) -> bool:
        return self.started < len(self.costs)

    @property
    def next_cost(self) -> float:
        return self.costs[self.started]

    def start_next(self) -> tuple[int, float]:
        """Count the next item as started; returns its index and cost."""
        index, cost = self.started, self.next_cost
        self.started += 1
        self.started_cost += cost
        self.remaining_cost -= cost
        self.running += 1
        if self.has_waiting_items:
            self._set_rank()
        return index, cost

    def _set_rank(self) -> None:
        self.rank = self.arrived + (self.started_cost + self.next_cost) / CREDIT_PER_SECOND


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
        lock = Lock()
        self._work_arrived, self._express_needed = Condition(lock), Condition(lock)
        self._threads: list[Thread] = []
        self._jobs: set[_Job] = set()  # with items that were not started
        # Heaps of rank, number and job, by the cost of the next item. A job that was dropped stays
        # until it has the lowest rank.
        self._short: list[_Entry] = []
        self._long: list[_Entry] = []
        self._numbers = count()
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
        with self._work_arrived:
            self._check_wait(job, patience)
            self._jobs.add(job)
            self._push(job)
            self._start_threads()
            self._work_arrived.notify(len(costs))
            self._wake_express_thread()
        job.done.wait()
        if job.error:
            raise job.error
        if cancelled():
            raise Cancelled
        return job.results

    @property
    def length(self) -> int:
        """The number of items that wait, of all requests."""
        with self._work_arrived:
            self._drop_ended_jobs()
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

    def _check_wait(self, job: _Job, patience: float) -> None:
        """Raise `Busy` if the job would wait too long."""
        limit = patience + job.remaining_cost / self.rate
        all_costs = sum(self._running_costs) + sum(other.remaining_cost for other in self._jobs)
        if all_costs / self.rate > limit:  # a quick upper bound of the estimate
            self._drop_ended_jobs()
            wait = self._estimated_wait(job)
            if wait > limit:
                raise Busy(max(1, math.ceil(wait)))

    def _drop_ended_jobs(self) -> None:
        for job in list(self._jobs):
            if self._has_ended(job):
                self._drop(job)

    def _has_ended(self, job: _Job) -> bool:
        """Whether no further item of the job may start."""
        return (
            job not in self._jobs
            or job.error is not None
            or self._clock() >= job.deadline
            or job.cancelled()
        )

    def _drop(self, job: _Job) -> None:
        """Start no further item of the job; wake its client if none is running."""
        self._jobs.discard(job)
        if not job.running:
            job.done.set()

    def _push(self, job: _Job) -> None:
        heap = self._short if job.next_cost <= SHORT_COST else self._long
        heappush(heap, (job.rank, next(self._numbers), job))

    def _wake_express_thread(self) -> None:
        if self._short and self._long_items_occupy_all_workers():
            self._express_needed.notify()

    def _long_items_occupy_all_workers(self) -> bool:
        running = self._running_costs
        return len(running) >= self.workers and min(running) > SHORT_COST

    def _start_threads(self) -> None:
        while len(self._threads) < self.workers + 1:
            express = len(self._threads) == self.workers
            self._threads.append(Thread(target=self._run_worker, args=[express], daemon=True))
            self._threads[-1].start()

    def _run_worker(self, express: bool) -> None:
        if sys.platform == "linux":
            os.nice(NICE)  # on Linux, of this thread alone
        while True:
            with self._work_arrived:
                while (job := self._next_job(express)) is None:
                    (self._express_needed if express else self._work_arrived).wait()
                alone = len(job.costs) == 1 and len(self._jobs) == 1 and not self._running_costs
                index, cost = job.start_next()
                self._running_costs.append(cost)
                if job.has_waiting_items:
                    self._push(job)
                else:
                    self._jobs.remove(job)
                self._wake_express_thread()
            started = self._clock()
            try:
                job.results[index] = job.work(index, alone)
            except BaseException as error:
                job.error = error
            seconds = (self._clock() - started) * (self.workers if alone else 1)
            with self._work_arrived:
                self._finish(job, cost, seconds)

    def _next_job(self, express: bool) -> _Job | None:
        """The job whose item runs next; None if none may run now."""
        if express and not self._long_items_occupy_all_workers():
            return None
        heaps = [self._short] if express else [self._short, self._long]
        while filled := [heap for heap in heaps if heap]:
            _, _, job = heappop(min(filled, key=itemgetter(0)))
            if not self._has_ended(job):
                return job
            self._drop(job)
        return None

    def _finish(self, job: _Job, cost: float, seconds: float) -> None:
        """Update the measured rate, and wake the job's client after its last item."""
        self._total_cost = DECAY * self._total_cost + cost
        self._total_seconds = DECAY * self._total_seconds + seconds
        self._running_costs.remove(cost)
        job.running -= 1
        if self._has_ended(job):
            self._drop(job)
