"""Gradio's own queue under load: calls are refused before any work, old ones are forgotten.

In: the page, with its endpoints. Out: the same page. The parts of Gradio that are used here are
internal; the Space pins its version.
"""

import math
import time
from collections import deque
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import gradio
import gradio.routes
import gradio.state_holder
from gradio.queueing import Event
from gradio.route_utils import get_fn
from gradio.server_messages import ProcessCompletedMessage, UnexpectedErrorMessage
from gradio.state_holder import SessionState
from gradio.utils import error_payload

from space.inference.admission import PATIENCE_SECONDS
from space.inference.concurrency import Busy

CROWD = 40  # events at once, from which the rate of answers tells how long the next one takes
WINDOW_SECONDS = 5.0  # over which it is measured
FORGET_EVERY = 100  # events
UNKNOWN = "This call is not known: its answer was fetched before, or there was none. Call again."


class Session(SessionState):  # type: ignore[misc]
    """A session without the configuration of all components, of which only deep links make use.

    Each call by a program is a session. The configurations took 6 ms and 140 kB each.
    """

    def __init__(self, blocks: Any) -> None:
        super().__init__(SimpleNamespace(default_config=blocks.default_config, blocks={}))


class Unexpected(UnexpectedErrorMessage):  # type: ignore[misc]
    """What a caller is told where the stream of events fails: a sentence, and not "404"."""

    def model_post_init(self, context: Any) -> None:
        """Name the reason."""
        if self.session_not_found:
            self.message = UNKNOWN


class Gate:
    """Counts a page's events, and refuses calls of its endpoints that would wait too long.

    By Little's law a wait is the number of events at once, divided by the rate of answers. It
    includes what Gradio itself needs for them, which the queue before the model can't see.

    Args:
        page: The page, whose queue is watched from now on.
        clock: Seconds, as `time.monotonic`.
    """

    def __init__(self, page: gradio.Blocks, clock: Callable[[], float] = time.monotonic) -> None:
        self.page, self._clock = page, clock
        self._queue = queue = page._queue
        self._push, self._process = queue.push, queue.process_events
        queue.push, queue.process_events = self.push, self.process
        gradio.state_holder.SessionState = Session
        gradio.routes.UnexpectedErrorMessage = Unexpected  # type: ignore[misc,unused-ignore]
        self._answered: deque[float] = deque()  # when, in the window
        self._crowded_since: float | None = None
        self._finished = 0

    def seconds(self) -> float:
        """How long the next event will take; 0 as long as there are few."""
        now, events = self._clock(), len(self._queue.event_ids_to_events)
        while self._answered and self._answered[0] < now - WINDOW_SECONDS:
            self._answered.popleft()
        if events < CROWD / 2:
            self._crowded_since = None
        elif events >= CROWD and self._crowded_since is None:
            self._crowded_since = now
        if self._crowded_since is None or now - self._crowded_since < WINDOW_SECONDS:
            return 0.0  # nothing to measure yet; the queue before the model refuses by itself
        return events * WINDOW_SECONDS / max(1, len(self._answered))

    async def push(self, body: Any, request: Any, username: str | None) -> Any:
        """As Gradio's, except that a call which would wait too long is answered at once."""
        seconds = self.seconds()
        if seconds > PATIENCE_SECONDS:
            function = get_fn(self.page, None, body)
            if function.api_visibility == "public":
                return True, await self._refuse(body, request, username, seconds), "success"
        return await self._push(body, request, username)

    async def process(self, events: list[Event], *others: Any) -> None:
        """As Gradio's; takes note of the answer."""
        try:
            await self._process(events, *others)
        finally:
            self._answered.append(self._clock())
            self._finished += 1
            for event in events:
                self._close_session(event)
            if self._finished % FORGET_EVERY == 0:
                self._forget()

    async def _refuse(self, body: Any, request: Any, username: str | None, seconds: float) -> str:
        """Answer an event in the way in which Gradio answers one from its cache; gives its id."""
        queue = self._queue
        event = Event(body.session_hash, get_fn(self.page, None, body), request, username)
        async with queue.pending_message_lock:
            if event.session_hash not in queue.pending_messages_per_session:
                queue.pending_messages_per_session[event.session_hash] = (
                    gradio.queueing.AsyncQueue()
                )
            queue.pending_event_ids_session.setdefault(event.session_hash, set()).add(event._id)
        reason = gradio.Error(str(Busy(math.ceil(seconds))), print_exception=False)
        output = error_payload(reason, self.page.show_error)
        queue.send_message(event, ProcessCompletedMessage(output=output, success=False))
        return str(event._id)

    def _close_session(self, event: Event) -> None:
        """Drop the session that Gradio made for a call without one: it would displace others."""
        if event.session_hash == event._id:
            sessions = self.page.state_holder
            sessions.session_data.pop(event._id, None)
            sessions.time_last_used.pop(event._id, None)

    def _forget(self) -> None:
        """Drop what Gradio keeps of sessions whose answers were all delivered."""
        queue = self._queue
        for session, waiting in list(queue.pending_event_ids_session.items()):
            if not waiting:
                queue.pending_messages_per_session.pop(session, None)
            if not waiting or session not in queue.pending_messages_per_session:
                del queue.pending_event_ids_session[session]
