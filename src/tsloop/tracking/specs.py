"""What a run should say, as plain values; nothing here knows MLflow.

A specification is built from files alone, so that the same project always gives the same runs, in
an empty store as in a full one.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tsloop.files import dump_json

__all__ = [
    "DIGEST_CHARS",
    "MAX_PARAM_CHARS",
    "MAX_TAG_CHARS",
    "DatasetSpec",
    "Metric",
    "RunSpec",
    "clipped",
    "content_key",
    "curve_figures",
    "digest",
    "finite",
    "flatten",
    "metric_name",
    "scorecard_figures",
    "undefined_tags",
    "verdict_tags",
]

DIGEST_CHARS = 36
"""MLflow refuses a longer data set digest: DVC's MD5 (32, with ``.dir`` 36) fits."""
MAX_PARAM_CHARS = 6000
MAX_TAG_CHARS = 5000

_NOT_ALLOWED = re.compile(r"[^\w./ -]+")


@dataclass(frozen=True, slots=True)
class Metric:
    """One value of a metric; ``step`` counts training steps and is 0 for final figures."""

    name: str
    value: float
    step: int = 0


@dataclass(frozen=True, slots=True)
class DatasetSpec:
    """Data that went into a run: ``context`` is training, validation or gold."""

    name: str
    digest: str
    context: str
    path: str
    """Where it lies, relative to the project."""
    sha256: str = ""


@dataclass(frozen=True)
class RunSpec:
    """One run. ``files`` are (file or directory, artifact directory); ``texts`` artifact → text."""

    kind: str
    name: str
    key: str
    time_ms: int
    tags: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: tuple[Metric, ...] = ()
    datasets: tuple[DatasetSpec, ...] = ()
    files: tuple[tuple[Path, str], ...] = ()
    texts: Mapping[str, str] = field(default_factory=dict)


def content_key(value: Any) -> str:
    """Hex SHA-256 of plain values: what a run is recognised by."""
    return hashlib.sha256(dump_json(value).encode("utf-8")).hexdigest()


def digest(md5: str, sha256: str) -> str:
    """A digest that MLflow accepts: DVC's MD5 where it is known, else the head of a SHA-256."""
    return (md5 or sha256)[:DIGEST_CHARS] or "unknown"


def flatten(config: Mapping[str, Any]) -> dict[str, str]:
    """Nested settings as parameters: keys joined by ``.``, values as text MLflow can hold.

    A value too long for a parameter is cut, with its hash in place of the rest; the run carries the
    whole configuration as an artifact.
    """
    return {metric_name(key): _param(value) for key, value in _leaves(config, "")}


def finite(values: Mapping[str, Any]) -> tuple[dict[str, float], dict[str, str]]:
    """Split figures into finite numbers and, for the others, why they cannot be logged.

    MLflow stores an infinity as 1.8e308, which then wins every ordering.
    """
    numbers: dict[str, float] = {}
    undefined: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        if math.isfinite(value):
            numbers[name] = float(value)
        else:
            undefined[name] = f"not finite: {value}"
    return numbers, undefined


def metric_name(text: str) -> str:
    """The name as MLflow takes it: letters of any script, digits, ``_``, ``.``, ``-``, ``/``."""
    clean = _NOT_ALLOWED.sub("_", text)
    # MLflow takes the name for a path: "..", "//" and a leading "/" are refused.
    clean = re.sub(r"/{2,}", "/", re.sub(r"\.{2,}", "_", clean)).strip("/ ")
    if len(clean) > 240:
        clean = f"{clean[:220]}_{hashlib.sha256(text.encode('utf-8')).hexdigest()[:16]}"
    return clean or "_"


def clipped(text: str, limit: int = MAX_TAG_CHARS) -> str:
    """The text, or its head and its hash where it is too long."""
    if len(text) <= limit:
        return text
    mark = f"… ({len(text)} characters, sha256 {hashlib.sha256(text.encode('utf-8')).hexdigest()})"
    return text[: min(200, limit - len(mark))] + mark


def scorecard_figures(
    card: Mapping[str, Any],
) -> tuple[list[Metric], dict[str, str]]:
    """Metrics and tags of one scorecard: values, bootstrap bounds, figures per label."""
    numbers, undefined = finite(card.get("metrics") or {})
    undefined |= {str(k): str(v) for k, v in (card.get("undefined") or {}).items()}
    for name, bounds in (card.get("intervals") or {}).items():
        low_high, _ = finite({f"{name}.low": bounds[0], f"{name}.high": bounds[1]})
        numbers |= low_high
    for label, figures in (card.get("per_label") or {}).items():
        if isinstance(figures, Mapping):
            per_label, _ = finite(figures)
            numbers |= {f"label/{label}/{name}": value for name, value in per_label.items()}
    metrics = [Metric(metric_name(name), value) for name, value in sorted(numbers.items())]
    return metrics, undefined_tags(undefined)


def undefined_tags(undefined: Mapping[str, str]) -> dict[str, str]:
    """Tags that say which metrics have no value, and why."""
    return {
        f"tsloop.undefined.{metric_name(name)}": clipped(reason or "undefined")
        for name, reason in sorted(undefined.items())
    }


def verdict_tags(verdict: Mapping[str, Any]) -> dict[str, str]:
    """What the gate said: ``win``, ``lose`` or ``undecided``, and the sentence of why."""
    return {
        "tsloop.verdict": str(verdict.get("result") or ""),
        "tsloop.verdict.text": clipped(str(verdict.get("text") or "")),
    }


def curve_figures(rows: Iterable[Mapping[str, Any]]) -> tuple[list[Metric], dict[str, str]]:
    """Metrics per training step, named ``training/<figure>``, from the lines of a training log."""
    metrics: list[Metric] = []
    lost: dict[str, int] = {}
    for number, row in enumerate(rows):
        step = row.get("step", number)
        step = int(step) if isinstance(step, int | float) and math.isfinite(step) else number
        numbers, undefined = finite({k: v for k, v in row.items() if k not in ("step", "steps")})
        metrics += [Metric(metric_name(f"training/{k}"), v, step) for k, v in numbers.items()]
        for name in undefined:
            lost[name] = lost.get(name, 0) + 1
    reasons = {f"training/{name}": f"not finite in {n} steps" for name, n in sorted(lost.items())}
    return metrics, undefined_tags(reasons)


def _leaves(value: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key in sorted(value, key=str):
        item, name = value[key], f"{prefix}{key}"
        if isinstance(item, Mapping) and item:
            yield from _leaves(item, f"{name}.")
        else:
            yield name, item


def _param(value: Any) -> str:
    if isinstance(value, str):
        text = value
    else:
        text = json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
    return clipped(text, MAX_PARAM_CHARS)
