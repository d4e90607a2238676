"""Texts → predictions: the one classifier of the app, of bulk scoring and of the checks.

In: a model on the Hub or in a folder, and texts. Out: a `Prediction` per text, or the reason for
having none. `classifier`: the model; `download` fetches its files, `onnx_model` runs them on an
`engine`. `labels`: scales such as stars. `languages`: texts that the model can't read. `serving`:
requests with limits, run by `admission`. `attribution`: effect of sentences and words. `aspects`:
a second model, of text pairs. `model_cache`: other models, each in a `sandbox`.
"""
