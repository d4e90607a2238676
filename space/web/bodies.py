"""The JSON in the body of a request, in a form that no reader behind fails on.

In: a body as it came. Out: UTF-8 without half surrogate pairs, or why it is refused.
"""

import json
import re

from space.inference.serving import BATCH

# A character takes at most 6 bytes as an escape of JSON, one beyond U+FFFF 12: only a full batch of
# such characters, all of them escaped, is more.
MAX_BYTES = 6 * int(BATCH.characters) + 2**20
MAX_LEVELS = 50
MAX_DIGITS = 300  # of an integer, which is then within the range of a float
MAX_PARTS = 200_000  # strings, lists, objects and commas; a batch has about 2,000
PART = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[\]{},]', re.DOTALL)


class InvalidBody(Exception):
    """The body is refused; why, in a sentence for the caller.

    Attributes:
        status: Of the answer.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def check_size(size: int) -> None:
    """Refuse a body of more than `MAX_BYTES`; raises InvalidBody."""
    if size > MAX_BYTES:
        raise InvalidBody(
            413,
            f"The body of this request has {size:,} bytes or more, and {MAX_BYTES:,} are allowed: "
            "send less, in several requests.",
        )


def checked(body: bytes) -> bytes:
    """The same JSON in UTF-8, with "?" for each half of a surrogate pair; no body stays none.

    Half pairs are replaced because nothing that gradio does with them can write them.

    Raises:
        InvalidBody: It is no JSON, or nested too deeply, or has too many parts or digits.
    """
    if not body:
        return body
    try:
        text = body.decode(json.detect_encoding(body), "surrogatepass")
        _check_parts(text)
        value = json.loads(text, parse_int=_integer)
    except ValueError as error:
        raise InvalidBody(400, f"The body of this request must be JSON: {error}.") from error
    if r"\ud" in text or r"\uD" in text:  # perhaps half a pair, as an escape
        text = json.dumps(value, ensure_ascii=False)
    return text.encode("utf-8", "replace")


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise InvalidBody(
            400,
            f"The JSON of this request has a number of {len(digits):,} digits, and {MAX_DIGITS} "
            "are allowed: send a smaller one, or text.",
        )
    return int(digits)


def _check_parts(text: str) -> None:
    """Count what is outside of strings, and its nesting, before it is read into memory."""
    opened = text.count("[") + text.count("{")
    if opened <= MAX_LEVELS and text.count(",") + text.count('"') <= MAX_PARTS:
        return  # even if none of them are in strings
    level = 0
    for count, found in enumerate(PART.finditer(text), 1):
        part = found[0]
        level += (part in "[{") - (part in "]}")
        if level > MAX_LEVELS:
            raise InvalidBody(
                400,
                f"The JSON of this request is nested more than {MAX_LEVELS} levels deep: send "
                "lists and objects that are less nested.",
            )
        if count > MAX_PARTS:
            raise InvalidBody(
                400,
                f"The JSON of this request has more than {MAX_PARTS:,} strings, lists, objects "
                "and commas: send fewer.",
            )
