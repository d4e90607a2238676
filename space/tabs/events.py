"""How events behave in all tabs, and how long work is started and cancelled.

In: the buttons, and what they start. Out: events on the page.
"""

from collections.abc import Sequence
from typing import Any

import gradio

from space import views

NONE = "(none)"  # among the columns of a file
# Events of the page are no endpoints; `AdmissionQueue` holds visitors back, not gradio.
QUIET: dict[str, Any] = {"api_visibility": "private", "concurrency_limit": None}
HIDDEN = {**QUIET, "show_progress": "hidden"}


def run(
    start: Any, cancel: Any, work: Any, inputs: Sequence[Any], outputs: Sequence[Any], told: Any
) -> None:
    """Let a button start long work, and another one cancel it.

    Args:
        start: Can't be pressed meanwhile.
        cancel: Shown meanwhile.
        work: A generator of what `outputs` show.
        inputs: What it gets.
        outputs: What it fills.
        told: Where a cancellation is said.
    """
    busy = [gradio.update(interactive=False), gradio.update(visible=True)]
    free = [gradio.update(interactive=True), gradio.update(visible=False)]
    clicked = start.click(lambda: busy, None, [start, cancel], **HIDDEN)
    running = clicked.then(work, inputs, outputs, **HIDDEN)
    running.then(lambda: free, None, [start, cancel], **HIDDEN)
    # Told once it is cancelled: a last word of the work would be written over it else.
    cancel.click(lambda: None, cancels=[running], **HIDDEN).then(
        lambda: (*free, views.sentence("Cancelled: nothing was kept.", "remark")),
        None, [start, cancel, told], **HIDDEN,
    )  # fmt: skip
