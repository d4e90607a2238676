"""The About tab: metrics, plots and limitations of the loaded model, and how to use it.

In: the classifier, and the tab, which is filled when it is first opened. Out: components.
"""

import base64
import os
from collections.abc import Iterable
from html import escape
from typing import Any

import gradio
from huggingface_hub import constants
from markdown_it import MarkdownIt

from space import about, views
from space.about import Facts
from space.inference.classifier import Classifier, ModelUnavailable
from space.tabs.events import QUIET
from space.usage import colab_link, page_address, retraining, usage

EMPTY = '<p class="empty">Metrics and limitations of the model appear here.</p>'
STYLE = """
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.3rem 1rem; margin: 1rem 0; }
dt { color: var(--quiet); }
dd { margin: 0; overflow-wrap: anywhere; }
h2, h3 { margin: 1.6rem 0 0.5rem; }
.columns { display: flex; flex-wrap: wrap; gap: 1rem 2.5rem; align-items: flex-start; }
.columns figure { flex: 0 1 19rem; }
.columns table, .card table { border-collapse: collapse; border: 0; font-size: 0.9rem; }
.columns caption { text-align: left; font-weight: 600; padding: 0.3rem 0.5rem; }
.columns th, .columns td, .card th, .card td { text-align: left; padding: 0.25rem 0.5rem; border: 0;
  border-bottom: 1px solid var(--border-color-primary); font-weight: inherit; }
.columns td { text-align: right; font-variant-numeric: tabular-nums; }
figure { margin: 0 0 1rem; max-width: 100%; }
figure img { max-width: 100%; background: white; border-radius: 4px; }
figcaption { display: flex; justify-content: space-between; font-size: 0.9rem; }
pre { margin: 0.3rem 0 0; padding: 0.7rem; white-space: pre-wrap; overflow-wrap: anywhere;
  border: 1px solid var(--border-color-primary); border-radius: 4px; font-size: 0.85rem; }
pre code { background: none; border: 0; padding: 0; }
button.copy { border: 1px solid var(--border-color-primary); border-radius: 4px;
  padding: 0 0.6rem; cursor: pointer; background: none; color: inherit; }
.card { overflow-wrap: anywhere; }
"""
COPY = """element.addEventListener("click", async (event) => {
  const button = event.target.closest("button.copy");
  if (!button) return;
  const code = button.closest("figure").querySelector("code");
  try {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = "Copied";
  } catch {  // not allowed, or the page has no HTTPS
    getSelection().selectAllChildren(code);
    button.textContent = "Selected: press Ctrl+C";
  }
});"""
# Without images, which would load from any address that the card names.
MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")


def build(classifier: Classifier, tab: Any) -> None:
    """Lay out the tab and fill it when the user selects it."""
    loader = about.FactsLoader(classifier)
    shown_commit = gradio.State()
    page = gradio.HTML(EMPTY, css_template=STYLE, js_on_load=COPY)

    def show(shown: str | None, request: gradio.Request) -> list[Any]:
        """The commit and the content of the tab; unchanged if it shows this commit already."""
        if shown and shown == classifier.commit:
            return [gradio.skip(), gradio.skip()]
        try:
            facts = loader.load()
        except ModelUnavailable as reason:
            return [None, views.message(reason)]
        address = page_address(os.environ, dict(request.headers), request.request.url.scheme)
        return [facts.commit, render(facts, address)]

    tab.select(show, shown_commit, [shown_commit, page], **QUIET)


def render(facts: Facts, address: str) -> str:
    """The tab's HTML; everything that comes from the repository is escaped.

    Args:
        facts: About the model.
        address: URL of this page.
    """
    metrics = about.headline_metrics(facts)
    plots = _columns(_plot(*plot) for plot in facts.plots.items())
    snippets = "".join(_code(*snippet) for snippet in usage(facts, address).items())
    return (
        f'<article><h2 id="model">{_link(facts.url, facts.repo_id)}</h2>'
        + "".join(f'<p class="remark">{escape(sentence)}</p>' for sentence in facts.missing)
        + (views.figures(metrics, f"{facts.split.capitalize()} metrics") if metrics else "")
        + _list(about.provenance(facts))
        + _section("Error analysis", _error_analysis(facts))
        + _section("Plots", plots)
        + _section("Limitations", render_card(about.limitations(facts.card), facts))
        + _section("Use this model", snippets)
        + _section("Train your own model", _training(facts))
        + "</article>"
    )


def _error_analysis(facts: Facts) -> str:
    unsure, behavior = about.unsure_summary(facts), ("error_analysis", "behavior")
    tables = [
        ("By length in tokens", ["reviews", "accuracy"], ("slices", "length_tokens")),
        ("Behavioral tests: sentences", ["tests", "passed"], (*behavior, "sentences")),
        ("Behavioral tests: pairs", ["tests", "passed"], (*behavior, "pairs")),
    ]
    return (f"<p>{escape(unsure)}</p>" if unsure else "") + _columns(
        views.table(headings, rows, caption)
        for caption, headings, keys in tables
        if (rows := about.accuracy_rows(facts, *keys))
    )


def _training(facts: Facts) -> str:
    on_colab = ""
    if notebook := colab_link(facts):
        link = _link(notebook, "the notebook on Colab")
        on_colab = f'<p>On a free GPU in the browser: open {link} and choose "Run all".</p>'
    return (
        on_colab
        + "<p>In a clone of the project, these commands fetch the recipe of this model, train, "
        "evaluate and publish:</p>" + _code("Train again", retraining(facts))
    )


def render_card(markdown: str, facts: Facts) -> str:
    """Markdown of a card as HTML: no raw HTML, no images, relative links lead to the Hub."""
    if not markdown:
        return ""
    tokens = MARKDOWN.parse(markdown)
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = "h3"
        for child in token.children or []:
            if child.type == "link_open":
                target = str(child.attrGet("href") or "")
                if not target.startswith(("http://", "https://", "mailto:")):
                    files = f"{constants.ENDPOINT}/{facts.repo_id}/blob/{facts.commit}"
                    child.attrSet("href", f"{files}/{target.lstrip('/')}")
                child.attrSet("target", "_blank")
                child.attrSet("rel", "noopener")
    return f'<div class="card">{MARKDOWN.renderer.render(tokens, MARKDOWN.options, {})}</div>'


def _section(heading: str, content: str) -> str:
    return f"<section><h2>{heading}</h2>{content}</section>" if content else ""


def _list(rows: Iterable[tuple[str, str]]) -> str:
    items = (f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in rows)
    return f"<dl>{''.join(items)}</dl>"


def _columns(parts: Iterable[str]) -> str:
    """Parts side by side, wrapped to the width of the page."""
    content = "".join(parts)
    return f'<div class="columns">{content}</div>' if content else ""


def _plot(caption: str, image: bytes) -> str:
    encoded = base64.b64encode(image).decode()
    return (
        f'<figure><img src="data:image/png;base64,{encoded}" alt="{escape(caption)}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def _code(caption: str, code: str) -> str:
    return (
        f"<figure><figcaption>{caption} "
        f'<button type="button" class="copy" aria-label="Copy: {caption}">Copy</button>'
        f"</figcaption><pre><code>{escape(code)}</code></pre></figure>"
    )


def _link(target: str, text: str) -> str:
    return f'<a href="{escape(target)}" target="_blank" rel="noopener">{escape(text)}</a>'
