"""Routes about Spaces: variables, secrets, hardware, sleep and the state they pretend to be in.

No Space runs here. Its runtime is what the Hub would say of one that starts at once; `stage`
and `host` in its settings.json, set by hand, are passed on instead. The values of secrets are
dropped as they come in: nothing here could use them, and what is not kept can't leak.
"""

import re
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ..access import body, hub_of, repository
from ..commits import now
from ..errors import HubError
from ..hub import Hub
from ..repos import Repo

SDKS = ("gradio", "docker", "static")
_GPUS = ("zero-a10g", "t4-small", "t4-medium", "l4x1", "a10g-small", "a10g-large", "a100-large")
HARDWARE = ("cpu-basic", "cpu-upgrade", *_GPUS)


def _flavor(flavor: object) -> object:
    if flavor not in HARDWARE:
        raise HubError(400, f"hardware must be one of {', '.join(HARDWARE)}, got {flavor!r}.")
    return flavor


def _seconds(seconds: object) -> object:
    if not isinstance(seconds, int | None):
        raise HubError(400, f"The sleep time must be a whole number of seconds, got {seconds!r}.")
    return seconds


def _pairs(rows: object, secret: bool) -> dict[str, dict[str, Any]]:
    """Variables or secrets, from the list of {key, value, description} clients send."""
    if not isinstance(rows, list) or not all(
        isinstance(row, dict) and isinstance(row.get("key"), str) and "value" in row for row in rows
    ):
        raise HubError(400, "A variable or secret must have a key and a value.")
    pairs = {}
    for row in rows:
        pair = {"description": row.get("description"), "updatedAt": now()}
        pairs[row["key"]] = pair if secret else {"value": row["value"], **pair}
    return pairs


def initial_settings(fields: dict[str, Any]) -> dict[str, object]:
    """The settings of a new Space, from the body of its creation.

    Raises:
        HubError: 400 when the SDK or the hardware is unknown.
    """
    if fields.get("sdk") not in SDKS:
        raise HubError(400, f"sdk must be one of {', '.join(SDKS)}, got {fields.get('sdk')!r}.")
    return {
        "sdk": fields["sdk"],
        "hardware": _flavor(fields.get("hardware") or "cpu-basic"),
        "sleep_seconds": _seconds(fields.get("sleepTimeSeconds")),
        "paused": False,
        "variables": _pairs(fields.get("variables") or [], secret=False),
        "secrets": _pairs(fields.get("secrets") or [], secret=True),
    }


def _sdk_and_app_file(settings: dict[str, Any], card: dict[str, Any]) -> tuple[str, str]:
    sdk = str(card.get("sdk") or settings["sdk"])
    if sdk == "docker":
        return sdk, "Dockerfile"
    return sdk, str(card.get("app_file") or ("index.html" if sdk == "static" else "app.py"))


def _runtime(hub: Hub, repo: Repo) -> dict[str, Any]:
    """The state a Space would be in, if it started at once."""
    settings, commit = repo.settings, repo.revision("main")
    _, app_file = _sdk_and_app_file(settings, hub.card(commit))
    stage = "PAUSED" if settings["paused"] else "RUNNING"
    if app_file not in commit.files:
        stage = "NO_APP_FILE"
    flavor = settings["hardware"]
    return {
        "stage": settings.get("stage", stage),
        "hardware": {"current": flavor if stage == "RUNNING" else None, "requested": flavor},
        "gcTimeout": settings["sleep_seconds"],
        "storage": None,
        "devMode": False,
    }


def space_fields(hub: Hub, repo: Repo, card: dict[str, Any]) -> dict[str, Any]:
    """What the Hub says about a Space beyond what it says about any repository."""
    settings = repo.settings
    return {
        "sdk": _sdk_and_app_file(settings, card)[0],
        "subdomain": re.sub(r"[/._]", "-", repo.id).lower(),
        "host": settings.get("host"),
        "runtime": _runtime(hub, repo),
        "models": card.get("models") or [],
        "datasets": card.get("datasets") or [],
    }


def runtime(request: Request) -> Response:
    """The state of a Space."""
    return JSONResponse(_runtime(hub_of(request), repository(request)))


def operate(request: Request) -> Response:
    """Choose hardware or sleep time, pause or restart; answer with the new state."""
    repo = repository(request, "write")
    fields = body(request)
    with repo.changing() as settings:
        match request.path_params["verb"]:
            case "hardware":
                settings["hardware"] = _flavor(fields.get("flavor"))
                seconds = fields.get("sleepTimeSeconds", settings["sleep_seconds"])
                settings["sleep_seconds"] = _seconds(seconds)
            case "sleeptime":
                settings["sleep_seconds"] = _seconds(fields.get("seconds"))
            case verb:
                settings["paused"] = verb == "pause"
    return JSONResponse(_runtime(hub_of(request), repo))


def list_pairs(request: Request) -> Response:
    """Variables or secrets of a Space; only its owners see them."""
    repo = repository(request, "write")
    return JSONResponse(repo.settings[request.path_params["what"]])


def change_pairs(request: Request) -> Response:
    """Set or remove a variable or a secret of a Space."""
    repo = repository(request, "write")
    what = request.path_params["what"]
    fields = body(request)
    with repo.changing() as settings:
        if request.method == "POST":
            settings[what] |= _pairs([fields], secret=what == "secrets")
        elif settings[what].pop(fields.get("key"), None) is None:
            raise HubError(404, f"This Space has no {what[:-1]} {fields.get('key')!r}.")
    return JSONResponse(settings[what])


def hardware(request: Request) -> Response:
    """What a Space may run on; prices are not imitated."""
    rows = [
        {"name": flavor, "prettyName": flavor, "cpu": "", "ram": "", "unitLabel": "minute"}
        | {"unitCostMicroUSD": 0, "unitCostUSD": 0.0}
        for flavor in HARDWARE
    ]
    return JSONResponse(rows)


_SPACE = "/api/{kind:space}/{namespace}/{name}"
ROUTES = [
    Route("/api/spaces/hardware", hardware),
    Route(_SPACE + "/runtime", runtime),
    Route(_SPACE + "/{verb:verb}", operate, methods=["POST"]),
    Route(_SPACE + "/{what:pairs}", list_pairs),
    Route(_SPACE + "/{what:pairs}", change_pairs, methods=["POST", "DELETE"]),
]
