"""JSON bodies: every JSON parser reads an accepted body alike."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from space.web import json_body
from space.web.json_body import InvalidBody

ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"]
STRICT = settings(derandomize=True, max_examples=60, deadline=None)
CHARACTERS = st.text(st.sampled_from('a"\\[]{},:\0é中😀\ud83d\udc00'), max_size=6)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | CHARACTERS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(CHARACTERS, inner, max_size=3),
    max_leaves=8,
)


def nested(depth: int, core: str, objects: bool = False) -> bytes:
    opening, closing = ('{"[{":', "}") if objects else ("[", "]")
    return (opening * depth + core + closing * depth).encode()


def refused(body: bytes) -> str:
    with pytest.raises(InvalidBody) as caught:
        json_body.normalize(body)
    assert caught.value.status == 400
    return str(caught.value)


@STRICT
@given(VALUES, st.booleans(), st.sampled_from(ENCODINGS))
def test_normalize_keeps_values_and_replaces_half_surrogates(
    value: Any, escaped: bool, encoding: str
):
    text = json.dumps(value, ensure_ascii=escaped)
    if encoding.startswith("utf-16") and not escaped:
        text = text.encode("utf-16", "replace").decode("utf-16")  # there, halves would be joined
    normalized = json_body.normalize(text.encode(encoding, "surrogatepass"))
    written = json.dumps(json.loads(text), ensure_ascii=False).encode("utf-8", "replace")
    assert json.loads(normalized.decode()) == json.loads(written)


@STRICT
@given(st.binary(max_size=40) | st.text('[]{}",:\\u19e. ', max_size=40).map(str.encode))
def test_normalize_accepts_json_and_refuses_the_rest_with_a_reason(body: bytes):
    try:
        json.loads(body or b"null")
    except (ValueError, RecursionError):
        assert refused(body).startswith("The body of this request must be JSON: ")
    else:
        json.loads(json_body.normalize(body) or b"null")


@pytest.mark.parametrize("objects", [False, True])
@pytest.mark.parametrize("core", ["1", '"[[[{{{\\"[[[["', '["\\\\",[]]', '[[],[],{"]":"}"}]'])
def test_nesting_is_counted_outside_strings(core: str, objects: bool):
    inside = 2 if core.startswith("[") else 0
    for depth in range(40, 60):
        body = nested(depth, core, objects)
        if depth + inside <= json_body.MAX_DEPTH:
            assert json.loads(json_body.normalize(body)) == json.loads(body)
        else:
            assert refused(body).startswith("The JSON of this request is nested more than 50 level")


def test_deep_nesting_is_refused_even_if_it_is_no_json():
    for depth in [51, 1_000, 500_000]:
        assert "nested" in refused(b"[" * depth)
        assert "nested" in refused(nested(depth, "", objects=True))
    assert "nested" in refused(("[" * 1_000).encode("utf-16"))


def test_body_with_too_many_parts_is_refused_before_parsing():
    for body in [b"[]," * 500_000, b'"",' * 5_000_000, b'"' * 5_000_000, b"{}" * 5_000_000]:
        assert "more than 200,000 strings" in refused(body)
    commas = json.dumps({"data": ['a, "quoted" [text]' * 200_000]}).encode()
    assert json_body.normalize(commas) == commas


@pytest.mark.parametrize("number", ["9" * 301, "-" + "9" * 300, "9" * 5_000])
def test_too_long_integers_are_refused(number: str):
    assert "digits, and 300 are allowed" in refused(f'{{"data":[{number}]}}'.encode())
    float(int("9" * 300))
    assert json_body.normalize(b"9" * 300)


def test_empty_body_stays_empty():
    assert json_body.normalize(b"") == b""
