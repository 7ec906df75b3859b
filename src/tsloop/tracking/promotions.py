"""Who is champion, and who was: ``registry/promotions.jsonl``.

The file is history: kept in git, only ever added to, and the only authority. Aliases in MLflow
follow it. A promotion runs the gate afresh on the scorecards of candidate and champion, and refuses
evidence that no longer fits the files. It keeps a copy of the model (`tsloop.tracking.promoted`)
before the line is written, so that whatever the history names can be served. A rollback takes the
last promotion back; it needs no gate, only the copy of the previous champion.
"""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tsloop.errors import AlreadyChampionError, PromotionError, TrackingError
from tsloop.files import sha256_tree
from tsloop.project import Project
from tsloop.tracking.history import (
    PROMOTE,
    ROLLBACK,
    Promotion,
    append,
    champion,
    current_champion,
    ever_champion,
    history,
    history_lock,
    standing,
)
from tsloop.tracking.promoted import (
    forget_models,
    holds,
    is_kept,
    keep_model,
    kept_models,
    promoted_model,
    scorecard_file,
)
from tsloop.tracking.published import (
    Published,
    Variant,
    find_variant,
    pick_challenger,
    read_published,
)

if TYPE_CHECKING:
    from tsloop.loop.gate import GateConfig
    from tsloop.tracking.config import TrackingConfig

__all__ = [
    "Promotion",
    "champion",
    "champion_model",
    "collect_models",
    "current_challenger",
    "current_champion",
    "default_who",
    "ever_champion",
    "history",
    "promote",
    "published_iteration",
    "reference_model",
    "rollback",
]


def champion_model(project_dir: Path) -> tuple[Promotion, Path] | None:
    """The champion and the directory to serve it from, whose content is the promoted one.

    None before the first promotion; `PromotionError` where the model is not here as promoted.
    """
    last = champion(project_dir)
    if last is None:
        return None
    return last, promoted_model(Project(project_dir), last.to, last.model_sha256)


def current_challenger(project_dir: Path) -> str | None:
    """The model that challenges the champion, as ``it002/chatts``: see `pick_challenger`."""
    published, _ = read_published(Project(project_dir))
    found = pick_challenger(published, current_champion(project_dir))
    return found.key if found else None


