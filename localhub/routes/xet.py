"""Routes of xet uploads: a token for the storage, then xorbs and shards.

The newer shard route and the routes for global deduplication answer 404; clients fall back to
these.
"""

import time

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ..auth import require_repo, require_scope
from ..request import base_url, chunks, hub_of, path_param

MAX_SHARD_BYTES = 256 << 20
TOKEN_SECONDS = 3600  # then clients ask for another one


def token(request: Request) -> Response:
    """Grant uploads to the storage."""
    require_repo(request, "write")
    hub = hub_of(request)
    grant, expiry = hub.grants.issue("xet write"), int(time.time()) + TOKEN_SECONDS
    # Clients remember what a storage holds, by its URL. The id distinguishes two hubs that use the
    # same port one after the other.
    url = f"{base_url(request)}/xet/{hub.id}"
    headers = {
        "X-Xet-Cas-Url": url,
        "X-Xet-Access-Token": grant,
        "X-Xet-Token-Expiration": str(expiry),
    }
    return JSONResponse({"accessToken": grant, "exp": expiry, "casUrl": url}, headers=headers)


def add_xorb(request: Request) -> Response:
    """Store a xorb."""
    require_scope(request, "xet write")
    is_new = hub_of(request).xet.add_xorb(path_param(request, "hash"), chunks(request))
    return JSONResponse({"was_inserted": is_new})


def add_shard(request: Request) -> Response:
    """Rebuild and store the files that a shard describes."""
    require_scope(request, "xet write")
    hub_of(request).xet.add_shard(b"".join(chunks(request, MAX_SHARD_BYTES)))
    return JSONResponse({"result": 1})


ROUTES = [
    Route("/api/{kind:kind}/{namespace}/{name}/xet-write-token/{revision}", token),
    Route("/xet/{hub}/v1/xorbs/default/{hash}", add_xorb, methods=["POST"]),
    Route("/xet/{hub}/v1/shards", add_shard, methods=["POST"]),
]
