"""What the Hub answers when it says no: a status, the headers clients read, and a JSON body."""

from collections.abc import Mapping

HEADER_CHARS = 1000


class HubError(Exception):
    """A refusal, on the wire.

    Args:
        status: HTTP status code.
        message: What is wrong, the value seen and the remedy; sent as `X-Error-Message`.
        code: `X-Error-Code`, by which huggingface_hub chooses the exception it raises.
        headers: More headers, such as `X-Repo-Commit`.
        body: More keys of the JSON body, beside `error`.
    """

    def __init__(
        self,
        status: int,
        message: str,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
        body: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": message, **(body or {})}
        self.headers = {"X-Error-Message": _header_value(message), **(headers or {})}
        if code:
            self.headers["X-Error-Code"] = code


def _header_value(message: str) -> str:
    """A message as a header: one short line of printable latin-1; the body carries all of it.

    With a control character the server would send nothing, and clients stop reading at 64 KiB.
    """
    line = " ".join(message[:HEADER_CHARS].split()).encode("latin-1", "replace").decode("latin-1")
    return "".join(char if char.isprintable() else "?" for char in line)


def missing_repo(known_caller: bool) -> HubError:
    """A repository that is absent, or private to others: the Hub does not say which."""
    status = 404 if known_caller else 401
    return HubError(status, "Repository not found", "RepoNotFound")


class RepoGone(HubError):
    """A repository that was deleted, moved or replaced while a request was using it."""

    def __init__(self, repo_id: str) -> None:
        super().__init__(404, f"{repo_id} was deleted or moved meanwhile.", "RepoNotFound")


def missing_revision(revision: str) -> HubError:
    """No branch, tag or commit of that name."""
    return HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")


def missing_entry(message: str, commit: str) -> HubError:
    """No such file or folder in the revision `commit`; clients cache the answer by that header."""
    return HubError(404, message, "EntryNotFound", {"X-Repo-Commit": commit})
