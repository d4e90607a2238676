"""The Review tab: the prediction for one review, the effect of each sentence, and a share link.

In: the model service, and where feedback is stored. Out: components.

page.js numbers the analyses. Their answers go to a hidden component, and page.js shows those to the
newest analysis. So the newest result is shown, in whatever order events end.
"""

import logging
from collections.abc import Callable, Iterator
from html import escape
from typing import Any

import gradio

from space import views
from space.examples import Examples
from space.feedback import Feedback
from space.inference import aspects
from space.inference.attribution import explain
from space.inference.classifier import InvalidText, ModelUnavailable, Prediction
from space.inference.client import cancel_check, current_client
from space.inference.concurrency import Busy
from space.inference.serving import EXPLANATION, REFUSALS, SINGLE, Limits, Request, Service
from space.tabs.events import HIDDEN, LATEST

EMPTY = (
    '<p class="empty">The prediction, its probability and the effect of each sentence appear here. '
    "Paste a review or choose an example.</p>"
)
LINK_PROBLEM = '<p id="link-problem" class="problem" role="status" hidden></p>'
NO_ASPECTS = "Aspects can't be analyzed at the moment."
INCOMPLETE = "The rest of the analysis failed. Try again."
EXPLAINING = views.message("Analyzing sentences…", "small")
FINDING_ASPECTS = views.message("Analyzing aspects…", "small")
MAX_SUBJECT = 80  # characters of a review that name it above its prediction
EXAMPLES_TEMPLATE = """{{#if value.length}}<span>Try an example:</span>{{/if}}{{#each value}}
<button type="button" data-example="{{this.text}}">{{this.name}}</button>{{/each}}"""
# Any number of them may run at the same time.
CONCURRENT: dict[str, Any] = {**HIDDEN, "trigger_mode": "multiple"}

log = logging.getLogger(__name__)


