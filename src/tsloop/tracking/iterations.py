"""Runs of the iterations: one parent each, one child per variant and per baseline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tsloop.errors import TrackingError
from tsloop.files import read_json, read_jsonl
from tsloop.project import Project
from tsloop.tracking.provenance import Origin, Provenance
from tsloop.tracking.published import Published, Variant
from tsloop.tracking.sources import Sources
from tsloop.tracking.specs import (
    DatasetSpec,
    Metric,
    RunSpec,
    content_key,
    curve_figures,
    digest,
    finite,
    flatten,
    metric_name,
    scorecard_figures,
    undefined_tags,
    verdict_tags,
)

__all__ = [
    "IterationRuns",
    "iteration_runs",
    "iteration_settings",
    "provenance_tags",
]

_GOLD_FILES = ("data/labels/gold.jsonl", "data/simulated/gold.jsonl")


@dataclass(frozen=True, slots=True)
class IterationRuns:
    """The parent run and its children."""

    parent: RunSpec
    children: tuple[RunSpec, ...]


def provenance_tags(origin: Origin) -> dict[str, str]:
    """Tags that change when an iteration is committed, without the iteration changing."""
    return {
        "git.commit": origin.commit,
        "git.dirty": "true" if origin.dirty else "false",
        "mlflow.source.git.commit": origin.commit,
    }


def iteration_settings(
    config: Mapping[str, Any], iteration: str, variant: str = ""
) -> dict[str, Any]:
    """The configuration without the iteration's name in its keys, so that iterations compare.

    ``fits: {it001-chatts: …, it001-knn: …}`` becomes ``fits: {chatts: …, knn: …}``, and for one
    variant ``fits: …`` of that variant alone; ``datasets: {it001: …}`` becomes ``datasets: …``.
    """
    settings: dict[str, Any] = {}
    for section, value in config.items():
        keys = list(value) if isinstance(value, Mapping) else []
        if not keys or not all(k == iteration or k.startswith(f"{iteration}-") for k in keys):
            settings[section] = value
            continue
        merged: dict[str, Any] = {}
        for key in keys:
            name = key[len(iteration) + 1 :]
            if not name or (variant and name == variant):
                merged |= value[key]
            elif not variant:
                merged[name] = value[key]
        settings[section] = merged
    return settings


def iteration_runs(
    project: Project, published: Published, found: Sources, provenance: Provenance
) -> IterationRuns:
    """Build the specifications of one iteration's runs."""
    return _Builder(project, published, found, provenance).build()


