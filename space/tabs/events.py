"""Options of all page events, and long tasks with a Cancel button.

In: components and handlers. Out: events on the page.
"""

from collections.abc import Sequence
from typing import Any

import gradio

from space import views

WAITING = views.message("Waiting in the queue…", "remark")
# Events of the page are not API endpoints. `AdmissionQueue` limits concurrency, not Gradio.
QUIET: dict[str, Any] = {"api_visibility": "private", "concurrency_limit": None}
HIDDEN = {**QUIET, "show_progress": "hidden"}
# Of several choices, the last one counts: Gradio sends it once the one before it is answered, and
# drops it by default.
LATEST = {**HIDDEN, "trigger_mode": "always_last"}
# Updates of the two buttons of a long task.
RUNNING = (gradio.update(interactive=False), gradio.update(visible=True))
IDLE = (gradio.update(interactive=True), gradio.update(visible=False))


def dim_while_changed(area: str, changes: Sequence[Any], start: Any) -> None:
    """Dim results while the inputs are others than those they are about; see style.css.

    Args:
        area: Selector of the results.
        changes: Listeners of the inputs, such as `file.change`.
        start: Button that computes new results.
    """
    mark, unmark = (
        f"() => document.querySelector('{area}')?.toggleAttribute('data-stale', {is_stale})"
        for is_stale in ("true", "false")
    )
    gradio.on(changes, None, None, None, js=mark, **{**HIDDEN, "trigger_mode": "multiple"})
    start.click(None, None, None, js=unmark, **HIDDEN)


def run_cancellable(
    start: Any, cancel: Any, task: Any, inputs: Sequence[Any], outputs: Sequence[Any], status: Any
) -> Any:
    """Let one button start a long task and another one cancel it.

    Args:
        start: Button; disabled while the task runs.
        cancel: Button; visible while the task runs.
        task: Generator of values for `outputs`.
        inputs: Components that the task reads.
        outputs: Components that the task fills.
        status: Component that reports a cancellation.

    Returns:
        The event of the task, for others that cancel it.
    """
    clicked = start.click(lambda: RUNNING, None, [start, cancel], **HIDDEN)
    event = clicked.then(task, inputs, outputs, **HIDDEN)
    event.then(lambda: IDLE, None, [start, cancel], **HIDDEN)
    # Reported after the cancellation, or the task's last output would overwrite the message.
    cancel.click(lambda: None, cancels=[event], **HIDDEN).then(
        lambda: (*IDLE, views.message("Cancelled. No results were kept.", "remark")),
        None, [start, cancel, status], **HIDDEN,
    )  # fmt: skip
    return event
