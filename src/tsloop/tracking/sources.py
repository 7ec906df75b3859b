"""The small files that an iteration's runs are made from, and how to tell whether they changed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from tsloop.files import dump_json, sha256_file
from tsloop.project import Project
from tsloop.tracking.published import Published
from tsloop.tracking.specs import MAX_TAG_CHARS, content_key

__all__ = ["Sources", "iteration_sources"]


@dataclass(frozen=True, slots=True)
class Sources:
    """The files that an iteration's runs are made from: path in the project → SHA-256.

    Weights are not among them: the registry file names their hashes already. A file may be missing
    (not pulled yet), which does not make a run wrong; a file that differs does.
    """

    entry: str
    files: Mapping[str, str]

    @property
    def key(self) -> str:
        """Identity of the runs."""
        return content_key({"entry": self.entry, "files": dict(self.files)})

    def tags(self) -> dict[str, str]:
        """What a later sync compares itself with."""
        recorded = dump_json({path: sha[:16] for path, sha in self.files.items()})
        return {
            "tsloop.key": self.key,
            "tsloop.entry": self.entry,
            "tsloop.sources": recorded if len(recorded) <= MAX_TAG_CHARS else "{}",
        }

    def matches(self, tags: Mapping[str, str]) -> bool:
        """Whether a run with these tags says what these sources say (missing files forgiven)."""
        if tags.get("tsloop.key") == self.key:
            return True
        if tags.get("tsloop.entry") != self.entry:
            return False
        recorded = json.loads(tags.get("tsloop.sources") or "{}")
        return all(recorded.get(path) == sha[:16] for path, sha in self.files.items())


def iteration_sources(project: Project, published: Published) -> Sources:
    """Hash the small files of one iteration."""
    it = published.iteration
    paths = [path for path in project.report(it).rglob("*") if path.is_file()]
    paths += [project.root / "reports" / "metrics" / f"{it}.json"]
    paths += [project.root / "reports" / "curves" / f"{it}.csv"]
    for variant in published.variants:
        directory = project.root / variant.model_dir
        paths += [directory / "detector.json", directory / "training.jsonl"]
    found = {project.relative(path): sha256_file(path) for path in paths if path.is_file()}
    return Sources(published.sha256, dict(sorted(found.items())))
