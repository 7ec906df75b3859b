"""Fold models that are handed on from fit to fit, as the served model is.

A threshold that suits models which start anew is too high or too low for one that has been trained
through many iterations. So each fold model goes on from the parent's model of the same fold, and a
group never changes its fold: what a fold model says of its group comes from as long a training as
the served model had, and none of it ever saw that group.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tsloop.chatts.adapter import Adapter, load_adapter, save_adapter
from tsloop.chatts.bases import Base
from tsloop.errors import ModelFileError
from tsloop.files import read_json, write_json

__all__ = ["FoldChain", "load_chain", "save_chain"]

FOLDS = "folds.json"


@dataclass(frozen=True, eq=False)
class FoldChain:
    """The fold of every group that any fit has seen, and each fold's adapter.

    ``group_of`` is the group of every series. A fold without an adapter starts from the base.
    """

    fold_of: Mapping[str, int] = field(default_factory=dict)
    group_of: Mapping[str, str] = field(default_factory=dict)
    adapters: Mapping[int, Adapter] = field(default_factory=dict)

    def knows_otherwise(self, group_of: Mapping[str, str]) -> bool:
        """Whether a series has changed its group: then a fold model may have learned from it."""
        return any(self.group_of.get(name, group) != group for name, group in group_of.items())


def save_chain(directory: Path, chain: FoldChain, base: Base) -> None:
    """Write ``folds.json`` and one adapter directory per fold into an existing directory."""
    write_json(directory / FOLDS, _sorted(chain))
    for fold, adapter in sorted(chain.adapters.items()):
        (directory / str(fold)).mkdir()
        save_adapter(directory / str(fold), adapter, base)


def _sorted(chain: FoldChain) -> dict[str, Any]:
    found = {"fold_of": chain.fold_of, "group_of": chain.group_of}
    return {key: dict(sorted(value.items())) for key, value in found.items()}


def load_chain(directory: Path, base: Base) -> FoldChain:
    """Read what `save_chain` wrote, by the rules of `tsloop.chatts.adapter.load_adapter`.

    A model without the directory (fitted on one group, or by an older version) has no chain.
    """
    if not directory.is_dir():
        return FoldChain()
    data = read_json(directory / FOLDS)
    fold_of, group_of = data["fold_of"], data["group_of"]
    if not all(isinstance(fold, int) and fold >= 0 for fold in fold_of.values()):
        raise ModelFileError(f"{directory / FOLDS} names folds that are no numbers.")
    adapters = {
        int(part.name): load_adapter(part, base)
        for part in sorted(directory.iterdir())
        if part.is_dir() and part.name.isdigit()
    }
    return FoldChain(fold_of, group_of, adapters)
