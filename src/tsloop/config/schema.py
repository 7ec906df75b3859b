"""Which dataclass stands behind which key of the configuration, and the check of a whole file.

The dataclasses live in the rooms that use them; this table is the only place that knows them all.
They are imported when they are needed, so that reading one section stays cheap.
"""

from __future__ import annotations

import difflib
import importlib
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tsloop.errors import ConfigError
from tsloop.names import check_name
from tsloop.typed import from_mapping

__all__ = [
    "PIPELINE_KEYS",
    "SECTIONS",
    "EvaluateConfig",
    "LabelsConfig",
    "LoopConfig",
    "ProjectConfig",
    "SweepConfig",
    "check_chosen",
    "section",
    "source_config",
    "validate",
]


@dataclass(frozen=True, slots=True)
class ProjectConfig:
    """``conf/project``: what the project is called."""

    name: str = "demo"
    """Short name; MLflow's experiment is ``tsloop/<name>``."""
    title: str = ""
    """What people call it, for reports."""

    def __post_init__(self) -> None:
        check_name(_ENVIRONMENT.sub("x", self.name), "project.name")


@dataclass(frozen=True, slots=True)
class LabelsConfig:
    """``conf/labels``: the label set, ``tsloop`` (built in) or a JSON file of the project."""

    set: str = "tsloop"
    """``tsloop`` (built in), or the path of a JSON file in the project."""


@dataclass(frozen=True, slots=True)
class EvaluateConfig:
    """``conf/evaluate``: how predictions are scored on gold."""

    n_bootstrap: int = 1000
    """Group-bootstrap draws behind every interval."""
    seed: int = 0
    """Seed of the draws and of the random baseline."""
    report_cases: int = 6
    """How many of the worst misses and false alarms the report shows, each."""

    def __post_init__(self) -> None:
        if self.n_bootstrap < 0 or self.report_cases < 0:
            raise ConfigError(
                "evaluate.n_bootstrap and evaluate.report_cases must not be negative, but are "
                f"{self.n_bootstrap} and {self.report_cases}."
            )


@dataclass(frozen=True, slots=True)
class LoopConfig:
    """``loop``: settings of the loop as a whole."""

    seed: int = 0
    """Seed of everything random in fitting."""
    primary: str = "chatts"
    """The variant whose detections become pre-annotations and fill the queue."""
    live_iterations: int = 5
    """How many iterations stay in the DVC graph; `tsloop iteration archive` takes out the rest."""
    latest: str = "base"
    """Written by tsloop: the newest iteration, which the DVC artifact points at."""


@dataclass(frozen=True, slots=True)
class SweepConfig:
    """``sweep`` (only in ``conf/sweep.yaml``): how the jobs of a sweep are compared."""

    name: str = "default"
    """Results go to ``sweeps/<name>/``; the same name goes on where a killed sweep stopped."""
    objective: str = "event_f1"
    """The figure that an optimising sweeper makes as good as it can."""
    folds: int = 3
    """Number of folds; whole groups are held out."""
    n_bootstrap: int = 500
    """Group-bootstrap draws for the intervals."""
    iteration: str = ""
    """Iteration whose label snapshot is used; empty: the newest."""

    def __post_init__(self) -> None:
        check_name(self.name, "sweep.name")
        if self.iteration:
            check_name(self.iteration, "sweep.iteration")
        self._measure()

    def larger_is_better(self, value: float | None) -> float:
        """The objective for a sweeper that maximises: the negative where less is better.

        An undefined figure (``None``) is the worst: 0, or minus infinity where less is better.
        """
        if self._measure().higher_is_better:
            return 0.0 if value is None else value
        return -math.inf if value is None else -value

    def _measure(self) -> Any:
        from tsloop.evaluation.measures import MEASURES

        ordered = [name for name, m in MEASURES.items() if m.higher_is_better is not None]
        if self.objective not in ordered:
            close = difflib.get_close_matches(self.objective, ordered, n=1)
            raise ConfigError(
                f"sweep.objective is {self.objective!r}, which is no figure that can be better.",
                hint=f"Did you mean {close[0]}?" if close else f"Known are {', '.join(ordered)}.",
            )
        return MEASURES[self.objective]


SECTIONS: dict[str, str] = {
    "project": "tsloop.config.schema:ProjectConfig",
    "labels": "tsloop.config.schema:LabelsConfig",
    "evaluate": "tsloop.config.schema:EvaluateConfig",
    "loop": "tsloop.config.schema:LoopConfig",
    "prepare": "tsloop.series.prepare:PrepareConfig",
    "annotator": "tsloop.loop.annotator:AnnotatorConfig",
    "checks": "tsloop.annotations.checks.config:ChecksConfig",
    "split": "tsloop.annotations.dataset:SplitConfig",
    "finetune": "tsloop.chatts.config:FinetuneConfig",
    "sampler": "tsloop.loop.samplers:SamplerConfig",
    "gate": "tsloop.loop.gate:GateConfig",
    "tracking": "tsloop.tracking.config:TrackingConfig",
    "executor": "tsloop.execution.base:ExecutorConfig",
    "review": "tsloop.review.config:ReviewConfig",
}

SOURCES: dict[str, str] = {
    "plant": "tsloop.sources.plant:PlantConfig",
    "folder": "tsloop.sources.folder:FolderConfig",
    "iotdb": "tsloop.sources.iotdb:IotdbConfig",
}

