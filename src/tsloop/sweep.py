"""Compare variants by Hydra multirun (`docs/sweeps.md`).

Run as::

    python -m tsloop.sweep -m detector=chatts_nano,boosting finetune.rank=4,8,16
    python -m tsloop.sweep -m hydra/launcher=joblib hydra.launcher.n_jobs=2 detector=knn,forest
    python -m tsloop.sweep -m hydra/sweeper=search detector=knn 'detector.neighbours=range(2,20)'

A job fits one variant on the newest labels and scores it by grouped out-of-fold validation; gold
is not for choosing. Its result is the file ``sweeps/<sweep.name>/<job>.json`` and a nested MLflow
run. A job is named by the hash of everything that decides its result, so a killed sweep that is
started again does only what is missing. A job that cannot be done does not stop the others: its
reason is in ``sweeps/<sweep.name>/failed/``, in the table at the end, and the exit code is 1.
"""

from __future__ import annotations

import hashlib
import importlib.util
import itertools
import math
import multiprocessing
import os
import sys
import time
import traceback
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tsloop.config.compose import resolve_below
from tsloop.config.params import read_params
from tsloop.config.pipeline import REVISIONS
from tsloop.config.schema import SweepConfig, section, validate
from tsloop.errors import AnnotationError, ConfigError, MissingExtraError, TsloopError
from tsloop.files import dump_json, read_json, sha256_file, write_json
from tsloop.names import check_name
from tsloop.offline import work_offline
from tsloop.project import BASE, Project, find_project
from tsloop.typed import from_mapping

if TYPE_CHECKING:
    from tsloop.annotations.examples import Example

__all__ = ["main", "run_job"]

RUN_VARIABLE = "TSLOOP_SWEEP_RUN"
"""The directory of this start, which Hydra and the jobs' processes find in their environment."""


def run_job(project: Project, composed: Any, overrides: list[str]) -> float:
    """One job of a sweep; returns the objective (``sweep.objective``), so that larger is better."""
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
        said = "done before"
    else:
        result = _compute(project, detector, sweep, labels, params["loop"]["seed"], key)
        result |= {"schema": "tsloop.sweep/1", "sweep": sweep.name, "job": key}
        result |= {"overrides": sorted(overrides), "config": detector}
        write_json(path, result)
        said = f"done in {result['seconds']:.1f} s"
    value = result["metrics"].get(sweep.objective)
    shown = "undefined" if value is None else f"{value:.3f}"
    _say(sys.stdout, f"{key}: {said}, {sweep.objective} = {shown}  {_chosen(overrides)}")
    _failure(project, sweep.name, overrides).unlink(missing_ok=True)
    if RUN_VARIABLE in os.environ:  # what the table of this start shows
        done = Path(os.environ[RUN_VARIABLE]) / "done" / sweep.name / path.name
        write_json(done, {"path": project.relative(path)})
    _log(project, params, path)
    return sweep.larger_is_better(value)


