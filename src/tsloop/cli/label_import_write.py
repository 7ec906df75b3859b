"""The second half of ``tsloop labels import``: bind, compare with what is there, write."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from tsloop.cli.label_context import LabelContext
from tsloop.cli.label_import_report import say_failures, say_notes, say_plan

if TYPE_CHECKING:
    from tsloop.annotations.formats.base import Reading
    from tsloop.annotations.formats.binding import Binder, Bound
    from tsloop.loop.label_import import Plan
    from tsloop.project import Project

__all__ = ["Import"]


@dataclass(frozen=True, slots=True)
class Import:
    """What was asked for, by the options of the command."""

    context: LabelContext
    into: str
    accept_doubtful: bool
    skip_failed: bool
    revise: bool
    dry_run: bool
    blind_by: str

    def run(
        self, readings: Sequence[Reading], binder: Binder, unread: int, proposals: Path | None
    ) -> bool:
        """Whether something could not be imported."""
        from tsloop.annotations.formats.importing import bind_all
        from tsloop.names import counted

        binding = bind_all(readings, binder)
        say_failures(binding.failures, binding.hints)
        judged = [item for item in binding.bound if not item.proposed]
        proposed = _one_per_series([item for item in binding.bound if item.proposed])
        doubtful = [item for item in judged if item.doubts]
        ready = judged if self.accept_doubtful else [i for i in judged if not i.doubts]
        say_notes(binding.bound)
        if doubtful and not self.accept_doubtful:
            typer.echo(
                f"{counted(len(doubtful), 'record')} with doubts not taken: look at them, then "
                "--accept-doubtful."
            )
        self._say_proposals(proposed, proposals)
        if not self.into:
            where = self.context.store.directory if self.context.store else ""
            typer.echo(
                f"{counted(len(ready), 'record')} of {counted(_n(ready), 'interval')} fit the "
                f"series in {where}. Import them with --into ITERATION (or gold)."
            )
            return bool(binding.failures or unread)
        return self._write(ready, len(binding.failures) + unread)

    def _write(self, ready: Sequence[Bound], failures: int) -> bool:
        from tsloop.annotations.formats.base import Failure
        from tsloop.config.params import read_iterations
        from tsloop.loop.label_import import GOLD, blind_only, plan_import
        from tsloop.names import counted

        project = self.context.project
        if project is None:
            return bool(failures)
        names = list(read_iterations(project))
        records = [item.record for item in ready]
        plan = plan_import(
            project, self.into, records, names, revise=self.revise, blind_by=self.blind_by
        )
        say_plan(plan)
        if self.into == GOLD:
            plan, refused = blind_only(plan, self.blind_by, datetime.now(UTC))
            failed = [Failure("", error.message) for error in refused]
            say_failures(failed, Counter(error.hint for error in refused))
            failures += len(refused)
        blocked = bool(failures or plan.conflicts) and not self.skip_failed
        what = f"{counted(len(plan.add), 'record')} with {counted(_n_of(plan), 'interval')}"
        if self.dry_run or blocked or not plan.add:
            if self.dry_run:
                typer.echo(f"Would write {what} into {self.into}. Nothing was written.")
            elif blocked:
                typer.echo("Nothing was written. Leave out what failed with --skip-failed.")
            else:
                typer.echo("Nothing new to write.")
            return bool(failures or plan.conflicts)
        path = _store(project, self.into, plan)
        typer.echo(f"Wrote {what} to {path}. Next: tsloop configure && dvc repro")
        return bool(failures or plan.conflicts)

    def _say_proposals(self, proposed: Sequence[Bound], path: Path | None) -> None:
        from tsloop.errors import AnnotationError
        from tsloop.files import write_text_atomic
        from tsloop.names import counted

        if not proposed:
            return
        what = f"{counted(len(proposed), 'proposal')} with {counted(_n(proposed), 'interval')}"
        if path is None or self.dry_run:
            typer.echo(f"{what} not taken: nobody has judged them. Drafts: --proposals FILE")
            return
        if path.exists():
            raise AnnotationError(f"{path} is there already.", hint="Choose another --proposals.")
        rows = [_draft(item) for item in proposed]
        write_text_atomic(path, "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows))
        typer.echo(f"{what} in {path}, as drafts to correct (docs/labels.md).")


def _one_per_series(proposed: Sequence[Bound]) -> list[Bound]:
    """Of several files of one run (mask, segments) the one with the most intervals: it is finer."""
    found: dict[str, Bound] = {}
    for item in proposed:
        held = found.get(item.record.series_id)
        if held is None or len(item.record.intervals) > len(held.record.intervals):
            found[item.record.series_id] = item
    return list(found.values())


def _draft(item: Bound) -> dict[str, object]:
    from tsloop.annotations.record import DRAFT

    row = item.record.to_dict()
    return {DRAFT: "A model's proposal: look, correct, and delete this key.", **row}


def _store(project: Project, into: str, plan: Plan) -> str:
    from tsloop.api import AnnotationAdapter
    from tsloop.cli.label_context import project_label_set
    from tsloop.config.params import read_iterations
    from tsloop.execution.guard import project_lock
    from tsloop.loop.gold import add_gold_records
    from tsloop.loop.label_import import GOLD
    from tsloop.series.store import SeriesStore

    with project_lock(project.root, "tsloop labels import"):
        if into == GOLD:
            store = SeriesStore.open(project.series)
            names = read_iterations(project)
            add_gold_records(project, list(plan.add), names, store, project_label_set(project))
            return project.relative(project.labels(GOLD))
        return project.relative(AnnotationAdapter(project).import_records(into, plan.add))


def _n(bound: Iterable[Bound]) -> int:
    return sum(len(item.record.intervals) for item in bound)


def _n_of(plan: Plan) -> int:
    return sum(len(record.intervals) for record in plan.add)
