"""Statistics and charts of scored reviews, for one model or for two.

In: data frames of reviews and their predictions. Out: numbers, Altair charts, HTML, sentences.
`statistics` computes; `charts` draws; `report` presents a scored file; `comparison` runs two models
on the same texts.
"""
