"""The model behind the page: from a repo id and a revision to scores, by ONNX Runtime.

In: a model on the Hub, or a folder, and texts. Out: `{label: probability}` for each and how much
of it was read, or a sentence for the page why there is none.
"""

import errno
import json
import logging
import math
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from threading import Lock
from typing import Any, Self

import numpy as np
from huggingface_hub import constants, snapshot_download
from huggingface_hub.errors import (  # type: ignore[attr-defined]  # HTTPError is httpx2's
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

MAX_CHARACTERS = 100_000
CONFIG, TOKENIZER, TOKENIZER_CONFIG = "config.json", "tokenizer.json", "tokenizer_config.json"
NEEDED = [CONFIG, TOKENIZER, TOKENIZER_CONFIG]
# int8 where it was good enough to be published, else fp32. Nothing else is ever pulled.
MODELS = ["onnx/model_quantized.onnx", "onnx/model.onnx"]
UNWRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.ENOSPC}
CGROUPS = Path("/sys/fs/cgroup")

log = logging.getLogger(__name__)


class ModelUnavailable(Exception):
    """The model can't be had; why, in a sentence for the page."""


class InvalidText(Exception):
    """The text can't be judged; why, in a sentence for the page."""


@dataclass(frozen=True)
class Prediction:
    """Probabilities by label, how many of the text's tokens were read, and how sure it is."""

    probabilities: dict[str, float]
    tokens_read: int
    tokens: int
    unsure: bool = False  # the model's own results say: below this it is wrong too often

    @property
    def label(self) -> str:
        """The most probable label."""
        return max(self.probabilities, key=self.probabilities.__getitem__)


class Classifier:
    """A text classifier, pulled when first needed, that reads any text.

    Args:
        repo_id: `user/name` on the Hub that `HF_ENDPOINT` names.
        revision: Commit, tag or branch; the newest of `main` when left out.
    """

    def __init__(self, repo_id: str | None, revision: str | None = None) -> None:
        self.repo_id = repo_id
        self.revision = revision or None
        self.commit: str | None = None  # the one that is loaded
        self.trouble: str | None = None  # why the last attempt to load it failed
        self._reader: Reader | None = None
        self._loading = Lock()

    @classmethod
    def from_hub(cls, repo_id: str, revision: str | None = None) -> Self:
        """A classifier that is loaded already; see `load` for what can go wrong."""
        classifier = cls(repo_id, revision)
        classifier.load()
        return classifier

    @classmethod
    def from_folder(cls, folder: Path, threads: int | None = None) -> Self:
        """The classifier of a run folder, or of a copy of a repository; see `load`."""
        classifier = cls(str(folder))
        classifier._reader = classifier._open(folder, threads)
        return classifier

    def load(self) -> "Reader":
        """Pull and load the model, unless it is there already; from the cache if the Hub is away.

        Raises:
            ModelUnavailable: No repo id, no such model, or no Hub and nothing in the cache. Another
                call tries again.
        """
        with self._loading:
            if self._reader is None:
                try:
                    folder = self.pull()
                    self._reader = self._open(folder)
                except ModelUnavailable as reason:
                    self.trouble = str(reason)
                    raise
                self.commit, self.trouble = folder.name, None
            return self._reader

    @property
    def labels(self) -> list[str]:
        """The labels, in the model's order; see `load` for what can go wrong."""
        return self.load().labels

    def __call__(self, text: str) -> Prediction:
        """Probabilities of a text; of one beyond the model's reach, beginning and end are read.

        Raises:
            InvalidText: The text has no word in it, or more than `MAX_CHARACTERS` characters.
            ModelUnavailable: As for `load`.
        """
        (answer,) = self.many([text])
        if isinstance(answer, InvalidText):
            raise answer
        return answer

    def many(self, texts: Sequence[Any]) -> list[Prediction | InvalidText]:
        """For each text a verdict, or the reason why it has none.

        Raises:
            ModelUnavailable: As for `load`.
        """
        refused = [refusal(text) for text in texts]
        good = [text for text, reason in zip(texts, refused, strict=True) if not reason]
        answers = iter(self.load().read(good))
        return [reason or next(answers) for reason in refused]

    def pull(self) -> Path:
        """Bring the model into the cache or up to date; gives its folder, named by the commit.

        Raises:
            ModelUnavailable: As for `load`.
        """
        if not self.repo_id:
            raise ModelUnavailable(
                "MODEL_ID is not set. It names the model to show, such as user/movie-sentiment: "
                "set it on a Space under Settings, Variables, and elsewhere in the environment."
            )

        get = partial(snapshot_download, self.repo_id, revision=self.revision)

        def download(local_files_only: bool) -> Path:
            for model in MODELS:
                names = [*NEEDED, model]
                folder = Path(get(allow_patterns=names, local_files_only=local_files_only))
                if (folder / model).exists():
                    break
            return folder

        try:
            try:
                return download(local_files_only=False)
            except HfHubHTTPError:
                raise  # the Hub's own answer
            except HTTPError:
                # A connection that breaks off, unlike a refused one, doesn't end in the cache.
                return download(local_files_only=True)
        except (HTTPError, OSError, HFValidationError) as error:
            raise ModelUnavailable(
                reason(error, self.repo_id, self.revision)
                or f"The Hub at {constants.ENDPOINT} does not answer, and there is no copy of "
                f"{self.repo_id} here. The next question tries again."
            ) from error

    def _open(self, folder: Path, threads: int | None = None) -> "Reader":
        if not any((folder / model).is_file() for model in MODELS):
            raise without_onnx(str(self.repo_id))
        try:
            return Reader(folder, threads)
        except Exception as error:  # whatever is on the Hub can be named: anything can go wrong
            log.exception("%s can't be loaded", self.repo_id)
            raise ModelUnavailable(
                f"{self.repo_id} is not a text classifier that this app can load: it needs a "
                "config.json with named labels, a tokenizer.json, and ONNX files that give "
                "logits. The app's log says what went wrong."
            ) from error


