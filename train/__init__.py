"""Trains, evaluates and publishes a sentiment model: a recipe in, a model on the Hub out.

Imports point one way: recipe ← data ← modeling ← evaluation ← augmentation, publishing ← pipeline ←
__main__, and data ← scoring ← __main__. Open `__main__` for the commands, `recipe` for the
settings, `pipeline` for the order of the steps, `run_folder` for their files, `scoring` for
predictions of whole files, `errors` and `hub_errors` for what can fail.
"""
