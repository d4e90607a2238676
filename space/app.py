"""The page: a text box, examples, and the verdict with its probability."""

import logging
import os

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import gradio
from classifier import Classifier, Unavailable

MAX_CHARACTERS = 100_000

# Written for this page.
EXAMPLES = [
    "I laughed, I cried, and I rang my sister from the car park to tell her to go tonight.",
    "The lead is superb and the score is lovely, which makes it all the sadder that nobody "
    "bothered to write a second half.",
    "Oh, wonderful, another two and a half hours of men explaining submarines to each other.",
]


class Page:
    """The page's state: the classifier, pulled at the first question if not before."""

    def __init__(self) -> None:
        self.classifier: Classifier | None = None

    def ready(self) -> Classifier:
        """The classifier, or a plain sentence on the page why there is none; asked again later."""
        if self.classifier is None:
            try:
                self.classifier = Classifier.from_hub(
                    os.environ.get("MODEL_ID"), os.environ.get("MODEL_REVISION")
                )
            except Unavailable as reason:
                raise gradio.Error(str(reason), duration=None, print_exception=False) from reason
        return self.classifier

    def classify(self, text: str) -> tuple[dict[str, float], str]:
        """Label probabilities of a review, and how much of it was read."""
        if not text or not text.strip():
            raise gradio.Error("Write or paste a review first.", print_exception=False)
        if len(text) > MAX_CHARACTERS:
            raise gradio.Error(
                f"A review may have {MAX_CHARACTERS:,} characters, this one has {len(text):,}.",
                print_exception=False,
            )
        verdict = self.ready()(text)
        read = f"{verdict.tokens_read:,} of {verdict.tokens:,} tokens read"
        return verdict.probabilities, read

    def about(self) -> str:
        """One line under the title: which model answers, or why none does."""
        try:
            found = self.ready()
        except gradio.Error as reason:
            return f"**{reason.message}**"
        return f"Answers come from `{found.repo_id}` at `{found.revision[:12]}`."


def build(page: Page) -> gradio.Blocks:
    """The page's layout."""
    with gradio.Blocks(title="Movie sentiment") as blocks:
        gradio.Markdown("# Movie sentiment\nPaste a film review: praise or blame, and how surely?")
        about = gradio.Markdown("Loading the model …")
        with gradio.Row():
            with gradio.Column():
                text = gradio.Textbox(
                    label="Review", lines=8, max_lines=20, placeholder="What did you think of it?"
                )
                button = gradio.Button("Judge", variant="primary")
            with gradio.Column():
                label = gradio.Label(label="Verdict")
                read = gradio.Markdown()
        gradio.Examples(EXAMPLES, inputs=text, cache_examples=False)
        gradio.on(
            [button.click, text.submit], page.classify, text, [label, read], api_name="classify"
        )
        blocks.load(page.about, outputs=about, api_name=False)
    return blocks


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    build(Page()).queue(default_concurrency_limit=2, max_size=64).launch()
