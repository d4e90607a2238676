"""The line before the model: visitors wait their turn, and never more of them than it can serve.

In: calls, each on a thread of its own. Out: a place for each, or `Busy` with when to come again.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore, Lock


class Busy(Exception):
    """The line is full; says, in a sentence for the page, when to try again."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"Busy: too many visitors are waiting. Try again in {seconds} s.")
        self.seconds = seconds


class Cancelled(Exception):
    """Nobody waits for the answer any more: the client has gone, or cancelled the event."""

    def __init__(self) -> None:
        super().__init__("Cancelled.")


class Line:
    """So many may be served at once, so many more may wait.

    Args:
        places: How many are served at the same time.
        most_waiting: How many may wait for a place.
    """

    def __init__(self, places: int, most_waiting: int) -> None:
        self.places = places
        self.most_waiting = most_waiting
        self._free = BoundedSemaphore(places)
        self._counting = Lock()
        self._inside = 0  # waiting or being served
        self._mean_seconds = 0.1  # of being served; follows what is seen

    @contextmanager
    def place(self, cancelled: Callable[[], bool] = lambda: False) -> Iterator[None]:
        """Wait for a place, and keep it until the block ends.

        Args:
            cancelled: Whether nobody waits for the place any more; asked every half second.

        Raises:
            Busy: As many are waiting as may.
            Cancelled: Nobody waits for the place.
        """
        with self._counting:
            if self._inside >= self.places + self.most_waiting:
                raise Busy(max(1, math.ceil(self._mean_seconds * self._inside / self.places)))
            self._inside += 1
        try:
            while not self._free.acquire(timeout=0.5):
                if cancelled():
                    raise Cancelled
            started = time.perf_counter()
            try:
                yield
            finally:
                self._free.release()
                self._learn(time.perf_counter() - started)
        finally:
            with self._counting:
                self._inside -= 1

    def _learn(self, seconds: float) -> None:
        with self._counting:
            self._mean_seconds += 0.1 * (seconds - self._mean_seconds)
