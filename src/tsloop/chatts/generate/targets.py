"""Token ids for training, from the same rows and through the same processor as questions.

A row is ``{"input", "output", "timeseries"}`` as `tsloop.annotations.finetune` writes it. The
prompt's tokens carry the label -100; the answer's tokens and the one that ends it are learned.
Prompt and answer are tokenised apart, as they are when a model answers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tsloop.chatts.generate.protocols import SeriesProcessor
from tsloop.chatts.generate.windows import MIN_WINDOW
from tsloop.errors import AnnotationError
from tsloop.grammar import LANGUAGES, parse_answer, render_answer, render_prompt
from tsloop.intervals import Interval
from tsloop.labels import LabelSet

if TYPE_CHECKING:
    import torch

__all__ = ["IGNORED", "LeftOut", "Target", "Targets", "collate_targets", "encode_targets"]

IGNORED = -100
"""The label of tokens that are not learned."""

_COUNTS = ("rows_split", "rows_left_out", "answers_cut", "answers_rewritten")


@dataclass(frozen=True, eq=False)
class Target:
    """One training example; ``row`` is the number of the row that it comes from.

    ``input_ids`` and ``labels`` are int64, shape ``(tokens,)``; ``timeseries`` is float32, shape
    ``(series, samples)``, and ``ts_lengths`` int64, shape ``(series,)``, as the processor made
    them.
    """

    row: int
    input_ids: torch.Tensor
    labels: torch.Tensor
    timeseries: torch.Tensor
    ts_lengths: torch.Tensor


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A row (or a part of one) that is not trained on, and why."""

    row: int
    tokens: int
    reason: str


@dataclass(frozen=True)
class Targets:
    """What is trained on, what is not, and counts of both.

    ``report`` counts ``rows``, ``targets``, ``rows_split``, ``rows_left_out`` (of which no or not
    every part is trained on), ``answers_cut`` (intervals that a split cut in two),
    ``answers_rewritten`` (an interval was there twice) and ``tokens``.
    """

    targets: tuple[Target, ...]
    left_out: tuple[LeftOut, ...]
    report: Mapping[str, int]


def encode_targets(
    rows: Sequence[Mapping[str, Any]],
    processor: SeriesProcessor,
    label_set: LabelSet,
    max_tokens: int,
) -> Targets:
    """Encode rows; one that has more than ``max_tokens`` tokens is split in halves.

    Split are rows of one series with our own prompt, without interpolated samples (of which the
    prompt says how many, but not where) and with at least two times `MIN_WINDOW` samples. Others
    that are too long are left out, listed and counted. A row without the three keys, or with an
    answer that the grammar does not know, raises `AnnotationError`.
    """
    report: Counter[str] = Counter({**dict.fromkeys(_COUNTS, 0), "rows": len(rows)})
    targets: list[Target] = []
    left_out: list[LeftOut] = []
    for number, given in enumerate(rows):
        row = _checked(given, number, label_set, report)
        missed = len(left_out)
        waiting = [row]
        while waiting:
            part = waiting.pop()
            target = _encode(part, number, processor)
            tokens = len(target.input_ids)
            if tokens <= max_tokens:
                targets.append(target)
                continue
            parts = _halves(part, label_set, report)
            waiting += reversed(parts)
            if not parts:
                reason = f"{tokens} tokens are more than {max_tokens}, and it cannot be split"
                left_out.append(LeftOut(number, tokens, reason))
            report["rows_split"] += bool(parts) and part is row
        report["rows_left_out"] += len(left_out) > missed
    report["targets"] = len(targets)
    report["tokens"] = sum(len(target.input_ids) for target in targets)
    return Targets(tuple(targets), tuple(left_out), dict(sorted(report.items())))


