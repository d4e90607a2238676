"""Additional training data from models and templates.

In: finished runs, unlabelled corpora, or `pattern_data/`. Out: files that recipes name as datasets.
Open `pseudo_labels` (with `ngrams`) for labelled texts, `sentences` for short input, `patterns` for
generated sentences, and `distillation` for teachers' probabilities.
"""
