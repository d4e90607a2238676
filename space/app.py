"""The page: a tab for one review, for many, for two models, and about the one that answers."""

import logging
import os
import signal
import sys
import time
from pathlib import Path
from threading import Thread
from typing import Any

if __name__ == "__main__":  # started by its path, as a Space does: `space` is found beside it
    sys.path[0] = str(Path(__file__).parent.parent)
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read when gradio is imported
# Statistics of the last 10,000 events that nobody reads, computed anew after each of them.
os.environ |= {
    "GRADIO_ANALYTICS_MAX_EVENTS": "1",
    "GRADIO_ANALYTICS_CACHE_FREQUENCY": "1" + 12 * "0",
}

import gradio
from starlette.middleware import Middleware

from space import endpoints
from space.feedback import Feedback
from space.files import tables
from space.inference import memory
from space.inference.classifier import Classifier, ModelUnavailable
from space.inference.serving import Service
from space.tabs import about, compare, many
from space.tabs.review import Review
from space.theme import HEAD, STYLE, THEME
from space.web.load_shedding import LoadShedder
from space.web.middleware import Page, RequestMiddleware

INTRODUCTION = """# Movie sentiment
Paste a film review, or bring a file of them: praise or blame, how surely, and why?"""
RETRY_SECONDS = 10
LOOK: dict[str, Any] = {"theme": THEME, "css_paths": STYLE, "head_paths": HEAD}  # for `launch`

log = logging.getLogger("space")


def build(classifier: Classifier, feedback: Feedback | None = None) -> gradio.Blocks:
    """The layout; the page is there before the model is, and whatever comes of it.

    Args:
        classifier: The model that answers.
        feedback: Where "right" and "wrong" go; nowhere when left out.
    """
    service = Service(classifier)
    with Page(title="Movie sentiment") as page:
        gradio.Markdown(INTRODUCTION, elem_classes="masthead")
        state = gradio.Markdown("Loading the model …", elem_classes="small")
        with gradio.Tabs(selected="review") as tabs:
            with gradio.Tab("Review", id="review"):
                review = Review(page, service, feedback or Feedback())
            with gradio.Tab("Many", id="many"):
                many.build(service, tabs, review)
            with gradio.Tab("Compare", id="compare"):
                compare.build(classifier)
            with gradio.Tab("About", id="about") as tab:
                about.build(classifier, tab)
        endpoints.build(service)

        def describe() -> tuple[str, Any]:
            return status(classifier), gradio.Timer(active=classifier.commit is None)

        timer = gradio.Timer(3)  # until the model is there
        told: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
        for event in (page.load, timer.tick):
            event(describe, outputs=[state, timer], concurrency_limit=None, **told)
    return page


def status(classifier: Classifier) -> str:
    """One line for the top of the page: which model answers, or why none does."""
    if classifier.commit:
        return f"The model is `{classifier.repo_id}` at `{classifier.commit[:12]}`."
    if classifier.load_error:
        again = " The app tries again by itself." if classifier.repo_id else ""
        return f"**No model.** {classifier.load_error}{again}"
    return "Loading the model …"


def keep_loading(classifier: Classifier) -> None:
    """Load the model before the first visitor; while it can't be had, try again."""
    while True:
        try:
            classifier.load()
            return
        except ModelUnavailable as reason:
            log.warning("%s", reason)
            if not classifier.repo_id:
                return  # nothing will change that
            time.sleep(RETRY_SECONDS)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    memory.limit_arenas()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # so that feedback is committed first
    classifier = Classifier(os.environ.get("MODEL_ID"), os.environ.get("MODEL_REVISION"))
    Thread(target=keep_loading, args=[classifier], daemon=True).start()
    page = build(classifier, Feedback.from_environment()).queue(max_size=256)
    LoadShedder(page)
    page.launch(
        **LOOK,
        app_kwargs={"middleware": [Middleware(RequestMiddleware)]},
        max_threads=500,  # more than the queue admits: it says "busy", not Gradio
        max_file_size=tables.MAX_BYTES,
        state_session_capacity=200,  # visitors whose scored files are kept
        mcp_server=True,
        footer_links=["api", "gradio"],
        run_history=False,
        enable_monitoring=False,
    )
