"""The line before the model: so many served, so many waiting, and a sentence for the rest."""

import sys
from threading import Event, Thread

import pytest
from conftest import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "space"))

from line import Busy, Cancelled, Line


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
    while line._inside < 2:
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
