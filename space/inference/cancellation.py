"""Whether the client of a Gradio event still waits for its answer.

In: the event that the calling thread works on. Out: a function that tells, in any thread.
"""

from collections.abc import Callable

from gradio.context import LocalContext

GONE = "client_gone"  # in the scope of a request: a `threading.Event`, see `guard`


def watch() -> Callable[[], bool]:
    """A function that is true once the client has disconnected or cancelled the event.

    Outside of an event and of a request it is never true. Gradio stops reading from the function of
    an event then, but can't interrupt it; the queue's own record of the event is what tells.
    """
    blocks, event_id = LocalContext.blocks.get(None), LocalContext.event_id.get(None)
    if blocks is None or event_id is None:
        request = getattr(LocalContext.request.get(None), "request", None)
        gone = request.scope.get(GONE) if request is not None else None
        return lambda: gone is not None and gone.is_set()
    events = blocks._queue.event_ids_to_events

    def cancelled() -> bool:
        event = events.get(event_id)
        return event is None or not event.alive

    return cancelled
