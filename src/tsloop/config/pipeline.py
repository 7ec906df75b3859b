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

__all__ = ["NOTHING_YET", "REVISIONS", "IterationSpec", "Unrolled", "base_model_of", "unroll"]

NOTHING_YET = "data/series/manifest.json"
"""What a dependency slot names where there is nothing to depend on yet."""

SIMULATED_GOLD = "data/simulated/gold.jsonl"
HUMAN_GOLD = "data/labels/gold.jsonl"

REVISIONS: dict[str, int] = {
    "acquire": 1,
    "prepare": 1,
    "base": 3,
    "annotate": 1,
    "dataset": 4,
    "fit": 4,
    "predict": 2,
    "evaluate": 2,
    "queue": 3,
    "publish": 2,
}
"""Raise a stage's number when its code gives other results; DVC then reruns it where it is open."""

_PER_ITERATION = ("annotations", "datasets", "fits", "predictions", "evaluations", "queues")


@dataclass(frozen=True, slots=True)
class IterationSpec:
    """What the project decided about one iteration (``conf/project/iterations.yaml``)."""

    name: str
    parent: str = BASE
    archived: bool = False
    variants: tuple[str, ...] = ()
    """The variants of an archived iteration, whose entries are gone from the pipeline."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as configuration files hold them."""
        entry: dict[str, Any] = {"parent": self.parent}
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
    second: frozenset[str] = frozenset(),
    label_set_sha256: str = "",
    champion: Mapping[str, Any] | None = None,
) -> Unrolled:
    """Entries for every stage.

    ``values`` are the resolved sections of the configuration, ``previous`` the last ``params.yaml``
    (frozen entries are copied from it), ``published`` the iterations that have a registry file,
    ``journals`` those that have a human journal, ``second`` those of which somebody labelled series
    again, ``label_set_sha256`` is the hash of the project's own label set, and
    ``champion`` the model that open iterations are compared with.
    """
    if not values.get("variants"):
        raise ConfigError(
            "No variant is left, and an iteration needs at least one.",
            hint="Add one: tsloop configure +detector@variants.knn=knn",
        )
    unroller = _Unroller(iterations, values, previous, published, journals, champion)
    unroller.second = second
    if label_set_sha256:
        unroller.label_set = {"label_set_sha256": label_set_sha256}
    return unroller.run()


def base_model_of(fit: Mapping[str, Any], bases: Mapping[str, Any]) -> str:
    """What a variant starts from: ``it002/chatts``, or its base (``embedded``, ``base/knn``)."""
    _, iteration, name = str(fit["parent_model"]).split("/")
    if iteration != BASE:
        return f"{iteration}/{name}"
    detector = bases[name]["detector"] if name in bases else fit["detector"]
    return str(detector.get("base") or f"{BASE}/{name}")


class _Unroller:
    def __init__(
        self,
        iterations: Mapping[str, IterationSpec],
        values: Mapping[str, Any],
        previous: Mapping[str, Any],
        published: frozenset[str],
        journals: frozenset[str],
        champion: Mapping[str, Any] | None,
    ) -> None:
        self.specs = iterations
        self.values = values
        self.previous = previous
        self.published = published
        self.journals = journals
        self.champion = champion
        self.parents = {spec.parent for spec in iterations.values()}
        self.annotator = values["annotator"]["kind"]
        self.label_set: dict[str, str] = {}
        self.second: frozenset[str] = frozenset()
        self.out = Unrolled()

    def run(self) -> Unrolled:
        self.out.revisions = {key: REVISIONS[key] for key in ("acquire", "prepare")}
        self._bases()
        # What every first iteration answers: an experiment must not reach the past through it.
        self.out.queues[BASE] = self._base_queue()
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
            "annotator": self._pick("annotator", leaf=True),
            "labels": self.values["labels"],
            **self.label_set,
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
            # What dvc.yaml asks of every entry, also of one from before it did.
            more = ("second",) if kind == "datasets" else ()
            for key, entry in self.previous.get(kind, {}).items():
                if key == name or key.startswith(f"{name}-"):
                    missing = {slot: NOTHING_YET for slot in more if slot not in entry}
                    entries[key] = {**entry, **missing}

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
        gold = SIMULATED_GOLD if simulated else HUMAN_GOLD
        parent_labels = NOTHING_YET if spec.parent == BASE else f"data/snapshots/{spec.parent}"
        if simulated:
            self.out.annotations[name] = {
                "queue": f"data/queues/{spec.parent}.jsonl",
                "parent_labels": parent_labels,
                "annotator": self._pick("annotator", leaf),
                "labels": self._pick("labels", leaf),
                **self.label_set,
                "revision": REVISIONS["annotate"],
            }
        self.out.datasets[name] = {
            "journal": journal,
            "gold": gold,
            "parent_labels": parent_labels,
            "second": f"data/labels/{name}.second.jsonl" if name in self.second else NOTHING_YET,
            "checks": self._pick("checks", leaf),
            "split": self._pick("split", leaf),
            "labels": self._pick("labels", leaf),
            **self.label_set,
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
            **self.label_set,
            "revision": REVISIONS["evaluate"],
            **self._champion(spec),
        }
        self.out.queues[name] = self._queue(name, leaf, simulated)
        self.out.publications[name] = {
            "parent": spec.parent,
            "base_model": {
                variant: base_model_of(self.out.fits[f"{name}-{variant}"], self.out.bases)
                for variant in self.values["variants"]
            },
            "revision": REVISIONS["publish"],
        }

    def _champion(self, spec: IterationSpec) -> dict[str, Any]:
        """The champion of the time: once an iteration is published, later ones do not matter to it.

        ``is_parent`` says that it is scored anyway, on whatever gold there is then.
        """
        previous = self.previous.get("evaluations", {}).get(spec.name)
        if spec.name in self.published and previous is not None:
            return {"champion": previous["champion"]} if "champion" in previous else {}
        if self.champion is None:
            return {}
        iteration = self.champion["model"].partition("/")[0]
        if iteration == spec.name:
            return {}
        return {
            "champion": {
                "model": self.champion["model"],
                "scorecard": self.champion["scorecard"],
                "is_parent": self.champion["published"] and iteration == spec.parent,
            }
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

    def _base_queue(self) -> dict[str, Any]:
        previous = self.previous.get("queues", {}).get(BASE)
        if self._anything_published() and previous is not None:
            return {"gold": NOTHING_YET, **previous}
        return self._queue(BASE, leaf=not self.specs, simulated=self.annotator == "simulated")

    def _queue(self, name: str, leaf: bool, simulated: bool) -> dict[str, Any]:
        return {
            # Simulated gold is told by the role of its series; what people declare is not.
            "gold": NOTHING_YET if simulated else HUMAN_GOLD,
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
