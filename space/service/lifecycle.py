"""The life of the service: shutdown without lost answers, and new models without a pause.

In: signals and calls of `/admin/reload`. Out: whether the service takes new requests, and whether
those that run have to end.
"""

import asyncio
import logging
import socket
from collections.abc import Callable
from concurrent.futures import Future
from threading import Event, Lock, Thread, Timer
from types import FrameType
from typing import TypeVar

import uvicorn

from space.inference.classifier import Classifier, HubUnreachable, ModelUnavailable
from space.service import problems
from space.service.problems import Problem

EXIT_SECONDS = 10  # from SIGTERM to the end of the process
FINISH_SECONDS = 7  # of these, for requests that were accepted
CLOSE_SECONDS = 7.5  # after which open connections, such as those of pages, are closed
CANCEL_SECONDS = 9  # after which uvicorn cancels what is left
KEEP_ALIVE_SECONDS = 75  # longer than the 60 s of common load balancers

T = TypeVar("T")

log = logging.getLogger(__name__)


class Lifecycle:
    """Whether the service starts, runs or shuts down.

    Attributes:
        draining: Whether new requests are refused.
        expired: Set when accepted requests must end, too.
    """

    def __init__(self, classifier: Classifier) -> None:
        self.draining = False
        self.expired = Event()
        self._classifier = classifier
        self._reloading = Lock()

    def drain(self) -> None:
        """Refuse new requests, and end the others after `FINISH_SECONDS`."""
        if not self.draining:
            self.draining = True
            timer = Timer(FINISH_SECONDS, self.expired.set)
            timer.daemon = True
            timer.start()

    def check_ready(self) -> None:
        """Raise `Problem` unless the model is loaded and no shutdown has begun."""
        if self.draining:
            raise problems.shutdown()
        if self._classifier.commit is None:
            raise problems.not_loaded(self._classifier.load_error)

    def reload(self, revision: str | None = None) -> str:
        """Load the newest commit of a revision; see `Classifier.reload`. Returns the commit.

        Raises:
            Problem: Another reload is running, or the model can't be loaded; the old one stays.
        """
        if not self._reloading.acquire(blocking=False):
            rule, remedy = "one model is loaded at a time", "wait, and see GET /info"
            detail = f"Another reload is running: {remedy} for the loaded commit."
            raise Problem(409, rule, "a second reload", remedy, detail)
        try:
            commit = self._classifier.reload(revision)
        except ModelUnavailable as error:
            log.error("the model stays at %s: %s", self._classifier.commit, error)
            rule = "the new model must load and answer"
            remedy = "correct it and call again; the old model goes on answering"
            detail = f"The new model can't be used. {error} The old model goes on answering."
            status = 503 if isinstance(error, HubUnreachable) else 422
            raise Problem(status, rule, str(error), remedy, detail) from error
        finally:
            self._reloading.release()
        log.warning("the model is %s at %s", self._classifier.repo_id, commit)
        return commit

    def reload_or_log(self) -> None:
        """As `reload`, for a signal: an error is only logged."""
        try:
            self.reload()
        except Problem as problem:
            log.error("%s", problem.detail)


async def run_in_daemon_thread(work: Callable[[], T]) -> T:
    """The result of work that must not delay the end of the process."""
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()  # a client that goes does not stop the work

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    Thread(target=run, daemon=True).start()
    return await asyncio.wrap_future(future)


class Server(uvicorn.Server):
    """uvicorn's server, which drains on SIGTERM and Ctrl-C."""

    def __init__(self, config: uvicorn.Config, lifecycle: Lifecycle) -> None:
        super().__init__(config)
        self._lifecycle = lifecycle

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Refuse new requests, then as uvicorn."""
        self._lifecycle.drain()
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn, but close streams that never end, such as a page's heartbeat."""
        asyncio.get_running_loop().call_later(CLOSE_SECONDS, self._close_connections)
        await super().shutdown(sockets)

    def _close_connections(self) -> None:
        for connection in list(self.server_state.connections):
            connection.transport.close()
