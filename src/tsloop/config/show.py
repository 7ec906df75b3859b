"""What can be chosen, and what is chosen now, as text."""

from __future__ import annotations

from tsloop.config.overrides import read_overrides
from tsloop.project import Project

__all__ = ["describe_choices"]


def describe_choices(project: Project) -> str:
    """One line per group with its choices, then the choices and values that the project stored."""
    lines = ["Groups (tsloop configure GROUP=CHOICE):"]
    for directory in sorted(p for p in project.conf.iterdir() if p.is_dir()):
        if directory.name in ("project", "local", "hydra"):
            continue
        choices = ", ".join(sorted(p.stem for p in directory.glob("*.yaml")))
        lines.append(f"  {directory.name:<10} {choices}")
    stored = read_overrides(project.conf / "project" / "overrides.yaml")
    chosen = {**stored.choices, **stored.additions}
    lines.append("Chosen by this project:")
    lines += [f"  {key}={value or 'null'}" for key, value in sorted(chosen.items())]
    lines += [f"  {line}" for line in _values(stored.values)]
    if not chosen and not stored.values:
        lines.append("  (the defaults)")
    return "\n".join(lines)


def _values(tree: object, prefix: str = "") -> list[str]:
    if not isinstance(tree, dict):
        return [f"{prefix}={tree}"]
    lines = []
    for key, value in tree.items():
        lines += _values(value, f"{prefix}.{key}" if prefix else key)
    return lines
