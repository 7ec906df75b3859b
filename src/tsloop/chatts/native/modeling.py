"""A causal language model with a time-series encoder: generate, score, and states per series.

The processor has put one ``<ts>`` id per patch into ``input_ids``; the encoder's features take the
place of their embeddings. Lengths, masks, positions and labels stay as they are, so caches, beams,
collators and PEFT see an ordinary language model. Series are laid out batch-first, (B, Smax, L)
with lengths (B, Smax), which survives the row copies of beam search; the official flat layout is
accepted and regrouped.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    LlamaForCausalLM,
    Qwen2ForCausalLM,
    Qwen3ForCausalLM,
)
from transformers import initialization as careful_init

from tsloop.chatts.native.configuration import LlamaTSConfig, Qwen2TSConfig, Qwen3TSConfig
from tsloop.chatts.native.encoder import TimeSeriesEncoder, from_official, group_rows, xavier
from tsloop.chatts.native.eras import layout_from_config
from tsloop.chatts.native.heads import ScoreHead, ScoreOutput, SeriesStates
from tsloop.chatts.native.scatter import bidirectional_mask, check_counts, grid, series_ids
from tsloop.errors import DetectorError, ModelFileError, NotFittedError

__all__ = [
    "MODEL_CLASSES",
    "LlamaTSForCausalLM",
    "Qwen2TSForCausalLM",
    "Qwen3TSForCausalLM",
    "ScoreOutput",
    "SeriesStates",
    "TimeSeriesMixin",
]


@dataclass(frozen=True, eq=False)
class _Merged:
    """Embeddings (B, T, H) with the features (sum of patches, H) laid in."""

    embeds: torch.Tensor
    features: torch.Tensor
    counts: torch.Tensor
    lengths: torch.Tensor


class TimeSeriesMixin:
    """Put in front of a ``…ForCausalLM`` class; its config has a section ``ts``."""

    _keep_in_fp32_modules_strict = ("ts_encoder", "score_head")

    config: Any
    ts_encoder: TimeSeriesEncoder
    score_head: ScoreHead | None

    def __init__(self, config: Any) -> None:
        super().__init__(config)  # type: ignore[call-arg]
        self.ts_layout = layout_from_config(config.ts)
        if self.ts_layout.hidden_size != config.hidden_size:
            raise ModelFileError(
                f"ts.hidden_size is {self.ts_layout.hidden_size}, but the language model's "
                f"hidden_size is {config.hidden_size}; they must be equal."
            )
        self.ts_encoder = TimeSeriesEncoder(self.ts_layout)
        self.score_head = None
        if config.score_head is not None:
            self._make_score_head()
        cast("Any", self).post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """As the backbone does; Xavier for an encoder that no checkpoint filled.

        Transformers asks for every module that has weights itself, and for no other.
        """
        super()._init_weights(module)  # type: ignore[misc]
        encoder, head = getattr(self, "ts_encoder", None), getattr(self, "score_head", None)
        if encoder is not None and any(module is part for part in encoder.modules()):
            xavier(module, careful_init)
        elif head is not None and module is head.rows:
            careful_init.constant_(module.bias, -3.0)

    def _make_score_head(self) -> None:
        head = self.config.score_head
        self.score_head = ScoreHead(
            self.config.hidden_size, self.ts_layout.patch_size, len(head["labels"]), head["width"]
        )

    @property
    def score_labels(self) -> tuple[str, ...]:
        """Names of the last axis of the label logits; empty without a score head."""
        return tuple((self.config.score_head or {}).get("labels", ()))

    def add_score_head(
        self,
        labels: Sequence[str],
        *,
        width: int = 256,
        bidirectional: bool = False,
        seed: int | None = None,
    ) -> ScoreHead:
        """Give the model a fresh score head (or another in its place), saved with the model.

        ``bidirectional`` is the default of `score`: attention in both directions among the tokens
        of a series. With a ``seed`` the weights are always the same, as a training needs that shall
        be repeated or resumed; global randomness is then left alone.
        """
        if not labels or len(set(labels)) != len(labels):
            raise DetectorError(f"Score labels are {list(labels)}; give at least one, each once.")
        self.config.score_head = {
            "labels": list(labels),
            "width": width,
            "bidirectional": bidirectional,
        }
        with contextlib.ExitStack() as stack:
            if seed is not None:
                stack.enter_context(torch.random.fork_rng(devices=[]))
                torch.manual_seed(seed)
            self._make_score_head()
            head = cast("ScoreHead", self.score_head)
            for module in head.modules():
                self._init_weights(module)
        return head.to(next(self.ts_encoder.parameters()).device)

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        past_key_values: Any = None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | torch.Tensor = 0,
        timeseries: torch.Tensor | None = None,
        ts_lengths: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> Any:
        """The backbone's forward with series.

        ``timeseries`` (B, Smax, L) with ``ts_lengths`` (B, Smax), or alone in the official flat
        layout (S, 2L, 1). ``labels`` at ``<ts>`` positions are ignored. `DetectorError` where
        patches and ``<ts>`` ids of a row differ in number.
        """
        if timeseries is not None and (input_ids is None or inputs_embeds is not None):
            raise DetectorError("A time series needs input_ids alone: they say where it stands.")
        if input_ids is not None and labels is not None:
            labels = labels.masked_fill(self._is_ts(input_ids), -100)
        if input_ids is not None and timeseries is not None:
            inputs_embeds = self._merge(input_ids, timeseries, ts_lengths).embeds
            input_ids = None
        elif input_ids is not None and _is_start(past_key_values):
            self._refuse_orphans(input_ids)
        return super().forward(  # type: ignore[misc]
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            labels=labels,
            use_cache=use_cache,
            logits_to_keep=logits_to_keep,
            **kwargs,
        )

    def prepare_inputs_for_generation(
        self,
        input_ids: torch.Tensor,
        timeseries: torch.Tensor | None = None,
        ts_lengths: torch.Tensor | None = None,
        is_first_iteration: bool | None = False,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """The series go along with the first step, and with every step that has no cache."""
        inputs: dict[str, Any] = super().prepare_inputs_for_generation(  # type: ignore[misc]
            input_ids, is_first_iteration=is_first_iteration, **kwargs
        )
        whole = is_first_iteration or not kwargs.get("use_cache", True)
        continued = not _is_start(kwargs.get("past_key_values"))
        if whole and continued and not bool(self._is_ts(inputs["input_ids"]).any()):
            whole = False  # a conversation goes on; its series are in the cache
        if timeseries is not None and whole:
            inputs |= {"timeseries": timeseries, "ts_lengths": ts_lengths}
        return inputs

    def generate(self, *args: Any, **kwargs: Any) -> Any:
        """As usual; ``<ts>`` and ``<ts/>`` are never generated."""
        config = kwargs.get("generation_config") or cast("Any", self).generation_config
        given = kwargs.pop("suppress_tokens", None) or config.suppress_tokens or []
        own = [self.config.ts_token_start_index, self.config.ts_token_end_index]
        tokens = sorted({*given, *(token for token in own if token is not None)})
        return super().generate(*args, suppress_tokens=tokens, **kwargs)  # type: ignore[misc]

    def _expand_inputs_for_generation(
        self, expand_size: int = 1, input_ids: torch.Tensor | None = None, **kwargs: Any
    ) -> Any:
        """Flat series would be copied in the wrong order: they are grouped by row before."""
        flat = kwargs.get("timeseries")
        if expand_size > 1 and flat is not None and kwargs.get("ts_lengths") is None:
            kwargs["timeseries"], kwargs["ts_lengths"] = self._grouped(
                cast("torch.Tensor", input_ids), flat, None
            )
        return super()._expand_inputs_for_generation(  # type: ignore[misc]
            expand_size=expand_size, input_ids=input_ids, **kwargs
        )

    def ts_states(
        self,
        input_ids: torch.Tensor,
        timeseries: torch.Tensor,
        ts_lengths: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        *,
        bidirectional: bool = False,
    ) -> SeriesStates:
        """Hidden states at the ``<ts>`` positions, by series.

        Text after the last series of a batch cannot reach them and is not computed.
        ``bidirectional`` lets the tokens of one series attend to each other in both directions;
        everything else stays causal.
        """
        merged = self._merge(input_ids, timeseries, ts_lengths)
        is_ts = self._is_ts(input_ids)
        used = int(is_ts.any(dim=0).nonzero().max()) + 1 if bool(is_ts.any()) else 1
        is_ts, embeds = is_ts[:, :used], merged.embeds[:, :used]
        seen = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        seen = seen[:, :used]
        mask = seen
        if bidirectional:
            if self.config._attn_implementation not in ("sdpa", "eager"):
                raise DetectorError(
                    "Attention in both directions needs attn_implementation 'sdpa' or 'eager', "
                    f"not {self.config._attn_implementation!r}."
                )
            mask = bidirectional_mask(series_ids(is_ts, merged.counts), seen, embeds.dtype)
        hidden = cast("Any", self).model(
            inputs_embeds=embeds,
            attention_mask=mask,
            position_ids=(seen.long().cumsum(dim=-1) - 1).clamp_min(0),
            use_cache=False,
        )
        there = grid(merged.counts)
        states = hidden.last_hidden_state
        return SeriesStates(
            states=_on_grid(states[is_ts], there),
            features=_on_grid(merged.features, there),
            mask=there,
        )

    def score(
        self,
        input_ids: torch.Tensor,
        timeseries: torch.Tensor,
        ts_lengths: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        *,
        bidirectional: bool | None = None,
    ) -> ScoreOutput:
        """Logits per sample and per label in one forward pass, with the weights of `generate`.

        ``bidirectional`` overrides what `add_score_head` set. `NotFittedError` without a head.
        """
        if self.score_head is None:
            raise NotFittedError(
                "The model has no score head.", hint="Call add_score_head and train it first."
            )
        if bidirectional is None:
            bidirectional = bool(self.config.score_head.get("bidirectional", False))
        timeseries, lengths = self._grouped(input_ids, timeseries, ts_lengths)
        found = self.ts_states(
            input_ids, timeseries, lengths, attention_mask, bidirectional=bidirectional
        )
        rows, label_logits = self.score_head(found.states, found.features)
        longest = int(lengths.max())
        row_mask = torch.arange(longest, device=lengths.device) < lengths.unsqueeze(-1)
        return ScoreOutput(rows[..., :longest], row_mask, label_logits, found.mask)

    def _is_ts(self, input_ids: torch.Tensor) -> torch.Tensor:
        return input_ids.eq(int(self.config.ts_token_start_index))

    def _refuse_orphans(self, input_ids: torch.Tensor) -> None:
        """`DetectorError` where a prompt has ``<ts>`` tokens and no series."""
        if orphans := int(self._is_ts(input_ids).sum()):
            raise DetectorError(
                f"input_ids hold {orphans} <ts> tokens, but no time series was given."
            )

    def _grouped(
        self, input_ids: torch.Tensor, timeseries: torch.Tensor, lengths: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Batch-first values and lengths, whichever layout was given."""
        if lengths is not None:
            return timeseries, lengths
        values, flat = from_official(timeseries)
        tokens = self._is_ts(input_ids).sum(dim=-1)
        return group_rows(values, flat, self.ts_layout.patch_size, tokens)

    def _merge(
        self, input_ids: torch.Tensor, timeseries: torch.Tensor, lengths: torch.Tensor | None
    ) -> _Merged:
        values, lengths = self._grouped(input_ids, timeseries, lengths)
        features, counts = self.ts_encoder(values, lengths)
        is_ts = self._is_ts(input_ids)
        check_counts(is_ts, counts)
        embeds = cast("Any", self).get_input_embeddings()(input_ids)
        laid = embeds.masked_scatter(is_ts.unsqueeze(-1), features.to(embeds))
        return _Merged(laid, features, counts, lengths)


