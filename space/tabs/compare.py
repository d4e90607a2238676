"""The tab for two models on the same texts: which is right more often, which is faster.

In: the Space's own classifier, which needs no second copy where it is one of the two. Out:
components on the page.
"""

import time
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

import gradio
import pandas

from space import views
from space.analysis.comparison import MAX_ROWS, Comparison, Step, compare, conclusions, short_text
from space.files import InvalidFile, tables
from space.inference.classifier import Classifier, ModelUnavailable
from space.inference.client import cancel_check, current_client
from space.inference.concurrency import Busy, Cancelled, ConcurrencyLimiter
from space.inference.model_cache import MAX_ONNX_BYTES, ModelCache
from space.tabs import events
from space.tabs.events import NONE, QUIET

INVITATION = (
    '<p class="empty">Name two models on the Hub, as user/name, and give them one review or a file '
    f"of up to {MAX_ROWS:,}. With labels in the file you see which is right more often, and "
    "whether that could be chance. Any public text classifier will do that has onnx/model.onnx of "
    f"up to {MAX_ONNX_BYTES / 1e6:,.0f} MB.</p>"
)
STYLE = "table, th, td { border-left: 0; border-right: 0; border-top: 0; }"
WIDTHS = [60, 170, 170, 90, 440]  # pixels of row, A, B, label, review
COMPARISONS = 3  # at once, of two models each
TURN_SECONDS = 10  # after which a comparison ends when others wait: it may be slow or never end
NO_TEXT = "Write a review, or bring a file of them."


def build(classifier: Classifier) -> None:
    """Lay the tab out, and say what happens in it."""
    table = gradio.State(time_to_live=3600)
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
            text = gradio.Textbox(label="One review for both", lines=4, max_lines=12)
            file = gradio.File(label="Or a file of reviews", height=120)
            received = gradio.HTML()
            with gradio.Row(visible=False) as area:
                columns = [
                    gradio.Dropdown(label="Column of the texts", choices=[]),
                    gradio.Dropdown(label="Column of the labels", choices=[]),
                ]
    with gradio.Row():
        start = gradio.Button("Compare", variant="primary")
        cancel = gradio.Button("Cancel the comparison", variant="stop", visible=False)
    outcome = gradio.HTML(INVITATION, css_template=STYLE)
    differing = gradio.Dataframe(
        label="Where they differ", interactive=False, visible=False, wrap=True, datatype="str",
        max_height=420, max_chars=300,
    )  # fmt: skip

    file.change(receive, file, [table, received, area, *columns], **QUIET)
    work = _runner(ModelCache(classifier))
    events.run(start, cancel, work, [*models, text, table, *columns], [outcome, differing], outcome)


def receive(path: str | None) -> list[Any]:
    """Read a file, and guess its columns."""
    closed = [gradio.update(visible=False), gradio.update(), gradio.update()]
    if path is None:
        return [None, "", *closed]
    try:
        found = tables.read(Path(path))
    except InvalidFile as reason:
        return [None, views.sentence(reason), *closed]
    names = list(map(str, found.frame.columns))
    size = f"{found.name}: {len(found.frame):,} rows."
    if len(found.frame) > MAX_ROWS:
        size += f" The first {MAX_ROWS:,} are compared, which is the most that this page takes."
    return [
        found,
        views.sentence(size, "remark"),
        gradio.update(visible=True),
        gradio.update(choices=names, value=found.columns.text or names[0]),
        gradio.update(choices=[NONE, *names], value=found.columns.label or NONE),
    ]


def _runner(shelf: ModelCache) -> Any:
    limiter = ConcurrencyLimiter(slots=COMPARISONS, max_waiting=8, slot_seconds=TURN_SECONDS)

    def run(
        first: str, first_revision: str, second: str, second_revision: str, text: str,
        found: tables.Table | None, text_column: str, label_column: str,
    ) -> Iterator[list[Any]]:  # fmt: skip
        """Compare step by step; tell how far it is, and end with what came of it."""
        hidden = gradio.update(visible=False)
        names = [(first, first_revision), (second, second_revision)]
        texts, given = _texts(text, found, text_column, label_column)
        if not texts:
            yield [views.sentence(NO_TEXT), hidden]
            return
        yield [views.sentence("Waiting for a place in the line …", "remark"), hidden]
        try:
            gone = cancel_check()
            with limiter.slot(gone, current_client()) as lost:
                began = time.monotonic()
                for step in compare(shelf, names, texts, given, lambda: lost() or gone()):
                    if isinstance(step, Comparison):
                        yield show(step)
                    else:
                        yield [progress(step, time.monotonic() - began), hidden]
        except (ModelUnavailable, Busy, Cancelled) as reason:
            yield [views.sentence(reason), hidden]

    return run


def _texts(
    text: str, found: tables.Table | None, text_column: str, label_column: str
) -> tuple[list[Any], pandas.Series | None]:
    """What to compare on: the file's rows where there is a file, else the one review."""
    if found is None:
        return [text] if text and text.strip() else [], None
    rows = found.frame.head(MAX_ROWS)
    if text_column not in rows.columns:
        return [], None
    labelled = label_column in rows.columns
    return tables.texts(rows, text_column), rows[label_column] if labelled else None


def progress(step: Step, seconds: float) -> str:
    """What is being done, how far it is, and how long the rest will take at this rate."""
    told = f"{step.doing} … {step.done:,} of {step.total:,} verdicts"
    return views.progress(told, step.done, step.total, seconds)


def show(found: Comparison) -> list[Any]:
    """Everything under the button."""
    said = "".join(f"<p>{escape(sentence)}</p>" for sentence in conclusions(found))
    empty = found.differing.empty or len(found.first.answers) == 1
    widths = WIDTHS if "label" in found.differing else [*WIDTHS[:3], WIDTHS[-1]]
    rows = {"visible": False} if empty else {"value": found.differing, "column_widths": widths}
    return [
        f'<section class="figures" role="status"><div>{_table(found)}{said}</div></section>',
        gradio.update(**{"visible": True, **rows}),
    ]


def _table(found: Comparison) -> str:
    """The figures of both, side by side."""
    sides = [found.first, found.second]
    rows = [("Model", [side.model for side in sides])]
    if len(found.first.answers) == 1:
        rows.append(("Prediction", [short_text(side.answers[0]) for side in sides]))
    if found.outcome and found.outcome.first.n:
        both = [found.outcome.first, found.outcome.second]
        rows.append(("Accuracy", [views.percent(side.accuracy.value) for side in both]))
        ends = [(views.percent(s.accuracy.low), views.percent(s.accuracy.high)) for s in both]
        rows.append(("95% interval", [f"{low} to {high}" for low, high in ends]))
        rows.append(("F1", [f"{side.f1:.3f}" for side in both]))
    rows.append(("Reviews a second, here and now", [f"{side.per_second:,.1f}" for side in sides]))
    body = "".join(
        f'<tr><th scope="row">{escape(head)}</th>'
        + "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        + "</tr>"
        for head, cells in rows
    )
    return f'<table><tr><td></td><th scope="col">A</th><th scope="col">B</th></tr>{body}</table>'
