"""Writing runs to a store, and finding the ones that are there.

A run that this module began and did not finish stays RUNNING with its owner's process in a tag;
`close_orphans` ends it as KILLED when that process is gone.
"""

from __future__ import annotations

import json
import math
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from tsloop.errors import TrackingError
from tsloop.tracking.specs import DatasetSpec, RunSpec
from tsloop.tracking.store import Store

__all__ = [
    "METRICS_PER_CALL",
    "PAGE",
    "PARAMS_PER_CALL",
    "TAGS_PER_CALL",
    "Run",
    "children",
    "close_orphans",
    "fail_run",
    "finish_run",
    "mark_superseded",
    "revive",
    "synced_runs",
    "update_tags",
    "write_run",
]

METRICS_PER_CALL = 900
PARAMS_PER_CALL = 100
TAGS_PER_CALL = 100
PAGE = 1000

_INDEX_KINDS = ("iteration", "sweep", "job")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Run:
    """A run of the store, as far as a sync needs it."""

    run_id: str
    name: str
    status: str
    tags: Mapping[str, str]

    @property
    def kind(self) -> str:
        """iteration, variant, baseline, sweep or job."""
        return self.tags.get("tsloop.kind", "")

    @property
    def key(self) -> str:
        """Hash of what the run was made from."""
        return self.tags.get("tsloop.key", "")

    @property
    def current(self) -> bool:
        """Whether it says what the project holds now, as far as the last sync knew."""
        return self.tags.get("tsloop.current") == "true"


def synced_runs(store: Store) -> list[Run]:
    """Finished runs that a sync wrote, without the children of iterations, in a fixed order."""
    found = _search(store, "attributes.status = 'FINISHED' AND tags.`tsloop.indexed` = 'true'")
    return sorted(found, key=lambda run: run.run_id)


def children(store: Store, run_id: str) -> list[Run]:
    """Runs nested in a run, by name."""
    found = _search(store, f"tags.`mlflow.parentRunId` = '{run_id}'")
    return sorted(found, key=lambda run: (run.name, run.run_id))


def write_run(store: Store, spec: RunSpec, parent_id: str = "", *, finish: bool = True) -> str:
    """Create a run from its specification and return its id.

    With ``finish=False`` it stays RUNNING until `finish_run`: a parent is complete only when its
    children are.
    """
    _check_finite(spec)
    tags = {
        **spec.tags,
        "tsloop.kind": spec.kind,
        "tsloop.key": spec.key,
        "tsloop.current": "true",
        "tsloop.owner": _owner(),
    }
    if spec.kind in _INDEX_KINDS:
        tags["tsloop.indexed"] = "true"
    if parent_id:
        tags["mlflow.parentRunId"] = parent_id
    run = store.client.create_run(
        store.experiment_id, start_time=spec.time_ms, tags=tags, run_name=spec.name
    )
    run_id = str(run.info.run_id)
    try:
        _fill(store, run_id, spec)
    except BaseException:
        fail_run(store, run_id)
        raise
    if finish:
        finish_run(store, run_id, spec)
    return run_id


def finish_run(store: Store, run_id: str, spec: RunSpec) -> None:
    """End a run as FINISHED."""
    seconds = next((m.value for m in spec.metrics if m.name == "seconds"), 0.0)
    store.client.set_terminated(run_id, "FINISHED", end_time=spec.time_ms + int(seconds * 1000))


def fail_run(store: Store, run_id: str) -> None:
    """End a run as FAILED; the next sync writes it again."""
    store.client.set_terminated(run_id, status="FAILED")


def update_tags(store: Store, run: Run, tags: Mapping[str, str]) -> bool:
    """Set the tags that differ; says whether any did."""
    changed = {key: value for key, value in tags.items() if run.tags.get(key) != value}
    if changed:
        store.client.log_batch(run.run_id, tags=_tags(changed))
    return bool(changed)


