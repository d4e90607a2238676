"""Datasets on the Hub: the commit that was asked for, also from the cache, or why not."""

import json
from pathlib import Path

import pytest
from hubserver import ADMIN, run_python, running_hub
from huggingface_hub import HfApi

from train.data import sources
from train.errors import DataError
from train.sections import Dataset


def test_unreachable_hub_is_named_without_retries(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: pytest.fail("huggingface_hub retries"))
    with pytest.raises(DataError) as caught:
        sources.read(Dataset(source="stanfordnlp/imdb", revision="abc"))
    message = str(caught.value)
    assert "dataset 'stanfordnlp/imdb' (revision abc) can't be loaded" in message
    assert "http://127.0.0.1:9" in message
    assert "or name a local file" in message
    assert "Retrying" not in "".join(capfd.readouterr())


@pytest.mark.parametrize(
    ("source", "revision"),
    [("reviews.csv", None), ("user/reviews", "0123456789" * 4)],
    ids=["local", "commit"],
)
def test_revision_of_local_and_pinned_sources_needs_no_hub(
    source: str, revision: str | None
) -> None:
    assert sources.revision(Dataset(source=source, revision=revision)) == revision


READ = """
import json, sys
from train.data import sources
from train.errors import DataError
from train.sections import Dataset

def at(revision):
    return Dataset(source="demo/NewReviews", revision=revision)

def read(revision):
    try:
        return sources.read(at(revision))["train"]["text"][0]
    except DataError as error:
        return str(error)

online, *commits = sys.argv[1:]
names = [sources.revision(at(name)) for name in ["v1", None]] if online == "online" else []
print(json.dumps([*names, *map(read, commits)]))
"""


def test_cached_commit_is_read_without_the_hub(tmp_path: Path) -> None:
    """`load_dataset` alone would take the newest commit in its cache, whichever is asked for."""
    with running_hub() as hub:
        api = HfApi(endpoint=hub.endpoint, token=ADMIN)
        api.create_repo("demo/NewReviews", repo_type="dataset")
        commits = []
        for text in ["first", "second", "third"]:
            done = api.upload_file(
                repo_id="demo/NewReviews",
                repo_type="dataset",
                path_in_repo="train.jsonl",
                path_or_fileobj=json.dumps({"text": text, "label": 1}).encode(),
            )
            commits.append(str(done.oid))
            if text == "first":
                api.create_tag("demo/NewReviews", tag="v1", repo_type="dataset")
        # A copy of a Hub can't have the same commits, but tags that are named as they were.
        api.create_tag("demo/NewReviews", tag="0" * 40, revision=commits[0], repo_type="dataset")
        env = hub.env(tmp_path)
        done = run_python(READ, env, "online", commits[2], commits[0], "0" * 40)
        assert json.loads(done.stdout) == [commits[0], commits[2], "third", "first", "first"]
    # The Hub is gone. The commit that was never read is an error.
    done = run_python(READ, {**env, "HF_HUB_OFFLINE": "1"}, "offline", *commits)
    first, second, third = json.loads(done.stdout)
    assert (first, third) == ("first", "third")
    assert f"at {commits[1]} can't be loaded" in second
