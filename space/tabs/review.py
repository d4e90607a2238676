"""The tab for one review: its verdict, what each sentence does to it, and a link to share it.

In: the classifier, the line before it, and where feedback goes. Out: the components that others
fill, to open a review here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio
import views
from classifier import Classifier, Unavailable, Unreadable
from explanation import explain
from feedback import Feedback
from line import Busy, Line

# Written for this page.
EXAMPLES = {
    "A clear one": "I laughed, I cried, and I rang my sister from the car park to tell her to go "
    "tonight. The lead has never been better, and the last shot is the kindest ending I have seen "
    "in years.",
    "A mixed one": "The lead is superb and the score is lovely, which makes it all the sadder that "
    "nobody bothered to write a second half. I would watch her read a menu. I would not watch this "
    "again.",
    "A sarcastic one": "Oh, wonderful, another two and a half hours of men explaining submarines "
    "to each other. I particularly enjoyed the bit where the projector broke.",
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


@dataclass(frozen=True)
class Review:
    """What another tab needs to open a review in this one."""

    text: Any
    judge: Callable[[str], tuple[str, str, str]]
    outcome: list[Any]  # what `judge` fills
    weigh: Callable[[str], str]
    sentences: Any  # what `weigh` fills


def build(
    page: Any, classifier: Classifier, line: Line, slow_line: Line, feedback: Feedback
) -> Review:
    """Lay the tab out, and say what happens in it."""

    def judge(text: str) -> tuple[str, str, str]:
        try:
            with line.place():
                verdict = classifier(text)
        except (Unreadable, Unavailable, Busy) as reason:
            return views.sentence(reason), "", ""
        return views.verdict_card(verdict, classifier.load().unsure_below), "", ""

    def weigh(text: str) -> str:
        try:
            with slow_line.place():
                return views.sentence_line(explain(classifier, text))
        except (Unreadable, Unavailable):
            return ""  # the card has the reason
        except Busy as reason:
            return views.sentence(reason)

    def tell(text: str, right: bool) -> str:
        try:
            verdict = classifier(text)
        except (Unreadable, Unavailable) as reason:
            return views.sentence(reason)
        said = feedback.record(text, verdict, right, classifier.repo_id, classifier.commit)
        return views.sentence(said, "remark")

    with gradio.Row(equal_height=False):
        with gradio.Column(scale=5):
            text = gradio.Textbox(
                label="Review",
                lines=9,
                max_lines=24,
                info="Ctrl+Enter asks for the verdict.",
                placeholder="What did you think of it?",
                elem_id="review",
            )
            with gradio.Row():
                button = gradio.Button("Judge", variant="primary", elem_id="judge")
                share = gradio.Button("Copy a link to this")
            link = gradio.Textbox(
                label="Link", visible=False, interactive=False, buttons=["copy"], max_lines=1,
                elem_id="link",
            )  # fmt: skip
        with gradio.Column(scale=6):
            card = gradio.HTML(EMPTY)
            sentences = gradio.HTML()
            with gradio.Row(visible=feedback.enabled):
                right = gradio.Button("The verdict is right", size="sm")
                wrong = gradio.Button("It is wrong", size="sm")
            gradio.Markdown(feedback.explains, visible=feedback.enabled)
            note = gradio.HTML()
    chosen = gradio.Dataset(
        label="Examples",
        components=[text],
        samples=[[example] for example in EXAMPLES.values()],
        sample_labels=list(EXAMPLES),
        type="values",
    )

    outcome = [card, sentences, note]
    quiet: dict[str, Any] = {"api_visibility": "private", "concurrency_limit": None}
    hidden = {**quiet, "show_progress": "hidden"}

    def ask(event: Any) -> None:
        event.then(weigh, text, sentences, **hidden)

    ask(gradio.on([button.click, text.submit], judge, text, outcome, **quiet))
    ask(
        chosen.click(lambda row: row[0], chosen, text, **hidden).then(judge, text, outcome, **quiet)
    )
    shared = page.load(None, None, text, js=READ_LINK, **hidden)
    ask(shared.then(lambda text: judge(text) if text else (EMPTY, "", ""), text, outcome, **hidden))
    share.click(lambda link: gradio.update(value=link, visible=True), text, link, js=WRITE_LINK,
                **hidden)  # fmt: skip
    right.click(lambda text: tell(text, True), text, note, **hidden)
    wrong.click(lambda text: tell(text, False), text, note, **hidden)
    return Review(text, judge, outcome, weigh, sentences)
