"""The page: a text box, examples, and the verdict with its probability; and `/classify`."""

import logging
import os
from threading import Thread
from typing import Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read when gradio is imported

import gradio
from classifier import Classifier, Unavailable, Unreadable, Verdict

INTRODUCTION = """# Movie sentiment
Paste a film review: praise or blame, and how surely?"""
# Written for this page.
EXAMPLES = [
    "I laughed, I cried, and I rang my sister from the car park to tell her to go tonight.",
    "The lead is superb and the score is lovely, which makes it all the sadder that nobody "
    "bothered to write a second half.",
    "Oh, wonderful, another two and a half hours of men explaining submarines to each other.",
]
# Fonts that are on the visitor's machine already: none is fetched. The button is dark enough for
# its white letters.
THEME = gradio.themes.Default(
    primary_hue="blue",
    font=["ui-sans-serif", "system-ui", "sans-serif"],
    font_mono=["ui-monospace", "monospace"],
).set(
    button_primary_background_fill="*primary_600",
    button_primary_background_fill_hover="*primary_700",
)

log = logging.getLogger("space")


def build(classifier: Classifier) -> gradio.Blocks:
    """The layout; the page is there before the model is, and whatever comes of it."""

    def describe() -> str:
        return status(classifier)

    def judge(text: str) -> tuple[dict[str, float] | None, str]:
        try:
            verdict = classifier(text)
        except (Unreadable, Unavailable) as reason:
            return None, str(reason)
        return verdict.probabilities, coverage(verdict)

    def classify(text: str) -> dict[str, Any]:
        """Judge a film review; the answer is described in the Space's README."""
        try:
            return answer(classifier(text))
        except (Unreadable, Unavailable) as reason:
            raise gradio.Error(str(reason), print_exception=False) from reason

    with gradio.Blocks(title="Movie sentiment") as blocks:
        gradio.Markdown(INTRODUCTION)
        about = gradio.Markdown("Loading the model …")
        with gradio.Row():
            with gradio.Column():
                text = gradio.Textbox(
                    label="Review",
                    lines=8,
                    max_lines=20,
                    info="Shift+Enter asks for the verdict.",
                    placeholder="What did you think of it?",
                )
                button = gradio.Button("Judge", variant="primary")
            with gradio.Column():
                label = gradio.Label(label="Verdict")
                note = gradio.Markdown()
        gradio.Examples(
            EXAMPLES,
            text,
            [label, note],
            judge,
            run_on_click=True,
            cache_examples=False,
            api_visibility="private",
        )

        asked = gradio.on(
            [button.click, text.submit],
            judge,
            text,
            [label, note],
            show_progress_on=label,
            api_visibility="private",
        )
        asked.then(describe, outputs=about, show_progress="hidden", api_visibility="private")
        blocks.load(describe, outputs=about, show_progress="hidden", api_visibility="private")
        gradio.api(classify, api_name="classify")
    return blocks


def status(classifier: Classifier) -> str:
    """One line for the top of the page: which model answers, or why none does."""
    try:
        classifier.load()
    except Unavailable as reason:
        log.warning("%s", reason)
        return f"**No model.** {reason}"
    assert classifier.commit is not None
    return f"The model is `{classifier.repo_id}` at `{classifier.commit[:12]}`."


def coverage(verdict: Verdict) -> str:
    """One line under the verdict: how much of the review it is about."""
    return f"{verdict.tokens_read:,} of {verdict.tokens:,} tokens read"


def answer(verdict: Verdict) -> dict[str, Any]:
    """What a program gets: the README of the Space describes it."""
    return {
        "label": verdict.label,
        "probability": verdict.probabilities[verdict.label],
        "probabilities": verdict.probabilities,
        "tokens_read": verdict.tokens_read,
        "tokens": verdict.tokens,
    }


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    classifier = Classifier(os.environ.get("MODEL_ID"), os.environ.get("MODEL_REVISION"))
    Thread(target=status, args=[classifier], daemon=True).start()  # before the first visitor
    build(classifier).queue(max_size=64).launch(
        theme=THEME, footer_links=["api", "gradio"], run_history=False, enable_monitoring=False
    )
