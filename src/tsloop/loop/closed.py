"""Closed journals: what is published and built upon keeps the labels that it was made with.

A correction of an old label is a new record in an open journal. An edited old journal would rerun
the published past instead, so `tsloop configure` and the dataset stage refuse it.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from tsloop.config.pipeline import IterationSpec
from tsloop.errors import AnnotationError, TsloopError
from tsloop.files import read_json, sha256_file
from tsloop.project import Project

__all__ = ["check_closed_journal", "check_closed_journals"]


def check_closed_journals(
    project: Project, iterations: Mapping[str, IterationSpec], before: Mapping[str, IterationSpec]
) -> None:
    """`check_closed_journal` for all iterations; ``before`` are those that ``params.yaml`` has.

    An iteration that is about to get its first child is not closed yet, and is told so.
    """
    for name in iterations:
        first = not _children(before, name)
        check_closed_journal(project, name, iterations, about_to_close=first)


def check_closed_journal(
    project: Project,
    name: str,
    iterations: Mapping[str, IterationSpec],
    *,
    about_to_close: bool = False,
) -> None:
    """Raise `AnnotationError` where a published iteration with children has another journal now.

    Of an archived iteration the journal may be missing, for nothing reads it any more.
    """
    children = _children(iterations, name)
    recorded = _recorded(project, name) if children else None
    if recorded is None:
        return
    where, digest = recorded
    path = project.root / where
    if path.exists() and sha256_file(path) == digest:
        return
    if not path.exists() and iterations[name].archived:
        return
    what = f"{where} was {'changed' if path.exists() else 'removed'} after {name} was published"
    if about_to_close:
        raise AnnotationError(
            f"{what}, and {', '.join(children)} would build on what it was before.",
            hint=f"Run `dvc repro` first: it publishes {name} with the labels of now.",
        )
    raise AnnotationError(
        f"{what}, but it is the parent of {', '.join(children)}, and so keeps its labels.",
        hint=f"Restore the file (`git log -p -- {where}` shows how it was), put the correction "
        f"with a higher revision into an open journal ({_open(iterations)}), and run `dvc repro`.",
    )


def _children(iterations: Mapping[str, IterationSpec], name: str) -> list[str]:
    return [child for child, spec in iterations.items() if spec.parent == name]


def _recorded(project: Project, name: str) -> tuple[str, str] | None:
    """Path and hash of the human journal that an iteration was published with."""
    with suppress(TsloopError, KeyError, TypeError):  # not published, or by an older tsloop
        journal = read_json(project.registry(name))["journal"]
        if journal["path"] == project.relative(project.labels(name)):
            return str(journal["path"]), str(journal["sha256"])
    return None


def _open(iterations: Mapping[str, IterationSpec]) -> str:
    leaves = [n for n, s in iterations.items() if not s.archived and not _children(iterations, n)]
    return f"data/labels/{leaves[-1]}.jsonl" if leaves else "tsloop iteration create"
