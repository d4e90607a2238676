"""Checks the JSON body of a request, so that no code behind fails on it.

In: a body as it arrived. Out: the same JSON in UTF-8 without half surrogates, or `InvalidBody`.
"""

import json
import re

from space.inference.serving import BATCH

# A character takes at most 6 bytes as a JSON escape, one above U+FFFF 12: only a full batch of
# such characters, all escaped, needs more.
MAX_BYTES = 6 * int(BATCH.characters) + 2**20
MAX_DEPTH = 50
MAX_DIGITS = 300  # of an integer, so that it fits into a float
MAX_TOKENS = 200_000  # strings, lists, objects and commas; a batch has about 2,000
TOKEN = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[\]{},]', re.DOTALL)


class InvalidBody(Exception):
    """The body is refused; the message says why, in a sentence for the caller.

    Attributes:
        status: The HTTP status of the answer.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def check_size(size: int, max_bytes: int = MAX_BYTES) -> None:
    """Raise InvalidBody if a body has more than `max_bytes`."""
    if size > max_bytes:
        raise InvalidBody(
            413,
            f"The body of this request has at least {size:,} bytes; the limit is {max_bytes:,}. "
            "Split it into several requests.",
        )


def normalize(body: bytes) -> bytes:
    """The same JSON in UTF-8, with "?" for each half of a surrogate pair; nothing for no body.

    Half pairs are replaced because they can't be encoded, and Gradio would fail on them.

    Raises:
        InvalidBody: The body is no JSON, is nested too deeply, or has too many parts or digits.
    """
    if not body:
        return body
    try:
        text = body.decode(json.detect_encoding(body), "surrogatepass")
        _check_structure(text)
        value = json.loads(text, parse_int=_parse_int)
    except ValueError as error:
        raise InvalidBody(400, f"The body of this request must be JSON: {error}.") from error
    if r"\ud" in text or r"\uD" in text:  # possibly half of a pair, as an escape
        text = json.dumps(value, ensure_ascii=False)
    return text.encode("utf-8", "replace")


def _parse_int(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise InvalidBody(
            400,
            f"The JSON of this request has a number of {len(digits):,} digits, and {MAX_DIGITS} "
            "are allowed: send a smaller one, or text.",
        )
    return int(digits)


def _check_structure(text: str) -> None:
    """Check nesting and the number of parts before the JSON is parsed into memory."""
    opening = text.count("[") + text.count("{")
    if opening <= MAX_DEPTH and text.count(",") + text.count('"') <= MAX_TOKENS:
        return  # even if none of them is inside a string
    depth = 0
    for count, match in enumerate(TOKEN.finditer(text), 1):
        token = match[0]
        depth += (token in "[{") - (token in "]}")
        if depth > MAX_DEPTH:
            raise InvalidBody(
                400,
                f"The JSON of this request is nested more than {MAX_DEPTH} levels deep: send "
                "lists and objects with less nesting.",
            )
        if count > MAX_TOKENS:
            raise InvalidBody(
                400,
                f"The JSON of this request has more than {MAX_TOKENS:,} strings, lists, objects "
                "and commas: send fewer.",
            )