def _is_start(cache: Any) -> bool:
    return cache is None or cache.get_seq_length() == 0


def _on_grid(rows: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
    """(sum of patches, H) -> (B, S, Pmax, H), zeros where there is no patch."""
    out = rows.new_zeros(*there.shape, rows.shape[-1])
    return out.masked_scatter(there.unsqueeze(-1), rows)


class Qwen3TSForCausalLM(TimeSeriesMixin, Qwen3ForCausalLM):  # type: ignore[misc]
    """ChatTS-8B (model type ``qwen3ts``)."""

    config_class = Qwen3TSConfig


class Qwen2TSForCausalLM(TimeSeriesMixin, Qwen2ForCausalLM):  # type: ignore[misc]
    """ChatTS-14B (model type ``chatts``)."""

    config_class = Qwen2TSConfig


class LlamaTSForCausalLM(TimeSeriesMixin, LlamaForCausalLM):  # type: ignore[misc]
    """A Llama with an encoder of our own (model type ``llamats``)."""

    config_class = LlamaTSConfig


MODEL_CLASSES: dict[str, Any] = {
    model.config_class.model_type: model
    for model in (Qwen3TSForCausalLM, Qwen2TSForCausalLM, LlamaTSForCausalLM)
}
"""Model class by the ``model_type`` of a config."""

for _type, _class in MODEL_CLASSES.items():
    AutoConfig.register(_type, _class.config_class, exist_ok=True)
    AutoModelForCausalLM.register(_class.config_class, _class, exist_ok=True)
