"""Smoke test of a Space: wait until it runs what was pushed, and call it once.

In: a `Deployed`. Out: a sentence for the terminal. A static Space is opened instead: its page must
be the one that was pushed. The call of a Gradio Space runs in a process of its own:
`python -m train.publishing.smoke_test_space SPACE TEXT` prints the answer of `/classify` as JSON.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from huggingface_hub import HfApi, SpaceRuntime, get_session, get_token
from huggingface_hub.errors import (  # type: ignore[attr-defined]  # HTTPError is httpx2's
    HfHubHTTPError,
    HTTPError,
)

from train import console, network
from train.environment import REPOSITORY
from train.errors import HubError, Interrupted
from train.hub_errors import TRANSIENT, explained
from train.publishing import static_space
from train.publishing.deployment import Deployed

REVIEW = "What a wonderful film: funny, warm and over far too soon."
SETTLE_SECONDS = 30  # after a push the Hub may still report the stage of the previous version
CALL_SECONDS = 180  # time limit of one call: the app may have to load its model first
CALL_ATTEMPTS = 3  # a Space that has just started may refuse the first call
LOG_LINES = 30
PUSHED = "the model and the Space are pushed"

_REMEDY_OF_STAGE = {
    "BUILD_ERROR": "fix space/requirements.txt, or whatever else the build log names",
    "CONFIG_ERROR": "fix the front matter of space/README.md, or the hardware",
    "RUNTIME_ERROR": "fix the app; `make space` runs it on your machine",
    "NO_APP_FILE": "app_file in space/README.md must name a file of space/",
}


def smoke_test_space(deployed: Deployed, labels: Sequence[str], seconds: float) -> str:
    """Wait until a Space runs what was pushed, and call it once.

    Args:
        deployed: The Space.
        labels: The labels of its model.
        seconds: Time limit for the wait.

    Returns:
        A sentence: that the Space is live, or why it was not called.

    Raises:
        HubError: It can't be built or started, or does not answer with a label of the model.
        Interrupted: On Ctrl-C.
    """
    space, url = deployed.space, deployed.url
    api = HfApi()
    try:
        stage = _wait(api, deployed, seconds)
        if stage == "PAUSED":
            runtime = _runtime(api, space)
            reason = runtime and runtime.raw.get("errorMessage")
            remedy = reason or "restart it on its settings page"
            return f"{url} is PAUSED and was not called; {remedy}"
        if stage != "RUNNING":
            return (
                f"{url} was still {stage} after {seconds / 60:g} minutes and was not called; see "
                f"{url}?logs=build"
            )
        with explained(f"asking where {space} answers", after=PUSHED):
            host = api.space_info(space).host
        if deployed.page:
            _open(deployed, str(host))
            return f"live at {url} and {host}"
        answer = _call(deployed, labels)
    except KeyboardInterrupt:
        raise Interrupted(f"stopped waiting; {PUSHED}, see {url}") from None
    probability = f" ({answer['probability']:.3f})" if "probability" in answer else ""
    return f"live at {url} and {host}: /classify({REVIEW!r}) → {answer['label']}{probability}"


def _wait(api: HfApi, deployed: Deployed, seconds: float) -> str:
    """The final stage of the pushed version, or the current one at the time limit."""
    started = time.monotonic()
    previous = None
    while True:
        runtime = _runtime(api, deployed.space)
        stage = str(runtime.stage) if runtime else "unreachable"
        waited = time.monotonic() - started
        if stage != previous:
            console.print_line(f"{deployed.space}: {stage} after {waited:.0f} s")
            previous = stage
        if runtime:
            # For a moment, the stage may be that of the previous version.
            sha = runtime.raw.get("sha")
            current = sha == deployed.revision or waited >= min(SETTLE_SECONDS, seconds)
            if stage == "PAUSED" or (stage == "RUNNING" and (current or sha is None)):
                return stage
            if stage in _REMEDY_OF_STAGE and current:
                raise HubError(_failure(api, deployed, runtime))
        if waited >= seconds:
            return stage
        time.sleep(min(3, 0.2 + waited / 10))  # a build takes seconds locally, minutes on the Hub


def _runtime(api: HfApi, space: str) -> SpaceRuntime | None:
    """The state of a Space; None while the Hub is unreachable, so that the wait goes on."""
    with explained(f"reading the state of the Space {space}", after=PUSHED):
        try:
            return api.get_space_runtime(space)
        except HfHubHTTPError as error:
            if error.response is not None and error.response.status_code not in TRANSIENT:
                raise
        except (HTTPError, ConnectionError, TimeoutError):
            pass
    return None


def _failure(api: HfApi, deployed: Deployed, runtime: SpaceRuntime) -> str:
    """Why a Space does not run: the Hub's message and the last lines of the log."""
    stage, kind = str(runtime.stage), "build" if runtime.stage == "BUILD_ERROR" else "container"
    message = str(runtime.raw.get("errorMessage") or "the Hub gives no reason").strip()
    try:
        log = list(api.fetch_space_logs(deployed.space, build=kind == "build"))[-LOG_LINES:]
    except (HTTPError, ConnectionError, TimeoutError):
        log = []
    if log and log[-1].strip() not in message:
        message += "\n" + "".join(line if line.endswith("\n") else f"{line}\n" for line in log)
    return (
        f"the Space {deployed.space} is pushed, but does not run ({stage}) — "
        f"{_REMEDY_OF_STAGE[stage]} (full log: {deployed.url}?logs={kind}), then run only "
        f"`python -m train publish` again: the model is published.\n{message}"
    )


