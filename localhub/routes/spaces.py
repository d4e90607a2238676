"""Routes about Spaces: their state, variables, secrets, hardware, logs, pause and restart.

A Space that `--run-spaces` names has the state of its process. Any other is paused, and its runtime
says why in `errorMessage`. `stage` in its settings.json, set by hand, overrides the state. Values
of secrets are never written to disk.
"""

import json
import re
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ..auth import require_repo
from ..commits import timestamp
from ..errors import HubError
from ..repos import Repo
from ..request import hub_of, json_body, runner_of
from ..runner import RUNNABLE, State, sdk_and_app_file
from ..schemas import HardwareChange, NewRepo, Variable, VariableKey


def _rows(variables: list[Variable], secret: bool) -> dict[str, dict[str, Any]]:
    """Variables as the settings store them; secrets without their values."""
    rows: dict[str, dict[str, Any]] = {}
    for variable in variables:
        row = {"description": variable.description, "updatedAt": timestamp()}
        rows[variable.key] = row if secret else {"value": variable.value, **row}
    return rows


def initial_settings(fields: NewRepo) -> dict[str, object]:
    """The settings of a new Space.

    Raises:
        HubError: 400 when there is no SDK.
    """
    if fields.sdk is None:
        raise HubError(400, "sdk must be gradio, docker or static, got None.")
    return {
        "sdk": fields.sdk,
        "hardware": fields.hardware or "cpu-basic",
        "paused": False,
        "variables": _rows(fields.variables or [], secret=False),
        "secrets": _rows(fields.secrets or [], secret=True),
    }


def sync_process(request: Request, repo: Repo, restart: bool = False) -> None:
    """Apply a change of a Space to its process."""
    runner_of(request).sync(hub_of(request), repo, restart)


def _state(request: Request, repo: Repo) -> State:
    settings, commit = repo.settings, repo.revision("main")
    if "stage" in settings:
        return State(settings["stage"])
    sdk, app_file = sdk_and_app_file(settings, hub_of(request).card(commit))
    if app_file not in commit.files:
        return State("NO_APP_FILE")
    if sdk not in RUNNABLE:
        runnable = "localhub runs only Gradio and static Spaces"
        return State("PAUSED", error=f"{runnable}, the SDK of this is {sdk}.")
    if settings["paused"]:
        return State("PAUSED")
    return runner_of(request).state(repo.id)


def _runtime(repo: Repo, state: State) -> dict[str, Any]:
    hardware = repo.settings["hardware"]
    current = hardware if state.stage == "RUNNING" else None
    fields = {
        "stage": state.stage,
        "hardware": {"current": current, "requested": hardware},
        "gcTimeout": None,
        "storage": None,
        "devMode": False,
    }
    optional = {"sha": state.sha, "errorMessage": state.error}
    return fields | {key: value for key, value in optional.items() if value is not None}


def space_fields(request: Request, repo: Repo, card: dict[str, Any]) -> dict[str, Any]:
    """The fields that only the description of a Space has."""
    state = _state(request, repo)
    return {
        "sdk": sdk_and_app_file(repo.settings, card)[0],
        "subdomain": re.sub(r"[/._]", "-", repo.id).lower(),
        "host": state.host,
        "runtime": _runtime(repo, state),
        "models": card.get("models") or [],
        "datasets": card.get("datasets") or [],
    }


def runtime(request: Request) -> Response:
    """The state of a Space."""
    repo = require_repo(request)
    return JSONResponse(_runtime(repo, _state(request, repo)))


def logs(request: Request) -> Response:
    """The output of a running Space as server-sent events. Its build log is always empty."""
    repo = require_repo(request, "write")
    started, output = runner_of(request).log(repo.id)
    lines = output.splitlines() if request.path_params["log"] == "run" else []
    events = [{"data": f"{line}\n", "timestamp": timestamp(started)} for line in lines]
    content = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
    return Response(content, media_type="text/event-stream")


def operate(request: Request) -> Response:
    """Change the hardware, pause or restart. Answers with the new state."""
    repo = require_repo(request, "write")
    operation = request.path_params["operation"]
    if operation == "hardware":
        change: dict[str, object] = {"hardware": json_body(request, HardwareChange).flavor}
    else:
        change = {"paused": operation == "pause"}
    with repo.edit_settings() as settings:
        settings.update(change)
    sync_process(request, repo, restart=operation == "restart")
    return JSONResponse(_runtime(repo, _state(request, repo)))


def list_variables(request: Request) -> Response:
    """The variables or secrets of a Space, for those who may change it."""
    repo = require_repo(request, "write")
    return JSONResponse(repo.settings[request.path_params["type"]])


def change_variables(request: Request) -> Response:
    """Set or remove a variable or a secret of a Space."""
    repo = require_repo(request, "write")
    kind = request.path_params["type"]
    variable = json_body(request, Variable) if request.method == "POST" else None
    key = variable.key if variable else json_body(request, VariableKey).key
    with repo.edit_settings() as settings:
        if variable:
            settings[kind] |= _rows([variable], secret=kind == "secrets")
        elif settings[kind].pop(key, None) is None:
            raise HubError(404, f"This Space has no {kind[:-1]} {key!r}.")
    if kind == "secrets":
        runner_of(request).set_secret(repo.id, key, variable.value if variable else None)
    sync_process(request, repo)
    return JSONResponse(settings[kind])


_SPACE = "/api/{kind:space}/{namespace}/{name}"
ROUTES = [
    Route(_SPACE + "/runtime", runtime),
    Route(_SPACE + "/logs/{log:log}", logs),
    Route(_SPACE + "/{operation:operation}", operate, methods=["POST"]),
    Route(_SPACE + "/{type:variables}", list_variables),
    Route(_SPACE + "/{type:variables}", change_variables, methods=["POST", "DELETE"]),
]