class _Builder:
    def __init__(
        self, project: Project, published: Published, found: Sources, provenance: Provenance
    ) -> None:
        self.project = project
        self.published = published
        self.entry = published.entry
        self.it = published.iteration
        self.sources = found
        self.provenance = provenance
        registry_file = project.registry(self.it)
        self.origin = provenance.origin(project.relative(registry_file))
        self.time_ms = (
            int(registry_file.stat().st_mtime * 1000) if self.origin.dirty else self.origin.time_ms
        )
        self.config: Mapping[str, Any] = self.entry.get("config") or {}
        self.scorecard = self._read_scorecard()
        self.common = self._common_tags()
        self.datasets = self._datasets()

    def build(self) -> IterationRuns:
        children = [self._variant(variant) for variant in self.published.variants]
        children += [self._baseline(name) for name in sorted(self.scorecard.get("baselines") or {})]
        primary = next(
            (c for c in children if c.name == f"{self.it}/{self.published.primary}"), None
        )
        return IterationRuns(self._parent(primary), tuple(children))

    def _parent(self, primary: RunSpec | None) -> RunSpec:
        figures = {
            f"{part}.{name}": self.entry[part][name]
            for part in ("snapshot", "gold")
            for name in ("n_series", "n_events")
            if name in (self.entry.get(part) or {})
        }
        metrics = [Metric(name, value) for name, value in finite(figures)[0].items()]
        if primary is not None:
            metrics += [m for m in primary.metrics if not m.name.startswith("training/")]
        report = self.project.report(self.it)
        files = [(report, "report")] if report.is_dir() else []
        figures_of_dvc = (f"reports/metrics/{self.it}.json", f"reports/curves/{self.it}.csv")
        files += [
            (self.project.root / path, "report")
            for path in figures_of_dvc
            if path in self.sources.files
        ]
        files.append((self.project.registry(self.it), "registry"))
        tags = {
            **self.common,
            **self.sources.tags(),
            "tsloop.stage": "publish",
            "tsloop.primary": self.published.primary,
            "tsloop.best_on_gold": self.published.best_on_gold,
            "mlflow.note.content": self._note(),
        }
        return RunSpec(
            kind="iteration",
            name=self.it,
            key=self.sources.key,
            time_ms=self.time_ms,
            tags=tags,
            params=flatten(iteration_settings(self.config, self.it)),
            metrics=tuple(metrics),
            datasets=self.datasets,
            files=tuple(files),
            texts={"config.yaml": _yaml(self.config)},
        )

    def _variant(self, variant: Variant) -> RunSpec:
        card = (self.scorecard.get("variants") or {}).get(variant.name)
        if card is None:
            numbers, undefined = finite(variant.metrics)
            metrics = [Metric(metric_name(name), value) for name, value in numbers.items()]
            tags = undefined_tags(undefined)
        else:
            metrics, tags = scorecard_figures(card)
        curve, lost = self._curve(variant)
        decision, rule = self._decision(variant)
        tags = {
            **self.common,
            **tags,
            **lost,
            **rule,
            "tsloop.stage": "fit",
            "tsloop.variant": variant.name,
            **verdict_tags(variant.verdict),
            "adapter.sha256": variant.adapter_sha256,
            "model.sha256": variant.model_sha256,
            **_base_tags(variant.base),
        }
        return RunSpec(
            kind="variant",
            name=f"{self.it}/{variant.name}",
            key=content_key([self.sources.key, variant.name]),
            time_ms=self.time_ms,
            tags={key: value for key, value in tags.items() if value},
            params=flatten(iteration_settings(self.config, self.it, variant.name)),
            metrics=(*metrics, *decision, *curve),
            datasets=self.datasets,
        )

    def _baseline(self, name: str) -> RunSpec:
        metrics, tags = scorecard_figures(self.scorecard["baselines"][name])
        return RunSpec(
            kind="baseline",
            name=f"{self.it}/{name}",
            key=content_key([self.sources.key, "baseline", name]),
            time_ms=self.time_ms,
            tags={
                **self.common,
                **tags,
                "tsloop.stage": "evaluate",
                "tsloop.variant": name,
                "tsloop.baseline": "true",
            },
            params={"baseline": name},
            metrics=tuple(metrics),
            datasets=tuple(d for d in self.datasets if d.context == "gold"),
        )

    def _read_scorecard(self) -> Mapping[str, Any]:
        """The scorecard, where it belongs to the gold that the iteration was published with."""
        path = self.project.report(self.it) / "scorecard.json"
        if not path.is_file():
            return {}
        card = read_json(path)
        if not isinstance(card, dict) or card.get("schema") != "tsloop.scorecard/1":
            raise TrackingError(
                f"{path} is not a scorecard (schema 'tsloop.scorecard/1').",
                hint="Bring it back with `dvc checkout` or `dvc repro`.",
            )
        gold = (self.entry.get("gold") or {}).get("sha256")
        return card if (card.get("gold") or {}).get("sha256") == gold else {}

    def _curve(self, variant: Variant) -> tuple[list[Metric], dict[str, str]]:
        path = self.project.root / variant.model_dir / "training.jsonl"
        return curve_figures(read_jsonl(path)) if path.is_file() else ([], {})

    def _decision(self, variant: Variant) -> tuple[list[Metric], dict[str, str]]:
        path = self.project.root / variant.model_dir / "detector.json"
        if not path.is_file():
            return [], {}
        decision = read_json(path).get("decision") or {}
        numbers, _ = finite(decision)
        metrics = [Metric(metric_name(f"decision/{k}"), v) for k, v in sorted(numbers.items())]
        return metrics, {"tsloop.decision.rule": str(decision.get("rule", ""))}

    def _common_tags(self) -> dict[str, str]:
        gold = self.entry.get("gold") or {}
        tags = {
            "tsloop.iteration": self.it,
            "tsloop.parent": self.published.parent,
            **provenance_tags(self.origin),
            "dvc.lock.sha256": self.provenance.lock_sha256(self.origin),
            "data.md5": self.provenance.dvc_md5(self.origin, "data/series"),
            "data.sha256": str((self.entry.get("data") or {}).get("sha256") or ""),
            "labels.snapshot.sha256": str((self.entry.get("snapshot") or {}).get("sha256") or ""),
            "config.sha256": str(self.entry.get("config_sha256") or ""),
            "eval.set.sha256": str(gold.get("sha256") or ""),
            "eval.set.version": str(gold.get("version", "")),
            "mlflow.source.name": "tsloop",
            "mlflow.source.type": "LOCAL",
        }
        return {key: value for key, value in tags.items() if value}

    def _datasets(self) -> tuple[DatasetSpec, ...]:
        snapshot = str((self.entry.get("snapshot") or {}).get("sha256") or "")
        gold = str((self.entry.get("gold") or {}).get("sha256") or "")
        path = f"data/datasets/{self.it}"
        examples = digest(self.provenance.dvc_md5(self.origin, path), snapshot)
        here = (path for path in _GOLD_FILES if (self.project.root / path).is_file())
        gold_path = next(here, _GOLD_FILES[0])
        gold_digest = digest(self.provenance.dvc_md5(self.origin, *_GOLD_FILES), gold)
        return (
            DatasetSpec(f"{self.it}/training", examples, "training", path, snapshot),
            DatasetSpec(f"{self.it}/validation", examples, "validation", path, snapshot),
            DatasetSpec("gold", gold_digest, "gold", gold_path, gold),
        )

    def _note(self) -> str:
        parent = f", built on {self.published.parent}" if self.published.parent else ""
        shown = f" Its metrics are those of its primary variant, {self.published.primary}."
        return (
            f"Iteration {self.it}{parent}.{shown} The report is the artifact `report/report.html`."
        )


def _base_tags(base: Mapping[str, Any]) -> dict[str, str]:
    name = next((str(base[k]) for k in ("name", "id", "model", "kind") if base.get(k)), "")
    return {"base_model": name, "base_model.sha256": str(base.get("sha256") or "")}


def _yaml(value: Any) -> str:
    import yaml

    return str(yaml.safe_dump(value, sort_keys=True, allow_unicode=True))
