"""Ctrl-C and SIGTERM as a request to stop at the next checkpoint."""

import signal
import threading
from types import FrameType
from typing import Any, Self


class StopRequest:
    """A context in which the first signal sets `requested`; a second one stops at once."""

    def __init__(self) -> None:
        self.requested = False
        self._previous_handlers: dict[int, Any] = {}

    def __enter__(self) -> Self:
        # Only the main thread may set handlers; in other threads signals keep their effect.
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous_handlers[number] = signal.signal(number, self._request)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous_handlers.items():
            signal.signal(number, handler)

    def _request(self, _number: int, _frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
