"""The models that visitors name, beside the Space's own: never more than a few, none too large.

In: a repo id and a revision. Out: a classifier to use for a while, or a sentence for the page why
not.
"""

import logging
import math
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Any, Protocol

from huggingface_hub import HfApi, ModelInfo, constants
from huggingface_hub.errors import (  # type: ignore[attr-defined]  # HTTPError is httpx2's
    HFValidationError,
    HTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from space.inference.classifier import (
    MODELS,
    NEEDED,
    Classifier,
    InvalidText,
    ModelUnavailable,
    Prediction,
    without_onnx,
)
from space.inference.sandbox import Sandboxed, away

PLACES = 2
MAX_ONNX_BYTES = 600_000_000
MAX_OTHER_BYTES = 50_000_000  # config, tokenizer: each
MAX_CHARACTERS = 200  # of a repo id or a revision
TIMEOUT_SECONDS = 10

log = logging.getLogger(__name__)

Key = tuple[str, str]  # repo id, commit


class Model(Protocol):
    """What a comparison needs of a classifier."""

    repo_id: Any  # str; mypy takes an attribute of a protocol for one that may be set
    commit: Any

    @property
    def labels(self) -> list[str]:
        """The labels, in the model's order."""

    def many(self, texts: Sequence[Any]) -> list[Prediction | InvalidText]:
        """For each text a verdict, or the reason why it has none."""


class ModelCache:
    """Foreign models, each in a worker process that serves one comparison at a time.

    Up to `PLACES` of them are kept running while nobody uses them; the one that was not asked for
    longest makes room for the next. Several comparisons may borrow models at once, and none waits
    for another: a second copy of a model that is in use is pulled anew.

    Each lies in a temporary folder, not in the Hub's cache: what visitors name must not fill the
    disk. Only what is public can be named, for this app's token may read what its visitors may
    not.

    Args:
        own: The Space's own classifier, which is used where it is named.
    """

    def __init__(self, own: Classifier) -> None:
        self.own = own
        self._idle: OrderedDict[Key, Sandboxed] = OrderedDict()
        self._lent = 0
        self._changing = Lock()

    @property
    def idle(self) -> list[str]:
        """What runs besides the Space's own without being used, the next to go first."""
        return [repo_id for repo_id, _ in self._idle]

    @contextmanager
    def lend(
        self,
        repo_id: str,
        revision: str | None = None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> Iterator[Model]:
        """The classifier of a repository until the block ends, pulled unless it is here.

        Args:
            repo_id: `user/name` on the Hub that `HF_ENDPOINT` names.
            revision: Commit, tag or branch; the newest of `main` when left out.
            stopped: Whether its answers are not wanted any more: a foreign model is killed then.

        Raises:
            ModelUnavailable: It is not public, not there, too large or no classifier, goes beyond a
                limit of `sandbox`, or the Hub is away.
        """
        repo_id, revision = (repo_id or "").strip(), (revision or "").strip() or None
        if not repo_id:
            raise ModelUnavailable("Name both models, as user/name on the Hub.")
        if max(len(repo_id), len(revision or "")) > MAX_CHARACTERS:
            raise ModelUnavailable(f"A name has at most {MAX_CHARACTERS} characters.")
        info = None if self._is_own(repo_id, revision) else _look(repo_id, revision)
        if info is None or self._is_own(repo_id, info.sha):
            self.own.load()
            yield self.own
            return
        assert info.sha is not None
        key, file = (repo_id, info.sha), _suitable(info, repo_id)
        with self._changing:
            model = self._idle.pop(key, None)
            if model and not model.alive:
                model.close()
                model = None
            self._lent += 1
            self._make_room()
        try:
            model = model or Sandboxed(repo_id, info.sha, file, stopped)
            model.stopped = stopped
            yield model
        finally:
            with self._changing:
                self._lent -= 1
                if model and model.alive and key not in self._idle:
                    self._idle[key] = model
                elif model:
                    model.close()
                self._make_room()

    def _make_room(self) -> None:
        while self._idle and len(self._idle) + self._lent > PLACES:
            self._idle.popitem(last=False)[1].close()

    def _is_own(self, repo_id: str, revision: str | None) -> bool:
        own = self.own
        if repo_id != own.repo_id:
            return False
        return (revision or "main") == (own.revision or "main") or revision == own.commit


def _look(repo_id: str, revision: str | None) -> ModelInfo:
    """What the Hub says of a model to anyone, sizes and all."""
    if constants.is_offline_mode():
        raise ModelUnavailable(
            f"HF_HUB_OFFLINE is set, so this app can't fetch {repo_id} to compare it. Unset it."
        )
    hub = constants.ENDPOINT
    try:
        info = HfApi(token=False).model_info(
            repo_id, revision=revision, files_metadata=True, timeout=TIMEOUT_SECONDS
        )
    except HFValidationError as error:
        raise ModelUnavailable(
            f"A model is named user/name on the Hub, got {repo_id!r}."
        ) from error
    except RepositoryNotFoundError as error:
        raise ModelUnavailable(
            f"The Hub at {hub} has no public model {repo_id}. Private ones can't be compared here."
        ) from error
    except RevisionNotFoundError as error:
        raise ModelUnavailable(f"{repo_id} has no revision {revision}.") from error
    except (HTTPError, OSError) as error:
        raise away(repo_id) from error
    except Exception as error:  # the front matter of a stranger's README comes along
        log.warning("what the Hub says of %s can't be read: %s", repo_id, error)
        raise ModelUnavailable(f"What the Hub says of {repo_id} can't be read.") from error
    if info.gated:
        raise ModelUnavailable(
            f"{repo_id} is gated: only what anyone may read can be compared here."
        )
    return info


def _suitable(info: ModelInfo, repo_id: str) -> str:
    """The ONNX file to pull; how large files are is known before any is pulled."""
    sizes = {
        found.rfilename: math.inf if found.size is None else found.size
        for found in info.siblings or []
    }
    file = next((model for model in MODELS if model in sizes), None)
    if file is None:
        raise without_onnx(repo_id)
    for name, limit in [(file, MAX_ONNX_BYTES), *((name, MAX_OTHER_BYTES) for name in NEEDED)]:
        size = sizes.get(name, 0)
        if size > limit:
            raise ModelUnavailable(
                f"{repo_id} is too large to be compared here: its {name} may have at most "
                f"{limit / 1e6:,.0f} MB, and has {size / 1e6:,.0f}."
            )
    return file
