"""From series to detection: windows, rows, merging, and failures that stay failures."""

import json

import numpy as np
import pytest
import torch
from generate_tools import LABELS, PlainProcessor, Scripted, byte_fallback, byte_level

from tsloop.chatts.generate.answering import WindowStatus, answer_series
from tsloop.chatts.generate.settings import GenerateSettings
from tsloop.chatts.generate.windows import halves, merge_same, plan_windows, row_scores
from tsloop.chatts.native.processor import ProcessorConfig, TimeSeriesProcessor
from tsloop.chatts.native.tiny import TINY, tiny_model, tiny_tokenizer
from tsloop.errors import ConfigError, DetectorError
from tsloop.grammar import PLACEHOLDER, render_answer
from tsloop.intervals import Basis, Interval, Status
from tsloop.series.types import Series

SETTINGS = GenerateSettings(window=128, overlap=32, max_new_tokens=200, max_intervals=6)


def series(values, name: str = "s") -> Series:
    values = np.asarray(values, dtype=float)
    return Series(name, np.arange(len(values)) * 10**9, values)


def finds_high(values: np.ndarray) -> str:
    """The answer of a perfect model: every run above 5 is a step up."""
    high = np.flatnonzero(values > 5)
    runs = np.split(high, np.flatnonzero(np.diff(high) > 1) + 1) if len(high) else []
    found = [Interval(int(r[0]), int(r[-1]), "step_up", reason="高") for r in runs]
    return render_answer(found, LABELS)


def ask(values, answer=finds_high, settings: GenerateSettings = SETTINGS, **model):
    processor = PlainProcessor(byte_level())
    scripted = Scripted(processor.tokenizer, answer)
    for name, value in model.items():
        setattr(scripted, name, value)
    return answer_series(scripted, processor, series(values), LABELS, settings), processor, scripted


def with_runs(n: int, *runs: tuple[int, int]) -> np.ndarray:
    values = np.zeros(n)
    for start, end in runs:
        values[start : end + 1] = 9.0
    return values


@pytest.mark.parametrize("overlap", [0, 32])
def test_rows_come_back_exactly_and_cut_events_are_whole(overlap: int) -> None:
    runs = [(0, 0), (60, 70), (120, 140), (300, 470), (498, 499)]
    settings = GenerateSettings(window=128, overlap=overlap, max_new_tokens=200)
    result, _, _ = ask(with_runs(500, *runs), settings=settings)
    assert result.detection.status is Status.OK
    assert [(i.start, i.end) for i in result.detection.intervals] == runs
    assert all(i.basis is Basis.MODEL and i.label == "step_up" for i in result.partial)
    assert all(0 < i.score <= 1 and i.reason == "高" for i in result.partial)
    assert result.scores is not None
    assert np.array_equal(result.scores > 0, with_runs(500, *runs) > 0)
    assert result.scores.max() <= 1
    assert result.prompt == "intervals-1"
    json.dumps(result.to_dict())


def test_nothing_found_is_none_with_zero_scores() -> None:
    result, _, scripted = ask(np.zeros(500))
    assert result.detection.status is Status.NONE
    assert result.detection.reason == ""
    assert not result.scores.any()
    assert sum(scripted.batches) == len(result.windows) == 5


def test_one_failed_window_makes_the_detection_failed_and_keeps_the_rest() -> None:
    def answer(values: np.ndarray) -> str:
        return "I am sorry." if values[0] == 1 else finds_high(values)

    values = with_runs(300, (10, 12))
    values[192:] = 1  # from 204 on an own window: 172..299 begins with 0
    values[172] = 1
    free = GenerateSettings(window=128, overlap=32, max_new_tokens=200, constrained=False)
    result, _, _ = ask(values, answer, free)
    assert result.detection.status is Status.FAILED
    assert "1 of 3 windows of series 's'" in result.detection.reason
    assert "172..299" in result.detection.reason
    assert "I am sorry" in result.detection.reason
    assert result.scores is None
    assert [(i.start, i.end) for i in result.partial] == [(10, 12)]
    assert result.count(WindowStatus.FAILED) == 1


def test_a_constrained_model_cannot_refuse() -> None:
    result, _, _ = ask(np.zeros(100), lambda values: "I am sorry.")
    assert result.detection.status in (Status.NONE, Status.OK)
    assert all(w.status in (WindowStatus.NONE, WindowStatus.OK) for w in result.windows)


def test_missing_samples_are_bridged_and_told() -> None:
    values = with_runs(200, (40, 45))
    values[50:57] = np.nan
    result, processor, _ = ask(values)
    assert result.detection.status is Status.OK
    assert result.windows[0].missing == 7
    assert "其中7个采样点缺失" in processor.seen[0][0]
    assert "缺失" not in processor.seen[0][1]


