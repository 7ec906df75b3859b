"""The promotion history in MLflow: every promoted model is a version, and its tags tell its story.

A promoted model whose iteration was trained and published anew since then has no run of its own any
more. In an empty store it comes back from its copy in ``registry/models``, in the artifacts of a
run of kind ``promotion``.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from tsloop.errors import PromotionError
from tsloop.files import dump_json
from tsloop.project import Project
from tsloop.tracking import runs
from tsloop.tracking.history import Promotion
from tsloop.tracking.promoted import holds, pointer_of, promoted_model
from tsloop.tracking.registry import Versions, register, retag
from tsloop.tracking.specs import (
    MAX_TAG_CHARS,
    Metric,
    RunSpec,
    clipped,
    content_key,
    finite,
    metric_name,
    verdict_tags,
)
from tsloop.tracking.store import Store, local_path

__all__ = ["Model", "drop_damaged", "mirror_history", "restore_versions"]

Model = tuple[str, str]
"""``it001/chatts`` and the hash of its directory."""


def drop_damaged(versions: Versions, champion: Model | None) -> None:
    """Remove the files of the champion's version where they are no longer what was promoted.

    It is registered again, from the copy. Only files on this machine can be looked at.
    """
    version = versions.by_model.get(champion) if champion else None
    path = local_path(version.source) if version is not None else None
    if champion is None or path is None:
        return
    copies = [copy for copy in (path / "artifacts").glob("*") if copy.is_dir()]
    if not any(holds(copy, champion[1]) for copy in copies):
        shutil.rmtree(path)  # below our artifact root: `existing_versions` looked
        del versions.by_model[champion]


def restore_versions(
    store: Store, project: Project, versions: Versions, entries: Sequence[Promotion]
) -> int:
    """Register promoted models that no iteration publishes any more; returns how many runs it made.

    What is not on this machine, or not what was promoted, is left out and explained in
    ``versions.missing``.
    """
    made = 0
    for model, told in _by_model(entries).items():
        if model in versions.by_model:
            continue
        try:
            directory = promoted_model(project, *model)
        except PromotionError as error:
            versions.missing[model] = str(error)
            place = project.promoted(model[1])
            if pointer_of(project, model[1]).is_file() and not place.is_dir():
                versions.absent.append(project.relative(place))
            continue
        spec = _promotion_run(model, told[-1])
        version = register(store, directory, spec.tags, runs.write_run(store, spec))
        versions.by_model[model] = version
        versions.created += 1
        made += 1
    return made


def mirror_history(store: Store, versions: Versions, entries: Sequence[Promotion]) -> None:
    """Write each model's promotions and rollbacks into tags of its version.

    MLflow itself does not remember alias moves; the history file does. The last entry stands in
    tags of its own, ``tsloop.history`` has all of them.
    """
    for model, told in _by_model(entries).items():
        version = versions.by_model.get(model)
        if version is not None:
            tags = {"tsloop.history": _story(told), **_promotion_tags(told[-1])}
            versions.retagged += retag(store, version, tags)


def _promotion_tags(entry: Promotion) -> dict[str, str]:
    """Who, when, from, to and on what evidence, as tags."""
    return {
        "tsloop.promotion.action": entry.action,
        "tsloop.promotion.time": entry.time,
        "tsloop.promotion.who": entry.who,
        "tsloop.promotion.from": entry.from_ or "none",
        "tsloop.promotion.to": entry.to,
        "tsloop.promotion.reason": clipped(entry.reason or "none"),
        "tsloop.promotion.evidence": clipped(dump_json(dict(entry.evidence))),
    }


def _by_model(entries: Sequence[Promotion]) -> dict[Model, list[Promotion]]:
    found: dict[Model, list[Promotion]] = {}
    for entry in entries:
        found.setdefault((entry.to, entry.model_sha256), []).append(entry)
    return found


def _story(told: Sequence[Promotion]) -> str:
    lines = []
    for entry in told:
        line = f"{entry.time} {entry.action} by {entry.who}, before: {entry.from_ or 'none'}"
        lines.append(f"{line} ({entry.reason})" if entry.reason else line)
    text = "\n".join(lines)
    while len(text) > MAX_TAG_CHARS and len(lines) > 1:
        lines = lines[1:]
        text = "\n".join(["…", *lines])
    return clipped(text)


def _promotion_run(model: Model, entry: Promotion) -> RunSpec:
    """What is still known of a model whose iteration says something else now: its evidence."""
    iteration, _, variant = entry.to.partition("/")
    verdict: Mapping[str, Any] = entry.evidence.get("verdict") or {}
    figures, _ = finite({str(verdict.get("metric") or "value"): verdict.get("value")})
    tags = {
        "tsloop.iteration": iteration,
        "tsloop.variant": variant,
        "tsloop.stage": "promote",
        **verdict_tags(verdict),
        "model.sha256": entry.model_sha256,
        "eval.set.sha256": str(entry.evidence.get("gold_sha256") or ""),
        "mlflow.source.name": "tsloop",
        "mlflow.source.type": "LOCAL",
        "mlflow.note.content": f"{entry.to} as it was promoted at {entry.time}. Its iteration was "
        "published again since then.",
    }
    return RunSpec(
        kind="promotion",
        name=f"{entry.to} promoted {entry.time[:10]}",
        key=content_key(["promotion", *model]),
        time_ms=int(datetime.fromisoformat(entry.time).timestamp() * 1000),
        tags={key: value for key, value in tags.items() if value},
        metrics=tuple(Metric(metric_name(name), value) for name, value in figures.items()),
    )
