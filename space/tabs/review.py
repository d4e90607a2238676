"""The tab for one review: its verdict, what each sentence does to it, and a link to share it.

In: the model behind its queue, and where feedback goes. Out: components on the page.
"""

from typing import Any

import gradio

from space import views
from space.feedback import Feedback
from space.inference.attribution import explain
from space.inference.classifier import InvalidText, ModelUnavailable
from space.inference.concurrency import Busy, Cancelled
from space.inference.serving import EXPLANATION, SINGLE, Service
from space.tabs.events import HIDDEN, QUIET

REFUSALS = (InvalidText, ModelUnavailable, Busy, Cancelled)
# Written for this page; tests/test_quickstart.py has what the quick start's model says of them.
EXAMPLES = {
    "A clear one": "I laughed, I cried, and I rang my sister from the car park to tell her to go "
    "tonight. The lead is wonderful, and the last shot is the kindest ending I have seen in years.",
    "A mixed one": "The lead is superb and the score is lovely, which makes it all the sadder that "
    "the script is dull, the second half is a mess, and the ending is a waste of her talent. I "
    "would watch her read a menu. I would not watch this again.",
    "A sarcastic one": "Oh, wonderful, another two and a half hours of men explaining submarines "
    "to each other. The script is a mess, and the only good bit was when the projector broke.",
}
EMPTY = (
    '<p class="empty">The verdict comes here: a word, how sure the model is, and what each '
    "sentence does to it. Paste a review, or take one of the examples.</p>"
)
# The text stands behind the #, which browsers keep to themselves: no server sees a shared review.
READ_LINK = """() => decodeURIComponent(
  (window.location.hash.match(/[#&]review=([^&]*)/) || ["", ""])[1])"""
WRITE_LINK = """(text) => {
  const link = window.location.href.split("#")[0] + "#review=" + encodeURIComponent(text);
  navigator.clipboard?.writeText(link).catch(() => {});
  return link;
}"""


class Review:
    """The tab, laid out inside the page's Blocks; other tabs fill `text` and let it be judged."""

    def __init__(self, page: Any, service: Service, feedback: Feedback) -> None:
        self.service, self.feedback = service, feedback
        with gradio.Row(equal_height=False):
            with gradio.Column(scale=5):
                self._lay_out_question()
            with gradio.Column(scale=6):
                self._lay_out_answer()
        self.examples = gradio.Dataset(
            label="Examples",
            components=[self.text],
            samples=[[example] for example in EXAMPLES.values()],
            sample_labels=list(EXAMPLES),
            type="values",
        )
        self._wire(page)

    def _lay_out_question(self) -> None:
        self.text = gradio.Textbox(
            label="Review",
            lines=9,
            max_lines=24,
            info="Ctrl+Enter asks for the verdict.",
            placeholder="What did you think of it?",
            elem_id="review",
        )
        with gradio.Row():
            self.button = gradio.Button("Judge", variant="primary", elem_id="judge")
            self.share = gradio.Button("Copy a link to this")
        self.link = gradio.Textbox(
            label="Link", visible=False, interactive=False, buttons=["copy"], max_lines=1,
            elem_id="link",
        )  # fmt: skip

    def _lay_out_answer(self) -> None:
        self.card = gradio.HTML(EMPTY)
        self.sentences = gradio.HTML()
        self.judged = gradio.State()  # the text that the card is about
        with gradio.Column(visible=False) as self.opinion:
            gradio.Markdown(self.feedback.explains)
            with gradio.Row():
                self.right = gradio.Button("The verdict is right", size="sm")
                self.wrong = gradio.Button("It is wrong", size="sm")
        self.note = gradio.HTML()

    def _wire(self, page: Any) -> None:
        asked = {"inputs": self.text, "outputs": self._outcome(), **QUIET}
        self._then_weigh(gradio.on([self.button.click, self.text.submit], self.judge, **asked))
        self.judge_after(self.examples.click(_only, self.examples, self.text, **HIDDEN))
        opened = page.load(None, None, self.text, js=READ_LINK, **HIDDEN)
        self._then_weigh(opened.then(self.judge_shared, self.text, self._outcome(), **HIDDEN))
        self.share.click(_shown, self.text, self.link, js=WRITE_LINK, **HIDDEN)
        for button, answer in ((self.right, self.praise), (self.wrong, self.complain)):
            button.click(answer, self.judged, self.note, **HIDDEN)

    def judge_after(self, event: Any) -> None:
        """Judge the review once the event has filled it in."""
        self._then_weigh(event.then(self.judge, self.text, self._outcome(), **HIDDEN))

    def _then_weigh(self, event: Any) -> None:
        event.then(self.weigh, self.judged, self.sentences, **HIDDEN)

    def _outcome(self) -> list[Any]:
        return [self.card, self.sentences, self.note, self.judged, self.opinion]

    def judge(self, text: str) -> tuple[str, str, str, str | None, Any]:
        """The card of a review, or a sentence in its place; fills `_outcome`."""
        hidden = gradio.update(visible=False)
        try:
            verdict = self.service.request(SINGLE).predict(text)
        except REFUSALS as reason:
            return views.sentence(reason), "", "", None, hidden
        card = views.verdict_card(verdict, self.service.classifier.load().unsure_below)
        return card, "", "", text, gradio.update(visible=self.feedback.enabled)

    def judge_shared(self, text: str) -> tuple[str, str, str, str | None, Any]:
        """As `judge`; the page as it is where the link carried no review."""
        if text:
            return self.judge(text)
        return EMPTY, "", "", None, gradio.update(visible=False)

    def weigh(self, text: str | None) -> str:
        """The sentence line of what was judged."""
        if text is None:
            return ""  # the card has the reason
        try:
            return views.attribution(explain(self.service.request(EXPLANATION), text))
        except REFUSALS as reason:
            return views.sentence(reason)

    def praise(self, text: str | None) -> str:
        """Store that the verdict is right."""
        return self._tell(text, True)

    def complain(self, text: str | None) -> str:
        """Store that it is wrong."""
        return self._tell(text, False)

    def _tell(self, text: str | None, right: bool) -> str:
        try:
            verdict = self.service.request(SINGLE).predict(text or "")
        except REFUSALS as reason:
            return views.sentence(reason)
        model, commit = self.service.classifier.repo_id, self.service.classifier.commit
        said = self.feedback.record(text or "", verdict, right, model, commit)
        return views.sentence(said, "remark")


def _only(row: list[str]) -> str:
    return row[0]


def _shown(link: str) -> Any:
    return gradio.update(value=link, visible=True)
