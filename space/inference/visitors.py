"""Whose call the calling thread works on, as far as this app can know.

In: the request of the Gradio event. Out: an address and a session.
"""

from ipaddress import IPv6Address, ip_address, ip_network

from gradio.context import LocalContext

from space.inference.concurrency import Visitor


def visitor() -> Visitor:
    """The address and the session of the client, both empty outside of an event.

    A session is whatever the client calls it. Behind proxies, whose addresses are private, the
    address is the last public one in `X-Forwarded-For`: each proxy appends the address that it
    sees, and whatever stands before may be the client's invention. Of an IPv6 address the network
    of 64 bits counts, in which a client may choose any address.
    """
    request = LocalContext.request.get(None)
    if request is None:
        return "", ""
    address = request.client.host if request.client else ""
    if not _is_public(address):
        passed = (request.headers.get("x-forwarded-for") or "").split(",")
        address = next(filter(_is_public, map(str.strip, reversed(passed))), address)
    return _network(address), request.session_hash or ""


def _is_public(address: str) -> bool:
    try:
        return ip_address(address).is_global
    except ValueError:
        return False


def _network(address: str) -> str:
    if _is_public(address) and isinstance(ip_address(address), IPv6Address):
        return str(ip_network((address, 64), strict=False))
    return address
