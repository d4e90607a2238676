"""Texts → predictions: the one classifier of the app, of bulk scoring and of the checks.

In: a model on the Hub or in a folder, and texts. Out: a `Prediction` per text, or the reason for
having none. `classifier`: the model itself. `serving`: requests with limits, run by `admission`.
`attribution`: effect of sentences and words. `model_cache`: other models, each in a `sandbox`.
"""
