"""The results of a scored file on the page: figures, charts, tables, words, and downloads.

In: a `Report`. Out: updates of components; files in a folder of the session.
"""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import gradio

from space import views
from space.analysis import charts
from space.analysis.report import Report
from space.analysis.statistics import PERIODS, Period
from space.files import downloads
from space.tabs.events import HIDDEN, LATEST
from space.tabs.row_tables import rows_table, show_rows
from space.tabs.session_files import ResultFolders

MAX_TITLES = 5  # lines beside the one of all reviews
FINDING_WORDS = views.message("Finding characteristic words…", "remark")
WRITING = views.message("Preparing the file…", "remark")
GONE = "These results are no longer kept. Analyze the file again."
# Without a message, the file is ready.
CLICK_LINK = "(problem) => { if (!problem) document.querySelector('#prepared-file')?.click(); }"
FILES = {"csv": "Download as CSV", "workbook": "Download for Excel", "charts": "Download charts"}


class Results:
    """The area below the Analyze button.

    Args:
        report: State of the page with the report.
        folders: For the files to download.
    """

    def __init__(self, report: Any, folders: ResultFolders) -> None:
        self._report, self._folders = report, folders
        with gradio.Column(visible=False, elem_id="results") as self.area:
            self.summary = gradio.HTML()
            with gradio.Row():
                buttons = {kind: gradio.Button(label, size="sm") for kind, label in FILES.items()}
            self.charts_button = buttons["charts"]
            self.writing = gradio.HTML()
            self._lay_out_charts()
            with gradio.Column():
                gradio.HTML("<h2>Characteristic words</h2>")
                self.words = gradio.HTML()
            self.contradictions = _results_table("Words and stars disagree", max_height=360)
            self.agreement = gradio.HTML()
            self.confusion = gradio.Plot(label="Confusion matrix", visible=False)
            self.disagreements = _results_table("Label and prediction disagree", max_height=360)
            self.filter = gradio.Radio([], label="Show", elem_classes="chips")
            self.listing = _results_table(
                "Reviews (select one to open it)", visible=True, show_search="filter"
            )
            self.not_scored = _results_table("Not analyzed", max_height=320)
            link = gradio.DownloadButton("Prepared file", visible="hidden", elem_id="prepared-file")
        self._connect_events(buttons, link)

    def _lay_out_charts(self) -> None:
        with gradio.Row():
            self.titles = gradio.Dropdown(
                [], multiselect=True, max_choices=MAX_TITLES, visible=False, min_width=300,
                label="Titles",
                info="Each gets its own line in the chart. The words come from their reviews only.",
            )  # fmt: skip
            self.period = gradio.Radio(
                list(PERIODS), label="Group by", visible=False, min_width=300
            )
        self.over_time = gradio.Plot(label="Reviews over time", visible=False)
        self.stars_over_time = gradio.Plot(label="Mean stars over time", visible=False)
        self.by_stars = gradio.Plot(label="Predictions by rating", visible=False)
        self.by_title = gradio.Plot(label="Predictions by title", visible=False)
        self.aspects_by_title = gradio.Plot(
            label="Aspects by title: share of positive predictions among the reviews that mention "
            "the aspect; uncertain ones are left out",
            visible=False,
        )

    def _connect_events(self, buttons: dict[str, Any], link: Any) -> None:
        report, selection = self._report, [self.period, self.titles]
        over_time = [self.over_time, self.stars_over_time]
        # `input` is the user's choice, unlike `change`, which `show` triggers, too.
        gradio.on(
            [self.period.input, self.titles.input], _draw_over_time, [report, *selection],
            over_time, **LATEST,
        )  # fmt: skip
        self.fill_words_after(self.titles.input(lambda: FINDING_WORDS, None, self.words, **LATEST))
        self.filter.input(_filter_rows, [report, self.filter], self.listing, **LATEST)
        for kind, button in buttons.items():
            event = button.click(lambda: WRITING, None, self.writing, **HIDDEN)
            event = event.then(
                self._writer(kind), [report, *selection], [link, self.writing], **HIDDEN
            )
            event.then(None, self.writing, None, js=CLICK_LINK, **HIDDEN)

    def tables(self) -> list[Any]:
        """The tables whose rows can be opened."""
        return [self.listing, self.disagreements, self.contradictions, self.not_scored]

    def components(self) -> list[Any]:
        """All components that `show` changes."""
        return [part for name, part in vars(self).items() if not name.startswith("_")]

    def hide(self) -> dict[Any, Any]:
        """Hide the area, without results of the previous file."""
        return {self.area: gradio.update(visible=False)}

    def show(self, report: Report | None) -> dict[Any, Any]:
        """Updates of the components; hides all of them without a report."""
        if report is None:
            return self.hide()
        drawn = report.charts()
        has_dates = "over_time" in drawn
        return {
            self.area: gradio.update(visible=True),
            self.summary: _subject(report) + report.summary(),
            self.titles: gradio.update(
                choices=report.title_names, value=[], visible=len(report.title_names) > 1
            ),
            self.period: gradio.update(value=report.period, visible=has_dates),
            **{
                plot: _if_any(drawn.get(name), _caption(report, name, plot.label))
                for name, plot in vars(self).items()
                if isinstance(plot, gradio.Plot)
            },
            self.words: FINDING_WORDS,
            self.contradictions: show_rows(report.contradictions(), "prediction"),
            self.agreement: report.agreement_card(),
            self.disagreements: show_rows(report.disagreements(), "prediction"),
            self.filter: gradio.update(choices=report.choices(), value="all"),
            self.listing: show_rows(report.listing(), "prediction"),
            self.not_scored: show_rows(report.errors()),
            self.charts_button: gradio.update(visible=bool(drawn)),
            self.writing: "",
        }

    def fill_words_after(self, event: Any) -> None:
        """Show the characteristic words once an event has said that they are searched."""
        event.then(_find_words, [self._report, self.titles], self.words, **LATEST)

    def _writer(self, kind: str) -> Any:
        def write(
            report: Report | None, period: Period, titles: list[str], request: gradio.Request
        ) -> list[Any]:
            if report is None:
                return [gradio.update(), views.message(GONE)]
            folder = self._folders.create(request.session_hash or "", kind)
            return [str(_write(kind, report, period, titles, folder)), ""]

        return write


