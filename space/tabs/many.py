"""The tab for a file of reviews: scored, drawn over time and by title, and given back.

In: the model behind its queue, and the tab in which a review is opened. Out: components on the
page.
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
from space.files import InvalidFile, downloads, tables
from space.files.columns import Columns
from space.inference.classifier import InvalidText, ModelUnavailable, Prediction
from space.inference.client import cancel_check, current_client
from space.inference.concurrency import Busy, Cancelled, ConcurrencyLimiter
from space.inference.serving import FILE, Service
from space.tabs import events
from space.tabs.events import HIDDEN, NONE, QUIET
from space.tabs.review import Review

AT_ONCE = 64  # reviews between two reports of progress
FILES = 3  # scored at once: they share the model, and none waits for a long one to end
KINDS = ["text", "date", "title", "label"]
PERIODS = ["day", "week", "month"]
INVITATION = (
    '<p class="empty">Bring CSV, TSV, Parquet, JSON lines, or plain text with a review a line; up '
    f"to {tables.MAX_ROWS:,} reviews. With a date you see the audience over time, with a title a "
    "ranking, with labels how often the model agrees.</p>"
)
NUMBER = re.compile("[0-9]{1,6}")  # of a row
NO_FILE = "Bring a file of reviews and choose its columns first."


class Outcome:
    """What is under the button once a file is scored: laid out here, filled from a `Report`."""

    def __init__(self) -> None:
        with gradio.Column(visible=False) as self.area:
            self.summary = gradio.HTML()
            with gradio.Column(visible=False) as self.time:
                self.period = gradio.Radio(PERIODS, value="week", label="Audience over time, by")
                self.audience = gradio.Plot(label="Audience over time")
            self.titles = gradio.Plot(label="By title", visible=False)
            self.agreement = gradio.HTML()
            self.confusion = gradio.Plot(label="Labels and verdicts", visible=False)
            self.wrong = _frame("Most confident disagreements", max_height=320)
            self.listing = _frame(
                "All reviews: choose a row to open it", visible=True, search="filter"
            )
            self.refused = _frame("Not scored", max_height=320)
            with gradio.Row():
                self.scored = gradio.DownloadButton("Download the scored file")
                self.workbook = gradio.DownloadButton("Download it for Excel")
                self.drawn = gradio.DownloadButton("Download the charts")

    def components(self) -> list[Any]:
        """All that `fill` may change."""
        return [part for part in vars(self).values() if part is not self.period]

    def fill(self, report: Report | None, name: str, period: Period) -> dict[Any, Any]:
        """Updates of the components; without a report nothing is shown."""
        if report is None:
            return {self.area: gradio.update(visible=False)}
        drawn = report.charts(period)
        scored, workbook, zipped = _files(report, drawn, Path(name).stem)
        return {
            self.area: gradio.update(visible=True),
            self.summary: report.summary(),
            self.time: gradio.update(visible="over_time" in drawn),
            self.audience: drawn.get("over_time"),
            self.titles: _shown(drawn.get("by_title")),
            self.agreement: report.agreement_card(),
            self.confusion: _shown(drawn.get("confusion")),
            self.wrong: _shown(report.disagreements()),
            self.listing: report.listing(),
            self.refused: _shown(report.errors()),
            self.scored: str(scored),
            self.workbook: str(workbook),
            self.drawn: gradio.update(value=str(zipped), visible=bool(drawn)),
        }


def build(service: Service, tabs: Any, review: Review) -> None:
    """Lay the tab out, and say what happens in it."""
    table = gradio.State(time_to_live=3600)
    report = gradio.State(time_to_live=3600)
    file = gradio.File(label="File of reviews", height=140)
    told = gradio.HTML(INVITATION)
    with gradio.Column(visible=False) as area:
        with gradio.Row():
            columns = [gradio.Dropdown(label=f"Column: {kind}", choices=[]) for kind in KINDS]
        preview = _frame("First rows", visible=True, max_height=220)
        with gradio.Row():
            start = gradio.Button("Score", variant="primary")
            cancel = gradio.Button("Cancel", variant="stop", visible=False)
    progress = gradio.HTML()
    outcome = Outcome()
    score = _scorer(service)

    received = file.change(
        receive, file, [table, told, area, *columns, preview, report, progress], **QUIET
    )
    received.then(lambda: outcome.fill(None, "", "week"), None, outcome.components(), **HIDDEN)
    events.run(start, cancel, score, [table, *columns], [report, progress], progress)
    report.change(
        lambda found, file, period: outcome.fill(found, file.name if file else "", period),
        [report, table, outcome.period], outcome.components(), **QUIET,
    )  # fmt: skip
    outcome.period.change(
        lambda found, period: found.over_time(period) if found else None,
        [report, outcome.period], outcome.audience, **QUIET,
    )  # fmt: skip
    for listing in (outcome.listing, outcome.wrong, outcome.refused):
        review.judge_after(listing.select(_opened, report, [tabs, review.text], **HIDDEN))


def receive(path: str | None) -> list[Any]:
    """Read the file, guess its columns, show its first rows."""
    none = [gradio.update()] * len(KINDS)
    closed = gradio.update(visible=False)
    if path is None:
        return [None, INVITATION, closed, *none, None, None, ""]
    try:
        found = tables.read(Path(path))
    except InvalidFile as reason:
        return [None, views.sentence(reason), closed, *none, None, None, ""]
    names = list(map(str, found.frame.columns))
    choices = [
        gradio.update(choices=names, value=found.columns.text or names[0]),
        *(
            gradio.update(choices=[NONE, *names], value=getattr(found.columns, kind) or NONE)
            for kind in KINDS[1:]
        ),
    ]
    size = f"{found.name}: {len(found.frame):,} rows, {len(names)} columns."
    first = found.frame.head(5).astype(str)
    told = views.sentence(size, "remark")
    return [found, told, gradio.update(visible=True), *choices, first, None, ""]


def _scorer(service: Service) -> Any:
    limiter = ConcurrencyLimiter(slots=FILES, max_waiting=8)

    def score(found: tables.Table | None, *chosen: str) -> Iterator[list[Any]]:
        """Judge some rows at a time; tell how far it is, and end with the report."""
        if found is None or not set(chosen) <= {NONE, *found.frame.columns}:
            yield [None, views.sentence(NO_FILE)]
            return
        text, *others = chosen
        columns = Columns(text, *(None if column == NONE else column for column in others))
        texts = tables.texts(found.frame, text)
        answers: list[Prediction | InvalidText] = []
        yield [None, views.sentence("Waiting for a place in the line …", "remark")]
        try:
            with limiter.slot(cancel_check(), current_client()):
                began, request = time.monotonic(), service.request(FILE)
                for at in range(0, len(texts), AT_ONCE):
                    answers += request.predict_batch(texts[at : at + AT_ONCE])
                    seconds = time.monotonic() - began
                    told = f"{len(answers):,} of {len(texts):,} reviews"
                    yield [None, views.progress(told, len(answers), len(texts), seconds)]
                labels = service.classifier.load().labels
        except (ModelUnavailable, Busy, Cancelled) as reason:
            yield [None, views.sentence(reason)]
            return
        yield [Report(found.frame, answers, labels, columns), ""]

    return score


def _opened(report: Report | None, chosen: gradio.EventData) -> list[Any]:
    """The review of the chosen row, by the row's number, whatever the order on the page is."""
    data = chosen._data  # what the page sends of a `gradio.SelectData`; programs send anything
    cells = data.get("row_value") if isinstance(data, dict) else None
    number = str(cells[0]) if isinstance(cells, list) and cells else ""
    rows = len(report.frame) if report else 0
    if report is None or not NUMBER.fullmatch(number) or not 0 < int(number) <= rows:
        raise gradio.Error(f"Choose one of the {rows:,} rows.", print_exception=False)
    text = report.frame[report.columns.text].iloc[int(number) - 1]
    return [gradio.Tabs(selected="review"), text if isinstance(text, str) else ""]


def _files(report: Report, drawn: dict[str, Any], name: str) -> list[Path]:
    """The scored rows and the charts, as files to download."""
    folder = Path(tempfile.mkdtemp(prefix="scored-"))
    scored, workbook, zipped = (
        folder / f"{name}-{rest}" for rest in ("scored.csv", "scored.xlsx", "charts.zip")
    )
    downloads.write_csv(report.scored, scored)
    downloads.write_workbook(report.scored, workbook)
    if drawn:
        charts.save(drawn, zipped)
    return [scored, workbook, zipped]


def _frame(label: str, visible: bool = False, max_height: int = 420, search: str = "none") -> Any:
    return gradio.Dataframe(
        label=label, interactive=False, visible=visible, max_chars=160, max_height=max_height,
        show_search=search, elem_classes="rows",
    )  # fmt: skip


def _shown(value: Any) -> Any:
    """A component with its value; hidden where there is none, or no row in it."""
    empty = value is None or (isinstance(value, pandas.DataFrame) and value.empty)
    return gradio.update(value=value, visible=not empty)
