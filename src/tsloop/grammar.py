"""One grammar for training targets, served prompts and the answers of a language model.

A prompt holds the placeholder ``<ts><ts/>`` once. An answer is a JSON list on one line::

    [{"interval":[174,174],"label":"upward_spike","reason":"…"}]

with rows of the shown window, zero-based and inclusive; ``[]`` says "looked and found nothing".
`parse_answer` reads this and everything that models make of it; what it cannot read is ``failed``
and never "normal".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from tsloop.answers import FLAGS, ParsedAnswer, parse_answer
from tsloop.errors import ConfigError
from tsloop.intervals import Interval
from tsloop.labels import LabelSet

__all__ = [
    "FLAGS",
    "LANGUAGES",
    "PLACEHOLDER",
    "ParsedAnswer",
    "parse_answer",
    "render_answer",
    "render_prompt",
]

PLACEHOLDER = "<ts><ts/>"
"""Where the processor puts the series into the text."""

LANGUAGES = ("zh", "en")

_EXAMPLE = '[{"interval":[start,end],"label":"…","reason":"…"}]'

_PROMPTS = {
    "zh": (
        "以下是一条时间序列，共{rows}个采样点：<ts><ts/>。\n"
        "{gaps}请标出其中每一段异常。可用标签：{labels}。\n"
        "只输出一行JSON数组：{example}\n"
        "start和end是从0到{last}的行号，两端都包含在内；单点异常时start等于end。"
        "没有异常时输出[]。"
    ),
    "en": (
        "Here is a time series of {rows} samples: <ts><ts/>.\n"
        "{gaps}Mark every anomalous stretch in it. Labels: {labels}.\n"
        "Answer with one line of JSON and nothing else: {example}\n"
        "start and end are row numbers from 0 to {last}, both included; "
        "for a single point start equals end. If there is no anomaly, answer []."
    ),
}

_GAPS = {
    "zh": "其中{missing}个采样点缺失，已用线性插值补上。\n",
    "en": "{missing} of the samples were missing and are interpolated linearly.\n",
}

# Inside a JSON string these are written as escapes: what would end the line, what is no text, and
# "<", so that no reason can carry a placeholder or a control token of a chat template.
_ESCAPED = re.compile("[<\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def render_prompt(n_rows: int, label_set: LabelSet, language: str, n_missing: int = 0) -> str:
    """The prompt for a window of ``n_rows`` rows, ``n_missing`` of which were interpolated.

    ``language`` is one of `LANGUAGES`; another one raises `ConfigError`.
    """
    if language not in LANGUAGES:
        raise ConfigError(f"Prompt language {language!r} is unknown; choose one of {LANGUAGES}.")
    names = [
        f"{label.id}（{label.zh}）" if language == "zh" else f"{label.id} ({label.en})"
        for label in label_set.labels
    ]
    return _PROMPTS[language].format(
        rows=n_rows,
        last=n_rows - 1,
        labels=("、" if language == "zh" else ", ").join(names),
        gaps=_GAPS[language].format(missing=n_missing) if n_missing else "",
        example=_EXAMPLE,
    )


def render_answer(intervals: Iterable[Interval], label_set: LabelSet) -> str:
    """The answer that `parse_answer` reads back; an unknown label raises `LabelSetError`.

    Intervals are sorted; only rows, label and a non-empty reason are written.
    """
    items: list[dict[str, Any]] = []
    for interval in sorted(intervals, key=lambda i: (i.start, i.end, i.label, i.reason)):
        label_set.check([interval.label])
        item = {"interval": [interval.start, interval.end], "label": interval.label}
        items.append({**item, "reason": interval.reason} if interval.reason else item)
    text = json.dumps(items, ensure_ascii=False, separators=(",", ":"))
    return _ESCAPED.sub(lambda match: f"\\u{ord(match.group()):04x}", text)
