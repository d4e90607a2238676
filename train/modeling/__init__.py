"""Pre-trained encoder to trained classifier.

In: a recipe and tokens. Out: a model folder that `pipeline()` loads, with training statistics.
Open `model` for building, loading and saving, `training` for the loop (`losses`, `schedule`,
`checkpoints`), `vocabulary` for trimming, `resolve` for what a resumed run keeps, and `devices`,
`cpu` and `first_token` for precision and speed.
"""
