"""What a sync tells its caller."""

from __future__ import annotations

from dataclasses import dataclass, field

from tsloop.names import counted

__all__ = ["SyncReport"]


@dataclass
class SyncReport:
    """What a sync found and did. ``problems`` are sentences for the user."""

    uri: str = ""
    experiment: str = ""
    enabled: bool = True
    iterations: int = 0
    jobs: int = 0
    runs_created: int = 0
    runs_updated: int = 0
    runs_superseded: int = 0
    runs_killed: int = 0
    versions_created: int = 0
    aliases_moved: int = 0
    aliases: dict[str, str] = field(default_factory=dict)
    """Alias → ``it001/chatts``."""
    absent_models: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def changed(self) -> bool:
        """Whether anything was written."""
        return bool(
            self.runs_created
            or self.runs_updated
            or self.runs_superseded
            or self.runs_killed
            or self.versions_created
            or self.aliases_moved
        )

    def __str__(self) -> str:
        if not self.enabled:
            return "MLflow is switched off (tracking.enabled=false)."
        counts = {
            "new runs": self.runs_created,
            "updated": self.runs_updated,
            "superseded": self.runs_superseded,
            "ended as killed": self.runs_killed,
            "new model versions": self.versions_created,
        }
        done = ", ".join(f"{n} {what}" for what, n in counts.items() if n) or "nothing to do"
        held = f"{counted(self.iterations, 'iteration')}, {counted(self.jobs, 'sweep job')}"
        lines = [f"MLflow {self.experiment}: {held}; {done}"]
        lines += [f"  {alias} = {model}" for alias, model in sorted(self.aliases.items())]
        if self.absent_models:
            lines.append(
                f"  {len(self.absent_models)} models are not on this machine and were not "
                f"registered (first: {self.absent_models[0]}). Bring them with: dvc pull"
            )
        return "\n".join([*lines, *(f"  Attention: {text}" for text in self.problems)])
