"""Plain pages for a person who opens an address that a client printed."""

from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from ..access import base_url, hub_of, param, repo_url, repository
from ..names import KINDS
from ..repos import Repo


def front(request: Request) -> Response:
    """The public repositories."""
    hub, url = hub_of(request), base_url(request)

    def address(repo: Repo) -> str:
        return "" if repo.private else f"{url}/{repo.url_path}"

    found = [line for kind in KINDS for line in hub.each(kind, address) if line]
    lines = [f"localhub: {hub.root}", "", *found, ""]
    return PlainTextResponse("\n".join(lines))


def revision(request: Request) -> Response:
    """A revision: what it is, its files, and its README."""
    repo = repository(request, "read")
    hub, url = hub_of(request), repo_url(request, repo)
    name = param(request, "revision") if "revision" in request.path_params else "main"
    commit = repo.revision(name)
    lines = [f"{url} at {commit.sha}", f"{commit.date} {commit.author}: {commit.title}", ""]
    for path, entry in commit.files.items():
        lines.append(f"{entry.size:>14,}  {url}/resolve/{quote(name, safe='')}/{quote(path)}")
    readme = commit.files.get("README.md")
    text = hub.content(readme).read_text("utf-8", "replace") if readme else ""
    return PlainTextResponse("\n".join([*lines, "", text]))


ROUTES = [
    Route("/", front),
    *(
        Route(kind + "/{namespace:user}/{name}" + rest, revision)
        for kind in ("/{kind:site}", "")
        for rest in ("", "/{page:page}/{revision}")
    ),
]
