"""What is kept on disk is a copy: the same numbers with it, without it, and when it is damaged."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tsloop.signals import kept as room
from tsloop.signals import knn
from tsloop.signals.kept import keep_in, kept


@pytest.fixture(autouse=True)
def nowhere_afterwards() -> Iterator[None]:
    yield
    keep_in(None)


def wave(n: int = 400) -> np.ndarray:
    return np.sin(np.arange(n) / 9.0) + np.random.default_rng(0).normal(size=n) / 9.0


def files(directory: Path) -> list[Path]:
    return sorted(directory.glob("*/*"))


def test_the_distance_is_computed_once_for_values_and_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = knn.knn_distance(wave())
    keep_in(tmp_path)
    assert np.array_equal(knn.knn_distance(wave()), plain)
    assert len(files(tmp_path)) == 1
    monkeypatch.setattr(knn, "_kth_squared_distance", None)  # nothing is computed any more
    assert np.array_equal(knn.knn_distance(wave()), plain)
    for other in (lambda: knn.knn_distance(wave() + 1e-9), lambda: knn.knn_distance(wave(), k=4)):
        with pytest.raises(TypeError):
            other()


@pytest.mark.parametrize("damage", ["cut", "empty", "pickle", "length", "nan"])
def test_what_is_damaged_is_computed_again(damage: str, tmp_path: Path) -> None:
    keep_in(tmp_path)
    plain = knn.knn_distance(wave())
    path = files(tmp_path)[0]
    whole = path.read_bytes()
    if damage == "cut":
        path.write_bytes(whole[:-8])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "pickle":
        with path.open("wb") as stream:
            np.save(stream, np.array([{}]), allow_pickle=True)
    elif damage == "length":
        np.save(path, plain[:-1])
    else:
        np.save(path, np.full(len(plain), np.nan))
    assert np.array_equal(knn.knn_distance(wave()), plain)
    assert path.read_bytes() == whole


def test_other_code_does_not_use_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep_in(tmp_path)
    knn.knn_distance(wave())
    monkeypatch.setattr(room, "_code", lambda: "another release")
    knn.knn_distance(wave())
    assert len(files(tmp_path)) == 2


def test_a_directory_that_cannot_be_written_costs_time_only(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    keep_in(tmp_path / "file")
    assert len(knn.knn_distance(wave())) == 400


def test_the_longest_unused_go_first(tmp_path: Path) -> None:
    keep_in(tmp_path)
    for number in range(10):
        kept("x", np.full(1000, float(number)), (), lambda: np.zeros(1000))
    held = files(tmp_path)
    for path in held:
        stamp = 1_000_000.0 + held.index(path)
        os.utime(path, (stamp, stamp))
    size = held[0].stat().st_size
    keep_in(tmp_path, most_bytes=10 * size)
    assert files(tmp_path) == held
    keep_in(tmp_path, most_bytes=10 * size - 1)
    assert files(tmp_path) == held[3:]
