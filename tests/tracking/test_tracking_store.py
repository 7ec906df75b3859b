"""The store is made once, found again from anywhere, and survives many processes."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import pytest
from tracking_project import (
    ProjectBuilder,
    begin_run_and_die,
    open_fresh,
    record,
    sync_project,
    write_runs,
)

from tsloop.errors import ConfigError, TrackingError
from tsloop.tracking.config import TrackingConfig, store_uri
from tsloop.tracking.runs import children, close_orphans
from tsloop.tracking.store import Store, discard_store, local_path, open_store, redacted
from tsloop.tracking.sync import sync

PRELOAD = [
    "mlflow.pyfunc",
    "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.store.model_registry.sqlalchemy_store",
    "tsloop.tracking.sync",
]


@pytest.fixture(scope="module")
def workers() -> Iterator[ProcessPoolExecutor]:
    """Eight real processes; MLflow is imported once, in the server that forks them."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    with ProcessPoolExecutor(8, mp_context=context) as pool:
        yield pool


def test_importing_the_package_does_not_import_mlflow() -> None:
    code = (
        "import sys, tsloop.tracking, tsloop.tracking.promotions, tsloop.tracking.sync\n"
        "print([m for m in ('mlflow', 'sqlalchemy', 'torch', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "mlflow" not in done.stdout
    assert "sqlalchemy" not in done.stdout
    assert "torch" not in done.stdout


# --- M2: no file store -------------------------------------------------------------------------


@pytest.mark.parametrize("uri", ["mlruns", "./mlruns", "/data/mlruns", "file:///data/mlruns"])
def test_a_directory_of_files_is_refused_with_the_fix(uri: str) -> None:
    with pytest.raises(ConfigError, match=r"Leave tracking\.uri empty") as caught:
        TrackingConfig(uri=uri)
    assert uri in str(caught.value)


@pytest.mark.parametrize("uri", ["sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite:///a?b"])
def test_a_database_that_is_no_file_is_refused(uri: str) -> None:
    with pytest.raises(ConfigError, match="not a SQLite file"):
        TrackingConfig(uri=uri)


@pytest.mark.parametrize(
    "uri", ["", "http://127.0.0.1:5000", "postgresql+psycopg2://u@h/db", "${oc.env:TSLOOP_MLFLOW}"]
)
def test_servers_and_the_default_are_taken(uri: str) -> None:
    assert TrackingConfig(uri=uri).uri == uri


@pytest.mark.parametrize("name", ["", "a/b", "a b", "a:b", ".x"])
def test_a_model_name_that_mlflow_cannot_address_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="registered_model"):
        TrackingConfig(registered_model=name)


# --- where it is -------------------------------------------------------------------------------


def test_the_uri_is_absolute_wherever_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p").mkdir()
    expected = f"sqlite:///{tmp_path}/p/.tsloop/mlflow.db"
    assert store_uri(Path("p"), TrackingConfig()) == expected
    assert store_uri(Path("p"), TrackingConfig(uri="sqlite:///.tsloop/mlflow.db")) == expected
    assert store_uri(Path("p"), TrackingConfig(uri="http://h:1")) == "http://h:1"
    with pytest.raises(ConfigError, match=r"'\?' in the path"):
        store_uri(tmp_path / "why?", TrackingConfig())


def test_passwords_are_not_shown() -> None:
    assert redacted("postgresql://me:secret@host/db") == "postgresql://me:…@host/db"
    assert redacted("http://host:5000") == "http://host:5000"


def test_local_path_reads_uris_and_paths(tmp_path: Path) -> None:
    directory = tmp_path / "a b 项目"
    assert local_path(directory.as_uri()) == directory
    assert local_path(str(directory)) == directory
    assert local_path("s3://bucket/x") is None


def test_the_experiment_keeps_its_artifacts_in_the_project(
    builder: ProjectBuilder, open_project_store: Callable[[Path], Store]
) -> None:
    store = open_project_store(builder.root)
    assert store.experiment == "tsloop/demo"
    assert local_path(store.artifact_root) == builder.root / ".tsloop" / "mlartifacts"
    again = open_project_store(builder.root)
    assert again.experiment_id == store.experiment_id
    assert not (Path.cwd() / "mlruns").exists()


