"""The File tab: a file of reviews, scored, and what it shows.

In: the model service, and the tab in which a single review opens. Out: components.
"""

import logging
import re
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from typing import Any

import gradio
import pandas

from space import views
from space.analysis import aspects as file_aspects
from space.analysis.report import Report
from space.analysis.scale_report import report_class
from space.files import tables
from space.files.columns import Columns
from space.inference import aspects
from space.inference.classifier import InvalidText, ModelUnavailable, Prediction
from space.inference.client import cancel_check, current_client
from space.inference.concurrency import Busy, Cancelled, ConcurrencyLimiter
from space.inference.serving import FILE, Service
from space.inference.texts import name_empty_cells
from space.tabs import events
from space.tabs.events import HIDDEN, IDLE, QUIET
from space.tabs.results import Results, kept
from space.tabs.review import NO_ASPECTS, Review
from space.tabs.row_tables import rows_table, show_rows
from space.tabs.session_files import ResultFolders
from space.tabs.upload import NO_COLUMN, SAMPLE_FILE, column_menu, read_upload, upload_area

REVIEWS_PER_STEP = 64  # between two updates of the progress bar
MAX_FILES = 3  # scored at the same time; they share the model
MAX_WAITING = 8
PREVIEW_ROWS = 5
COLUMN_KINDS = ["text", "date", "title", "label", "rating"]  # in the order of `Columns`
EMPTY = (
    '<p class="empty">Upload CSV, TSV, JSON, JSONL, Parquet, Excel, ZIP (also the export of a '
    "Letterboxd account) or plain text with one review per line; up to "
    f"{tables.MAX_ROWS:,} reviews at a time. Dates, titles, labels and ratings are used if the "
    "file has them: for charts, for the model's accuracy, and to find reviews whose words and "
    "stars disagree.</p>"
)
FIRST, SAMPLE = (f"{kind} {tables.MAX_ROWS:,} rows" for kind in ("The first", "A random sample of"))
PREPARING = views.message("All reviews are analyzed. Preparing the results…", "remark")
ROW_NUMBER = re.compile("[0-9]{1,9}")
NO_FILE = "Upload a file of reviews and choose its columns first."
SCROLL = "() => document.querySelector('#results')?.scrollIntoView({behavior: 'smooth'})"

log = logging.getLogger(__name__)


def build(page: Any, service: Service, review: Review) -> None:
    """Lay out the tab and connect its events."""
    upload = gradio.State([], time_to_live=3600)  # tables of `read_upload`
    report = gradio.State(time_to_live=3600)
    file = upload_area("File of reviews", height=140, downloads=True)
    sample = gradio.Button("Try a sample file", size="sm", elem_classes="inline")
    status = gradio.HTML(EMPTY)
    with gradio.Column(visible=False) as options:
        part = gradio.Radio([FIRST, SAMPLE], value=FIRST, label="Reviews to analyze", visible=False)
        with gradio.Accordion("Columns and first rows", open=True) as details:
            with gradio.Row():
                columns = [
                    gradio.Dropdown(label=f"{kind.capitalize()} column", choices=[], min_width=130)
                    for kind in COLUMN_KINDS
                ]
            preview = rows_table("First rows", max_chars=160, max_height=220)
        with gradio.Row():
            start = gradio.Button("Analyze", variant="primary", elem_id="analyze-file")
            cancel = gradio.Button("Cancel", variant="stop", visible=False)
    progress = gradio.HTML()
    results = Results(report, folders := ResultFolders())

    outputs = [upload, status, options, part, details, *columns, preview, report, progress]
    sample.click(lambda: str(SAMPLE_FILE), None, file, **HIDDEN)
    task = _scoring_task(service)
    inputs = [upload, part, *columns]
    scoring = events.run_cancellable(start, cancel, task, inputs, [report, progress], progress)
    # Another file ends the task, whose results would appear under its name.
    changed = file.change(lambda: IDLE, None, [start, cancel], cancels=[scoring], **HIDDEN)
    received = changed.then(receive, file, outputs, **QUIET)
    received.then(results.hide, None, results.components(), **HIDDEN)
    events.dim_while_changed("#results", [choice.input for choice in (part, *columns)], start)
    shown = report.change(results.show, report, results.components(), **HIDDEN)
    finished = shown.then(_finish, report, [progress, details], **HIDDEN)
    finished.then(None, js=SCROLL, **HIDDEN)
    results.fill_words_after(finished)
    for rows in results.tables():
        review.open_rows(rows, read_row, report)

    def delete_files(request: gradio.Request) -> None:
        folders.delete(request.session_hash)

    page.unload(delete_files)


