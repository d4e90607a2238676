"""The Batch tab: a file of reviews, scored, charted over time and by title, and downloadable.

In: the model service, and the tab in which a single review opens. Out: components.
"""

import re
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio
import pandas

from space import views
from space.analysis import charts
from space.analysis.report import Report
from space.analysis.statistics import Period
from space.files import downloads, tables
from space.files.columns import Columns
from space.inference.classifier import InvalidText, ModelUnavailable, Prediction
from space.inference.client import cancel_check, current_client
from space.inference.concurrency import Busy, Cancelled, ConcurrencyLimiter
from space.inference.serving import FILE, Service
from space.tabs import events
from space.tabs.events import HIDDEN, QUIET
from space.tabs.review import Review
from space.tabs.upload import NO_COLUMN, column_menu, read_upload

REVIEWS_PER_STEP = 64  # between two updates of the progress bar
MAX_FILES = 3  # scored at the same time; they share the model
MAX_WAITING = 8
PREVIEW_ROWS = 5
COLUMN_KINDS = ["text", "date", "title", "label"]  # in the order of `Columns`
PERIODS = ["day", "week", "month"]
EMPTY = (
    '<p class="empty">Upload CSV, TSV, Parquet, JSON lines, or plain text with one review per '
    f"line; up to {tables.MAX_ROWS:,} reviews. A date column adds a chart over time, a title "
    "column a ranking, and a label column the model's accuracy.</p>"
)
ROW_NUMBER = re.compile("[0-9]{1,6}")
NO_FILE = "Upload a file of reviews and choose its columns first."


class Results:
    """The area below the Score button; `update` fills it from a `Report`."""

    def __init__(self) -> None:
        with gradio.Column(visible=False) as self.area:
            self.summary = gradio.HTML()
            with gradio.Column(visible=False) as self.time_area:
                self.period = gradio.Radio(PERIODS, value="week", label="Group by")
                self.time_chart = gradio.Plot(label="Reviews over time")
            self.title_chart = gradio.Plot(label="By title", visible=False)
            self.agreement = gradio.HTML()
            self.confusion = gradio.Plot(label="Confusion matrix", visible=False)
            self.disagreements = _rows_table("Most confident disagreements", max_height=320)
            self.listing = _rows_table(
                "All reviews (select a row to open it)", visible=True, search="filter"
            )
            self.not_scored = _rows_table("Not scored", max_height=320)
            with gradio.Row():
                self.csv = gradio.DownloadButton("Download scored file")
                self.workbook = gradio.DownloadButton("Download for Excel")
                self.chart_files = gradio.DownloadButton("Download charts")

    def components(self) -> list[Any]:
        """All components that `update` changes."""
        return [component for component in vars(self).values() if component is not self.period]

    def update(self, report: Report | None, name: str, period: Period) -> dict[Any, Any]:
        """Updates of the components; hides all of them without a report.

        Args:
            report: Of the scored file.
            name: Of the uploaded file.
            period: Period of the chart over time.
        """
        if report is None:
            return {self.area: gradio.update(visible=False)}
        drawn = report.charts(period)
        csv, workbook, chart_files = _write_downloads(report, drawn, Path(name).stem)
        return {
            self.area: gradio.update(visible=True),
            self.summary: report.summary(),
            self.time_area: gradio.update(visible="over_time" in drawn),
            self.time_chart: drawn.get("over_time"),
            self.title_chart: _if_any(drawn.get("by_title")),
            self.agreement: report.agreement_card(),
            self.confusion: _if_any(drawn.get("confusion")),
            self.disagreements: _if_any(report.disagreements()),
            self.listing: report.listing(),
            self.not_scored: _if_any(report.errors()),
            self.csv: str(csv),
            self.workbook: str(workbook),
            self.chart_files: gradio.update(value=str(chart_files), visible=bool(drawn)),
        }