def test_windows_without_a_value_are_skipped_and_said() -> None:
    values = with_runs(500, (10, 12))
    values[150:400] = np.nan
    result, _, _ = ask(values)
    skipped = [w for w in result.windows if w.status is WindowStatus.SKIPPED]
    assert [(w.start, w.stop) for w in skipped] == [(192, 320)]
    assert "rows 192..319 hold no value" in result.detection.reason
    assert result.detection.status is Status.OK


@pytest.mark.parametrize(("values", "why"), [([], "has no rows"), ([np.nan] * 9, "has no value")])
def test_a_series_without_values_has_failed(values, why: str) -> None:
    result, _, scripted = ask(values)
    assert result.detection.status is Status.FAILED
    assert why in result.detection.reason
    assert result.scores is None
    assert not scripted.batches


@pytest.mark.parametrize("n", [1, 2, 63])
def test_a_short_series_is_asked_about_and_said_to_be_short(n: int) -> None:
    result, processor, _ = ask(with_runs(n, (n - 1, n - 1)))
    assert [(i.start, i.end) for i in result.detection.intervals] == [(n - 1, n - 1)]
    assert f"has {n} rows" in result.detection.reason
    assert f"共{n}个采样点" in processor.seen[0][0]


def test_a_prompt_that_does_not_fit_is_split_and_never_dropped() -> None:
    runs = [(5, 9), (120, 135), (250, 250)]
    plain, processor, _ = ask(with_runs(256, *runs), settings=GenerateSettings(window=256))
    whole = plain.windows[0].prompt_tokens
    settings = GenerateSettings(window=256, overlap=16, max_prompt_tokens=whole - 1)
    result, processor, _ = ask(with_runs(256, *runs), settings=settings)
    assert result.count(WindowStatus.SPLIT) == 1
    assert [(w.start, w.stop) for w in result.windows] == [(0, 256), (0, 136), (120, 256)]
    assert [(i.start, i.end) for i in result.detection.intervals] == runs
    assert sum(map(len, processor.seen)) == 2


def test_a_prompt_that_cannot_be_split_further_has_failed() -> None:
    settings = GenerateSettings(window=128, max_prompt_tokens=10, overlap=0)
    result, _, scripted = ask(np.zeros(200), settings=settings)
    assert result.detection.status is Status.FAILED
    assert "at most 10 fit" in result.detection.reason
    assert not scripted.batches
    assert result.count(WindowStatus.SPLIT) == 2
    assert result.count(WindowStatus.FAILED) == 4


def test_an_answer_that_reached_its_limit_is_asked_for_in_halves() -> None:
    runs = [(place, place + 1) for place in range(0, 250, 12)]
    settings = GenerateSettings(window=256, overlap=32, max_new_tokens=400, max_intervals=13)
    result, _, _ = ask(with_runs(256, *runs), settings=settings)
    assert [(i.start, i.end) for i in result.detection.intervals] == runs
    assert result.count(WindowStatus.SPLIT) == 1
    assert result.detection.reason == ""


def test_a_limit_that_halves_do_not_help_is_said() -> None:
    runs = [(place, place) for place in range(0, 100, 3)]
    result, _, _ = ask(with_runs(100, *runs))
    assert result.detection.status is Status.OK
    assert len(result.detection.intervals) == SETTINGS.max_intervals
    assert "0..99 are not complete" in result.detection.reason
    assert "incomplete" in result.windows[0].flags


def test_a_cut_free_answer_is_asked_for_in_halves() -> None:
    runs = [(place, place + 1) for place in range(0, 250, 12)]
    free = GenerateSettings(window=256, overlap=0, max_new_tokens=60, constrained=False)
    result, _, _ = ask(with_runs(256, *runs), settings=free)
    assert result.count(WindowStatus.SPLIT) >= 1
    assert [i for i in result.partial if i.start < 100]


def test_memory_that_runs_out_halves_the_batch() -> None:
    def answers(most: int):
        processor = PlainProcessor(byte_level())
        scripted = Scripted(processor.tokenizer, finds_high)
        generate = scripted.generate

        def limited(**given):
            if len(given["input_ids"]) > most:
                raise torch.OutOfMemoryError("no room")
            return generate(**given)

        scripted.generate = limited
        values = series(with_runs(500, (10, 12)))
        return answer_series(scripted, processor, values, LABELS, SETTINGS), scripted

    result, scripted = answers(2)
    assert result.detection.status is Status.OK
    assert sorted(scripted.batches) == [1, 2, 2]
    result, _ = answers(0)
    assert result.detection.status is Status.FAILED
    assert "Memory ran out: no room" in result.detection.reason


