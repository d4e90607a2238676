"""Gradio's queue under load: calls are refused before any work, and old events are dropped.

In: the page, with its endpoints. Out: the same page. This module uses internals of Gradio; the
Space pins Gradio's version.
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

CROWD_EVENTS = 40  # from which on the wait is estimated; fewer are answered soon
WINDOW_SECONDS = 5.0  # over which the rate of answers is measured
CLEAN_UP_EVENTS = 100  # between two clean-ups
UNKNOWN_EVENT = "Unknown call: its answer was fetched before, or it never existed. Call again."


class Session(SessionState):  # type: ignore[misc]
    """A session without the configuration of all components, which only deep links use.

    Each call by a program is a session. The configurations took 6 ms and 140 kB each.
    """

    def __init__(self, blocks: Any) -> None:
        super().__init__(SimpleNamespace(default_config=blocks.default_config, blocks={}))


class UnexpectedError(UnexpectedErrorMessage):  # type: ignore[misc]
    """What a caller gets if the stream of events fails: a sentence instead of "404"."""

    def model_post_init(self, context: Any) -> None:
        """Set the message."""
        if self.session_not_found:
            self.message = UNKNOWN_EVENT


class LoadShedder:
    """Counts a page's events, and refuses calls of its endpoints that would wait too long.

    By Little's law, the wait is the number of events in the queue divided by the rate of answers.
    It includes Gradio's own work on them, which `AdmissionQueue` can't measure.

    Args:
        page: The page; its queue is wrapped.
        clock: Seconds, as `time.monotonic`.
    """

    def __init__(self, page: gradio.Blocks, clock: Callable[[], float] = time.monotonic) -> None:
        self.page, self._clock = page, clock
        self._queue = queue = page._queue
        self._gradio_push, self._gradio_process = queue.push, queue.process_events
        queue.push, queue.process_events = self.push, self.process
        gradio.state_holder.SessionState = Session
        gradio.routes.UnexpectedErrorMessage = UnexpectedError  # type: ignore[misc,unused-ignore]
        self._answer_times: deque[float] = deque()  # in the window
        self._crowded_since: float | None = None
        self._answer_count = 0

    def estimated_seconds(self) -> float:
        """How long the next event will take; 0 while there are few."""
        now, events = self._clock(), len(self._queue.event_ids_to_events)
        while self._answer_times and self._answer_times[0] < now - WINDOW_SECONDS:
            self._answer_times.popleft()
        if events < CROWD_EVENTS / 2:
            self._crowded_since = None
        elif events >= CROWD_EVENTS and self._crowded_since is None:
            self._crowded_since = now
        if self._crowded_since is None or now - self._crowded_since < WINDOW_SECONDS:
            return 0.0  # nothing is measured yet, and `AdmissionQueue` refuses by itself
        return events * WINDOW_SECONDS / max(1, len(self._answer_times))

    async def push(self, body: Any, request: Any, username: str | None) -> Any:
        """As Gradio's, but refuse a call that would wait too long."""
        seconds = self.estimated_seconds()
        if seconds > PATIENCE_SECONDS:
            function = get_fn(self.page, None, body)
            if function.api_visibility == "public":
                event = Event(body.session_hash, function, request, username)
                await self._refuse(event, seconds)
                return True, str(event._id), "success"
        return await self._gradio_push(body, request, username)

    async def process(self, events: list[Event], *others: Any) -> None:
        """As Gradio's, but count the answer and clean up."""
        try:
            await self._gradio_process(events, *others)
        finally:
            self._answer_times.append(self._clock())
            self._answer_count += 1
            for event in events:
                self._drop_session(event)
            if self._answer_count % CLEAN_UP_EVENTS == 0:
                self._clean_up()

    async def _refuse(self, event: Event, seconds: float) -> None:
        """Answer an event as Gradio answers one from its cache."""
        queue, session = self._queue, event.session_hash
        async with queue.pending_message_lock:
            if session not in queue.pending_messages_per_session:
                queue.pending_messages_per_session[session] = gradio.queueing.AsyncQueue()
            queue.pending_event_ids_session.setdefault(session, set()).add(event._id)
        busy = gradio.Error(str(Busy(math.ceil(seconds))), print_exception=False)
        output = error_payload(busy, self.page.show_error)
        queue.send_message(event, ProcessCompletedMessage(output=output, success=False))

    def _drop_session(self, event: Event) -> None:
        """Drop the session that Gradio made for a call without one: it would displace others."""
        if event.session_hash == event._id:
            sessions = self.page.state_holder
            sessions.session_data.pop(event._id, None)
            sessions.time_last_used.pop(event._id, None)

    def _clean_up(self) -> None:
        """Drop Gradio's records of sessions whose answers were all delivered."""
        queue = self._queue
        for session, pending in list(queue.pending_event_ids_session.items()):
            if not pending:
                queue.pending_messages_per_session.pop(session, None)
            if not pending or session not in queue.pending_messages_per_session:
                del queue.pending_event_ids_session[session]
