"""The evidence of a promotion: the gate, run afresh on scorecards that fit the files.

Numbers measured on different gold are never compared, and neither is a scorecard of a model that
has changed since.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tsloop.errors import EvaluationError, NoWinError, PromotionError
from tsloop.files import read_json
from tsloop.project import Project
from tsloop.tracking.promoted import keep_scorecard, kept_scorecard
from tsloop.tracking.published import Published, Variant, find_variant

if TYPE_CHECKING:
    from tsloop.evaluation.scorecard import Scorecard
    from tsloop.loop.gate import GateConfig
    from tsloop.tracking.promotions import Promotion

__all__ = ["gate_evidence", "keep_candidate_scorecard"]

_SCHEMA = "tsloop.scorecard/1"


def gate_evidence(
    project: Project,
    published: Sequence[Published],
    candidate: Variant,
    incumbent: Promotion | None,
    *,
    gate: GateConfig | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """``gold_sha256`` and ``verdict`` of a fresh comparison with the champion.

    Anything but a win, and stale evidence, is a `PromotionError`; with ``force`` the verdict (or
    why there is none) is returned instead.
    """
    from tsloop.loop.gate import GateConfig, evaluate_gate

    gold = ""
    try:
        report = _read_scorecard(project, candidate.iteration)
        gold = str(report["gold"]["sha256"])
        _check_gold(project, published, candidate, gold)
        own = _card(report, "variants", candidate.name, candidate.iteration)
        other = _incumbent_card(project, published, report, candidate, incumbent, gold)
    except PromotionError as error:
        if not force:
            raise
        return {"gold_sha256": gold, "verdict": {"result": "stale", "text": str(error)}}
    baselines = {
        name: _card(report, "baselines", name, candidate.iteration)
        for name in report.get("baselines") or {}
    }
    try:
        verdict = evaluate_gate(own, other, gate or GateConfig(), baselines=baselines)
    except EvaluationError as error:
        if not force:
            raise PromotionError(f"The gate cannot judge {candidate.key}: {error}") from error
        return {"gold_sha256": gold, "verdict": {"result": "stale", "text": str(error)}}
    if str(verdict.result) != "win" and not force:
        against = incumbent.to if incumbent else "the trivial baselines"
        raise NoWinError(
            f"{candidate.key} does not win against {against}: {verdict.result}. {verdict.text}",
            hint="Overrule the gate with: --force --reason 'why'",
        )
    return {"gold_sha256": gold, "verdict": verdict.to_dict()}


def keep_candidate_scorecard(project: Project, candidate: Variant) -> None:
    """Keep the candidate's scorecard with its model, so that others can be compared with it.

    A forced promotion may have none.
    """
    try:
        report = _read_scorecard(project, candidate.iteration)
    except PromotionError:
        return
    card = (report.get("variants") or {}).get(candidate.name)
    if card is not None:
        keep_scorecard(project, candidate.key, candidate.model_sha256, report["gold"], card)


def _read_scorecard(project: Project, iteration: str) -> Mapping[str, Any]:
    path = project.report(iteration) / "scorecard.json"
    if not path.is_file():
        raise PromotionError(
            f"The scorecard {project.relative(path)} is not here.",
            hint=f"Bring it: dvc pull reports/{iteration}",
        )
    report = read_json(path)
    if not isinstance(report, dict) or report.get("schema") != _SCHEMA:
        raise PromotionError(
            f"{project.relative(path)} is not a scorecard (schema {_SCHEMA!r}).",
            hint="Make it again: dvc repro",
        )
    return report


def _card(report: Mapping[str, Any], kind: str, name: str, iteration: str) -> Scorecard:
    from tsloop.evaluation.scorecard import Scorecard

    cards = report.get(kind) or {}
    if name not in cards:
        raise PromotionError(
            f"The scorecard of {iteration} has no {kind[:-1]} {name!r}; it has {sorted(cards)}.",
            hint="Make it again: dvc repro",
        )
    return Scorecard.from_dict(cards[name])


def _check_gold(
    project: Project, published: Sequence[Published], candidate: Variant, gold: str
) -> None:
    """The scorecard's gold must be the one of the publication and the one that lies here now."""
    entry = next(item for item in published if item.iteration == candidate.iteration).entry
    said = str((entry.get("gold") or {}).get("sha256") or "")
    if said != gold:
        raise PromotionError(
            f"{candidate.iteration} was published on gold {said[:12]}…, but its scorecard is on "
            f"gold {gold[:12]}…: the evidence is stale.",
            hint="Publish it again: dvc repro",
        )
    present = _present_gold(project)
    if present and gold not in present.values():
        name, sha = next(iter(present.items()))
        raise PromotionError(
            f"{candidate.iteration} was scored on gold {gold[:12]}…, but {name} is {sha[:12]}… "
            "now: the evidence is stale.",
            hint="Score it again: dvc repro",
        )


def _present_gold(project: Project) -> dict[str, str]:
    from tsloop.annotations.gold import read_gold

    paths = [project.labels("gold"), project.simulated("gold")]
    return {project.relative(path): str(read_gold(path).sha256) for path in paths if path.is_file()}


def _incumbent_card(
    project: Project,
    published: Sequence[Published],
    report: Mapping[str, Any],
    candidate: Variant,
    incumbent: Promotion | None,
    gold: str,
) -> Scorecard | None:
    """The champion's scorecard on the same gold.

    It is the one scored beside its child, the one kept when it was promoted, or its iteration's.
    """
    from tsloop.evaluation.scorecard import Scorecard

    if incumbent is None:
        return None
    iteration, _, name = incumbent.to.partition("/")
    known = find_variant(published, incumbent.to)
    same = known is not None and known.model_sha256 == incumbent.model_sha256
    item = next(item for item in published if item.iteration == candidate.iteration)
    if same and item.parent == iteration and name in (report.get("parents") or {}):
        return _card(report, "parents", name, candidate.iteration)
    kept = kept_scorecard(project, incumbent.model_sha256, gold)
    if kept is not None:
        return Scorecard.from_dict(kept["scorecard"])
    if not same:
        raise PromotionError(
            f"The champion {incumbent.to} was promoted with model {incumbent.model_sha256[:12]}…, "
            f"which is not the one published now, and no scorecard of it on gold {gold[:12]}… was "
            "kept.",
            hint="Go back to an earlier champion with `tsloop rollback`, or use --force --reason.",
        )
    own = _read_scorecard(project, iteration)
    if own["gold"]["sha256"] != gold:
        raise PromotionError(
            f"The champion {incumbent.to} was scored on gold {own['gold']['sha256'][:12]}…, "
            f"{candidate.key} on {gold[:12]}…: numbers on different gold are not compared.",
            hint="Score both on the same gold (`dvc repro`), or use --force --reason.",
        )
    return _card(own, "variants", name, iteration)
