"""`tsloop detect` over many series: several processes, resume, one result file a series."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from detect_tools import detect, read_table, write_series

from tsloop.detectors import build
from tsloop.detectors.files import save_detector
from tsloop.errors import JobError, MissingExtraError, SeriesValidationError, SourceError
from tsloop.files import read_json, sha256_tree


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder ``in`` with five series in four files, one of them broken, and a small model."""
    folder = tmp_path / "in"
    folder.mkdir()
    for number, spike in enumerate((250, None, 120)):
        write_series(folder / f"s{number}.csv", spike=spike)
    rows = (folder / "s0.csv").read_text().splitlines()
    wide = [f"{row},{row.split(',')[1]}" for row in rows[1:]]
    (folder / "wide.csv").write_text("\n".join(["timestamp,a,b", *wide]) + "\n")
    (folder / "bad.csv").write_text("")
    detector = build({"_target_": "tsloop.detectors.knn.KnnDetector"})
    save_detector(detector, tmp_path / "model")
    return tmp_path


def run(place: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    return detect(place, monkeypatch, "in", "--model", "model", "--no-pictures", *arguments)


def results(place: Path, out: str = "detections") -> list[Path]:
    return sorted((place / out / "results").glob("*/*.json"))


def test_there_is_one_result_a_series_and_a_summary(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(place, monkeypatch) == 1  # one is broken
    said = capsys.readouterr()
    assert "6 series: " in said.out
    assert "1 failed" in said.out
    assert "1 of 6 series could not be scored:\n  bad.csv: bad.csv is empty." in said.err
    summary = read_table(place / "detections" / "summary.csv")
    assert [row["series_id"] for row in summary] == [
        "bad.csv",
        "s0",
        "s1",
        "s2",
        "wide/a",
        "wide/b",
    ]
    assert summary[0]["status"] == "failed"
    assert int(summary[1]["n_events"]) >= 1
    assert len(results(place)) == 6
    assert {read_json(path)["series_id"] for path in results(place)} == {
        row["series_id"] for row in summary
    }


def test_several_processes_find_the_same(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(place, monkeypatch, "--out", "one")
    run(place, monkeypatch, "--out", "two", "--jobs", "2")
    assert sha256_tree(place / "one") == sha256_tree(place / "two")


def test_what_is_done_is_not_done_again(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(place, monkeypatch)
    before = {path: path.stat().st_mtime_ns for path in results(place)}
    whole = sha256_tree(place / "detections")
    gone = results(place)[2]
    gone.unlink()
    (gone.parent / ".x.json.tmp-999999999").write_text("{")
    capsys.readouterr()
    assert run(place, monkeypatch) == 1
    assert "4 were done before" in capsys.readouterr().out  # the failed one is tried again
    assert sha256_tree(place / "detections") == whole
    again = [path for path, time in before.items() if path.stat().st_mtime_ns != time]
    assert {read_json(path)["series_id"] for path in again} == {
        "bad.csv",
        read_json(gone)["series_id"],
    }


def test_another_file_setting_or_model_is_another_result(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(place, monkeypatch)
    write_series(place / "in" / "s1.csv", spike=300)
    (place / "in" / "bad.csv").unlink()
    capsys.readouterr()
    assert run(place, monkeypatch) == 0
    said = capsys.readouterr().out
    assert ("4 were done before" in said, "Kept" in said) == (True, False)
    rows = read_table(place / "detections" / "detections.csv")
    assert any(row["series_id"] == "s1" and row["start"] for row in rows)
    assert "bad.csv" not in {read_json(path)["series_id"] for path in results(place)}
    assert run(place, monkeypatch, "--set", "prepare.min_rows=20") == 0
    assert "done before" not in capsys.readouterr().out
    residual = build({"_target_": "tsloop.detectors.residual.ResidualDetector"})
    save_detector(residual, place / "model")
    assert run(place, monkeypatch) == 0
    assert "done before" not in capsys.readouterr().out
    assert len({path.parent for path in results(place)}) == 3


def test_a_picture_that_is_gone_is_drawn_again(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("in/s0.csv", "--model", "model")
    assert detect(place, monkeypatch, *arguments) == 0
    (place / "detections" / "s0.png").unlink()
    assert detect(place, monkeypatch, *arguments) == 0
    assert (place / "detections" / "s0.png").is_file()


def test_a_model_that_cannot_be_loaded_is_one_message(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (place / "model").iterdir():
        path.unlink()
    for jobs in ("1", "2"):
        assert run(place, monkeypatch, "--jobs", jobs) == 1
        said = capsys.readouterr().err
        assert "tsloop: " in said
        assert "Traceback" not in said
    assert run(place, monkeypatch, "--jobs", "0") == 1
    assert "--jobs 0 is not positive" in capsys.readouterr().err


@pytest.mark.parametrize(
    "error",
    [
        SourceError("what.", hint="mend."),
        MissingExtraError("p", "e"),
        SeriesValidationError("w", row=3, column="c", hint="h", series_id="s", reason="r"),
        JobError("x"),
    ],
)
def test_an_error_comes_whole_out_of_another_process(error: Exception) -> None:
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is type(error)
    assert str(back) == str(error)
    assert back.__dict__ == error.__dict__


def test_what_is_left_of_series_that_are_gone_is_removed(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Own files alone, of any model and setting; and never those of somebody else."""
    (place / "in" / "bad.csv").unlink()
    out = place / "detections"
    assert detect(place, monkeypatch, "in", "--model", "model") == 0
    assert run(place, monkeypatch, "--contrast") == 0
    (out / "mine.png").write_bytes(b"mine")
    (out / "results" / "note.json").write_text("{}")
    (out / "results" / "other").mkdir()
    (out / "results" / "other" / "mine.json").write_text('{"series_id": "gone"}')
    assert len(list(out.glob("*.png"))) == 6
    (place / "in" / "wide.csv").unlink()
    capsys.readouterr()
    assert detect(place, monkeypatch, "in", "--model", "model", "--prune") == 0
    said = capsys.readouterr().out
    assert "Removed the results and pictures of 2 series of earlier runs: not in in." in said
    assert sorted(p.name for p in out.glob("*.png")) == ["mine.png", "s0.png", "s1.png", "s2.png"]
    left = [read_json(path)["series_id"] for path in results(place) if path.name != "mine.json"]
    assert sorted(left) == ["s0", "s0", "s1", "s1", "s2", "s2"]
    assert (out / "results" / "note.json").exists()
    assert (out / "results" / "other" / "mine.json").exists()
    assert detect(place, monkeypatch, "in", "--model", "model", "--prune") == 0
    assert "Removed" not in capsys.readouterr().out


def test_another_run_keeps_what_is_there(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of one file of many, with the same OUT."""
    (place / "in" / "bad.csv").unlink()
    assert detect(place, monkeypatch, "in", "--model", "model") == 0
    whole = sha256_tree(place / "detections")
    capsys.readouterr()
    assert detect(place, monkeypatch, "in/s0.csv", "--model", "model") == 0
    said = capsys.readouterr().out
    assert "Kept the results and pictures of 4 series of earlier runs" in said
    assert "in in/s0.csv: --prune removes them." in said
    assert [r["series_id"] for r in read_table(place / "detections" / "summary.csv")] == ["s0"]
    assert detect(place, monkeypatch, "in", "--model", "model") == 0
    assert "5 were done before" in capsys.readouterr().out
    assert sha256_tree(place / "detections") == whole


def test_nothing_is_removed_while_a_file_cannot_be_read(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A wide file holds several series, and their names are in it."""
    (place / "in" / "bad.csv").unlink()
    arguments = ("in", "--model", "model", "--prune")
    assert detect(place, monkeypatch, *arguments) == 0
    text = (place / "in" / "wide.csv").read_text()
    (place / "in" / "wide.csv").write_text("")
    capsys.readouterr()
    assert detect(place, monkeypatch, *arguments) == 1
    assert "1 file of in cannot be read (first: wide.csv), and may" in capsys.readouterr().out
    (place / "in" / "wide.csv").write_text(text)
    assert detect(place, monkeypatch, *arguments) == 0
    said = capsys.readouterr().out
    assert "5 were done before" in said
    assert len(list((place / "detections").glob("wide*.png"))) == 2


def test_a_picture_that_was_drawn_over_is_drawn_again(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Alone, ``a b`` and ``a_b`` have a picture of the same name."""
    for folder, name in (("one", "a b"), ("two", "a_b")):
        (place / folder).mkdir()
        write_series(place / folder / f"{name}.csv", spike=250 if folder == "one" else None)
    assert detect(place, monkeypatch, "one", "--model", "model") == 0
    picture = (place / "detections" / "a_b.png").read_bytes()
    assert detect(place, monkeypatch, "two", "--model", "model") == 0
    assert (place / "detections" / "a_b.png").read_bytes() != picture
    assert detect(place, monkeypatch, "one", "--model", "model") == 0
    assert (place / "detections" / "a_b.png").read_bytes() == picture
