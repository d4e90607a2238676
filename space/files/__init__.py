"""Files of reviews: from an uploaded file to a table, and from predictions to a file to download.

In: CSV, TSV, JSON, JSON lines, Parquet or plain text. Out: rows, a data frame, CSV or Excel files.
`reader` streams rows, for `train` too; `tables` reads an upload within the page's limits;
`columns` guesses what each column holds; `downloads` writes the results.
"""


class InvalidFile(Exception):
    """The file can't be used. The message is a sentence for the page; it begins with its name."""
