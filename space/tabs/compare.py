"""The Compare tab: two models on the same texts, by accuracy and speed.

In: the Space's own classifier, which is reused if it is one of the two models. Out: components.
"""

import time
from collections.abc import Iterator
from html import escape
from typing import Any

import gradio
import pandas

from space import views
from space.analysis.comparison import MAX_ROWS, Comparison, Step, compare, conclusions, short_text
from space.files import tables
from space.inference.classifier import Classifier, ModelUnavailable
from space.inference.client import cancel_check, current_client
from space.inference.concurrency import Busy, Cancelled, ConcurrencyLimiter
from space.inference.model_cache import MAX_ONNX_BYTES, ModelCache
from space.tabs import events
from space.tabs.events import QUIET
from space.tabs.upload import column_menu, read_upload, upload_area

EMPTY = (
    '<p class="empty">Enter two models on the Hub as user/name, and one review or a file of up to '
    f"{MAX_ROWS:,} reviews. If the file has labels, the result shows which model is more accurate "
    "and whether the difference is significant. Any public text classifier works that has an "
    f"onnx/model.onnx of up to {MAX_ONNX_BYTES / 1e6:,.0f} MB.</p>"
)
STYLE = "table, th, td { border-left: 0; border-right: 0; border-top: 0; }"
COLUMN_WIDTHS = {"row": 60, "A": 170, "B": 170, "label": 90, "review": 440}  # pixels
MAX_COMPARISONS = 3  # at the same time
MAX_WAITING = 8
SLOT_SECONDS = 10  # a comparison ends after this time if others wait
NO_TEXT = "Enter a review or upload a file of reviews."


def build(classifier: Classifier) -> None:
    """Lay out the tab and connect its events."""
    upload = gradio.State(time_to_live=3600)
    with gradio.Row(equal_height=False):
        with gradio.Column():
            models = [
                gradio.Textbox(label="Model A", value=classifier.repo_id, placeholder="user/name"),
                gradio.Textbox(
                    label="Revision of A", value=classifier.revision, placeholder="main"
                ),
                gradio.Textbox(label="Model B", placeholder="user/name"),
                gradio.Textbox(label="Revision of B", placeholder="main"),
            ]
        with gradio.Column():
            text = gradio.Textbox(label="One review for both models", lines=4, max_lines=12)
            file = upload_area("Or a file of reviews", height=120)
            status = gradio.HTML()
            with gradio.Row(visible=False) as menus:
                columns = [
                    gradio.Dropdown(label="Text column", choices=[]),
                    gradio.Dropdown(label="Label column", choices=[]),
                ]
    with gradio.Row():
        start = gradio.Button("Compare", variant="primary")
        cancel = gradio.Button("Cancel comparison", variant="stop", visible=False)
    result = gradio.HTML(EMPTY, css_template=STYLE)
    differences = gradio.Dataframe(
        label="Different predictions", interactive=False, visible=False, wrap=True,
        datatype="str", max_height=420, max_chars=300,
    )  # fmt: skip

    file.change(receive, file, [upload, status, menus, *columns], **QUIET)
    inputs, outputs = [*models, text, upload, *columns], [result, differences]
    task = _comparison_task(ModelCache(classifier))
    events.run_cancellable(start, cancel, task, inputs, outputs, result)


def receive(path: str | None) -> list[Any]:
    """Read an uploaded file and preselect its columns."""
    hidden = [gradio.update(visible=False), gradio.update(), gradio.update()]
    read, message = read_upload(path, MAX_ROWS)
    if not read:
        return [None, message, *hidden]
    menus = [column_menu(read[0], kind) for kind in ("text", "label")]
    return [read[0], message, gradio.update(visible=True), *menus]


def _comparison_task(cache: ModelCache) -> Any:
    limiter = ConcurrencyLimiter(
        slots=MAX_COMPARISONS, max_waiting=MAX_WAITING, slot_seconds=SLOT_SECONDS
    )

    def run(
        first: str, first_revision: str, second: str, second_revision: str, text: str,
        table: tables.Table | None, text_column: str, label_column: str,
    ) -> Iterator[list[Any]]:  # fmt: skip
        """Progress of the comparison, then its result."""
        hidden = gradio.update(visible=False)
        models = [(first, first_revision), (second, second_revision)]
        texts, labels = _texts_and_labels(text, table, text_column, label_column)
        if not texts:
            yield [views.sentence(NO_TEXT), hidden]
            return
        yield [events.WAITING, hidden]
        try:
            disconnected = cancel_check()
            with limiter.slot(disconnected, current_client()) as lost_slot:
                started = time.monotonic()
                for step in compare(
                    cache, models, texts, labels, lambda: lost_slot() or disconnected()
                ):
                    if isinstance(step, Comparison):
                        yield show(step)
                    else:
                        yield [progress(step, time.monotonic() - started), hidden]
        except (ModelUnavailable, Busy, Cancelled) as reason:
            yield [views.sentence(reason), hidden]

    return run


def _texts_and_labels(
    text: str, table: tables.Table | None, text_column: str, label_column: str
) -> tuple[list[Any], pandas.Series | None]:
    """The rows of the file if there is one, otherwise the one review without a label."""
    if table is None:
        return [text] if text and text.strip() else [], None
    rows = table.frame.head(MAX_ROWS)
    if text_column not in rows.columns:
        return [], None
    labels = rows[label_column] if label_column in rows.columns else None
    return tables.texts(rows, text_column), labels


def progress(step: Step, seconds: float) -> str:
    """A progress bar with the remaining time."""
    message = f"{step.doing} … {step.done:,} of {step.total:,} predictions"
    return views.progress(message, step.done, step.total, seconds)


def show(comparison: Comparison) -> list[Any]:
    """The result, and an update of the table of differences."""
    sentences = "".join(f"<p>{escape(sentence)}</p>" for sentence in conclusions(comparison))
    rows = comparison.differing
    widths = [COLUMN_WIDTHS[column] for column in rows.columns]
    visible = not rows.empty and len(comparison.first.answers) > 1
    return [
        f'<section class="figures" role="status"><div>{_table(comparison)}{sentences}</div>'
        "</section>",
        gradio.update(
            visible=visible, **({"value": rows, "column_widths": widths} if visible else {})
        ),
    ]


def _table(comparison: Comparison) -> str:
    """Metrics of both models side by side."""
    sides = [comparison.first, comparison.second]
    rows = [("Model", *(side.model for side in sides))]
    if len(comparison.first.answers) == 1:
        rows.append(("Prediction", *(short_text(side.answers[0]) for side in sides)))
    if comparison.outcome and comparison.outcome.first.n:
        agreements = [comparison.outcome.first, comparison.outcome.second]
        accuracies = [agreement.accuracy for agreement in agreements]
        rows += [
            ("Accuracy", *(views.percent(share.value) for share in accuracies)),
            (
                "95% interval",
                *(f"{views.percent(s.low)} to {views.percent(s.high)}" for s in accuracies),
            ),
            ("F1", *(f"{agreement.f1:.3f}" for agreement in agreements)),
        ]
    rows.append(("Reviews per second on this server", *(f"{s.per_second:,.1f}" for s in sides)))
    return views.table(["A", "B"], rows)
