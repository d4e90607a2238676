"""The Hugging Face Hub's HTTP protocol on 127.0.0.1, for the quick start and the tests.

In: requests of huggingface_hub, transformers, datasets, gradio_client, `hf` and the npm packages.
Out: the Hub's answers; repositories, commits and files in a plain folder. See routes/ for the
endpoints, auth.py for rights, hub.py for the storage, runner.py for Spaces, faults.py for faults.

    python -m localhub --root hub
    export HF_ENDPOINT=http://127.0.0.1:8765 HF_TOKEN=$(cat hub/token)

Models, datasets and Spaces have commits, tags, private and gated repositories, uploads by
LFS and xet, downloads with ranges, paged lists, and the error codes from which clients choose their
exceptions. It needs a POSIX system.

It listens on 127.0.0.1 alone, answers only to that address, localhost and [::1], and lets no page
of another site change anything (guard.py). Its tokens are random, in files that only you can read.

Not imitated: git (clone, push), branches other than main, pull requests and discussions, xet
downloads (clients use plain HTTP), Jobs, buckets, inference, webhooks, collections, papers, likes
and downloads (always 0), moving, duplicating and squashing repositories, .gitignore rules on
upload, access requests to gated repositories (only their namespace has access), multipart LFS,
malware scans, the dataset viewer, last commits in file lists, and `expand` of repository info
(everything is always sent). A xorb's hash is not checked; the sha256 of the rebuilt file is.
Whoever may write can commit any large file that the hub stores, by its sha256. Contents of deleted
files are kept.

Spaces are paused and say why, except those that `--run-spaces` names. They run as processes without
an image, hardware or a quota, and nothing confines them: all who may write to such a Space can run
any program as the user who started the hub.
"""