def reason(error: Exception, model: str | None, revision: str | None) -> str | None:
    """Why the Hub's cache has no model, in a sentence; None where the Hub does not answer."""
    hub = constants.ENDPOINT
    if isinstance(error, HFValidationError):
        return f"MODEL_ID must be user/name, as the Hub writes it, got {model!r}."
    if isinstance(error, GatedRepoError):
        return f"{model} is gated: ask for access on its page, and set the secret HF_TOKEN."
    if isinstance(error, RepositoryNotFoundError):
        return f"The Hub at {hub} has no model {model}, or this app's HF_TOKEN may not read it."
    if isinstance(error, RevisionNotFoundError):
        return f"{model} has no revision {revision}: check MODEL_REVISION."
    if isinstance(error, HfHubHTTPError) and error.response.status_code < 500:
        return f"The Hub at {hub} does not give {model}: {error.response.status_code}."
    if isinstance(error, OSError) and error.errno in UNWRITABLE:
        return unwritable(error, "cache", "HF_HOME")
    if constants.is_offline_mode():
        return (
            f"HF_HUB_OFFLINE is set, and {constants.HF_HOME} holds no whole copy of {model}. "
            "Unset it, so that it can be fetched."
        )
    return None


def unwritable(error: OSError, folder: str, variable: str) -> str:
    """What to say where the folder that a variable names can't be written."""
    place = f", {error.filename}" if error.filename else ""
    return (
        f"The {folder} can't be written{place}: {error.strerror}. {variable} must "
        "name a folder that can be written and has room."
    )


def without_onnx(repo_id: str) -> ModelUnavailable:
    """What to say of a repository that has nothing which this app reads."""
    return ModelUnavailable(
        f"{repo_id} has no onnx/model.onnx, which this app reads. Its owner can add it: "
        "`python -m train export RUN`, then publish again."
    )


def refusal(text: object) -> InvalidText | None:
    """Why no model needs to see this: no text, blank, or more than `MAX_CHARACTERS` characters."""
    if text is not None and not isinstance(text, str):
        return InvalidText(f"A review is text, got {type(text).__name__}.")
    if not text or not text.strip():
        return InvalidText("Write or paste a review first.")
    if len(text) > MAX_CHARACTERS:
        return InvalidText(
            f"A review may have at most {MAX_CHARACTERS:,} characters; this one has {len(text):,}."
        )
    return None


@dataclass(frozen=True)
class Tokens:
    """The tokens of a text that the model reads, and how many it has, with [CLS] and [SEP]."""

    ids: Any  # array of integers
    count: int


