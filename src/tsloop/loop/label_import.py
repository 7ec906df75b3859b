"""Imported labels enter the journals; what people said before is never overwritten.

A record that says what a journal already says is left alone, so an import may be repeated. One that
says something else than a person did is a conflict: it is written only as a later revision, and
only when that is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType

from tsloop.annotations.blind import Blindness, blindness, check_blind, state_blind
from tsloop.annotations.journal import latest, read_journal
from tsloop.annotations.record import AnnotationRecord
from tsloop.errors import AnnotationError
from tsloop.project import Project

__all__ = ["GOLD", "Conflict", "Plan", "blind_only", "plan_import"]

GOLD = "gold"


@dataclass(frozen=True, slots=True)
class Conflict:
    """A record that cannot enter as it is, and why."""

    record: AnnotationRecord
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What an import would do: records to add (some as a later revision), and what stays out.

    ``stated`` are those that gold has already, and that somebody states to be blind.
    """

    add: tuple[AnnotationRecord, ...]
    revised: tuple[str, ...]
    same: tuple[str, ...]
    conflicts: tuple[Conflict, ...]
    stated: tuple[str, ...] = ()


def plan_import(
    project: Project,
    into: str,
    records: Sequence[AnnotationRecord],
    iterations: Iterable[str],
    *,
    revise: bool = False,
    blind_by: str = "",
    known: Mapping[str, AnnotationRecord] = MappingProxyType({}),
) -> Plan:
    """Compare records with every journal of people; ``into`` is an iteration or ``gold``.

    With ``blind_by`` (who states it), records that gold has already, and of which nobody knows
    whether they are blind, are among those to add: `blind_only` puts the statement in.
    ``known`` are records beside those, as of a snapshot whose labels a simulated annotator made.
    """
    train = _held(project, [name for name in iterations if name != GOLD])
    for series_id, record in known.items():
        if series_id not in train or record.revision > train[series_id][0].revision:
            train[series_id] = (record, "an earlier snapshot")
    gold = _held(project, [GOLD])
    plans = _Planner(into, *((gold, train) if into == GOLD else (train, gold)), revise, blind_by)
    for record in records:
        plans.take(record)
    return plans.plan()


Held = tuple[AnnotationRecord, str]
"""A record, and the journal that has it."""


@dataclass
class _Planner:
    """Where each record goes: ``own`` is held where the import goes, ``other`` elsewhere."""

    into: str
    own: Mapping[str, Held]
    other: Mapping[str, Held]
    revise: bool
    blind_by: str
    seen: dict[str, AnnotationRecord] = field(default_factory=dict)
    add: list[AnnotationRecord] = field(default_factory=list)
    revised: list[str] = field(default_factory=list)
    same: list[str] = field(default_factory=list)
    stated: list[str] = field(default_factory=list)
    conflicts: list[Conflict] = field(default_factory=list)

    def take(self, record: AnnotationRecord) -> None:
        series_id = record.series_id
        if series_id in self.seen:
            if not _say_the_same(self.seen[series_id], record):
                self._refuse(record, "the files judge it twice, and differently")
            return
        self.seen[series_id] = record
        held = self.own.get(series_id)
        if series_id in self.other:
            gold = self.into == GOLD
            self._refuse(record, "it is labelled for training" if gold else "it is gold")
        elif held is None:
            self.add.append(record)
        elif _say_the_same(held[0], record):
            self._confirm(record, held[0])
        elif self.revise:
            self.add.append(record.replace(revision=held[0].revision + 1))
            self.revised.append(series_id)
        else:
            who = held[0].author or "somebody"
            place = f"{held[1]} (revision {held[0].revision})"
            self._refuse(record, f"{who} judged it differently in {place}")

    def _confirm(self, record: AnnotationRecord, held: AnnotationRecord) -> None:
        if self.into == GOLD and self.blind_by and blindness(held) is Blindness.UNKNOWN:
            # What is held, whole; but a file that knows of a proposal is to be refused.
            self.add.append(record if blindness(record) is Blindness.NO else held)
            self.stated.append(record.series_id)
        else:
            self.same.append(record.series_id)

    def _refuse(self, record: AnnotationRecord, reason: str) -> None:
        self.conflicts.append(Conflict(record, reason))

    def plan(self) -> Plan:
        refused = {conflict.record.series_id for conflict in self.conflicts}
        return Plan(
            tuple(record for record in self.add if record.series_id not in refused),
            tuple(series_id for series_id in self.revised if series_id not in refused),
            tuple(self.same),
            tuple(self.conflicts),
            tuple(self.stated),
        )


def blind_only(plan: Plan, blind_by: str, when: datetime) -> tuple[Plan, list[AnnotationError]]:
    """A plan for gold without what was not labelled blind, and why of each record left out.

    ``blind_by`` is who states it of records that do not say themselves; empty: nobody.
    """
    kept: list[AnnotationRecord] = []
    refused: list[AnnotationError] = []
    for record in plan.add:
        given = state_blind(record, blind_by, when) if blind_by else record
        try:
            check_blind(given)
        except AnnotationError as error:
            refused.append(error)
        else:
            kept.append(given)
    names = {record.series_id for record in kept}
    revised = tuple(series_id for series_id in plan.revised if series_id in names)
    stated = tuple(series_id for series_id in plan.stated if series_id in names)
    return replace(plan, add=tuple(kept), revised=revised, stated=stated), refused


def _held(project: Project, names: Iterable[str]) -> dict[str, Held]:
    """The latest record of each series in some journals, and the journal that has it."""
    found: dict[str, Held] = {}
    for name in names:
        path = project.labels(name)
        for series_id, record in (latest(read_journal(path)) if path.exists() else {}).items():
            if series_id not in found or record.revision > found[series_id][0].revision:
                found[series_id] = (record, project.relative(path))
    return found


def _say_the_same(held: AnnotationRecord, other: AnnotationRecord) -> bool:
    """Whether another record adds nothing; attributes that it does not mention do not differ."""
    attributes = dict(held.overall) | dict(other.overall) == dict(held.overall)
    return attributes and held.result is other.result and _spans(held) == _spans(other)


def _spans(record: AnnotationRecord) -> list[tuple[int, int, str]]:
    return [(interval.start, interval.end, interval.label) for interval in record.intervals]
