"""Data: from files and Hub datasets to clean, disjoint splits and batches of tokens.

In: the datasets of a recipe. Out: `splits.Split`s (from `preparation`) and `tokens.Tokens`.
`sources` reads files (`tables`) and the Hub (`hub_datasets`); `cleaning` turns rows into a split.
`labels` maps label values to classes; `label_maps` knows usual values and proposes maps.
`imdb_archive` converts a dataset that no Hub holds, for the commands in `commands`.
"""
