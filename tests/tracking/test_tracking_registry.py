"""Versions and aliases: only ours, only once, and where the history says."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tracking_project import ProjectBuilder

from tsloop.errors import PromotionError, TrackingError
from tsloop.files import sha256_tree, write_json
from tsloop.tracking.config import TrackingConfig
from tsloop.tracking.history import Promotion, append
from tsloop.tracking.promoted import keep_model
from tsloop.tracking.promotions import published_iteration
from tsloop.tracking.registry import ALIASES, check_alias, check_source
from tsloop.tracking.store import Store, local_path
from tsloop.tracking.sync import SyncReport, sync

Opener = Callable[[Path], Store]


def run_sync(builder: ProjectBuilder) -> SyncReport:
    return sync(builder.root, TrackingConfig(), project_name="demo")


def crown(builder: ProjectBuilder, key: str, *, before: str | None = None, sha: str = "") -> None:
    """Write a line of the history as `promote` would."""
    iteration, _, variant = key.partition("/")
    sha = sha or sha256_tree(builder.project.model(iteration, variant))
    entry = Promotion(
        "2026-01-02T03:04:05Z", "ann", "promote", before, key, {"model_sha256": sha}, "better"
    )
    append(builder.project, entry)


def versions(store: Store) -> dict[str, str]:
    """Version number → ``it001/chatts``."""
    found = store.client.search_model_versions("name = 'tsloop'")
    return {str(v.version): v.description for v in found}


def aliases(store: Store) -> dict[str, str]:
    """Alias → ``it001/chatts``."""
    model = store.client.get_registered_model("tsloop")
    return {alias: versions(store)[str(v)] for alias, v in model.aliases.items()}


def test_every_model_is_a_version_of_its_run(
    builder: ProjectBuilder, open_project_store: Opener
) -> None:
    builder.iteration("it001", variants={"chatts": 0.6, "knn": 0.5})
    run_sync(builder)
    store = open_project_store(builder.root)
    assert versions(store) == {"1": "it001/chatts", "2": "it001/knn"}
    version = store.client.get_model_version("tsloop", "1")
    run = store.client.get_run(version.run_id)
    assert run.info.run_name == "it001/chatts"
    assert version.tags["model.sha256"] == sha256_tree(builder.project.model("it001", "chatts"))
    assert version.tags["event_f1"] == "0.6000"
    source = local_path(version.source)
    assert source is not None
    assert source.is_relative_to(builder.root / ".tsloop" / "mlartifacts")
    copied = source / "artifacts" / "chatts"
    assert sha256_tree(copied) == version.tags["model.sha256"]


def test_aliases_follow_the_history(builder: ProjectBuilder, open_project_store: Opener) -> None:
    builder.iteration("it001")
    run_sync(builder)
    store = open_project_store(builder.root)
    assert aliases(store) == {"challenger": "it001/chatts"}

    crown(builder, "it001/chatts")
    report = run_sync(builder)
    assert report.aliases == {"champion": "it001/chatts"}
    assert aliases(store) == {"champion": "it001/chatts"}

    builder.iteration("it002", "it001", variants={"chatts": 0.5, "knn": 0.7})
    # The primary variant, though knn was better on gold: gold does not choose.
    assert run_sync(builder).aliases == {"champion": "it001/chatts", "challenger": "it002/chatts"}
    crown(builder, "it002/knn", before="it001/chatts")
    assert run_sync(builder).aliases_moved == 1
    assert aliases(store) == {"champion": "it002/knn", "challenger": "it002/chatts"}
    assert not run_sync(builder).changed


def test_the_history_is_mirrored_on_the_version(
    builder: ProjectBuilder, open_project_store: Opener
) -> None:
    builder.iteration("it001")
    crown(builder, "it001/chatts")
    run_sync(builder)
    version = open_project_store(builder.root).client.get_model_version_by_alias(
        "tsloop", "champion"
    )
    told = "2026-01-02T03:04:05Z promote by ann, before: none (better)"
    assert version.tags["tsloop.history"] == told
    facts = {key: version.tags[f"tsloop.promotion.{key}"] for key in ("time", "who", "from", "to")}
    assert facts == {
        "time": "2026-01-02T03:04:05Z",
        "who": "ann",
        "from": "none",
        "to": "it001/chatts",
    }
    evidence = json.loads(version.tags["tsloop.promotion.evidence"])
    assert evidence == {"model_sha256": version.tags["model.sha256"]}
    assert not run_sync(builder).changed


def keep(builder: ProjectBuilder, key: str) -> Path:
    """The copy that `promote` makes."""
    iteration, _, variant = key.partition("/")
    directory = builder.project.model(iteration, variant)
    return keep_model(builder.project, sha256_tree(directory), directory)


def contents(store: Store) -> dict[str, set[str]]:
    """Alias → the hashes of the model directories in its version."""
    found = {}
    for alias, number in store.client.get_registered_model("tsloop").aliases.items():
        source = local_path(store.client.get_model_version("tsloop", str(number)).source)
        assert source is not None
        found[alias] = {sha256_tree(path) for path in (source / "artifacts").iterdir()}
    return found


def test_an_empty_store_gets_every_champion_back(
    builder: ProjectBuilder, open_project_store: Opener
) -> None:
    """Though one was trained again since then, and the stage outputs of the other are gone."""
    builder.iteration("it001")
    builder.iteration("it002", "it001")
    places = [keep(builder, "it001/chatts"), keep(builder, "it002/chatts")]
    shas = [sha256_tree(place) for place in places]
    crown(builder, "it001/chatts")
    crown(builder, "it002/chatts", before="it001/chatts")
    builder.iteration("it002", "it001", weights="trained again")
    shutil.rmtree(builder.root / "models" / "it001")
    report = run_sync(builder)
    assert report.problems == []
    assert report.versions_created == 3
    assert report.aliases == {"champion": "it002/chatts"}
    store = open_project_store(builder.root)
    assert contents(store) == {"champion": {shas[1]}}
    champion = store.client.get_model_version_by_alias("tsloop", "champion")
    assert champion.tags["tsloop.promotion.from"] == "it001/chatts"
    run = store.client.get_run(champion.run_id)
    assert run.data.tags["tsloop.kind"] == "promotion"
    assert run.info.status == "FINISHED"
    assert not run_sync(builder).changed

    rebuilt = sync(builder.root, TrackingConfig(), project_name="demo", rebuild=True)
    assert (rebuilt.versions_created, rebuilt.aliases) == (3, report.aliases)
    assert contents(open_project_store(builder.root))["champion"] == {shas[1]}


def test_a_champion_whose_copy_is_wrong_or_elsewhere_is_not_registered(
    builder: ProjectBuilder,
) -> None:
    builder.iteration("it001")
    place = keep(builder, "it001/chatts")
    crown(builder, "it001/chatts")
    builder.iteration("it001", weights="trained again")
    pull = f"dvc pull --force registry/models/{place.name}.dvc"
    (place / "weights.txt").write_text("other", encoding="utf-8")
    report = run_sync(builder)
    assert "champion" not in report.aliases
    assert "is not the model that was promoted as it001/chatts" in report.problems[0]
    assert pull in report.problems[0]
    shutil.rmtree(place)
    report = run_sync(builder)
    assert "is not on this machine" in report.problems[0]
    assert pull in report.problems[0]
    assert report.absent_models == [f"registry/models/{place.name}"]


def test_a_version_that_somebody_changed_is_registered_again(
    builder: ProjectBuilder, open_project_store: Opener
) -> None:
    builder.iteration("it001")
    sha = sha256_tree(keep(builder, "it001/chatts"))
    crown(builder, "it001/chatts")
    run_sync(builder)
    store = open_project_store(builder.root)
    source = local_path(store.client.get_model_version_by_alias("tsloop", "champion").source)
    assert source is not None
    (weights,) = source.rglob("weights.txt")
    weights.write_text("other", encoding="utf-8")
    weights.with_name("more.txt").write_text("more", encoding="utf-8")
    report = run_sync(builder)
    assert (report.versions_created, report.aliases_moved) == (1, 1)
    assert contents(store)["champion"] == {sha}
    assert not run_sync(builder).changed


def test_a_retrained_model_does_not_inherit_the_title(
    builder: ProjectBuilder, open_project_store: Opener
) -> None:
    builder.iteration("it001")
    crown(builder, "it001/chatts")
    run_sync(builder)
    builder.iteration("it001", variants={"chatts": 0.7}, weights="trained again")
    report = run_sync(builder)
    assert report.versions_created == 1
    store = open_project_store(builder.root)
    champion = store.client.get_model_version_by_alias("tsloop", "champion")
    assert str(champion.version) == "1"


def test_a_champion_that_is_nowhere_is_a_problem(
    builder: ProjectBuilder, open_project_store: Opener
) -> None:
    builder.iteration("it001")
    crown(builder, "it001/chatts")
    run_sync(builder)
    crown(builder, "it000/chatts", before="it001/chatts", sha="f" * 64)
    report = run_sync(builder)
    assert "it000/chatts is the champion, but no version" in report.problems[0]
    assert aliases(open_project_store(builder.root))["champion"] == "it001/chatts"


def test_a_model_that_was_changed_is_not_registered(builder: ProjectBuilder) -> None:
    builder.iteration("it001")
    path = builder.project.model("it001", "chatts") / "weights.txt"
    path.write_text("changed", encoding="utf-8")
    report = run_sync(builder)
    assert report.versions_created == 0
    assert "dvc checkout models/it001/chatts" in report.problems[0]


def test_a_model_that_is_not_here_is_registered_later(builder: ProjectBuilder) -> None:
    builder.iteration("it001")
    directory = builder.project.model("it001", "chatts")
    directory.rename(builder.root / "elsewhere")
    report = run_sync(builder)
    assert (report.versions_created, report.absent_models) == (0, ["models/it001/chatts"])
    assert "dvc pull" in str(report)
    (builder.root / "elsewhere").rename(directory)
    assert run_sync(builder).versions_created == 1


def test_a_version_whose_files_are_lost_is_registered_again(
    builder: ProjectBuilder, open_project_store: Opener
) -> None:
    builder.iteration("it001")
    crown(builder, "it001/chatts")
    run_sync(builder)
    shutil.rmtree(builder.root / ".tsloop" / "mlartifacts")
    report = run_sync(builder)
    assert (report.versions_created, report.aliases_moved) == (1, 1)
    champion = open_project_store(builder.root).client.get_model_version_by_alias(
        "tsloop", "champion"
    )
    assert str(champion.version) == "2"


# --- M11, M12 ----------------------------------------------------------------------------------


@pytest.mark.parametrize("alias", ["latest", "v1", "the champion", "Champion", ""])
def test_other_aliases_are_refused(alias: str) -> None:
    with pytest.raises(TrackingError, match="not an alias that tsloop gives"):
        check_alias(alias)


def test_our_aliases_are_ones_that_mlflow_takes(
    builder: ProjectBuilder, open_project_store: Opener
) -> None:
    builder.iteration("it001")
    run_sync(builder)
    client = open_project_store(builder.root).client
    for alias in ALIASES:
        check_alias(alias)
        client.set_registered_model_alias("tsloop", alias, "1")


@pytest.mark.parametrize("source", ["/etc", "file:///etc", "s3://bucket/x", "{root}", "{root}/.."])
def test_a_foreign_source_is_refused(
    builder: ProjectBuilder, open_project_store: Opener, source: str
) -> None:
    store = open_project_store(builder.root)
    root = str(builder.root / ".tsloop" / "mlartifacts")
    with pytest.raises(TrackingError, match="outside"):
        check_source(store, source.format(root=root))
    check_source(store, f"{root}/run/artifacts/model")


def test_a_link_out_of_the_artifact_root_is_refused(
    builder: ProjectBuilder, open_project_store: Opener, tmp_path: Path
) -> None:
    store = open_project_store(builder.root)
    root = builder.root / ".tsloop" / "mlartifacts"
    root.mkdir(exist_ok=True)
    (root / "link").symlink_to(tmp_path)
    with pytest.raises(TrackingError, match="outside"):
        check_source(store, f"{root}/link/model")


def test_sources_on_a_server_must_lie_below_its_root(builder: ProjectBuilder) -> None:
    store = Store(
        builder.root, TrackingConfig(), "http://h", "e", "1", "mlflow-artifacts:/7", client=None
    )
    check_source(store, "mlflow-artifacts:/7/run/artifacts/model")
    for source in ("mlflow-artifacts:/8/x", "/etc", "mlflow-artifacts:/7/%252e%252e/8"):
        with pytest.raises(TrackingError, match="outside"):
            check_source(store, source)


def test_a_planted_version_never_becomes_champion(
    builder: ProjectBuilder, open_project_store: Opener
) -> None:
    builder.iteration("it001")
    crown(builder, "it001/chatts")
    store = open_project_store(builder.root)
    store.client.create_registered_model("tsloop")
    tags = {
        "tsloop.iteration": "it001",
        "tsloop.variant": "chatts",
        "model.sha256": sha256_tree(builder.project.model("it001", "chatts")),
    }
    planted = store.client.create_model_version("tsloop", "/etc", tags=tags)
    store.client.set_registered_model_alias("tsloop", "champion", planted.version)
    report = run_sync(builder)
    assert "points to /etc" in report.problems[0]
    champion = store.client.get_model_version_by_alias("tsloop", "champion")
    assert str(champion.version) == "2"


def test_the_iteration_stands_for_its_primary_variant(builder: ProjectBuilder) -> None:
    builder.iteration("it001", variants={"chatts": 0.4, "boosting": 0.5, "knn": 0.9})
    item = published_iteration(builder.root, "it001")
    assert (item.primary, item.best_on_gold) == ("chatts", "knn")
    assert [variant.name for variant in item.ranked()] == ["chatts", "boosting", "knn"]
    entry = builder.entry("it001", "base", {"chatts": 0.4, "knn": 0.9}, 8)
    del entry["primary"], entry["best_on_gold"]  # as revision 1 of the stage wrote it
    entry["best_variant"] = "knn"
    entry["config"]["evaluations"] = {"it001": {"primary": "chatts"}}
    write_json(builder.project.registry("it001"), entry)
    item = published_iteration(builder.root, "it001")
    assert (item.primary, item.best_on_gold) == ("chatts", "knn")
    with pytest.raises(PromotionError, match="it009 is not published"):
        published_iteration(builder.root, "it009")


def test_iterations_are_ordered_by_descent(builder: ProjectBuilder) -> None:
    from tsloop.tracking.published import read_published

    for name, parent in (("it001", "base"), ("it010", "it001"), ("it002", "it010")):
        builder.iteration(name, parent, {"knn": 0.5})
    builder.iteration("it003", "it003", {"knn": 0.5})  # its own parent: no endless loop
    published, problems = read_published(builder.project)
    assert [item.iteration for item in published] == ["it001", "it003", "it010", "it002"]
    assert problems == []
    write_json(builder.root / "registry" / "it009.json", {"schema": "tsloop.registry/1"})
    write_json(builder.root / "registry" / "it008.json", {"schema": "other"})
    entry = builder.entry("it002", "base", {"knn": 0.5}, 8)
    write_json(builder.root / "registry" / "it007.json", entry)
    published, problems = read_published(builder.project)
    assert len(published) == 4
    assert [p.split("registry/")[1][:10] for p in problems] == [
        "it007.json",
        "it008.json",
        "it009.json",
    ]
