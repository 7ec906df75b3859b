"""The native ChatTS as a detector: the contract, both answers, one adapter, one base."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from tsloop.chatts.config import FinetuneConfig
from tsloop.chatts.generate.settings import GenerateSettings
from tsloop.chatts.native import shared
from tsloop.chatts.native.settings import ChattsLlmConfig
from tsloop.chatts.native.tiny import write_tiny
from tsloop.detectors import chatts_llm
from tsloop.detectors.chatts_llm import ChattsLlmDetector
from tsloop.detectors.files import load_detector, save_detector
from tsloop.detectors.llm_answers import Answer
from tsloop.detectors.llm_examples import SHIFTS, score_windows_of, texts_of
from tsloop.errors import ConfigError, DetectorError, ModelFileError
from tsloop.files import read_json, write_json
from tsloop.grammar import parse_answer, render_prompt
from tsloop.intervals import Interval, Status
from tsloop.labels import builtin_label_set
from tsloop.testing import DETECTOR_CHECKS, Check, labelled_examples

TUNE = FinetuneConfig(
    steps=2,
    batch_size=2,
    window=120,
    rank=2,
    synthetic_series=2,
    folds=2,
    eval_every=1,
    learning_rate=0.01,
    encoder_learning_rate=0.001,
)
ASK = GenerateSettings(
    language="en", window=120, overlap=0, max_new_tokens=60, max_intervals=4, max_reason=0
)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("base") / "tiny", "8b")


@pytest.fixture(scope="session")
def score(checkpoint: Path) -> ChattsLlmConfig:
    return ChattsLlmConfig(checkpoint=str(checkpoint), finetune=TUNE, generate=ASK, device="cpu")


@pytest.fixture(scope="session")
def settings(score: ChattsLlmConfig) -> dict[str, ChattsLlmConfig]:
    no_folds = dataclasses.replace(TUNE, folds=0)
    return {
        "score": score,
        "head": dataclasses.replace(score, finetune=dataclasses.replace(TUNE, method="head")),
        "generate": dataclasses.replace(score, answer="generate", finetune=no_folds),
    }


@pytest.mark.parametrize("check", DETECTOR_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("which", ["score", "head", "generate"])
def test_it_keeps_the_contract(
    which: str, check: Check, settings: dict[str, ChattsLlmConfig], tmp_path: Path
) -> None:
    check(lambda: ChattsLlmDetector(settings[which]), tmp_path)


@pytest.fixture(scope="module")
def fitted(score: ChattsLlmConfig) -> tuple[ChattsLlmDetector, dict[str, float]]:
    """Fitted so that one adapter answers both ways, with validation in place of folds."""
    tune = dataclasses.replace(TUNE, folds=0, batch_size=4, steps=3)
    detector = ChattsLlmDetector(dataclasses.replace(score, learn="both", finetune=tune))
    train, valid = labelled_examples()[1:], labelled_examples()[0]
    split = [*train, dataclasses.replace(valid, split="valid")]
    return detector, detector.fit(split, seed=1)


@pytest.fixture(scope="module")
def both(fitted: tuple[ChattsLlmDetector, dict[str, float]]) -> ChattsLlmDetector:
    return fitted[0]


def test_before_labels_it_is_asked_in_words_and_says_so(score: ChattsLlmConfig) -> None:
    detector = ChattsLlmDetector(score)
    detection, scores = detector.analyse(labelled_examples()[0].series)
    assert scores is not None
    assert "asked in words" in detection.reason
    assert detector.fit([])["in_words"] == 1.0
    generate = ChattsLlmDetector(dataclasses.replace(score, answer="generate"))
    again, same = generate.analyse(labelled_examples()[0].series)
    assert "asked in words" not in again.reason
    assert np.array_equal(scores, same)


def test_one_adapter_answers_both_ways(both: ChattsLlmDetector) -> None:
    series = labelled_examples(seed=3)[0].series
    asked = both.answering("generate")
    assert asked.adapter is both.adapter
    assert asked.base is both.base
    by_head, in_words = both.score(series), asked.score(series)
    assert ((by_head > 0) & (by_head < 1)).all()
    assert len(np.unique(by_head)) > 100
    assert len(np.unique(in_words)) < 20  # one number per interval that was written
    untuned = ChattsLlmDetector(asked.config)
    assert not np.array_equal(untuned.score(series), in_words)
    assert np.array_equal(both.answering("score").score(series), by_head)


def test_figures_of_a_fit_with_validation(
    fitted: tuple[ChattsLlmDetector, dict[str, float]],
) -> None:
    figures = fitted[1]
    assert figures["steps"] == 3.0
    assert figures["n_held_out"] == 1.0
    assert figures["valid_loss"] <= figures["parent_valid_loss"]
    assert figures["in_words"] == figures["kept_parent"] == 0.0


def test_what_is_loaded_elsewhere_scores_alike(
    both: ChattsLlmDetector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process loads the base anew; nothing that training did to it may be missing."""
    save_detector(both, tmp_path / "model")
    files = {p.relative_to(tmp_path / "model").as_posix() for p in tmp_path.rglob("*.*")}
    assert files == {
        "adapter/adapter_config.json",
        "adapter/adapter_model.safetensors",
        "detector.json",
        "state.json",
    }
    monkeypatch.setattr(shared, "_BASES", {})
    loaded = load_detector(tmp_path / "model")
    assert loaded.base is not both.base
    for example in labelled_examples(seed=4):
        assert np.array_equal(loaded.score(example.series), both.score(example.series))
        assert loaded.detect(example.series) == both.detect(example.series)


