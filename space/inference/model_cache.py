"""The models that users name for a comparison: never more than a few in memory, none too large.

In: the name of a model. Out: a classifier to use for a while, or a sentence for the page why there
is none.
"""

import logging
import math
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import NamedTuple

from huggingface_hub import HfApi, ModelInfo, constants
from huggingface_hub.errors import (  # type: ignore[attr-defined]  # HTTPError is httpx2's
    HFValidationError,
    HTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from space.inference.classifier import Classifier, ModelUnavailable
from space.inference.download import ONNX_FILES, REQUIRED_FILES
from space.inference.sandbox import SandboxedClassifier, hub_unavailable_message

MAX_MODELS = 2  # in memory besides the Space's own
MAX_ONNX_BYTES = 600_000_000
MAX_OTHER_BYTES = 50_000_000  # of config.json and of each tokenizer file
MAX_CHARACTERS = 200  # of a repo id or a revision
TIMEOUT_SECONDS = 10

log = logging.getLogger(__name__)

Key = tuple[str, str, str]  # repo id, commit, ONNX file
Model = Classifier | SandboxedClassifier


class ModelName(NamedTuple):
    """A model on the Hub at `HF_ENDPOINT`."""

    repo_id: str  # user/name
    revision: str | None = None  # commit, tag or branch; the newest commit of `main` by default
    file: str | None = None  # one of `ONNX_FILES`; the first that the repository has by default


class ModelCache:
    """Other people's models, each in a worker process that serves one comparison at a time.

    Up to `MAX_MODELS` are kept running while nobody uses them; the least recently used is closed
    first. Comparisons don't wait for each other: a second copy of a model in use is downloaded.

    Models are downloaded to temporary folders and not to the Hub's cache, so that they can't fill
    the disk. Only public models are accepted, because this app's token may read more than its users
    may.

    Args:
        own: The Space's own classifier, which is used if a user names it.
    """

    def __init__(self, own: Classifier) -> None:
        self.own = own
        self._idle: OrderedDict[Key, SandboxedClassifier] = OrderedDict()
        self._in_use = 0
        self._lock = Lock()

    @property
    def idle(self) -> list[str]:
        """The repo ids of the running models that nobody uses, the least recently used first."""
        return [repo_id for repo_id, *_ in self._idle]

    @contextmanager
    def acquire(
        self,
        name: ModelName,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Iterator[Model]:
        """The classifier of a repository until the block ends, downloaded if necessary.

        Args:
            name: Of the model, as a user wrote it.
            cancelled: Whether the client has gone: the worker of the model is killed then.

        Raises:
            ModelUnavailable: The model does not exist or is not public, is too large or no
                classifier, or exceeds a limit of `sandbox`; or the Hub can't be reached.
        """
        repo_id, revision, file = name
        if max(len(repo_id), len(revision or "")) > MAX_CHARACTERS:
            raise ModelUnavailable(
                f"The name and revision of a model may have at most {MAX_CHARACTERS} characters."
            )
        info = None if self._is_own(name) else _model_info(repo_id, revision)
        if info is None or self._is_own(name._replace(revision=info.sha)):
            self.own.load()
            yield self.own
            return
        key = (repo_id, info.sha or "", _onnx_file(info, repo_id, file))
        model = self._take(key)
        try:
            model = model or SandboxedClassifier(*key, cancelled)
            model.cancelled = cancelled
            yield model
        finally:
            self._give_back(key, model)

    def _take(self, key: Key) -> SandboxedClassifier | None:
        """Count one more model in use; returns it if it is idle and alive."""
        with self._lock:
            model = self._idle.pop(key, None)
            if model and not model.alive:
                model.close()
                model = None
            self._in_use += 1
            self._evict()
            return model

    def _give_back(self, key: Key, model: SandboxedClassifier | None) -> None:
        with self._lock:
            self._in_use -= 1
            if model and model.alive and key not in self._idle:
                self._idle[key] = model
            elif model:
                model.close()
            self._evict()

    def _evict(self) -> None:
        while self._idle and len(self._idle) + self._in_use > MAX_MODELS:
            self._idle.popitem(last=False)[1].close()

    def _is_own(self, name: ModelName) -> bool:
        own = self.own
        if name.repo_id != own.repo_id or (name.file and not own.load().file.match(name.file)):
            return False
        loaded = own.loaded_revision or "main"  # another than at the start after a reload
        return (name.revision or "main") == loaded or name.revision == own.commit


def is_available(name: ModelName) -> bool:
    """Whether the Hub has a model that can be compared."""
    try:
        _onnx_file(_model_info(name.repo_id, name.revision), name.repo_id, name.file)
    except ModelUnavailable:
        return False
    return True


def _model_info(repo_id: str, revision: str | None) -> ModelInfo:
    """The Hub's public information on a model, with file sizes."""
    if constants.is_offline_mode():
        raise ModelUnavailable(
            f"This app is offline (HF_HUB_OFFLINE), so it can't download {repo_id}."
        )
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
            f"The Hub at {constants.ENDPOINT} has no public model {repo_id}. Private ones can't be "
            "compared here."
        ) from error
    except RevisionNotFoundError as error:
        raise ModelUnavailable(f"{repo_id} has no revision {revision}.") from error
    except (HTTPError, OSError) as error:
        raise ModelUnavailable(hub_unavailable_message(repo_id)) from error
    except Exception as error:  # the answer contains the front matter of the model's README
        log.warning("the Hub's information on %s can't be read: %s", repo_id, error)
        raise ModelUnavailable(f"The Hub's information on {repo_id} can't be read.") from error
    if info.gated:
        raise ModelUnavailable(f"{repo_id} is gated: only public models can be compared here.")
    return info


def _onnx_file(info: ModelInfo, repo_id: str, file: str | None = None) -> str:
    """The ONNX file to download, after a check of all file sizes."""
    sizes = {
        file.rfilename: math.inf if file.size is None else file.size for file in info.siblings or []
    }
    onnx_file = next((name for name in ([file] if file else ONNX_FILES) if name in sizes), None)
    if onnx_file is None:
        name = file or f"{ONNX_FILES[-1]}, which this app needs"
        raise ModelUnavailable(f"{repo_id} has no {name}. Choose another model.")
    limits = dict.fromkeys(REQUIRED_FILES, MAX_OTHER_BYTES) | {onnx_file: MAX_ONNX_BYTES}
    for name, limit in limits.items():
        size = sizes.get(name, 0)
        if size > limit:
            shown = "of unknown size" if math.isinf(size) else f"{math.ceil(size / 1e6):,} MB"
            raise ModelUnavailable(
                f"{repo_id} is too large to be compared here: its {name} is {shown}; "
                f"the limit is {limit / 1e6:,.0f} MB."
            )
    return onnx_file