def test_a_deleted_experiment_comes_back(
    builder: ProjectBuilder, open_project_store: Callable[[Path], Store]
) -> None:
    store = open_project_store(builder.root)
    store.client.delete_experiment(store.experiment_id)
    assert open_project_store(builder.root).experiment_id == store.experiment_id


def test_a_moved_project_says_how_to_mend_it(
    builder: ProjectBuilder, tmp_path: Path, open_project_store: Callable[[Path], Store]
) -> None:
    open_project_store(builder.root).close()
    moved = tmp_path / "moved"
    builder.root.rename(moved)
    with pytest.raises(TrackingError, match=r"was moved or copied.*--rebuild"):
        open_project_store(moved)


def test_only_the_projects_own_store_is_thrown_away(builder: ProjectBuilder) -> None:
    with pytest.raises(TrackingError, match="Delete that store yourself"):
        discard_store(builder.root, TrackingConfig(uri="http://127.0.0.1:5000"))
    discard_store(builder.root, TrackingConfig())
    assert not (builder.root / ".tsloop" / "mlflow.db").exists()


# --- M8: write-ahead log; M1, M7: who makes it -------------------------------------------------


def test_the_database_uses_the_write_ahead_log(
    builder: ProjectBuilder, open_project_store: Callable[[Path], Store]
) -> None:
    open_project_store(builder.root)
    with sqlite3.connect(builder.root / ".tsloop" / "mlflow.db") as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_a_worker_does_not_make_a_store(tmp_path: Path, builder: ProjectBuilder) -> None:
    with pytest.raises(TrackingError, match=r"does not exist yet.*tsloop tracking sync"):
        open_store(tmp_path / "new", TrackingConfig(), "demo", create=False)
    assert not (tmp_path / "new" / ".tsloop" / "mlflow.db").exists()
    with pytest.raises(TrackingError, match="has no experiment 'tsloop/demo' yet"):
        open_store(builder.root, TrackingConfig(), "demo", create=False)


def test_a_worker_does_not_upgrade_a_store(builder: ProjectBuilder) -> None:
    database = builder.root / ".tsloop" / "mlflow.db"
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'abc'")
    connection.close()
    with pytest.raises(TrackingError, match=r"another version of MLflow \(abc\)"):
        open_store(builder.root, TrackingConfig(), "demo", create=False)


def test_a_file_that_is_no_database_is_named(builder: ProjectBuilder) -> None:
    database = builder.root / ".tsloop" / "mlflow.db"
    database.write_bytes(b"not a database, by far" * 100)
    with pytest.raises(TrackingError, match=r"is not a SQLite database.*delete it"):
        open_store(builder.root, TrackingConfig(), "demo")


def test_sixteen_threads_agree_on_one_experiment(
    builder: ProjectBuilder, open_project_store: Callable[[Path], Store]
) -> None:
    with ThreadPoolExecutor(16) as pool:
        ids = {s.experiment_id for s in pool.map(open_project_store, [builder.root] * 16)}
    assert len(ids) == 1


def test_eight_processes_lose_nothing(
    builder: ProjectBuilder,
    workers: ProcessPoolExecutor,
    open_project_store: Callable[[Path], Store],
) -> None:
    store = open_project_store(builder.root)
    written = workers.map(write_runs, [str(builder.root)] * 8, range(8), [1] * 8)
    ids = {run_id for some in written for run_id in some}
    assert len(ids) == 8
    found = store.client.search_runs([store.experiment_id])
    assert {run.info.run_id for run in found} == ids
    assert {run.info.status for run in found} == {"FINISHED"}
    assert {run.data.metrics["loss"] for run in found} == {1 / 20}


def test_eight_sweep_jobs_share_one_parent(
    builder: ProjectBuilder,
    workers: ProcessPoolExecutor,
    open_project_store: Callable[[Path], Store],
) -> None:
    store = open_project_store(builder.root)
    files = [builder.job("grid", f"j{n}", seconds=float(n)) for n in range(8)]
    ids = set(workers.map(record, [str(builder.root)] * 8, map(str, files)))
    assert len(ids) == 8
    parents = store.client.search_runs([store.experiment_id], "tags.`tsloop.kind` = 'sweep'")
    assert [run.info.run_name for run in parents] == ["sweep/grid"]
    assert {run.run_id for run in children(store, parents[0].info.run_id)} == ids


