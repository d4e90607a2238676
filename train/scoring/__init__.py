"""Bulk scoring: from a file or Hub dataset of any length to the same rows with predictions.

In: a file or dataset id, and a model. Out: a CSV, JSON lines or Parquet file.
`score` is the command; `predictions` asks the model; `parts` writes the finished parts, from which
a stopped command resumes.
"""
