"""The three eras of ChatTS checkpoints, told apart by the shapes of their encoder's tensors.

======  ======================  =====  =========  =============  ======
era     released as             patch  positions  last patch     prefix
======  ======================  =====  =========  =============  ======
paper   14B before 2025-08      16     none       zeros          paper
0801    14B since 2025-08       8      32768      last value     v2
8b      8B (2025-11)            8      8192       last value     v2
======  ======================  =====  =========  =============  ======

The tensors decide; the section ``ts`` of ``config.json`` must agree with them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tsloop.errors import ModelFileError

__all__ = ["ENCODER_PREFIX", "ERAS", "EncoderLayout", "Era", "layout_from_config", "read_layout"]

ENCODER_PREFIX = "ts_encoder."
"""How the encoder's tensors are called in every official checkpoint."""

_LAYER = re.compile(r"mlp\.(\d+)\.weight")
_POSITIONS = "position_embedding.weight"


@dataclass(frozen=True)
class Era:
    """What the checkpoints of one time have in common; see the table of the module."""

    name: str
    patch_size: int
    """Samples per token."""
    position_dim: int
    """Width of one sample's position embedding; 0: the era has none."""
    max_samples: int | None
    """Longest series of the released checkpoint; None: no table of positions limits it."""
    tail: str
    """What fills the last patch: ``zeros`` or ``last`` (the last value, without a position)."""
    prefix: str
    """Style of the text before a series (`tsloop.chatts.native.prefixes.PREFIXES`)."""


ERAS: dict[str, Era] = {
    era.name: era
    for era in (
        Era("paper", 16, 0, None, "zeros", "paper"),
        Era("0801", 8, 16, 32768, "last", "v2"),
        Era("8b", 8, 16, 8192, "last", "v2"),
    )
}


