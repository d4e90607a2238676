"""Files of reviews: from an uploaded file to a table, and from predictions to a file to download.

In: CSV, TSV, JSON, JSONL, Parquet, Excel, ZIP or plain text. Out: rows, a data frame, CSV or Excel
files. `reader` streams rows, for `train` too, with `csv`, `workbook` (Excel), `archives` (ZIP) and
`encodings`; `tables` reads an upload within the page's limits. `columns` guesses what each column
holds; `dates` and `ratings` read such columns. `downloads` writes the results.
"""


class InvalidFile(Exception):
    """The file can't be used. The message is a sentence for the page; it begins with its name."""
