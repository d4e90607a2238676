"""Routes of the xet storage: tokens for it, xorbs and shards in, reconstructions and ranges out.

Newer versions of the shard and reconstruction routes, and the routes for global
deduplication, answer 404; clients then use these.
"""

import re

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from ..access import base_url, chunks, granted, hub_of, param, repository
from ..errors import HubError
from ..tokens import sign

SHARD_BYTES = 256 << 20


def token(request: Request) -> Response:
    """Let a client talk to the storage for an hour."""
    right = request.path_params["right"]
    repository(request, right)
    hub = hub_of(request)
    grant, until = sign(hub.secret, f"xet {right}")
    # Clients keep a memory of what a storage holds; the hub's id keeps two folders apart that
    # are served on the same port one after the other.
    url = f"{base_url(request)}/xet/{hub.id}"
    headers = {
        "X-Xet-Cas-Url": url,
        "X-Xet-Access-Token": grant,
        "X-Xet-Token-Expiration": str(until),
    }
    return JSONResponse({"accessToken": grant, "exp": until, "casUrl": url}, headers=headers)


def add_xorb(request: Request) -> Response:
    """Take a xorb."""
    granted(request, "xet write")
    is_new = hub_of(request).xet.add_xorb(param(request, "hash"), chunks(request))
    return JSONResponse({"was_inserted": is_new})


def add_shard(request: Request) -> Response:
    """Take a shard, and rebuild the files it describes."""
    granted(request, "xet write")
    hub_of(request).xet.add_shard(b"".join(chunks(request, SHARD_BYTES)))
    return JSONResponse({"result": 1})


def reconstruction(request: Request) -> Response:
    """Say which ranges of which xorbs make up a file, or the range of it that is asked for."""
    granted(request, "xet read")
    hub = hub_of(request)
    wanted = re.fullmatch(
        r"bytes=([0-9]{1,18})-([0-9]{0,18})", request.headers.get("range", "bytes=0-")
    )
    if not wanted:
        raise HubError(400, f"A range must read bytes=A-B, got {request.headers['range'][:80]!r}.")
    last = int(wanted[2]) if wanted[2] else None
    plan = hub.xet.reconstruction(param(request, "hash"), int(wanted[1]), last)
    if plan is None:
        raise HubError(416, f"The file ends before byte {wanted[1]}.")
    grant, _ = sign(hub.secret, "xet read")
    for infos in plan["fetch_info"].values():
        for info in infos:
            info["url"] = f"{base_url(request)}/xet/{hub.id}/xorbs/{info['url']}?grant={grant}"
    return JSONResponse(plan)


def xorb(request: Request) -> Response:
    """The bytes of a xorb, or a range of them."""
    granted(request, "xet read")
    path = hub_of(request).xet.xorb(param(request, "hash"))
    if not path.exists():
        raise HubError(404, f"There is no xorb {path.name}.")
    return FileResponse(path)


_CAS = "/xet/{hub}"
ROUTES = [
    Route("/api/{kind:kind}/{namespace}/{name}/xet-{right:right}-token/{revision}", token),
    Route(_CAS + "/v1/xorbs/default/{hash}", add_xorb, methods=["POST"]),
    Route(_CAS + "/v1/shards", add_shard, methods=["POST"]),
    Route(_CAS + "/shards", add_shard, methods=["POST"]),
    Route(_CAS + "/v1/reconstructions/{hash}", reconstruction),
    Route(_CAS + "/xorbs/{hash}", xorb),
]
