"""Evaluation: logits and labels of a split -> metrics, slices, error analysis, plots.

Numbers: `metrics` and `error_analysis`. Behavioural tests: `behaviour_suite`, with its data in
`behaviour/`. PNG files: `plots`. What the release gate compares, row by row: `row_results`.
"""
