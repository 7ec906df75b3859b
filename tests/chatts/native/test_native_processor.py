"""Prompts with series into tensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tsloop.chatts.native.prefixes import normalise, render_prefix
from tsloop.chatts.native.processor import (
    PROCESSOR_FILE,
    ProcessorConfig,
    TimeSeriesProcessor,
    render_chat,
)
from tsloop.chatts.native.tiny import tiny_tokenizer
from tsloop.errors import ConfigError, ModelFileError, SeriesError, SeriesValidationError

SERIES = "<ts><ts/>"


@pytest.fixture(scope="module")
def processor() -> TimeSeriesProcessor:
    return TimeSeriesProcessor(tiny_tokenizer())


def as_text(processor: TimeSeriesProcessor, ids: Any) -> str:
    return str(processor.tokenizer.decode(ids))


def test_a_place_becomes_its_prefix_and_one_token_per_patch(
    processor: TimeSeriesProcessor,
) -> None:
    one = np.arange(17.0)
    batch = processor(f"a {SERIES} b", [[one]])
    prefix = render_prefix(normalise(one), "v2")
    assert as_text(processor, batch["input_ids"][0]) == f"a {prefix}<ts><ts><ts> b"
    assert (batch["input_ids"] == processor.ts_start_id).sum() == 3
    assert batch["timeseries"].dtype == torch.float32
    np.testing.assert_array_equal(
        batch["timeseries"][0, 0].numpy(), normalise(one).values.astype(np.float32)
    )
    assert batch["ts_lengths"].tolist() == [[17]]


@given(
    counts=st.lists(st.lists(st.integers(1, 40), max_size=3), min_size=1, max_size=4),
    side=st.sampled_from(["left", "right"]),
    patch=st.sampled_from([1, 8, 16]),
)
def test_rows_with_any_number_of_series(counts: list[list[int]], side: str, patch: int) -> None:
    processor = TimeSeriesProcessor(tiny_tokenizer(), ProcessorConfig(patch_size=patch))
    rows = [[np.linspace(0, n, n) for n in row] for row in counts]
    texts = ["x" + "".join(f" {SERIES};" for _ in row) for row in rows]
    batch = processor(texts, rows, padding_side=side)
    tokens = (batch["input_ids"] == processor.ts_start_id).sum(dim=1)
    assert tokens.tolist() == [sum(-(-n // patch) for n in row) for row in counts]
    for r, (text, row) in enumerate(zip(texts, rows, strict=True)):
        kept = batch["input_ids"][r][batch["attention_mask"][r].bool()]
        alone = processor(text, [row])
        assert kept.tolist() == alone["input_ids"][0].tolist()
        assert processor.token_count(text, row) == len(kept)
        edge = batch["attention_mask"][r][-1 if side == "left" else 0]
        assert edge == 1
    if any(counts):
        assert batch["ts_lengths"].shape == (len(rows), max(map(len, rows)))
        expected = [row + [0] * (max(map(len, counts)) - len(row)) for row in counts]
        assert batch["ts_lengths"].tolist() == expected
    else:
        assert set(batch) == {"input_ids", "attention_mask"}


def test_the_official_flat_list_is_cut_by_the_placeholders(
    processor: TimeSeriesProcessor, series: list[Any]
) -> None:
    texts = [f"{SERIES} and {SERIES}", "none", f"one {SERIES}"]
    flat = processor(texts, series[:3])
    nested = processor(texts, [series[:2], [], [series[2]]])
    assert all(torch.equal(flat[key], nested[key]) for key in nested)
    lists = processor(texts, [one.tolist() for one in series[:3]])
    assert all(torch.equal(lists[key], nested[key]) for key in nested)


def test_a_two_dimensional_array_is_a_row(processor: TimeSeriesProcessor) -> None:
    batch = processor(f"{SERIES}{SERIES}", [np.zeros((2, 5))])
    assert batch["ts_lengths"].tolist() == [[5, 5]]


def test_padding_is_told_by_the_mask_where_pad_is_eos() -> None:
    processor = TimeSeriesProcessor(tiny_tokenizer(pad_is_eos=True))
    end = processor.tokenizer.eos_token_id
    batch = processor(["<|im_end|>", "longer<|im_end|>"])
    assert batch["attention_mask"].sum(dim=1).tolist() == [1, 7]
    assert batch["input_ids"][0].tolist() == [end] * 7


@pytest.mark.parametrize(
    ("text", "series"),
    [
        (SERIES, []),
        ("none", [[1.0]]),
        (SERIES + SERIES, [[[1.0]]]),
        ([SERIES, "none"], [[], [[1.0]]]),
        ([SERIES], [[[1.0]], [[1.0]]]),
        (SERIES, [[[1.0]], [1.0]]),
        ("half <ts>", []),
        ("half <ts/>", []),
        (f"{SERIES} <ts>", [[[1.0]]]),
        ([], []),
    ],
)
def test_places_and_series_that_do_not_match_are_refused(
    processor: TimeSeriesProcessor, text: Any, series: Any
) -> None:
    with pytest.raises(SeriesError):
        processor(text, series)


def test_what_the_encoder_cannot_take_is_refused_early(processor: TimeSeriesProcessor) -> None:
    short = TimeSeriesProcessor(processor.tokenizer, ProcessorConfig(max_samples=10))
    short(SERIES, [[np.zeros(10)]])
    with pytest.raises(SeriesValidationError, match="11 samples; this model takes at most 10"):
        short(SERIES, [[np.zeros(11)]])
    with pytest.raises(SeriesValidationError, match="nan at row 0"):
        short(SERIES, [[np.array([np.nan])]])


def test_the_chat_template_has_a_newline_after_every_turn(
    processor: TimeSeriesProcessor,
) -> None:
    assert processor.chat("Q") == (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\n"
    )
    assert processor.chat("Q", system="S").startswith("<|im_start|>system\nS<|im_end|>\n")
    turns = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]
    assert render_chat(turns, answer=False).endswith("<|im_start|>assistant\nA<|im_end|>\n")


def test_save_and_load(processor: TimeSeriesProcessor, tmp_path: Path) -> None:
    config = ProcessorConfig(16, "paper", 99, "right", "系统")
    TimeSeriesProcessor(processor.tokenizer, config).save(tmp_path)
    again = TimeSeriesProcessor.load(tmp_path)
    assert again.config == config
    text = again.chat(f"温度 12.5: {SERIES}")
    first = TimeSeriesProcessor(processor.tokenizer, config)(text, [[np.arange(9.0)]])
    second = again(text, [[np.arange(9.0)]])
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_settings_are_read_strictly(processor: TimeSeriesProcessor, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=PROCESSOR_FILE):
        TimeSeriesProcessor.load(tmp_path)
    (tmp_path / PROCESSOR_FILE).write_text('{"patchsize": 8}', encoding="utf-8")
    with pytest.raises(ConfigError, match=r"processor\.patchsize"):
        TimeSeriesProcessor.load(tmp_path, tokenizer=processor.tokenizer)


@pytest.mark.parametrize(
    "change", [{"patch_size": 0}, {"prefix": "v3"}, {"padding_side": "middle"}]
)
def test_settings_out_of_range_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"processor.{next(iter(change))}"):
        ProcessorConfig(**change)


def test_a_tokenizer_without_the_series_tokens_is_refused() -> None:
    with pytest.raises(ModelFileError, match="does not know '<ts>'"):
        TimeSeriesProcessor(tiny_tokenizer(series_tokens=False))


def test_digits_are_single_tokens() -> None:
    tokenizer = tiny_tokenizer()
    assert len(tokenizer.encode("0123456789")) == 10
    assert tokenizer.decode(tokenizer.encode("阈值 <ts>")) == "阈值 <ts>"
