"""Make MLflow say what the project's files say.

`sync` writes what is missing, marks what the project no longer holds, registers models and moves
aliases. Repeating it changes nothing, and an empty store comes back with the same runs, curves,
versions and aliases. Runs are recognised by a key made from their content, so a changed iteration
gets new runs and the old ones stay, marked superseded.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from tsloop.errors import TsloopError
from tsloop.project import Project
from tsloop.tracking import runs
from tsloop.tracking.config import TrackingConfig
from tsloop.tracking.history import history
from tsloop.tracking.iterations import IterationRuns, iteration_runs, provenance_tags
from tsloop.tracking.mirror import drop_damaged, mirror_history, restore_versions
from tsloop.tracking.provenance import Provenance
from tsloop.tracking.published import Published, read_published
from tsloop.tracking.registry import existing_versions, sync_aliases, sync_versions
from tsloop.tracking.runs import Run
from tsloop.tracking.sources import iteration_sources
from tsloop.tracking.store import Store, discard_store, mlflow_errors, open_store
from tsloop.tracking.sweeps import job_run, sweep_files, sweep_run
from tsloop.tracking.sync_report import SyncReport

__all__ = ["Progress", "SyncReport", "record_job", "sync"]

Progress = Callable[[int, int, str], None]


def sync(
    project_dir: Path,
    config: TrackingConfig,
    *,
    project_name: str,
    rebuild: bool = False,
    progress: Progress = lambda done, total, what: None,
) -> SyncReport:
    """Bring the store up to date with the project; safe to repeat and to interrupt.

    ``rebuild`` throws the project's own SQLite store away first. A file that cannot be read is
    reported among the problems and hides nothing else.
    """
    if not config.enabled:
        return SyncReport(enabled=False)
    started = time.monotonic()
    project = Project(project_dir.resolve())
    if rebuild:
        discard_store(project.root, config)
    with (
        mlflow_errors(config.uri),
        open_store(project.root, config, project_name) as store,
        store.writing(),
    ):
        report = _Sync(store, project, progress).run()
    report.seconds = time.monotonic() - started
    return report


def record_job(
    project_dir: Path, config: TrackingConfig, job_file: Path, *, project_name: str
) -> str:
    """Write the run of one finished sweep job from a worker process; returns its run id.

    The store must exist (the sweep's parent makes it by `sync`); a job that is already there is
    not written again. Empty where MLflow is switched off.
    """
    if not config.enabled:
        return ""
    project = Project(project_dir.resolve())
    with (
        mlflow_errors(config.uri),
        open_store(project.root, config, project_name, create=False) as store,
        store.writing(),
    ):
        return _Sync(store, project, lambda done, total, what: None).job(job_file.resolve())


class _Sync:
    def __init__(self, store: Store, project: Project, progress: Progress) -> None:
        self.store = store
        self.project = project
        self.progress = progress
        self.provenance = Provenance(project.root)
        self.report = SyncReport(uri=store.uri, experiment=store.experiment)
        self.by_kind: dict[str, list[Run]] = {}
        self.kept: set[str] = set()
        self.superseded: set[str] = set()

    def run(self) -> SyncReport:
        report = self.report
        report.runs_killed = runs.close_orphans(self.store)
        self._index()
        published, report.problems = read_published(self.project)
        sweeps = sweep_files(self.project)
        total = len(published) + sum(map(len, sweeps.values())) + 1
        run_ids: dict[str, str] = {}
        for item in published:
            self.progress(self._done, total, item.iteration)
            self._guarded(partial(self._iteration, item, run_ids))
        for sweep, files in sweeps.items():
            self.progress(self._done, total, f"sweep {sweep}")
            for file in files:
                self._guarded(partial(self._job, file))
        self._supersede_the_rest()
        self.progress(total - 1, total, "models")
        self._registry(published, run_ids)
        return report

    def job(self, file: Path) -> str:
        """Write one job's run, for `record_job`."""
        self._index()
        return self._job(file)

    @property
    def _done(self) -> int:
        return self.report.iterations + self.report.jobs

    def _guarded(self, step: Callable[[], object]) -> None:
        """One unreadable file is a problem to report, not the end of the sync."""
        try:
            step()
        except TsloopError as error:
            self.report.problems.append(str(error))

    def _index(self) -> None:
        for run in runs.synced_runs(self.store):
            self.by_kind.setdefault(run.kind, []).append(run)

    # --- iterations ----------------------------------------------------------------------------

    def _iteration(self, item: Published, run_ids: dict[str, str]) -> None:
        """Write or confirm one iteration's runs; adds their ids by ``it001/chatts``."""
        found = iteration_sources(self.project, item)
        self.report.iterations += 1
        mine = [r for r in self._runs("iteration") if r.name == item.iteration]
        same = [r for r in mine if found.matches(r.tags)]
        if same:
            run = next((r for r in same if r.current), same[-1])
            self._confirm(run, item)
        else:
            specs = iteration_runs(self.project, item, found, self.provenance)
            run = self._write_iteration(specs)
        self.kept.add(run.run_id)
        self._supersede(mine, run.run_id, "the iteration changed")
        nested = runs.children(self.store, run.run_id)
        for nested_run in nested:
            if nested_run.kind == "variant":
                run_ids[f"{item.iteration}/{nested_run.tags['tsloop.variant']}"] = nested_run.run_id

    def _confirm(self, run: Run, item: Published) -> None:
        if not run.current:
            runs.revive(self.store, run)
            self.report.runs_updated += 1
        origin = self.provenance.origin(
            self.project.relative(self.project.registry(item.iteration))
        )
        tags = provenance_tags(origin)
        if any(run.tags.get(key) != value for key, value in tags.items()):
            tags |= {"dvc.lock.sha256": self.provenance.lock_sha256(origin)}
            for one in (run, *runs.children(self.store, run.run_id)):
                self.report.runs_updated += runs.update_tags(self.store, one, tags)

    def _write_iteration(self, specs: IterationRuns) -> Run:
        parent = runs.write_run(self.store, specs.parent, finish=False)
        try:
            for child in specs.children:
                runs.write_run(self.store, child, parent)
        except BaseException:
            runs.fail_run(self.store, parent)
            raise
        runs.finish_run(self.store, parent, specs.parent)
        self.report.runs_created += 1 + len(specs.children)
        return Run(parent, specs.parent.name, "FINISHED", specs.parent.tags)

    # --- sweeps --------------------------------------------------------------------------------

    def _job(self, file: Path) -> str:
        spec = job_run(self.project, file, self.provenance)
        self.report.jobs += 1
        sweep = file.parent.name
        parent = self._sweep(sweep, spec.time_ms)
        mine = [
            r
            for r in self._runs("job")
            if r.tags.get("tsloop.sweep") == sweep and r.tags.get("tsloop.job") == spec.name
        ]
        same = [r for r in mine if r.key == spec.key]
        if same:
            run_id = next((r for r in same if r.current), same[-1]).run_id
            if not any(r.current for r in same):
                runs.revive(self.store, same[-1])
                self.report.runs_updated += 1
        else:
            run_id = runs.write_run(self.store, spec, parent)
            self.report.runs_created += 1
        self.kept.add(run_id)
        self._supersede(mine, run_id, "the job was run again")
        return run_id

    def _sweep(self, sweep: str, time_ms: int) -> str:
        spec = sweep_run(self.project, sweep, time_ms)
        for run in self._runs("sweep"):
            if run.key == spec.key:
                if not run.current and run.run_id not in self.kept:
                    runs.update_tags(self.store, run, {"tsloop.current": "true"})
                self.kept.add(run.run_id)
                return run.run_id
        run_id = runs.write_run(self.store, spec)
        self.report.runs_created += 1
        tags = {**spec.tags, "tsloop.current": "true"}
        self.by_kind.setdefault("sweep", []).append(Run(run_id, spec.name, "FINISHED", tags))
        self.kept.add(run_id)
        return run_id

    # --- what is gone, what is served ----------------------------------------------------------

    def _runs(self, kind: str) -> list[Run]:
        return self.by_kind.get(kind, [])

    def _supersede(self, candidates: Sequence[Run], by: str, why: str) -> None:
        for run in candidates:
            if run.run_id != by and run.current and run.run_id not in self.superseded:
                self.superseded.add(run.run_id)
                runs.mark_superseded(self.store, run, by, why)
                self.report.runs_superseded += 1

    def _supersede_the_rest(self) -> None:
        """Runs of iterations, sweeps and jobs whose files are gone."""
        if self.report.problems:
            return  # an unreadable file is not a removed one
        for run in (run for kind in self.by_kind.values() for run in kind):
            if run.current and run.run_id not in self.kept:
                self._supersede([run], "", "the project no longer holds it")

    def _registry(self, published: Sequence[Published], run_ids: Mapping[str, str]) -> None:
        report = self.report
        entries = history(self.project.root)
        last = entries[-1] if entries else None
        holder = (last.to, last.model_sha256) if last else None
        versions = existing_versions(self.store)
        drop_damaged(versions, holder)
        sync_versions(self.store, self.project, published, run_ids, versions)
        report.runs_created += restore_versions(self.store, self.project, versions, entries)
        mirror_history(self.store, versions, entries)
        report.aliases, report.aliases_moved = sync_aliases(self.store, versions, published, holder)
        report.versions_created = versions.created
        report.runs_updated += versions.retagged
        report.absent_models = versions.absent
        report.problems += versions.problems
