"""The ChatTS-style detector: a small time-series transformer, tuned on the labels by LoRA.

Without labels it is the embedded base (trained on synthetic series) mixed with the distance to the
nearest neighbours. With labels the base is tuned; how much the tuned model counts beside the
neighbours, and where the thresholds lie, is decided on out-of-fold scores, never on scores of
series that the model was trained on.
"""

from __future__ import annotations

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
from tsloop.chatts.blending import Blend, best_event_f1, choose_blend, mix
from tsloop.chatts.channels import series_channels
from tsloop.chatts.config import ChattsConfig
from tsloop.chatts.finetune import FinetuneData, FinetuneResult, finetune
from tsloop.chatts.fold_chain import FoldChain, load_chain, save_chain
from tsloop.chatts.model import ChattsModel, deterministic
from tsloop.chatts.scoring import score_channels
from tsloop.chatts.training import Item, make_item
from tsloop.detectors.base import Example, Progress, no_progress
from tsloop.detectors.common import LocatingDetector, usable_values
from tsloop.detectors.out_of_fold import out_of_fold
from tsloop.errors import ConfigError, ModelFileError
from tsloop.evaluation.thresholds import Decision, tolerance
from tsloop.intervals import Basis, Interval
from tsloop.series.types import Series

__all__ = ["ChattsConfig", "ChattsDetector"]

Floats = npt.NDArray[np.float64]

