"""Constrained decoding inside Hugging Face's ``generate``: every answer is whole."""

import pytest
import torch
from generate_tools import LABELS, Scripted, byte_level
from transformers import Qwen3Config, Qwen3ForCausalLM

from tsloop.chatts.generate.confidence import item_confidences, mean_confidence
from tsloop.chatts.generate.constraints import AnswerConstraint
from tsloop.chatts.generate.decoding import ConstrainedDecoding, TokenProbabilities
from tsloop.chatts.generate.tokens import token_table
from tsloop.chatts.generate.vocabulary import TokenTable
from tsloop.errors import ConfigError, DetectorError
from tsloop.grammar import parse_answer

TOKENIZER = byte_level()
TABLE = token_table(TOKENIZER)
EOS, PAD = TOKENIZER.eos_token_id, TOKENIZER.pad_token_id
EXTRA = 5
"""Rows of the embedding beyond the tokenizer, as in Qwen."""


def model(seed: int = 0) -> Qwen3ForCausalLM:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Qwen3ForCausalLM(
            Qwen3Config(
                vocab_size=len(TOKENIZER) + EXTRA,
                hidden_size=16,
                intermediate_size=16,
                num_hidden_layers=1,
                num_attention_heads=2,
                num_key_value_heads=1,
                head_dim=8,
                initializer_range=1.0,
                eos_token_id=EOS,
                pad_token_id=PAD,
            )
        ).eval()


def texts(decoding: ConstrainedDecoding, sequences: torch.Tensor) -> list[str]:
    return [
        b"".join(TABLE.texts[i] for i in trace.tokens[: trace.length]).decode()
        for trace in decoding.read(sequences)
    ]


PROMPTS = torch.tensor([[PAD, PAD, 40, 41, 42], [PAD, 50, 51, 52, 53], [60, 61, 62, 63, 64]])


