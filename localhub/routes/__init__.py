"""The Hub's HTTP routes: one module per subject, each with its list `ROUTES`.

In: requests. Out: JSON, files and plain-text pages. repos: create, settings, tags; info:
metadata and lists; files: downloads; commits and xet: uploads; spaces: runtime and variables.
"""

from starlette.convertors import StringConvertor, register_url_convertor

from ..names import KINDS, RESERVED

# Path parameters with few values, so that one route serves them all.
_PARAMETERS = {
    "kind": "|".join(KINDS),
    "site": "datasets|spaces",
    "user": rf"(?!(?:{'|'.join(RESERVED)})/)[^/]+",
    "space": "spaces",
    "form": "resolve|raw",
    "page": "commit|tree",
    "operation": "hardware|pause|restart",
    "variables": "variables|secrets",
    "log": "build|run",
}
for _name, _regex in _PARAMETERS.items():
    register_url_convertor(_name, type(_name, (StringConvertor,), {"regex": _regex})())