def test_a_fit_that_was_killed_goes_on_to_the_same_scores(
    score: ChattsLlmConfig, tmp_path: Path
) -> None:
    config = dataclasses.replace(score, finetune=dataclasses.replace(TUNE, steps=4))
    steps: list[float] = []

    def kill(figures: Mapping[str, float]) -> None:
        steps.append(figures["step"])
        if figures["step"] == 3.0:
            raise KeyboardInterrupt

    killed, again, whole = (ChattsLlmDetector(config) for _ in range(3))
    killed.checkpoint_dir = again.checkpoint_dir = tmp_path / "checkpoints"
    with pytest.raises(KeyboardInterrupt):
        killed.fit(labelled_examples(), seed=1, progress=kill)
    assert steps == [1.0, 2.0, 3.0]
    found = {p.name for p in killed.checkpoint_dir.glob("*/*")}
    assert found == {"fold-0", "fold-1", "served"}
    left: list[float] = []
    again.fit(labelled_examples(), seed=1, progress=lambda f: left.append(f["step"]))
    assert left == [3.0, 4.0]  # where it goes on is said again
    whole.fit(labelled_examples(), seed=1)
    assert again.decision == whole.decision
    series = labelled_examples(seed=3)[0].series
    assert np.array_equal(again.score(series), whole.score(series))
    other = ChattsLlmDetector(dataclasses.replace(config, bidirectional=True))
    other.checkpoint_dir = tmp_path / "checkpoints"
    anew: list[float] = []
    other.fit(labelled_examples(), seed=1, progress=lambda f: anew.append(f["step"]))
    assert anew == [1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize("method", ["lora", "head", "full"])
def test_every_method_gives_the_base_back(
    method: str, score: ChattsLlmConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    series = labelled_examples(seed=3)[0].series
    tune = dataclasses.replace(TUNE, method=method, folds=0)
    tuned = ChattsLlmDetector(dataclasses.replace(score, finetune=tune))
    plain = ChattsLlmDetector(dataclasses.replace(score, answer="generate"))
    before = plain.score(series)
    tuned.fit(labelled_examples())
    scores = tuned.score(series)
    plain._set_adapter(None)
    assert np.array_equal(plain.score(series), before)
    monkeypatch.setattr(shared, "_BASES", {})
    tuned._base = None
    tuned._set_adapter(tuned.adapter)
    assert np.array_equal(tuned.score(series), scores)


@pytest.mark.parametrize("method", ["lora", "head"])
def test_the_base_is_loaded_once(
    method: str, score: ChattsLlmConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = dataclasses.replace(score, finetune=dataclasses.replace(TUNE, method=method))
    loads: list[Path] = []
    real = shared.load_checkpoint

    def load(directory: Path, **how: object) -> object:
        loads.append(directory)
        return real(directory, **how)

    monkeypatch.setattr(shared, "_BASES", {})
    monkeypatch.setattr(shared, "load_checkpoint", load)
    series = labelled_examples()[0].series
    parent, child = ChattsLlmDetector(config), ChattsLlmDetector(config)
    parent.fit(labelled_examples())
    child.fit(labelled_examples(seed=2), parent)
    for detector in (parent, child, parent):
        detector._results.clear()
        detector.detect(series)
    assert len(loads) == 1


def test_another_base_is_refused(
    both: ChattsLlmDetector, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_detector(both, tmp_path / "model")
    manifest = read_json(tmp_path / "model" / "detector.json")
    other = write_tiny(tmp_path / "other", "8b", seed=1)
    config = manifest["config"] | {"checkpoint": "", "checkpoint_variable": "TSLOOP_TEST_BASE"}
    write_json(tmp_path / "model" / "detector.json", manifest | {"config": config})
    monkeypatch.setenv("TSLOOP_TEST_BASE", str(other))
    with pytest.raises(ModelFileError, match=r"stands on base 'tiny'.*TSLOOP_TEST_BASE"):
        load_detector(tmp_path / "model")
    monkeypatch.setenv("TSLOOP_TEST_BASE", str(checkpoint))
    assert load_detector(tmp_path / "model").adapter is not None
    monkeypatch.delenv("TSLOOP_TEST_BASE")
    with pytest.raises(ModelFileError, match=r"TSLOOP_TEST_BASE.*is not set.*convert SRC DST"):
        load_detector(tmp_path / "model")
    child = ChattsLlmDetector(dataclasses.replace(both.config, checkpoint=str(other)))
    with pytest.raises(ConfigError, match="stands on base"):
        child.fit([], both)


def test_a_parent_that_validates_better_stays(score: ChattsLlmConfig) -> None:
    """A learning rate that wrecks the weights: every look is worse than the start."""
    examples = labelled_examples()
    split = [*examples[1:], dataclasses.replace(examples[0], split="valid")]
    calm = dataclasses.replace(TUNE, folds=0, steps=20, eval_every=5)
    wild = dataclasses.replace(calm, learning_rate=30.0, encoder_learning_rate=30.0, steps=4)
    parent = ChattsLlmDetector(dataclasses.replace(score, finetune=calm))
    assert parent.fit(split)["kept_parent"] == 0.0
    child = ChattsLlmDetector(dataclasses.replace(score, finetune=wild))
    figures = child.fit(split, parent)
    assert figures["kept_parent"] == 1.0
    assert figures["valid_loss"] == figures["parent_valid_loss"]
    assert child.adapter is parent.adapter
    orphan = ChattsLlmDetector(child.config)
    figures = orphan.fit(split)
    assert orphan.adapter is None, "the base stays, and is asked in words"
    assert figures["in_words"] == figures["kept_parent"] == 1.0
    assert figures["n_held_out"] == 4.0


def test_zero_steps_fit_the_thresholds_alone(score: ChattsLlmConfig) -> None:
    asked = dataclasses.replace(
        score, answer="generate", quantization="none", finetune=FinetuneConfig(steps=0)
    )
    detector = ChattsLlmDetector(asked)
    figures = detector.fit(labelled_examples())
    assert detector.adapter is None
    assert figures["n_held_out"] == 4.0
    assert figures["steps"] == figures["n_unanswered"] == 0.0


def test_what_could_not_be_answered_is_counted(
    score: ChattsLlmConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Logits that are not numbers: every series fails, in the fit and when it is asked about."""
    detector = ChattsLlmDetector(score)
    monkeypatch.setattr(chatts_llm, "by_head", lambda *_: by_head_without_numbers())
    figures = detector.fit(labelled_examples())
    assert (figures["n_held_out"], figures["n_unanswered"]) == (0.0, 4.0)
    assert detector.decision.rule == "label-free"
    detection, scores = detector.analyse(labelled_examples()[0].series)
    assert detection.status is Status.FAILED
    assert scores is None


def by_head_without_numbers() -> Answer:
    raise DetectorError("The model's scores are not numbers.")


def test_what_is_taught_is_what_is_asked_and_read(
    both: ChattsLlmDetector, score: ChattsLlmConfig
) -> None:
    """Prompts and answers of training are those of serving, for every window."""
    examples = labelled_examples(n_rows=300)
    processor, label_set = both.base.processor, both.label_set
    config = dataclasses.replace(score, answer="generate")
    texts = texts_of(examples, processor, label_set, config, seed=0)
    assert texts
    taught: list[Interval] = []
    for text in texts:
        rows = int(text.ts_lengths[0])
        learned = text.labels >= 0
        asked = processor.tokenizer.decode(text.input_ids[~learned])
        question = render_prompt(rows, label_set, "en")
        before, after = processor.chat(question).split("<ts><ts/>")
        assert asked.startswith(before)
        assert asked.endswith(after)
        answer = processor.tokenizer.decode(text.input_ids[learned], skip_special_tokens=True)
        parsed = parse_answer(answer, rows, label_set)
        assert parsed.form == "ok"
        taught += parsed.intervals
    assert {i.label for i in taught} == {"upward_spike", "downward_spike"}


def test_windows_show_every_row_and_every_event_at_several_places(score: ChattsLlmConfig) -> None:
    example = labelled_examples(n_rows=1000)[0]
    windows = score_windows_of([example], builtin_label_set(), score, seed=0)
    assert all(len(window.values) == 120 for window in windows)
    places = {int(np.flatnonzero(w.target)[0]) for w in windows if w.target.any()}
    assert len(places) > SHIFTS
    labels = {builtin_label_set().ids[i] for w in windows for i in np.unique(w.label) if i >= 0}
    assert labels == {"upward_spike", "downward_spike"}


def test_a_label_set_of_the_project_is_saved_with_the_model(
    score: ChattsLlmConfig, tmp_path: Path
) -> None:
    path = tmp_path / "labels.json"
    names = [{"id": i, "zh": "高", "en": i} for i in ("upward_spike", "downward_spike")]
    write_json(path, {"id": "ours", "version": 1, "labels": names})
    config = dataclasses.replace(score, labels=str(path), finetune=TUNE)
    detector = ChattsLlmDetector(config)
    detector.fit(labelled_examples())
    save_detector(detector, tmp_path / "model")
    path.unlink()
    loaded = load_detector(tmp_path / "model")
    assert loaded.label_set.ids == ("upward_spike", "downward_spike")
    series = labelled_examples(seed=4)[0].series
    assert loaded.detect(series) == detector.detect(series)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answer": "words"}, "detector.answer"),
        ({"quantization": "int4"}, "detector.quantization"),
        ({"checkpoint_variable": "HOME"}, "TSLOOP_"),
        ({"batch_size": 0}, "detector.batch_size"),
        ({"answer": "generate", "finetune": FinetuneConfig(method="head")}, "head"),
        ({"learn": "both", "finetune": FinetuneConfig(method="head")}, "head"),
        ({"quantization": "nf4", "finetune": FinetuneConfig()}, "'lora' does not go with"),
        ({"finetune": FinetuneConfig(method="qlora")}, "'qlora' does not go with"),
    ],
)
def test_settings_that_contradict_each_other(change: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ChattsLlmConfig(**change)


def test_a_checkpoint_that_is_not_there(score: ChattsLlmConfig) -> None:
    gone = dataclasses.replace(score, checkpoint="nowhere")
    with pytest.raises(ModelFileError, match=r"detector\.checkpoint.*config\.json"):
        ChattsLlmDetector(gone).fit(labelled_examples())
    detection = ChattsLlmDetector(gone).detect(labelled_examples()[0].series)
    assert detection.status is Status.FAILED
    assert "nowhere" in detection.reason


def test_settings_are_checked_without_torch() -> None:
    code = """
import sys
from tsloop.detectors.factory import BUILTIN, check_settings
check_settings({"_target_": BUILTIN["chatts_llm"], "answer": "generate"})
assert not {"torch", "transformers", "peft"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_qlora_on_a_base_of_four_bits(
    score: ChattsLlmConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = write_tiny(tmp_path / "wide", "8b", hidden=64)
    tune = dataclasses.replace(TUNE, method="qlora")
    config = dataclasses.replace(
        score, checkpoint=str(base), quantization="nf4", dtype="bfloat16", finetune=tune
    )
    detector = ChattsLlmDetector(config)
    detector.fit(labelled_examples())
    series = labelled_examples(seed=4)[0].series
    scores = detector.score(series)
    save_detector(detector, tmp_path / "model")
    monkeypatch.setattr(shared, "_BASES", {})
    loaded = load_detector(tmp_path / "model")
    assert np.array_equal(loaded.score(series), scores)
