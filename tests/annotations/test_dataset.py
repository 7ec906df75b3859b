"""Datasets: the split, replay, the leak check, and what is read back."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from labelled_samples import make_series, record_of

from tsloop.annotations.dataset import SplitConfig, build_dataset, check_leaks, load_examples
from tsloop.annotations.gold import append_gold, read_gold
from tsloop.annotations.journal import write_journal
from tsloop.annotations.snapshot import Snapshot, build_snapshot, read_snapshot
from tsloop.annotations.split import MIN_ROWS, split_records, time_cut
from tsloop.errors import AnnotationError, ConfigError, LabelSetError, LeakError
from tsloop.files import sha256_file, sha256_tree
from tsloop.intervals import Interval
from tsloop.labels import LabelSet, builtin_label_set
from tsloop.series.types import Role, Series

LABELS = builtin_label_set()
POOL = [make_series(f"s{n:02d}", group=f"g{n // 2}") for n in range(16)]


def label(series: Series, n_events: int = 2, **changes: object):
    spans = [(100 + 150 * n, 104 + 150 * n, "step_up") for n in range(n_events)]
    return record_of(series, *spans, **changes)


def snapshot_of(tmp_path: Path, store, records, iteration="it001", parent=None) -> Snapshot:
    write_journal(tmp_path / f"{iteration}.jsonl", records)
    parent_dir = None if parent is None else tmp_path / parent
    build_snapshot(
        tmp_path / iteration,
        [(iteration, tmp_path / f"{iteration}.jsonl")],
        store,
        LABELS,
        parent_dir,
    )
    return read_snapshot(tmp_path / iteration)


def no_gold(tmp_path: Path):
    (tmp_path / "gold.jsonl").write_text("")
    return read_gold(tmp_path / "gold.jsonl")


def dataset(tmp_path, store, snapshot, iteration="it001", seed=0, **settings) -> tuple[dict, dict]:
    """Figures and split.json of a dataset in ``tmp_path/dataset``."""
    out = tmp_path / "dataset"
    gold = no_gold(tmp_path)
    config = SplitConfig(**settings)
    figures = build_dataset(out, snapshot, store, gold, config, iteration, LABELS, seed)
    return figures, json.loads((out / "split.json").read_text("utf-8"))


def test_enough_labels_are_split_by_group(tmp_path, make_store) -> None:
    store = make_store(POOL)
    snapshot = snapshot_of(tmp_path, store, [label(series) for series in POOL])
    figures, split = dataset(tmp_path, store, snapshot)
    assert (figures["rule"], split["rule"]) == ("groups", "groups")
    train, valid = (set(split["groups"][side]) for side in ("train", "valid"))
    assert not train & valid
    assert train | valid == {series.group for series in POOL}
    assert figures["train_events"] + figures["valid_events"] == 32
    examples = load_examples(tmp_path / "dataset", store)
    assert len(examples) == 16
    for example in examples:
        assert example.split == ("valid" if example.series.group in valid else "train")
        assert example.series.sha256 == store.entries[example.series.id].sha256
        assert example.intervals == snapshot.records[example.series.id].intervals


@given(
    st.dictionaries(st.text("abcdef", min_size=1, max_size=3), st.integers(0, 4), min_size=1),
    st.floats(0.05, 0.6),
    st.integers(0, 5),
)
def test_a_split_by_group_is_whole_and_has_events_on_both_sides(events, share, seed) -> None:
    series = {group: make_series(group, group=group) for group in events}
    records = {group: label(series[group], count) for group, count in sorted(events.items())}
    groups = {group: group for group in events}
    origin = dict.fromkeys(events, "it001")
    config = SplitConfig(valid_share=share)
    split = split_records(records, groups, origin, config, seed)
    assert {s.record.series_id for s in split.stretches} == set(events)
    enough = len(events) >= 2 and sum(events.values()) >= 5
    half = max(events.values()) <= sum(events.values()) / 2
    if enough and half:
        assert split.rule == "groups"
    if split.rule == "groups":
        assert enough
        assert 0 < split.events("valid") <= split.events("train")
        n_valid = sum(s.split == "valid" for s in split.stretches)
        assert 1 <= n_valid <= len(events) / 2
    assert split_records(dict(reversed(records.items())), groups, origin, config, seed) == split


def test_groups_that_trained_do_not_validate_later() -> None:
    pool = [make_series(f"s{n:02d}", group=f"g{n // 2:02d}") for n in range(40)]
    groups = {series.id: series.group for series in pool}
    records = {series.id: label(series, 1 + n % 3) for n, series in enumerate(pool)}
    n_valid = []
    for seed in range(30):
        sides: dict[str, str] = {}
        origin: dict[str, str] = {}
        some: dict[str, object] = {}
        order = np.random.default_rng(seed).permutation(list(records)).tolist()
        for number in range(4):
            for series_id in order[10 * number : 10 * number + 10]:
                origin[series_id] = f"it{number + 1:03d}"
                some[series_id] = records[series_id]
            split = split_records(some, groups, origin, SplitConfig(), seed)
            assert split.rule == "groups"
            for stretch in split.stretches:
                group = groups[stretch.record.series_id]
                assert (sides.get(group), stretch.split) != ("train", "valid")
            sides.update({groups[s.record.series_id]: s.split for s in split.stretches})
            n_valid.append(sum(s.split == "valid" for s in split.stretches) / len(some))
    assert 0.15 < np.mean(n_valid) < 0.35
    assert max(n_valid) <= 0.5


def test_a_group_that_would_take_most_labels_does_not_validate() -> None:
    sizes = {"big": 10, "small": 3}
    pool = [make_series(f"{g}{n}", group=g) for g, size in sizes.items() for n in range(size)]
    groups = {series.id: series.group for series in pool}
    records = {series.id: label(series) for series in pool}
    origin = dict.fromkeys(records, "it001")
    for seed in range(10):
        split = split_records(records, groups, origin, SplitConfig(), seed)
        valid = {groups[s.record.series_id] for s in split.stretches if s.split == "valid"}
        assert valid == {"small"}
    lonely = {key: label(make_series(key), 2 if groups[key] == "big" else 0) for key in records}
    split = split_records(lonely, groups, origin, SplitConfig(), 0)
    assert (split.rule, split.reason) == ("time", "no group can be spared: 2 groups, 20 events")


def test_a_validating_group_that_outgrows_the_others_goes_to_training() -> None:
    pool = [make_series(f"{g}0", group=g) for g in "abcdef"]
    groups = {series.id: series.group for series in pool}
    records = {series.id: label(series) for series in pool}
    origin = dict.fromkeys(records, "it001")
    first = split_records(records, groups, origin, SplitConfig(), 0)
    before = {groups[s.record.series_id] for s in first.stretches if s.split == "valid"}
    for group in sorted(before):
        for n in range(1, 12):
            series = make_series(f"{group}{n}", group=group)
            records[series.id], groups[series.id] = label(series), group
            origin[series.id] = "it002"
    later = split_records(records, groups, origin, SplitConfig(), 0)
    after = {groups[s.record.series_id] for s in later.stretches if s.split == "valid"}
    assert later.rule == "groups"
    assert after != before
    assert later.events("valid") <= later.events("train")


def test_new_labels_are_not_all_spent_on_validation() -> None:
    pool = [make_series(f"{g}{n}", group=g) for g in "abc" for n in range(6)]
    records = {series.id: label(series) for series in pool}
    groups = {series.id: series.group for series in pool}
    origin = {series.id: f"it00{'abc'.index(series.group) + 1}" for series in pool}
    split = split_records(records, groups, origin, SplitConfig(), 0)
    assert split.rule == "groups"
    valid = {groups[s.record.series_id] for s in split.stretches if s.split == "valid"}
    assert len(valid) == 1
    assert "c" not in valid


@pytest.mark.parametrize("count", [1, 2])
def test_few_labels_are_split_by_time(tmp_path, make_store, count) -> None:
    store = make_store(POOL[:2])  # one group
    snapshot = snapshot_of(tmp_path, store, [label(series, 4) for series in POOL[:count]])
    figures, split = dataset(tmp_path, store, snapshot)
    assert split["rule"] == "time"
    assert split["reason"].startswith("few labels: 1 groups")
    assert figures["train_events"] + figures["valid_events"] == 4 * count
    examples = load_examples(tmp_path / "dataset", store)
    for series in POOL[:count]:
        train, valid = (e for e in examples if e.series.id == series.id)
        assert (train.split, valid.split) == ("train", "valid")
        assert train.intervals
        assert valid.intervals
        gap = valid.series.timestamps[0] - train.series.timestamps[-1]
        assert gap // (series.timestamps[1] - series.timestamps[0]) == 65
        for example in (train, valid):
            for interval in example.intervals:
                assert example.series.timestamps[interval.start] == interval.t_start
                assert example.series.timestamps[interval.end] == interval.t_end


@pytest.mark.parametrize("n_events", [0, 1])
def test_with_hardly_a_label_nothing_validates(tmp_path, make_store, n_events) -> None:
    store = make_store(POOL[:1])
    snapshot = snapshot_of(tmp_path, store, [label(POOL[0], n_events)])
    figures, split = dataset(tmp_path, store, snapshot)
    assert split["rule"] == "none"
    assert "too few labels" in split["reason"]
    assert (figures["train_examples"], figures["valid_examples"]) == (1, 0)


def test_no_labels_and_no_validation(tmp_path, make_store) -> None:
    store = make_store(POOL)
    empty = snapshot_of(tmp_path, store, [])
    assert dataset(tmp_path, store, empty)[0]["train_examples"] == 0
    assert load_examples(tmp_path / "dataset", store) == []
    full = snapshot_of(tmp_path, store, [label(series) for series in POOL])
    figures, split = dataset(tmp_path, store, full, valid_share=0.0)
    assert (split["rule"], split["reason"]) == ("none", "split.valid_share is 0")
    assert figures["valid_examples"] == 0


@given(
    st.integers(1, 400),
    st.lists(st.tuples(st.integers(0, 399), st.integers(0, 60)), max_size=8),
    st.floats(0.05, 0.9),
    st.integers(0, 80),
)
def test_a_cut_never_touches_an_interval(n_rows, spans, share, gap) -> None:
    intervals = [Interval(s, min(s + n, n_rows - 1)) for s, n in spans if s < n_rows]

    def allowed(cut: int) -> bool:
        sides = cut >= MIN_ROWS and n_rows - cut - gap >= MIN_ROWS
        return sides and all(i.end < cut or i.start >= cut + gap for i in intervals)

    cut = time_cut(n_rows, intervals, share, gap)
    if cut is None:
        assert not any(allowed(other) for other in range(n_rows))
    else:
        assert allowed(cut)
        both = [
            other
            for other in range(n_rows)
            if allowed(other) and 0 < sum(i.end < other for i in intervals) < len(intervals)
        ]
        nominal = round(n_rows * (1 - share))
        pool = both or [other for other in range(n_rows) if allowed(other)]
        assert abs(cut - nominal) == min(abs(other - nominal) for other in pool)


def test_old_labels_are_replayed_in_part(tmp_path, make_store) -> None:
    store = make_store(POOL)
    first = [label(series, n % 3) for n, series in enumerate(POOL[:10])]
    snapshot_of(tmp_path, store, first)
    snapshot = snapshot_of(tmp_path, store, [label(s) for s in POOL[10:]], "it002", parent="it001")
    figures, _ = dataset(tmp_path, store, snapshot, "it002")
    examples = load_examples(tmp_path / "dataset", store)
    new = {series.id for series in POOL[10:]}
    train = [e for e in examples if e.split == "train"]
    assert {e.series.id for e in train if not e.replay} <= new
    assert {e.series.id for e in train if e.replay}.isdisjoint(new)
    valid = [e for e in examples if e.split == "valid"]
    assert {e.series.id for e in valid if e.replay}.isdisjoint(new)
    assert {e.series.id for e in valid if not e.replay} <= new
    _, everything = dataset(tmp_path, store, snapshot, "it002", incremental=False)
    whole = load_examples(tmp_path / "dataset", store)
    assert not any(e.replay for e in whole)
    assert len(whole) == 16
    old_train = [e for e in whole if e.split == "train" and e.series.id not in new]
    assert len(old_train) / 2 <= figures["replayed_examples"] <= len(old_train) / 2 + 1
    assert {e.series.id for e in examples if e.split == "valid"} == {
        e.series.id for e in whole if e.split == "valid"
    }
    assert everything["groups"]["valid"]
    none, _ = dataset(tmp_path, store, snapshot, "it002", replay_share=0.0)
    assert none["replayed_examples"] == 0


def test_a_corrected_label_counts_as_new(tmp_path, make_store) -> None:
    store = make_store(POOL)
    snapshot_of(tmp_path, store, [label(series) for series in POOL])
    fixed = [label(series, 3, revision=2) for series in POOL[:3]]
    snapshot = snapshot_of(tmp_path, store, fixed, "it002", parent="it001")
    dataset(tmp_path, store, snapshot, "it002")
    examples = load_examples(tmp_path / "dataset", store)
    assert not any(e.replay for e in examples if e.series.id in {"s00", "s01", "s02"})


def test_equal_input_gives_equal_bytes_and_the_seed_matters(tmp_path, make_store) -> None:
    store = make_store(POOL)
    snapshot_of(tmp_path, store, [label(series) for series in POOL[:8]])
    snapshot = snapshot_of(tmp_path, store, [label(s) for s in POOL[8:]], "it002", parent="it001")
    hashes = []
    for seed in (0, 0, 1):
        dataset(tmp_path, store, snapshot, "it002", seed=seed)
        hashes.append(sha256_tree(tmp_path / "dataset"))
    assert hashes[0] == hashes[1] != hashes[2]


def test_growing_gold_leaves_the_dataset_as_it_is(tmp_path, make_store) -> None:
    golden = make_series("golden", role=Role.GOLD)
    store = make_store([*POOL, golden])
    snapshot = snapshot_of(tmp_path, store, [label(series) for series in POOL])
    dataset(tmp_path, store, snapshot)
    once = sha256_file(tmp_path / "dataset" / "examples.jsonl")
    whole = sha256_tree(tmp_path / "dataset")
    gold = append_gold(tmp_path / "gold.jsonl", [label(golden)])
    out = tmp_path / "dataset"
    build_dataset(out, snapshot, store, gold, SplitConfig(), "it001", LABELS, 0)
    assert sha256_file(out / "examples.jsonl") == once
    assert sha256_tree(out) == whole


def test_gold_never_enters(tmp_path, make_store) -> None:
    golden = make_series("golden", group="gg", role=Role.GOLD)
    twin = make_series("twin", values=np.array(golden.values))
    sibling = make_series("sibling", group="gg")
    store = make_store([*POOL, golden, twin, sibling])
    gold = no_gold(tmp_path)
    for series, reason in [
        (golden, "golden is gold"),
        (twin, "twin has the content of a gold series"),
        (sibling, "sibling is of group 'gg' like the gold series golden"),
    ]:
        snapshot = snapshot_of(tmp_path, store, [label(POOL[0]), label(series)])
        with pytest.raises(LeakError, match=reason):
            build_dataset(tmp_path / "d", snapshot, store, gold, SplitConfig(), "it001", LABELS, 0)
        assert not (tmp_path / "d").exists()


def test_the_gold_file_is_gold_whatever_the_roles_say(tmp_path, make_store) -> None:
    store = make_store(POOL)
    gone = make_series("gone", values=np.array(POOL[3].values))  # same content, not in the store
    no_gold(tmp_path)
    gold = append_gold(tmp_path / "gold.jsonl", [label(POOL[0]), label(gone)])
    snapshot = snapshot_of(tmp_path, store, [label(series) for series in POOL])
    with pytest.raises(LeakError) as caught:
        check_leaks(snapshot, store, gold)
    text = str(caught.value)
    assert "3 labelled series" in text
    assert "s00 is gold" in text
    assert "s01 is of group 'g0'" in text
    assert "s03 has the content" in text


def test_many_leaks_are_counted(tmp_path, make_store) -> None:
    store = make_store([make_series(f"x{n}", group="one") for n in range(9)])
    no_gold(tmp_path)
    gold = append_gold(tmp_path / "gold.jsonl", [label(store["x0"])])
    snapshot = snapshot_of(tmp_path, store, [record_of(store[i]) for i in store.entries])
    with pytest.raises(LeakError, match=r"9 labelled series .* and 4 more"):
        check_leaks(snapshot, store, gold)


def test_a_store_that_moved_on_is_noticed(tmp_path, make_store) -> None:
    store = make_store(POOL)
    snapshot = snapshot_of(tmp_path, store, [label(series) for series in POOL])
    dataset(tmp_path, store, snapshot)
    changed = make_series("s03", group="g1", seed=99)
    newer = make_store([changed if s.id == "s03" else s for s in POOL])
    with pytest.raises(AnnotationError, match="'s03' was labelled with the content"):
        load_examples(tmp_path / "dataset", newer)
    with pytest.raises(AnnotationError, match="'s03' was labelled with the content"):
        dataset(tmp_path, newer, snapshot)
    fewer = make_store(POOL[:3])
    with pytest.raises(AnnotationError, match="is not in the series store"):
        load_examples(tmp_path / "dataset", fewer)
    with pytest.raises(AnnotationError, match="does not exist"):
        load_examples(tmp_path / "nowhere", store)


def test_another_label_set_is_refused(tmp_path, make_store) -> None:
    store = make_store(POOL)
    snapshot = snapshot_of(tmp_path, store, [label(POOL[0])])
    with pytest.raises(LabelSetError, match="speaks of label set tsloop@1"):
        build_dataset(
            tmp_path / "d",
            snapshot,
            store,
            no_gold(tmp_path),
            SplitConfig(),
            "it001",
            LabelSet("tsloop", 2, LABELS.labels),
            0,
        )


@pytest.mark.parametrize(
    "settings",
    [
        {"valid_share": 0.95},
        {"replay_share": -0.1},
        {"min_groups": 1},
        {"min_events": 1},
        {"time_gap_rows": -1},
        {"window": 32},
        {"max_answer_intervals": 0},
        {"language": "fr"},
    ],
)
def test_settings_out_of_range_name_their_key(settings) -> None:
    (key,) = settings
    with pytest.raises(ConfigError, match=f"split.{key} is"):
        SplitConfig(**settings)
