"""The tabs of the page, one module each: layout and event handlers.

In: the model service and user input. Out: Gradio components, filled by the handlers.
review.py: one review; batch.py: a file; results.py: its results; row_tables.py: tables of rows;
compare.py: two models; about.py: the model; upload.py: uploaded files; session_files.py: when they
are deleted; events.py: options that all tabs share.
"""
