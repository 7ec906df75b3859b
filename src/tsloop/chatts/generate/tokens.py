"""What each token of a tokenizer adds to a text, in bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from tsloop.chatts.generate.vocabulary import TokenTable
from tsloop.errors import DetectorError

__all__ = ["eos_ids", "token_table", "token_texts"]

_SAMPLE = '[{"interval":[3,174],"label":"step_up","reason":"高于 normal – \\n"}]'


@lru_cache(maxsize=4)
def token_table(tokenizer: Any) -> TokenTable:
    """The table of a fast tokenizer, made once."""
    return TokenTable(token_texts(tokenizer))


def token_texts(tokenizer: Any) -> list[bytes]:
    """Bytes by token id, for byte-level BPE (Qwen, Llama 3, SmolLM2) and byte fallback (Llama 2).

    Added and special tokens are empty: no answer holds one. A tokenizer of another kind, or one
    whose tokens do not put a text together again, is a `DetectorError`.
    """
    kind = _kind(tokenizer)
    read = _ByteLevel().read if kind == "byte-level" else _read_with_fallback
    vocabulary: Mapping[str, int] = tokenizer.get_vocab()
    texts = [b""] * (max(vocabulary.values()) + 1)
    left_out = {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}
    for token, number in vocabulary.items():
        if number not in left_out:
            texts[number] = read(token)
    ids = tokenizer(_SAMPLE, add_special_tokens=False)["input_ids"]
    together = b"".join(texts[number] for number in ids)
    if together.removeprefix(b" ") != _SAMPLE.encode():
        raise DetectorError(
            f"The texts of this tokenizer's tokens ({kind}) do not put an answer together again: "
            f"{together!r:.120}.",
            hint="Ask without constraint (constrained: false).",
        )
    return texts


def eos_ids(tokenizer: Any, model: Any) -> tuple[int, ...]:
    """The tokens that end an answer, as tokenizer and model name them, in ascending order."""
    named: set[int] = set()
    generation = getattr(model, "generation_config", None)
    for source in (getattr(generation, "eos_token_id", None), tokenizer.eos_token_id):
        named.update(source if isinstance(source, list | tuple) else [source])  # type: ignore[list-item]
    found = sorted(number for number in named if number is not None)
    if not found:
        raise DetectorError("Neither tokenizer nor model names a token that ends an answer.")
    return tuple(found)


def _kind(tokenizer: Any) -> str:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    decoder = getattr(backend, "decoder", None)
    if decoder is not None:
        text = json.dumps(json.loads(decoder.__getstate__()))
        if '"ByteLevel"' in text:
            return "byte-level"
        if '"ByteFallback"' in text or '"Metaspace"' in text:
            return "byte-fallback"
    raise DetectorError(
        f"The tokenizer ({type(tokenizer).__name__}) is neither byte-level nor has it byte "
        "fallback: what its tokens stand for is not known.",
        hint="Ask without constraint (constrained: false).",
    )


class _ByteLevel:
    """The alphabet in which byte-level BPE writes bytes: printable ones as themselves."""

    def __init__(self) -> None:
        kept = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
        others = [byte for byte in range(256) if byte not in set(kept)]
        self._bytes = {chr(byte): byte for byte in kept}
        self._bytes |= {chr(256 + place): byte for place, byte in enumerate(others)}

    def read(self, token: str) -> bytes:
        """The bytes of one token; empty where it holds a foreign character."""
        values = [self._bytes.get(char, -1) for char in token]
        return b"" if -1 in values else bytes(values)


def _read_with_fallback(token: str) -> bytes:
    if len(token) == 6 and token.startswith("<0x") and token.endswith(">"):
        return bytes((int(token[3:5], 16),))
    return token.replace("▁", " ").encode("utf-8", "replace")
