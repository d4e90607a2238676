"""Additional training data from texts, templates and teachers.

In: unlabeled corpora, `pattern_data/`, or run folders. Out: files that recipes name. Open
`sentences` for short input, `patterns` for generated sentences, `aspects` for pairs of a text and
an aspect, `contrasts` for generated ones, and `distillation` for teachers' probabilities.
"""
