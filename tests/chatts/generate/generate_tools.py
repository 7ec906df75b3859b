"""Tokenizers made in code, and a model that writes what it is told."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from tsloop.grammar import PLACEHOLDER, render_answer
from tsloop.intervals import Interval
from tsloop.labels import builtin_label_set

LABELS = builtin_label_set()
_SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<ts>", "<ts/>"]


def corpus() -> list[str]:
    """Answers and text, so that a trained vocabulary has tokens across every border."""
    texts = []
    for number in range(60):
        items = [
            Interval(
                7 * number + place,
                7 * number + place + number % 5,
                LABELS.ids[(number + place) % len(LABELS.ids)],
                reason=["", "高于正常水平", 'a "sharp" rise\nthen\\back', "emoji 😀 µ"][number % 4],
            )
            for place in range(3)
        ]
        texts.append(render_answer(items, LABELS))
    return [*texts, *('[]}{"', "\\n\\n\\u00e9", "数据异常 – level shift") * 20]


@cache
def byte_level(vocab_size: int = 700) -> Any:
    """Byte-level BPE as in Qwen, Llama 3 and SmolLM2."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=_SPECIAL,
        show_progress=False,
    )
    core.train_from_iterator(corpus(), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token="<|im_end|>", pad_token="<|endoftext|>"
    )


@cache
def byte_fallback(without: str = "") -> Any:
    """A vocabulary as in Llama 2: words with ``▁``, and bytes as ``<0x0A>``."""
    pieces = ["<unk>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", *"异常高于"]
    pieces += [chr(byte) for byte in range(0x21, 0x7F) if chr(byte) not in without]
    vocab = {piece: number for number, piece in enumerate(pieces)}
    core = Tokenizer(models.BPE(vocab=vocab, merges=[], byte_fallback=True, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    core.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token="</s>", unk_token="<unk>")


class PlainProcessor:
    """A processor without a model: one token per four samples, and the values as they are."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.seen: list[list[str]] = []

    def chat(self, user: str) -> str:
        return f"<|im_start|>user\n{user}<|im_end|>\n<|im_start|>assistant\n"

    def token_count(self, text: str, series: Any) -> int:
        return len(self._ids(text, series))

    def _ids(self, text: str, series: Any) -> list[int]:
        patches = "<ts>" * -(-len(series[0]) // 4)
        return self.tokenizer(text.replace(PLACEHOLDER, patches))["input_ids"]

    def __call__(self, text: Any, timeseries: Any, *, padding_side: str) -> dict[str, Any]:
        self.seen.append(list(text))
        ids = [self._ids(one, series) for one, series in zip(text, timeseries, strict=True)]
        longest = max(map(len, ids))
        pads = [[self.tokenizer.pad_token_id] * (longest - len(one)) for one in ids]
        left = padding_side == "left"
        rows = [p + one if left else one + p for p, one in zip(pads, ids, strict=True)]
        mask = [[0] * len(p) + [1] * len(one) for p, one in zip(pads, ids, strict=True)]
        if not left:
            mask = [row[::-1] for row in mask]
        samples = max(len(series[0]) for series in timeseries)
        values = [[list(s[0]) + [0.0] * (samples - len(s[0]))] for s in timeseries]
        return {
            "input_ids": torch.tensor(rows),
            "attention_mask": torch.tensor(mask),
            "timeseries": torch.tensor(values, dtype=torch.float32),
            "ts_lengths": torch.tensor([[len(s[0])] for s in timeseries]),
        }


class Scripted:
    """A "model" that prefers the answer which a function gives for the values it was shown.

    It runs the logits processors as ``generate`` does: what they forbid it cannot write.
    """

    class config:  # noqa: N801
        max_position_embeddings = 4096

    device = torch.device("cpu")

    def __init__(self, tokenizer: Any, answer: Any) -> None:
        self.tokenizer, self.answer = tokenizer, answer
        self.batches: list[int] = []

    def generate(self, **given: Any) -> torch.Tensor:
        ids = given["input_ids"]
        self.batches.append(len(ids))
        vocabulary = len(self.tokenizer) + 3
        wanted = []
        for values, length in zip(given["timeseries"], given["ts_lengths"], strict=True):
            text = self.answer(values[0, : int(length[0])].numpy())
            wanted.append(self.tokenizer(text, add_special_tokens=False)["input_ids"])
        ended = [False] * len(ids)
        for step in range(given["max_new_tokens"]):
            scores = torch.zeros(len(ids), vocabulary)
            for row, tokens in enumerate(wanted):
                first = tokens[step] if step < len(tokens) else given["eos_token_id"][0]
                scores[row, first] = 5.0
            for processor in given["logits_processor"]:
                scores = processor(ids, scores)
            chosen = scores.argmax(dim=1)
            for row in range(len(ids)):
                if ended[row]:
                    chosen[row] = given["pad_token_id"]
                ended[row] |= int(chosen[row]) in given["eos_token_id"]
            ids = torch.cat([ids, chosen[:, None]], dim=1)
            if all(ended):
                break
        return ids