def test_a_model_without_room_for_a_prompt_is_an_error() -> None:
    class Small:
        max_position_embeddings = 200

    with pytest.raises(DetectorError, match="no room is left"):
        ask(np.zeros(100), config=Small)

    class Unbounded:
        pass

    assert ask(np.zeros(100), config=Unbounded)[0].detection.status is Status.NONE


@pytest.mark.parametrize(
    ("name", "value"), [("window", 63), ("window", 1025), ("overlap", 600), ("temperature", -1)]
)
def test_settings_out_of_range_are_refused(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"generate.{name} is {value}"):
        GenerateSettings(**{name: value})
    with pytest.raises(ConfigError, match="'fr'"):
        GenerateSettings(language="fr")


def test_windows_cover_and_halves_overlap() -> None:
    for n in (1, 64, 127, 128, 129, 500):
        windows = plan_windows(n, 128, 32)
        covered = np.zeros(n, dtype=bool)
        for start, stop in windows:
            covered[start:stop] = True
            assert 0 <= start < stop <= n
        assert covered.all()
    assert halves((10, 137), 0) is None
    assert halves((0, 128), 32) == ((0, 80), (48, 128))
    assert halves((0, 129), 0) == ((0, 64), (64, 129))


def test_merging_joins_equal_labels_only() -> None:
    merged = merge_same(
        [
            Interval(5, 9, "step_up", score=0.2, reason="short"),
            Interval(10, 20, "step_up", score=0.9, reason="longer"),
            Interval(22, 23, "step_up"),
            Interval(8, 12, "anomaly", score=0.5),
        ]
    )
    assert merged == (
        Interval(5, 20, "step_up", score=0.9, reason="longer"),
        Interval(8, 12, "anomaly", score=0.5),
        Interval(22, 23, "step_up"),
    )
    scores = row_scores(merged, 30)
    assert list(scores[[4, 5, 20, 21, 22, 24]]) == [0.0, 0.9, 0.9, 0.0, 1.0, 0.0]


@pytest.mark.parametrize("kind", TINY)
def test_random_native_models_give_whole_answers(kind: str) -> None:
    model = tiny_model(kind)
    tokenizer = tiny_tokenizer(pad_is_eos=kind == "llama")
    patch = 16 if kind == "paper" else 8
    processor = TimeSeriesProcessor(tokenizer, ProcessorConfig(patch_size=patch))
    values = np.sin(np.arange(150) / 5)
    values[40] = np.nan
    settings = GenerateSettings(
        window=64, overlap=8, max_new_tokens=70, max_intervals=3, max_reason=5, batch_size=2
    )
    result = answer_series(model, processor, series(values), LABELS, settings)
    assert result.detection.status in (Status.OK, Status.NONE)
    assert all(w.status in (WindowStatus.OK, WindowStatus.NONE) for w in result.windows)
    again = answer_series(model, processor, series(values), LABELS, settings)
    assert again.to_dict() == result.to_dict()
    prompt = processor.chat("x" + PLACEHOLDER)
    assert result.windows[0].prompt_tokens > processor.token_count(prompt, [np.zeros(64)])


def test_drawn_answers_come_back_with_the_seed() -> None:
    model = tiny_model("8b")
    processor = TimeSeriesProcessor(tiny_tokenizer(), ProcessorConfig())
    settings = GenerateSettings(
        window=64, overlap=0, max_new_tokens=60, max_intervals=2, max_reason=5, temperature=1.0
    )
    values = series(np.sin(np.arange(64.0)))
    state = torch.random.get_rng_state()
    one, two = (answer_series(model, processor, values, LABELS, settings) for _ in range(2))
    assert one.to_dict() == two.to_dict()
    assert torch.equal(state, torch.random.get_rng_state())


def test_a_free_random_model_gives_failures_and_no_error() -> None:
    model = tiny_model("8b")
    processor = TimeSeriesProcessor(tiny_tokenizer(), ProcessorConfig())
    free = GenerateSettings(window=64, overlap=0, max_new_tokens=10, constrained=False)
    result = answer_series(model, processor, series(np.arange(64.0)), LABELS, free)
    assert result.detection.status is Status.FAILED


def test_a_byte_fallback_tokenizer_works_as_well() -> None:
    tokenizer = byte_fallback()
    tokenizer.pad_token = tokenizer.eos_token
    processor = PlainProcessor(tokenizer)
    scripted = Scripted(tokenizer, lambda values: "[]")
    result = answer_series(scripted, processor, series(np.zeros(70)), LABELS, SETTINGS)
    assert all(w.status in (WindowStatus.OK, WindowStatus.NONE) for w in result.windows)
