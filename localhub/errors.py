"""The Hub's error answers: a status, the headers that clients read, and a JSON body."""

from collections.abc import Mapping

MAX_HEADER_CHARS = 1000


class HubError(Exception):
    """An error answer.

    Args:
        status: HTTP status code.
        message: The rule, the value seen and the remedy. Also sent as `X-Error-Message`.
        code: `X-Error-Code`, from which huggingface_hub chooses the exception it raises.
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
    """A message as a header: one short line of printable latin-1.

    Servers refuse to send control characters, and clients refuse headers over 64 KiB.
    """
    line = " ".join(message[:MAX_HEADER_CHARS].split()).encode("latin-1", "replace")
    return "".join(char if char.isprintable() else "?" for char in line.decode("latin-1"))


def missing_repo(is_anonymous: bool) -> HubError:
    """The repository is absent or private. The Hub does not say which."""
    return HubError(401 if is_anonymous else 404, "Repository not found", "RepoNotFound")


class RepoGone(HubError):
    """A repository was deleted, moved or replaced while a request was using it."""

    def __init__(self, repo_id: str) -> None:
        super().__init__(404, f"{repo_id} was deleted or moved meanwhile.", "RepoNotFound")


def missing_revision(revision: str) -> HubError:
    """No branch, tag or commit has that name."""
    return HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")


def missing_entry(message: str, commit: str) -> HubError:
    """The revision `commit` has no such file or folder. Clients cache this answer by the commit."""
    return HubError(404, message, "EntryNotFound", {"X-Repo-Commit": commit})