def kept(report: Report | None) -> Report:
    """The report of the page; its state is deleted after an hour.

    Raises:
        gradio.Error: It is no longer kept. The page shows this and keeps what it has.
    """
    if report is None:
        raise gradio.Error(GONE, print_exception=False)
    return report


def _write(kind: str, report: Report, period: Period, titles: Sequence[str], folder: Path) -> Path:
    """Write one of `FILES`."""
    stem = report.file_name.partition(".")[0]
    suffix = {"csv": "scored.csv", "workbook": "scored.xlsx", "charts": "charts.zip"}[kind]
    path = folder / f"{stem}-{suffix}"
    if kind == "csv":
        downloads.write_csv(report.scored, path)
    elif kind == "workbook":
        downloads.write_workbook(report.scored, path)
    else:
        charts.save(report.charts(period, titles), path)
    return path


def _draw_over_time(report: Report | None, period: Period, titles: list[str]) -> list[Any]:
    report = kept(report)
    return [report.over_time(period, titles), report.stars_over_time(period)]


def _find_words(report: Report | None, titles: list[str]) -> str:
    return report.words(titles or ()) if report else views.message(GONE)


def _filter_rows(report: Report | None, verdict: str) -> Any:
    report = kept(report)
    return show_rows(report.listing(report.positions(verdict)), "prediction")


def _caption(report: Report, name: str, usual: str | None) -> str:
    """The caption of a chart, with what it leaves out or converts."""
    caption, note = report.captions.get(name, usual), report.notes.get(name)
    return f"{caption} ({note})" if note else caption or ""


def _results_table(label: str, **options: Any) -> Any:
    return rows_table(label, **{"visible": False, "max_height": 480, "wrap": True, **options})


def _subject(report: Report) -> str:
    """The file and the column that the results are about, as HTML."""
    subject = f"File: {report.file_name}, column: {report.columns.text}"
    return f'<p class="subject">{escape(subject)}</p>'


def _if_any(value: Any, label: str | None) -> Any:
    """An update with the value and its label; hides the component if there is none."""
    return gradio.update(value=value, visible=value is not None, label=label)
