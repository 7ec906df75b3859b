"""One grammar for training targets, served prompts and the answers of a language model.

A prompt holds the placeholder ``<ts><ts/>`` once. An answer is a JSON list on one line::

    [{"interval":[174,174],"label":"upward_spike","reason":"…"}]

with rows of the shown window, zero-based and inclusive; ``[]`` says "looked and found nothing".
The texts of the prompts are files, ``prompts/intervals-<version>.<language>.txt``; `PROMPT_VERSION`
names those in use, and whoever changes one adds files of a new version. `parse_answer` reads this
and everything that models make of it; what it cannot read is ``failed`` and never "normal".
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
import numpy.typing as npt

from tsloop.answers import FLAGS, ParsedAnswer, parse_answer
from tsloop.errors import ConfigError
from tsloop.intervals import Interval
from tsloop.labels import LabelSet

__all__ = [
    "FLAGS",
    "LANGUAGES",
    "PLACEHOLDER",
    "PROMPT_VERSION",
    "ParsedAnswer",
    "parse_answer",
    "render_answer",
    "render_prompt",
    "shown_values",
]

PLACEHOLDER = "<ts><ts/>"
"""Where the processor puts the series into the text."""

LANGUAGES = ("zh", "en")

PROMPT_VERSION = "intervals-1"
"""The templates in use; a model that was tuned on others should be asked with those."""

_EXAMPLE = '[{"interval":[start,end],"label":"…","reason":"…"}]'

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
    gaps = _template("gaps.", language).format(missing=n_missing) if n_missing else ""
    return (
        _template("", language)
        .removesuffix("\n")
        .format(
            rows=n_rows,
            last=n_rows - 1,
            labels=("、" if language == "zh" else ", ").join(names),
            gaps=gaps,
            example=_EXAMPLE,
        )
    )


@cache
def _template(part: str, language: str) -> str:
    name = f"prompts/{PROMPT_VERSION}.{part}{language}.txt"
    return resources.files("tsloop").joinpath(name).read_text("utf-8")


def shown_values(values: npt.NDArray[np.float64]) -> list[float]:
    """The numbers of a window (no NaN) as a model is shown them, in training and when asked.

    Digits beyond a millionth of the window's range say nothing and are rounded away.
    """
    spread = float(np.ptp(values))
    if not 0.0 < spread < math.inf:
        return [float(value) for value in values]
    digits = 6 - math.floor(math.log10(spread))
    return [round(float(value), digits) for value in values]


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
