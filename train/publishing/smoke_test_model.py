"""Smoke test of a published model: download it and call `pipeline()`, in a process of its own.

In: `python -m train.publishing.smoke_test_model REPO [--revision SHA] TEXT…`, with the cache that
the environment names. A model of text pairs, whose config.json has `aspects`, gets the first of
them as the second text. Out: one JSON line with the SHA-256 of every file and the answers; or exit
status `BUSY` and one line on standard error while the Hub is unavailable.
"""

import argparse
import hashlib
import json
import sys
from pathlib import Path

from train import network

BUSY = 75  # EX_TEMPFAIL of sysexits.h


def main() -> None:
    """Call the model; exit with `BUSY` if the Hub is temporarily unavailable."""
    from train.hub_errors import diagnose, is_transient

    try:
        call()
    except Exception as error:
        if not is_transient(error):
            raise
        sys.stderr.write(f"{diagnose(error)}\n")
        sys.exit(BUSY)


def call() -> None:
    """Download the model, hash its files, classify the texts, print the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("repo")
    parser.add_argument("--revision", default="main")
    parser.add_argument("texts", nargs="*")
    arguments = parser.parse_intermixed_args()
    from huggingface_hub import snapshot_download

    folder = Path(snapshot_download(arguments.repo, revision=arguments.revision))
    hashes = {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }
    from transformers import pipeline

    classify = pipeline("sentiment-analysis", model=arguments.repo, revision=arguments.revision)
    inputs = arguments.texts
    aspects = getattr(classify.model.config, "aspects", None)
    if aspects is not None:
        second = (aspects or ["film"])[0]  # not listed if there are too many
        inputs = [{"text": text, "text_pair": second} for text in inputs]
    # A model with few positions can only read long text truncated, like most models on the Hub.
    answers = [classify([each], truncation=True)[0] for each in inputs]
    sys.stdout.write(json.dumps({"files": hashes, "answers": answers}) + "\n")


if __name__ == "__main__":
    network.prepare()
    main()
