"""The ChatTS-style detector: a small time-series transformer, tuned on the labels by LoRA.

Without labels it is the embedded base (trained on synthetic series) mixed with the distance to the
nearest neighbours. With labels the base is tuned; how much the tuned model counts beside the
neighbours, and where the thresholds lie, is decided on out-of-fold scores, never on scores of
series that the model was trained on.
"""

from __future__ import annotations

import dataclasses
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from scipy.special import log_softmax

from tsloop.chatts.adapter import Adapter, load_adapter, merged_model, save_adapter
from tsloop.chatts.bases import Base, load_base
from tsloop.chatts.blending import Blend, choose_blend, mix
from tsloop.chatts.channels import series_channels
from tsloop.chatts.config import ChattsConfig
from tsloop.chatts.finetune import FinetuneData, finetune
from tsloop.chatts.model import ChattsModel, deterministic
from tsloop.chatts.scoring import score_channels
from tsloop.chatts.training import Item, make_item
from tsloop.detectors.base import Example, Progress, no_progress
from tsloop.detectors.common import LocatingDetector, usable_values
from tsloop.detectors.out_of_fold import out_of_fold
from tsloop.errors import ConfigError, ModelFileError
from tsloop.evaluation.thresholds import Decision
from tsloop.intervals import Basis, Interval
from tsloop.series.types import Series

__all__ = ["ChattsConfig", "ChattsDetector"]

Floats = npt.NDArray[np.float64]

ADAPTER_DIR = "adapter"
_CACHED_RESULTS = 64


