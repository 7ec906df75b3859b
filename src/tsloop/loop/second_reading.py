"""Two journals of the same series, as readings to compare."""

from __future__ import annotations

from pathlib import Path

from tsloop.annotations.checks.config import ChecksConfig
from tsloop.annotations.checks.second import first_judgements, paired_readings
from tsloop.annotations.journal import read_journal
from tsloop.config.params import read_params
from tsloop.config.schema import section
from tsloop.errors import AnnotationError
from tsloop.evaluation.agreement import Reading
from tsloop.loop.label_check import check_is_iteration, journal_of
from tsloop.project import Project
from tsloop.series.store import SeriesStore

__all__ = ["readings_of"]


def readings_of(
    project: Project, first: Path, second: Path | None
) -> tuple[ChecksConfig, list[Reading]]:
    """The project's settings, and the series that both journals hold.

    ``first`` may name an iteration; its second journal is ``data/labels/<it>.second.jsonl`` then.
    Series of the store are tied together by their group.
    """
    config: ChecksConfig = section(read_params(project), "checks")
    one, other = _paths(project, first, second)
    groups: dict[str, str] = {}
    if (project.series / "manifest.json").exists():
        entries = SeriesStore.open(project.series).entries
        groups = {series_id: str(entry.group) for series_id, entry in entries.items()}
    records = [first_judgements(read_journal(path)) for path in (one, other)]
    readings = paired_readings(records[0], records[1], groups)
    if not readings:
        raise AnnotationError(
            f"{one} ({len(records[0])} series) and {other} ({len(records[1])}) have no series in "
            "common: there is nothing to compare.",
            hint="Let the second person label series of the first one's queue, without the labels.",
        )
    return config, readings


def _paths(project: Project, first: Path, second: Path | None) -> tuple[Path, Path]:
    if first.exists():
        if second is None:
            raise AnnotationError(
                f"{first} alone says nothing of agreement.", hint="Give a second journal as well."
            )
        return first, _existing(second)
    name = str(first)
    check_is_iteration(project, name)
    one, other = journal_of(project, name), project.second(name)
    if second is None and not other.exists():
        raise AnnotationError(
            f"Nobody has labelled {name} a second time: {project.relative(other)} does not exist.",
            hint="Let a second person label some of its series, without seeing its labels, and "
            "save the records there; or give their journal as a second argument.",
        )
    return one, other if second is None else _existing(second)


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise AnnotationError(
            f"The second journal, {path}, does not exist.", hint="Check its path."
        )
    return path