class Review:
    """The tab; `open_rows` lets other tabs open a review in it."""

    def __init__(self, service: Service, feedback: Feedback) -> None:
        self.service, self.feedback = service, feedback
        self.examples = Examples(service)
        self._lay_out_hidden()
        gradio.HTML(LINK_PROBLEM, elem_classes="optional")
        self.example_buttons = gradio.HTML(
            [], html_template=EXAMPLES_TEMPLATE, elem_classes="examples"
        )
        with gradio.Row(equal_height=False):
            with gradio.Column(scale=5):
                self._lay_out_input()
            with gradio.Column(scale=6):
                self._lay_out_result()
        self._connect_events()

    def _lay_out_hidden(self) -> None:
        """Components that carry answers of the server to page.js."""
        self.newest = gradio.State([0])  # number of the session's newest analysis
        self.answer, self.opened, self.stored = (
            gradio.HTML(html_template="", visible="hidden") for _ in range(3)
        )

    def _lay_out_input(self) -> None:
        self.text = gradio.Textbox(
            label="Review",
            lines=8,
            max_lines=24,
            info="Press Ctrl+Enter to analyze.",
            placeholder="Paste or write a movie review.",
            elem_id="review",
        )
        self.button = gradio.Button("Analyze", variant="primary", elem_id="analyze")

    def _lay_out_result(self) -> None:
        self.result = gradio.HTML({"html": EMPTY}, html_template="${value.html}", elem_id="result")
        with gradio.Column(visible=False) as self.feedback_area:
            self.opinion = gradio.Radio(
                [("Yes", True), ("No", False)],
                label="Is this prediction right?",
                info=self.feedback.notice,
            )
        self.feedback_status = gradio.HTML(elem_classes="optional")
        self.share = gradio.Button("Copy link to this review", size="sm", elem_id="share")
        self.share_status = gradio.HTML(elem_classes="optional")

    def _connect_events(self) -> None:
        triggers = [self.button.click, self.text.submit]
        gradio.on(triggers, None, None, self.button, js="() => 'Analyzing…'", **CONCURRENT)
        analysis = gradio.on(
            triggers, self.analyze, [self.text, self.answer, self.newest], self.answer,
            js="() => [...moviePage.start(), null]", **CONCURRENT,
        )  # fmt: skip
        ended = [self.button, self.result, self.feedback_area, self.feedback_status]
        analysis.success(None, None, ended, js="() => moviePage.end()", **CONCURRENT)
        analysis.failure(None, None, ended, js="() => moviePage.fail()", **CONCURRENT)
        shown = [self.result, self.feedback_area, self.opinion, self.feedback_status]
        self.answer.change(None, self.answer, shown, js="moviePage.show", **CONCURRENT)
        self.text.change(None, None, None, js="() => moviePage.markStale()", **CONCURRENT)
        self.opened.change(None, self.opened, None, js="moviePage.openRow", **CONCURRENT)
        self.example_buttons.change(
            None, self.example_buttons, None, js="moviePage.openExample", **CONCURRENT
        )
        self.share.click(None, None, self.share_status, js="moviePage.copyLink", **CONCURRENT)
        self.opinion.input(
            self.store_feedback, [self.opinion, self.result], self.stored,
            js="(opinion, { request, text }) => [opinion, { request, text }]",
            **LATEST,
        )  # fmt: skip
        self.stored.change(
            None, self.stored, self.feedback_status, js="moviePage.showFeedback", **CONCURRENT
        )

    def open_rows(
        self, table: Any, read_row: Callable[[Any, gradio.EventData], str], rows: Any
    ) -> None:
        """Open the review of a selected row, and analyze it.

        Args:
            table: A `gradio.Dataframe`.
            read_row: Returns the review of the selected row, from the value of `rows`.
            rows: A `gradio.State`.
        """

        def open_row(value: Any, intent: Any, event: gradio.EventData) -> dict[str, Any]:
            return {"intent": intent, "text": read_row(value, event)}

        table.select(
            open_row, [rows, self.opened], self.opened,
            js="() => [null, moviePage.selectRow()]", **CONCURRENT,
        )  # fmt: skip

    def list_examples(self) -> list[dict[str, str]]:
        """The value of `example_buttons`; empty until the model is loaded."""
        return [{"name": name, "text": text} for name, text in self.examples.get().items()]

    def analyze(self, text: Any, number: Any, newest: list[int]) -> Iterator[dict[str, Any]]:
        """Answers to one analysis: with the prediction, then with the effect of each sentence.

        Args:
            text: The review.
            number: Of the analysis, from 1, increasing within the session.
            newest: The number of the session's newest analysis; an older one ends early.

        Yields:
            `request` (the number), `text`, `html` (of the result) and `accepts_feedback`.
        """
        newest[0] = max(newest[0], number)
        disconnected = cancel_check()

        def request(limits: Limits, service: Service = self.service) -> Request:
            return Request(service, limits, lambda: newest[0] > number or disconnected())

        answer = {"request": number, "text": text, "accepts_feedback": self.feedback.enabled}
        card = ""
        try:
            explanation = self.examples.explanation(text)
            if explanation is None:
                card = self._card(text, request(SINGLE).predict(text))
                yield {**answer, "html": card + EXPLAINING}
                explanation = explain(request(EXPLANATION), text)
            card = self._card(text, explanation.prediction)
            card += views.attribution(explanation)
            yield {**answer, "html": card + FINDING_ASPECTS * bool(self.service.aspects)}
            if self.service.aspects:
                card += self._aspects(text, explanation.prediction, request)
                yield {**answer, "html": card}
        except REFUSALS as reason:
            answer["accepts_feedback"] &= bool(card)
            yield {**answer, "html": card + views.message(reason)}
        except Exception:
            if card:
                yield {**answer, "html": card + views.message(INCOMPLETE)}
            raise

    def _aspects(
        self, text: str, prediction: Prediction, request: Callable[[Limits, Service], Request]
    ) -> str:
        """The table of the aspects, or why there is none."""
        service = self.service.aspects
        assert service is not None
        try:
            mentions = aspects.find(request(EXPLANATION, service), text)
        except ModelUnavailable as error:  # for the app's owner
            log.warning("No aspects: %s", error)
            return views.message(NO_ASPECTS)
        except (InvalidText, Busy) as reason:
            return views.message(f"No aspects: {reason}")
        return views.aspects_table(mentions, service.classifier.unsure_below, prediction)

    def _card(self, text: str, prediction: Prediction) -> str:
        """The prediction under the beginning of its review."""
        beginning = views.shorten(text, MAX_SUBJECT)
        card = views.prediction_card(prediction, self.service.classifier.load().unsure_below)
        return f'<p class="subject">{escape(beginning)}</p>{card}'

    def store_feedback(self, correct: Any, shown: Any) -> dict[str, Any]:
        """Store whether the shown prediction is right; returns `request` and `html`, a message.

        Args:
            correct: The user's choice.
            shown: `request` and `text` of the shown answer.
        """
        text = shown["text"]
        try:
            prediction = self.service.request(SINGLE).predict(text)
        except REFUSALS as reason:
            html = views.message(reason)
        else:
            model, commit = self.service.classifier.repo_id, self.service.classifier.commit
            _, session = current_client()
            message = self.feedback.record(text, prediction, correct, model, commit, session)
            html = views.message(message, "remark")
        return {"request": shown["request"], "html": html}
