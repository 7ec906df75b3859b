"""A model made ready for training by one method, and its trained tensors by name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from tsloop.chatts.adapter import Adapter, as_start
from tsloop.chatts.config import FinetuneConfig
from tsloop.chatts.native.lora import add_lora, lora_config
from tsloop.errors import ConfigError, DetectorError, ModelFileError, NotFittedError

__all__ = [
    "LORA_METHODS",
    "Record",
    "Tensors",
    "Trainable",
    "live_tensors",
    "record_of",
    "untuned",
    "wrap",
]

LORA_METHODS = ("lora", "qlora")
_ENCODER, _HEAD = "ts_encoder.", "score_head."

Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Record:
    """How a model was tuned; it hangs on the model and lies beside its saved tensors.

    ``encoder`` and ``head`` say whether these modules are among the tensors.
    """

    method: str
    rank: int
    alpha: float
    encoder: bool
    head: bool


def record_of(model: Any) -> Record:
    """The record of a model that `tune` or `load_tuned` returned."""
    record = getattr(model, "tuning", None)
    if not isinstance(record, Record):
        raise NotFittedError("The model was not tuned.", hint="Pass what tune returned.")
    return record


def live_tensors(model: Any, record: Record) -> Tensors:
    """The tuned tensors themselves (not copies), by the names that they are stored under."""
    if record.method in LORA_METHODS:
        from peft import get_peft_model_state_dict

        return dict(get_peft_model_state_dict(model, save_embedding_layers=False))
    tied = set(model.all_tied_weights_keys)
    return {
        name: tensor
        for name, tensor in model.state_dict().items()
        if _is_tuned(name, record) and name not in tied
    }


def _is_tuned(name: str, record: Record) -> bool:
    if name.startswith(_HEAD):
        return record.head
    if name.startswith(_ENCODER):
        return record.encoder
    return record.method == "full"


def wrap(model: Any, record: Record) -> Any:
    """The model with what its method adds, everything frozen but that."""
    if record.method in LORA_METHODS:
        settings = lora_config(
            record.rank, record.alpha, train_encoder=record.encoder, score_head=record.head
        )
        model.tuning = record
        return add_lora(model, settings)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(_is_tuned(name, record))
    model.tuning = record
    return model


def untuned(model: Any) -> Any:
    """The model that LoRA was put on, as it was before; for another training of the same base.

    What `qlora` makes float32 at its first training (embeddings, norms, output layer) stays it.
    """
    if record_of(model).method not in LORA_METHODS:
        raise DetectorError(
            f"A model tuned by {record_of(model).method!r} has lost its base weights.",
            hint="Load the checkpoint again.",
        )
    from peft.utils.other import ModulesToSaveWrapper

    base = model.get_base_model()
    originals = {
        name: module.original_module
        for name, module in base.named_modules()
        if isinstance(module, ModulesToSaveWrapper)
    }
    model.unload()
    for name, module in originals.items():
        base.set_submodule(name, module)
    del base.tuning
    if hasattr(base, "peft_config"):
        del base.peft_config
    for parameter in base.parameters():
        if parameter.is_floating_point():
            parameter.requires_grad_(True)
    return base.eval()


class Trainable:
    """See the module text; ``model`` is changed or wrapped, take it from here afterwards."""

    def __init__(
        self,
        model: Any,
        config: FinetuneConfig,
        answer: str,
        start: tuple[Adapter, Record] | None = None,
    ) -> None:
        _check_method(model, config.method, answer)
        self.config = config
        adapter, before = (as_start(start[0], config), start[1]) if start else (None, None)
        scores = answer in ("score", "both")
        trains_encoder = config.encoder_learning_rate > 0 and config.method != "head"
        self.record = Record(
            config.method,
            config.rank,
            config.alpha,
            encoder=trains_encoder or (before is not None and before.encoder),
            head=scores or (before is not None and before.head),
        )
        if config.method == "qlora":
            from peft import prepare_model_for_kbit_training

            model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
        self.model = wrap(model, self.record)
        if adapter is not None:
            self.load({**self.tensors(), **_known(adapter.tensors, self.live())})
        for name, parameter in self.model.named_parameters():
            if (_ENCODER in name and not trains_encoder) or (_HEAD in name and not scores):
                parameter.requires_grad_(False)
        self._check_groups(trains_encoder)

    def _check_groups(self, trains_encoder: bool) -> None:
        encoder, rest = self._split()
        if trains_encoder and not encoder:
            raise DetectorError(
                "No parameter of the encoder would be trained, although "
                f"finetune.encoder_learning_rate is {self.config.encoder_learning_rate}."
            )
        if not rest and not encoder:
            raise DetectorError("No parameter would be trained.")

    def named(self) -> dict[str, nn.Parameter]:
        """What is trained, in the model's order and by its names."""
        return {n: p for n, p in self.model.named_parameters() if p.requires_grad}

    def _split(self) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        """Parameters of the encoder, and the rest."""
        encoder: list[nn.Parameter] = []
        rest: list[nn.Parameter] = []
        for name, parameter in self.named().items():
            (encoder if _ENCODER in name else rest).append(parameter)
        return encoder, rest

    def groups(self) -> list[dict[str, Any]]:
        """Parameter groups with their peak learning rate under ``peak``; none is empty."""
        encoder, rest = self._split()
        groups = [
            {"params": rest, "peak": self.config.learning_rate},
            {"params": encoder, "peak": self.config.encoder_learning_rate},
        ]
        return [group for group in groups if group["params"]]

    def live(self) -> Tensors:
        """See `live_tensors`."""
        return live_tensors(self.model, self.record)

    def tensors(self) -> Tensors:
        """Copies of the tuned tensors, on the CPU."""
        return {n: t.detach().to("cpu", copy=True).contiguous() for n, t in self.live().items()}

    def adapter(self, tensors: Tensors) -> Adapter:
        """Tensors with the settings that say how to apply them."""
        return Adapter(self.record.method, self.record.rank, self.record.alpha, tensors)

    @torch.no_grad()
    def load(self, tensors: Tensors) -> None:
        """Copy tensors of `tensors` back, in place."""
        for name, tensor in self.live().items():
            tensor.copy_(tensors[name])

    @contextmanager
    def training(self) -> Iterator[None]:
        """Training mode, with gradient checkpointing where the config asks for it."""
        inner = self.model.get_base_model() if self._wrapped else self.model
        self.model.train()
        if self.config.gradient_checkpointing:
            inner.activation_checkpointing_enable({"use_reentrant": False})
        try:
            yield
        finally:
            if self.config.gradient_checkpointing:
                inner.activation_checkpointing_disable()
            self.model.eval()

    @property
    def _wrapped(self) -> bool:
        return self.record.method in LORA_METHODS


