"""The Hub's HTTP routes, one module a noun; each ends with its list of routes."""

from starlette.convertors import StringConvertor, register_url_convertor

from ..names import KINDS, RESERVED

# Parts of a path with few values, so that one route serves them all.
_WORDS = {
    "kind": "|".join(KINDS),
    "site": "datasets|spaces",
    "user": rf"(?!(?:{'|'.join(RESERVED)})/)[^/]+",
    "space": "spaces",
    "how": "resolve|raw",
    "page": "commit|tree",
    "ref": "branch|tag",
    "right": "read|write",
    "verb": "hardware|sleeptime|pause|restart",
    "pairs": "variables|secrets",
    "log": "build|run",
}
for _name, _regex in _WORDS.items():
    register_url_convertor(_name, type(_name, (StringConvertor,), {"regex": _regex})())