def _compute(
    project: Project,
    detector: Mapping[str, Any],
    sweep: SweepConfig,
    labels: str,
    seed: int,
    key: str,
) -> dict[str, Any]:
    from tsloop.execution.progress import stage_progress
    from tsloop.loop.validation import cross_validate

    started = time.monotonic()
    examples = _examples(project, labels)
    alone = multiprocessing.current_process().name == "MainProcess"
    with stage_progress(f"sweep {key}", bar=alone) as progress:
        card = cross_validate(
            detector,
            examples,
            folds=sweep.folds,
            seed=seed,
            n_bootstrap=sweep.n_bootstrap,
            progress=progress,
        )
    return {
        "revisions": _revisions(),
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
    series = sha256_file(project.series / "manifest.json")
    decides = [detector, sweep.folds, sweep.n_bootstrap, seed, snapshot, series, _revisions()]
    return hashlib.sha256(dump_json({"job": decides}).encode()).hexdigest()[:12]


def _revisions() -> dict[str, int]:
    """The revisions of the stages whose code a job runs: another revision is another result."""
    return {stage: REVISIONS[stage] for stage in ("base", "fit", "predict", "evaluate")}


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


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _task(composed: Any) -> float:
    """What Hydra calls for each job; also in the worker processes of the joblib launcher.

    It never raises, because one exception would end the whole sweep: a job that fails is recorded
    and counts as the worst there is.
    """
    from hydra.core.hydra_config import HydraConfig

    work_offline()
    project = find_project()
    hydra = HydraConfig.get()
    overrides = list(hydra.overrides.task)
    try:
        _check_direction(hydra)
        return run_job(project, composed, overrides)
    except Exception as error:
        _record_failure(project, composed, overrides, error)
        return -math.inf


def _check_direction(hydra: Any) -> None:
    direction = str(hydra.sweeper.get("direction", "maximize"))
    if "minimize" in direction.lower():
        raise ConfigError(
            f"hydra.sweeper.direction is {direction}, but larger is better for every objective.",
            hint="Search with hydra/sweeper=search; where less is better it takes the negative.",
        )


def _failure(project: Project, sweep: str, overrides: list[str]) -> Path:
    """Where the reason is kept. The settings name it: a wrong one leaves nothing else to hash."""
    digest = hashlib.sha256(dump_json(sorted(overrides)).encode()).hexdigest()[:12]
    return project.sweeps / sweep / "failed" / f"{digest}.json"


def _record_failure(
    project: Project, composed: Any, overrides: list[str], error: Exception
) -> None:
    """Keep the reason: for this start's table, and (if the sweep has a name) with the results."""
    expected = isinstance(error, TsloopError | OSError)
    sweep = str(composed.sweep.name)
    record = {
        "schema": "tsloop.sweep-failure/1",
        "sweep": sweep,
        "overrides": sorted(overrides),
        "reason": str(error) if expected else f"{type(error).__name__}: {error}",
        "traceback": "" if expected else "".join(traceback.format_exception(error)),
    }
    _say(sys.stderr, f"failed: {record['reason']}  {_chosen(overrides)}")
    try:
        path = _failure(project, check_name(sweep, "sweep.name"), overrides)
        write_json(path, record)
    except ConfigError:
        path = _failure(project, "unnamed", overrides)
    write_json(Path(os.environ[RUN_VARIABLE]) / "failed" / path.name, record)


def _chosen(overrides: list[str]) -> str:
    return " ".join(o for o in overrides if not o.startswith("sweep."))


def _say(stream: Any, line: str) -> None:
    """One line in one piece, because parallel jobs write to the same place."""
    stream.write(f"{line}\n")
    stream.flush()


def _new_run(project: Project) -> Path:
    """A directory for this start alone, however many start in the same second."""
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    for number in itertools.count(1):
        path = project.local / "hydra" / (stamp if number == 1 else f"{stamp}-{number}")
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            continue
        return path
    raise AssertionError("unreachable")


def main() -> None:
    """Prepare the MLflow store, hand over to Hydra, then show what was done and what failed."""
    work_offline()
    try:
        failed = _main()
    except KeyboardInterrupt:
        sys.stderr.write("sweep: interrupted; the same command goes on where it stopped\n")
        raise SystemExit(130) from None
    except (TsloopError, OSError) as error:
        sys.stderr.write(f"sweep: {error}\n")
        raise SystemExit(1) from None
    if failed:
        raise SystemExit(1)


def _main() -> bool:
    """Whether something failed."""
    from tsloop.cli.tables import failures_table, show, sweeps_table

    project = find_project()
    params = read_params(project)
    plugin = "hydra_plugins.hydra_optuna_sweeper"
    if "hydra/sweeper=search" in sys.argv and not importlib.util.find_spec(plugin):
        raise MissingExtraError("hydra-optuna-sweeper", "sweep")
    config = section(params, "tracking")
    if config.enabled:
        from tsloop.tracking.sync import sync

        # The parent makes and migrates the store, so that no two jobs do it at once.
        sync(project.root, config, project_name=params["project"]["name"])
    run = _new_run(project)
    os.environ[RUN_VARIABLE] = str(run)
    broken = _multirun(project)
    failures = [read_json(path) for path in sorted(run.glob("failed/*.json"))]
    if {"-m", "--multirun"} & set(sys.argv):
        done = [read_json(path)["path"] for path in sorted(run.glob("done/*/*.json"))]
        show(sweeps_table(project, [project.root / path for path in done]))
    if failures:
        show(failures_table(failures))
    return broken or bool(failures)


def _multirun(project: Project) -> bool:
    """Let Hydra run the jobs; whether it ended early, which it says in one line."""
    import hydra

    whole_trace = "HYDRA_FULL_ERROR" in os.environ
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises, and does not print a stack
    try:
        hydra.main(version_base="1.3", config_path=str(project.conf), config_name="sweep")(_task)()
    except TsloopError:
        raise
    except Exception as error:
        if whole_trace:
            raise
        by_omegaconf = type(error.__cause__).__module__.startswith("omegaconf")
        said = f"{error} {error.__cause__ if by_omegaconf else ''}".split()
        reason = " ".join(said) or type(error).__name__
        sys.stderr.write(f"sweep: {reason} (HYDRA_FULL_ERROR=1 shows where)\n")
        return True
    return False


if __name__ == "__main__":
    # Workers of the joblib launcher import the job function by name, so it must not be __main__'s.
    from tsloop.sweep import main as entry

    entry()
