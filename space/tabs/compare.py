"""The Compare tab: two models on the same texts, by accuracy and speed.

In: the Space's own classifier, which is reused if it is one of the two models. Out: components.
"""

import math
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from html import escape
from typing import Any
from urllib.parse import unquote

import gradio
import pandas

from space import views
from space.analysis.comparison import (
    BATCH_TEXTS,
    MAX_ROWS,
    Comparison,
    ModelAnswers,
    Step,
    compare,
    compare_answers,
    conclusions,
    possible_meanings,
    rename_labels,
    short_answer,
)
from space.files import tables
from space.inference.classifier import Classifier, ModelUnavailable
from space.inference.client import cancel_check, current_client
from space.inference.concurrency import Busy, Cancelled, ConcurrencyLimiter
from space.inference.download import ONNX_FILES
from space.inference.model_cache import MAX_ONNX_BYTES, ModelCache, ModelName
from space.suggestions import Suggestion, Suggestions
from space.tabs import events
from space.tabs.events import HIDDEN, QUIET
from space.tabs.review import MAX_SUBJECT
from space.tabs.row_tables import rows_table, show_rows
from space.tabs.upload import SAMPLE_FILE, column_menu, read_upload, upload_area

EMPTY = (
    '<p class="empty">Enter two models on the Hub, as user/name or by their address, and one '
    f"review or a file of reviews; of a file, the first {MAX_ROWS:,} are compared. If the file has "
    "labels, the result shows which model is more accurate and whether the difference is "
    "significant. Any public text classifier with an onnx/model.onnx of up to "
    f"{MAX_ONNX_BYTES / 1e6:,.0f} MB works.</p>"
)
STYLE = "table, th, td { border-left: 0; border-right: 0; border-top: 0; }"
# An address of a model, as people copy it: with a revision or a file of it.
ADDRESS = re.compile(
    r"(?:https?://)?[\w.-]+(?::\d+)?/(?:models/)?(?P<repo>[\w.-]+/[\w.-]+?)/?"
    r"(?:/(?:tree|blob|resolve|raw|commits?|blame|edit)/(?P<revision>[^/?#]+)(?:/(?P<file>[^?#]*))?)?"
    r"(?:/discussions.*)?"
    r"(?:[?#].*)?"
)
OTHER_REPOSITORY = re.compile(r"(?:https?://)?[^/]+/(datasets|spaces|collections|papers)/")
MAX_COMPARISONS = 3  # at the same time
MAX_WAITING = 8
SLOT_SECONDS = 10  # a comparison ends after this time if others wait
NO_TEXT = "Enter a review or upload a file of reviews."
AS_THEY_ARE = "Keep the names"
GONE = "This comparison is no longer kept. Compare again."
SPEED = f"Reviews per second (measured on this server, in batches of {BATCH_TEXTS})"


@dataclass(frozen=True, eq=False)
class Compared:
    """A comparison and what it compared, from which it can be repeated with other label names."""

    comparison: Comparison
    subject: str  # the beginning of the review, or the name of the file
    texts: Sequence[Any]
    file_labels: pandas.Series | None


def build(classifier: Classifier, tab: Any) -> None:
    """Lay out the tab, connect its events, and offer ready comparisons when it is selected."""
    upload = gradio.State(time_to_live=3600)
    with gradio.Row(visible=False, elem_classes="suggestions") as ready:
        buttons = [gradio.Button(size="sm", elem_classes="inline") for _ in range(2)]
    with gradio.Row(equal_height=False):
        with gradio.Column():
            models = [
                *_name_fields("A", classifier.repo_id, classifier.revision), *_name_fields("B")
            ]  # fmt: skip
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
    with gradio.Row(visible=False) as meanings_area:
        meanings = [gradio.Dropdown(label=f"Labels of {side}", visible=False) for side in "AB"]
    with gradio.Column(elem_id="comparison"):
        result = gradio.HTML(EMPTY, css_template=STYLE)
        differences = rows_table(
            "Reviews with different predictions",
            visible=False, wrap=True, max_height=420, max_chars=300,
        )  # fmt: skip
    compared = gradio.State(time_to_live=3600)

    suggestions = Suggestions(classifier)
    tab.select(lambda: _offer(suggestions.get()), None, [ready, *buttons], **HIDDEN)
    for number, button in enumerate(buttons):
        fill_in = partial(_fill_in, suggestions, number)
        button.click(fill_in, None, [*models, text, file], **HIDDEN)
    file.change(receive, file, [upload, status, menus, *columns], **QUIET)
    inputs, outputs = [*models, text, upload, *columns], [result, differences, compared]
    changes = [part.change for part in (*models, text, file, *columns)]
    events.dim_while_changed("#comparison", changes, start)
    task = _comparison_task(ModelCache(classifier))
    events.run_cancellable(start, cancel, task, inputs, outputs, result)
    compared.change(offer_meanings, compared, [meanings_area, *meanings], **QUIET)
    for menu in meanings:
        menu.input(
            show_with_meanings, [compared, *meanings], [result, differences],
            **{**QUIET, "trigger_mode": "always_last"},
        )  # fmt: skip


def _name_fields(side: str, name: str | None = None, revision: str | None = None) -> list[Any]:
    """The fields for the name of a model and its revision."""
    return [
        gradio.Textbox(name, label=f"Model {side}", placeholder="user/name or its address"),
        gradio.Textbox(revision, label=f"Revision of {side}", placeholder="main"),
    ]


def _offer(suggestions: Sequence[Suggestion]) -> list[Any]:
    """Updates of the row of ready comparisons and its buttons."""
    captions = [suggestion.caption for suggestion in suggestions] or ["", ""]
    return [gradio.update(visible=bool(suggestions)), *captions]