@dataclass(frozen=True)
class EncoderLayout:
    """Everything that one encoder's shapes say."""

    era: str
    """A key of `ERAS`; only its way of filling the last patch and its prefix matter."""
    patch_size: int
    hidden_size: int
    """Width of the features and of the language model: there is no projector between them."""
    num_layers: int
    """Linear layers of the MLP."""
    position_dim: int = 0
    max_samples: int | None = None
    """Rows of the table of positions, less its last row, which is the padding's."""
    layer_norm: bool = False
    """A LayerNorm ends the MLP."""

    @property
    def tail(self) -> str:
        """``zeros`` or ``last``, see `Era.tail`."""
        return ERAS[self.era].tail

    @property
    def in_features(self) -> int:
        """Inputs of the first layer: the patch's values and their position embeddings."""
        return self.patch_size * (1 + self.position_dim)

    def patch_count(self, samples: int) -> int:
        """Tokens that a series of ``samples`` samples becomes."""
        return -(-samples // self.patch_size)

    def to_config(self) -> dict[str, Any]:
        """The section ``ts`` of ``config.json``, with the official keys."""
        section: dict[str, Any] = {
            "patch_size": self.patch_size,
            "num_features": 2,
            "hidden_size": self.hidden_size,
            "num_layers": self.num_layers,
            "max_length": self.max_samples or 2048,
        }
        if self.max_samples is not None:
            section |= {
                "max_sequence_length": self.max_samples,
                "use_position_embedding": True,
                "use_position_idx": False,
                "embedding_dim": self.position_dim,
            }
        if self.era == "8b" or self.layer_norm:
            section["use_layer_norm"] = self.layer_norm
        return section


def layout_from_config(section: Mapping[str, Any] | None) -> EncoderLayout:
    """The layout that a ``ts`` section describes, for an encoder without tensors yet."""
    if not section:
        raise ModelFileError(
            "The model's config has no section 'ts': it describes no time-series encoder.",
            hint="Build one with build_on_backbone, or load a ChatTS checkpoint.",
        )
    if section.get("use_position_idx"):
        raise ModelFileError(
            "ts.use_position_idx is true: encoders with a position index are not supported "
            "(no released checkpoint has one)."
        )
    if section.get("num_features", 2) != 2:
        raise ModelFileError(
            f"ts.num_features is {section['num_features']}; encoders take 2 (value and mask)."
        )
    try:
        positions = bool(section.get("use_position_embedding", False))
        longest = section.get("max_sequence_length", section.get("max_length"))
        return _layout(
            patch_size=int(section["patch_size"]),
            hidden_size=int(section["hidden_size"]),
            num_layers=int(section["num_layers"]),
            position_dim=int(section["embedding_dim"]) if positions else 0,
            max_samples=int(longest) if positions and longest is not None else None,
            layer_norm=bool(section.get("use_layer_norm", False)),
        )
    except KeyError as error:
        raise ModelFileError(f"The section 'ts' of the config lacks {error}.") from error


def read_layout(
    shapes: Mapping[str, Sequence[int]], section: Mapping[str, Any] | None = None
) -> EncoderLayout:
    """The layout of the tensors ``ts_encoder.*``; a ``section`` that says otherwise is an error.

    ``shapes`` maps the names of (at least) all encoder tensors to their shapes.
    """
    own = {
        name.removeprefix(ENCODER_PREFIX): tuple(shape)
        for name, shape in shapes.items()
        if name.startswith(ENCODER_PREFIX)
    }
    layout = _layout_of_shapes(own)
    if section is not None:
        _cross_check(layout, layout_from_config(section))
    return layout


def _layout_of_shapes(own: Mapping[str, tuple[int, ...]]) -> EncoderLayout:
    if "mlp.0.weight" not in own:
        raise ModelFileError(
            "The checkpoint has no tensor ts_encoder.mlp.0.weight: it is no ChatTS model.",
            hint="To add an encoder to a plain language model, use build_on_backbone.",
        )
    layers = {int(m[1]): own[name] for name in own if (m := _LAYER.fullmatch(name))}
    linear = sorted(index for index, shape in layers.items() if len(shape) == 2)
    if linear != list(range(0, 2 * len(linear), 2)):
        raise ModelFileError(
            f"The encoder's linear layers are mlp.{linear}; expected are the even places from 0 on."
        )
    norms = sorted(set(layers) - set(linear))
    if norms not in ([], [linear[-1] + 1]):
        raise ModelFileError(
            f"The encoder has vectors as weights of mlp.{norms}; one norm may end it."
        )
    hidden, inputs = layers[0]
    positions = own.get(_POSITIONS)
    if positions is not None and len(positions) != 2:
        raise ModelFileError(
            f"{ENCODER_PREFIX}{_POSITIONS} has the shape {positions}, not a table."
        )
    width = positions[1] if positions else 0
    if inputs % (1 + width):
        raise ModelFileError(
            f"ts_encoder.mlp.0 takes {inputs} inputs, which is no multiple of 1 + {width} "
            "(a value and its position embedding)."
        )
    return _layout(
        patch_size=inputs // (1 + width),
        hidden_size=hidden,
        num_layers=len(linear),
        position_dim=width,
        max_samples=positions[0] - 1 if positions else None,
        layer_norm=bool(norms),
    )


def _layout(
    *,
    patch_size: int,
    hidden_size: int,
    num_layers: int,
    position_dim: int,
    max_samples: int | None,
    layer_norm: bool,
) -> EncoderLayout:
    """The same, with the era: a table longer than the 8B's is of 0801 (the two compute alike)."""
    era = "8b" if layer_norm or (max_samples or 0) <= 8192 else "0801"
    era = "paper" if max_samples is None else era
    return EncoderLayout(
        era, patch_size, hidden_size, num_layers, position_dim, max_samples, layer_norm
    )


def _cross_check(tensors: EncoderLayout, config: EncoderLayout) -> None:
    names = {
        "patch_size": "patch_size",
        "hidden_size": "hidden_size",
        "num_layers": "num_layers",
        "position_dim": "embedding_dim",
        "max_samples": "max_sequence_length",
        "layer_norm": "use_layer_norm",
    }
    for name, key in names.items():
        found, said = getattr(tensors, name), getattr(config, name)
        if found != said:
            raise ModelFileError(
                f"The encoder's tensors say {key} = {found}, the config's section 'ts' says "
                f"{said}.",
                hint="The weights and the config.json are not of one release; get both again.",
            )
