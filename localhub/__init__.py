"""A Hugging Face Hub on this machine: the Hub's HTTP protocol, stored in a plain folder.

    python -m localhub --root hub
    export HF_ENDPOINT=http://127.0.0.1:8765 HF_TOKEN=hf_localhub_write

Then huggingface_hub, transformers, datasets, `hf` and the npm packages push to it and load from
it as they do with huggingface.co. Models, datasets and Spaces have commits, branches, tags,
pull request refs, private and gated repositories, LFS and xet in both directions, ranges, pages
of long lists, and the error codes clients choose their exceptions by. It needs a POSIX system.

    names · errors       what may come in, what goes out when it may not
    disk                 files that are whole or absent; contents by sha256
    commits · repos      revisions, refs, settings of one repository
    xet · validate       the xet formats; the metadata of a README.md
    hub · tokens         the whole folder (its layout is there); who may do what
    runner               Spaces as processes, with --run-spaces
    access · routes/     HTTP over all of it
    app · faults         the ASGI app; errors put in on purpose

Not imitated: git itself (clone, push), Jobs, buckets, inference, webhooks, collections, papers,
likes and downloads (always 0), discussions beyond an empty list (so `upload_folder` with
`create_pr` gets 501; `create_commit` and `upload_file` with it work), moving, duplicating and
squashing repositories, .gitignore rules on upload, access requests to gated repositories (their
namespace has access, others don't), multipart LFS, deduplication between clients, malware scans,
the dataset viewer, and `expand` of repository info (everything is always sent). Spaces don't
run: their runtime says what the Hub would say of one that starts at once. With `--run-spaces`
Gradio Spaces do run, as processes of this machine without an image, a build, hardware or a quota.
The hashes of xorbs are not recomputed; that the bytes are right is checked by the sha256 of the
rebuilt file. A writer may commit any large file the hub already holds, by its sha256. Contents
that no commit names any more are kept.
"""
