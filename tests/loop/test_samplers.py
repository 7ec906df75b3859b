"""The contract of a sampler over all kinds, what each prefers, and honest probabilities."""

from __future__ import annotations

import dataclasses
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tsloop.errors import AnnotationError, ConfigError
from tsloop.intervals import Detection, Interval
from tsloop.loop.samplers import (
    SAMPLER_KINDS,
    Candidate,
    QueueItem,
    SamplerConfig,
    rank,
    read_queue,
    select,
    write_queue,
)

REASONS = {
    "random",
    "random_audit",
    "uncertain",
    "likely_missed",
    "small_margin",
    "diverse",
    "model_failed",
    "not_predicted",
}


def scored(name: str, *peaks: float, group: str = "g", labelled: bool = False) -> Candidate:
    """A series of short events with these peaks."""
    scores = np.full(10 * len(peaks) + 10, 0.01)
    for number, peak in enumerate(peaks):
        scores[10 * number + 5] = peak
    found = [Interval(10 * k + 5, 10 * k + 5, score=p) for k, p in enumerate(peaks) if p >= 0.5]
    return Candidate(name, group, len(scores), Detection.of(found), scores, labelled)


def pool_of(n: int, seed: int = 0, n_groups: int = 4) -> list[Candidate]:
    """Candidates of every sort: labelled, failed, unpredicted, quiet, with and without features."""
    rng = np.random.default_rng(seed)
    pool = []
    for number in range(n):
        peaks = rng.random(int(rng.integers(0, 4)))
        candidate = scored(f"s{number:03d}", *peaks, group=f"g{number % n_groups}")
        match number % 7:
            case 3:
                candidate = dataclasses.replace(candidate, labelled=True)
            case 4:
                candidate = Candidate(
                    candidate.series_id, candidate.group, 9, Detection.failed("no memory")
                )
            case 5 if seed % 2:
                candidate = Candidate(candidate.series_id, candidate.group, 9)
        pool.append(dataclasses.replace(candidate, features=rng.normal(size=3)))
    return pool


@pytest.mark.parametrize("kind", SAMPLER_KINDS)
@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(0, 40),
    budget=st.integers(0, 50),
    seed=st.integers(0, 5),
    share=st.sampled_from([0.0, 0.2, 1.0]),
)
def test_contract(kind: str, n: int, budget: int, seed: int, share: float) -> None:
    config = SamplerConfig(kind=kind, audit_share=share)
    pool = pool_of(n, seed)
    items = select(pool, budget, np.random.default_rng(seed), config)
    unlabelled = {c.series_id for c in pool if not c.labelled}
    assert len(items) == min(budget, len(unlabelled))
    assert len({item.series_id for item in items}) == len(items)
    assert {item.series_id for item in items} <= unlabelled
    assert [item.rank for item in items] == list(range(1, len(items) + 1))
    by_id = {c.series_id: c for c in pool}
    for item in items:
        assert 0.0 <= item.score <= 1.0
        assert 0.0 < item.probability <= 1.0
        assert item.reason in REASONS
        assert item.clicks >= 0
        assert item.proposal is by_id[item.series_id].detection
    shuffled = random.Random(seed).sample(pool, len(pool))
    again = select(shuffled, budget, np.random.default_rng(seed), config)
    assert again == items


@pytest.mark.parametrize("kind", SAMPLER_KINDS)
def test_before_the_first_model(kind: str) -> None:
    pool = [Candidate(f"s{n}", f"g{n % 3}", 100) for n in range(12)]
    items = select(pool, 6, np.random.default_rng(0), SamplerConfig(kind=kind))
    if kind == "diversity":
        assert Counter(item.series_id for item in items[:3]).total() == 3
        groups = Counter({c.series_id: c.group for c in pool}[i.series_id] for i in items)
        assert set(groups.values()) == {2}
    else:
        assert {(item.reason, item.probability) for item in items} == {("random", 0.5)}


