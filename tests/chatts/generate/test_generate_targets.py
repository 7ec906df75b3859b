"""Training targets: what is learned is what is written when asked."""

import numpy as np
import pytest
import torch
from generate_tools import LABELS, PlainProcessor, byte_level

from tsloop.annotations.examples import Example
from tsloop.annotations.finetune import finetune_rows
from tsloop.annotations.split import SplitConfig
from tsloop.chatts.generate.constraints import AnswerConstraint
from tsloop.chatts.generate.targets import IGNORED, collate_targets, encode_targets
from tsloop.chatts.generate.tokens import token_table
from tsloop.chatts.native.processor import ProcessorConfig, TimeSeriesProcessor
from tsloop.chatts.native.tiny import tiny_model, tiny_tokenizer
from tsloop.errors import AnnotationError
from tsloop.grammar import render_answer, render_prompt
from tsloop.intervals import Interval
from tsloop.series.types import Series

PROCESSOR = PlainProcessor(byte_level())
TOKENIZER = PROCESSOR.tokenizer


def row(n: int, *intervals: Interval, missing: int = 0, language: str = "zh") -> dict:
    return {
        "input": render_prompt(n, LABELS, language, missing),
        "output": render_answer(intervals, LABELS),
        "timeseries": [[float(value % 7) for value in range(n)]],
    }


STEP = Interval(30, 40, "step_up", reason="高于正常水平")


def test_only_answer_and_end_are_learned() -> None:
    result = encode_targets([row(100, STEP), row(64)], PROCESSOR, LABELS, 10**6)
    for target, text in zip(result.targets, [render_answer([STEP], LABELS), "[]"], strict=True):
        learned = target.labels != IGNORED
        first = int(learned.nonzero()[0])
        assert learned[first:].all()
        assert torch.equal(target.labels[first:], target.input_ids[first:])
        assert target.input_ids[-1] == TOKENIZER.eos_token_id
        assert TOKENIZER.decode(target.input_ids[first:-1]) == text
    assert result.report == {
        "answers_cut": 0,
        "answers_rewritten": 0,
        "rows": 2,
        "rows_left_out": 0,
        "rows_split": 0,
        "targets": 2,
        "tokens": sum(len(target.input_ids) for target in result.targets),
    }


def test_a_target_is_an_answer_to_the_question_token_by_token() -> None:
    """What training shows can be generated under the constraint, with these very tokens."""
    table = token_table(TOKENIZER)
    target = encode_targets([row(100, STEP)], PROCESSOR, LABELS, 10**6).targets[0]
    constraint = AnswerConstraint.of(100, LABELS)
    state = constraint.start
    for token in target.labels[target.labels != IGNORED][:-1].tolist():
        assert table.mask(constraint, state)[token]
        state = constraint.follow(state, table.texts[token])
    question = PROCESSOR(
        [PROCESSOR.chat(row(100)["input"])], [row(100)["timeseries"]], padding_side="left"
    )
    prompt = target.input_ids[target.labels == IGNORED]
    assert torch.equal(prompt, question["input_ids"][0])


def whole(number: int) -> int:
    return len(encode_targets([row(number)], PROCESSOR, LABELS, 10**6).targets[0].input_ids)


@pytest.mark.parametrize("language", ["zh", "en"])
def test_a_row_that_is_too_long_is_split_beside_its_intervals(language: str) -> None:
    across = Interval(120, 160, "step_up")
    long = row(256, Interval(3, 5, "anomaly"), across, Interval(255, 255, "dropout"))
    long["input"] = render_prompt(256, LABELS, language)
    budget = len(encode_targets([long], PROCESSOR, LABELS, 10**6).targets[0].input_ids) - 1
    result = encode_targets([row(64, language=language), long], PROCESSOR, LABELS, budget)
    assert [target.row for target in result.targets] == [0, 1, 1]
    assert [len(target.timeseries[0]) for target in result.targets] == [64, 120, 136]
    answers = [
        TOKENIZER.decode(target.labels[target.labels != IGNORED][:-1]) for target in result.targets
    ]
    assert answers[1:] == [
        render_answer([Interval(3, 5, "anomaly")], LABELS),
        render_answer([Interval(0, 40, "step_up"), Interval(135, 135, "dropout")], LABELS),
    ]
    assert result.report["rows_split"] == 1
    assert result.report["answers_cut"] == 0
    shown = torch.cat([target.timeseries[0] for target in result.targets[1:]])
    assert shown.tolist() == long["timeseries"][0]


def test_an_interval_over_the_whole_row_is_cut_and_counted() -> None:
    everything = Interval(0, 255, "sudden_drift")
    result = encode_targets([row(256, everything)], PROCESSOR, LABELS, whole(256))
    assert result.report["answers_cut"] == 1
    assert [len(target.timeseries[0]) for target in result.targets] == [128, 128]


@pytest.mark.parametrize(
    "long", [row(256, missing=3), row(100), {**row(256), "input": "What is in <ts><ts/>?"}]
)
def test_what_cannot_be_split_is_left_out_and_said(long: dict) -> None:
    result = encode_targets([long, row(64)], PROCESSOR, LABELS, 10)
    assert result.targets == ()
    assert [left.row for left in result.left_out] == [0, 1]
    assert "cannot be split" in result.left_out[0].reason
    assert result.report["rows_left_out"] == 2


def test_rows_of_another_kind_are_refused() -> None:
    with pytest.raises(AnnotationError, match=r"row 0 lacks \['timeseries'\]"):
        encode_targets([{"input": "", "output": ""}], PROCESSOR, LABELS, 10)
    bad = {**row(64), "output": "[{'interval':[1,2],'label':'anomaly'}]"}
    with pytest.raises(AnnotationError, match="row 1 has an answer"):
        encode_targets([row(64), bad], PROCESSOR, LABELS, 10**6)


def test_an_interval_that_is_there_twice_is_learned_once() -> None:
    twice = row(64, Interval(1, 2, "anomaly", reason="a"), Interval(1, 2, "anomaly", reason="b"))
    result = encode_targets([twice], PROCESSOR, LABELS, 10**6)
    learned = result.targets[0].labels
    text = TOKENIZER.decode(learned[learned != IGNORED][:-1])
    assert text == render_answer([Interval(1, 2, "anomaly", reason="a")], LABELS)
    assert result.report["answers_rewritten"] == 1


def test_exported_rows_train_the_native_model() -> None:
    values = np.sin(np.arange(400) / 9)
    values[100] = np.nan
    series = Series("s", np.arange(400) * 10**9, values)
    example = Example(series, (STEP, Interval(300, 310, "dropout")))
    rows, _ = finetune_rows([example], SplitConfig(window=96), LABELS, seed=1)
    processor = TimeSeriesProcessor(tiny_tokenizer(), ProcessorConfig())
    result = encode_targets(rows, processor, LABELS, 4000)
    assert result.report["targets"] == len(rows) > 2
    batch = collate_targets(result.targets, processor.tokenizer.pad_token_id)
    assert batch["labels"].shape == batch["input_ids"].shape == batch["attention_mask"].shape
    assert (batch["labels"][batch["attention_mask"] == 0] == IGNORED).all()
    model = tiny_model("8b")
    loss = model(**batch).loss
    loss.backward()
    assert torch.isfinite(loss)
    single = [model(**collate_targets([target], 0)).loss for target in result.targets]
    weights = torch.tensor([float((t.labels != IGNORED).sum()) for t in result.targets])
    mean = (torch.stack(single) * weights).sum() / weights.sum()
    assert torch.allclose(loss, mean, rtol=1e-3)
