"""The Gradio app: the page with its tabs, the API endpoints, and the server's settings.

In: `MODEL_ID`, `MODEL_REVISION`, the same of an optional `ASPECT_MODEL`, and the feedback settings
from the environment. Out: a server on Gradio's port.
"""

import logging
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from threading import Thread
from typing import Any

if __name__ == "__main__":  # the Hub runs this file by its path; make `space` importable
    sys.path[0] = str(Path(__file__).parent.parent)
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read when Gradio is imported
# Gradio recomputes statistics of the last 10,000 events after each event; nothing here reads them.
os.environ |= {
    "GRADIO_ANALYTICS_MAX_EVENTS": "1",
    "GRADIO_ANALYTICS_CACHE_FREQUENCY": "1" + 12 * "0",
}

import gradio
from huggingface_hub import constants
from starlette.middleware import Middleware

from space import endpoints
from space.feedback import Feedback
from space.files import tables
from space.inference import memory
from space.inference.classifier import Classifier, ModelUnavailable
from space.inference.labels import unit
from space.inference.serving import Service
from space.tabs import about, batch, compare
from space.tabs.events import HIDDEN
from space.tabs.review import Review
from space.theme import HEAD, SCRIPT, STYLE, THEME
from space.web import link_preview, mcp
from space.web.load_shedding import LoadShedder
from space.web.middleware import Page, RequestMiddleware

TITLE = "Movie sentiment"
QUESTION = "Is this review positive or negative, and which sentences decide it?"
DESCRIPTION = "What a movie review says of its film, and which sentences decide it."  # any labels
SCALE_QUESTION = "How many {} does this review give, and which sentences decide it?"
LOADING = "Loading the model…"
STATUS_SECONDS = 3  # between two updates of the model's status
RETRY_SECONDS = 10  # between two attempts to load the model
APPEARANCE: dict[str, Any] = {
    "theme": THEME,
    "css_paths": STYLE,
    "head_paths": HEAD,
    "js": SCRIPT.read_text(encoding="utf-8"),
}

MAX_THREADS = 500  # more than the queue admits, so that the queue reports "busy"
MAX_SESSIONS = 200  # users whose scored files are kept
SERVER: dict[str, Any] = {
    "app_kwargs": {
        "middleware": [Middleware(RequestMiddleware)],
        "routes": [link_preview.picture_route()],
    },
    "max_file_size": tables.MAX_BYTES,
    "mcp_server": True,
    "footer_links": ["api", "gradio"],
    "run_history": False,
    "enable_monitoring": False,
}

log = logging.getLogger("space")


def build(service: Service, feedback: Feedback | None = None) -> gradio.Blocks:
    """The page; it works before the model is loaded and shows an error if loading fails.

    Args:
        service: The model, which may still be loading, and its queue.
        feedback: Where user feedback is stored; disabled by default.
    """
    classifier = service.classifier
    with Page(title=TITLE, delete_cache=(600, 3000)) as page:
        heading = gradio.Markdown(masthead(classifier), elem_classes="masthead")
        status = gradio.Markdown(LOADING, elem_classes="small")
        with gradio.Tabs(selected="review") as tabs:
            with gradio.Tab("Review", id="review"):
                review = Review(service, feedback or Feedback())
            with gradio.Tab("File", id="file"):
                batch.build(page, service, review)
            with gradio.Tab("Compare", id="compare") as compare_tab:
                compare.build(classifier, compare_tab)
            with gradio.Tab("About", id="about") as about_tab:
                about.build(classifier, about_tab)
        endpoints.build(service)
        for tab in tabs.children:
            selected = f"() => moviePage.selectTab('{tab.id}')"
            tab.select(None, None, None, js=selected, **HIDDEN)

        def refresh() -> tuple[str, str, Any, Any]:
            timer = gradio.Timer(active=classifier.commit is None)
            top = masthead(classifier), model_status(classifier)
            return *top, timer, review.list_examples()

        timer = gradio.Timer(STATUS_SECONDS)  # until the model is loaded
        for event in (page.load, timer.tick):
            outputs = [heading, status, timer, review.example_buttons]
            event(refresh, None, outputs, **HIDDEN)
    return page


def aspect_classifier(environment: Mapping[str, str]) -> Classifier | None:
    """The model of `ASPECT_MODEL_ID`, which finds aspects of a film; None without it."""
    variable = "ASPECT_MODEL_ID"
    if not (repo_id := environment.get(variable)):
        return None
    revision = environment.get("ASPECT_MODEL_REVISION")
    return Classifier(repo_id, revision, pairs=True, variable=variable)


def masthead(classifier: Classifier) -> str:
    """Markdown with the page's title, and the question that the model answers."""
    steps = unit(classifier.labels) if classifier.commit else None
    return f"# {TITLE}\n{SCALE_QUESTION.format(steps) if steps else QUESTION}"


def model_status(classifier: Classifier) -> str:
    """Markdown for the top of the page: the loaded model, or why there is none."""
    if classifier.commit:
        files = f"{constants.ENDPOINT}/{classifier.repo_id}/tree/{classifier.commit}"
        return f"Model: [{classifier.repo_id} ({classifier.commit[:7]})]({files})"
    if classifier.load_error:
        retry = " The app retries automatically." if classifier.repo_id else ""
        return f"**No model.** {classifier.load_error}{retry}"
    return LOADING


def keep_loading(classifier: Classifier) -> None:
    """Load the model at startup; retry until it is available."""
    while True:
        try:
            classifier.load()
            return
        except ModelUnavailable as reason:
            log.warning("%s", reason)
            if not classifier.repo_id:
                return  # a retry can't succeed without MODEL_ID
            time.sleep(RETRY_SECONDS)


def prepare(service: Service) -> gradio.Blocks:
    """The page with its queue, ready to be served with `SERVER`; loads the model meanwhile."""
    memory.limit_arenas()
    for needed in filter(None, [service, service.aspects]):
        Thread(target=keep_loading, args=[needed.classifier], daemon=True).start()
    page = build(service, Feedback.from_environment()).queue(max_size=256)
    LoadShedder(page)
    link_preview.describe(TITLE, DESCRIPTION)
    mcp.answer_in_json()
    return page


def exit_on_sigterm() -> None:
    """Let SIGTERM run the exit handlers, which commit feedback."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    exit_on_sigterm()
    classifier = Classifier(os.environ.get("MODEL_ID"), os.environ.get("MODEL_REVISION"))
    prepare(Service(classifier, aspects=aspect_classifier(os.environ))).launch(
        **APPEARANCE,
        **SERVER,
        max_threads=MAX_THREADS,
        state_session_capacity=MAX_SESSIONS,
    )