class Reader:
    """A model in memory: tokenizer, labels, and ONNX Runtime's sessions.

    Each text goes through alone. Batches would win nothing on a CPU, whose cores one text of
    some length fills, and int8 would then give a text another score in other company.
    """

    def __init__(self, folder: Path, threads: int | None = None) -> None:
        from tokenizers import Tokenizer

        self.file = next(folder / model for model in MODELS if (folder / model).is_file())
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        self.labels = [config["id2label"][str(i)] for i in range(len(config["id2label"]))]
        tokens = json.loads((folder / TOKENIZER_CONFIG).read_text(encoding="utf-8"))
        positions = config.get("max_position_embeddings") or math.inf
        self.limit = int(min(tokens["model_max_length"], positions))  # with [CLS] and [SEP]
        self.unsure_below = float(config.get("unsure_below") or 0)
        self._tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._special = self._tokenizer.num_special_tokens_to_add(False)
        self.threads = threads or cores()
        self._fed = {found.name for found in self._one.get_inputs()}
        self._at_work = 0  # how many calls of `read` there are at this moment
        self._counting = Lock()

    def read(self, texts: Sequence[str]) -> list[Prediction | InvalidText]:
        """Judge texts, in their order; the longest are started first, so that no core waits.

        May be called by several threads at once. One text alone gets all cores; as soon as there
        are more, each gets one, which wastes less than sharing.
        """
        rows = self.encode(texts)
        with self._counted() as alone:
            if self.threads == 1 or (len(rows) == 1 and alone):
                return [self.judge(row, alone=True) for row in rows]
            order = sorted(range(len(rows)), key=lambda i: -len(rows[i].ids))
            found = self._workers.map(lambda i: self.judge(rows[i], alone=False), order)
            answers = dict(zip(order, found, strict=True))
            return [answers[i] for i in range(len(rows))]

    def encode(self, texts: Sequence[str]) -> list[Tokens]:
        """The tokens of each text."""
        # Half a surrogate pair can come by JSON.
        clean = [text.encode("utf-8", "replace").decode() for text in texts]
        return [self._kept(encoding.ids) for encoding in self._tokenizer.encode_batch_fast(clean)]

    def _kept(self, ids: list[int]) -> Tokens:
        count = len(ids)
        if count > self.limit:  # as in training: a quarter from the beginning, the rest the end
            head = self.limit // 4
            ids = ids[:head] + ids[head - self.limit :]
        return Tokens(np.array(ids, dtype=np.int64), count)

    def judge(self, tokens: Tokens, alone: bool) -> Prediction | InvalidText:
        """Judge one text in the calling thread.

        Args:
            tokens: As `encode` gives them.
            alone: Whether nothing else is judged meanwhile: the text then gets all cores.
        """
        return self._judge(self._one if alone or self.threads == 1 else self._many, tokens)

    @contextmanager
    def _counted(self) -> Iterator[bool]:
        with self._counting:
            self._at_work += 1
            alone = self._at_work == 1
        try:
            yield alone
        finally:
            with self._counting:
                self._at_work -= 1

    @cached_property
    def _one(self) -> Any:
        return self._session(threads=self.threads)

    @cached_property
    def _many(self) -> Any:
        """For several texts at once."""
        return self._session(threads=1)

    @cached_property
    def _workers(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self.threads)

    def _session(self, threads: int) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        # Memory goes back after each text: a long one would otherwise be held for ever.
        options.enable_cpu_mem_arena = options.enable_mem_pattern = False
        # On CPUs the fused operator runs slower than the two that it replaces.
        return onnxruntime.InferenceSession(
            self.file,
            options,
            providers=["CPUExecutionProvider"],
            disabled_optimizers=["SkipLayerNormFusion"],
        )

    def _judge(self, session: Any, tokens: Tokens) -> Prediction | InvalidText:
        own = tokens.count - self._special
        if not own:
            return InvalidText("There is no word in this review.")
        row = tokens.ids[None]  # (1, tokens)
        inputs = {
            "input_ids": row,
            "attention_mask": np.ones_like(row),
            "token_type_ids": np.zeros_like(row),
        }
        fed = {name: value for name, value in inputs.items() if name in self._fed}
        found = session.run(["logits"], fed)[0]
        if np.shape(found) != (1, len(self.labels)):
            raise ValueError(f"{len(self.labels)} labels, but logits of shape {np.shape(found)}")
        logits = found[0].astype(np.float64)  # (labels,)
        if not np.isfinite(logits).all():
            return InvalidText("The model gives no score for this text: it is not a number.")
        odds = np.exp(logits - logits.max())
        shares = dict(zip(self.labels, (odds / odds.sum()).tolist(), strict=True))
        unsure = max(shares.values()) < self.unsure_below
        return Prediction(shares, len(tokens.ids) - self._special, own, unsure)


def cores() -> int:
    """How many cores this process may really use: its affinity and its container's quota."""
    free = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, math.ceil(min(free or 1, _quota())))


def _quota() -> float:
    """Cores' worth of time that cgroups grant, version 2 or 1; infinite without a limit."""
    try:
        granted, period = (CGROUPS / "cpu.max").read_text().split()
        return math.inf if granted == "max" else int(granted) / int(period)
    except (OSError, ValueError):
        pass
    try:
        microseconds = int((CGROUPS / "cpu/cpu.cfs_quota_us").read_text())
        period_microseconds = int((CGROUPS / "cpu/cpu.cfs_period_us").read_text())
    except (OSError, ValueError):
        return math.inf
    return microseconds / period_microseconds if microseconds > 0 else math.inf