def mark_superseded(store: Store, run: Run, by: str, why: str) -> None:
    """Mark a run and its children as no longer what the project holds."""
    tags = {"tsloop.current": "false", "tsloop.superseded_by": by, "tsloop.superseded": why}
    for one in (run, *children(store, run.run_id)):
        update_tags(store, one, tags)


def revive(store: Store, run: Run) -> None:
    """Undo `mark_superseded`: the project holds this again."""
    tags = {"tsloop.current": "true", "tsloop.superseded_by": "", "tsloop.superseded": ""}
    for one in (run, *children(store, run.run_id)):
        update_tags(store, one, tags)


def close_orphans(store: Store) -> int:
    """End runs as KILLED whose owner was a process of this machine that is gone."""
    closed = 0
    for run in _search(store, "attributes.status = 'RUNNING'"):
        owner = run.tags.get("tsloop.owner", "")
        if owner and _is_gone(owner):
            store.client.log_batch(run.run_id, tags=_tags({"tsloop.current": "false"}))
            store.client.set_terminated(run.run_id, status="KILLED")
            for child in children(store, run.run_id):
                update_tags(store, child, {"tsloop.current": "false"})
            closed += 1
    return closed


# --- one run -----------------------------------------------------------------------------------


def _fill(store: Store, run_id: str, spec: RunSpec) -> None:
    from mlflow.entities import Metric, Param

    client = store.client
    for some in _chunks(sorted(spec.params.items()), PARAMS_PER_CALL):
        client.log_batch(run_id, params=[Param(key, value) for key, value in some])
    for points in _chunks(spec.metrics, METRICS_PER_CALL):
        values = [Metric(m.name, m.value, spec.time_ms, m.step) for m in points]
        client.log_batch(run_id, metrics=values)
    if spec.datasets:
        client.log_inputs(run_id, [_dataset(store, item) for item in spec.datasets])
    for path, target in spec.files:
        if path.is_dir():
            client.log_artifacts(run_id, str(path), target or None)
        else:
            client.log_artifact(run_id, str(path), target or None)
    for name, text in sorted(spec.texts.items()):
        client.log_text(run_id, text, name)


def _check_finite(spec: RunSpec) -> None:
    for metric in spec.metrics:
        if not math.isfinite(metric.value):
            raise TrackingError(
                f"Metric {metric.name} of run {spec.name} is {metric.value} at step {metric.step}: "
                "MLflow would rank it best of all.",
                hint="Leave it out and say why in a tag (tsloop.tracking.specs.finite).",
            )


def _dataset(store: Store, item: DatasetSpec) -> Any:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    tags = [InputTag("mlflow.data.context", item.context)]
    if item.sha256:
        tags.append(InputTag("tsloop.sha256", item.sha256))
    source = json.dumps({"uri": (store.project_dir / item.path).as_uri()})
    return DatasetInput(Dataset(item.name, item.digest, "local", source), tags)


def _tags(tags: Mapping[str, str]) -> list[Any]:
    from mlflow.entities import RunTag

    return [RunTag(key, value) for key, value in sorted(tags.items())]


def _chunks(items: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _search(store: Store, query: str) -> list[Run]:
    found: list[Run] = []
    token: str | None = None
    while True:
        page = store.client.search_runs(
            [store.experiment_id], query, max_results=PAGE, page_token=token
        )
        found += [
            Run(str(r.info.run_id), str(r.info.run_name), str(r.info.status), dict(r.data.tags))
            for r in page
        ]
        token = page.token
        if not token:
            return found


# --- who owns a run ----------------------------------------------------------------------------


def _owner() -> str:
    import psutil

    started = psutil.Process().create_time()
    return json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "started": started})


def _is_gone(owner: str) -> bool:
    """Whether the process is certainly gone: of this machine, and no such pid or a younger one."""
    import psutil

    try:
        fields = json.loads(owner)
        host, pid, started = fields["host"], int(fields["pid"]), float(fields["started"])
    except (ValueError, KeyError, TypeError):
        return False
    if host != socket.gethostname():
        return False
    try:
        return abs(float(psutil.Process(pid).create_time()) - started) > 1.0
    except psutil.NoSuchProcess:
        return True
