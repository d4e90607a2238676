"""The pipeline: a recipe in, a finished run folder out, with every step resumable.

Open `plan` for which steps a recipe requires, `costs` for what they take, `steps` for their
execution, `training_run` for training and evaluation, `publication` for the upload to the Hub,
`release` for small copies of finished runs.
"""
