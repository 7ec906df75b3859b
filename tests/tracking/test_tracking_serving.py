"""The served model: a table of samples in, a table of detections out."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tracking_project import ProjectBuilder

from tsloop.detectors.files import save_detector
from tsloop.detectors.knn import KnnDetector
from tsloop.errors import ModelFileError, SeriesError
from tsloop.files import sha256_tree, write_json
from tsloop.tracking.config import TrackingConfig, store_uri
from tsloop.tracking.model_files import save_served_model
from tsloop.tracking.serving import OUTPUT_COLUMNS, detect_frame, input_example
from tsloop.tracking.sync import sync


def wave(n_rows: int = 400, spike_at: int | None = 200, *, series_id: str = "") -> pd.DataFrame:
    """A daily wave with noise and, where wanted, one fault of five rows."""
    rng = np.random.default_rng(7)
    values = np.sin(np.arange(n_rows) * 2 * np.pi / 24) + rng.normal(0, 0.02, n_rows)
    if spike_at is not None:
        values[spike_at : spike_at + 5] += 6.0
    frame = pd.DataFrame(
        {"timestamp": pd.date_range("2024-01-01", periods=n_rows, freq="h"), "value": values}
    )
    if series_id:
        frame["series_id"] = series_id
    return frame


@pytest.fixture(scope="module")
def detector() -> KnnDetector:
    return KnnDetector()


def test_an_interval_is_one_row(detector: KnnDetector) -> None:
    found = detect_frame(detector, wave())
    assert tuple(found.columns) == OUTPUT_COLUMNS
    (row,) = found.to_dict("records")
    assert (row["series_id"], row["status"]) == ("series", "ok")
    assert 198 <= row["start"] <= 200 <= 204 <= row["end"] <= 210
    assert row["t_start"] == wave()["timestamp"][row["start"]].strftime("%Y-%m-%dT%H:%M:%SZ")
    assert row["t_end"] == wave()["timestamp"][row["end"]].strftime("%Y-%m-%dT%H:%M:%SZ")
    assert row["label"]
    assert 0 <= row["score"] <= 1


def test_series_are_judged_one_by_one_in_their_order(detector: KnnDetector) -> None:
    frames = [wave(series_id="b"), wave(spike_at=None, series_id="a"), wave(3, None, series_id="c")]
    mixed = pd.concat(frames).sample(frac=1.0, random_state=0).sort_index(kind="stable")
    found = detect_frame(detector, mixed)
    by_id = {row["series_id"]: row for row in found.to_dict("records")}
    assert by_id["b"]["status"] == "ok"
    assert by_id["b"]["start"] in range(198, 201)
    assert by_id["a"]["status"] == "none"
    assert by_id["a"]["start"] is None
    assert by_id["a"]["score"] is None
    assert by_id["c"]["status"] == "failed"
    assert by_id["c"]["reason"]
    assert list(found["series_id"]) == list(dict.fromkeys(mixed["series_id"]))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda f: f.assign(value=["1,5", *f["value"][1:]]), r"'1,5', not a number"),
        (lambda f: f.assign(value=[True, *f["value"][1:]]), "True, not a number"),
        (lambda f: f.assign(value=[np.inf, *f["value"][1:]]), "infinite value in row 0"),
        (lambda f: f.assign(timestamp=["then", *f["timestamp"][1:].astype(str)]), "ISO 8601"),
        (lambda f: f.assign(timestamp=[None, *f["timestamp"][1:].astype(str)]), "row 0 is None"),
        (lambda f: f.assign(timestamp=[pd.NaT, *f["timestamp"][1:]]), "row 0 is missing"),
        (lambda f: f.assign(timestamp=[17, *f["timestamp"][1:].astype(str)]), "row 0 is 17"),
        (lambda f: f.iloc[::-1], "not after the one before"),
    ],
)
def test_a_fault_in_one_series_fails_that_series_only(
    detector: KnnDetector, spoil: Callable[[pd.DataFrame], pd.DataFrame], reason: str
) -> None:
    bad = spoil(wave(30, None)).assign(series_id="bad")
    good = wave(series_id="good").astype({"timestamp": str})
    found = detect_frame(detector, pd.concat([bad.astype({"timestamp": object}), good]))
    rows = {row["series_id"]: row for row in found.to_dict("records")}
    assert rows["bad"]["status"] == "failed"
    assert rows["good"]["status"] == "ok"
    assert reason.replace(r"\.", ".") in rows["bad"]["reason"]


def test_what_is_wrong_with_the_whole_table_is_an_error(detector: KnnDetector) -> None:
    with pytest.raises(SeriesError, match=r"no column timestamp and value; it has \['x'\]"):
        detect_frame(detector, pd.DataFrame({"x": [1]}))
    with pytest.raises(SeriesError, match=r"numbers .*date_format='iso'"):
        detect_frame(detector, pd.DataFrame({"timestamp": [1], "value": [1.0]}))
    frame = wave(3, None, series_id="a").assign(series_id=["a", None, "a"])
    with pytest.raises(SeriesError, match="Row 1 has no series_id"):
        detect_frame(detector, frame)


def test_an_empty_table_gives_an_empty_table(detector: KnnDetector) -> None:
    for frame in (wave(0, None), wave(0, None, series_id="x")):
        found = detect_frame(detector, frame)
        assert tuple(found.columns) == OUTPUT_COLUMNS
        assert len(found) == 0


def test_zones_integers_and_gaps_are_welcome(detector: KnnDetector) -> None:
    plain = detect_frame(detector, wave()).to_dict("records")
    zoned = wave()
    zoned["timestamp"] = zoned["timestamp"].dt.tz_localize("UTC").dt.tz_convert("Asia/Shanghai")
    assert detect_frame(detector, zoned).to_dict("records") == plain
    text = wave().astype({"timestamp": str})
    assert detect_frame(detector, text).to_dict("records") == plain
    whole = wave().assign(value=(wave()["value"] * 100).round().astype(int))
    assert detect_frame(detector, whole)["status"].tolist() == ["ok"]
    gappy = wave().astype({"value": object})
    gappy.loc[10, "value"] = None
    gappy.loc[11, "value"] = pd.NA
    assert detect_frame(detector, gappy)["status"].tolist() == ["ok"]


def test_a_result_is_json_without_nan(detector: KnnDetector) -> None:
    frames = pd.concat([wave(series_id="a"), wave(spike_at=None, series_id="b")])
    text = json.dumps(detect_frame(detector, frames).to_dict("records"), allow_nan=False)
    assert "null" in text


# --- through MLflow ----------------------------------------------------------------------------


@pytest.fixture
def champion(builder: ProjectBuilder, migrated_database: Path, detector: KnnDetector) -> Path:
    """A project whose champion is a real detector; returns its root."""
    from tsloop.tracking.history import Promotion, append

    builder.iteration("it001", variants={"knn": 0.5})
    directory = builder.project.model("it001", "knn")
    save_detector(detector, directory)
    write_json(
        builder.project.registry("it001"), builder.entry("it001", "base", {"knn": 0.5}, rank=1)
    )
    evidence = {"model_sha256": sha256_tree(directory)}
    append(
        builder.project,
        Promotion("2026-01-01T00:00:00Z", "me", "promote", None, "it001/knn", evidence),
    )
    report = sync(builder.root, TrackingConfig(), project_name="demo")
    assert report.aliases == {"champion": "it001/knn"}
    return builder.root


def test_the_saved_model_is_code_and_files_without_pickle(
    tmp_path: Path, detector: KnnDetector
) -> None:
    import mlflow

    save_detector(detector, tmp_path / "it001" / "knn")
    directory = tmp_path / "it001" / "knn"
    save_served_model(tmp_path / "saved", directory, {"model.sha256": sha256_tree(directory)})
    names = {path.name for path in (tmp_path / "saved").rglob("*") if path.is_file()}
    assert not [name for name in names if name.endswith((".pkl", ".pickle", ".bin"))]
    assert {"MLmodel", "served_model.py", "detector.json", "input_example.json"} <= names
    info = mlflow.models.get_model_info(str(tmp_path / "saved"))
    assert info.signature.inputs.input_names() == ["timestamp", "value", "series_id"]
    assert info.signature.outputs.input_names() == list(OUTPUT_COLUMNS)
    model = mlflow.pyfunc.load_model(str(tmp_path / "saved"))
    expected = detect_frame(detector, wave(series_id="p")).to_dict("records")
    assert model.predict(wave(series_id="p")).to_dict("records") == expected
    assert model.predict(input_example())["status"].tolist() == ["failed"]  # five rows only


def test_the_champion_answers(champion: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow

    uri = store_uri(champion, TrackingConfig())
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    try:
        model = mlflow.pyfunc.load_model("models:/tsloop@champion")
        assert model.predict(wave())["status"].tolist() == ["ok"]
        whole = wave().assign(value=(wave()["value"] * 100).round().astype(int))
        assert model.predict(whole)["status"].tolist() == ["ok"]
    finally:
        mlflow.set_tracking_uri(None)
        mlflow.set_registry_uri(None)


def test_a_damaged_version_fails_when_it_is_loaded(tmp_path: Path, detector: KnnDetector) -> None:
    import mlflow

    save_detector(detector, tmp_path / "knn")
    save_served_model(tmp_path / "saved", tmp_path / "knn", {})
    (manifest,) = (tmp_path / "saved").rglob("detector.json")
    (manifest.parent / "weights.pkl").write_bytes(b"\x80\x04")
    with pytest.raises(Exception, match="may be a pickle"):
        mlflow.pyfunc.load_model(str(tmp_path / "saved"))


def test_a_version_with_another_model_in_it_fails(tmp_path: Path, detector: KnnDetector) -> None:
    """Whoever changes files and their manifest alike is found out by the registered hash."""
    import mlflow

    save_detector(detector, tmp_path / "knn")
    metadata = {"model.sha256": sha256_tree(tmp_path / "knn")}
    save_served_model(tmp_path / "saved", tmp_path / "knn", metadata)
    save_detector(detector, tmp_path / "saved" / "artifacts" / "knn", {"seed": 2})
    with pytest.raises(ModelFileError, match=r"not the model that was registered.*tracking sync"):
        mlflow.pyfunc.load_model(str(tmp_path / "saved"))


@pytest.mark.slow
def test_the_champion_answers_in_a_fresh_process(champion: Path, tmp_path: Path) -> None:
    wave().to_csv(tmp_path / "wave.csv", index=False)
    code = (
        "import mlflow, pandas as pd\n"
        "model = mlflow.pyfunc.load_model('models:/tsloop@champion')\n"
        "print(model.predict(pd.read_csv('wave.csv')).to_json(orient='records'))"
    )
    environment = {**os.environ, "MLFLOW_TRACKING_URI": store_uri(champion, TrackingConfig())}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    (row,) = json.loads(done.stdout.splitlines()[-1])
    assert row["status"] == "ok"


@pytest.mark.slow
def test_mlflow_serves_the_champion(champion: Path, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--env-manager", "local"]
    command += ["-m", "models:/tsloop@champion", "--host", "127.0.0.1", "--port", str(port)]
    environment = {
        **os.environ,
        "MLFLOW_TRACKING_URI": store_uri(champion, TrackingConfig()),
        # MLflow starts "uvicorn" by name, as in an activated environment.
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    with (tmp_path / "serve.log").open("wb") as log:
        server = subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        _wait_for(f"http://127.0.0.1:{port}/ping", server)
        frames = pd.concat([wave(series_id="a"), wave(spike_at=None, series_id="b")])
        split = json.loads(frames.to_json(orient="split", date_format="iso", index=False))
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/invocations",
            json.dumps({"dataframe_split": split}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            rows = json.loads(answer.read())["predictions"]
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=30)
    assert [(row["series_id"], row["status"]) for row in rows] == [("a", "ok"), ("b", "none")]
    assert rows[0]["start"] in range(198, 201)
    assert rows[1]["start"] is None


def _wait_for(url: str, server: subprocess.Popen[bytes], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert server.poll() is None, "the server ended"
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.5)
    raise AssertionError(f"{url} did not answer within {seconds} s")