@pytest.mark.parametrize("kind", SAMPLER_KINDS)
def test_queue_files(kind: str, tmp_path: Path) -> None:
    items = rank(pool_of(30), SamplerConfig(kind=kind, budget=10), model="it001/knn")
    write_queue(tmp_path / "a.jsonl", reversed(items))
    write_queue(tmp_path / "b.jsonl", rank(pool_of(30), SamplerConfig(kind, 10), model="it001/knn"))
    assert read_queue(tmp_path / "a.jsonl") == items
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()
    assert all(i.proposal_model == ("it001/knn" if i.proposal else None) for i in items)


def test_the_model_changes_the_random_choices() -> None:
    config = SamplerConfig(kind="random", budget=10)
    one, other = (rank(pool_of(60), config, model=name) for name in ("it001/knn", "it002/knn"))
    assert [i.series_id for i in one] != [i.series_id for i in other]


def test_uncertainty_looks_at_the_event_nearest_to_the_threshold() -> None:
    pool = [
        scored("clear", 0.99),
        scored("quiet"),
        scored("also quiet", 0.2),
        scored("doubtful", 0.99, 0.55),
        scored("nearly", 0.48),
    ]
    items = select(pool, 5, np.random.default_rng(0), SamplerConfig(kind="uncertainty"))
    assert [item.series_id for item in items[:3]] == ["nearly", "doubtful", "clear"]
    assert [item.reason for item in items[:2]] == ["likely_missed", "uncertain"]
    assert [item.score for item in items] == pytest.approx([0.96, 0.9, 0.02, 0, 0])
    assert {item.series_id: item.clicks for item in items}["doubtful"] == 4.0


def test_the_models_own_threshold_counts() -> None:
    pool = [
        dataclasses.replace(scored("high", 0.79), threshold=0.8),
        dataclasses.replace(scored("low", 0.5), threshold=0.8),
        dataclasses.replace(scored("never", 1.0), threshold=2.0),
    ]
    items = select(pool, 3, np.random.default_rng(0), SamplerConfig(kind="uncertainty"))
    assert [item.series_id for item in items] == ["high", "low", "never"]
    assert [item.score for item in items] == pytest.approx([0.9875, 0.625, 0.5])


def test_margin_compares_the_weakest_accepted_with_the_strongest_rejected() -> None:
    pool = [scored("apart", 0.9, 0.3), scored("close", 0.6, 0.45), scored("one", 0.7)]
    items = select(pool, 3, np.random.default_rng(0), SamplerConfig(kind="margin"))
    assert [item.series_id for item in items] == ["close", "apart", "one"]
    assert [item.score for item in items] == pytest.approx([0.85, 0.4, 0.3])


def test_detections_without_scores() -> None:
    sure = Detection.of([Interval(1, 2, score=0.9)])
    unsure = Detection.of([Interval(1, 2)])
    pool = [Candidate("sure", "g", 9, sure), Candidate("unsure", "g", 9, unsure)]
    items = select(pool, 2, np.random.default_rng(0), SamplerConfig(kind="uncertainty"))
    assert [(i.series_id, i.score) for i in items] == [("unsure", 1.0), ("sure", 0.2)]


def test_a_failed_model_is_never_taken_for_normal() -> None:
    pool = [scored("quiet"), Candidate("broken", "g", 9, Detection.failed("NaN"))]
    for kind in ("uncertainty", "margin", "mixed"):
        config = SamplerConfig(kind=kind, audit_share=0.0)
        item = select(pool, 1, np.random.default_rng(0), config)[0]
        assert (item.series_id, item.reason, item.score) == ("broken", "model_failed", 1.0)


def test_mixed_spreads_over_groups_and_ranks() -> None:
    pool = [scored(f"a{n:02d}", 0.5 + n / 1000, group="a") for n in range(20)]
    pool += [scored(f"b{n:02d}", 0.6 + n / 1000, group="b") for n in range(20)]
    config = SamplerConfig(kind="mixed", audit_share=0.25)
    items = select(pool, 16, np.random.default_rng(1), config)
    audits = [item.rank for item in items if item.reason == "random_audit"]
    assert audits == [3, 7, 11, 15]
    assert {item.probability for item in items if item.rank in audits} == {4 / 28}
    targeted = Counter(i.series_id[0] for i in items if i.rank not in audits)
    assert min(targeted["a"], targeted["b"]) >= 5
    plain = select(pool, 16, np.random.default_rng(1), SamplerConfig(kind="uncertainty"))
    assert Counter(item.series_id[0] for item in plain)["a"] == 16