@pytest.mark.parametrize("budget", [56, 60, 90, 200])
@pytest.mark.parametrize("how", ["greedy", "sample", "beams", "several"])
def test_random_models_write_whole_answers(budget: int, how: str) -> None:
    rows = [40, 300, 1024]
    constraints = [AnswerConstraint.of(n, LABELS, 5, 15) for n in rows]
    choices = {
        "greedy": {},
        "sample": {"do_sample": True, "temperature": 1.5, "top_k": 0},
        "beams": {"num_beams": 3},
        "several": {"do_sample": True, "num_return_sequences": 2, "top_k": 0},
    }
    for seed in range(2):
        decoding = ConstrainedDecoding(TABLE, constraints, PROMPTS.shape[1], budget, [EOS])
        torch.manual_seed(seed)
        sequences = model(seed).generate(
            input_ids=PROMPTS,
            attention_mask=(PROMPTS != PAD).long(),
            max_new_tokens=budget,
            logits_processor=[decoding],
            **choices[how],
        )
        each = len(sequences) // len(rows)
        for number, text in enumerate(texts(decoding, sequences)):
            answer = parse_answer(text, rows[number // each], LABELS)
            assert answer.form == "ok"
            assert constraints[number // each].accepts(text)


def scripted(text: str, budget: int, **limits: int) -> tuple[str, ConstrainedDecoding]:
    """What comes of a model that wants to write ``text``."""
    constraint = AnswerConstraint.of(100, LABELS, **limits)
    decoding = ConstrainedDecoding(TABLE, [constraint], 2, budget, [EOS])
    sequences = Scripted(TOKENIZER, lambda values: text).generate(
        input_ids=torch.tensor([[40, 41]]),
        timeseries=torch.zeros(1, 1, 4),
        ts_lengths=torch.tensor([[4]]),
        max_new_tokens=budget,
        eos_token_id=[EOS],
        pad_token_id=PAD,
        logits_processor=[decoding],
    )
    return texts(decoding, sequences)[0], decoding


ITEMS = [f'{{"interval":[{i},{i + 2}],"label":"step_up"}}' for i in range(0, 90, 4)]


def test_what_is_allowed_is_written_as_it_is() -> None:
    for text in ("[]", "[" + ",".join(ITEMS[:3]) + "]"):
        written, decoding = scripted(text, 400)
        assert written == text
        assert not decoding.traces[0].cut
        assert decoding.traces[0].ended


def test_a_long_answer_is_closed_in_time_and_said_to_be_cut() -> None:
    wanted = "[" + ",".join(ITEMS) + "]"
    budget = 120
    written, decoding = scripted(wanted, budget)
    assert decoding.traces[0].cut
    assert wanted.startswith(written.removesuffix("]"))
    assert 1 < written.count("interval") < len(ITEMS)
    assert decoding.traces[0].length < budget


def test_an_endless_reason_is_closed_without_losing_the_item() -> None:
    item = '{"interval":[3,5],"label":"step_up","reason":"'
    written, decoding = scripted("[" + item + "x" * 500, 90, max_reason=400)
    assert written.startswith("[" + item + "xxx")
    assert parse_answer(written, 100, LABELS).form == "ok"
    assert decoding.traces[0].ended


def test_a_budget_without_room_for_one_item_is_refused() -> None:
    constraint = AnswerConstraint.of(100, LABELS)
    least = constraint.min_new_tokens
    with pytest.raises(ConfigError, match=f"needs at least {least}"):
        ConstrainedDecoding(TABLE, [constraint], 2, least - 1, [EOS])
    item = '[{"interval":[10,99],"label":"variance_change"}]'
    written, _ = scripted(item, least)
    assert written == item


def test_a_token_from_elsewhere_is_an_error() -> None:
    decoding = ConstrainedDecoding(TABLE, [AnswerConstraint.of(9, LABELS)], 1, 99, [EOS])
    with pytest.raises(DetectorError, match="cannot go on"):
        decoding.read(torch.tensor([[40, EOS]]))


def test_probabilities_are_those_of_the_chosen_tokens() -> None:
    constraint = AnswerConstraint.of(100, LABELS, 3, 10)
    decoding = ConstrainedDecoding(TABLE, [constraint] * 3, PROMPTS.shape[1], 80, [EOS])
    probabilities = TokenProbabilities()
    result = model(3).generate(
        input_ids=PROMPTS,
        attention_mask=(PROMPTS != PAD).long(),
        max_new_tokens=80,
        logits_processor=[decoding, probabilities],
        return_dict_in_generate=True,
        output_scores=True,
        do_sample=False,
    )
    logs = probabilities.log_probabilities(result.sequences)
    generated = result.sequences[:, PROMPTS.shape[1] :]
    assert logs.shape == generated.shape
    for step, scores in enumerate(result.scores):
        want = torch.log_softmax(scores.float(), -1).gather(1, generated[:, step : step + 1])
        assert torch.allclose(torch.tensor(logs[:, step]).float(), want.squeeze(1))
    for row, trace in enumerate(decoding.read(result.sequences)):
        text = texts(decoding, result.sequences)[row]
        confidences = item_confidences(TABLE, constraint, trace.tokens, logs[row])
        assert len(confidences) == text.count('"interval"')
        assert all(0.0 < confidence <= 1.0 for confidence in confidences)


def test_confidence_counts_rows_and_label_and_not_the_reason() -> None:
    text = (
        '[{"interval":[1,2],"label":"anomaly","reason":"xyz"},{"interval":[3,4],"label":"anomaly"}]'
    )
    ids = [TABLE.texts.index(bytes((byte,))) for byte in text.encode()]
    constraint = AnswerConstraint.of(9, LABELS)
    sure = [0.0] * len(ids)
    assert item_confidences(TABLE, constraint, ids, sure) == [1.0, 1.0]
    in_reason = text.index("xyz") + 1
    assert item_confidences(TABLE, constraint, ids, [*sure[:in_reason], -9.0]) == [1.0]
    sure[text.index("3")] = -8.0
    first, second = item_confidences(TABLE, constraint, ids, sure)
    assert first == 1.0
    assert 0.5 < second < 1.0
    assert mean_confidence([]) == 1.0
    assert mean_confidence([-1.0, -3.0]) == pytest.approx(0.1353, abs=1e-4)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_scores_that_are_not_numbers_are_an_error(value: float) -> None:
    scores = torch.zeros(1, 9)
    scores[0, 3] = value
    with pytest.raises(DetectorError, match="not numbers"):
        TokenProbabilities()(torch.tensor([[1]]), scores)
    allowed = torch.full((1, 9), -torch.inf)
    allowed[0, 3] = 0.0
    assert TokenProbabilities()(torch.tensor([[1]]), allowed) is allowed


@pytest.mark.parametrize("more", [0, 1, 2, 9, 40])
def test_the_smallest_budgets_hold_with_one_token_per_byte(more: int) -> None:
    """The tightest case: no token saves anything, and the drawn ones are as wordy as may be."""
    table = TokenTable([bytes((byte,)) for byte in range(256)])
    for n_rows in (1, 11, 1024):
        constraint = AnswerConstraint.of(n_rows, LABELS, 4, 30)
        budget = constraint.min_new_tokens + more
        rows = 12
        decoding = ConstrainedDecoding(table, [constraint] * rows, 0, budget, [256])
        ids = torch.zeros(rows, 0, dtype=torch.long)
        generator = torch.Generator().manual_seed(more)
        for _ in range(budget):
            scores = torch.rand(rows, 257, generator=generator)
            scores[:, ord("{")] += 1.0
            ids = torch.cat([ids, decoding(ids, scores).argmax(dim=1, keepdim=True)], dim=1)
        for trace in decoding.read(ids):
            assert trace.ended
            text = bytes(trace.tokens[: trace.length]).decode()
            assert constraint.accepts(text)
            assert text != "[]"  # the model wanted an item, and there is room for one


def test_an_item_is_begun_only_where_its_longest_form_fits() -> None:
    """A model that wants the longest items, one token per byte, under every budget."""
    table = TokenTable([bytes((byte,)) for byte in range(256)])
    constraint = AnswerConstraint.of(1000, LABELS)
    label = max(LABELS.ids, key=len)
    items = [f'{{"interval":[{100 + i},{900 + i}],"label":"{label}"}}' for i in range(6)]
    wanted = ("[" + ",".join(items) + "]").encode()
    for budget in range(constraint.min_new_tokens, constraint.min_new_tokens + 110):
        decoding = ConstrainedDecoding(table, [constraint], 0, budget, [256])
        ids = torch.zeros(1, 0, dtype=torch.long)
        for step in range(budget):
            scores = torch.zeros(1, 257)
            scores[0, wanted[step] if step < len(wanted) else 256] = 1.0
            ids = torch.cat([ids, decoding(ids, scores).argmax(dim=1, keepdim=True)], dim=1)
        (trace,) = decoding.read(ids)
        assert trace.ended
        assert trace.cut
        written = bytes(trace.tokens[: trace.length])
        assert wanted.startswith(written[:-1] + b",")


def test_a_token_that_ends_an_item_counts_for_it() -> None:
    table = TokenTable([*(bytes((byte,)) for byte in range(256)), b'ly"}]'])
    ids = [*b'[{"interval":[1,2],"label":"anoma', 256]
    logs = [*[0.0] * (len(ids) - 1), -8.0]
    (confidence,) = item_confidences(table, AnswerConstraint.of(9, LABELS), ids, logs)
    assert 0.5 < confidence < 1.0
