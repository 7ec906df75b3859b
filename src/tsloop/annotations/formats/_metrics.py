"""``STEM_metrics.json``, the neighbour of result tables and of segments: what it says of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tsloop.annotations.formats.base import OutFile
from tsloop.annotations.formats.source import Source
from tsloop.annotations.record import AnnotationRecord
from tsloop.intervals import Status

__all__ = ["metrics_beside", "metrics_file", "read_metrics", "segments_file"]


def metrics_beside(source: Source, suffix: str) -> dict[str, Any]:
    """What the metrics file beside ``STEM<suffix>`` says; empty where there is none."""
    beside = source.neighbour(source.path.name.removesuffix(suffix) + "_metrics.json")
    return read_metrics(beside.json) if beside is not None else {}


def read_metrics(data: Any) -> dict[str, Any]:
    """``index_space``, ``n_segments``, ``point_name``, and what only our own files say in ``meta``.

    Those are ``series_id``, ``status`` and ``score_kind``: without them the file cannot tell "no
    anomaly" from a method that had failed.
    """
    if not isinstance(data, dict) or not isinstance(data.get("summary"), dict):
        return {}
    meta = data["meta"] if isinstance(data.get("meta"), dict) else {}
    return {
        "point_name": data.get("point_name"),
        "index_space": data["summary"].get("index_space"),
        "n_segments": data["summary"].get("segment_count"),
        **{key: meta.get(key) for key in ("series_id", "status", "score_kind", "n_rows")},
    }


def segments_file(stem: str, record: AnnotationRecord) -> OutFile:
    """``STEM_segments.json``: rows and score; what only the older scorer computes stays empty."""
    segments = [
        {
            "start": interval.start,
            "end": interval.end,
            "score": interval.score,
            "raw_p": None,
            "left": None,
            "right": None,
            "length": len(interval),
        }
        for interval in record.intervals
    ]
    text = json.dumps(segments, indent=1, allow_nan=False)
    return f"{stem}_segments.json", text.encode() + b"\n"


def metrics_file(stem: str, record: AnnotationRecord, names: Mapping[str, str]) -> OutFile:
    """The metrics of a record: its scores as confidences, its rows as those of the series."""
    scores = sorted(i.score for i in record.intervals if i.score is not None)
    middle = len(scores) // 2
    median = (scores[middle] + scores[-middle - 1]) / 2 if scores else 0.0
    data = {
        "version": 1,
        "summary": {
            "score_avg": sum(scores) / len(scores) if scores else 0.0,
            "score_max": scores[-1] if scores else 0.0,
            "score_min": scores[0] if scores else 0.0,
            "score_p50": median,
            "segment_count": len(record.intervals),
            "score_avg_method": "mean" if scores else "none",
            "index_space": "raw",
        },
        "method": "tsloop",
        "downsampler": "none",
        "task_name": "global",
        "task_id": None,
        "point_name": record.series_id.rpartition("/")[2],
        "metrics_path": f"{stem}_metrics.json",
        "segments_path": None,
        "result_csv": None,
        "result_path": None,
        "model_path": None,
        "generated_at": None,
        **names,
        "meta": {
            "series_id": record.series_id,
            "n_rows": record.n_rows,
            "status": str(Status.NONE if not record.intervals else Status.OK),
            "score_kind": "confidence",
        },
    }
    text = json.dumps(data, ensure_ascii=False, indent=1, allow_nan=False)
    return f"{stem}_metrics.json", text.encode() + b"\n"
