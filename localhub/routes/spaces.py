"""Routes about Spaces: variables, secrets, hardware, sleep, logs and the state they are in.

Where a runner is, the state is that of the process. Elsewhere no Space runs: its runtime is what
the Hub would say of one that starts at once. `stage` and `host` in its settings.json, set by
hand, are passed on instead. The values of secrets are never written down; where no runner needs
them they are dropped as they come in.
"""

import json
import re
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ..access import body, hub_of, repository, runner_of
from ..commits import now
from ..errors import HubError
from ..repos import Repo
from ..runner import State, sdk_and_app_file

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


def keep_secrets(request: Request, repo: Repo, rows: list[dict[str, Any]]) -> None:
    """Hand the values of secrets to the runner, in memory; a row without a value forgets one."""
    if runner := runner_of(request):
        for row in rows:
            runner.keep_secret(repo.id, row["key"], row.get("value"))


def follow(request: Request, repo: Repo, restart: bool = False) -> None:
    """Let the process of a Space follow what has changed, where Spaces run."""
    if runner := runner_of(request):
        runner.sync(hub_of(request), repo, restart)


def _state(request: Request, repo: Repo) -> State:
    """The state a Space is in; without a runner, the one of a Space that starts at once."""
    settings, commit = repo.settings, repo.revision("main")
    sdk, app_file = sdk_and_app_file(settings, hub_of(request).card(commit))
    if app_file not in commit.files:
        return State("NO_APP_FILE")
    if settings["paused"]:
        return State("PAUSED")
    runner = runner_of(request)
    return runner.state(repo.id) if runner and sdk == "gradio" else State("RUNNING")


def _runtime(repo: Repo, state: State) -> dict[str, Any]:
    settings = repo.settings
    flavor = settings["hardware"]
    fields = {
        "stage": settings.get("stage", state.stage),
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
    runner = runner_of(request)
    started, printed = runner.log(repo.id) if runner else (0.0, "")
    stamp = datetime.fromtimestamp(started, UTC).isoformat(timespec="milliseconds")
    lines = printed.splitlines() if request.path_params["log"] == "run" else []
    events = [{"data": f"{line}\n", "timestamp": stamp.replace("+00:00", "Z")} for line in lines]
    content = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
    return Response(content, media_type="text/event-stream")


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
    follow(request, repo, restart=request.path_params["verb"] == "restart")
    return JSONResponse(_runtime(repo, _state(request, repo)))


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
    if what == "secrets":
        value = fields.get("value") if request.method == "POST" else None
        keep_secrets(request, repo, [{"key": fields["key"], "value": value}])
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
