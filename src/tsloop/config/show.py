"""What can be chosen, what is chosen now, and what a change came to, as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from tsloop.config.compose import compose
from tsloop.config.overrides import read_overrides
from tsloop.config.params import render
from tsloop.config.schema import PIPELINE_KEYS
from tsloop.errors import ConfigError
from tsloop.names import counted
from tsloop.project import Project

__all__ = ["describe_choices", "describe_keys", "summarise_changes"]

_SHORT = 12
"""So many changed values are printed one by one."""


def describe_choices(project: Project) -> str:
    """Groups with their choices, the present one in brackets; variants; what the project stored."""
    now = _now(project)
    lines = ["Groups (tsloop configure GROUP=CHOICE); what is chosen now stands in brackets:"]
    for directory in sorted(p for p in project.conf.iterdir() if p.is_dir()):
        if directory.name in ("project", "local", "hydra", "detector"):
            continue
        names = sorted(p.stem for p in directory.glob("*.yaml"))
        shown = (f"[{n}]" if n == now.get(directory.name) else n for n in names)
        lines.append(f"  {directory.name:<10} {', '.join(shown)}")
    lines.append("Variants, each of which an iteration fits:")
    variants = {key.partition("@")[2]: choice for key, choice in now.items() if "@" in key}
    lines += [f"  detector@{name}={choice}" for name, choice in sorted(variants.items())]
    known = sorted(p.stem for p in (project.conf / "detector").glob("*.yaml"))
    lines.append(f"  add one: +detector@variants.NAME=CHOICE of {', '.join(known)}")
    stored = read_overrides(project.conf / "project" / "overrides.yaml")
    chosen = {**stored.choices, **stored.additions}
    lines.append("Chosen by this project:")
    lines += [f"  {key}={value or 'null'}" for key, value in sorted(chosen.items())]
    lines += [f"  {line}" for line in _values(stored.values) if stored.values]
    if not chosen and not stored.values:
        lines.append("  (the defaults)")
    lines.append("Keys of a section with their values: tsloop configure --show finetune")
    return "\n".join(lines)


def describe_keys(project: Project, name: str) -> str:
    """One line per key of a section (``finetune``) or a variant (``variants.knn``), with its help.

    The help is the comment that stands above the key in the file under ``conf/``.
    """
    params = render(project)
    sections = [key for key in params if key not in (*PIPELINE_KEYS, "variants")]
    known = [*sections, *(f"variants.{variant}" for variant in params["variants"])]
    if name not in known:
        raise ConfigError(f"There is no section {name!r}.", hint=f"Show one of {', '.join(known)}.")
    head, _, variant = name.partition(".")
    values = params[head][variant] if variant else params[head]
    now = _now(project)
    group, choice = ("detector", now.get(f"detector@{name}")) if variant else (head, now.get(head))
    says = _comments(project.conf / group / f"{choice}.yaml")
    title = f"{name} (conf/{group}/{choice}.yaml):" if choice else f"{name} (conf/config.yaml):"
    lines = [title]
    for key, value in values.items():
        note = f"   # {says[key]}" if key in says else ""
        lines += [f"  {line}{note}" for line in _values({name: {key: value}})]
    return "\n".join(lines)


def summarise_changes(changed: Sequence[str]) -> list[str]:
    """A few changes as they are; many by section, for most follow from the others."""
    if len(changed) <= _SHORT:
        return list(changed)
    sections = Counter(line.partition(":")[0].partition(".")[0] for line in changed)
    lines: list[str] = []
    for section, number in sections.items():
        if section in PIPELINE_KEYS or number > _SHORT:
            follows = ", which follow" if section in PIPELINE_KEYS else ""
            lines.append(f"{section}: {counted(number, 'value')}{follows}")
        else:
            lines += [line for line in changed if line.startswith((f"{section}.", f"{section}:"))]
    return [*lines, "(every value: --verbose)"]


def _now(project: Project) -> Mapping[str, str]:
    """Group, or ``group@package`` → the choice."""
    choices = compose(project.conf, with_hydra=True).hydra.runtime.choices
    return {
        str(group): str(choice)
        for group, choice in choices.items()
        if not str(group).startswith(("hydra", "project/"))
    }


def _comments(path: Path) -> dict[str, str]:
    """Top-level key → the comment above it."""
    found: dict[str, str] = {}
    held: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines()[1:] if path.exists() else ():
        if line.startswith("#"):
            held.append(line.lstrip("# ").rstrip())
            continue
        if ":" in line and not line.startswith((" ", "-")):
            found[line.partition(":")[0]] = " ".join(held)
        held = []
    return {key: text for key, text in found.items() if text}


def _values(tree: object, prefix: str = "") -> list[str]:
    if not isinstance(tree, dict) or not tree:
        return [f"{prefix}={tree}"]
    lines = []
    for key, value in tree.items():
        lines += _values(value, f"{prefix}.{key}" if prefix else key)
    return lines