def _fill_in(suggestions: Suggestions, number: int) -> list[Any]:
    """The models with their revisions, the review and the file of a ready comparison."""
    suggestion = suggestions.get()[number]
    first, second = suggestion.models
    file = None if suggestion.review else str(SAMPLE_FILE)
    return [first, "", second, "", suggestion.review, file]


def receive(path: str | None) -> list[Any]:
    """Read an uploaded file and preselect its columns."""
    hidden = [gradio.update(visible=False), gradio.update(), gradio.update()]
    read, message = read_upload(path, MAX_ROWS, f"Only the first {MAX_ROWS:,} are compared.")
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
        try:
            models = [
                parse_model(first, first_revision), parse_model(second, second_revision)
            ]  # fmt: skip
        except ModelUnavailable as reason:
            yield [views.message(reason), hidden, None]
            return
        texts, labels = _texts_and_labels(text, table, text_column, label_column)
        subject = f"File: {table.name}" if table else f"Review: {views.shorten(text, MAX_SUBJECT)}"
        if not texts:
            yield [views.message(NO_TEXT), hidden, None]
            return
        yield [events.WAITING, hidden, None]
        try:
            disconnected = cancel_check()
            with limiter.slot(disconnected, current_client()) as lost_slot:
                started = time.monotonic()
                for step in compare(
                    cache, models, texts, labels, lambda: lost_slot() or disconnected()
                ):
                    if isinstance(step, Comparison):
                        yield [*show(step, subject), Compared(step, subject, texts, labels)]
                    else:
                        yield [progress(step, time.monotonic() - started), hidden, None]
        except (ModelUnavailable, Busy, Cancelled) as reason:
            yield [views.message(reason), hidden, None]

    return run


def parse_model(name: str, revision: str) -> ModelName:
    """A model from its name or its address on the Hub, or from the address of its ONNX file.

    Raises:
        ModelUnavailable: It is the address of something else, or empty.
    """
    name, revision = (name or "").strip(), (revision or "").strip()
    if not name:
        raise ModelUnavailable("Enter both models, as user/name or by their address on the Hub.")
    if other := OTHER_REPOSITORY.match(name):
        raise ModelUnavailable(
            f"{name} is in the Hub's {other[1]}, not a model. Enter a model, as user/name."
        )
    if name.count("/") > 1 and (address := ADDRESS.fullmatch(name)):
        file, address_revision = (unquote(address[part] or "") for part in ("file", "revision"))
        if file.endswith(".onnx") and file not in ONNX_FILES:
            raise ModelUnavailable(f"The file must be {' or '.join(ONNX_FILES)}, got {file}.")
        onnx_file = file if file in ONNX_FILES else None
        return ModelName(address["repo"], revision or address_revision or None, onnx_file)
    return ModelName(name, revision or None)


def offer_meanings(compared: Compared | None) -> list[Any]:
    """Updates of the menus of what labels without names mean."""
    if compared is None:
        return [gradio.update(visible=False)] * 3
    sides = compared.comparison.first, compared.comparison.second
    updates = [
        _meaning_menu(sides[0], possible_meanings(*sides)),
        _meaning_menu(sides[1], possible_meanings(*sides[::-1])),
    ]
    return [gradio.update(visible=any(update["visible"] for update in updates)), *updates]


def _meaning_menu(model: ModelAnswers, meanings: list[list[str]]) -> Any:
    choices = [AS_THEY_ARE, *map(", ".join, meanings)]
    label = f"What {', '.join(model.labels)} of {model.model} mean"
    return gradio.update(choices=choices, value=AS_THEY_ARE, label=label, visible=bool(meanings))


def show_with_meanings(compared: Compared | None, *meanings: str) -> list[Any]:
    """The result with the labels renamed as chosen.

    Raises:
        gradio.Error: The comparison, which is deleted after an hour, is no longer kept.
    """
    if compared is None:
        raise gradio.Error(GONE, print_exception=False)
    old = compared.comparison
    first, second = (
        model if choice in (AS_THEY_ARE, None) else rename_labels(model, choice.split(", "))
        for model, choice in zip((old.first, old.second), meanings, strict=True)
    )
    count = len(first.answers)
    labels = None if compared.file_labels is None else compared.file_labels.iloc[:count]
    new = compare_answers(first, second, compared.texts[:count], labels)
    return show(replace(new, stopped=old.stopped), compared.subject)


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
    message = f"{step.doing}… {step.done:,} of {step.total:,} predictions"
    return views.progress(message, step.done, step.total, seconds)


def show(comparison: Comparison, subject: str) -> list[Any]:
    """The result under its subject, and an update of the table of differences."""
    sentences = "".join(f"<p>{escape(sentence)}</p>" for sentence in conclusions(comparison))
    several = len(comparison.first.answers) > 1
    return [
        f'<section class="figures" role="status"><div><p class="subject">{escape(subject)}</p>'
        f"{_table(comparison)}{sentences}</div></section>",
        show_rows(comparison.differing if several else None),
    ]


def _table(comparison: Comparison) -> str:
    """Metrics of both models side by side."""
    sides = [comparison.first, comparison.second]
    rows = [("Model", *(side.model for side in sides))]
    if len(comparison.first.answers) == 1:
        rows.append(("Prediction", *(short_answer(side.answers[0], side) for side in sides)))
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
    if all(math.isfinite(side.per_second) for side in sides):
        rows.append((SPEED, *(f"{side.per_second:,.1f}" for side in sides)))
    return views.table(["A", "B"], rows)
