"""All foreign formats by name; a module is imported when its format is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module

from tsloop.annotations.formats.base import Format
from tsloop.annotations.formats.source import Source
from tsloop.errors import AnnotationError

__all__ = ["FORMATS", "all_formats", "detect_format", "get_format"]

FORMATS = {
    "annotator_v2": "annotator_v2:EXPORT",
    "annotator_v2_stored": "annotator_v2:STORED",
    "annotator_v1": "annotator_v1:ROWS",
    "annotator_v1_tree": "annotator_v1:TREE",
    "platform_rows": "platform_rows:FORMAT",
    "label_studio": "label_studio:FORMAT",
    "trainset": "trainset:FORMAT",
    "nab": "nab:FORMAT",
    "golden": "golden:FORMAT",
    "chatts_jsonl": "chatts_jsonl:FORMAT",
    "qwen": "qwen:FORMAT",
    "inference_csv": "inference_csv:FORMAT",
    "segments": "segments:FORMAT",
    "metrics": "segments:METRICS",
}
"""Name → module and attribute, in the order in which a file is tried."""


def get_format(name: str) -> Format:
    """The format of a name; an unknown one is an `AnnotationError` that lists them."""
    if name not in FORMATS:
        raise AnnotationError(
            f"There is no format {name!r}.", hint=f"Choose one of: {', '.join(FORMATS)}."
        )
    module, _, attribute = FORMATS[name].partition(":")
    found: Format = getattr(import_module(f"tsloop.annotations.formats.{module}"), attribute)
    return found


def all_formats() -> Iterator[Format]:
    """Every format, in the order in which a file is tried."""
    return (get_format(name) for name in FORMATS)


def detect_format(source: Source) -> Format | None:
    """The format of a file by its content, or ``None`` where it is none of them."""
    return next((item for item in all_formats() if item.recognises(source)), None)
