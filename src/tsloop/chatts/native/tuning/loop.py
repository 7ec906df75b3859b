"""Tune a native ChatTS on labelled windows and on answers; see `tune`."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from tsloop.chatts.adapter import check_trained
from tsloop.chatts.config import FinetuneConfig
from tsloop.chatts.model import deterministic
from tsloop.chatts.native.tuning.data import (
    PromptOf,
    TuneData,
    data_digest,
    without_overlong,
)
from tsloop.chatts.native.tuning.draws import Drawer, Step
from tsloop.chatts.native.tuning.files import read_tuned
from tsloop.chatts.native.tuning.objective import Objective
from tsloop.chatts.native.tuning.processes import Processes
from tsloop.chatts.native.tuning.resume import Checkpoints, Progress, State, fingerprint
from tsloop.chatts.native.tuning.synthetic import synthetic_windows
from tsloop.chatts.native.tuning.trainable import Tensors, Trainable
from tsloop.chatts.pretrain import schedule
from tsloop.errors import ConfigError, DetectorError

__all__ = ["ANSWERS", "TuneResult", "tune"]

ANSWERS = ("score", "generate", "both")
VALID_EXAMPLES = 24
"""At most so many windows, and so many texts, are looked at for validation, spread evenly."""

Report = Callable[[Mapping[str, float]], None]
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class TuneResult:
    """The tuned model, in evaluation mode, and how it went.

    ``loss`` is the mean of the last ten steps. ``valid_loss`` belongs to the weights that are
    returned (None without validation examples), ``start_valid_loss`` to those before the first
    step. ``kept_start``: no look at the validation examples was better than the start, whose
    weights are returned. ``left_out`` counts examples that were too long. ``resumed_from`` is the
    step of the checkpoint that training went on from, or None.
    """

    model: Any
    steps: int
    loss: float
    valid_loss: float | None
    resumed_from: int | None
    start_valid_loss: float | None = None
    kept_start: bool = False
    left_out: int = 0
    trainable: int = 0


def tune(
    model: Any,
    processor: Any,
    data: TuneData,
    config: FinetuneConfig,
    *,
    answer: str,
    prompt_of: PromptOf,
    start: Path | None = None,
    checkpoint_dir: Path | None = None,
    seed: int = 0,
    progress: Report | None = None,
) -> TuneResult:
    """Train ``model`` (changed or wrapped) to score, to answer in text, or both.

    ``answer`` is ``score`` (windows; needs a score head), ``generate`` (texts) or ``both``, half of
    each batch each. ``start`` holds the parent's tuned tensors (`save_tuned`), of the same method;
    compare its base with `check_base` before. With ``checkpoint_dir`` a checkpoint is written at
    every look at the validation examples (each ``eval_every`` steps), and a second call with the
    same arguments goes on from it to the same tensors, on a CPU bit by bit, and first reports the
    last step again. The model must be the same, too: nothing here compares it. ``progress`` gets
    ``step``, ``loss``, ``learning_rate`` and, when measured, ``valid_loss``.

    Zero steps, no example, a loss that is not finite and a training that changed nothing are a
    `DetectorError`; a method that does not fit the model or the answer is a `ConfigError`.
    """
    if answer not in ANSWERS:
        raise ConfigError(f"answer is {answer!r}; choose one of {list(ANSWERS)}.")
    if config.steps < 1:
        raise DetectorError(
            "finetune.steps is 0: nothing would be trained.", hint="Set it to at least 1."
        )
    device = next(model.parameters()).device
    most_tokens = int(model.config.max_position_embeddings)
    data, left_out = without_overlong(data, processor, prompt_of, most_tokens)
    if left_out:
        logging.getLogger(__name__).warning(
            "%d examples are too long for the model and are not used.", left_out
        )
    _check_examples(data, answer, left_out)
    parent = read_tuned(start) if start is not None else None
    with _reproducible(config.threads, device), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        trainable = Trainable(model, config, answer, parent)
        run = _Run(trainable, processor, data, config, answer, prompt_of, seed, device)
        result = run.train(checkpoint_dir, progress or _silent)
        return dataclasses.replace(result, left_out=left_out)


class _Run:
    """One training: what does not change while it runs, and the optimiser."""

    def __init__(
        self,
        trainable: Trainable,
        processor: Any,
        data: TuneData,
        config: FinetuneConfig,
        answer: str,
        prompt_of: PromptOf,
        seed: int,
        device: torch.device,
    ) -> None:
        self.trainable, self.config = trainable, config
        self.device = device
        self.processes = Processes(device)
        self.objective = Objective(
            trainable.model, processor, prompt_of, config, self.processes, device
        )
        labels = trainable.model.score_labels
        synthetic = synthetic_windows(config, labels) if answer != "generate" else ()
        self.drawer = Drawer(data, synthetic, config, answer, labels, seed)
        self.valid = Step(
            _spread(data.valid_score if answer != "generate" else ()),
            _spread(data.valid_texts if answer != "score" else ()),
        )
        self.optimizer = torch.optim.AdamW(
            trainable.groups(), lr=0.0, weight_decay=config.weight_decay
        )
        self.start = trainable.tensors()
        self.fingerprint = fingerprint(
            config, answer, seed, data_digest(data, prompt_of), self.start
        )

    def train(self, checkpoint_dir: Path | None, report: Report) -> TuneResult:
        """Train to the end, or until validation has not become better for long enough."""
        checkpoints = None
        if checkpoint_dir is not None:
            checkpoints = Checkpoints(checkpoint_dir, self.fingerprint)
        state = checkpoints.newest() if checkpoints else None
        self.processes.wait()
        best: Tensors = {}
        if state is None:
            now = Progress(start_valid=self._measure())
            now.best_valid = now.start_valid
            resumed_from = None
        else:
            now, best, resumed_from = state.progress, state.best, state.progress.step
            self._restore(state)
            report(now.figures)
        with self.trainable.training():
            while now.step < self.config.steps and now.waited < self.config.patience:
                figures = self._advance(now)
                if now.step % self.config.eval_every == 0 or now.step == self.config.steps:
                    best = self._look(now, best, figures)
                    if checkpoints:
                        now.figures = figures
                        self._save(checkpoints, now, best)
                report(figures)
        return self._result(now, best, resumed_from)

    def _advance(self, now: Progress) -> dict[str, float]:
        factor = schedule(now.step, self.config.steps, self.config.warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * factor
        loss = self._step(self.drawer.step(now.step))
        if not np.isfinite(loss):
            raise DetectorError(
                f"The loss of step {now.step + 1} is {loss}.",
                hint="Lower finetune.learning_rate, or set finetune.precision=bfloat16.",
            )
        now.step += 1
        now.losses.append(loss)
        rate = self.config.learning_rate * factor
        return {"step": float(now.step), "loss": loss, "learning_rate": rate}

    def _look(self, now: Progress, best: Tensors, figures: dict[str, float]) -> Tensors:
        """Measure validation and keep the best weights."""
        measured = self._measure()
        if measured is None or now.best_valid is None:
            return best
        figures["valid_loss"] = measured
        now.waited += 1
        if measured < now.best_valid:
            now.best_valid, now.best_step, now.waited = measured, now.step, 0
            return self.trainable.tensors()
        return best

    def _step(self, step: Step) -> float:
        """One update of all processes; the loss of the whole batch."""
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.objective.loss(step, backward=True)
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        self.processes.add_gradients(parameters)
        torch.nn.utils.clip_grad_norm_(parameters, self.config.gradient_clip)
        self.optimizer.step()
        return loss

    def _measure(self) -> float | None:
        """Mean loss over the validation examples; None where there are none."""
        if not self.valid.windows and not self.valid.texts:
            return None
        model = self.trainable.model
        was_training = model.training
        model.eval()
        with torch.no_grad():
            loss = self.objective.loss(self.valid)
        model.train(was_training)
        return loss

    def _save(self, checkpoints: Checkpoints, now: Progress, best: Tensors) -> None:
        if self.processes.first:
            names = self.trainable.named()
            optimizer = {
                f"{name}.{key}": value
                for name, parameter in names.items()
                for key, value in self.optimizer.state.get(parameter, {}).items()
            }
            random = {"cpu": torch.get_rng_state()}
            weights = self.trainable.tensors()
            try:
                checkpoints.save(State(now, weights, optimizer, best, random))
            except OSError as error:  # a training that can end must not fail for its safety net
                logging.getLogger(__name__).warning("No checkpoint was written: %s", error)
        self.processes.wait()

    def _restore(self, state: State) -> None:
        self.trainable.load(state.weights)
        for name, parameter in self.trainable.named().items():
            found = {
                key: state.optimizer[f"{name}.{key}"]
                for key in ("step", "exp_avg", "exp_avg_sq")
                if f"{name}.{key}" in state.optimizer
            }
            if found:
                self.optimizer.state[parameter] = {
                    key: value if key == "step" else value.to(self.device)
                    for key, value in found.items()
                }
        torch.set_rng_state(state.random["cpu"])

    def _result(self, now: Progress, best: Tensors, resumed_from: int | None) -> TuneResult:
        trainable = self.trainable
        last = trainable.tensors()
        check_trained(trainable.adapter(last), trainable.adapter(self.start))
        kept_start = now.best_valid is not None and not now.best_step
        if kept_start:
            trainable.load(self.start)
        elif best:
            trainable.load(best)
        return TuneResult(
            trainable.model,
            now.step,
            float(np.mean(now.losses[-10:])),
            now.best_valid,
            resumed_from,
            now.start_valid,
            kept_start,
            trainable=sum(p.numel() for p in trainable.named().values()),
        )


def _check_examples(data: TuneData, answer: str, left_out: int) -> None:
    needed = {"score": ("windows",), "generate": ("answers",), "both": ("windows", "answers")}
    given = {
        "windows": [*data.score, *data.old_score],
        "answers": [*data.texts, *data.old_texts],
    }
    for kind in needed[answer]:
        if not given[kind]:
            raise DetectorError(
                f"There are no labelled {kind} to fine-tune on (answer {answer!r}, {left_out} "
                "examples were too long)."
            )


def _spread(examples: Sequence[T]) -> Sequence[T]:
    """At most `VALID_EXAMPLES`, evenly over all."""
    count = min(len(examples), VALID_EXAMPLES)
    return [examples[i * len(examples) // count] for i in range(count)]


@contextlib.contextmanager
def _reproducible(threads: int, device: torch.device) -> Iterator[None]:
    """Deterministic algorithms on a CPU; GPUs lack some of those that are used here."""
    if device.type == "cpu":
        with deterministic(threads):
            yield
    else:
        yield


def _silent(figures: Mapping[str, float]) -> None:
    """Report nothing."""