class ChattsDetector(LocatingDetector):
    """See the module text."""

    name: ClassVar[str] = "chatts"
    config_class: ClassVar[type[Any]] = ChattsConfig
    trainable: ClassVar[bool] = True

    def __init__(self, config: ChattsConfig | None = None) -> None:
        super().__init__(config)
        self.config: ChattsConfig
        self.blend = Blend(self.config.neighbours, self.config.spread)
        self.adapter: Adapter | None = None
        self._tuned = False
        self._base: Base | None = None
        self._model: ChattsModel | None = None
        self._results: OrderedDict[str, tuple[Floats, Floats]] = OrderedDict()
        self._alarms: dict[str, list[Interval]] = {}

    @property
    def base(self) -> Base:
        """The verified base; read at first use."""
        if self._base is None:
            self._base = load_base(self.config.base)
        return self._base

    @property
    def _prior(self) -> Blend:
        """What holds without labels."""
        return Blend(self.config.neighbours, self.config.spread)

    def fit(
        self,
        examples: Sequence[Example],
        parent: Self | None = None,
        *,
        seed: int = 0,
        progress: Progress = no_progress,
    ) -> dict[str, float]:
        """Tune the base (or go on from the parent's adapter), then fit blend and thresholds.

        Without a single labelled event nothing is trained: the parent's weights, or the base's,
        stay, and the decision is the label-free one. Examples without a single value are left out
        and counted in ``n_failed``.
        """
        began = time.process_time()
        start = parent.adapter if parent is not None else None
        if parent is not None and parent.base.sha256 != self.base.sha256:
            raise ConfigError("The parent stands on another base than detector.base names.")
        usable = [e for e in examples if not np.isnan(e.series.values).all()]
        figures = {"n_examples": float(len(examples)), "steps": 0.0}
        figures["n_failed"] = float(len(examples) - len(usable))
        examples = usable
        events = sum(len(example.intervals) for example in examples)
        figures["n_events"] = float(events)
        self._set_adapter(start)
        self.blend = parent.blend if parent is not None else self._prior
        self.fit_rules([], [])
        if events:
            figures |= self._learn(examples, start, seed, progress)
        return figures | {
            "weight_neighbours": self.blend.weight,
            "spread": float(self.blend.spread),
            "cpu_seconds": time.process_time() - began,
        }

    def _learn(
        self, examples: Sequence[Example], start: Adapter | None, seed: int, progress: Progress
    ) -> dict[str, float]:
        figures = self._tune(examples, start, seed, progress)
        prior = Blend(self.config.tuned_neighbours, self.config.tuned_spread)
        if self.adapter is None:  # the base has seen none of them
            held_out = [(e, self._analysed(e.series)[0]) for e in examples]
            prior = self._prior
        else:
            held_out = self._out_of_fold(examples, seed)
        logits = [logit for _, logit in held_out]
        neighbours = [series_channels(example.series).knn_z for example, _ in held_out]
        self.blend, out_of_fold_f1 = choose_blend(
            logits,
            neighbours,
            [example.intervals for example, _ in held_out],
            self.config.neighbour_choices,
            self.config.spread_choices,
            prior,
        )
        scores = [mix(m, z, self.blend) for m, z in zip(logits, neighbours, strict=True)]
        rules = self.fit_rules([example for example, _ in held_out], scores)
        figures |= {k: rules[k] for k in ("threshold_hi", "threshold_lo", "label_free")}
        return figures | {"out_of_fold_f1": out_of_fold_f1}

    def _tune(
        self, examples: Sequence[Example], start: Adapter | None, seed: int, progress: Progress
    ) -> dict[str, float]:
        """Set the adapter: tuned on all examples for as long as it helped on new groups.

        A first training leaves out the validation examples that no ancestor has learned from, and
        counts its steps there. Where not even the first look was better than the start, the start
        stays (``kept_parent`` is 1); else a second training learns from all, for so many steps.
        """
        settings = self.config.finetune
        fresh = [e for e in examples if e.split == "valid" and not e.replay]
        known = [e for e in examples if e.split != "valid" or e.replay]
        figures: dict[str, float] = {}
        steps = settings.steps
        if fresh and known:
            data = self._data(known, fresh)
            trial = finetune(self.base, data, settings, start=start, seed=seed, progress=progress)
            figures = {
                "kept_parent": float(trial.kept_start),
                "valid_loss": trial.valid_loss or 0.0,
                "parent_valid_loss": trial.start_valid_loss or 0.0,
            }
            if trial.kept_start:
                return figures | {"steps": 0.0, "loss": trial.loss}
            steps = trial.steps
        settings = dataclasses.replace(settings, steps=steps)
        result = finetune(
            self.base,
            self._data(examples),
            settings,
            start=start,
            seed=seed,
            progress=no_progress if figures else progress,
        )
        self._set_adapter(result.adapter)
        return figures | {"steps": float(result.steps), "loss": result.loss}

    def _data(self, examples: Sequence[Example], valid: Sequence[Example] = ()) -> FinetuneData:
        def items(chosen: Sequence[Example]) -> list[Item]:
            labels = self.base.config.labels
            return [
                make_item(e.series, e.intervals, labels, e.weight, self._rejected(e))
                for e in chosen
            ]

        return FinetuneData(
            new=items([e for e in examples if not e.replay]),
            old=items([e for e in examples if e.replay]),
            valid=items(valid),
        )

    def _rejected(self, example: Example) -> tuple[Interval, ...]:
        """What the untuned model would report and the annotator did not: to be unlearned."""
        key = example.series.sha256
        if key not in self._alarms:
            logits = self._logits(merged_model(self.base, None), example.series)[0]
            scores = mix(logits, series_channels(example.series).knn_z, self._prior)
            level = self.config.rejected_above
            rule = Decision(hi=level, lo=0.6 * level, merge_gap=5)
            self._alarms[key] = rule.apply(scores)
        return tuple(
            alarm
            for alarm in self._alarms[key]
            if not any(alarm.overlap(event) for event in example.intervals)
        )

    def _out_of_fold(self, examples: Sequence[Example], seed: int) -> list[tuple[Example, Floats]]:
        """Model logits of every example from a model that was not trained on its group.

        Fold models start from the base, not from the parent, which has seen the older examples.
        """
        settings = self.config.finetune

        def fit_fold(inside: Sequence[Example]) -> Callable[[Series], Floats]:
            adapter = None
            if any(e.intervals for e in inside):
                adapter = finetune(self.base, self._data(inside), settings, seed=seed).adapter
            model = merged_model(self.base, adapter)
            return lambda series: self._logits(model, series)[0]

        return out_of_fold(examples, settings.folds, seed, fit_fold)

    def _logits(self, model: ChattsModel, series: Series) -> tuple[Floats, Floats]:
        with deterministic(1):
            return score_channels(model, series_channels(series).channels)

    def _set_adapter(self, adapter: Adapter | None) -> None:
        self.adapter, self._model = adapter, None
        self._results.clear()

    def _analysed(self, series: Series) -> tuple[Floats, Floats]:
        """Logits per row and label logits per patch, kept for the last few series."""
        usable_values(series, 1)  # no rows, or no value at all: an error that names the series
        key = series.sha256
        if key not in self._results:
            if self._model is None:
                self._model = merged_model(self.base, self.adapter)
            self._results[key] = self._logits(self._model, series)
            while len(self._results) > _CACHED_RESULTS:
                self._results.popitem(last=False)
        return self._results[key]

    def score(self, series: Series) -> Floats:
        """Mixed score of the model and the neighbour evidence per row, in (0, 1)."""
        logits, _ = self._analysed(series)
        return mix(logits, series_channels(series).knn_z, self.blend)

    def describe(
        self, series: Series, scores: Floats, intervals: Sequence[Interval]
    ) -> Sequence[Interval]:
        """Refined edges, the label head's verdict over the interval, and what the evidence was."""
        logits, labels = self._analysed(series)
        knn_z = series_channels(series).knn_z
        shape = self.base.config
        described: list[Interval] = []
        for interval in self.refine(series.filled(), scores, intervals):
            patches = slice(interval.start // shape.patch, interval.end // shape.patch + 1)
            rows = slice(interval.start, interval.end + 1)
            likely = log_softmax(labels[patches], axis=1).mean(axis=0)
            label = shape.labels[int(np.argmax(likely))]
            model = float(1.0 / (1.0 + np.exp(-logits[rows].max())))
            distance = min(float(knn_z[rows].max()), 9999.0)
            reason = f"{label}: model {model:.2f}, distance to similar windows {distance:.1f} sigma"
            described.append(interval.replace(label=label, reason=reason, basis=Basis.MODEL))
        return described

    def rules_to_dict(self) -> dict[str, Any]:
        """The rules, the weight of the neighbours and the base that the adapter belongs to."""
        return super().rules_to_dict() | {
            "weight": self.blend.weight,
            "spread": self.blend.spread,
            "base": {"id": self.base.id, "sha256": self.base.sha256},
            "tuned": self.adapter is not None,
        }

    def set_rules(self, data: Mapping[str, Any]) -> None:
        """The inverse of `rules_to_dict`; another base than the recorded one is refused."""
        wanted = data["base"]
        if self.base.sha256 != wanted["sha256"]:
            raise ModelFileError(
                f"This model stands on base {wanted['id']!r} (sha256 {wanted['sha256'][:12]}…), "
                f"at hand is {self.base.id!r} ({self.base.sha256[:12]}…).",
                hint="Install the version of tsloop that holds that base, or fit again.",
            )
        super().set_rules(data)
        self.blend = Blend(float(data["weight"]), int(data["spread"]))
        self._tuned = bool(data["tuned"])

    def save_weights(self, directory: Path) -> None:
        """``adapter/`` where something was tuned; the base itself is not copied."""
        if self.adapter is not None:
            (directory / ADAPTER_DIR).mkdir()
            save_adapter(directory / ADAPTER_DIR, self.adapter, self.base)

    def load_weights(self, directory: Path) -> None:
        """Read the adapter; see `tsloop.chatts.adapter` for what is refused."""
        if self._tuned:
            self._set_adapter(load_adapter(directory / ADAPTER_DIR, self.base))
