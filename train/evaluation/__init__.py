"""Evaluation: logits and labels of a split -> metrics, slices, error analysis, plots.

Numbers: `metrics` and `error_analysis`. Behavioral tests: `behavior_suite`, with its data in
`behavior/`. PNG files: `plots`. What the release gate compares, row by row: `row_results`.
"""
