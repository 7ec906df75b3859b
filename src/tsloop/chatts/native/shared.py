"""One copy of a base in memory, whoever uses it; adapters come and go on it.

A base takes gigabytes and an adapter little, so that detectors keep their adapter as the bytes of
its files, and the base, which is loaded once per process, carries the one that was asked for last.
"""

from __future__ import annotations

import dataclasses
import gc
import json
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tsloop.chatts.config import FinetuneConfig
from tsloop.chatts.model import deterministic
from tsloop.chatts.native.checkpoints import load_checkpoint, load_processor
from tsloop.chatts.native.processor import TimeSeriesProcessor
from tsloop.chatts.native.settings import ChattsLlmConfig, checkpoint_directory
from tsloop.chatts.native.shards import weight_files
from tsloop.chatts.native.tuning import (
    BaseIdentity,
    TuneData,
    base_identity,
    check_base,
    load_tuned,
    save_tuned,
    tune,
    untuned,
)
from tsloop.chatts.native.tuning.trainable import LORA_METHODS, record_of
from tsloop.errors import ConfigError

__all__ = ["SharedBase", "StoredAdapter", "shared_base"]

CONFIG = "adapter_config.json"


@dataclass(frozen=True, eq=False)
class StoredAdapter:
    """The files of an adapter by name, as `save_tuned` wrote them; told apart by identity."""

    files: Mapping[str, bytes]

    @property
    def has_head(self) -> bool:
        """Whether a score head was trained with it."""
        return bool(json.loads(self.files[CONFIG]).get("score_head"))

    @classmethod
    def read(cls, directory: Path, base: BaseIdentity) -> StoredAdapter:
        """The files in a directory, which must be of this base; the rest is checked at use."""
        check_base(directory, base)
        files = {p.name: p.read_bytes() for p in sorted(directory.iterdir()) if p.is_file()}
        return cls(files)

    def write(self, directory: Path) -> None:
        """Write the files into an existing directory."""
        for name, data in self.files.items():
            (directory / name).write_bytes(data)


class SharedBase:
    """A checkpoint with its processor and the adapter that it carries now; see the module text."""

    def __init__(self, directory: Path, config: ChattsLlmConfig) -> None:
        self.directory = directory
        self.quantization, self.dtype = config.quantization, config.dtype
        self.device = _device(config.device)
        self.identity: BaseIdentity = base_identity(directory)
        self._model: Any = None
        self._processor: TimeSeriesProcessor | None = None
        self._carried: StoredAdapter | None = None
        self._tuned: Any = None
        self._lock = threading.RLock()

    @property
    def processor(self) -> TimeSeriesProcessor:
        """The processor of the checkpoint."""
        with self._lock:
            if self._processor is None:
                self._processor = load_processor(self.directory, self._plain())
            return self._processor

    @property
    def positions(self) -> int:
        """Most tokens that the language model takes."""
        with self._lock:
            return int(self._plain().config.max_position_embeddings)

    @contextmanager
    def answering(self, adapter: StoredAdapter | None, threads: int) -> Iterator[Any]:
        """The model with an adapter (or without), for this thread alone."""
        with self._lock, _reproducible(self.device, threads):
            yield self._with(adapter)

    def tune(
        self,
        data: TuneData,
        settings: FinetuneConfig,
        *,
        labels: Sequence[str],
        bidirectional: bool,
        start: StoredAdapter | None,
        seed: int,
        **how: Any,
    ) -> tuple[StoredAdapter, Any]:
        """Tune the base, starting from an adapter; the new adapter and the result without model.

        ``how`` goes to `tsloop.chatts.native.tuning.tune`: answer, prompt_of, progress and
        checkpoint_dir.
        """
        with self._lock, tempfile.TemporaryDirectory(prefix="tsloop-") as scratch:
            before, after = Path(scratch) / "before", Path(scratch) / "after"
            before.mkdir()
            after.mkdir()
            if start is not None:
                start.write(before)
            self._release()
            model = self._plain()
            if how["answer"] != "generate" or (start is not None and start.has_head):
                model.add_score_head(labels, bidirectional=bidirectional, seed=seed)
            try:
                result = tune(
                    model,
                    self.processor,
                    data,
                    settings,
                    start=before if start is not None else None,
                    seed=seed,
                    **how,
                )
                save_tuned(after, result.model, self.identity)
            except BaseException:
                self._forget()
                raise
            self._tuned = result.model
            if settings.method == "qlora":
                self._forget()  # some of the base is float32 since it was made ready for training
            self._release()
            return StoredAdapter.read(after, self.identity), dataclasses.replace(result, model=None)

    def _plain(self) -> Any:
        """The base, with whatever adapter it carries at the moment."""
        if self._model is None:
            self._model = load_checkpoint(
                self.directory,
                dtype=_dtype(self.dtype, self.device),
                device=self.device,
                quantization=None if self.quantization == "none" else self.quantization,
            )
        return self._model

    def _with(self, adapter: StoredAdapter | None) -> Any:
        if adapter is not self._carried:
            self._release()
        if adapter is None:
            return self._plain()
        if self._tuned is None:
            with tempfile.TemporaryDirectory(prefix="tsloop-") as scratch:
                adapter.write(Path(scratch))
                with torch.random.fork_rng(devices=[]):
                    self._tuned = load_tuned(self._plain(), Path(scratch), self.identity)
            self._carried = adapter
        return self._tuned

    def _release(self) -> None:
        """The base as it was loaded: LoRA and score head come off, a full tuning is loaded over."""
        if self._tuned is None:
            return
        method = record_of(self._tuned).method
        if method == "full":
            self._forget()
            return
        model = untuned(self._tuned) if method in LORA_METHODS else self._tuned
        if method == "head":
            del model.tuning
        model.score_head = model.config.score_head = None
        self._model, self._tuned, self._carried = model, None, None

    def _forget(self) -> None:
        self._model = self._tuned = self._carried = None
        gc.collect()
        if self.device == "cuda":
            torch.cuda.empty_cache()


_BASES: dict[tuple[Any, ...], SharedBase] = {}
_BASES_LOCK = threading.Lock()


def shared_base(config: ChattsLlmConfig) -> SharedBase:
    """The base that the settings name; the same object for the same files and way of loading.

    `ModelFileError` where there is no checkpoint, `ConfigError` where there is no GPU.
    """
    directory = checkpoint_directory(config).resolve()
    stats = [file.stat() for file in [directory / "config.json", *weight_files(directory)]]
    files = tuple((stat.st_size, stat.st_mtime_ns) for stat in stats)
    key = (directory, files, config.quantization, config.dtype, _device(config.device))
    with _BASES_LOCK:
        if key not in _BASES:
            _BASES[key] = SharedBase(directory, config)
        return _BASES[key]


def _device(name: str) -> str:
    there = torch.cuda.is_available()
    if name == "cuda" and not there:
        raise ConfigError(
            "detector.device is 'cuda', but torch sees no GPU.",
            hint="Set detector.device=auto, or install a CUDA build of torch (docs/install.md).",
        )
    return "cuda" if there and name != "cpu" else "cpu"


def _dtype(name: str, device: str) -> torch.dtype:
    if name == "auto":
        return torch.bfloat16 if device == "cuda" else torch.float32
    found: torch.dtype = getattr(torch, name)
    return found


@contextmanager
def _reproducible(device: str, threads: int) -> Iterator[None]:
    """Deterministic algorithms on a CPU; GPUs lack some of those that are used here."""
    if device != "cpu":
        yield
        return
    with deterministic(threads):
        yield
