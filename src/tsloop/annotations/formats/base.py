"""The contract of every foreign format, and the values that cross the border.

A format reads a file into `ForeignRecord`s (one per judged series, still with foreign names, labels
and times) and writes canonical records. It says in `Holds` what it can carry; from that one
declaration come the loss report (`tsloop.annotations.formats.losses`), the table in
``docs/formats.md`` and the conformance suite.

What every reader must keep to:

- A record that cannot be read as a whole is a `Failure` with file and number, never "no anomaly".
  So is one of which a single interval cannot be read: an interval is never lost silently.
- "Nothing found" needs somebody who said so: an explicit marker, or an empty list where the format
  defines it that way. What was not looked at is `Skipped`, with the reason.
- Everything that had to be mended is named in ``repairs``; what a person should look at before it
  counts, in ``doubts``.
- Rows are handed on zero-based and inclusive on both ends, whatever the file counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tsloop.annotations.fitting import SeriesLookup
from tsloop.annotations.formats.source import Source
from tsloop.annotations.record import AnnotationRecord
from tsloop.intervals import Basis, Status
from tsloop.labels import LabelSet

__all__ = [
    "Bases",
    "Failure",
    "ForeignLabel",
    "ForeignRecord",
    "Format",
    "Holds",
    "Join",
    "OutFile",
    "ReadOptions",
    "Reading",
    "Skipped",
    "Span",
    "WriteContext",
]

OutFile = tuple[str, bytes]
"""A relative path (with ``/``) and the content of a file to write."""


class Join(StrEnum):
    """Which intervals of one label a format cannot keep apart."""

    NOTHING = "nothing"
    OVERLAPPING = "overlapping"  # sharing a row
    TOUCHING = "touching"  # sharing a row, or one beginning right after the other


class Bases(StrEnum):
    """What a format says of where an interval comes from."""

    IMPORTED = "imported"  # nothing: whatever is read counts as somebody's judgement
    MODEL = "model"  # nothing: whatever is read is a model's proposal
    BY_INTERVAL = "by interval"  # whether each interval is a model's proposal
    BY_RECORD = "by record"  # whether all intervals of a record are proposals


@dataclass(frozen=True, slots=True)
class Holds:
    """What of a canonical record survives a format; the defaults are rows of intervals alone.

    ``none`` is "looked and found nothing", ``mixed_overlaps`` overlapping intervals of different
    labels (a format without them refuses such a record), ``resolution_ns`` the finest time that
    the format can write (0: it counts rows), ``inline`` that it writes all times of the series, and
    not those of intervals alone, ``origins`` whether a person drew, accepted or edited
    an interval.
    """

    none: bool = False
    labels: bool = False
    join: Join = Join.NOTHING
    mixed_overlaps: bool = True
    reasons: bool = False
    scores: bool = False
    bases: Bases = Bases.IMPORTED
    origins: bool = False
    overall: bool = False
    author: bool = False
    time: bool = False
    resolution_ns: int = 0
    inline: bool = False


@dataclass(frozen=True, slots=True)
class ForeignLabel:
    """A label as a file names it: an id, a text, or both. An id alone means nothing."""

    id: str = ""
    text: str = ""

    def __str__(self) -> str:
        if self.id and self.text and self.id != self.text:
            return f"{self.text} ({self.id})"
        return self.text or self.id or "(none)"


@dataclass(frozen=True, slots=True)
class Span:
    """An interval in rows (``start``, ``end``), or in UTC nanoseconds where it has no rows yet.

    ``model`` says that it is a proposal, ``basis`` what the file says of one that is not.
    """

    label: ForeignLabel
    start: int | None = None
    end: int | None = None
    t_start: int | None = None
    t_end: int | None = None
    score: float | None = None
    reason: str = ""
    model: bool = False
    basis: Basis | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ForeignRecord:
    """What a file says of one series.

    ``place`` is file and record number, ``name`` how the file calls the series. ``label_set`` is
    the set (``id@version``) whose ids the file uses, empty where it does not say. ``n_rows`` is
    the length that the file states, ``draft`` says that a model wrote it (also where it found
    nothing), ``blind`` whether it was labelled blind (``None``: the file does not say), ``values``
    the series itself where the file has it and no name can be trusted, ``part`` the rows
    (inclusive) that were judged where it was not all of them.
    ``fields`` are foreign values without a place in the canonical record; they are kept, and come
    out again where the record is written in the same format.
    """

    place: str
    name: str
    result: Status
    spans: tuple[Span, ...] = ()
    overall: Mapping[str, ForeignLabel] = field(default_factory=dict)
    label_set: str = ""
    n_rows: int | None = None
    values: npt.NDArray[np.float64] | None = None
    part: tuple[int, int] | None = None
    author: str = ""
    time: str = ""
    draft: bool = False
    blind: bool | None = None
    repairs: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    fields: Mapping[str, Any] = field(default_factory=dict)

    @property
    def proposed(self) -> bool:
        """Whether a model said some of it, so that nobody has confirmed the record as a whole."""
        return self.draft or any(span.model for span in self.spans)


@dataclass(frozen=True, slots=True)
class Failure:
    """A record that could not be read; it is not "no anomaly"."""

    place: str
    reason: str


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something that is no judgement of a series, and why."""

    place: str
    reason: str


@dataclass(frozen=True, slots=True)
class Reading:
    """All that a file says, each part accounted for; ``repairs`` are those of the file itself."""

    format: str
    records: tuple[ForeignRecord, ...] = ()
    failures: tuple[Failure, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    repairs: tuple[str, ...] = ()

    @property
    def n_intervals(self) -> int:
        """Intervals in all readable records."""
        return sum(len(record.spans) for record in self.records)


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """What a file cannot say itself.

    ``zone`` is that of stamps that name none (empty: such stamps are refused), ``empty_is_none``
    reads an empty list of annotations as "no anomaly", ``index_space`` (``raw``) states what rows
    are counted where the file does not.
    """

    zone: str = ""
    empty_is_none: bool = False
    index_space: str = ""


@dataclass(frozen=True, slots=True)
class WriteContext:
    """What a writer may need: series, the label set, the language of texts.

    ``window`` is the number of rows that a language model is shown at once, ``picture`` the width
    and height in pixels of what a vision model is shown.
    """

    store: SeriesLookup
    label_set: LabelSet
    language: str = "zh"
    window: int = 1024
    picture: tuple[int, int] = (2000, 400)


class Format(Protocol):
    """One foreign format, in both directions."""

    @property
    def name(self) -> str:
        """The name on the command line."""

    @property
    def title(self) -> str:
        """One line for people."""

    @property
    def holds(self) -> Holds:
        """What survives: canonical → format → canonical is the identity on this part."""

    def recognises(self, source: Source) -> bool:
        """Whether a file looks like this format; never raises for foreign content."""

    def read(self, source: Source, options: ReadOptions) -> Reading:
        """All records of a file; `AnnotationError` only where it is another format altogether."""

    def write(
        self, records: Sequence[AnnotationRecord], context: WriteContext
    ) -> Iterator[OutFile]:
        """Files for records that hold nothing but what ``holds`` declares (`export_records`)."""
