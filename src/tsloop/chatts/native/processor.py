"""Text and series into the tensors that the model takes.

A prompt holds ``<ts><ts/>`` once per series. Each place becomes the series' prefix (its offset,
scale and so on in words) and as many ``<ts>`` ids as the series has patches, so that the length of
``input_ids`` is the length that the language model sees; the model lays the features over them.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from tsloop.chatts.native.eras import ERAS, EncoderLayout
from tsloop.chatts.native.prefixes import PREFIXES, Normalised, normalise, render_prefix
from tsloop.errors import ConfigError, ModelFileError, SeriesError, SeriesValidationError
from tsloop.files import read_json, write_json
from tsloop.grammar import PLACEHOLDER
from tsloop.typed import from_mapping

__all__ = [
    "PROCESSOR_FILE",
    "TS_END",
    "TS_START",
    "ProcessorConfig",
    "TimeSeriesProcessor",
    "load_tokenizer",
    "render_chat",
]

TS_START, TS_END = "<ts>", "<ts/>"
PROCESSOR_FILE = "timeseries_processor.json"
SYSTEM = "You are a helpful assistant."

Batch = dict[str, torch.Tensor]


@dataclasses.dataclass(frozen=True)
class ProcessorConfig:
    """What ``timeseries_processor.json`` holds."""

    patch_size: int = 8
    """Samples per ``<ts>`` token; the encoder's."""
    prefix: str = "v2"
    """Style of the text before a series: ``paper``, ``v2`` or ``general``."""
    max_samples: int | None = None
    """Longest series that the encoder takes; null: no limit."""
    padding_side: str = "left"
    """``left`` (generation) or ``right`` (training)."""
    system: str = SYSTEM
    """System message of `TimeSeriesProcessor.chat`."""

    def __post_init__(self) -> None:
        if self.patch_size < 1:
            raise ConfigError(f"processor.patch_size is {self.patch_size}; at least 1.")
        if self.prefix not in PREFIXES:
            raise ConfigError(
                f"processor.prefix is {self.prefix!r}; choose one of {list(PREFIXES)}."
            )
        _check_side(self.padding_side)

    @classmethod
    def for_layout(cls, layout: EncoderLayout, **changes: Any) -> ProcessorConfig:
        """The official settings for an encoder."""
        settings: dict[str, Any] = {
            "patch_size": layout.patch_size,
            "prefix": ERAS[layout.era].prefix,
            "max_samples": layout.max_samples,
        }
        return cls(**(settings | changes))


def render_chat(messages: Sequence[Mapping[str, str]], *, answer: bool = True) -> str:
    """ChatML with a newline after every turn, as in ChatTS's training.

    Messages have ``role`` and ``content``; ``answer`` opens the assistant's turn at the end.
    """
    turns = [f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in messages]
    return "".join(turns) + ("<|im_start|>assistant\n" if answer else "")


