"""Routes about Spaces: variables, secrets, hardware, sleep, logs and the state they are in.

The state of a Space that `--run-spaces` names is that of its process. Any other is paused, and its
runtime says why in `errorMessage`. `stage` and `host` in its settings.json, set by hand, are passed
on instead. The values of secrets are never written down; of a Space that does not run they are
dropped as they come in.
"""

import json
import re
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ..access import body, hub_of, repository, runner_of
from ..bodies import Creation, Operation, Pair, PairKey
from ..commits import now
from ..errors import HubError
from ..repos import Repo
from ..runner import State, sdk_and_app_file

SDKS = ("gradio", "docker", "static")
_GPUS = ("zero-a10g", "t4-small", "t4-medium", "l4x1", "a10g-small", "a10g-large", "a100-large")
HARDWARE = ("cpu-basic", "cpu-upgrade", *_GPUS)


def _flavor(flavor: str | None) -> str:
    if flavor not in HARDWARE:
        raise HubError(400, f"hardware must be one of {', '.join(HARDWARE)}, got {flavor!r}.")
    return flavor


def _pairs(rows: list[Pair], secret: bool) -> dict[str, dict[str, Any]]:
    """Variables or secrets, as the settings hold them."""
    pairs: dict[str, dict[str, Any]] = {}
    for row in rows:
        pair = {"description": row.description, "updatedAt": now()}
        pairs[row.key] = pair if secret else {"value": row.value, **pair}
    return pairs


def initial_settings(fields: Creation) -> dict[str, object]:
    """The settings of a new Space, from the body of its creation.

    Raises:
        HubError: 400 when the SDK or the hardware is unknown.
    """
    if fields.sdk not in SDKS:
        raise HubError(400, f"sdk must be one of {', '.join(SDKS)}, got {fields.sdk!r}.")
    return {
        "sdk": fields.sdk,
        "hardware": _flavor(fields.hardware or "cpu-basic"),
        "sleep_seconds": fields.sleepTimeSeconds,
        "paused": False,
        "variables": _pairs(fields.variables or [], secret=False),
        "secrets": _pairs(fields.secrets or [], secret=True),
    }


def follow(request: Request, repo: Repo, restart: bool = False) -> None:
    """Let the process of a Space follow what has changed."""
    runner_of(request).sync(hub_of(request), repo, restart)


def _state(request: Request, repo: Repo) -> State:
    """The state a Space is in."""
    settings, commit = repo.settings, repo.revision("main")
    if "stage" in settings:
        return State(settings["stage"])
    sdk, app_file = sdk_and_app_file(settings, hub_of(request).card(commit))
    if app_file not in commit.files:
        return State("NO_APP_FILE")
    if sdk != "gradio":
        return State("PAUSED", error=f"localhub runs Gradio Spaces alone, this one is {sdk}.")
    if settings["paused"]:
        return State("PAUSED")
    return runner_of(request).state(repo.id)


def _runtime(repo: Repo, state: State) -> dict[str, Any]:
    settings = repo.settings
    flavor = settings["hardware"]
    fields = {
        "stage": state.stage,
        "hardware": {"current": flavor if state.stage == "RUNNING" else None, "requested": flavor},
        "gcTimeout": settings["sleep_seconds"],
        "storage": None,
        "devMode": False,
    }
    known = {"sha": state.sha, "errorMessage": state.error}
    return fields | {key: value for key, value in known.items() if value is not None}


def space_fields(request: Request, repo: Repo, card: dict[str, Any]) -> dict[str, Any]:
    """What the Hub says about a Space beyond what it says about any repository."""
    settings, state = repo.settings, _state(request, repo)
    return {
        "sdk": sdk_and_app_file(settings, card)[0],
        "subdomain": re.sub(r"[/._]", "-", repo.id).lower(),
        "host": settings.get("host", state.host),
        "runtime": _runtime(repo, state),
        "models": card.get("models") or [],
        "datasets": card.get("datasets") or [],
    }


def runtime(request: Request) -> Response:
    """The state of a Space."""
    repo = repository(request)
    return JSONResponse(_runtime(repo, _state(request, repo)))


def logs(request: Request) -> Response:
    """What a running Space has printed, as server-sent events; nothing is built here."""
    repo = repository(request, "write")
    started, printed = runner_of(request).log(repo.id)
    stamp = datetime.fromtimestamp(started, UTC).isoformat(timespec="milliseconds")
    lines = printed.splitlines() if request.path_params["log"] == "run" else []
    events = [{"data": f"{line}\n", "timestamp": stamp.replace("+00:00", "Z")} for line in lines]
    content = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
    return Response(content, media_type="text/event-stream")


def operate(request: Request) -> Response:
    """Choose hardware or sleep time, pause or restart; answer with the new state."""
    repo = repository(request, "write")
    verb = request.path_params["verb"]
    fields = body(request, Operation)
    with repo.changing() as settings:
        match verb:
            case "hardware":
                settings["hardware"] = _flavor(fields.flavor)
                if "sleepTimeSeconds" in fields.model_fields_set:
                    settings["sleep_seconds"] = fields.sleepTimeSeconds
            case "sleeptime":
                settings["sleep_seconds"] = fields.seconds
            case _:
                settings["paused"] = verb == "pause"
    follow(request, repo, restart=verb == "restart")
    return JSONResponse(_runtime(repo, _state(request, repo)))


def list_pairs(request: Request) -> Response:
    """Variables or secrets of a Space; only its owners see them."""
    repo = repository(request, "write")
    return JSONResponse(repo.settings[request.path_params["what"]])


def change_pairs(request: Request) -> Response:
    """Set or remove a variable or a secret of a Space."""
    repo = repository(request, "write")
    what = request.path_params["what"]
    setting = body(request, Pair) if request.method == "POST" else None
    key = setting.key if setting else body(request, PairKey).key
    with repo.changing() as settings:
        if setting:
            settings[what] |= _pairs([setting], secret=what == "secrets")
        elif settings[what].pop(key, None) is None:
            raise HubError(404, f"This Space has no {what[:-1]} {key!r}.")
    if what == "secrets":
        runner_of(request).keep_secret(repo.id, key, setting.value if setting else None)
    follow(request, repo)
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
    Route(_SPACE + "/logs/{log:log}", logs),
    Route(_SPACE + "/{verb:verb}", operate, methods=["POST"]),
    Route(_SPACE + "/{what:pairs}", list_pairs),
    Route(_SPACE + "/{what:pairs}", change_pairs, methods=["POST", "DELETE"]),
]
