"""The line before the model: visitors wait their turn, and never more of them than it can serve.

In: calls, each on a thread of its own, and whose they are. Out: a place for each, which may be
lost to another visitor, or `Busy` with when to come again.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Condition

SHARE_SECONDS = 3.0  # for which a visitor keeps places that are more than its share

Visitor = tuple[str, str]  # address, session


class Busy(Exception):
    """The line is full; says, in a sentence for the page, when to try again."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"Busy: too many visitors are waiting. Try again in {seconds} s.")
        self.seconds = seconds


class Cancelled(Exception):
    """Nobody waits for the answer any more: the client has gone, or cancelled the event."""

    def __init__(self) -> None:
        super().__init__("Cancelled.")


@dataclass(eq=False)
class _Turn:
    """A call in the line."""

    visitor: Visitor
    began: float = math.inf  # when it got its place; infinite as long as it waits
    lost: bool = False  # another has its place, or its right to wait for one

    @property
    def waits(self) -> bool:
        return self.began == math.inf


class Line:
    """So many may be served at once, so many more may wait; visitors get equal shares.

    Of those who wait, the next is the first of the visitor who has the fewest places. It takes the
    place of a visitor who has more than its share, and of anyone who has had one for longer than
    `turn_seconds`. When the line is full, a newcomer displaces the last of a visitor who takes
    more than its share of the line.

    Args:
        places: How many are served at the same time.
        most_waiting: How many may wait for a place.
        turn_seconds: How long a place is kept while others wait; places are never lost if infinite.
        clock: Seconds, as `time.monotonic`.
    """

    def __init__(
        self,
        places: int,
        most_waiting: int,
        turn_seconds: float = math.inf,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.places = places
        self.most_waiting = most_waiting
        self.turn_seconds = turn_seconds
        self._clock = clock
        self._changed = Condition()
        self._inside: list[_Turn] = []  # waiting or being served, in the order of their arrival
        self._mean_seconds = 0.1  # of being served; follows what is seen

    @contextmanager
    def place(
        self, cancelled: Callable[[], bool] = lambda: False, visitor: Visitor = ("", "")
    ) -> Iterator[Callable[[], bool]]:
        """Wait for a place, and keep it until the block ends.

        Args:
            cancelled: Whether nobody waits for the place any more; asked every half second.
            visitor: Whose call it is.

        Yields:
            Whether the place was lost to another: asked now and then, it tells when to end.

        Raises:
            Busy: As many are waiting as may.
            Cancelled: Nobody waits for the place.
        """
        turn = _Turn(visitor)
        with self._changed:
            self._enter(turn)
        try:
            with self._changed:
                while not self._served(turn):
                    self._changed.wait(0.5)
                    if turn.lost:
                        raise self._busy()
                    if cancelled():
                        raise Cancelled
            yield lambda: turn.lost
        finally:
            with self._changed:
                self._leave(turn)

    def _enter(self, turn: _Turn) -> None:
        if len(self._inside) >= self.places + self.most_waiting:
            waiting = [other for other in self._inside if other.waits]
            last = max(reversed(waiting), key=lambda other: self._count(other, self._inside),
                       default=None)  # fmt: skip
            if last is None or not self._exceeds(last, turn, self._inside):
                raise self._busy()
            last.lost = True
            self._inside.remove(last)
        self._inside.append(turn)

    def _served(self, turn: _Turn) -> bool:
        """Give the turn a place if it is the next, and one is free or can be taken."""
        placed = [other for other in self._inside if not other.waits]
        waiting = [other for other in self._inside if other.waits]
        if turn.lost or turn is not min(waiting, key=lambda other: self._count(other, placed)):
            return False
        now = self._clock()
        if len(placed) >= self.places:
            longest = max(placed, key=lambda other: (self._count(other, placed), -other.began))
            if now - longest.began < self._kept(longest, turn, placed):
                return False
            self._leave(longest)
            longest.lost = True
        turn.began = now
        return True

    def _kept(self, placed: _Turn, waiting: _Turn, among: list[_Turn]) -> float:
        """For how many seconds a turn keeps its place while the other waits."""
        share = self.turn_seconds < math.inf and self._exceeds(placed, waiting, among)
        return min(self.turn_seconds, SHARE_SECONDS) if share else self.turn_seconds

    def _leave(self, turn: _Turn) -> None:
        if turn in self._inside:
            self._inside.remove(turn)
            if not turn.waits:
                seconds = self._clock() - turn.began
                self._mean_seconds += 0.1 * (seconds - self._mean_seconds)
            self._changed.notify_all()

    def _count(self, turn: _Turn, among: list[_Turn]) -> tuple[int, int]:
        """How many are of the same address, and of the same session."""
        same = [other.visitor for other in among if other.visitor[0] == turn.visitor[0]]
        return len(same), same.count(turn.visitor)

    def _exceeds(self, turn: _Turn, other: _Turn, among: list[_Turn]) -> bool:
        """Whether the visitor of a turn would still have no less than the other's with one less."""
        pairs = zip(self._count(turn, among), self._count(other, among), strict=True)
        return next((one - two for one, two in pairs if one != two), 0) > 1

    def _busy(self) -> Busy:
        return Busy(max(1, math.ceil(self._mean_seconds * len(self._inside) / self.places)))