class TimeSeriesProcessor:
    """See the module text. ``tokenizer`` is Hugging Face's and knows ``<ts>`` and ``<ts/>``."""

    def __init__(self, tokenizer: Any, config: ProcessorConfig | None = None) -> None:
        self.tokenizer = tokenizer
        self.config = config or ProcessorConfig()
        self.ts_start_id, self.ts_end_id = (self._special(token) for token in (TS_START, TS_END))

    def _special(self, token: str) -> int:
        ids = self.tokenizer.encode(token, add_special_tokens=False)
        if len(ids) != 1:
            raise ModelFileError(
                f"The tokenizer does not know {token!r} as one token.",
                hint="Add it with build_on_backbone.",
            )
        return int(ids[0])

    def chat(self, user: str, *, system: str | None = None) -> str:
        """The prompt for one question, up to where the answer starts."""
        return render_chat(
            [
                {"role": "system", "content": self.config.system if system is None else system},
                {"role": "user", "content": user},
            ]
        )

    def __call__(
        self,
        text: str | Sequence[str],
        timeseries: Sequence[Any] | None = None,
        *,
        padding_side: str | None = None,
    ) -> Batch:
        """Padded tensors of the rows of ``text``.

        ``timeseries`` gives each row its list of series, in the order of the placeholders, or (the
        official way) all series of the batch in one flat list. Returns ``input_ids`` and
        ``attention_mask`` (B, T) int64 and, where there is a series, ``timeseries`` (B, Smax, L)
        float32, normalised, zero-padded, and ``ts_lengths`` (B, Smax) int64 in samples; a length
        of 0 is no series. `SeriesError` where placeholders and series do not match.
        """
        texts = [text] if isinstance(text, str) else list(text)
        side = self.config.padding_side if padding_side is None else padding_side
        _check_side(side)
        if not texts:
            raise SeriesError("No text was given; expected is at least one prompt.")
        rows = self._series_of_rows(texts, list(timeseries or []))
        ids = [self._expand(one, series) for one, series in zip(texts, rows, strict=True)]
        return self._pad(ids, side) | self._stack(rows)

    def token_count(self, text: str, series: Sequence[ArrayLike] = ()) -> int:
        """Tokens that the model sees for one prompt: patches, prefixes and text."""
        return len(self._expand(text, [self._normalise(one) for one in series]))

    def patch_count(self, samples: int) -> int:
        """``<ts>`` tokens of a series of ``samples`` samples."""
        return -(-samples // self.config.patch_size)

    def save(self, directory: Path) -> None:
        """Write the tokenizer and `PROCESSOR_FILE`."""
        self.tokenizer.save_pretrained(str(directory))
        write_json(directory / PROCESSOR_FILE, dataclasses.asdict(self.config))

    @classmethod
    def load(
        cls, directory: Path, config: ProcessorConfig | None = None, *, tokenizer: Any = None
    ) -> TimeSeriesProcessor:
        """Read what `save` wrote; ``config`` stands in where there is no `PROCESSOR_FILE`."""
        path = Path(directory) / PROCESSOR_FILE
        if path.is_file():
            config = from_mapping(ProcessorConfig, read_json(path), "processor")
        if config is None:
            raise ModelFileError(f"{directory} has no {PROCESSOR_FILE}.")
        return cls(load_tokenizer(Path(directory)) if tokenizer is None else tokenizer, config)

    def _series_of_rows(self, texts: list[str], given: list[Any]) -> list[list[Normalised]]:
        counts = [one.count(PLACEHOLDER) for one in texts]
        if all(_is_row(item) for item in given) and (given or not sum(counts)):
            nested = given or [[] for _ in texts]
        else:
            nested = _split(given, counts)
        if [len(row) for row in nested] != counts:
            raise SeriesError(
                f"The rows hold {counts} placeholders {PLACEHOLDER}, but "
                f"{[len(row) for row in nested]} series were given.",
                hint="Write <ts><ts/> once for every series.",
            )
        return [[self._normalise(series) for series in row] for row in nested]

    def _normalise(self, series: ArrayLike) -> Normalised:
        one = normalise(series)
        limit = self.config.max_samples
        if limit is not None and len(one.raw) > limit:
            raise SeriesValidationError(
                f"A series has {len(one.raw)} samples; this model takes at most {limit}.",
                hint="Cut the series into windows, or thin it out.",
            )
        return one

    def _expand(self, text: str, series: Sequence[Normalised]) -> list[int]:
        pieces = text.split(PLACEHOLDER)
        if len(pieces) != len(series) + 1 or any(
            re.search(f"{TS_START}|{TS_END}", piece) for piece in pieces
        ):
            raise SeriesError(
                f"The text holds {len(pieces) - 1} placeholders {PLACEHOLDER} for {len(series)} "
                "series, or one half of a placeholder.",
                hint="Write <ts><ts/> once for every series, and neither half of it elsewhere.",
            )
        prefixes = [render_prefix(one, self.config.prefix) for one in series] + [""]
        # One <ts> per series goes through the tokenizer, so that what it merges is what it merges
        # in the official order; the others are put in afterwards.
        marked = TS_START.join(p + prefix for p, prefix in zip(pieces, prefixes, strict=True))
        tokens = self.tokenizer.encode(marked, add_special_tokens=False)
        counts = iter([self.patch_count(len(one.raw)) for one in series])
        ids: list[int] = []
        for token in tokens:
            ids += [token] * (next(counts) if token == self.ts_start_id else 1)
        return ids

    def _pad(self, ids: list[list[int]], side: str) -> Batch:
        """The pad id fills ``input_ids`` only; what is padding is said by the mask alone."""
        longest = max(map(len, ids))
        pad = self.tokenizer.pad_token_id
        tokens = torch.full((len(ids), longest), 0 if pad is None else int(pad), dtype=torch.long)
        mask = torch.zeros_like(tokens)
        for row, one in enumerate(ids):
            where = slice(longest - len(one), None) if side == "left" else slice(0, len(one))
            tokens[row, where] = torch.tensor(one, dtype=torch.long)
            mask[row, where] = 1
        return {"input_ids": tokens, "attention_mask": mask}

    def _stack(self, rows: list[list[Normalised]]) -> Batch:
        most = max(map(len, rows))
        if not most:
            return {}
        longest = max(len(one.raw) for row in rows for one in row)
        values: NDArray[np.float32] = np.zeros((len(rows), most, longest), dtype=np.float32)
        lengths = torch.zeros(len(rows), most, dtype=torch.long)
        for r, row in enumerate(rows):
            for s, one in enumerate(row):
                values[r, s, : len(one.raw)] = one.values
                lengths[r, s] = len(one.raw)
        return {"timeseries": torch.from_numpy(values), "ts_lengths": lengths}


def load_tokenizer(directory: Path) -> Any:
    """The tokenizer in a local directory, never from a hub and never with code of its own."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(
        str(directory), local_files_only=True, trust_remote_code=False
    )


def _check_side(side: str) -> None:
    if side not in ("left", "right"):
        raise ConfigError(f"processor.padding_side is {side!r}; choose 'left' or 'right'.")


def _is_row(item: Any) -> bool:
    """True for a row's list of series, false for a series."""
    if isinstance(item, np.ndarray):
        return item.ndim == 2
    return isinstance(item, list | tuple) and (not item or np.ndim(cast("Any", item[0])) > 0)


def _split(flat: list[Any], counts: list[int]) -> list[list[Any]]:
    """All series of a batch in one list, cut by the placeholders of each row."""
    if any(_is_row(item) for item in flat):
        raise SeriesError(
            "Lists of series and single series are mixed; give one kind for all rows."
        )
    if len(flat) != sum(counts):
        raise SeriesError(
            f"The rows hold {counts} placeholders {PLACEHOLDER}, but {len(flat)} series were "
            "given.",
            hint="Write <ts><ts/> once for every series.",
        )
    ends = np.cumsum(counts)
    return [flat[end - count : end] for end, count in zip(ends, counts, strict=True)]