def _open(deployed: Deployed, host: str) -> None:
    """Open the page of a static Space; it must be the one that was pushed."""
    status: object = "none"
    for attempt in range(CALL_ATTEMPTS):
        time.sleep(5 * bool(attempt))
        try:
            response = get_session().get(f"{host}/{static_space.INDEX}", follow_redirects=True)
        except (HTTPError, ConnectionError, TimeoutError) as error:
            status = error
            continue
        # The Hub may add to a page, but keeps what is in it.
        if response.is_success and _names_model(response.text) == _names_model(
            (deployed.page or b"").decode()
        ):
            return
        status = f"status {response.status_code}, or the page of another version"
    raise HubError(
        f"the Space {deployed.space} runs, but {host} doesn't show the page that was pushed "
        f"({status}) — open {deployed.url}; {PUSHED}, and `python -m train publish` tries again"
    )


def _names_model(page: str) -> str:
    """The tag of a static page that names its model and the model's commit."""
    tag = re.search(r"<html [^>]*>", page)
    return tag[0] if tag else ""


def _call(deployed: Deployed, labels: Sequence[str]) -> dict[str, Any]:
    """The answer of `/classify` to `REVIEW`, checked to be one of the labels."""
    for attempt in range(CALL_ATTEMPTS):
        time.sleep(5 * bool(attempt))
        succeeded, output = _call_in_process(deployed.space)
        if succeeded:
            break
    else:
        raise HubError(
            f"the Space {deployed.space} runs, but calling its /classify fails — see "
            f"{deployed.url}?logs=container; {PUSHED}, and `python -m train publish` tries "
            f"again:\n{output}"
        )
    answer = json.loads(output)
    if not isinstance(answer, dict) or answer.get("label") not in labels:
        raise HubError(
            f"the Space {deployed.space} must answer with one of {', '.join(labels)}, got "
            f"{answer!r} — check space/app.py, and publish again"
        )
    return answer


def _call_in_process(space: str) -> tuple[bool, str]:
    """Whether the call succeeded, and its answer as JSON or the reason for the failure."""
    try:
        process = subprocess.run(
            [sys.executable, "-m", "train.publishing.smoke_test_space", space, REVIEW],
            env={**os.environ, "GRADIO_ANALYTICS_ENABLED": "False"},
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=CALL_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return False, f"no answer in {CALL_SECONDS} seconds"
    if process.returncode:
        return False, process.stderr.strip()[-1000:]
    return True, process.stdout.strip().splitlines()[-1]


def main() -> None:
    """Call a Space by its repository name and print the answer."""
    parser = argparse.ArgumentParser(description="Call /classify of a Space once.")
    parser.add_argument("space")
    parser.add_argument("text")
    arguments = parser.parse_args()
    from gradio_client import Client

    client = Client(arguments.space, token=get_token(), verbose=False, analytics_enabled=False)
    try:
        answer = client.predict(arguments.text, api_name="/classify")
    finally:
        client.close()
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    network.prepare()
    main()
