"""Unroll iterations × variants into the entries that DVC's stages iterate over.

A *leaf* iteration (one that nothing builds on) refers to the configuration by interpolation, so
that ``dvc exp run -S`` reaches it. An iteration with children carries literal values. Once it is
published these are never rewritten: configuring changes open iterations only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tsloop.errors import ConfigError
from tsloop.project import BASE

__all__ = ["NOTHING_YET", "REVISIONS", "IterationSpec", "Unrolled", "unroll"]

NOTHING_YET = "data/series/manifest.json"
"""What a dependency slot names where there is nothing to depend on yet."""

SIMULATED_GOLD = "data/simulated/gold.jsonl"

REVISIONS: dict[str, int] = {
    "acquire": 1,
    "prepare": 1,
    "base": 2,
    "annotate": 1,
    "dataset": 2,
    "fit": 2,
    "predict": 1,
    "evaluate": 1,
    "queue": 1,
    "publish": 1,
}
"""Raise a stage's number when its code gives other results; DVC then reruns it where it is open."""

_PER_ITERATION = ("annotations", "datasets", "fits", "predictions", "evaluations", "queues")


@dataclass(frozen=True, slots=True)
class IterationSpec:
    """What the project decided about one iteration (``conf/project/iterations.yaml``)."""

    name: str
    parent: str = BASE
    base_model: str = ""
    archived: bool = False
    variants: tuple[str, ...] = ()
    """The variants of an archived iteration, whose entries are gone from the pipeline."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as configuration files hold them."""
        entry: dict[str, Any] = {"parent": self.parent, "base_model": self.base_model}
        if self.archived:
            entry |= {"archived": True, "variants": list(self.variants)}
        return entry


@dataclass
class Unrolled:
    """The tool-written part of the configuration."""

    iterations: dict[str, Any] = field(default_factory=dict)
    revisions: dict[str, int] = field(default_factory=dict)
    bases: dict[str, Any] = field(default_factory=dict)
    annotations: dict[str, Any] = field(default_factory=dict)
    datasets: dict[str, Any] = field(default_factory=dict)
    fits: dict[str, Any] = field(default_factory=dict)
    predictions: dict[str, Any] = field(default_factory=dict)
    evaluations: dict[str, Any] = field(default_factory=dict)
    queues: dict[str, Any] = field(default_factory=dict)
    publications: dict[str, Any] = field(default_factory=dict)


def unroll(
    iterations: Mapping[str, IterationSpec],
    values: Mapping[str, Any],
    previous: Mapping[str, Any],
    *,
    published: frozenset[str] = frozenset(),
    journals: frozenset[str] = frozenset(),
) -> Unrolled:
    """Entries for every stage.

    ``values`` are the resolved sections of the configuration, ``previous`` the last ``params.yaml``
    (frozen entries are copied from it), ``published`` the iterations that have a registry file, and
    ``journals`` those that have a human journal.
    """
    if not values.get("variants"):
        raise ConfigError(
            "No variant is left, and an iteration needs at least one.",
            hint="Add one: tsloop configure +detector@variants.knn=knn",
        )
    return _Unroller(iterations, values, previous, published, journals).run()