def build(service: Service, review: Review) -> None:
    """Lay out the tab and connect its events."""
    upload = gradio.State(time_to_live=3600)
    report = gradio.State(time_to_live=3600)
    file = gradio.File(label="File of reviews", height=140)
    status = gradio.HTML(EMPTY)
    with gradio.Column(visible=False) as options:
        with gradio.Row():
            columns = [
                gradio.Dropdown(label=f"{kind.capitalize()} column", choices=[])
                for kind in COLUMN_KINDS
            ]
        preview = _rows_table("First rows", visible=True, max_height=220)
        with gradio.Row():
            start = gradio.Button("Score", variant="primary")
            cancel = gradio.Button("Cancel", variant="stop", visible=False)
    progress = gradio.HTML()
    results = Results()

    received = file.change(
        receive, file, [upload, status, options, *columns, preview, report, progress], **QUIET
    )
    received.then(lambda: results.update(None, "", "week"), None, results.components(), **HIDDEN)
    task = _scoring_task(service)
    events.run_cancellable(start, cancel, task, [upload, *columns], [report, progress], progress)

    def show_results(
        report: Report | None, table: tables.Table | None, period: Period
    ) -> dict[Any, Any]:
        return results.update(report, table.name if table else "", period)

    report.change(show_results, [report, upload, results.period], results.components(), **QUIET)
    results.period.change(
        lambda report, period: report.over_time(period) if report else None,
        [report, results.period], results.time_chart, **QUIET,
    )  # fmt: skip
    for rows in (results.listing, results.disagreements, results.not_scored):
        review.open_rows(rows, read_row, report)


def receive(path: str | None) -> list[Any]:
    """Read an uploaded file, preselect its columns and show its first rows."""
    hidden = [gradio.update(visible=False), *[gradio.update()] * len(COLUMN_KINDS), None, None, ""]
    table, message = read_upload(path)
    if table is None:
        return [None, message or EMPTY, *hidden]
    menus = [column_menu(table, kind) for kind in COLUMN_KINDS]
    preview = table.frame.head(PREVIEW_ROWS).astype(str)
    return [table, message, gradio.update(visible=True), *menus, preview, None, ""]


def _scoring_task(service: Service) -> Any:
    limiter = ConcurrencyLimiter(slots=MAX_FILES, max_waiting=MAX_WAITING)

    def score(table: tables.Table | None, *columns: str) -> Iterator[list[Any]]:
        """Progress of the scoring, then the report."""
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
                for start in range(0, len(texts), REVIEWS_PER_STEP):
                    answers += request.predict_batch(texts[start : start + REVIEWS_PER_STEP])
                    seconds = time.monotonic() - started
                    message = f"{len(answers):,} of {len(texts):,} reviews"
                    yield [None, views.progress(message, len(answers), len(texts), seconds)]
                labels = service.classifier.load().labels
        except (ModelUnavailable, Busy, Cancelled) as reason:
            yield [None, views.message(reason)]
            return
        yield [Report(table.frame, answers, labels, roles), ""]

    return score


def read_row(report: Report | None, event: gradio.EventData) -> str:
    """The review of the selected row.

    The row is identified by its number in the file, because the table can be sorted and filtered.
    """
    data = event._data  # of a `gradio.SelectData` from the page, anything from a program
    cells = data.get("row_value") if isinstance(data, dict) else None
    number = str(cells[0]) if isinstance(cells, list) and cells else ""
    rows = len(report.frame) if report else 0
    if report is None or not ROW_NUMBER.fullmatch(number) or not 0 < int(number) <= rows:
        raise gradio.Error(f"Select one of the {rows:,} rows.", print_exception=False)
    text = report.frame[report.columns.text].iloc[int(number) - 1]
    return text if isinstance(text, str) else ""


def _write_downloads(report: Report, drawn: dict[str, Any], name: str) -> list[Path]:
    """The scored rows as CSV and as a workbook, and a zip of the charts."""
    folder = Path(tempfile.mkdtemp(prefix="scored-"))
    csv, workbook, chart_files = (
        folder / f"{name}-{suffix}" for suffix in ("scored.csv", "scored.xlsx", "charts.zip")
    )
    downloads.write_csv(report.scored, csv)
    downloads.write_workbook(report.scored, workbook)
    if drawn:
        charts.save(drawn, chart_files)
    return [csv, workbook, chart_files]


def _rows_table(
    label: str, visible: bool = False, max_height: int = 420, search: str = "none"
) -> Any:
    return gradio.Dataframe(
        label=label, interactive=False, visible=visible, max_chars=160, max_height=max_height,
        show_search=search, elem_classes="rows",
    )  # fmt: skip


def _if_any(value: Any) -> Any:
    """An update with the value; hides the component if there is none or it has no rows."""
    empty = value is None or (isinstance(value, pandas.DataFrame) and value.empty)
    return gradio.update(value=value, visible=not empty)
