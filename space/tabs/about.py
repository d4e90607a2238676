"""The tab about the model that answers: its figures, plots and limits, and how to call it.

In: the classifier, and the tab, which is filled when it is first opened. Out: components.
"""

import base64
import os
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

import gradio
from huggingface_hub import constants
from markdown_it import MarkdownIt

from space import about, views
from space.about import Facts
from space.inference.classifier import Classifier, ModelUnavailable
from space.tabs.events import QUIET
from space.usage import Usage, address, colab_link, retraining, usage

EMPTY = '<p class="empty">What the model\'s own repository says of it comes here.</p>'
CALLS = {
    "The model, from Python": "pipeline",
    "The model, from a browser or Node.js": "browser",
    "This page, from Python": "client",
    "This page, from JavaScript": "javascript",
    "This page, from a shell": "curl",
}
STYLE = """
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.3rem 1rem; margin: 1rem 0; }
dt { color: var(--quiet); }
dd { margin: 0; overflow-wrap: anywhere; }
h2, h3 { margin: 1.6rem 0 0.5rem; }
.side { display: flex; flex-wrap: wrap; gap: 1rem 2.5rem; align-items: flex-start; }
.side figure { flex: 0 1 19rem; }
.side table, .card table { border-collapse: collapse; border: 0; font-size: 0.9rem; }
.side caption { text-align: left; font-weight: 600; padding: 0.3rem 0.5rem; }
.side th, .side td, .card th, .card td { text-align: left; padding: 0.25rem 0.5rem; border: 0;
  border-bottom: 1px solid var(--border-color-primary); font-weight: inherit; }
.side td { text-align: right; font-variant-numeric: tabular-nums; }
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
  await navigator.clipboard.writeText(button.closest("figure").querySelector("code").textContent);
  button.textContent = "Copied";
});"""
# Images would be called for wherever the card says.
MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")


def build(classifier: Classifier, tab: Any) -> None:
    """Lay the tab out; `tab` is the one it stands in."""
    source = about.Source(classifier)
    opened = gradio.State()  # the commit that a visitor's page shows
    page = gradio.HTML(EMPTY, css_template=STYLE, js_on_load=COPY)

    def show(shown: str | None, request: gradio.Request) -> list[Any]:
        """Everything in the tab, unless it is there already."""
        if shown and shown == classifier.commit:
            return [gradio.skip(), gradio.skip()]
        try:
            facts = source.facts()
        except ModelUnavailable as reason:
            return [None, views.sentence(reason)]
        here = address(os.environ, dict(request.headers), request.request.url.scheme)
        return [facts.commit, body(facts, here)]

    tab.select(show, opened, [opened, page], **QUIET)


def body(facts: Facts, here: str) -> str:
    """The page's HTML, in which all that comes from the repository is text.

    Args:
        facts: Of the model.
        here: The page's address.
    """
    title, rows = _link(facts.page, facts.repo_id), about.headline(facts)
    return (
        f'<article><h2 id="model">{title}</h2>'
        + "".join(f'<p class="remark">{escape(sentence)}</p>' for sentence in facts.missing)
        + (views.figures(rows, "Figures") if rows else "")
        + _list(about.origin(facts))
        + _section("Where it fails", _failing(facts))
        + _section("Plots", _side(_plot(*plot) for plot in facts.plots.items()))
        + _section("Limits", prose(about.limits(facts.card), facts))
        + _section("How to call it", _calling(facts, here))
        + _section("How to train your own", _training(facts))
        + "</article>"
    )


def _failing(facts: Facts) -> str:
    unsure, behaviour = about.unsure(facts), ("error_analysis", "behaviour")
    tables = [
        ("By length in tokens", "reviews, right", ("slices", "length_tokens")),
        ("Sentences made to tell", "tests, passed", (*behaviour, "sentences")),
        ("Pairs made to tell", "tests, passed", (*behaviour, "pairs")),
    ]
    return (f"<p>{escape(unsure)}</p>" if unsure else "") + _side(
        _table(caption, ["", *heads.split(", ")], about.shares(facts, *keys))
        for caption, heads, keys in tables
    )


def _calling(facts: Facts, here: str) -> str:
    found: Usage = usage(facts, here)
    return "".join(_code(label, getattr(found, name)) for label, name in CALLS.items())


def _training(facts: Facts) -> str:
    on_colab = ""
    if notebook := colab_link(facts):
        link = _link(notebook, "the notebook on Colab")
        on_colab = f'<p>On a free GPU in the browser: open {link} and choose "Run all".</p>'
    return (
        on_colab
        + "<p>In a clone of the project, one command trains, evaluates and publishes with the "
        "recipe of this model:</p>" + _code("Train again", retraining(facts))
    )


def prose(markdown: str, facts: Facts) -> str:
    """Markdown of a card as HTML: no markup of its own, no images, links that lead to the Hub."""
    if not markdown:
        return ""
    tokens = MARKDOWN.parse(markdown)
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = "h3"
        for part in token.children or []:
            if part.type == "link_open":
                target = str(part.attrGet("href") or "")
                if not target.startswith(("http://", "https://", "mailto:")):
                    blob = f"{constants.ENDPOINT}/{facts.repo_id}/blob/{facts.commit}"
                    part.attrSet("href", f"{blob}/{target.lstrip('/')}")
                part.attrSet("target", "_blank")
                part.attrSet("rel", "noopener")
    return f'<div class="card">{MARKDOWN.renderer.render(tokens, MARKDOWN.options, {})}</div>'


def _section(heading: str, content: str) -> str:
    return f"<section><h2>{heading}</h2>{content}</section>" if content else ""


def _list(rows: Sequence[about.Row]) -> str:
    items = (f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in rows)
    return f"<dl>{''.join(items)}</dl>"


def _side(parts: Iterable[str]) -> str:
    """Side by side, as far as the page is wide."""
    content = "".join(parts)
    return f'<div class="side">{content}</div>' if content else ""


def _table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    content = "".join(
        f'<tr><th scope="row">{escape(name)}</th>'
        + "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        + "</tr>"
        for name, *cells in rows
    )
    if not content:
        return ""
    first, *others = heads
    head = f"<td>{first}</td>" + "".join(f'<th scope="col">{name}</th>' for name in others)
    return f"<table><caption>{caption}</caption><tr>{head}</tr>{content}</table>"


def _plot(shows: str, image: bytes) -> str:
    encoded = base64.b64encode(image).decode()
    return (
        f'<figure><img src="data:image/png;base64,{encoded}" alt="{escape(shows)}">'
        f"<figcaption>{escape(shows)}</figcaption></figure>"
    )


def _code(label: str, code: str) -> str:
    return (
        f"<figure><figcaption>{label} "
        f'<button type="button" class="copy" aria-label="Copy: {label}">Copy</button></figcaption>'
        f"<pre><code>{escape(code)}</code></pre></figure>"
    )


def _link(target: str, text: str) -> str:
    return f'<a href="{escape(target)}" target="_blank" rel="noopener">{escape(text)}</a>'
