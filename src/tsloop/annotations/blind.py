"""Whether a record was labelled blind: by somebody who had not seen a model's proposal.

Gold must be. Our own journals say it interval by interval (``basis``). A record that came from a
file of another tool counts as blind only where the file says of every interval that a person drew
it, or where somebody states it: ``extra["blind"]`` holds who did, and when. A proposal that the
record itself knows of outweighs every statement, also one that found nothing: a draft is one.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum

from tsloop.annotations.record import DRAFT, IMPORTED, AnnotationRecord
from tsloop.errors import AnnotationError
from tsloop.intervals import Basis

__all__ = ["BLIND", "Blindness", "blindness", "check_blind", "state_blind", "without_statement"]

BLIND = "blind"
"""The key of ``extra`` under which somebody states that an imported record was labelled blind."""


class Blindness(StrEnum):
    """What is known of how a record was made."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


def blindness(record: AnnotationRecord) -> Blindness:
    """What the record says: of itself, of the file that it came from, or by a statement."""
    imported = record.extra.get(IMPORTED)
    said_by_file = imported.get(BLIND) if isinstance(imported, Mapping) else None
    asked = record.queue is not None and record.queue.get("proposal") is not None
    proposal = asked or DRAFT in record.extra
    bases = {interval.basis for interval in record.intervals}
    if proposal or said_by_file is False or any(b is not None and b.proposed for b in bases):
        return Blindness.NO
    if imported is None and Basis.IMPORTED not in bases:
        return Blindness.YES
    drawn = said_by_file is True and bases <= {Basis.HUMAN}
    return Blindness.YES if drawn or _is_stated(record) else Blindness.UNKNOWN


def check_blind(record: AnnotationRecord) -> None:
    """Raise `AnnotationError` unless a record is known to be labelled blind."""
    found = blindness(record)
    if found is Blindness.NO:
        raise AnnotationError(
            f"The gold record of series {record.series_id!r} started from a model's proposal; "
            "gold must be labelled blind.",
            hint="Label the series again without a pre-annotation.",
        )
    if found is Blindness.UNKNOWN:
        raise AnnotationError(
            f"The gold record of series {record.series_id!r} came from a file that does not say "
            "whether its labels started from a model's proposal; gold must be labelled blind.",
            hint="If they did not, say who states that: tsloop labels import FILE --into gold "
            "--blind-by NAME, or tsloop labels gold add JOURNAL --blind-by NAME (of what is gold "
            "already: tsloop labels gold add data/labels/gold.jsonl --blind-by NAME)",
        )


def state_blind(record: AnnotationRecord, who: str, when: datetime) -> AnnotationRecord:
    """The record with somebody's statement, where nothing else says whether it is blind."""
    if blindness(record) is not Blindness.UNKNOWN:
        return record
    time = when.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return record.replace(extra={**record.extra, BLIND: {"by": who, "time": time}})


def without_statement(record: AnnotationRecord) -> AnnotationRecord:
    """The record as it was before somebody stated that it is blind."""
    extra = {key: value for key, value in record.extra.items() if key != BLIND}
    return record.replace(extra=extra)


def _is_stated(record: AnnotationRecord) -> bool:
    stated = record.extra.get(BLIND)
    return isinstance(stated, Mapping) and bool(stated.get("by"))
