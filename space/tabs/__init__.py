"""The tabs of the page, one module each: layout and event handlers.

In: the model service and user input. Out: Gradio components, filled by the handlers.
review.py: one review; batch.py: a file; compare.py: two models; about.py: the model; upload.py:
uploaded files; events.py: options that all tabs share.
"""