def receive(path: str | None) -> list[Any]:
    """Read an uploaded file, preselect its columns and show its first rows."""
    read, message = read_upload(path)
    if not read:
        unchanged = [gradio.update()] * (2 + len(COLUMN_KINDS))
        hidden = gradio.update(visible=False)
        return [[], message or EMPTY, hidden, *unchanged, None, None, ""]
    menus = [column_menu(read[0], kind) for kind in COLUMN_KINDS]
    preview = show_rows(_as_texts(read[0].frame.head(PREVIEW_ROWS)))
    part = gradio.update(value=FIRST, visible=len(read) > 1)
    is_open = gradio.update(open=True)
    return [read, message, gradio.update(visible=True), part, is_open, *menus, preview, None, ""]


def _as_texts(frame: pandas.DataFrame) -> pandas.DataFrame:
    """The cells as text; missing ones are empty."""
    return frame.map(lambda cell: "" if pandas.isna(cell) else str(cell))


def _finish(report: Report | None) -> list[Any]:
    """Remove the progress message and collapse the columns, once results are shown."""
    return ["", gradio.update(open=False)] if report else [gradio.update()] * 2


def _scoring_task(service: Service) -> Any:
    limiter = ConcurrencyLimiter(slots=MAX_FILES, max_waiting=MAX_WAITING)

    def score(upload: Sequence[tables.Table], part: str, *columns: str) -> Iterator[list[Any]]:
        """Progress of the scoring, then the report."""
        table = upload[-1 if part == SAMPLE else 0] if upload else None
        if table is None or not set(columns) <= {NO_COLUMN, *table.frame.columns}:
            yield [None, views.message(NO_FILE)]
            return
        text, *others = columns
        roles = Columns(text, *(None if column == NO_COLUMN else column for column in others))
        texts = tables.texts(table.frame, text)
        answers: list[Prediction | InvalidText] = []
        yield [None, events.WAITING]
        try:
            with limiter.slot(cancel_check(), current_client()):
                started, request = time.monotonic(), service.request(FILE)
                model = request.model
                for start in range(0, len(texts), REVIEWS_PER_STEP):
                    rows = texts[start : start + REVIEWS_PER_STEP]
                    answers += name_empty_cells(rows, request.predict_batch(rows))
                    seconds = time.monotonic() - started
                    message = f"{len(answers):,} of {len(texts):,} reviews"
                    yield [None, views.progress(message, len(answers), len(texts), seconds)]
                mentions, problem = yield from _find_aspects(service, texts)
        except (ModelUnavailable, Busy, Cancelled) as reason:
            yield [None, views.message(reason)]
            return
        yield [None, PREPARING]
        report = report_class(model.labels)(
            table.frame, answers, model.labels, roles, table.name, model.unsure_below,
            mentions, problem,
        )  # fmt: skip
        yield [report, PREPARING]

    return score


def _find_aspects(
    service: Service, texts: Sequence[str | None]
) -> Generator[list[Any], None, tuple[file_aspects.Answers, str]]:
    """Yields progress; returns the answers by aspect, and why there are none."""
    if service.aspects is None:
        return {}, ""
    classifier = service.aspects.classifier
    try:
        names = aspects.names(classifier.load(), classifier.repo_id)
    except ModelUnavailable as error:  # for the app's owner
        log.warning("No aspects: %s", error)
        return {}, NO_ASPECTS
    request = service.aspects.request(replace(FILE, tokens=FILE.tokens * len(names)))
    answers: dict[str, list[Prediction | InvalidText]] = {name: [] for name in names}
    started = time.monotonic()
    for start in range(0, len(texts), REVIEWS_PER_STEP):
        rows = texts[start : start + REVIEWS_PER_STEP]
        step = request.predict_batch([(text, name) for text in rows for name in names])
        for i, name in enumerate(names):
            answers[name] += step[i :: len(names)]
        done, seconds = start + len(rows), time.monotonic() - started
        message = f"Aspects of {done:,} of {len(texts):,} reviews"
        yield [None, views.progress(message, done, len(texts), seconds)]
    return answers, ""


def read_row(report: Report | None, event: gradio.EventData) -> str:
    """The review of the selected row.

    The row is identified by its number in the file, which is in the last column, because the table
    can be sorted and filtered.

    Raises:
        gradio.Error: There is no such row, it has no review to open, or the results are gone.
    """
    report = kept(report)
    data = event._data  # of a `gradio.SelectData` from the page, anything from a program
    cells = data.get("row_value") if isinstance(data, dict) else None
    number = str(cells[-1]) if isinstance(cells, list) and cells else ""
    row = int(number) - 1 if ROW_NUMBER.fullmatch(number) else -1
    if row not in report.frame.index:
        rows = len(report.frame)
        raise gradio.Error(f"Select one of the {rows:,} rows.", print_exception=False)
    position = report.frame.index.get_loc(row)
    text = str(report.texts[position])
    if not text.strip():
        raise gradio.Error(str(report.answers[position]), print_exception=False)
    return text
