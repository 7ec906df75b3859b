"""Masks over real vocabularies are what the automaton says of every token."""

import random

import pytest
from generate_tools import LABELS, byte_fallback, byte_level, corpus

from tsloop.chatts.generate.constraints import AnswerConstraint, Phase, State
from tsloop.chatts.generate.tokens import eos_ids, token_table, token_texts
from tsloop.chatts.generate.vocabulary import TokenTable
from tsloop.errors import DetectorError
from tsloop.grammar import parse_answer
from tsloop.labels import Label, LabelSet


@pytest.mark.parametrize("tokenizer", [byte_level(), byte_fallback()], ids=["byte", "fallback"])
def test_token_texts_put_a_text_together(tokenizer) -> None:
    texts = token_texts(tokenizer)
    for text in corpus():
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert b"".join(texts[i] for i in ids).removeprefix(b" ") == text.encode()
    assert all(texts[i] == b"" for i in tokenizer.all_special_ids)
    assert token_table(tokenizer) is token_table(tokenizer)


def states(constraint: AnswerConstraint, table: TokenTable, seed: int) -> list[State]:
    """The states of one random answer, token by token."""
    rng = random.Random(seed)
    state, found = constraint.start, []
    while state.phase is not Phase.DONE:
        found.append(state)
        ids = table.mask(constraint, state).nonzero()[0]
        text = table.texts[rng.choice(ids.tolist())]
        after = constraint.follow(state, text)
        assert after is not None
        state = after
    return found


def expected(
    constraint: AnswerConstraint, table: TokenTable, state: State, closing: bool
) -> tuple[set[int], set[int]]:
    """The tokens that may follow, and those of them that the mask may leave out."""
    allowed = {
        number
        for number, text in enumerate(table.texts)
        if text and constraint.follow(state, text, closing) is not None
    }
    room = constraint.max_reason - state.used
    doubtful = {i for i in allowed if b"\\" in table.texts[i] and len(table.texts[i]) + 5 > room}
    return allowed, doubtful if state.phase is Phase.REASON else set()


@pytest.mark.parametrize("reason", [0, 9, 40])
@pytest.mark.parametrize("tokenizer", [byte_level(), byte_fallback()], ids=["byte", "fallback"])
def test_masks_are_what_the_automaton_says(tokenizer, reason: int) -> None:
    table = token_table(tokenizer)
    constraint = AnswerConstraint.of(1024, LABELS, 3, reason)
    seen: set[State] = set()
    for seed in range(30):
        seen.update(states(constraint, table, seed))
    phases = {state.phase for state in seen}
    assert {Phase.FIRST, Phase.LAST, Phase.LABEL} <= phases
    assert (Phase.REASON in phases) == (reason > 0)
    for state in random.Random(0).sample(sorted(seen), min(60, len(seen))):
        for closing in (False, True):
            mask = table.mask(constraint, state, closing)
            allowed, doubtful = expected(constraint, table, state, closing)
            got = set(mask.nonzero()[0].tolist())
            assert got <= allowed
            assert allowed - got <= doubtful
            assert got
            assert not mask.flags.writeable


def test_a_cut_character_is_ended() -> None:
    table = token_table(byte_level())
    constraint = AnswerConstraint.of(9, LABELS)
    begin = b'[{"interval":[1,1],"label":"anomaly","reason":"'
    for part in (b"\xe5", b"\xe5\xbc", b"\xe2\x80", b"\xf0\x9f", b"\xc2"):
        state = constraint.follow(constraint.start, begin + part)
        assert state is not None
        mask = table.mask(constraint, state)
        allowed, _ = expected(constraint, table, state, False)
        assert set(mask.nonzero()[0].tolist()) == allowed
        assert all(table.texts[i][0] >= 0x80 for i in allowed)


def test_a_vocabulary_without_every_byte_writes_whole_characters_only() -> None:
    texts = [bytes((b,)) for b in range(0x20, 0x7F)] + ["高".encode(), b"\xe9", b"\xe9\xab"]
    table = TokenTable(texts)
    assert table.texts[-3:] == ("高".encode(), b"", b"")
    odd = LabelSet("odd", 1, (Label("Ω", "Ω", "Ω"),))
    with pytest.raises(DetectorError, match="no token for the byte"):
        table.check(AnswerConstraint.of(5, odd))
    table.check(AnswerConstraint.of(5, LABELS))


def test_a_vocabulary_that_cannot_write_answers_is_refused() -> None:
    with pytest.raises(DetectorError, match="no token for the byte"):
        TokenTable([b"a", b"b"])


def test_an_unknown_kind_of_tokenizer_is_refused() -> None:
    class Slow:
        backend_tokenizer = None

    with pytest.raises(DetectorError, match="Slow"):
        token_texts(Slow())


def test_ends_are_those_of_tokenizer_and_model() -> None:
    class Model:
        class generation_config:  # noqa: N801
            eos_token_id = (7, 3)

    tokenizer = byte_level()
    assert eos_ids(tokenizer, Model()) == tuple(sorted({7, 3, tokenizer.eos_token_id}))
    assert eos_ids(tokenizer, object()) == (tokenizer.eos_token_id,)


def test_random_answers_of_tokens_read_as_they_are() -> None:
    table = token_table(byte_level())
    for seed in range(40):
        constraint = AnswerConstraint.of(50 + seed, LABELS, 4, 20)
        rng, state, text = random.Random(seed), constraint.start, b""
        while state.phase is not Phase.DONE:
            token = rng.choice(table.mask(constraint, state).nonzero()[0].tolist())
            text += table.texts[token]
            state = constraint.follow(state, table.texts[token])
        answer = parse_answer(text.decode(), 50 + seed, LABELS)
        assert answer.form == "ok"
