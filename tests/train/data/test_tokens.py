"""Tokens: batches hold every row once within their budget, and a cut review is still whole."""

from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from train.data.splits import Split
from train.data.tokens import Tokens, batches, encode, pad

lengths = st.lists(st.integers(1, 300), min_size=1, max_size=80).map(np.array)
seeds = st.none() | st.tuples(st.integers(0, 9), st.integers(0, 9))


@pytest.fixture(scope="module")
def tokenizer(tiny_base: Path) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(tiny_base)


def tokens_of(sizes: np.ndarray | list[int], with_types: bool = False) -> Tokens:
    """Reviews of given lengths; every id tells its place."""
    ids = [np.arange(1, size + 1) for size in sizes]
    types = [np.full(size, 1) for size in sizes] if with_types else None
    return Tokens(ids, np.zeros(len(ids), dtype=np.int64), types)


@given(lengths, st.integers(16, 1024), seeds)
def test_batches_hold_each_row_once(
    lengths: np.ndarray, batch_tokens: int, seed: tuple[int, ...] | None
) -> None:
    rows = np.concatenate(batches(lengths, batch_tokens, seed))
    assert sorted(rows) == list(range(len(lengths)))


@given(lengths, st.integers(16, 1024), seeds)
@example(np.array([9, 9]), 24, None)  # padded to 16 each
def test_padded_batches_fit_the_budget(
    lengths: np.ndarray, batch_tokens: int, seed: tuple[int, ...] | None
) -> None:
    tokens = tokens_of(lengths)
    for rows in batches(lengths, batch_tokens, seed):
        padded = pad(tokens, rows, pad_id=0)["input_ids"]
        assert padded.size <= batch_tokens or len(rows) == 1


@given(lengths, st.integers(16, 1024))
def test_batches_fill_the_budget(lengths: np.ndarray, batch_tokens: int) -> None:
    chunks = batches(lengths, batch_tokens, seed=None)
    for rows, following in zip(chunks, chunks[1:], strict=False):
        widest = -(-lengths[following[0]] // 8) * 8
        assert widest * (len(rows) + 1) > batch_tokens


def test_batches_repeat_with_the_seed_and_differ_without() -> None:
    sizes = np.random.default_rng(0).integers(10, 200, 200)

    def drawn(seed: tuple[int, ...] | None) -> list[list[int]]:
        return [rows.tolist() for rows in batches(sizes, 1024, seed)]

    assert drawn((0, 1)) == drawn((0, 1))
    assert drawn((0, 1)) != drawn((0, 2))
    assert drawn((0, 1)) != drawn((1, 1))
    assert drawn(None) == drawn(None)


def test_shuffled_batches_stay_close_in_length() -> None:
    sizes = np.random.default_rng(0).integers(10, 500, 2000)
    tokens = tokens_of(sizes)
    padded = sum(
        pad(tokens, rows, 0)["input_ids"].size for rows in batches(sizes, 4096, seed=(0, 0))
    )
    assert padded < 1.2 * sizes.sum()


def test_no_review_makes_no_batch() -> None:
    assert batches(np.array([], dtype=np.int64), 512, seed=(0, 0)) == []


@pytest.mark.parametrize(("longest", "width"), [(1, 8), (8, 8), (9, 16), (64, 64)])
def test_pads_to_a_multiple_of_eight(longest: int, width: int) -> None:
    batch = pad(tokens_of([longest, 1], with_types=True), np.array([0, 1]), pad_id=7)
    assert {name: array.shape for name, array in batch.items()} == {
        "input_ids": (2, width),
        "attention_mask": (2, width),
        "token_type_ids": (2, width),
    }
    assert batch["attention_mask"].sum(axis=1).tolist() == [longest, 1]
    for ids, mask, types in zip(*batch.values(), strict=True):
        assert (ids[mask == 0] == 7).all()
        assert (ids[mask == 1] == np.arange(1, mask.sum() + 1)).all()
        assert (types == mask).all()  # of pads, the type is 0


def test_pad_follows_the_order_of_rows() -> None:
    batch = pad(tokens_of([3, 5, 2]), np.array([2, 0]), pad_id=0)
    assert batch["attention_mask"].sum(axis=1).tolist() == [2, 3]
    assert "token_type_ids" not in batch


@pytest.mark.parametrize(
    ("truncation", "kept"),
    [
        ("head", [*range(1, 16), 40]),
        ("head_tail", [*range(1, 5), *range(29, 41)]),
    ],
)
def test_truncation_keeps_these_positions(
    truncation: Literal["head", "head_tail"], kept: list[int]
) -> None:
    assert tokens_of([40]).truncate(16, truncation).ids[0].tolist() == kept


@given(lengths, st.integers(16, 64), st.sampled_from(["head", "head_tail"]))
def test_truncation_respects_max_tokens(
    lengths: np.ndarray, most: int, truncation: Literal["head", "head_tail"]
) -> None:
    cut = tokens_of(lengths, with_types=True).truncate(most, truncation)
    assert cut.lengths.tolist() == np.minimum(lengths, most).tolist()
    assert [len(types) for types in cut.type_ids or []] == cut.lengths.tolist()


@pytest.mark.parametrize("truncation", ["head", "head_tail"])
def test_truncation_keeps_cls_and_sep(
    tokenizer: PreTrainedTokenizerBase, truncation: Literal["head", "head_tail"]
) -> None:
    split = Split(["wonderful " * 100, "dreadful"], [1, 0])
    cut = encode(tokenizer, split).truncate(16, truncation)
    for ids in cut.ids:
        assert (ids[0], ids[-1]) == (tokenizer.cls_token_id, tokenizer.sep_token_id)
    assert cut.lengths.tolist() == [16, 3]
    assert cut.labels.tolist() == [1, 0]


def test_truncated_pair_keeps_its_second_text(tokenizer: PreTrainedTokenizerBase) -> None:
    split = Split(["wonderful " * 100], [1], pairs=["dreadful"])
    cut = encode(tokenizer, split).truncate(16, "head_tail")  # of pairs, a recipe allows no other
    second = tokenizer.convert_tokens_to_ids("dreadful")
    assert second in cut.ids[0]
    assert cut.type_ids is not None
    assert cut.type_ids[0][cut.ids[0] == second].tolist() == [1]


def test_encode_equals_the_tokenizer(tokenizer: PreTrainedTokenizerBase) -> None:
    texts = [f"film {i} was wonderful" + " songs" * (i % 5) for i in range(503)]  # over one part
    tokens = encode(tokenizer, Split(texts, [0] * 503))
    assert [ids.tolist() for ids in tokens.ids] == tokenizer(texts)["input_ids"]
    assert tokens.type_ids is not None
    assert not np.concatenate(tokens.type_ids).any()


@pytest.mark.parametrize("rows", [1, 60, 503])
def test_progress_bar_counts_reviews(
    tokenizer: PreTrainedTokenizerBase, capsys: pytest.CaptureFixture[str], rows: int
) -> None:
    encode(tokenizer, Split(["a wonderful film"] * rows, [0] * rows), "train")
    bar = capsys.readouterr().err.split("\r")[-1]
    assert bar.startswith("tokenize train: 100%") and f"{rows}/{rows} [" in bar