def test_four_syncs_at_once_write_everything_once(
    builder: ProjectBuilder, workers: ProcessPoolExecutor
) -> None:
    builder.iteration("it001")
    assert sorted(workers.map(sync_project, [str(builder.root)] * 4)) == [0, 0, 0, 3]


# --- M13: a killed process ---------------------------------------------------------------------


def test_runs_of_a_killed_process_are_ended(
    builder: ProjectBuilder, open_project_store: Callable[[Path], Store]
) -> None:
    store = open_project_store(builder.root)
    process = multiprocessing.get_context("forkserver").Process(
        target=begin_run_and_die, args=(str(builder.root),)
    )
    process.start()
    process.join()
    assert process.exitcode == -9
    (left,) = store.client.search_runs([store.experiment_id], "attributes.status = 'RUNNING'")
    assert close_orphans(store) == 1
    assert store.client.get_run(left.info.run_id).info.status == "KILLED"
    (child,) = children(store, left.info.run_id)
    assert not child.current
    assert close_orphans(store) == 0

    builder.iteration("it001")
    assert sync(builder.root, TrackingConfig(), project_name="demo").runs_created == 3


def test_runs_of_living_processes_and_other_machines_are_left_alone(
    builder: ProjectBuilder, open_project_store: Callable[[Path], Store]
) -> None:
    store = open_project_store(builder.root)
    owners = ['{"host": "elsewhere", "pid": 1, "started": 0}', "nonsense", ""]
    for owner in owners:
        store.client.create_run(store.experiment_id, tags={"tsloop.owner": owner})
    from tsloop.tracking.runs import write_run
    from tsloop.tracking.specs import RunSpec

    write_run(store, RunSpec("iteration", "mine", "k", 1), finish=False)
    assert close_orphans(store) == 0


@pytest.mark.slow
def test_eight_processes_meet_on_a_store_that_is_not_there(
    tmp_path: Path, workers: ProcessPoolExecutor
) -> None:
    root = tmp_path / "fresh"
    root.mkdir()
    assert len(set(workers.map(open_fresh, [str(root)] * 8))) == 1


@pytest.mark.slow
def test_a_store_of_an_older_mlflow_is_upgraded_and_keeps_its_runs(tmp_path: Path) -> None:
    from tsloop.tracking.environment import import_mlflow

    import_mlflow()
    from alembic import command
    from mlflow.store.db import utils

    database = tmp_path / ".tsloop" / "mlflow.db"
    database.parent.mkdir()
    engine = utils.create_sqlalchemy_engine(f"sqlite:///{database}")
    utils.InitialBase.metadata.create_all(engine)
    settings = utils._get_alembic_config(str(engine.url))
    with engine.begin() as connection:
        settings.attributes["connection"] = connection
        command.upgrade(settings, "bd07f7e963c5")
        connection.exec_driver_sql(
            "INSERT INTO experiments (experiment_id, name, lifecycle_stage) "
            "VALUES (7, 'old one', 'active')"
        )
    engine.dispose()
    (database.parent / f".mlflow.db.tmp-{os.getpid()}").write_bytes(b"left by a killed process")
    with open_store(tmp_path, TrackingConfig(), "demo") as store:
        names = {experiment.name for experiment in store.client.search_experiments()}
        assert {"old one", "tsloop/demo"} <= names


def test_a_store_of_a_newer_mlflow_is_left_alone(builder: ProjectBuilder) -> None:
    database = builder.root / ".tsloop" / "mlflow.db"
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'from_the_future'")
    connection.close()
    before = database.read_bytes()
    with pytest.raises(TrackingError, match=r"newer MLflow \(from_the_future\)"):
        open_store(builder.root, TrackingConfig(), "demo")
    assert database.read_bytes() == before
    assert sorted(path.name for path in database.parent.iterdir() if "tmp" in path.name) == []
