import os
from pathlib import Path

import pytest

from tsloop import files
from tsloop.errors import TsloopError


def test_writing_replaces_in_one_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "deep" / "labels.jsonl"
    files.write_text_atomic(path, "old")

    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        files.write_text_atomic(path, "new and longer")
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


def test_json_is_deterministic_and_finite(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    files.write_json(path, {"b": 1, "a": "异常"})
    assert path.read_text("utf-8") == '{\n  "a": "异常",\n  "b": 1\n}\n'
    assert files.read_json(path) == {"a": "异常", "b": 1}
    with pytest.raises(ValueError, match="Out of range"):
        files.write_json(path, {"x": float("nan")})
    with pytest.raises(TsloopError, match="does not exist"):
        files.read_json(tmp_path / "none.json")
    path.write_text("{")
    with pytest.raises(TsloopError, match="not valid JSON"):
        files.read_json(path)


def test_jsonl_names_the_broken_line(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    files.write_jsonl(path, [{"a": 1}, {"a": 2}])
    assert [row["a"] for row in files.read_jsonl(path)] == [1, 2]
    path.write_text('{"a": 1}\n{"a":\n')
    with pytest.raises(TsloopError, match="line 2 is not valid JSON"):
        files.read_jsonl(path)
    path.write_text("[1]\n")
    with pytest.raises(TsloopError, match="line 1 is not a JSON object"):
        files.read_jsonl(path)
    with pytest.raises(TsloopError, match="does not exist"):
        files.read_jsonl(tmp_path / "none.jsonl")


def test_a_fresh_directory_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with files.fresh_dir(target) as directory:
        (directory / "a").write_text("1")
        assert not target.exists()
    first = files.sha256_tree(target)
    with pytest.raises(FileNotFoundError), files.fresh_dir(target) as directory:
        (directory / "missing" / "b").write_text("2")
    assert files.sha256_tree(target) == first
    with files.fresh_dir(target) as directory:
        (directory / "b").write_text("2")
    assert [p.name for p in target.iterdir()] == ["b"]
    assert files.sha256_tree(target) != first
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
