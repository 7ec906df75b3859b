"""The native ChatTS in the loop: a time-series language model, tuned on the labels by LoRA.

It answers in one of two ways. ``score``: one forward pass per batch of windows and a head that says
how anomalous each row is. ``generate``: the model is asked about each window and writes intervals
as JSON. Either way the answer becomes one score per row, and the decision rule, chosen on scores of
series that the model was not trained on, makes intervals of it.

A score head has to be trained. Until the first labels a detector that is to ``score`` is therefore
asked in words, and says so in the reason of its detections. What cannot be answered is ``failed``.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from tsloop.chatts.native.settings import ChattsLlmConfig
from tsloop.chatts.native.shared import SharedBase, StoredAdapter, shared_base
from tsloop.detectors.base import Example, Progress, no_progress
from tsloop.detectors.common import LocatingDetector, usable_values
from tsloop.detectors.llm_answers import Answer, by_head, described, in_words
from tsloop.detectors.llm_examples import tuning_data
from tsloop.detectors.out_of_fold import out_of_fold
from tsloop.errors import ConfigError, ModelFileError, TsloopError
from tsloop.evaluation.thresholds import Decision
from tsloop.grammar import render_prompt
from tsloop.intervals import Detection, Interval
from tsloop.labels import LabelSet, builtin_label_set, load_label_set
from tsloop.series.types import Series

__all__ = ["ChattsLlmConfig", "ChattsLlmDetector"]

Floats = npt.NDArray[np.float64]

ADAPTER_DIR = "adapter"
ASKED = Decision(hi=0.5, lo=0.5)
"""Without labels an interval counts that the model wrote with even odds or better."""
IN_WORDS = "asked in words, for the score head learns with the first labels"
_CACHED_RESULTS = 32


class ChattsLlmDetector(LocatingDetector):
    """See the module text."""

    name: ClassVar[str] = "chatts_llm"
    config_class: ClassVar[type[Any]] = ChattsLlmConfig
    trainable: ClassVar[bool] = True

    def __init__(self, config: ChattsLlmConfig | None = None) -> None:
        super().__init__(config)
        self.config: ChattsLlmConfig
        self.decision = ASKED
        self.adapter: StoredAdapter | None = None
        self._labels: LabelSet | None = None
        self._base: SharedBase | None = None
        self._tuned = False
        self._unanswered = 0
        self._results: OrderedDict[str, Answer] = OrderedDict()

    @property
    def base(self) -> SharedBase:
        """The checkpoint, looked up at first use and loaded when it is first asked."""
        if self._base is None:
            self._base = shared_base(self.config)
        return self._base

    @property
    def label_set(self) -> LabelSet:
        """The labels that it can give: those of the settings, or those it was saved with."""
        if self._labels is None:
            named = self.config.labels
            builtin = named == "tsloop"
            self._labels = builtin_label_set() if builtin else load_label_set(Path(named))
        return self._labels

    def answering(self, answer: str) -> Self:
        """A detector with the same adapter that answers the other way, by its label-free rules."""
        other = type(self)(dataclasses.replace(self.config, answer=answer))
        other._labels, other._base = self._labels, self._base
        other._set_adapter(self.adapter)
        return other

    def fit(
        self,
        examples: Sequence[Example],
        parent: Self | None = None,
        *,
        seed: int = 0,
        progress: Progress = no_progress,
    ) -> dict[str, float]:
        """Tune the base (or go on from the parent's adapter), then fit thresholds and edges.

        Without a single labelled event nothing is trained, and the decision is the label-free one;
        with ``finetune.steps`` 0 only the decision is fitted. Where no look at the validation
        examples was better than the start, the parent's weights or the base's stay (figure
        ``kept_parent``). Examples without a single value are left out and counted in ``n_failed``;
        ``n_unanswered`` counts those that the thresholds could not be fitted to.
        """
        began = time.process_time()
        start = parent.adapter if parent is not None else None
        if parent is not None and parent.base.identity.sha256 != self.base.identity.sha256:
            raise ConfigError(
                f"The parent stands on base {parent.base.identity.id!r}, this detector on "
                f"{self.base.identity.id!r}.",
                hint="Name the parent's checkpoint, or start again from base.",
            )
        usable = [e for e in examples if not np.isnan(e.series.values).all()]
        events = sum(len(example.intervals) for example in usable)
        figures = {
            "n_examples": float(len(examples)),
            "n_failed": float(len(examples) - len(usable)),
            "n_events": float(events),
            "steps": 0.0,
        }
        self._unanswered = 0
        self._set_adapter(start)
        self._fit_rules([])
        if events:
            figures |= self._learn(usable, start, seed, progress)
        return figures | {
            "in_words": float(self._asks(self.adapter)),
            "n_unanswered": float(self._unanswered),
            "cpu_seconds": time.process_time() - began,
        }

    def _learn(
        self,
        examples: Sequence[Example],
        start: StoredAdapter | None,
        seed: int,
        progress: Progress,
    ) -> dict[str, float]:
        settings = self.config.finetune
        if settings.steps == 0:
            fresh = [e for e in examples if self.adapter is None or not e.replay]
            return self._fit_rules(self._held_out(self.adapter, fresh))
        by_fold = self._out_of_fold(examples, seed) if settings.folds > 1 else None
        figures = self._tune(examples, start, seed, progress)
        if self.adapter is None:  # the base stays, and has learned none of them
            by_fold = self._held_out(None, examples)
        elif by_fold is None:
            valid = [example for example in examples if example.split == "valid"]
            by_fold = self._held_out(self.adapter, valid)
        return figures | self._fit_rules(by_fold)

    def _tune(
        self,
        examples: Sequence[Example],
        start: StoredAdapter | None,
        seed: int,
        progress: Progress,
    ) -> dict[str, float]:
        adapter, result = self._tuned_on(examples, start, seed, "served", progress)
        self._set_adapter(start if result.kept_start else adapter)
        figures = {
            "steps": float(result.steps),
            "loss": result.loss,
            "kept_parent": float(result.kept_start),
            "n_too_long": float(result.left_out),
        }
        losses = {"valid_loss": result.valid_loss, "parent_valid_loss": result.start_valid_loss}
        return figures | {name: loss for name, loss in losses.items() if loss is not None}

    def _tuned_on(
        self,
        examples: Sequence[Example],
        start: StoredAdapter | None,
        seed: int,
        part: str,
        progress: Progress = no_progress,
    ) -> tuple[StoredAdapter, Any]:
        """One training; ``part`` names its checkpoints, where any are kept."""
        return self.base.tune(
            tuning_data(examples, self.base.processor, self.label_set, self.config, seed),
            self.config.finetune,
            labels=self.label_set.ids,
            bidirectional=self.config.bidirectional,
            start=start,
            seed=seed,
            answer=self.config.taught,
            prompt_of=self._prompt,
            progress=progress,
            checkpoint_dir=self._checkpoints(part),
        )

    def _checkpoints(self, part: str) -> Path | None:
        """Where one training leaves what it goes on from: under the hash of all that it stands on.

        Nowhere for ``full``: its weights and their moments are several times the whole model.
        """
        if self.checkpoint_dir is None or self.config.finetune.method == "full":
            return None
        standing = [dataclasses.asdict(self.config), self.base.identity.sha256, self.base.device]
        digest = hashlib.sha256(json.dumps(standing, sort_keys=True).encode()).hexdigest()
        return self.checkpoint_dir / digest[:16] / part

    def _out_of_fold(self, examples: Sequence[Example], seed: int) -> list[tuple[Example, Floats]]:
        """Fold models start from the base, not from the parent, which has seen older examples."""

        def fit_fold(fold: int, inside: Sequence[Example]) -> Callable[[Series], Floats | None]:
            if not any(example.intervals for example in inside):
                return lambda series: None  # nothing to learn from, so nothing to calibrate
            adapter, _ = self._tuned_on(inside, None, seed, f"fold-{fold}")
            return lambda series: self._scores(adapter, series)

        return out_of_fold(examples, self.config.finetune.folds, seed, fit_fold)[0]

    def _held_out(
        self, adapter: StoredAdapter | None, examples: Sequence[Example]
    ) -> list[tuple[Example, Floats]]:
        scored = [(example, self._scores(adapter, example.series)) for example in examples]
        return [(example, scores) for example, scores in scored if scores is not None]

    def _scores(self, adapter: StoredAdapter | None, series: Series) -> Floats | None:
        """``None`` where there is no answer: such a series says nothing about thresholds."""
        try:
            return self._answer(adapter, series).scores
        except TsloopError:
            self._unanswered += 1
            return None

    def _fit_rules(self, held_out: Sequence[tuple[Example, Floats]]) -> dict[str, float]:
        rules = self.fit_rules([e for e, _ in held_out], [scores for _, scores in held_out])
        if self.decision.rule == ASKED.rule and self._asks(self.adapter):
            self.decision = ASKED
        kept = {key: rules[key] for key in ("label_free",)}
        return kept | {
            "n_held_out": float(len(held_out)),
            "threshold_hi": self.decision.hi,
            "threshold_lo": self.decision.lo,
        }

    def _set_adapter(self, adapter: StoredAdapter | None) -> None:
        self.adapter = adapter
        self._results.clear()

    def _asks(self, adapter: StoredAdapter | None) -> bool:
        """Whether the answer is in words: because it should be, or for want of a score head."""
        return self.config.answer == "generate" or adapter is None or not adapter.has_head

    def _prompt(self, rows: int) -> str:
        return render_prompt(rows, self.label_set, self.config.generate.language)

    def _answer(self, adapter: StoredAdapter | None, series: Series) -> Answer:
        values = usable_values(series, 1)
        if np.ptp(values) == 0.0:
            return Answer(np.zeros(len(values)), note="all values are equal: none stands out")
        base, config = self.base, self.config
        with base.answering(adapter, config.finetune.threads) as model:
            if not self._asks(adapter):
                return by_head(model, base.processor, series, config, self._prompt)
            answer = in_words(model, base.processor, series, config, self.label_set)
        if config.answer == "generate":
            return answer
        note = "; ".join(filter(None, (answer.note, IN_WORDS)))
        return dataclasses.replace(answer, note=note)

    def _remembered(self, series: Series) -> Answer:
        """The answer, kept for the last few series."""
        key = f"{series.id} {series.sha256}"
        if key not in self._results:
            self._results[key] = self._answer(self.adapter, series)
            while len(self._results) > _CACHED_RESULTS:
                self._results.popitem(last=False)
        return self._results[key]

    def score(self, series: Series) -> Floats:
        """Per row: the score head's probability, or how sure the model was of what it wrote."""
        return self._remembered(series).scores

    def analyse(self, series: Series) -> tuple[Detection, Floats | None]:
        """As every detector, with what the model left unsaid in the reason."""
        detection, scores = super().analyse(series)
        if scores is None or not (note := self._remembered(series).note):
            return detection, scores
        return dataclasses.replace(detection, reason=note), scores

    def describe(
        self, series: Series, scores: Floats, intervals: Sequence[Interval]
    ) -> Sequence[Interval]:
        """Refined edges, and the label and reason that the model gave."""
        answer, patch = self._remembered(series), self.base.processor.config.patch_size
        return [
            described(interval, answer, self.label_set, patch)
            for interval in self.refine(series.filled(), scores, intervals)
        ]

    def rules_to_dict(self) -> dict[str, Any]:
        """The rules, the label set, and the base that the adapter belongs to."""
        return super().rules_to_dict() | {
            "base": dataclasses.asdict(self.base.identity),
            "label_set": dataclasses.asdict(self.label_set),
            "tuned": self.adapter is not None,
        }

    def set_rules(self, data: Mapping[str, Any]) -> None:
        """The inverse of `rules_to_dict`; another base than the recorded one is refused."""
        wanted, found = data["base"], self.base.identity
        if found.sha256 != wanted["sha256"]:
            raise ModelFileError(
                f"This model stands on base {wanted['id']!r} (sha256 {wanted['sha256'][:12]}…), "
                f"at hand is {found.id!r} ({found.sha256[:12]}…).",
                hint=f"Name that checkpoint in {self.config.checkpoint_variable}, or fit again.",
            )
        super().set_rules(data)
        self._labels = LabelSet.from_dict(data["label_set"])
        self._tuned = bool(data["tuned"])

    def save_weights(self, directory: Path) -> None:
        """``adapter/`` where something was tuned; the base itself is not copied."""
        if self.adapter is not None:
            (directory / ADAPTER_DIR).mkdir()
            self.adapter.write(directory / ADAPTER_DIR)

    def load_weights(self, directory: Path) -> None:
        """Read the adapter; see `tsloop.chatts.native.tuning` for what is refused."""
        if self._tuned:
            self._set_adapter(StoredAdapter.read(directory / ADAPTER_DIR, self.base.identity))