def test_diversity_goes_where_nothing_is_known() -> None:
    def at(name: str, x: float, labelled: bool = False) -> Candidate:
        return Candidate(name, "g", 9, labelled=labelled, features=np.array([x, 1.0]))

    pool = [at("known", 0.0, labelled=True), at("near", 0.1), at("far", 10.0), at("middle", 5.0)]
    items = select(pool, 3, np.random.default_rng(0), SamplerConfig(kind="diversity"))
    assert [item.series_id for item in items] == ["far", "middle", "near"]
    assert items[0].score > items[1].score > items[2].score


def test_diversity_without_features_fills_the_emptiest_group() -> None:
    pool = [Candidate(f"a{n}", "a", 9, labelled=n < 2) for n in range(4)]
    pool += [Candidate(f"b{n}", "b", 9) for n in range(4)]
    items = select(pool, 4, np.random.default_rng(0), SamplerConfig(kind="diversity"))
    groups = [item.series_id[0] for item in items]
    assert groups[:2] == ["b", "b"]
    assert set(groups[2:]) == {"a", "b"}
    assert items[0].score == 1.0


@pytest.mark.parametrize("kind", ["random", "mixed"])
def test_totals_are_estimated_without_bias(kind: str) -> None:
    """Horvitz-Thompson over many draws, on a pool whose many ties the sampler has to break."""
    pool = [scored(f"s{n:02d}", 0.5 if n < 6 else 0.3, group=f"g{n % 2}") for n in range(24)]
    value = {c.series_id: float(n % 5 + (10 if n > 20 else 0)) for n, c in enumerate(pool)}
    config = SamplerConfig(kind=kind, audit_share=0.4)
    rng = np.random.default_rng(3)
    estimates = [
        sum(value[item.series_id] / item.probability for item in select(pool, 12, rng, config))
        for _ in range(1500)
    ]
    error = np.mean(estimates) - sum(value.values())
    assert abs(error) < 4 * np.std(estimates) / np.sqrt(len(estimates))


def test_every_candidate_left_over_is_audited_equally_often() -> None:
    pool = [scored(f"s{n:02d}", 0.4) for n in range(10)]
    rng = np.random.default_rng(0)
    config = SamplerConfig(kind="mixed", audit_share=0.5)
    first: Counter[str] = Counter()
    for _ in range(2000):
        items = select(pool, 4, rng, config)
        first[next(i.series_id for i in items if i.reason == "random_audit")] += 1
    assert max(abs(count - 200) for count in first.values()) < 5 * np.sqrt(200)


def test_wrong_input_is_refused(tmp_path: Path) -> None:
    for wrong in ({"kind": "best"}, {"budget": -1}, {"audit_share": 1.5}, {"seed": -1}):
        with pytest.raises(ConfigError, match="sampler"):
            SamplerConfig(**wrong)  # type: ignore[arg-type]
    rng, config = np.random.default_rng(0), SamplerConfig(kind="uncertainty")
    with pytest.raises(ConfigError, match="budget"):
        select([], -1, rng, config)
    with pytest.raises(AnnotationError, match="twice"):
        select([scored("x"), scored("x")], 1, rng, config)
    with pytest.raises(AnnotationError, match="not finite"):
        select([Candidate("x", "g", 1, None, np.array([np.nan]))], 1, rng, config)
    for features in ([np.ones(2), np.ones(3)], [np.ones(2), np.full(2, np.inf)]):
        pool = [Candidate(str(n), "g", 1, features=f) for n, f in enumerate(features)]
        with pytest.raises(AnnotationError, match="features"):
            select(pool, 1, rng, SamplerConfig(kind="diversity"))
    item = QueueItem(1, "x", 0.5, "random", 0.1)
    write_queue(tmp_path / "queue.jsonl", [item])
    text = (tmp_path / "queue.jsonl").read_text()
    (tmp_path / "queue.jsonl").write_text(text + text.replace("series_id", "series"))
    with pytest.raises(AnnotationError, match=r"queue\.jsonl, row 2"):
        read_queue(tmp_path / "queue.jsonl")