class _Unroller:
    def __init__(
        self,
        iterations: Mapping[str, IterationSpec],
        values: Mapping[str, Any],
        previous: Mapping[str, Any],
        published: frozenset[str],
        journals: frozenset[str],
    ) -> None:
        self.specs = iterations
        self.values = values
        self.previous = previous
        self.published = published
        self.journals = journals
        self.parents = {spec.parent for spec in iterations.values()}
        self.annotator = values["annotator"]["kind"]
        self.out = Unrolled()

    def run(self) -> Unrolled:
        self.out.revisions = {key: REVISIONS[key] for key in ("acquire", "prepare")}
        self._bases()
        self.out.queues[BASE] = self._queue(BASE, leaf=not self._anything_published())
        for name, spec in self.specs.items():
            self.out.iterations[name] = spec.to_dict()
            if spec.archived:
                continue
            if self._frozen(name):
                self._copy(name)
            elif self._opened(spec):
                self._iteration(spec)
        self._base_predictions()
        if any(entry["gold"] == SIMULATED_GOLD for entry in self.out.datasets.values()) or (
            self.annotator == "simulated" and not self.out.datasets
        ):
            self.out.annotations["gold"] = self._simulated_gold()
        return self.out

    def _simulated(self, name: str) -> bool:
        """People's labels count wherever there are any; a simulated annotator fills in."""
        return self.annotator == "simulated" and name not in self.journals

    def _opened(self, spec: IterationSpec) -> bool:
        """It has labels or will have, and so has what it builds on."""
        parent = self.specs.get(spec.parent)
        return (self._simulated(spec.name) or spec.name in self.journals) and (
            parent is None or parent.archived or parent.name in self.out.datasets
        )

    def _simulated_gold(self) -> dict[str, Any]:
        previous = self.previous.get("annotations", {}).get("gold")
        if previous is not None and self._anything_published():
            return dict(previous)
        return {
            "queue": NOTHING_YET,
            "parent_labels": NOTHING_YET,
            "labels": self.values["labels"],
            "revision": REVISIONS["annotate"],
        }

    def _frozen(self, name: str) -> bool:
        """Published, and either built upon or labelled by an annotator that is gone meanwhile."""
        previous = self.previous.get("datasets", {}).get(name)
        if name not in self.published or previous is None:
            return False
        by_simulation = previous["gold"] == SIMULATED_GOLD
        by_nobody = by_simulation and self.annotator != "simulated" and name not in self.journals
        return name in self.parents or by_nobody

    def _anything_published(self) -> bool:
        return any(self._frozen(name) or self.specs[name].archived for name in self.specs)

    def _copy(self, name: str) -> None:
        for kind in (*_PER_ITERATION, "publications"):
            entries = getattr(self.out, kind)
            for key, entry in self.previous.get(kind, {}).items():
                if key == name or key.startswith(f"{name}-"):
                    entries[key] = entry

    def _bases(self) -> None:
        """One base per variant and settings; once something is published, those that are used."""
        if not self._anything_published():
            for variant in self.values["variants"]:
                self._base(variant)
            return
        used = {
            entry["parent_model"].removeprefix(f"models/{BASE}/")
            for entry in self.previous.get("fits", {}).values()
            if self._frozen(entry["iteration"])
        }
        used.add(self.previous.get("queues", {}).get(BASE, {}).get("variant"))
        old = self.previous.get("bases", {})
        self.out.bases = {key: old[key] for key in old if key in used}

    def _base_predictions(self) -> None:
        """A base that comes later is not predicted with: what compares with bases is published."""
        old = self.previous.get("predictions", {})
        for key in self.out.bases:
            if f"{BASE}-{key}" in old or not self._anything_published():
                self.out.predictions[f"{BASE}-{key}"] = {
                    "iteration": BASE,
                    "variant": key,
                    "revision": REVISIONS["predict"],
                }

    def _base(self, variant: str) -> str:
        """The key of the base that a variant starts from, which is added where it is missing."""
        settings = self._base_settings(variant)
        key = self._base_key(variant, settings)
        if key not in self.out.bases:
            self.out.bases[key] = {
                "variant": variant,
                "detector": settings,
                "revision": REVISIONS["base"],
            }
        return key

    def _base_settings(self, variant: str) -> dict[str, Any]:
        """A base does not know how it will be fine-tuned."""
        detector = self.values["variants"][variant]
        return {key: value for key, value in detector.items() if key != "finetune"}

    def _base_key(self, variant: str, settings: Mapping[str, Any]) -> str:
        number = 1
        key = variant
        while key in self.out.bases and self.out.bases[key]["detector"] != settings:
            number += 1
            key = f"{variant}{number}"
        return key

    def _iteration(self, spec: IterationSpec) -> None:
        name, leaf = spec.name, spec.name not in self.parents
        simulated = self._simulated(name)
        journal = f"data/{'simulated' if simulated else 'labels'}/{name}.jsonl"
        gold = SIMULATED_GOLD if simulated else "data/labels/gold.jsonl"
        parent_labels = NOTHING_YET if spec.parent == BASE else f"data/snapshots/{spec.parent}"
        if simulated:
            self.out.annotations[name] = {
                "queue": f"data/queues/{spec.parent}.jsonl",
                "parent_labels": parent_labels,
                "annotator": self._pick("annotator", leaf),
                "labels": self._pick("labels", leaf),
                "revision": REVISIONS["annotate"],
            }
        self.out.datasets[name] = {
            "journal": journal,
            "gold": gold,
            "parent_labels": parent_labels,
            "split": self._pick("split", leaf),
            "labels": self._pick("labels", leaf),
            "seed": self._pick("loop.seed", leaf),
            "revision": REVISIONS["dataset"],
        }
        for variant in self.values["variants"]:
            self._variant(spec, variant, leaf)
        self.out.evaluations[name] = {
            "parent": spec.parent,
            "gold": gold,
            "parent_report": (
                NOTHING_YET if spec.parent == BASE else f"reports/{spec.parent}/scorecard.json"
            ),
            "variants": list(self.values["variants"]),
            "primary": self._pick("loop.primary", leaf),
            "evaluate": self._pick("evaluate", leaf),
            "gate": self._pick("gate", leaf),
            "labels": self._pick("labels", leaf),
            "revision": REVISIONS["evaluate"],
        }
        self.out.queues[name] = self._queue(name, leaf)
        self.out.publications[name] = {
            "parent": spec.parent,
            "base_model": spec.base_model,
            "revision": REVISIONS["publish"],
        }

    def _variant(self, spec: IterationSpec, variant: str, leaf: bool) -> None:
        key = f"{spec.name}-{variant}"
        self.out.fits[key] = {
            "iteration": spec.name,
            "variant": variant,
            "parent_model": self._parent_model(spec, variant),
            "detector": self._pick(f"variants.{variant}", leaf),
            "seed": self._pick("loop.seed", leaf),
            "revision": REVISIONS["fit"],
        }
        self.out.predictions[key] = {
            "iteration": spec.name,
            "variant": variant,
            "revision": REVISIONS["predict"],
        }

    def _parent_model(self, spec: IterationSpec, variant: str) -> str:
        parent = self.specs.get(spec.parent)
        if parent is not None and (
            f"{parent.name}-{variant}" in self.out.fits or variant in parent.variants
        ):
            return f"models/{parent.name}/{variant}"
        return f"models/{BASE}/{self._base(variant)}"

    def _queue(self, name: str, leaf: bool) -> dict[str, Any]:
        previous = self.previous.get("queues", {}).get(name)
        if name == BASE and not leaf and previous is not None:
            return dict(previous)
        return {
            "variant": self._pick("loop.primary", leaf),
            "labels": NOTHING_YET if name == BASE else f"data/snapshots/{name}",
            "sampler": self._pick("sampler", leaf),
            "revision": REVISIONS["queue"],
        }

    def _pick(self, path: str, leaf: bool) -> Any:
        if leaf:
            return "${" + path + "}"
        node: Any = self.values
        for part in path.split("."):
            node = node[part]
        return node
