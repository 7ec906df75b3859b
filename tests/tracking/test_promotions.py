"""The history of champions: what it takes to get in, and how to go back (M10)."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from tracking_project import ProjectBuilder

from tsloop.annotations.gold import read_gold
from tsloop.errors import PromotionError, TrackingError
from tsloop.evaluation.scorecard import Scorecard, score_series
from tsloop.files import read_json, sha256_tree, write_json
from tsloop.intervals import Detection, Interval
from tsloop.loop.gate import GateConfig
from tsloop.tracking import promoted, promotions
from tsloop.tracking.config import TrackingConfig
from tsloop.tracking.promoted import scorecard_file
from tsloop.tracking.promotions import (
    Promotion,
    champion_model,
    collect_models,
    current_challenger,
    current_champion,
    ever_champion,
    history,
    promote,
    rollback,
)
from tsloop.tracking.store import Store

GATE = GateConfig(n_bootstrap=200)
N_GROUPS = 12


def card(n_found: int, *, n_groups: int = N_GROUPS) -> Scorecard:
    """A scorecard on ``n_groups`` series with one event each, of which ``n_found`` are found."""
    scores = []
    for number in range(n_groups):
        truth = [Interval(10, 14, "spike")]
        found = Detection.of([Interval(11, 13, "spike")] if number < n_found else [])
        scores.append(score_series(f"s{number}", f"g{number}", truth, found, None, 100))
    return Scorecard.of(scores, n_bootstrap=0)


@pytest.fixture
def plain(tmp_path: Path) -> ProjectBuilder:
    """A project without a store."""
    return ProjectBuilder(tmp_path / "project")


def publish(
    builder: ProjectBuilder,
    name: str,
    parent: str = "base",
    *,
    found: int,
    n_groups: int = N_GROUPS,
) -> None:
    """An iteration whose ``chatts`` finds so many of the gold events."""
    builder.iteration(name, parent, {"chatts": found / n_groups})
    write_json(
        builder.project.report(name) / "scorecard.json",
        {
            "schema": "tsloop.scorecard/1",
            "gold": {"version": 1, "sha256": builder.gold_sha256},
            "variants": {"chatts": card(found, n_groups=n_groups).to_dict()},
            "parents": {},
            "baselines": {"nothing": card(0, n_groups=n_groups).to_dict()},
        },
    )


def clock() -> datetime:
    return datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


def crowned(builder: ProjectBuilder, name: str = "it001") -> Promotion:
    return promote(builder.root, name, "chatts", who="ann", gate=GATE, now=clock)


def test_before_the_first_promotion_there_is_nobody(plain: ProjectBuilder) -> None:
    assert history(plain.root) == []
    assert current_champion(plain.root) is None
    assert current_challenger(plain.root) is None
    assert ever_champion(plain.root) == set()


def test_the_first_champion_has_to_beat_the_baselines(plain: ProjectBuilder) -> None:
    publish(plain, "it001", found=8)
    assert current_challenger(plain.root) == "it001/chatts"
    entry = crowned(plain)
    (line,) = (plain.root / "registry" / "promotions.jsonl").read_text("utf-8").splitlines()
    row = json.loads(line)
    assert row == entry.to_dict()
    assert (row["time"], row["who"], row["action"]) == ("2026-03-04T05:06:07Z", "ann", "promote")
    assert (row["from"], row["to"]) == (None, "it001/chatts")
    assert row["evidence"]["gold_sha256"] == plain.gold_sha256
    assert row["evidence"]["verdict"]["result"] == "win"
    assert row["evidence"]["verdict"]["against"] == "baseline nothing"
    assert row["evidence"]["forced"] is False
    assert current_champion(plain.root) == "it001/chatts"
    assert current_challenger(plain.root) is None
    assert "it001/chatts is champion now" in str(entry)


def test_only_a_win_is_promoted(plain: ProjectBuilder) -> None:
    publish(plain, "it001", found=6)
    crowned(plain)
    publish(plain, "it002", "it001", found=7)
    publish(plain, "it003", "it001", found=1)
    publish(plain, "it004", "it001", found=12)
    with pytest.raises(PromotionError, match=r"it002/chatts does not win .*undecided.*--force"):
        crowned(plain, "it002")
    with pytest.raises(PromotionError, match=r"it003/chatts does not win .*: lose"):
        crowned(plain, "it003")
    assert crowned(plain, "it004").from_ == "it001/chatts"
    assert [entry.to for entry in history(plain.root)] == ["it001/chatts", "it004/chatts"]


def test_few_groups_never_win(plain: ProjectBuilder) -> None:
    publish(plain, "it001", found=3, n_groups=3)
    with pytest.raises(PromotionError, match="only 3 of at least 5 gold groups"):
        crowned(plain)


def test_force_needs_a_reason_and_is_recorded(plain: ProjectBuilder) -> None:
    publish(plain, "it001", found=3, n_groups=3)
    with pytest.raises(PromotionError, match="needs a reason"):
        promote(plain.root, "it001", "chatts", force=True, reason="  ")
    entry = promote(plain.root, "it001", "chatts", force=True, reason="first one", gate=GATE)
    assert (entry.evidence["forced"], entry.reason) == (True, "first one")
    assert entry.evidence["verdict"]["result"] == "undecided"
    assert entry.who


def test_the_champion_is_not_promoted_twice(plain: ProjectBuilder) -> None:
    publish(plain, "it001", found=8)
    crowned(plain)
    with pytest.raises(PromotionError, match="champion already"):
        crowned(plain)


def test_only_published_models_are_promoted(plain: ProjectBuilder) -> None:
    publish(plain, "it001", found=8)
    with pytest.raises(PromotionError, match=r"it001/knn is not published; .*'it001/chatts'"):
        promote(plain.root, "it001", "knn")
    (plain.root / "registry" / "it002.json").write_text("{", encoding="utf-8")
    with pytest.raises(PromotionError, match=r"Broken: .*it002\.json"):
        promote(plain.root, "it002", "chatts")


# --- stale evidence ----------------------------------------------------------------------------


def test_a_changed_model_is_refused_even_with_force(plain: ProjectBuilder) -> None:
    publish(plain, "it001", found=8)
    weights = plain.project.model("it001", "chatts") / "weights.txt"
    weights.write_text("other", encoding="utf-8")
    for force in (False, True):
        with pytest.raises(PromotionError, match="is not the one that it001/chatts published"):
            promote(plain.root, "it001", "chatts", force=force, reason="anyway")
    weights.parent.rename(plain.root / "elsewhere")
    with pytest.raises(PromotionError, match=r"is not here .*dvc pull models/it001/chatts"):
        crowned(plain)
    assert history(plain.root) == []


def test_a_scorecard_on_other_gold_is_refused(plain: ProjectBuilder) -> None:
    publish(plain, "it001", found=8)
    path = plain.project.report("it001") / "scorecard.json"
    write_json(path, {**read_json(path), "gold": {"version": 2, "sha256": "8" * 64}})
    with pytest.raises(PromotionError, match="was published on gold 999999999999"):
        crowned(plain)
    entry = promote(plain.root, "it001", "chatts", force=True, reason="gold was lost")
    assert entry.evidence["verdict"]["result"] == "stale"
    path.unlink()
    publish(plain, "it002", "it001", found=12)
    with pytest.raises(PromotionError, match=r"scorecard .*it001.* is not here"):
        crowned(plain, "it002")


def test_gold_that_grew_meanwhile_makes_the_evidence_stale(plain: ProjectBuilder) -> None:
    gold = plain.project.labels("gold")
    gold.parent.mkdir(parents=True)
    gold.write_text("", encoding="utf-8")
    publish(plain, "it001", found=8)
    with pytest.raises(PromotionError, match=r"data/labels/gold\.jsonl is .* now"):
        crowned(plain)
    plain.gold_sha256 = read_gold(gold).sha256
    publish(plain, "it001", found=8)
    assert crowned(plain).evidence["gold_sha256"] == read_gold(gold).sha256


def test_champion_and_candidate_on_different_gold_are_not_compared(plain: ProjectBuilder) -> None:
    publish(plain, "it001", found=4)
    crowned(plain)
    plain.gold_sha256 = "7" * 64
    publish(plain, "it002", "it001", found=12)
    with pytest.raises(PromotionError, match="numbers on different gold are not compared"):
        crowned(plain, "it002")
    path = plain.project.report("it002") / "scorecard.json"
    write_json(path, {**read_json(path), "parents": {"chatts": card(4).to_dict()}})
    assert crowned(plain, "it002").evidence["verdict"]["result"] == "win"


def test_scorecards_whose_truth_differs_are_not_compared(plain: ProjectBuilder) -> None:
    publish(plain, "it001", found=4)
    crowned(plain)
    publish(plain, "it002", "it001", found=11, n_groups=11)
    with pytest.raises(PromotionError, match="The gate cannot judge it002/chatts"):
        crowned(plain, "it002")
    entry = promote(plain.root, "it002", "chatts", force=True, reason="x", gate=GATE)
    assert entry.evidence["verdict"]["result"] == "stale"


def test_a_retrained_champion_is_compared_by_the_scorecard_that_was_kept(
    plain: ProjectBuilder,
) -> None:
    publish(plain, "it001", found=4)
    sha256 = crowned(plain).model_sha256
    kept = scorecard_file(plain.project, sha256, plain.gold_sha256)
    assert kept.name == f"{sha256[:16]}-99999999.json"
    row = read_json(kept)
    assert (row["model"], row["model_sha256"]) == ("it001/chatts", sha256)
    publish(plain, "it001", found=12)  # another scorecard, and another model below
    plain.model("it001", "chatts", "trained again")
    publish_again = plain.entry("it001", "base", {"chatts": 0.4}, 8)
    write_json(plain.project.registry("it001"), publish_again)
    publish(plain, "it002", "it001", found=12)
    kept.rename(plain.root / "elsewhere")
    with pytest.raises(PromotionError, match=r"was promoted with model .*no scorecard of it"):
        crowned(plain, "it002")
    (plain.root / "elsewhere").rename(kept)
    verdict = crowned(plain, "it002").evidence["verdict"]
    assert (verdict["result"], verdict["against"]) == ("win", "incumbent")
    assert verdict["reference"] == pytest.approx(0.5)  # 4 of 12 found, none wrong


# --- going back --------------------------------------------------------------------------------


def test_rollback_takes_promotions_back_one_by_one(plain: ProjectBuilder) -> None:
    for number, found in enumerate((3, 7, 12), start=1):
        publish(plain, f"it00{number}", f"it00{number - 1}" if number > 1 else "base", found=found)
        promote(plain.root, f"it00{number}", "chatts", force=True, reason="step", gate=GATE)
    before = (plain.root / "registry" / "promotions.jsonl").read_bytes()
    first = rollback(plain.root, who="bob", reason="false alarms", now=clock)
    assert (first.from_, first.to, first.action) == ("it003/chatts", "it002/chatts", "rollback")
    assert first.evidence["model_sha256"] == history(plain.root)[1].model_sha256
    assert rollback(plain.root).to == "it001/chatts"
    with pytest.raises(PromotionError, match="it001/chatts is the first one"):
        rollback(plain.root)
    assert current_champion(plain.root) == "it001/chatts"
    assert ever_champion(plain.root) == {"it001", "it002", "it003"}
    after = (plain.root / "registry" / "promotions.jsonl").read_bytes()
    assert after.startswith(before)  # append-only

    promote(plain.root, "it003", "chatts", force=True, reason="again", gate=GATE)
    assert rollback(plain.root).to == "it001/chatts"


def test_there_is_nothing_to_go_back_to(plain: ProjectBuilder) -> None:
    with pytest.raises(PromotionError, match="no earlier champion"):
        rollback(plain.root)


def test_rollback_needs_the_copy_of_the_earlier_model(plain: ProjectBuilder) -> None:
    for number, found in enumerate((3, 12), start=1):
        publish(plain, f"it00{number}", found=found)
        promote(plain.root, f"it00{number}", "chatts", force=True, reason="step", gate=GATE)
    shutil.rmtree(plain.root / "models")
    sha256 = history(plain.root)[0].model_sha256
    copy = plain.project.promoted(sha256)
    copy.rename(plain.root / "elsewhere")
    pull = f"dvc pull --force registry/models/{sha256[:16]}.dvc"
    with pytest.raises(PromotionError, match=pull):
        rollback(plain.root)
    assert current_champion(plain.root) == "it002/chatts"
    (plain.root / "elsewhere").rename(copy)
    assert rollback(plain.root).to == "it001/chatts"


# --- the copy that is served -------------------------------------------------------------------


def test_the_champion_is_served_from_its_copy(plain: ProjectBuilder) -> None:
    assert champion_model(plain.root) is None
    publish(plain, "it001", found=8)
    crowned(plain)
    shutil.rmtree(plain.root / "models")
    found = champion_model(plain.root)
    assert found is not None
    promotion, directory = found
    assert directory == plain.root / "registry" / "models" / promotion.model_sha256[:16]
    assert sha256_tree(directory) == promotion.model_sha256
    pointer = yaml.safe_load(directory.with_suffix(".dvc").read_text("utf-8"))
    assert [out["path"] for out in pointer["outs"]] == [directory.name]

    (directory / "weights.txt").write_text("other", encoding="utf-8")
    with pytest.raises(PromotionError, match=r"is not the model that was promoted.*dvc pull --for"):
        champion_model(plain.root)
    shutil.rmtree(directory)
    with pytest.raises(PromotionError, match="is not on this machine"):
        champion_model(plain.root)


def test_a_champion_from_before_copies_were_kept_gets_one(plain: ProjectBuilder) -> None:
    publish(plain, "it001", found=8)
    entry = crowned(plain)
    shutil.rmtree(plain.root / "registry" / "models")
    with pytest.raises(PromotionError, match=r"no copy of it was kept.*tsloop promote it001"):
        champion_model(plain.root)
    assert crowned(plain) == entry
    assert champion_model(plain.root) is not None
    assert len(history(plain.root)) == 1
    with pytest.raises(PromotionError, match="champion already"):
        crowned(plain)


@pytest.mark.parametrize("place", ["copytree", "_track", "append"])
def test_a_promotion_that_is_cut_short_is_repeated(
    plain: ProjectBuilder, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """In the copy, before DVC knows it, and before the line is written."""
    publish(plain, "it001", found=8)
    target: object = {
        "copytree": promoted.shutil,
        "_track": promoted,
        "append": promotions,
    }[place]
    with monkeypatch.context() as patch:
        patch.setattr(target, place, cut_short)
        with pytest.raises(KeyboardInterrupt):
            crowned(plain)
    assert champion_model(plain.root) is None
    crowned(plain)
    found = champion_model(plain.root)
    assert found is not None
    assert sorted(path.name for path in found[1].parent.iterdir()) == [
        found[1].name,
        f"{found[1].name}-99999999.json",
        f"{found[1].name}.dvc",
    ]


def cut_short(*arguments: object, **settings: object) -> None:
    raise KeyboardInterrupt


def test_half_a_copy_and_half_a_pointer_are_made_whole(plain: ProjectBuilder) -> None:
    """What SIGKILL may leave, as `dvc add` neither links nor writes in one step."""
    publish(plain, "it001", found=8)
    copy = plain.project.promoted(sha256_tree(plain.project.model("it001", "chatts")))
    copy.mkdir(parents=True)
    (copy / "weights.txt").write_text("it001", encoding="utf-8")
    copy.with_suffix(".dvc").write_text("outs:\n- md5", encoding="utf-8")
    leftover = copy.with_name(f".{copy.name}.tmp-99999999")
    leftover.mkdir()
    crowned(plain)
    assert champion_model(plain.root) is not None
    assert yaml.safe_load(copy.with_suffix(".dvc").read_text("utf-8"))["outs"][0]["md5"]
    assert not leftover.exists()


def test_garbage_collection_leaves_what_is_served(plain: ProjectBuilder) -> None:
    shas = []
    for number, found in enumerate((2, 4, 7, 12), start=1):
        publish(plain, f"it00{number}", found=found)
        entry = promote(plain.root, f"it00{number}", "chatts", force=True, reason="step", gate=GATE)
        shas.append(entry.model_sha256)
    rollback(plain.root)  # it003 is champion, it002 the one before, it004 the challenger
    doomed = collect_models(plain.root, 0, dry_run=True)
    assert doomed == [plain.project.promoted(shas[0])]
    assert doomed[0].is_dir()
    assert collect_models(plain.root, 4) == []
    assert collect_models(plain.root, 0) == doomed
    assert not doomed[0].exists()
    assert not doomed[0].with_suffix(".dvc").exists()
    for sha256 in shas[1:]:
        assert sha256_tree(plain.project.promoted(sha256)) == sha256
    assert rollback(plain.root).to == "it002/chatts"


# --- the file ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line", ['{"schema": "other"}', '{"schema": "tsloop.promotion/1", "action": "crown"}', "[1]"]
)
def test_a_broken_history_is_named_and_never_guessed(plain: ProjectBuilder, line: str) -> None:
    publish(plain, "it001", found=8)
    crowned(plain)
    path = plain.root / "registry" / "promotions.jsonl"
    with path.open("a", encoding="utf-8") as stream:
        stream.write(line + "\n")
    with pytest.raises(Exception, match=r"promotions\.jsonl"):
        current_champion(plain.root)


def test_a_line_without_its_end_is_completed(plain: ProjectBuilder) -> None:
    publish(plain, "it001", found=6)
    crowned(plain)
    path = plain.root / "registry" / "promotions.jsonl"
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    publish(plain, "it002", "it001", found=12)
    crowned(plain, "it002")
    assert len(history(plain.root)) == 2


# --- MLflow follows ----------------------------------------------------------------------------


def test_the_alias_follows_promotion_and_rollback(
    builder: ProjectBuilder, open_project_store: Callable[[Path], Store]
) -> None:
    config = TrackingConfig()
    for number, found in enumerate((6, 12), start=1):
        publish(builder, f"it00{number}", "base", found=found)
        promote(
            builder.root, f"it00{number}", "chatts", gate=GATE, tracking=config, project_name="demo"
        )
    client = open_project_store(builder.root).client

    def holder() -> str:
        return str(client.get_model_version_by_alias("tsloop", "champion").description)

    assert holder() == "it002/chatts"
    rollback(builder.root, tracking=config, project_name="demo", who="bob", reason="alarms")
    assert holder() == "it001/chatts"
    told = client.get_model_version_by_alias("tsloop", "champion").tags["tsloop.history"]
    assert [line.split(" ")[1] for line in told.splitlines()] == ["promote", "rollback"]
    assert "bob" in told


def test_a_promotion_stands_when_mlflow_does_not_answer(
    plain: ProjectBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    publish(plain, "it001", found=8)
    with pytest.raises(TrackingError, match=r"it001/chatts is the champion .*MLflow does not know"):
        promote(
            plain.root,
            "it001",
            "chatts",
            gate=GATE,
            tracking=TrackingConfig(uri="http://127.0.0.1:9"),
            project_name="demo",
        )
    assert current_champion(plain.root) == "it001/chatts"
    off = TrackingConfig(enabled=False)
    publish(plain, "it002", found=12)
    promote(plain.root, "it002", "chatts", gate=GATE, tracking=off, project_name="demo")