PIPELINE_KEYS = (
    "iterations",
    "revisions",
    "bases",
    "annotations",
    "datasets",
    "fits",
    "predictions",
    "evaluations",
    "queues",
    "publications",
)
"""Keys that tsloop writes (``conf/project/pipeline.yaml``); DVC unrolls its stages over them."""

_ENVIRONMENT = re.compile(r"\$\{oc\.env:([A-Za-z_][A-Za-z0-9_]*)(?:,([^}]*))?\}")


def section(params: Mapping[str, Any], key: str) -> Any:
    """The dataclass instance of one section of ``params.yaml``."""
    if key not in params:
        raise ConfigError(
            f"params.yaml has no key {key!r}.", hint="Write it with: tsloop configure"
        )
    return from_mapping(_load(SECTIONS[key]), resolve_environment(params[key], key), key)


def source_config(values: Mapping[str, Any]) -> tuple[str, Any]:
    """The kind of a source section and its dataclass instance."""
    settings = dict(values)
    kind = settings.pop("kind", None)
    if kind not in SOURCES:
        raise ConfigError(f"source.kind is {kind!r}; known are {sorted(SOURCES)}.")
    settings = resolve_environment(settings, "source")
    return str(kind), from_mapping(_load(SOURCES[kind]), settings, "source")


def validate(params: Mapping[str, Any]) -> None:
    """Check every key of a composed configuration; raises `ConfigError` at the first fault."""
    known = {*SECTIONS, *PIPELINE_KEYS, "source", "variants"}
    for key in params:
        if key not in known:
            close = difflib.get_close_matches(str(key), sorted(known), n=1)
            raise ConfigError(
                f"Unknown key {key}.", hint=f"Did you mean {close[0]}?" if close else ""
            )
    for key in SECTIONS:
        from_mapping(_load(SECTIONS[key]), params.get(key, {}), key)
    settings = dict(params.get("source", {}))
    kind = settings.pop("kind", None)
    if kind not in SOURCES:
        raise ConfigError(f"source.kind is {kind!r}; known are {sorted(SOURCES)}.")
    from_mapping(_load(SOURCES[kind]), settings, "source")
    _validate_variants(params)
    _validate_environment(params, "")


def check_chosen(params: Mapping[str, Any]) -> None:
    """What a whole configuration may leave open but a project must choose."""
    source = params["source"]
    if source["kind"] == "folder" and not source["path"]:
        raise ConfigError(
            "source=folder needs the folder, but source.path is empty.",
            hint="Give both: tsloop configure source=folder source.path=DIR",
        )
    if source["kind"] == "iotdb" and not (source["devices"] or source["points_file"]):
        raise ConfigError(
            "source=iotdb needs what to read, but source.devices and source.points_file are empty.",
            hint="Name devices or points: tsloop configure 'source.devices=[root.plant.**]'",
        )
    if params["finetune"]["steps"] < 1:
        raise ConfigError(
            f"finetune.steps is {params['finetune']['steps']}; at least 1.",
            hint="A language model that shall only fit its thresholds has a key of its own: "
            "tsloop configure variants.NAME.finetune.steps=0",
        )


def _validate_environment(tree: Any, where: str) -> None:
    """Only variables that begin with ``TSLOOP_`` may be named, so that no secret can be."""
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            _validate_environment(value, f"{where}.{key}" if where else str(key))
    elif isinstance(tree, list):
        for number, value in enumerate(tree):
            _validate_environment(value, f"{where}[{number}]")
    elif isinstance(tree, str):
        for match in _ENVIRONMENT.finditer(tree):
            _check_name(match.group(1), where)


def _check_name(name: str, where: str) -> None:
    if not name.startswith("TSLOOP_"):
        raise ConfigError(
            f"{where} reads the environment variable {name}; "
            "only names that begin with TSLOOP_ are allowed."
        )


def _validate_variants(params: Mapping[str, Any]) -> None:
    from tsloop.detectors.factory import check_settings

    variants = params.get("variants") or {}
    if not variants:
        raise ConfigError(
            "No variant is chosen.", hint="Add one: tsloop configure +detector@variants.knn=knn"
        )
    for name, config in variants.items():
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            raise ConfigError(
                f"Variant name {name!r} must be lower-case letters, digits and underscores."
            )
        check_name(name, "The variant")
        check_settings(config)
    primary = params["loop"]["primary"]
    if primary not in variants:
        raise ConfigError(
            f"loop.primary is {primary!r}, which is not among the variants {sorted(variants)}.",
            hint=f"Choose one: tsloop configure loop.primary={sorted(variants)[0]}",
        )


def resolve_environment(values: Any, where: str) -> Any:
    """Put environment variables in the place of ``${oc.env:TSLOOP_…}``.

    Only names that begin with ``TSLOOP_`` are read, so that no configuration can fetch a secret.
    """
    if isinstance(values, Mapping):
        return {k: resolve_environment(v, f"{where}.{k}") for k, v in values.items()}
    if isinstance(values, list):
        return [resolve_environment(v, f"{where}[{i}]") for i, v in enumerate(values)]
    if not isinstance(values, str):
        return values

    def lookup(match: re.Match[str]) -> str:
        name, default = match.group(1), match.group(2)
        _check_name(name, where)
        value = os.environ.get(name, default)
        if value is None:
            raise ConfigError(
                f"{where} needs the environment variable {name}, which is not set.",
                hint=f"Set it: export {name}=…",
            )
        return value

    return _ENVIRONMENT.sub(lookup, values)


def _load(path: str) -> Any:
    module, name = path.split(":")
    return getattr(importlib.import_module(module), name)
