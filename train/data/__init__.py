"""Data: from files and Hub datasets to clean, disjoint splits and batches of tokens.

In: the datasets of a recipe. Out: `preparation.Split`s and `tokens.Tokens`.
`sources` reads files and the Hub (`tables`: local files), `labels` maps label values to classes.
"""
