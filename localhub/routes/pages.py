"""Plain-text pages for a person who opens a URL that a client printed."""

from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from ..auth import require_repo
from ..names import KINDS
from ..repos import Repo
from ..request import base_url, hub_of, repo_url, revision_param


def front(request: Request) -> Response:
    """The list of public repositories."""
    hub, url = hub_of(request), base_url(request)

    def address(repo: Repo) -> str:
        return "" if repo.private else f"{url}/{repo.url_path}"

    addresses = [line for kind in KINDS for line in hub.map_repos(kind, address) if line]
    return PlainTextResponse("\n".join([f"localhub: {hub.root}", "", *addresses, "", ""]))


def revision(request: Request) -> Response:
    """A revision: its commit, its files and its README.md."""
    repo = require_repo(request, "read")
    hub, url, name = hub_of(request), repo_url(request, repo), revision_param(request)
    commit = repo.revision(name)
    lines = [f"{url} at {commit.sha}", f"{commit.date} {commit.author}: {commit.title}", ""]
    for path, entry in commit.files.items():
        lines.append(f"{entry.size:>14,}  {url}/resolve/{quote(name, safe='')}/{quote(path)}")
    return PlainTextResponse("\n".join([*lines, "", hub.readme(commit)]))


ROUTES = [
    Route("/", front),
    *(
        Route(kind + "/{namespace:user}/{name}" + rest, revision)
        for kind in ("/{kind:site}", "")
        for rest in ("", "/{page:page}/{revision}")
    ),
]
