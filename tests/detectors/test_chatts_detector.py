"""The chatts detector keeps the contract, with and without labels."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tsloop.chatts.config import FinetuneConfig
from tsloop.chatts.finetune import FinetuneResult
from tsloop.chatts.synthetic import generate
from tsloop.detectors.base import Example
from tsloop.detectors.chatts import ChattsConfig, ChattsDetector
from tsloop.detectors.files import load_detector, save_detector
from tsloop.errors import ConfigError, ModelFileError
from tsloop.files import read_json, sha256_tree, write_json
from tsloop.intervals import Interval, Status
from tsloop.labels import builtin_label_set
from tsloop.series.types import Series
from tsloop.testing import DETECTOR_CHECKS, Check

CONFIG = ChattsConfig(
    finetune=FinetuneConfig(
        steps=2, batch_size=4, window=128, rank=2, synthetic_series=2, folds=2, eval_every=1
    )
)


def examples(count: int = 4, *, replay: int = 0, group: str = "") -> list[Example]:
    found = []
    for index in range(60):
        made = generate(4, index, 500)
        if made.intervals and len(found) < count:
            series = made.series.window(0, 500)
            series = Series(series.id, series.timestamps, series.values, group=group)
            found.append(Example(series, made.intervals, replay=len(found) < replay))
    return found


def spiky(n: int = 600) -> Series:
    rng = np.random.default_rng(0)
    values = np.sin(np.arange(n) / 20.0) + 0.05 * rng.normal(size=n)
    values[n // 2 : n // 2 + 6] += 6.0
    return Series("spiky", np.arange(n, dtype=np.int64) * 10**9, values)


@pytest.fixture(scope="module")
def fitted() -> ChattsDetector:
    detector = ChattsDetector(CONFIG)
    detector.fit(examples(), seed=1)
    return detector


@pytest.mark.parametrize("check", DETECTOR_CHECKS, ids=lambda check: check.__name__)
def test_it_keeps_the_contract(check: Check, tmp_path: Path) -> None:
    check(lambda: ChattsDetector(CONFIG), tmp_path)


def test_rejected_alarms_are_what_the_annotator_did_not_mark() -> None:
    detector, series = ChattsDetector(CONFIG), spiky()
    assert detector._rejected(Example(series, (Interval(300, 305),))) == ()
    assert any(
        alarm.overlap(Interval(300, 305)) for alarm in detector._rejected(Example(series, ()))
    )


def test_without_labels_it_finds_an_obvious_event() -> None:
    series = spiky()
    detection, scores = ChattsDetector().analyse(series)
    assert scores is not None
    assert scores.shape == (600,)
    assert ((scores >= 0) & (scores <= 1)).all()
    assert detection.status is Status.OK
    assert any(i.overlap(Interval(300, 305)) for i in detection.intervals)
    assert all(i.label in builtin_label_set().ids and i.reason for i in detection.intervals)


@pytest.mark.parametrize("n", [1, 3, 7, 50])
def test_short_series_are_scored(n: int) -> None:
    series = Series("s", np.arange(n, dtype=np.int64), np.arange(n, dtype=float))
    detector = ChattsDetector()
    assert np.isfinite(detector.score(series)).all()
    assert detector.detect(series).status in (Status.OK, Status.NONE)


def test_gaps_are_scored_and_no_value_at_all_is_a_failure() -> None:
    series = spiky()
    values = series.values.copy()
    values[100:140] = np.nan
    gappy = Series("gappy", series.timestamps, values)
    assert np.isfinite(ChattsDetector().score(gappy)).all()
    empty = Series("empty", series.timestamps, np.full(600, np.nan))
    detection = ChattsDetector().detect(empty)
    assert detection.status is Status.FAILED
    assert "no value" in detection.reason


def test_two_fits_write_the_same_bytes_and_load_gives_the_same_scores(
    fitted: ChattsDetector, tmp_path: Path
) -> None:
    again = ChattsDetector(CONFIG)
    again.fit(examples(), seed=1)
    save_detector(fitted, tmp_path / "a")
    save_detector(again, tmp_path / "b")
    assert sha256_tree(tmp_path / "a") == sha256_tree(tmp_path / "b")
    loaded = load_detector(tmp_path / "a")
    for series in (spiky(), examples()[0].series):
        assert np.array_equal(loaded.score(series), fitted.score(series))
        assert loaded.detect(series) == fitted.detect(series)


def test_the_parent_is_the_start_and_old_examples_are_replayed(fitted: ChattsDetector) -> None:
    seen: list[float] = []
    child = ChattsDetector(CONFIG)
    figures = child.fit(
        examples(6, replay=4), fitted, seed=2, progress=lambda f: seen.append(f["step"])
    )
    assert figures["n_examples"] == 6.0
    assert figures["steps"] == 2.0
    assert seen == sorted(seen)
    assert all(np.isfinite(value) for value in figures.values())
    assert not np.array_equal(child.score(spiky()), fitted.score(spiky()))


def test_fold_models_are_handed_on_and_never_learn_from_their_own_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {id(None): frozenset[str]()}  # adapter -> the groups that it has learned from
    kept = []  # so that no id is given twice
    train = ChattsDetector._finetune

    def watched(self: ChattsDetector, inside: Any, start: Any, *rest: Any) -> FinetuneResult:
        result = train(self, inside, start, *rest)
        groups = known[id(start)] | {e.series.group for e in inside}
        known[id(result.adapter)] = groups
        kept.append(result.adapter)
        return result

    monkeypatch.setattr(ChattsDetector, "_finetune", watched)
    first, second = ChattsDetector(CONFIG), ChattsDetector(CONFIG)
    first.fit(examples(4), seed=1)
    second.fit(examples(8, replay=4), first, seed=2)
    assert first.chain.fold_of.items() < second.chain.fold_of.items()
    for fold, adapter in second.chain.adapters.items():
        learned = known[id(adapter)]
        assert learned == {g for g, f in second.chain.fold_of.items() if f != fold}
    save_detector(second, tmp_path / "model")
    loaded = load_detector(tmp_path / "model")
    assert isinstance(loaded, ChattsDetector)
    assert loaded.chain.fold_of == second.chain.fold_of
    third, again = ChattsDetector(CONFIG), ChattsDetector(CONFIG)
    known |= {id(a): frozenset[str]() for a in [loaded.adapter, *loaded.chain.adapters.values()]}
    third.fit(examples(9, replay=8), second, seed=3)
    again.fit(examples(9, replay=8), loaded, seed=3)
    assert third.decision == again.decision
    for fold, adapter in third.chain.adapters.items():
        for name, tensor in adapter.tensors.items():
            assert tensor.equal(again.chain.adapters[fold].tensors[name])


def test_one_known_group_keeps_the_chain_and_a_series_of_another_group_starts_it_anew(
    fitted: ChattsDetector,
) -> None:
    again, moved = ChattsDetector(CONFIG), ChattsDetector(CONFIG)
    again.fit(examples(1), fitted, seed=2)
    assert again.chain.fold_of == fitted.chain.fold_of
    own = fitted.chain.fold_of[examples(1)[0].series.group]
    for fold, adapter in again.chain.adapters.items():
        assert (adapter is fitted.chain.adapters[fold]) is (fold == own)
    moved.fit(examples(2, group="elsewhere") + examples(4)[2:], fitted, seed=2)
    assert set(moved.chain.fold_of) == {"elsewhere", *(e.series.group for e in examples(4)[2:])}


def ruinous() -> ChattsConfig:
    """Training that breaks the network, and no neighbours to hide it."""
    broken = dataclasses.replace(CONFIG.finetune, learning_rate=30.0, encoder_learning_rate=30.0)
    alone = {"neighbours": 0.0, "tuned_neighbours": 0.0, "neighbour_choices": [0.0]}
    return dataclasses.replace(CONFIG, finetune=broken, **alone)


def test_where_tuning_is_clearly_worse_the_base_stays_and_says_so() -> None:
    detector = ChattsDetector(ruinous())
    figures = detector.fit(examples(12), seed=1)
    assert figures["kept_parent"] == 1.0
    assert figures["tuned_f1"] < figures["parent_f1"]
    assert figures["steps"] == 0.0
    assert detector.adapter is None
    base = ChattsDetector(ruinous())
    assert np.array_equal(detector.score(spiky()), base.score(spiky()))


def test_where_tuning_is_clearly_worse_the_parent_stays_with_its_rules() -> None:
    config = dataclasses.replace(ruinous(), finetune=CONFIG.finetune)
    parent, child = ChattsDetector(config), ChattsDetector(ruinous())
    assert parent.fit(examples(4), seed=1)["kept_parent"] == 0.0
    figures = child.fit(examples(14, replay=2), parent, seed=1)
    assert figures["kept_parent"] == 1.0
    assert child.adapter is parent.adapter
    assert child.decision == parent.decision
    assert np.array_equal(child.score(spiky()), parent.score(spiky()))


def test_early_stopping_keeps_validation_out_of_the_training() -> None:
    config = dataclasses.replace(CONFIG, early_stopping=True)
    split = [
        dataclasses.replace(e, split="valid") if n % 3 == 0 else e
        for n, e in enumerate(examples(6))
    ]
    figures = ChattsDetector(config).fit(split, seed=1)
    assert figures["valid_loss"] > 0.0
    assert "valid_loss" not in ChattsDetector(CONFIG).fit(split, seed=1)


def test_without_events_nothing_is_trained_and_the_parent_stays(fitted: ChattsDetector) -> None:
    quiet = [Example(spiky(), ())]
    fresh, child = ChattsDetector(CONFIG), ChattsDetector(CONFIG)
    assert fresh.fit(quiet)["steps"] == 0.0
    assert fresh.fit([])["n_examples"] == 0.0
    assert fresh.adapter is None
    child.fit([], fitted)
    assert child.adapter is fitted.adapter
    assert np.array_equal(child.score(spiky()), fitted.score(spiky()))


def test_one_group_is_cut_in_time_and_leaves_no_fold_models() -> None:
    detector = ChattsDetector(CONFIG)
    figures = detector.fit(examples(2, group="one"))
    assert figures["steps"] == 2.0
    assert not detector.chain.fold_of
    assert not detector.chain.adapters


def test_an_unfitted_detector_records_its_base_only(tmp_path: Path) -> None:
    save_detector(ChattsDetector(), tmp_path / "base")
    files = sorted(p.name for p in (tmp_path / "base").rglob("*") if p.is_file())
    assert files == ["detector.json", "state.json"]
    loaded = load_detector(tmp_path / "base")
    assert np.array_equal(loaded.score(spiky()), ChattsDetector().score(spiky()))


def test_a_foreign_base_is_refused(fitted: ChattsDetector, tmp_path: Path) -> None:
    fitted.save(tmp_path)
    state, manifest = read_json(tmp_path / "state.json"), read_json(tmp_path / "detector.json")
    state["base"]["sha256"] = "0" * 64
    write_json(tmp_path / "state.json", state)
    with pytest.raises(ModelFileError, match="changed after it was saved"):
        ChattsDetector.load(tmp_path)
    del manifest["files"]["state.json"]
    write_json(tmp_path / "detector.json", manifest)
    with pytest.raises(ModelFileError, match="stands on base"):
        ChattsDetector.load(tmp_path)


def test_pickles_in_the_directory_are_refused(fitted: ChattsDetector, tmp_path: Path) -> None:
    fitted.save(tmp_path)
    (tmp_path / "adapter" / "adapter_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(ModelFileError):
        ChattsDetector.load(tmp_path)


def test_zero_steps_and_wrong_settings_are_errors() -> None:
    with pytest.raises(ConfigError, match=r"finetune\.steps is 0; at least 1"):
        ChattsConfig(finetune=FinetuneConfig(steps=0))
    with pytest.raises(ConfigError, match="neighbours"):
        ChattsConfig(neighbours=2.0)
    with pytest.raises(ConfigError, match="objective"):
        ChattsConfig(objective="luck")


def test_what_only_the_native_model_can_do_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"embedded base is not loaded in 4 bits.*finetune=lora"):
        ChattsConfig(finetune=FinetuneConfig(method="qlora"))
    for setting in (
        {"precision": "bfloat16"},
        {"gradient_checkpointing": True},
        {"accumulate": 2},
        {"augment": 0.5},
    ):
        name = next(iter(setting))
        with pytest.raises(ConfigError, match=f"finetune.{name} is .* embedded base does not know"):
            ChattsConfig(finetune=FinetuneConfig(**setting))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="precision is 'int4'"):
        FinetuneConfig(precision="int4")
    with pytest.raises(ConfigError, match="a batch of 24 has not so many parts"):
        FinetuneConfig(accumulate=25)