def promote(
    project_dir: Path,
    iteration: str,
    variant: str,
    *,
    who: str = "",
    gate: GateConfig | None = None,
    tracking: TrackingConfig | None = None,
    project_name: str = "",
    force: bool = False,
    reason: str = "",
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Promotion:
    """Make a published model the champion and return the line added to the history.

    Refuses (`PromotionError`) a model that is not published or is no longer what was published, a
    scorecard on other gold than the champion's or the project's, and (`NoWinError`) anything but a
    win at the gate. ``force`` with a ``reason`` overrules the verdict of the gate and stale gold,
    and is recorded; a model that is not what was published is refused all the same. With
    ``tracking`` MLflow is synchronised afterwards, so that the aliases follow at once. Promoting
    the champion again is refused (`AlreadyChampionError`), unless its copy is missing: that is
    made, and the line of then returned.
    """
    if force and not reason.strip():
        raise PromotionError(
            "A forced promotion needs a reason.", hint="Add one: --force --reason 'why'"
        )
    project = Project(project_dir)
    with history_lock(project):
        published, problems = read_published(project)
        key = f"{iteration}/{variant}"
        candidate = _candidate(published, problems, key)
        source = _checked_model(project, candidate)
        last = champion(project_dir)
        if last and (last.to, last.model_sha256) == (key, candidate.model_sha256):
            if is_kept(project, last.model_sha256):
                raise AlreadyChampionError(f"{key} is the champion already.")
            keep_model(project, last.model_sha256, source)
            return last
        from tsloop.tracking.evidence import gate_evidence, keep_candidate_scorecard

        evidence = gate_evidence(project, published, candidate, last, gate=gate, force=force)
        keep_model(project, candidate.model_sha256, source)
        keep_candidate_scorecard(project, candidate)
        entry = Promotion(
            time=_stamp(now()),
            who=who or default_who(),
            action=PROMOTE,
            from_=last.to if last else None,
            to=key,
            evidence={**evidence, "model_sha256": candidate.model_sha256, "forced": force},
            reason=reason.strip(),
        )
        append(project, entry)
    _follow(project, entry, tracking, project_name)
    return entry


def _candidate(published: Sequence[Published], problems: Sequence[str], key: str) -> Variant:
    """The published model of that key; `PromotionError` names what there is instead."""
    candidate = find_variant(published, key)
    if candidate is None:
        names = [v.key for item in published for v in item.variants]
        raise PromotionError(
            f"{key} is not published; published are {names or 'none'}."
            + (f" Broken: {' '.join(problems)}" if problems else ""),
            hint="Run `dvc repro` first.",
        )
    return candidate


def rollback(
    project_dir: Path,
    *,
    who: str = "",
    tracking: TrackingConfig | None = None,
    project_name: str = "",
    reason: str = "",
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Promotion:
    """Make the champion before the present one the champion again.

    Rolling back twice goes back two promotions. Refused where there is no earlier champion, or
    where its model is not here as it was promoted then. ``tracking`` as in `promote`.
    """
    project = Project(project_dir)
    with history_lock(project):
        champions = standing(history(project_dir))
        if len(champions) < 2:
            raise PromotionError(
                "There is no earlier champion to go back to"
                + (f"; {champions[-1].to} is the first one." if champions else "."),
            )
        present, earlier = champions[-1], champions[-2]
        _keep_again(project, earlier)
        promoted_model(project, earlier.to, earlier.model_sha256)
        entry = Promotion(
            time=_stamp(now()),
            who=who or default_who(),
            action=ROLLBACK,
            from_=present.to,
            to=earlier.to,
            evidence=dict(earlier.evidence),
            reason=reason.strip(),
        )
        append(project, entry)
    _follow(project, entry, tracking, project_name)
    return entry


def reference_model(project: Project) -> dict[str, Any] | None:
    """What the report of an open iteration compares with: the champion, None where there is none.

    ``model`` is its name, ``scorecard`` the file kept when it was promoted (empty where none was),
    ``published`` whether its iteration still publishes the promoted content.
    """
    last = champion(project.root)
    if last is None:
        return None
    path = scorecard_file(project, last.model_sha256, str(last.evidence.get("gold_sha256", "")))
    published, _ = read_published(project)
    variant = find_variant(published, last.to)
    return {
        "model": last.to,
        "scorecard": project.relative(path) if path.is_file() else "",
        "published": variant is not None and variant.model_sha256 == last.model_sha256,
    }


def published_iteration(project_dir: Path, iteration: str) -> Published:
    """What a published iteration is; its ``primary`` is the model that it stands for."""
    published, problems = read_published(Project(project_dir))
    found = next((item for item in published if item.iteration == iteration), None)
    if found is None:
        broken = f" Broken: {' '.join(problems)}" if problems else ""
        raise PromotionError(f"{iteration} is not published.{broken}", hint="Run: dvc repro")
    return found


def collect_models(project_dir: Path, keep: int, *, dry_run: bool = False) -> list[Path]:
    """Delete copies of models that were promoted long ago; returns their directories.

    The champion's, the one that a rollback returns to, the challenger's and the ``keep`` latest
    promoted ones stay.
    """
    project = Project(project_dir)
    with history_lock(project):
        entries = history(project_dir)
        latest = list(dict.fromkeys(entry.model_sha256 for entry in reversed(entries)))
        needed = {entry.model_sha256 for entry in standing(entries)[-2:]} | set(latest[:keep])
        published, _ = read_published(project)
        holder = entries[-1].to if entries else None
        rival = pick_challenger(published, holder)
        if rival is not None:
            needed.add(rival.model_sha256)
            needed |= {entry.model_sha256 for entry in entries if entry.to == rival.key}
        needed |= {entry.model_sha256 for entry in entries if entry.to == holder}
        names = {project.promoted(sha256).name for sha256 in needed}
        doomed = [name for name in kept_models(project) if name not in names]
        if not dry_run:
            forget_models(project, doomed)
    return [project.promoted(name) for name in doomed]


def default_who() -> str:
    """The user of this machine; ``TSLOOP_USER`` overrides it."""
    try:
        return os.environ.get("TSLOOP_USER") or getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def _checked_model(project: Project, candidate: Variant) -> Path:
    """A directory that holds what the candidate published: its stage output, or an earlier copy."""
    directory, copy = project.root / candidate.model_dir, project.promoted(candidate.model_sha256)
    if holds(directory, candidate.model_sha256):
        return directory
    if holds(copy, candidate.model_sha256):
        return copy
    if not directory.is_dir():
        raise PromotionError(
            f"The model of {candidate.key} is not here ({candidate.model_dir}).",
            hint=f"Bring it: dvc pull {candidate.model_dir}",
        )
    raise PromotionError(
        f"The model in {candidate.model_dir} is not the one that {candidate.key} published: its "
        f"hash is {sha256_tree(directory)[:12]}…, published was {candidate.model_sha256[:12]}….",
        hint="Bring the published one back with `dvc checkout`, or publish again: dvc repro",
    )


def _keep_again(project: Project, entry: Promotion) -> None:
    """Keep a model that was promoted without a copy, where its stage output is still the same."""
    iteration, _, name = entry.to.partition("/")
    directory = project.model(iteration, name)
    if not is_kept(project, entry.model_sha256) and holds(directory, entry.model_sha256):
        keep_model(project, entry.model_sha256, directory)


def _follow(
    project: Project, entry: Promotion, tracking: TrackingConfig | None, project_name: str
) -> None:
    """Let MLflow's aliases follow; the history stands whatever becomes of that."""
    if tracking is None or not tracking.enabled:
        return
    from tsloop.tracking.sync import sync

    try:
        sync(project.root, tracking, project_name=project_name)
    except TrackingError as error:
        raise TrackingError(
            f"{entry.to} is the champion (registry/promotions.jsonl says so), but MLflow does not "
            f"know it yet: {error.message}",
            hint="Repeat later: tsloop tracking sync",
        ) from error


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