ADAPTER_DIR = "adapter"
FOLDS_DIR = "folds"
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
        self.chain = FoldChain()
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
        if parent is not None and parent.base.sha256 != self.base.sha256:
            raise ConfigError("The parent stands on another base than detector.base names.")
        usable = [e for e in examples if not np.isnan(e.series.values).all()]
        figures = {"n_examples": float(len(examples)), "steps": 0.0}
        figures["n_failed"] = float(len(examples) - len(usable))
        examples = usable
        events = sum(len(example.intervals) for example in examples)
        figures["n_events"] = float(events)
        self._set_adapter(parent.adapter if parent is not None else None)
        self.blend = parent.blend if parent is not None else self._prior
        self.chain = parent.chain if parent is not None else FoldChain()
        self.fit_rules([], [])
        if events:
            figures |= self._learn(examples, parent, seed, progress)
        return figures | {
            "weight_neighbours": self.blend.weight,
            "spread": float(self.blend.spread),
            "cpu_seconds": time.process_time() - began,
        }

    def _learn(
        self,
        examples: Sequence[Example],
        parent: Self | None,
        seed: int,
        progress: Progress,
    ) -> dict[str, float]:
        start = parent.adapter if parent is not None else None
        held_out, chain = self._out_of_fold(examples, seed)
        prior = Blend(self.config.tuned_neighbours, self.config.tuned_spread)
        blend, out_of_fold_f1 = self._choose_blend(held_out, prior)
        figures = {"out_of_fold_f1": out_of_fold_f1}
        kept = self._compare(parent, held_out, blend)
        if not kept["kept_parent"]:
            result = self._finetune(examples, start, seed, progress)
            self._set_adapter(result.adapter)
            self.chain = chain
            figures |= {"steps": float(result.steps), "loss": result.loss}
            if result.valid_loss is not None:
                figures["valid_loss"] = result.valid_loss
            self.blend = blend
            scores = [self._mixed(e, logit, blend) for e, logit in held_out]
            rules = self.fit_rules([example for example, _ in held_out], scores)
        elif parent is not None and parent.adapter is not None:
            self.decision = parent.decision
            self.set_rules(parent.rules_to_dict())
            rules = {}
        else:  # the base has seen none of the examples
            scores = [self.score(example.series) for example in examples]
            rules = self.fit_rules(examples, scores)
        rules |= {"threshold_hi": self.decision.hi, "threshold_lo": self.decision.lo}
        names = ("threshold_hi", "threshold_lo", "label_free")
        return figures | kept | {key: rules[key] for key in names if key in rules}

    def _compare(
        self, parent: Self | None, held_out: Sequence[tuple[Example, Floats]], blend: Blend
    ) -> dict[str, float]:
        """Whether the parent, or the base, stays: ``kept_parent``, and both figures.

        Both are judged by their best event-F1 on examples that neither has learned from. Tuning
        has to be worse by more than luck explains, because few examples say little.
        """
        fresh = [(e, logit) for e, logit in held_out if not e.replay]
        truths = [e.intervals for e, _ in fresh]
        if not any(truths):
            return {"kept_parent": 0.0}
        tuned = [self._mixed(e, logit, blend) for e, logit in fresh]
        before = parent or type(self)(self.config)
        untuned = [before.score(e.series) for e, _ in fresh]
        figures = {
            "tuned_f1": best_event_f1(tuned, truths),
            "parent_f1": best_event_f1(untuned, truths),
        }
        luck = tolerance(sum(map(len, truths)), len({e.series.group for e, _ in fresh}))
        drop = figures["parent_f1"] - figures["tuned_f1"]
        return figures | {"kept_parent": float(drop > luck)}

    def _mixed(self, example: Example, logit: Floats, blend: Blend) -> Floats:
        return mix(logit, series_channels(example.series).knn_z, blend)

    def _choose_blend(
        self, held_out: Sequence[tuple[Example, Floats]], prior: Blend
    ) -> tuple[Blend, float]:
        return choose_blend(
            [logit for _, logit in held_out],
            [series_channels(example.series).knn_z for example, _ in held_out],
            [example.intervals for example, _ in held_out],
            self.config.neighbour_choices,
            self.config.spread_choices,
            prior,
        )

    def _finetune(
        self,
        examples: Sequence[Example],
        start: Adapter | None,
        seed: int,
        progress: Progress = no_progress,
    ) -> FinetuneResult:
        """Train on all examples; with ``early_stopping`` the validation ones only say when to stop.

        An ancestor may have learned from a replayed example, which therefore does not validate.
        """
        valid = [e for e in examples if e.split == "valid" and not e.replay]
        rest = [e for e in examples if e.split != "valid" or e.replay]
        if not self.config.early_stopping or not rest:
            valid, rest = [], list(examples)
        data = self._data(rest, valid)
        return finetune(
            self.base, data, self.config.finetune, start=start, seed=seed, progress=progress
        )

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

    def _out_of_fold(
        self, examples: Sequence[Example], seed: int
    ) -> tuple[list[tuple[Example, Floats]], FoldChain]:
        """Model logits of every example from a model that was never trained on its group.

        Fold models go on from the parent's fold models, as the served model does from the parent
        itself (`tsloop.chatts.fold_chain`).
        """
        group_of = {example.series.id: example.series.group for example in examples}
        chain = FoldChain() if self.chain.knows_otherwise(group_of) else self.chain
        adapters = dict(chain.adapters)

        def fit_fold(fold: int, inside: Sequence[Example]) -> Callable[[Series], Floats]:
            if any(e.intervals for e in inside):
                start = adapters.get(fold)
                adapters[fold] = self._finetune(inside, start, seed).adapter
            model = merged_model(self.base, adapters.get(fold))
            return lambda series: self._logits(model, series)[0]

        folds = self.config.finetune.folds
        held_out, fold_of = out_of_fold(examples, folds, seed, fit_fold, chain.fold_of)
        if not fold_of:  # each fold model has seen half of the only group
            return held_out, FoldChain()
        known = {**chain.fold_of, **fold_of}, {**chain.group_of, **group_of}
        return held_out, FoldChain(*known, adapters)

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
        """``adapter/`` and ``folds/`` where something was tuned; the base is not copied."""
        if self.adapter is not None:
            (directory / ADAPTER_DIR).mkdir()
            save_adapter(directory / ADAPTER_DIR, self.adapter, self.base)
        if self.chain.fold_of:
            (directory / FOLDS_DIR).mkdir()
            save_chain(directory / FOLDS_DIR, self.chain, self.base)

    def load_weights(self, directory: Path) -> None:
        """Read the adapters; see `tsloop.chatts.adapter` for what is refused."""
        if self._tuned:
            self._set_adapter(load_adapter(directory / ADAPTER_DIR, self.base))
        self.chain = load_chain(directory / FOLDS_DIR, self.base)
