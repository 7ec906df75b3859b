"""The choices a project has made, kept in ``conf/project/overrides.yaml``.

Hydra forgets command-line overrides after a run; a project must not. `tsloop configure` stores
them as an ordinary config file, so that composing again gives the same result, whoever composes.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tsloop.config.schema import PIPELINE_KEYS, SECTIONS
from tsloop.errors import ConfigError
from tsloop.files import write_text_atomic

__all__ = ["StoredOverrides", "no_section", "read_overrides", "write_overrides"]

_HEADER = """\
# @package _global_
# Written by `tsloop configure`: what this project chose on top of conf/.
# Undo everything with `tsloop configure --reset`.
"""


@dataclass
class StoredOverrides:
    """Group choices (``source: folder``), added groups and single values."""

    choices: dict[str, str | None] = field(default_factory=dict)
    additions: dict[str, str] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)

    def apply(self, overrides: Sequence[str], conf: Path) -> None:
        """Take in overrides in Hydra's grammar: ``group=choice``, ``key=value``, ``+…``, ``~…``."""
        from hydra.core.override_parser.overrides_parser import OverridesParser
        from hydra.errors import OverrideParseException

        try:
            parsed = OverridesParser.create().parse_overrides(list(overrides))
        except OverrideParseException as error:
            raise ConfigError(
                f"Override {error.override!r} is not in Hydra's grammar: {error.message}",
                hint="Write key=value, group=choice, +new_key=value or ~group.",
            ) from error
        for override in parsed:
            if override.is_sweep_override():
                raise ConfigError(
                    f"Override {override.input_line!r} lists several values.",
                    hint="Compare them with: python -m tsloop.sweep -m " + str(override.input_line),
                )
            _refuse_hydra(override)
            if (conf / override.key_or_group).is_dir():
                before = self.choices.get("experiment")
                self._choose(override, conf)
                if override.key_or_group == "experiment":
                    for name in {before, self.choices.get("experiment")}:
                        self._give_way(conf / "experiment" / f"{name}.yaml")
            else:
                self._set_value(override)

    def _choose(self, override: Any, conf: Path) -> None:
        if override.key_or_group == "detector" and not override.package:
            raise _no_variant_named(override, conf)
        key = override.get_key_element()
        key = key.lstrip("+~")
        if override.is_delete():
            if self.additions.pop(key, None) is None:
                self.choices[key] = None
        elif override.is_add() or key in self.additions:
            self.additions[key] = str(override.value())
        else:
            self.choices[key] = None if override.value() is None else str(override.value())
        # Values set for the former choice mean nothing to the new one.
        _delete_path(self.values, (override.package or override.key_or_group).split("."))

    def _give_way(self, experiment: Path) -> None:
        """A named experiment chooses groups itself: forget what was chosen for them before."""
        data = yaml.safe_load(experiment.read_text(encoding="utf-8")) if experiment.exists() else {}
        for item in (data or {}).get("defaults", []):
            for key in item if isinstance(item, dict) else ():
                if key.startswith("override /"):
                    group = key.removeprefix("override /")
                    self.choices.pop(group, None)
                    _delete_path(self.values, group.rpartition("@")[2].split("."))

    def _set_value(self, override: Any) -> None:
        path = override.key_or_group.split(".")
        if path[0] in PIPELINE_KEYS or path == ["loop", "latest"]:
            raise ConfigError(
                f"{override.key_or_group} is written by tsloop from the rest of the configuration.",
                hint="Set what it comes from, such as finetune.rank or loop.seed.",
            )
        if override.is_delete():
            if not _delete_path(self.values, path):
                raise ConfigError(
                    f"{override.key_or_group} was not set by `tsloop configure`, "
                    "so it cannot be taken back.",
                    hint="Edit the file under conf/ instead.",
                )
            return
        value = _plain(override.value())
        if override.key_or_group in (*SECTIONS, "source", "variants") and not isinstance(
            value, dict
        ):
            raise no_section(override.key_or_group, value)
        node = self.values
        for part in path[:-1]:
            node = node.setdefault(part, {})
            if not isinstance(node, dict):
                raise ConfigError(f"{override.key_or_group}: {part} holds a single value.")
        node[path[-1]] = value


def read_overrides(path: Path) -> StoredOverrides:
    """Read the file; a missing one means that nothing was chosen."""
    if not path.exists():
        return StoredOverrides()
    data = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    stored = StoredOverrides()
    for item in data.pop("defaults", []):
        if item == "_self_":
            continue
        ((key, choice),) = item.items()
        if key.startswith("override "):
            stored.choices[key.removeprefix("override /")] = choice
        else:
            stored.additions[key.removeprefix("/")] = choice
    stored.values = data
    return stored


def write_overrides(path: Path, stored: StoredOverrides) -> None:
    """Write the file so that Hydra composes it; the order of the lists is fixed."""
    defaults: list[Any] = [{f"/{key}": stored.additions[key]} for key in sorted(stored.additions)]
    defaults.append("_self_")
    defaults += [{f"override /{key}": stored.choices[key]} for key in sorted(stored.choices)]
    text = _HEADER + yaml.safe_dump(
        {"defaults": defaults, **stored.values}, sort_keys=False, allow_unicode=True
    )
    write_text_atomic(path, text)


def _refuse_hydra(override: Any) -> None:
    if override.key_or_group.replace("/", ".").split(".")[0] == "hydra":
        raise ConfigError(
            f"{override.key_or_group} is no setting of a project.",
            hint="Give it to the sweep: python -m tsloop.sweep -m " + override.input_line,
        )


def _no_variant_named(override: Any, conf: Path) -> ConfigError:
    known = sorted(path.stem for path in (conf / "detector").glob("*.yaml"))
    wanted = str(override.value())
    close = difflib.get_close_matches(wanted, known, n=1, cutoff=0.4)
    chosen = wanted if wanted in known else close[0] if close else "knn"
    return ConfigError(
        f"{override.input_line} does not say for which variant; an iteration has several.",
        hint=f"Add a variant: tsloop configure +detector@variants.NAME={chosen}. Change one: "
        f"tsloop configure detector@variants.chatts={chosen}. Detectors are {', '.join(known)}.",
    )


def no_section(key: str, value: Any) -> ConfigError:
    """The refusal of a single value in the place of a section or a variant."""
    hint = f"Set a key below it: tsloop configure {key}.KEY=VALUE"
    if key.startswith("variants"):
        hint = "Add a variant with: tsloop configure +detector@variants.NAME=knn"
    return ConfigError(
        f"{key} holds settings, and cannot be the single value {value!r}.", hint=hint
    )


def _plain(value: Any) -> Any:
    from hydra.core.override_parser.types import QuotedString

    if isinstance(value, QuotedString):
        return value.text
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def _delete_path(tree: dict[str, Any], path: Sequence[str]) -> bool:
    """Remove a nested key and the branches it leaves empty; false where it was not there."""
    head, *rest = path
    if head not in tree:
        return False
    if rest:
        if not isinstance(tree[head], dict) or not _delete_path(tree[head], rest):
            return False
        if not tree[head]:
            del tree[head]
        return True
    del tree[head]
    return True
