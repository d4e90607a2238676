"""Datasets on the Hub → their splits, by name, from the Hub or from the cache of `datasets`."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from train.errors import DataError, shorten
from train.sections import Source, is_commit

if TYPE_CHECKING:
    import datasets

ANSWER_SECONDS = 10  # for the first request to the Hub


def read(source: Source) -> "dict[str, datasets.Dataset]":
    """Read all splits: from the cache if the source names a commit, else from the Hub.

    Raises:
        DataError: The Hub can't be reached, or has no such dataset, configuration or revision.
    """
    return _cached(source) or _load(source)


def _load(source: Source) -> "dict[str, datasets.Dataset]":
    from datasets import load_dataset
    from datasets.exceptions import DatasetGenerationError
    from huggingface_hub import constants

    from train.hub_errors import explained

    with explained(
        f"dataset {source.source!r} (revision {source.revision or 'main'}) can't be loaded",
        DataError,
        name=source.source,
        expected=(FileNotFoundError, ValueError, OverflowError, NotImplementedError),
        after="or name a local file",
    ):
        check_hub_answers(source.source)
        what = {"path": source.source, "name": source.config, "revision": source.revision}
        try:
            loaded = load_dataset(**what, **reading_options(**what))
        except DatasetGenerationError as error:  # its own message has no reason
            cause = " ".join(str(error.__cause__ or error).split())
            raise ValueError(shorten(cause, 500)) from error
    splits = _by_name(loaded)
    # If the Hub can't be reached, `load_dataset` returns whichever commit is in its cache.
    known = {None, source.revision}
    if is_commit(source.revision) and (actual := commit(splits)) not in known | {_tagged(source)}:
        raise DataError(
            f"dataset {source.source!r} at {source.revision} can't be loaded from "
            f"{constants.ENDPOINT}, and the cache holds only {actual} — check the network and "
            "HF_ENDPOINT"
        )
    return splits


def check_hub_answers(repo_id: str) -> None:
    """Ask the Hub for a dataset once, unless a copy is cached.

    `load_dataset` retries for half a minute and prints each retry; this call does not retry.

    Raises:
        HTTPError, OSError: The Hub can't be reached. HTTP error statuses raise nothing here.
    """
    from datasets import config
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import HfHubHTTPError

    if constants.is_offline_mode() or any(Path(config.HF_DATASETS_CACHE).glob(_in_cache(repo_id))):
        return
    with suppress(HfHubHTTPError):
        HfApi().dataset_info(repo_id, timeout=ANSWER_SECONDS)


def _in_cache(repo_id: str) -> str:
    """The name of a dataset's folder in the cache of `datasets`."""
    from datasets.naming import camelcase_to_snakecase

    owner, _, name = repo_id.rpartition("/")
    return "___".join([*filter(None, [owner]), camelcase_to_snakecase(name)])


def _tagged(source: Source) -> str | None:
    """The commit of a tag that is named like a commit, as in a mirror of the Hub."""
    from huggingface_hub import HfApi

    from train.hub_errors import explained

    with suppress(DataError), explained("resolving a revision", DataError):
        return HfApi().dataset_info(source.source, revision=source.revision).sha
    return None


def reading_options(**what: Any) -> dict[str, Any]:
    """Options for `load_dataset`, so that only empty CSV cells are missing.

    "None", "nan" and "NULL" are texts. Other formats have no such options.
    """
    from datasets import load_dataset_builder

    try:
        is_csv = hasattr(load_dataset_builder(**what).config, "keep_default_na")
    except ValueError:  # offline: the cache is found by the options that the CSV was read with
        is_csv = True
    return {"keep_default_na": False, "na_values": [""]} if is_csv else {}


def _cached(source: Source) -> "dict[str, datasets.Dataset] | None":
    """A Hub dataset at a cached commit, without a request; None if it is not cached."""
    from datasets import config
    from datasets.packaged_modules.cache.cache import Cache

    pattern = f"{_in_cache(source.source)}/{source.config or '*'}/*/{source.revision}"
    folders = list(Path(config.HF_DATASETS_CACHE).glob(pattern))
    if not is_commit(source.revision) or len(folders) != 1:
        return None
    configuration, version, commit = folders[0].parts[-3:]
    builder = Cache(
        repo_id=source.source,
        dataset_name=source.source.rpartition("/")[2],
        config_name=configuration,
        version=version,
        hash=commit,
    )
    return _by_name(builder.as_dataset())


def commit(splits: "dict[str, datasets.Dataset]") -> str | None:
    """The commit of a Hub dataset, which is the name of its folder in the cache."""
    files = [file["filename"] for split in splits.values() for file in split.cache_files]
    names = {Path(file).parent.name for file in files}
    return names.pop() if len(names) == 1 and all(map(is_commit, names)) else None


def _by_name(loaded: "Mapping[Any, datasets.Dataset]") -> "dict[str, datasets.Dataset]":
    return {str(name): split for name, split in loaded.items()}