def _known(tensors: Tensors, live: Tensors) -> Tensors:
    """The parent's tensors, none of which may be unknown here or of another shape."""
    wrong = {n for n, t in tensors.items() if n not in live or live[n].shape != t.shape}
    if wrong:
        raise ModelFileError(
            f"The parent's adapter does not fit the model: {len(wrong)} tensors are unknown or of "
            f"another shape (first: {min(wrong)})."
        )
    return tensors


def _check_method(model: Any, method: str, answer: str) -> None:
    if hasattr(model, "peft_config") or hasattr(model, "tuning"):
        raise DetectorError(
            "The model is tuned already.", hint="Pass the base; untuned(model) gives it back."
        )
    nf4 = bool(getattr(model, "is_loaded_in_4bit", False))
    int8 = bool(getattr(model, "is_loaded_in_8bit", False))
    if method == "qlora" and not nf4:
        raise ConfigError(
            "finetune.method is 'qlora', but the model is not loaded in 4 bits.",
            hint="Load it with quantization='nf4', or set finetune=lora.",
        )
    if method != "qlora" and method != "head" and (nf4 or int8):
        raise ConfigError(
            f"finetune.method is {method!r}, but the model is quantised.",
            hint="Load it with quantization='nf4' and set finetune=qlora, or load it whole.",
        )
    if answer in ("score", "both") and model.score_head is None:
        raise NotFittedError("The model has no score head.", hint="Call add_score_head first.")
    if method == "head" and answer != "score":
        raise ConfigError(
            f"finetune.method is 'head', which trains the score head alone; answer {answer!r} "
            "needs the language model.",
            hint="Set finetune=lora.",
        )
    halves = {p.dtype for p in model.parameters() if p.dtype.is_floating_point} - {torch.float32}
    if method == "full" and halves:
        raise ConfigError(
            f"finetune.method is 'full', but weights are {sorted(map(str, halves))}: most steps "
            "would be lost in rounding.",
            hint="Load the model with dtype=torch.float32.",
        )
