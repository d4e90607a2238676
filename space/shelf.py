"""The models that visitors name, beside the Space's own: never more than a few, none too large.

In: a repo id and a revision. Out: a classifier in memory, or a sentence for the page why not.
"""

import logging
import math
from collections import OrderedDict
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock

from classifier import (
    CONFIG,
    MODELS,
    NEEDED,
    TOKENIZER,
    Classifier,
    Unavailable,
    without_onnx,
)
from huggingface_hub import HfApi, ModelInfo, constants, snapshot_download
from huggingface_hub.errors import (  # type: ignore[attr-defined]  # HTTPError is httpx2's
    HFValidationError,
    HTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

PLACES = 2
MAX_ONNX_BYTES = 600_000_000
MAX_OTHER_BYTES = 50_000_000  # config, tokenizer: each
MAX_TOKENS = 4096  # of a text: memory grows with the square of it
MAX_CHARACTERS = 200  # of a repo id or a revision
TIMEOUT_SECONDS = 10
SAMPLE = ["A film.", "Another film, and not a short one."]  # that it runs at all

log = logging.getLogger(__name__)


class Shelf:
    """Up to `PLACES` models; the one that was not asked for longest makes room for the next.

    Each lies in a temporary folder, not in the Hub's cache: what visitors name must not fill the
    disk. Only what is public can be named, for this app's token may read what its visitors may
    not. Whoever uses what `get` gave does so before others ask for more than `PLACES`: let one
    comparison run at a time.

    Args:
        own: The Space's own classifier, which is used where it is named.
    """

    def __init__(self, own: Classifier) -> None:
        self.own = own
        self._held: OrderedDict[tuple[str, str], tuple[Classifier, TemporaryDirectory[str]]]
        self._held = OrderedDict()
        self._pulling = Lock()

    @property
    def held(self) -> list[str]:
        """What is in memory besides the Space's own, the next to go first."""
        return [repo_id for repo_id, _ in self._held]

    def get(self, repo_id: str, revision: str | None = None) -> Classifier:
        """The classifier of a repository, pulled unless it is here; one pull at a time.

        Args:
            repo_id: `user/name` on the Hub that `HF_ENDPOINT` names.
            revision: Commit, tag or branch; the newest of `main` when left out.

        Raises:
            Unavailable: It is not public, not there, too large or no classifier, or the Hub is
                away.
        """
        repo_id, revision = repo_id.strip(), (revision or "").strip() or None
        if not repo_id:
            raise Unavailable("Name both models, as user/name on the Hub.")
        if max(len(repo_id), len(revision or "")) > MAX_CHARACTERS:
            raise Unavailable(f"A name has at most {MAX_CHARACTERS} characters.")
        with self._pulling:
            if self._is_own(repo_id, revision):
                self.own.load()
                return self.own
            info = _look(repo_id, revision)
            assert info.sha is not None
            if self._is_own(repo_id, info.sha):
                return self.own
            key = (repo_id, info.sha)
            if key not in self._held:
                file = _suitable(info, repo_id)
                while len(self._held) >= PLACES:
                    _, (_, folder) = self._held.popitem(last=False)
                    folder.cleanup()
                self._held[key] = _pull(repo_id, info.sha, file)
            self._held.move_to_end(key)
            return self._held[key][0]

    def _is_own(self, repo_id: str, revision: str | None) -> bool:
        own = self.own
        if repo_id != own.repo_id:
            return False
        return (revision or "main") == (own.revision or "main") or revision == own.commit


def _look(repo_id: str, revision: str | None) -> ModelInfo:
    """What the Hub says of a model to anyone, sizes and all."""
    hub = constants.ENDPOINT
    try:
        info = HfApi(token=False).model_info(
            repo_id, revision=revision, files_metadata=True, timeout=TIMEOUT_SECONDS
        )
    except HFValidationError as error:
        raise Unavailable(f"A model is named user/name on the Hub, got {repo_id!r}.") from error
    except RepositoryNotFoundError as error:
        raise Unavailable(
            f"The Hub at {hub} has no public model {repo_id}. Private ones can't be compared here."
        ) from error
    except RevisionNotFoundError as error:
        raise Unavailable(f"{repo_id} has no revision {revision}.") from error
    except (HTTPError, OSError) as error:
        raise _away(repo_id) from error
    if info.gated:
        raise Unavailable(f"{repo_id} is gated: only what anyone may read can be compared here.")
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
            raise Unavailable(
                f"{repo_id} is too large to be compared here: its {name} may have at most "
                f"{limit / 1e6:,.0f} MB, and has {size / 1e6:,.0f}."
            )
    return file


def _pull(repo_id: str, commit: str, file: str) -> tuple[Classifier, TemporaryDirectory[str]]:
    folder = TemporaryDirectory(prefix="compared-", ignore_cleanup_errors=True)
    try:
        snapshot_download(
            repo_id,
            revision=commit,
            allow_patterns=[*NEEDED, file],
            local_dir=folder.name,
            token=False,
        )
        classifier = Classifier.from_folder(Path(folder.name))
        reader = classifier.load()
        reader.limit = min(reader.limit, MAX_TOKENS)
        classifier.many(SAMPLE)
    except (HTTPError, OSError) as error:
        folder.cleanup()
        log.warning("%s can't be pulled: %s", repo_id, error)
        raise _away(repo_id) from error
    except Exception as error:  # whatever is on the Hub can be named: anything can go wrong
        folder.cleanup()
        log.warning("%s can't be used: %s", repo_id, error)
        raise Unavailable(
            f"{repo_id} is not a text classifier that this app can load: it needs a {CONFIG} with "
            f"named labels, a {TOKENIZER}, and ONNX files that give logits."
        ) from error
    classifier.repo_id, classifier.revision, classifier.commit = repo_id, commit, commit
    return classifier, folder


def _away(repo_id: str) -> Unavailable:
    return Unavailable(
        f"The Hub at {constants.ENDPOINT} does not give {repo_id} at this moment. Try again later."
    )
