"""The page's title, description and picture in chats and search results.

In: Gradio's template of the page. Out: the template with the page's own tags. This module uses
internals of Gradio; the Space pins Gradio's version.
"""

import re
from html import escape
from pathlib import Path

from gradio.routes import templates
from jinja2 import ChoiceLoader, DictLoader
from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.routing import Route

PICTURE = Path(__file__).parent.parent / "preview.png"  # 1,200 by 630 pixels
TEMPLATE = "frontend/index.html"
TAG = re.compile(r'<meta\s+(?:property="og:|name="twitter:)[^>]*>\s*')
ADDRESS = "{{ config['root'] | e }}"  # of the page, also behind a proxy


def describe(title: str, description: str) -> None:
    """Replace Gradio's tags by the page's own; call it before the page is launched."""
    loader = templates.env.loader
    assert loader is not None
    source, _, _ = loader.get_source(templates.env, TEMPLATE)
    template = TAG.sub("", source).replace("<style>", f"{_tags(title, description)}<style>", 1)
    templates.env.loader = ChoiceLoader([DictLoader({TEMPLATE: template}), loader])


def picture_route() -> Route:
    """Serves the picture, which other sites load from an absolute address."""

    async def picture(request: Request) -> FileResponse:
        return FileResponse(PICTURE)

    return Route(f"/{PICTURE.name}", picture)


def _tags(title: str, description: str) -> str:
    properties = {
        "og:type": "website",
        "og:title": title,
        "og:description": description,
        "og:url": ADDRESS,
        "og:image": f"{ADDRESS}/{PICTURE.name}",
        "og:image:width": "1200",
        "og:image:height": "630",
        "og:image:alt": f"A review and its analysis on the page {title}",
    }
    tags = [
        f'<meta property="{name}" content="{content if ADDRESS in content else escape(content)}">'
        for name, content in properties.items()
    ]
    return "\n".join(
        [
            f"<title>{escape(title)}</title>",
            f'<meta name="description" content="{escape(description)}">',
            '<meta name="twitter:card" content="summary_large_image">',
            *tags,
        ]
    )
