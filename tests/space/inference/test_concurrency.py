"""The line before the model: so many served, so many waiting, and a sentence for the rest."""

from contextlib import ExitStack
from threading import Event, Thread
from types import SimpleNamespace
from typing import Any

import pytest

from space.inference.concurrency import SHARE_SECONDS, Busy, Cancelled, Line, Visitor


def occupy(line: Line, inside: Event, leave: Event) -> Thread:
    def stay() -> None:
        with line.place():
            inside.set()
            assert leave.wait(20)

    thread = Thread(target=stay)
    thread.start()
    return thread


def test_whoever_comes_when_the_line_is_full_is_told_when_to_come_again():
    line = Line(places=1, most_waiting=1)
    first, second, leave = Event(), Event(), Event()
    threads = [occupy(line, first, leave)]
    assert first.wait(20)
    threads.append(occupy(line, second, leave))
    while len(line._inside) < 2:
        pass
    with pytest.raises(Busy, match=r"^Busy: too many visitors are waiting. Try again in 1 s.$"):
        with line.place():
            pass
    assert not second.is_set()
    leave.set()
    for thread in threads:
        thread.join(20)
    assert second.is_set()
    with line.place():  # there is a place again
        pass


def test_the_wait_is_estimated_from_what_serving_takes():
    line = Line(places=2, most_waiting=0)
    line._mean_seconds = 7.0
    with line.place(), line.place(), pytest.raises(Busy) as caught, line.place():
        pass
    assert caught.value.seconds == 7


def test_an_error_inside_frees_the_place():
    line = Line(places=1, most_waiting=0)
    with pytest.raises(ValueError, match="inside"), line.place():
        raise ValueError("inside")
    with line.place():
        pass


def test_who_has_gone_does_not_wait_for_a_place():
    line = Line(places=1, most_waiting=1)
    inside, leave = Event(), Event()
    thread = occupy(line, inside, leave)
    assert inside.wait(20)
    with pytest.raises(Cancelled), line.place(lambda: True):
        pass
    leave.set()
    thread.join(20)
    with line.place():
        pass


class Visitors:
    """Calls in a line of three places, by a clock of the test; none of them waits for long."""

    def __init__(self, held: ExitStack, most_waiting: int = 0) -> None:
        self.now = 0.0
        self.line = Line(3, most_waiting, turn_seconds=10, clock=lambda: self.now)
        self._held = held

    def take(self, address: str, session: str = "") -> Any:
        """Whether the place is lost; `Cancelled` where there is none at this moment."""
        return self._held.enter_context(self.line.place(lambda: True, (address, session)))


@pytest.mark.parametrize("other", [("B", "1"), ("A", "2")])
def test_a_visitor_with_more_than_a_share_loses_its_oldest_place(other: Visitor):
    """Another address, or another session at the same one."""
    with ExitStack() as held:
        visitors = Visitors(held, most_waiting=1)
        lost = []
        for second in range(3):
            visitors.now = second
            lost.append(visitors.take("A", "1"))
        visitors.now = SHARE_SECONDS - 0.1
        with pytest.raises(Cancelled):
            visitors.take(*other)
        visitors.now = SHARE_SECONDS
        kept = visitors.take(*other)
        assert [gone() for gone in lost] == [True, False, False] and not kept()
        visitors.now = 9
        with pytest.raises(Cancelled):  # it would have more than the others
            visitors.take("A", "1")
        assert not kept()


def test_a_place_is_lost_after_a_turn_when_another_waits():
    with ExitStack() as held:
        visitors = Visitors(held, most_waiting=1)
        lost = [visitors.take(address) for address in "ABC"]
        visitors.now = 9.9
        with pytest.raises(Cancelled):
            visitors.take("D")
        visitors.now = 1_000
        assert not any(gone() for gone in lost)  # nobody waits
        visitors.take("D")
        assert [gone() for gone in lost] == [True, False, False]


def test_who_fills_the_line_makes_room_for_another():
    line = Line(places=1, most_waiting=2, turn_seconds=1_000)
    inside, leave, told = Event(), Event(), []
    first = occupy(line, inside, leave)
    assert inside.wait(20)

    def wait() -> None:
        try:
            with line.place(leave.is_set, ("A", "")):
                pass
        except (Busy, Cancelled) as reason:
            told.append(type(reason))

    waiting = [Thread(target=wait) for _ in range(2)]
    for thread in waiting:
        thread.start()
    while len(line._inside) < 3:
        pass
    with pytest.raises(Busy), line.place(lambda: True, ("A", "")):
        pass
    with pytest.raises(Cancelled), line.place(lambda: True, ("B", "")):
        pass
    leave.set()
    for thread in [first, *waiting]:
        thread.join(20)
    assert Busy in told


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("8.8.4.4", "9.9.9.9", "8.8.4.4"),  # no proxy of ours
        ("10.0.3.7", "8.8.8.8", "8.8.8.8"),
        ("10.0.3.7", "1.1.1.1, 8.8.8.8, 10.2.0.1", "8.8.8.8"),  # the first may be invented
        ("10.0.3.7", "nonsense, , 192.168.0.1", "10.0.3.7"),
        ("10.0.3.7", None, "10.0.3.7"),
        ("10.0.3.7", "2606:4700:1:2:3:4:5:6", "2606:4700:1:2::/64"),
        ("testclient", None, "testclient"),
    ],
)
def test_the_address_of_a_visitor(peer: str, forwarded: str | None, address: str):
    from gradio.context import LocalContext

    from space.inference.visitors import visitor

    assert visitor() == ("", "")
    headers = {} if forwarded is None else {"x-forwarded-for": forwarded}
    request: Any = SimpleNamespace(
        client=SimpleNamespace(host=peer), headers=headers, session_hash="s"
    )
    token = LocalContext.request.set(request)
    try:
        assert visitor() == (address, "s")
    finally:
        LocalContext.request.reset(token)
