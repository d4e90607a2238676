"""A Hugging Face Hub on this machine: the Hub's HTTP protocol, stored in a plain folder.

    python -m localhub --root hub
    export HF_ENDPOINT=http://127.0.0.1:8765 HF_TOKEN=$(cat hub/token)

Then huggingface_hub, transformers, datasets, `hf` and the npm packages push to it and load from
it as they do with huggingface.co. Models, datasets and Spaces have commits, branches, tags,
pull request refs, private and gated repositories, LFS and xet in both directions, ranges, pages
of long lists, and the error codes clients choose their exceptions by. It needs a POSIX system.

    names · bodies       what may come in
    errors               what goes out when it may not
    disk                 files that are whole or absent; contents by sha256
    commits · repos      revisions, refs, settings of one repository
    xet · validate       the xet formats; the metadata of a README.md
    hub · tokens         the whole folder (its layout is there); who may do what
    runner · launcher    Spaces as processes, where --run-spaces names them
    access · routes/     HTTP over all of it
    app · guard · faults the ASGI app; who may call it at all; errors put in on purpose
    protocol             the HTTP of the server

It serves this machine: it answers to no name but 127.0.0.1, localhost and [::1] (or its --host), so
that no page of a stranger in your browser gets in by a name of its own, and lets no page of another
site change anything. Its tokens are random ones, in files that you alone can read (see tokens).

Not imitated: git itself (clone, push), Jobs, buckets, inference, webhooks, collections, papers,
likes and downloads (always 0), discussions beyond an empty list (so `upload_folder` with
`create_pr` gets 501; `create_commit` and `upload_file` with it work), moving, duplicating and
squashing repositories, .gitignore rules on upload, access requests to gated repositories (their
namespace has access, others don't), multipart LFS, deduplication between clients, malware scans,
the dataset viewer, and `expand` of repository info (everything is always sent). Spaces don't
run: their runtime is PAUSED and says why. The Gradio Spaces that `--run-spaces` names do run, as
processes of this machine without an image, a build, hardware or a quota. Nothing confines them:
whoever may write to such a Space can run any program as the user who started the hub.
The hashes of xorbs are not recomputed; that the bytes are right is checked by the sha256 of the
rebuilt file. A writer may commit any large file the hub already holds, by its sha256. Contents
that no commit names any more are kept.
"""
