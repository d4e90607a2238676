"""Limits how many calls run at once, with fair shares for clients.

In: calls, each in its own thread, and their clients. Out: a slot for each call, which it may lose
to another client, or `Busy` with the seconds after which to try again.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Condition

OVER_SHARE_SECONDS = 3.0  # for which a client keeps slots beyond its share while others wait

Client = tuple[str, str]  # address, session


class Busy(Exception):
    """Too many requests are waiting; the message says when to try again.

    Attributes:
        seconds: After which to try again.
    """

    def __init__(self, seconds: int) -> None:
        super().__init__(f"Busy: too many requests are waiting. Try again in {seconds} s.")
        self.seconds = seconds


class Cancelled(Exception):
    """The client has disconnected or cancelled the event: nobody waits for the answer."""

    def __init__(self) -> None:
        super().__init__("Cancelled.")


@dataclass(eq=False)
class _Call:
    """A call that waits for a slot or has one."""

    client: Client
    started: float = math.inf  # when it got its slot; infinite while it waits
    preempted: bool = False  # it lost its slot, or its position in the queue, to another call

    @property
    def waiting(self) -> bool:
        return self.started == math.inf


class ConcurrencyLimiter:
    """Limits the calls that run at once and those that wait, with fair shares for clients.

    The next slot goes to the client with the fewest slots; among its calls, to the first. A
    waiting call takes the slot of a client that has more than its share, and of any call that has
    run for `slot_seconds`. If the queue is full, a new call displaces the last waiting call of a
    client that has more than its share of the queue.

    Args:
        slots: How many calls run at once.
        max_waiting: How many more calls may wait.
        slot_seconds: How long a call keeps its slot while others wait; infinite to keep it always.
        clock: Seconds, as `time.monotonic`.
    """

    def __init__(
        self,
        slots: int,
        max_waiting: int,
        slot_seconds: float = math.inf,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.slots = slots
        self.max_waiting = max_waiting
        self.slot_seconds = slot_seconds
        self._clock = clock
        self._changed = Condition()
        self._calls: list[_Call] = []  # waiting or running, in the order of arrival
        self._mean_seconds = 0.1  # in a slot: a moving average

    @contextmanager
    def slot(
        self, cancelled: Callable[[], bool] = lambda: False, client: Client = ("", "")
    ) -> Iterator[Callable[[], bool]]:
        """Wait for a slot, and keep it until the block ends.

        Args:
            cancelled: Whether the client has gone; called every half second while waiting.
            client: Who calls.

        Yields:
            A function that tells whether the slot was lost to another call: the block should check
            it now and then, and end.

        Raises:
            Busy: The queue is full.
            Cancelled: The client has gone.
        """
        call = _Call(client)
        with self._changed:
            self._enqueue(call)
        try:
            with self._changed:
                while not self._start(call):
                    self._changed.wait(0.5)
                    if call.preempted:
                        raise self._busy()
                    if cancelled():
                        raise Cancelled
            yield lambda: call.preempted
        finally:
            with self._changed:
                self._remove(call)

    def _enqueue(self, call: _Call) -> None:
        if len(self._calls) >= self.slots + self.max_waiting:
            waiting = [other for other in reversed(self._calls) if other.waiting]
            last = max(waiting, key=lambda other: _count(other, self._calls), default=None)
            if last is None or not _exceeds_share(last, call, self._calls):
                raise self._busy()
            last.preempted = True
            self._calls.remove(last)
        self._calls.append(call)

    def _start(self, call: _Call) -> bool:
        """Give the call a slot if it is the next one and a slot is free or can be taken."""
        running = [other for other in self._calls if not other.waiting]
        waiting = [other for other in self._calls if other.waiting]
        if call.preempted or call is not min(waiting, key=lambda other: _count(other, running)):
            return False
        now = self._clock()
        if len(running) >= self.slots:
            victim = max(running, key=lambda other: (_count(other, running), -other.started))
            limit = self.slot_seconds
            if limit < math.inf and _exceeds_share(victim, call, running):
                limit = min(limit, OVER_SHARE_SECONDS)
            if now - victim.started < limit:
                return False
            self._remove(victim)
            victim.preempted = True
        call.started = now
        return True

    def _remove(self, call: _Call) -> None:
        if call in self._calls:
            self._calls.remove(call)
            if not call.waiting:
                seconds = self._clock() - call.started
                self._mean_seconds += 0.1 * (seconds - self._mean_seconds)
            self._changed.notify_all()

    def _busy(self) -> Busy:
        return Busy(max(1, math.ceil(self._mean_seconds * len(self._calls) / self.slots)))


def _count(call: _Call, among: list[_Call]) -> tuple[int, int]:
    """How many of the calls come from the same address, and how many from the same session."""
    same_address = [other.client for other in among if other.client[0] == call.client[0]]
    return len(same_address), same_address.count(call.client)


def _exceeds_share(call: _Call, other: _Call, among: list[_Call]) -> bool:
    """Whether the call's client, with one call fewer, would still have as many as the other's.

    Addresses are compared first; sessions only if the addresses have equally many calls.
    """
    addresses, sessions = _count(call, among)
    other_addresses, other_sessions = _count(other, among)
    if addresses != other_addresses:
        return addresses - other_addresses > 1
    return sessions - other_sessions > 1
