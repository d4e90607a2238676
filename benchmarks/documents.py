"""Update the tables and figures in the documents: `python -m benchmarks.documents`.

In: README.md and docs/*.md, the results files, the recipe's fields. Out: the same documents with
every marked place updated. A test checks that the documents are up to date.

    <!-- table NAME -->             the lines up to `<!-- end -->` are the table of that name
    93.61%<!-- FILE KEY FORMAT -->  the number is the value at KEY in results/FILE.json
    64<!-- FILE KEY /60 FORMAT -->  ... divided by 60
"""

import re
from typing import Any

from benchmarks import REPOSITORY, tables

DOCUMENTS = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
_TABLE = re.compile(r"(<!-- table (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
_NUMBER = re.compile(r"[\d.,%+-]+(<!-- (\S+) (\S+)(?: /([\d.]+))? (\S+) -->)")


def main() -> None:
    """Update all documents."""
    for path in DOCUMENTS:
        path.write_text(updated(path.read_text(encoding="utf-8")), encoding="utf-8")


def updated(text: str) -> str:
    """A document with the tables and numbers of the results files.

    Raises:
        KeyError: There is no table of that name, or no such key in the results file.
        FileNotFoundError: There is no such results file.
    """
    text = _TABLE.sub(lambda match: f"{match[1]}{tables.TABLES[match[2]]()}\n{match[3]}", text)
    return _NUMBER.sub(lambda match: _number(match) + match[1], text)


def _number(match: re.Match[str]) -> str:
    """The value at a key; the length of a list. A backslash before `_` is replaced by a space."""
    value: Any = tables.load(match[2])
    for key in match[3].replace("\\_", " ").split("."):
        value = value[int(key) if isinstance(value, list) else key]
    if isinstance(value, list):
        value = len(value)
    return format(value / float(match[4]) if match[4] else value, match[5])


if __name__ == "__main__":
    main()
