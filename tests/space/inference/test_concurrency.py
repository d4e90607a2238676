"""The concurrency limiter: slots, the queue, fair shares, and the address of a client."""

from contextlib import ExitStack
from threading import Event, Thread
from types import SimpleNamespace
from typing import Any

import pytest

from space.inference.concurrency import (
    OVER_SHARE_SECONDS,
    Busy,
    Cancelled,
    Client,
    ConcurrencyLimiter,
)


def occupy(limiter: ConcurrencyLimiter, inside: Event, leave: Event) -> Thread:
    def stay() -> None:
        with limiter.slot():
            inside.set()
            assert leave.wait(20)

    thread = Thread(target=stay)
    thread.start()
    return thread


def test_call_is_refused_with_a_retry_time_when_the_queue_is_full():
    limiter = ConcurrencyLimiter(slots=1, max_waiting=1)
    first, second, leave = Event(), Event(), Event()
    threads = [occupy(limiter, first, leave)]
    assert first.wait(20)
    threads.append(occupy(limiter, second, leave))
    while len(limiter._calls) < 2:
        pass
    with pytest.raises(Busy, match=r"^Busy: too many requests are waiting. Try again in 1 s.$"):
        with limiter.slot():
            pass
    assert not second.is_set()
    leave.set()
    for thread in threads:
        thread.join(20)
    assert second.is_set()
    with limiter.slot():  # a slot is free again
        pass


def test_wait_is_estimated_from_measured_seconds():
    limiter = ConcurrencyLimiter(slots=2, max_waiting=0)
    limiter._mean_seconds = 7.0
    with limiter.slot(), limiter.slot(), pytest.raises(Busy) as caught, limiter.slot():
        pass
    assert caught.value.seconds == 7


def test_error_frees_the_slot():
    limiter = ConcurrencyLimiter(slots=1, max_waiting=0)
    with pytest.raises(ValueError, match="inside"), limiter.slot():
        raise ValueError("inside")
    with limiter.slot():
        pass


def test_cancelled_call_does_not_wait_for_a_slot():
    limiter = ConcurrencyLimiter(slots=1, max_waiting=1)
    inside, leave = Event(), Event()
    thread = occupy(limiter, inside, leave)
    assert inside.wait(20)
    with pytest.raises(Cancelled), limiter.slot(lambda: True):
        pass
    leave.set()
    thread.join(20)
    with limiter.slot():
        pass


class Clients:
    """Calls to a limiter of three slots, with a clock of the test; none of them waits for long."""

    def __init__(self, held: ExitStack, max_waiting: int = 0) -> None:
        self.now = 0.0
        self.limiter = ConcurrencyLimiter(3, max_waiting, slot_seconds=10, clock=lambda: self.now)
        self._held = held

    def take(self, address: str, session: str = "") -> Any:
        """Whether the slot was lost; raises Cancelled if there is none at this moment."""
        return self._held.enter_context(self.limiter.slot(lambda: True, (address, session)))


@pytest.mark.parametrize("other", [("B", "1"), ("A", "2")])
def test_client_with_more_than_its_share_loses_its_oldest_slot(other: Client):
    """Another address, or another session at the same one."""
    with ExitStack() as held:
        clients = Clients(held, max_waiting=1)
        lost = []
        for second in range(3):
            clients.now = second
            lost.append(clients.take("A", "1"))
        clients.now = OVER_SHARE_SECONDS - 0.1
        with pytest.raises(Cancelled):
            clients.take(*other)
        clients.now = OVER_SHARE_SECONDS
        kept = clients.take(*other)
        assert [is_lost() for is_lost in lost] == [True, False, False] and not kept()
        clients.now = 9
        with pytest.raises(Cancelled):  # it would have more than the others
            clients.take("A", "1")
        assert not kept()


def test_slot_is_lost_after_slot_seconds_when_another_call_waits():
    with ExitStack() as held:
        clients = Clients(held, max_waiting=1)
        lost = [clients.take(address) for address in "ABC"]
        clients.now = 9.9
        with pytest.raises(Cancelled):
            clients.take("D")
        clients.now = 1_000
        assert not any(is_lost() for is_lost in lost)  # nobody waits
        clients.take("D")
        assert [is_lost() for is_lost in lost] == [True, False, False]


def test_client_that_fills_the_queue_is_displaced_by_another():
    limiter = ConcurrencyLimiter(slots=1, max_waiting=2, slot_seconds=1_000)
    inside, leave, errors = Event(), Event(), []
    first = occupy(limiter, inside, leave)
    assert inside.wait(20)

    def wait() -> None:
        try:
            with limiter.slot(leave.is_set, ("A", "")):
                pass
        except (Busy, Cancelled) as reason:
            errors.append(type(reason))

    waiting = [Thread(target=wait) for _ in range(2)]
    for thread in waiting:
        thread.start()
    while len(limiter._calls) < 3:
        pass
    with pytest.raises(Busy), limiter.slot(lambda: True, ("A", "")):
        pass
    with pytest.raises(Cancelled), limiter.slot(lambda: True, ("B", "")):
        pass
    leave.set()
    for thread in [first, *waiting]:
        thread.join(20)
    assert Busy in errors


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
def test_client_address(peer: str, forwarded: str | None, address: str):
    from gradio.context import LocalContext

    from space.inference.client import current_client

    assert current_client() == ("", "")
    headers = {} if forwarded is None else {"x-forwarded-for": forwarded}
    request: Any = SimpleNamespace(
        client=SimpleNamespace(host=peer), headers=headers, session_hash="s"
    )
    token = LocalContext.request.set(request)
    try:
        assert current_client() == (address, "s")
    finally:
        LocalContext.request.reset(token)
