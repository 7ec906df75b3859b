"""Compare variants by Hydra multirun.

Run as::

    python -m tsloop.sweep -m detector=chatts_nano,boosting finetune.rank=4,8,16
    python -m tsloop.sweep -m hydra/launcher=joblib hydra.launcher.n_jobs=2 detector=knn,forest

A job fits one variant on the newest labels and scores it by grouped out-of-fold validation; gold
is not for choosing. Its result is the file ``sweeps/<sweep.name>/<job>.json`` and a nested MLflow
run. A job is named by the hash of everything that decides its result, so a killed sweep that is
started again does only what is missing.
"""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tsloop.config.compose import resolve_below
from tsloop.config.params import read_params
from tsloop.config.schema import SweepConfig, section, validate
from tsloop.errors import AnnotationError, TsloopError
from tsloop.files import dump_json, read_json, write_json
from tsloop.offline import work_offline
from tsloop.project import BASE, Project, find_project
from tsloop.typed import from_mapping

if TYPE_CHECKING:
    from tsloop.annotations.examples import Example

__all__ = ["main", "run_job"]


def run_job(project: Project, composed: Any, overrides: list[str]) -> float:
    """One job of a sweep; returns the objective (``sweep.objective``, larger is better)."""
    params = resolve_below(composed)
    params.pop("hydra", None)
    detector = params.pop("detector")
    sweep = from_mapping(SweepConfig, params.pop("sweep"), "sweep")
    validate({**params, "variants": {**params["variants"], "sweep": detector}})
    labels = _labels(project, sweep.iteration)
    key = _job_key(project, detector, sweep, labels, params["loop"]["seed"])
    path = project.sweeps / sweep.name / f"{key}.json"
    if path.exists():
        result = read_json(path)
        sys.stdout.write(f"{key}: done before, {sweep.objective} = {_objective(result, sweep)}\n")
    else:
        result = _compute(project, detector, sweep, labels, params["loop"]["seed"])
        result |= {"schema": "tsloop.sweep/1", "sweep": sweep.name, "job": key}
        result |= {"overrides": sorted(overrides), "config": detector}
        write_json(path, result)
    _log(project, params, path)
    return _objective(result, sweep)


def _compute(
    project: Project, detector: Mapping[str, Any], sweep: SweepConfig, labels: str, seed: int
) -> dict[str, Any]:
    from tsloop.loop.validation import cross_validate

    started = time.monotonic()
    examples = _examples(project, labels)
    card = cross_validate(
        detector, examples, folds=sweep.folds, seed=seed, n_bootstrap=sweep.n_bootstrap
    )
    return {
        "params": {"labels": labels, "folds": sweep.folds, "seed": seed, **_flat(detector)},
        "metrics": card.metrics,
        "intervals": {name: list(bounds) for name, bounds in card.intervals.items()},
        "seconds": round(time.monotonic() - started, 2),
    }


def _examples(project: Project, labels: str) -> list[Example]:
    from tsloop.annotations.examples import Example
    from tsloop.annotations.snapshot import read_snapshot
    from tsloop.series.store import SeriesStore

    store = SeriesStore.open(project.series)
    snapshot = read_snapshot(project.snapshot(labels))
    return [
        Example(store[series_id], record.intervals)
        for series_id, record in sorted(snapshot.records.items())
    ]


def _labels(project: Project, iteration: str) -> str:
    """The iteration whose snapshot the sweep learns from; default: the newest."""
    chosen = iteration or read_params(project)["loop"]["latest"]
    if chosen == BASE or not project.snapshot(chosen).is_dir():
        raise AnnotationError(
            f"There is no label snapshot of {chosen!r} to validate on.", hint="Run: dvc repro"
        )
    return str(chosen)


def _job_key(
    project: Project, detector: Mapping[str, Any], sweep: SweepConfig, labels: str, seed: int
) -> str:
    snapshot = read_json(project.snapshot(labels) / "snapshot.json")["annotations_sha256"]
    decides = [detector, sweep.folds, sweep.n_bootstrap, seed, snapshot]
    return hashlib.sha256(dump_json({"job": decides}).encode()).hexdigest()[:12]


def _log(project: Project, params: Mapping[str, Any], path: Path) -> None:
    """Mirror the result into MLflow; a failure costs nothing, `tsloop tracking sync` repeats it."""
    from tsloop.tracking.sync import record_job

    config = section(params, "tracking")
    if not config.enabled:
        return
    try:
        record_job(project.root, config, path, project_name=params["project"]["name"])
    except TsloopError as error:
        sys.stderr.write(f"{path.stem}: not in MLflow yet ({error}); run: tsloop tracking sync\n")


def _objective(result: Mapping[str, Any], sweep: SweepConfig) -> float:
    """An undefined objective (no positives) counts as 0, the worst."""
    return float(result["metrics"].get(sweep.objective, 0.0))


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _task(composed: Any) -> float:
    """What Hydra calls for each job; also in the worker processes of the joblib launcher."""
    from hydra.core.hydra_config import HydraConfig

    work_offline()
    project = find_project()
    return run_job(project, composed, list(HydraConfig.get().overrides.task))


def main() -> None:
    """Prepare the MLflow store, then hand over to Hydra, then show the table."""
    import hydra

    work_offline()
    try:
        project = find_project()
        params = read_params(project)
        config = section(params, "tracking")
        if config.enabled:
            from tsloop.tracking.sync import sync

            # The parent makes and migrates the store, so that no two jobs do it at once.
            sync(project.root, config, project_name=params["project"]["name"])
        hydra.main(version_base="1.3", config_path=str(project.conf), config_name="sweep")(_task)()
    except TsloopError as error:
        sys.stderr.write(f"sweep: {error}\n")
        raise SystemExit(1) from None
    if {"-m", "--multirun"} & set(sys.argv):
        from tsloop.cli.tables import show, sweeps_table

        show(sweeps_table(project))


if __name__ == "__main__":
    # Workers of the joblib launcher import the job function by name, so it must not be __main__'s.
    from tsloop.sweep import main as entry

    entry()
