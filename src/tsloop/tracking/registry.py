"""The registered model: one version per published model directory, and the aliases.

A version is recognised by iteration, variant and the hash of its model directory, so that syncing
again registers nothing twice. It is a pyfunc model from code (`tsloop.tracking.served_model`) and
lies in the artifacts of its run; a version whose source is anywhere else is never given an alias.
What was promoted is registered from its copy in ``registry/models``, whatever its stage output is
now.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from tsloop.errors import TrackingError
from tsloop.project import Project
from tsloop.tracking.model_files import save_served_model
from tsloop.tracking.promoted import holds
from tsloop.tracking.published import Published, Variant, pick_challenger
from tsloop.tracking.specs import verdict_tags
from tsloop.tracking.store import Store, local_path

__all__ = [
    "ALIASES",
    "Versions",
    "check_alias",
    "check_source",
    "existing_versions",
    "register",
    "retag",
    "sync_aliases",
    "sync_versions",
]

ALIASES = ("champion", "challenger", "shadow")


@dataclass
class Versions:
    """What is registered, and what could not be."""

    by_model: dict[tuple[str, str], Any] = field(default_factory=dict)
    """(``it001/chatts``, hash of the model directory) → version."""
    created: int = 0
    retagged: int = 0
    absent: list[str] = field(default_factory=list)
    """Models that are not on this machine and not registered."""
    problems: list[str] = field(default_factory=list)
    missing: dict[tuple[str, str], str] = field(default_factory=dict)
    """Why a promoted model could not be registered, and what to do."""


def check_alias(alias: str) -> None:
    """Only our own aliases: MLflow reserves ``latest`` and ``v1``, and refuses spaces."""
    if alias not in ALIASES:
        raise TrackingError(
            f"{alias!r} is not an alias that tsloop gives.", hint=f"Use one of {list(ALIASES)}."
        )


def check_source(store: Store, source: str) -> None:
    """A model version may only point below the experiment's artifact root.

    MLflow does not look when a client talks to the database directly; a version that pointed to
    ``/etc`` would be served from there.
    """
    root = local_path(store.artifact_root)
    if root is not None:
        path = local_path(source)
        inside = path is not None and path != root and path.is_relative_to(root)
    else:
        prefix = store.artifact_root.rstrip("/") + "/"
        inside = source.startswith(prefix) and ".." not in unquote(unquote(source)).split("/")
    if not inside:
        raise TrackingError(
            f"A model version points to {source}, which is outside {store.artifact_root}.",
            hint="Delete that version and run: tsloop tracking sync",
        )


def sync_versions(
    store: Store,
    project: Project,
    published: Sequence[Published],
    run_ids: Mapping[str, str],
    found: Versions,
) -> None:
    """Register every published model that is not registered yet; refresh the tags of the others.

    ``run_ids`` maps ``it001/chatts`` to the run whose artifacts take the model; ``found`` is what
    `existing_versions` found, and is added to.
    """
    for item in published:
        for variant in item.variants:
            tags = _version_tags(item, variant, run_ids.get(variant.key, ""))
            version = found.by_model.get((variant.key, variant.model_sha256))
            if version is not None:
                found.retagged += retag(store, version, tags)
                continue
            copy, directory = (
                project.promoted(variant.model_sha256),
                project.root / variant.model_dir,
            )
            source = next((d for d in (copy, directory) if holds(d, variant.model_sha256)), None)
            if source is None and not directory.is_dir():
                found.absent.append(variant.model_dir)
            elif source is None:
                found.problems.append(
                    f"{variant.model_dir} is not the model that {variant.key} published, so it is "
                    f"not registered. Bring it back with: dvc checkout {variant.model_dir}"
                )
            elif variant.key in run_ids:
                version = register(store, source, tags, run_ids[variant.key])
                found.by_model[variant.key, variant.model_sha256] = version
                found.created += 1


def sync_aliases(
    store: Store,
    versions: Versions,
    published: Sequence[Published],
    champion: tuple[str, str] | None,
) -> tuple[dict[str, str], int]:
    """Point ``champion`` and ``challenger`` at their versions.

    ``champion`` is (``it001/chatts``, model hash) as the promotion history has it. Returns which
    version (as ``it001/chatts``) each alias names, and how many aliases moved. A version that is
    not in the store leaves the alias where it is and adds to the problems.
    """
    rival = pick_challenger(published, champion[0] if champion else None)
    wanted: dict[str, tuple[str, str] | None] = {
        "champion": champion,
        "challenger": (rival.key, rival.model_sha256) if rival else None,
    }
    present = _aliases(store)
    named: dict[str, str] = {}
    moved = 0
    for alias, model in wanted.items():
        if model is None:
            moved += _remove_alias(store, alias, present)
            continue
        version = versions.by_model.get(model)
        if version is None:
            versions.problems.append(
                f"{model[0]} is the {alias}, but no version with its model "
                f"({model[1][:12]}…) is registered; the alias stays where it was. "
                + versions.missing.get(
                    model, "Bring the model back with: dvc pull && tsloop tracking sync"
                )
            )
            continue
        named[alias] = model[0]
        moved += _set_alias(store, alias, version, present)
    return named, moved


# --- versions ----------------------------------------------------------------------------------


def existing_versions(store: Store) -> Versions:
    """What is registered, complete and below the artifact root; the rest is reported."""
    found = Versions()
    name = store.config.registered_model
    token: str | None = None
    listed: list[Any] = []
    while True:
        page = store.client.search_model_versions(
            f"name = '{name}'", max_results=200, page_token=token
        )
        listed += list(page)
        token = page.token
        if not token:
            break
    for version in sorted(listed, key=lambda v: int(v.version)):
        sha = version.tags.get("model.sha256", "")
        key = f"{version.tags.get('tsloop.iteration')}/{version.tags.get('tsloop.variant')}"
        if not sha or version.status != "READY":
            continue
        try:
            check_source(store, version.source)
        except TrackingError as error:
            found.problems.append(f"Version {version.version} of {name} is ignored: {error}")
            continue
        path = local_path(version.source)
        if path is None or (path / "MLmodel").is_file():
            found.by_model[key, sha] = version  # the newest, where files had to be brought back
    return found


def register(store: Store, directory: Path, tags: Mapping[str, str], run_id: str) -> Any:
    """Add a version that holds a copy of the model directory, in the artifacts of a run."""
    name = store.config.registered_model
    _registered_model(store, name)
    with tempfile.TemporaryDirectory(prefix="tsloop-model-") as scratch:
        saved = Path(scratch) / "model"
        save_served_model(saved, directory, tags)
        store.client.log_artifacts(run_id, str(saved), "model")
    source = store.client.get_run(run_id).info.artifact_uri.rstrip("/") + "/model"
    check_source(store, source)
    return store.client.create_model_version(
        name,
        source,
        run_id=run_id,
        tags=dict(tags),
        description=f"{tags['tsloop.iteration']}/{tags['tsloop.variant']}",
    )


def _version_tags(item: Published, variant: Variant, run_id: str) -> dict[str, str]:
    entry = item.entry
    base = variant.base
    tags = {
        "tsloop.iteration": variant.iteration,
        "tsloop.variant": variant.name,
        "tsloop.run_id": run_id,
        **verdict_tags(variant.verdict),
        "model.sha256": variant.model_sha256,
        "adapter.sha256": variant.adapter_sha256,
        "base_model.sha256": str(base.get("sha256") or ""),
        "config.sha256": str(entry.get("config_sha256") or ""),
        "labels.snapshot.sha256": str((entry.get("snapshot") or {}).get("sha256") or ""),
        "eval.set.sha256": str((entry.get("gold") or {}).get("sha256") or ""),
    }
    if "event_f1" in variant.metrics:
        tags["event_f1"] = f"{variant.metrics['event_f1']:.4f}"
    return {key: value for key, value in tags.items() if value}


def retag(store: Store, version: Any, tags: Mapping[str, str]) -> bool:
    """Set the tags of a version that differ; says whether any did."""
    changed = {key: value for key, value in tags.items() if version.tags.get(key) != value}
    for key, value in changed.items():
        store.client.set_model_version_tag(
            store.config.registered_model, version.version, key, value
        )
    return bool(changed)


# --- the registered model and its aliases ------------------------------------------------------


def _registered_model(store: Store, name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        store.client.create_registered_model(
            name, description="Anomaly detectors of this project; champion and challenger."
        )
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _aliases(store: Store) -> dict[str, str]:
    """Alias → version number. (`search_model_versions` never fills them in.)"""
    from mlflow.exceptions import MlflowException

    try:
        model = store.client.get_registered_model(store.config.registered_model)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return {}
        raise
    return {str(alias): str(version) for alias, version in model.aliases.items()}


def _set_alias(store: Store, alias: str, version: Any, present: Mapping[str, str]) -> bool:
    check_alias(alias)
    check_source(store, version.source)
    if present.get(alias) == str(version.version):
        return False
    store.client.set_registered_model_alias(store.config.registered_model, alias, version.version)
    return True


def _remove_alias(store: Store, alias: str, present: Mapping[str, str]) -> bool:
    if alias not in present:
        return False
    store.client.delete_registered_model_alias(store.config.registered_model, alias)
    return True
