"""The client of the Gradio event that the calling thread handles: who it is, and is it still there.

In: the event or request in Gradio's context. Out: the client's address and session, and a function
that tells whether the client has gone, which any thread may call.
"""

from collections.abc import Callable
from ipaddress import IPv6Address, ip_address, ip_network

from gradio.context import LocalContext

from space.inference.concurrency import Client

DISCONNECTED = "client_disconnected"  # key of a request's scope: a `threading.Event`, set by `web`


def cancel_check() -> Callable[[], bool]:
    """A function that is true once the client has disconnected or cancelled the event.

    Gradio can't interrupt the function of an event; it only stops reading from it. What tells is
    the event's entry in Gradio's queue, or the request's scope for a call without an event
    (`/run/…`). Outside of both, the returned function is always false.
    """
    blocks, event_id = LocalContext.blocks.get(None), LocalContext.event_id.get(None)
    if blocks is None or event_id is None:
        request = getattr(LocalContext.request.get(None), "request", None)
        disconnected = request.scope.get(DISCONNECTED) if request is not None else None
        return disconnected.is_set if disconnected is not None else lambda: False
    events = blocks._queue.event_ids_to_events

    def cancelled() -> bool:
        event = events.get(event_id)
        return event is None or not event.alive

    return cancelled


def current_client() -> Client:
    """The address and the session of the client; both are empty outside of an event.

    The client chooses the session's name. Behind proxies, which have private addresses, the address
    is the last public one in `X-Forwarded-For`: each proxy appends the address that it sees, and
    the client may have invented those before. An IPv6 address is reduced to its /64 network, in
    which a client can choose any address.
    """
    request = LocalContext.request.get(None)
    if request is None:
        return "", ""
    address = request.client.host if request.client else ""
    if not _is_public(address):
        forwarded = (request.headers.get("x-forwarded-for") or "").split(",")
        address = next(filter(_is_public, map(str.strip, reversed(forwarded))), address)
    return network_of(address), request.session_hash or ""


def network_of(address: str) -> str:
    """The address, or the /64 network of a public IPv6 address."""
    if _is_public(address) and isinstance(ip_address(address), IPv6Address):
        return str(ip_network((address, 64), strict=False))
    return address


def _is_public(address: str) -> bool:
    try:
        return ip_address(address).is_global
    except ValueError:
        return False
