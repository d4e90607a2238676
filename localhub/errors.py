"""What the Hub answers when it says no: a status, the headers clients read, and a JSON body."""

from collections.abc import Mapping


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
        # A header is one line of latin-1; the body carries the message as it is.
        line = " ".join(message.split()).encode("latin-1", "replace").decode("latin-1")
        self.headers = {"X-Error-Message": line, **(headers or {})}
        if code:
            self.headers["X-Error-Code"] = code


def missing_repo(known_caller: bool) -> HubError:
    """A repository that is absent, or private to others: the Hub does not say which."""
    status = 404 if known_caller else 401
    return HubError(status, "Repository not found", "RepoNotFound")


def missing_revision(revision: str) -> HubError:
    """No branch, tag or commit of that name."""
    return HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")


def missing_entry(message: str, commit: str) -> HubError:
    """No such file or folder in the revision `commit`; clients cache the answer by that header."""
    return HubError(404, message, "EntryNotFound", {"X-Repo-Commit": commit})
