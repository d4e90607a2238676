"""The Review tab: the prediction for one review, the effect of each sentence, and a share link.

In: the model service, and where feedback is stored. Out: components.
"""

from functools import partial
from typing import Any

import gradio

from space import views
from space.feedback import Feedback
from space.inference.attribution import explain
from space.inference.serving import EXPLANATION, REFUSALS, SINGLE, Service
from space.tabs.events import HIDDEN, QUIET

# Written for this page; tests/test_quickstart.py checks the quick start model's predictions.
EXAMPLES = {
    "A clear review": "I laughed, I cried, and I rang my sister from the car park to tell her to "
    "go tonight. The lead is wonderful, and the last shot is the kindest ending I have seen in "
    "years.",
    "A mixed review": "The lead is superb and the score is lovely, which makes it all the sadder "
    "that the script is dull, the second half is a mess, and the ending is a waste of her talent. "
    "I would watch her read a menu. I would not watch this again.",
    "A sarcastic review": "Oh, wonderful, another two and a half hours of men explaining "
    "submarines to each other. The script is a mess, and the only good bit was when the projector "
    "broke.",
}
EMPTY = (
    '<p class="empty">The prediction, its probability and the effect of each sentence appear here. '
    "Paste a review or choose an example.</p>"
)
# The review follows the "#", which browsers never send to a server.
READ_LINK = """() => decodeURIComponent(
  (window.location.hash.match(/[#&]review=([^&]*)/) || ["", ""])[1])"""
WRITE_LINK = """(text) => {
  const link = window.location.href.split("#")[0] + "#review=" + encodeURIComponent(text);
  navigator.clipboard?.writeText(link).catch(() => {});
  return link;
}"""


class Review:
    """The tab; other tabs set `text` and call `analyze_after`."""

    def __init__(self, page: Any, service: Service, feedback: Feedback) -> None:
        self.service, self.feedback = service, feedback
        with gradio.Row(equal_height=False):
            with gradio.Column(scale=5):
                self._lay_out_input()
            with gradio.Column(scale=6):
                self._lay_out_result()
        self.examples = gradio.Dataset(
            label="Examples",
            components=[self.text],
            samples=[[example] for example in EXAMPLES.values()],
            sample_labels=list(EXAMPLES),
            type="values",
        )
        self._connect_events(page)

    def _lay_out_input(self) -> None:
        self.text = gradio.Textbox(
            label="Review",
            lines=9,
            max_lines=24,
            info="Press Ctrl+Enter to analyze.",
            placeholder="Paste or write a movie review.",
            elem_id="review",
        )
        with gradio.Row():
            self.button = gradio.Button("Analyze", variant="primary", elem_id="analyze")
            self.share = gradio.Button("Copy link to this review")
        self.link = gradio.Textbox(
            label="Link", visible=False, interactive=False, buttons=["copy"], max_lines=1,
            elem_id="link",
        )  # fmt: skip

    def _lay_out_result(self) -> None:
        self.card = gradio.HTML(EMPTY)
        self.sentences = gradio.HTML()
        self.analyzed = gradio.State()  # the text that the card shows
        with gradio.Column(visible=False) as self.feedback_area:
            gradio.Markdown(self.feedback.notice)
            with gradio.Row():
                self.correct = gradio.Button("The prediction is correct", size="sm")
                self.incorrect = gradio.Button("It is incorrect", size="sm")
        self.feedback_status = gradio.HTML()

    def _connect_events(self, page: Any) -> None:
        triggers = [self.button.click, self.text.submit]
        self._explain_after(gradio.on(triggers, self.analyze, self.text, self._result(), **QUIET))
        self.analyze_after(self.examples.click(_first, self.examples, self.text, **HIDDEN))
        opened = page.load(None, None, self.text, js=READ_LINK, **HIDDEN)
        self._explain_after(opened.then(self.analyze_link, self.text, self._result(), **HIDDEN))
        self.share.click(_show_link, self.text, self.link, js=WRITE_LINK, **HIDDEN)
        for button, correct in ((self.correct, True), (self.incorrect, False)):
            store = partial(self._store_feedback, correct=correct)
            button.click(store, self.analyzed, self.feedback_status, **HIDDEN)

    def analyze_after(self, event: Any) -> None:
        """Analyze the review once an event has set it."""
        self._explain_after(event.then(self.analyze, self.text, self._result(), **HIDDEN))

    def _explain_after(self, event: Any) -> None:
        event.then(self.show_explanation, self.analyzed, self.sentences, **HIDDEN)

    def _result(self) -> list[Any]:
        return [self.card, self.sentences, self.feedback_status, self.analyzed, self.feedback_area]

    def analyze(self, text: str) -> tuple[str, str, str, str | None, Any]:
        """Values of `_result`: the card of a review, or a message in its place."""
        try:
            prediction = self.service.request(SINGLE).predict(text)
        except REFUSALS as reason:
            return views.message(reason), "", "", None, gradio.update(visible=False)
        card = views.prediction_card(prediction, self.service.classifier.load().unsure_below)
        return card, "", "", text, gradio.update(visible=self.feedback.enabled)

    def analyze_link(self, text: str) -> tuple[str, str, str, str | None, Any]:
        """As `analyze`; the empty page if the link has no review."""
        if text:
            return self.analyze(text)
        return EMPTY, "", "", None, gradio.update(visible=False)

    def show_explanation(self, text: str | None) -> str:
        """The analyzed review with the effect of each sentence."""
        if text is None:
            return ""  # the card shows why
        try:
            return views.attribution(explain(self.service.request(EXPLANATION), text))
        except REFUSALS as reason:
            return views.message(reason)

    def _store_feedback(self, text: str | None, correct: bool) -> str:
        try:
            prediction = self.service.request(SINGLE).predict(text or "")
        except REFUSALS as reason:
            return views.message(reason)
        model, commit = self.service.classifier.repo_id, self.service.classifier.commit
        message = self.feedback.record(text or "", prediction, correct, model, commit)
        return views.message(message, "remark")


def _first(row: list[str]) -> str:
    return row[0]


def _show_link(link: str) -> Any:
    return gradio.update(value=link, visible=True)