def collate_targets(targets: Sequence[Target], pad_token_id: int) -> dict[str, torch.Tensor]:
    """One batch, padded at the right: ``input_ids``, ``attention_mask``, ``labels`` of shape
    (rows, tokens), ``timeseries`` (rows, series, samples), ``ts_lengths`` (rows, series)."""
    import torch

    lengths = [len(target.input_ids) for target in targets]
    shape = (len(targets), max(lengths))
    series = max(target.timeseries.shape[0] for target in targets)
    samples = max(target.timeseries.shape[1] for target in targets)
    batch = {
        "input_ids": torch.full(shape, pad_token_id, dtype=torch.long),
        "attention_mask": torch.zeros(shape, dtype=torch.long),
        "labels": torch.full(shape, IGNORED, dtype=torch.long),
        "timeseries": torch.zeros(len(targets), series, samples),
        "ts_lengths": torch.zeros(len(targets), series, dtype=torch.long),
    }
    for row, (target, length) in enumerate(zip(targets, lengths, strict=True)):
        batch["input_ids"][row, :length] = target.input_ids
        batch["attention_mask"][row, :length] = 1
        batch["labels"][row, :length] = target.labels
        held, shown = target.timeseries.shape
        batch["timeseries"][row, :held, :shown] = target.timeseries
        batch["ts_lengths"][row, :held] = target.ts_lengths
    return batch


def _encode(row: Mapping[str, Any], number: int, processor: SeriesProcessor) -> Target:
    import torch

    tokenizer = processor.tokenizer
    made = processor([processor.chat(row["input"])], [row["timeseries"]], padding_side="right")
    prompt = made["input_ids"][0]
    answer = tokenizer(row["output"], add_special_tokens=False)["input_ids"]
    learned = torch.tensor([*answer, tokenizer.eos_token_id], dtype=torch.long)
    return Target(
        number,
        torch.cat([prompt, learned]),
        torch.cat([torch.full_like(prompt, IGNORED), learned]),
        made["timeseries"][0],
        made["ts_lengths"][0],
    )


def _checked(
    row: Mapping[str, Any], number: int, label_set: LabelSet, report: Counter[str]
) -> dict[str, Any]:
    """The row with its answer written as the grammar writes it."""
    if missing := {"input", "output", "timeseries"} - set(row):
        raise AnnotationError(f"Training row {number} lacks {sorted(missing)}.")
    rows = max(map(len, row["timeseries"]), default=0)
    parsed = parse_answer(row["output"], rows, label_set)
    if parsed.form == "failed" or set(parsed.flags) - {"duplicates_removed"}:
        raise AnnotationError(
            f"Training row {number} has an answer that the grammar does not know: "
            f"{row['output']!r:.120}.",
            hint="Make finetune.jsonl again with: dvc repro",
        )
    output = render_answer(parsed.intervals, label_set)
    report["answers_rewritten"] += output != row["output"]
    return {**row, "output": output}


def _halves(
    row: Mapping[str, Any], label_set: LabelSet, report: Counter[str]
) -> list[dict[str, Any]]:
    """The row as two; empty where it cannot be split."""
    if len(row["timeseries"]) != 1:
        return []
    values = row["timeseries"][0]
    n = len(values)
    prompts = {render_prompt(n, label_set, language): language for language in LANGUAGES}
    if n < 2 * MIN_WINDOW or row["input"] not in prompts:
        return []
    intervals = parse_answer(row["output"], n, label_set).intervals
    cut = _place(n, intervals)
    report["answers_cut"] += sum(i.start < cut <= i.end for i in intervals)
    return [
        {
            "input": render_prompt(stop - start, label_set, prompts[row["input"]]),
            "output": render_answer(_inside(intervals, start, stop), label_set),
            "timeseries": [values[start:stop]],
        }
        for start, stop in ((0, cut), (cut, n))
    ]


def _place(n: int, intervals: Sequence[Interval]) -> int:
    """Where to cut ``n`` rows: as near the middle as may be without cutting an interval."""
    middle = n // 2
    places = sorted(range(MIN_WINDOW, n - MIN_WINDOW + 1), key=lambda place: abs(place - middle))
    whole = (p for p in places if not any(i.start < p <= i.end for i in intervals))
    return next(whole, middle)


def _inside(intervals: Sequence[Interval], start: int, stop: int) -> Iterator[Interval]:
    for interval in intervals:
        if interval.start < stop and interval.end >= start:
            yield interval.replace(
                start=max(interval.start, start) - start, end=min(interval.end, stop - 1) - start
            )
