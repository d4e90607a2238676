"""The first visitor of a Space: waits until it runs what was pushed, and asks it once.

In: a `Deployed`. Out: one sentence that says it is live, or why it was not called. The call itself
is made in a process of its own, as a program makes it: `python -m train.publishing.smoke_test_space
SPACE TEXT` prints the answer of `/classify` as a JSON line.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, SpaceRuntime, get_token
from huggingface_hub.errors import (  # type: ignore[attr-defined]  # HTTPError is httpx2's
    HfHubHTTPError,
    HTTPError,
)

from train import console, network
from train.errors import HubError, Interrupted
from train.hub_errors import TRANSIENT, explained
from train.publishing.deployment import Deployed

REVIEW = "What a wonderful film: funny, warm and over far too soon."
SETTLE_SECONDS = 30  # after a push the Hub may for a while tell the stage of what was there before
CALL_SECONDS = 180  # of one attempt: the app may have to pull its model first
CALL_ATTEMPTS = 3  # a Space that has just started may turn away its first visitor
LOG_LINES = 30
PUSHED = "the model and the Space are pushed"

_REMEDY_OF_STAGE = {
    "BUILD_ERROR": "mend space/requirements.txt or what else the build stumbled over",
    "CONFIG_ERROR": "mend the settings at the head of space/README.md, or the hardware",
    "RUNTIME_ERROR": "mend the app; `make space` runs it here",
    "NO_APP_FILE": "app_file in space/README.md must name a file of space/",
}


def smoke_test_space(deployed: Deployed, labels: Sequence[str], seconds: float) -> str:
    """Wait until a Space runs what was pushed, and call it once.

    Args:
        deployed: What to wait for.
        labels: Those of the model.
        seconds: How long to wait.

    Returns:
        One sentence: that it is live, or why it was not called.

    Raises:
        HubError: It can't be built or started, or does not answer as it should.
        Interrupted: On Ctrl-C; everything is pushed by then.
    """
    space, url = deployed.space, deployed.url
    api = HfApi()
    try:
        stage = _wait(api, deployed, seconds)
        if stage == "PAUSED":
            runtime = _runtime(api, space)
            why = runtime and runtime.raw.get("errorMessage")
            return f"{url} is PAUSED and was not called; {why or 'restart it on its settings page'}"
        if stage != "RUNNING":
            return (
                f"{url} was {stage} when its {seconds / 60:g} minutes were up, and was not called; "
                f"{url}?logs=build shows how it goes on"
            )
        with explained(f"asking where {space} answers", after=PUSHED):
            host = api.space_info(space).host
        answer = _call(deployed, labels)
    except KeyboardInterrupt:
        raise Interrupted(
            f"stopped waiting; the model and the Space are pushed, and {url} shows how it goes on"
        ) from None
    probability = f" ({answer['probability']:.3f})" if "probability" in answer else ""
    return f'live at {url} and {host}: /classify says {answer["label"]}{probability} to "{REVIEW}"'


def _wait(api: HfApi, deployed: Deployed, seconds: float) -> str:
    """The stage in which the pushed version came to rest, or the last one when time was up."""
    started = time.monotonic()
    seen = None
    while True:
        runtime = _runtime(api, deployed.space)
        stage = str(runtime.stage) if runtime else "out of reach"
        waited = time.monotonic() - started
        if stage != seen:
            console.print_line(f"{deployed.space}: {stage} after {waited:.0f} s")
            seen = stage
        if runtime:
            # What was there before the push may run on, or have failed, for a moment.
            sha = runtime.raw.get("sha")
            ours = sha == deployed.revision or waited >= min(SETTLE_SECONDS, seconds)
            if stage == "PAUSED" or (stage == "RUNNING" and (ours or sha is None)):
                return stage
            if stage in _REMEDY_OF_STAGE and ours:
                raise HubError(_explain(api, deployed, runtime))
        if waited >= seconds:
            return stage
        time.sleep(min(3, 0.2 + waited / 10))  # seconds here, minutes on the Hub


def _runtime(api: HfApi, space: str) -> SpaceRuntime | None:
    """How a Space is; None while the Hub is out of reach, which ends no wait."""
    with explained(f"asking how the Space {space} is", after=PUSHED):
        try:
            return api.get_space_runtime(space)
        except HfHubHTTPError as error:
            if error.response is not None and error.response.status_code not in TRANSIENT:
                raise
        except (HTTPError, ConnectionError, TimeoutError):
            pass
    return None


def _explain(api: HfApi, deployed: Deployed, runtime: SpaceRuntime) -> str:
    """Why a Space does not run, in the Hub's words and the last lines of its log."""
    stage, kind = str(runtime.stage), "build" if runtime.stage == "BUILD_ERROR" else "container"
    said = str(runtime.raw.get("errorMessage") or "the Hub gives no reason").strip()
    try:
        log = list(api.fetch_space_logs(deployed.space, build=kind == "build"))[-LOG_LINES:]
    except (HTTPError, ConnectionError, TimeoutError):
        log = []
    if log and log[-1].strip() not in said:
        said += "\n" + "".join(line if line.endswith("\n") else f"{line}\n" for line in log)
    return (
        f"the Space {deployed.space} is pushed, but does not run ({stage}) — "
        f"{_REMEDY_OF_STAGE[stage]}; {deployed.url}?logs={kind} has the whole log. The model is "
        f"published, so `python -m train publish` is all to run again:\n{said}"
    )


def _call(deployed: Deployed, labels: Sequence[str]) -> dict[str, Any]:
    """What the Space says to `REVIEW`, when it is a verdict with one of the labels."""
    for attempt in range(CALL_ATTEMPTS):
        time.sleep(5 * bool(attempt))
        answered, said = _ask(deployed.space)
        if answered:
            break
    else:
        raise HubError(
            f"the Space {deployed.space} runs, but its /classify can't be called — "
            f"{deployed.url}?logs=container says why; everything is pushed, and `python -m train "
            f"publish` tries again:\n{said}"
        )
    answer = json.loads(said)
    if not isinstance(answer, dict) or answer.get("label") not in labels:
        raise HubError(
            f"the Space {deployed.space} must answer with one of {', '.join(labels)}, got "
            f"{answer!r} — look at space/app.py, and publish again"
        )
    return answer


def _ask(space: str) -> tuple[bool, str]:
    """Whether a Space answered a process of its own, and the answer as JSON or why not."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", "train.publishing.smoke_test_space", space, REVIEW],
            env={**os.environ, "GRADIO_ANALYTICS_ENABLED": "False"},
            cwd=Path(__file__).parent.parent.parent,
            capture_output=True,
            text=True,
            timeout=CALL_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return False, f"no answer in {CALL_SECONDS} seconds"
    if done.returncode:
        return False, done.stderr.strip()[-1000:]
    return True, done.stdout.strip().splitlines()[-1]


def main() -> None:
    """Find a Space through its Hub, call it, print what it says."""
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
