"""A small published project on disk, as the stages would leave it."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path
from typing import Any

from tsloop.files import dump_json, sha256_tree, write_json, write_jsonl, write_text_atomic
from tsloop.project import Project

GOLD_SHA = "9" * 64


def figures(event_f1: float) -> dict[str, Any]:
    """The part of a scorecard that tracking reads."""
    return {
        "metrics": {"event_f1": event_f1, "clicks_saved": 12.0, "n_events": 7.0},
        "undefined": {"vus_pr": "no positives"},
        "intervals": {"event_f1": [event_f1 - 0.1, event_f1 + 0.1]},
        "per_label": {"spike": {"recall": 0.5, "n_events": 4}},
        "per_group": {},
        "series": [],
    }


class ProjectBuilder:
    """Writes registry entries, models, reports and sweeps into a directory."""

    def __init__(self, root: Path, *, gold_sha256: str = GOLD_SHA) -> None:
        self.root = root
        self.project = Project(root)
        self.gold_sha256 = gold_sha256
        root.mkdir(parents=True, exist_ok=True)
        write_text_atomic(root / ".dvc" / "config", "[core]\n    no_scm = True\n")

    def iteration(
        self,
        name: str,
        parent: str = "base",
        variants: dict[str, float] | None = None,
        *,
        weights: str = "",
        rank: int = 8,
    ) -> None:
        """Publish an iteration; ``variants`` maps a name to its event F1."""
        variants = variants or {"chatts": 0.6}
        for variant in variants:
            self.model(name, variant, weights or f"{name}-{variant}")
        report = self.project.report(name)
        write_json(report / "scorecard.json", self.scorecard(variants))
        write_text_atomic(report / "report.html", f"<h1>{name}</h1>\n")
        write_text_atomic(report / "pr.csv", "recall,precision\n0.0,1.0\n")
        write_json(self.root / "reports" / "metrics" / f"{name}.json", {"chatts": {"f1": 0.5}})
        write_json(self.project.registry(name), self.entry(name, parent, variants, rank))

    def model(self, iteration: str, variant: str, weights: str) -> Path:
        """A model directory: only its bytes matter here."""
        directory = self.project.model(iteration, variant)
        write_json(directory / "detector.json", {"decision": {"hi": 0.5, "rule": "labels:groups"}})
        write_text_atomic(directory / "weights.txt", weights)
        curve = [{"step": s, "steps": 3, "loss": 1.0 / (s + 1), "lr": 0.01} for s in range(3)]
        write_jsonl(directory / "training.jsonl", curve)
        return directory

    def scorecard(self, variants: dict[str, float]) -> dict[str, Any]:
        """``reports/<it>/scorecard.json``."""
        return {
            "schema": "tsloop.scorecard/1",
            "gold": {"version": 1, "sha256": self.gold_sha256},
            "variants": {name: figures(f1) for name, f1 in variants.items()},
            "baselines": {"nothing": figures(0.0)},
        }

    def entry(
        self, name: str, parent: str, variants: dict[str, float], rank: int
    ) -> dict[str, Any]:
        """``registry/<it>.json``."""
        config = {
            "datasets": {name: {"seed": 0, "split": {"valid_share": 0.2}}},
            "fits": {f"{name}-{v}": {"detector": {"rank": rank, "kind": v}} for v in variants},
            "source": {"kind": "plant", "labels": ["a", "b"]},
        }
        best = max(sorted(variants), key=lambda v: variants[v])
        return {
            "schema": "tsloop.registry/1",
            "iteration": name,
            "parent": parent,
            "gold": {"version": 1, "sha256": self.gold_sha256, "n_series": 4, "n_events": 7},
            "snapshot": {"sha256": hashlib.sha256(name.encode()).hexdigest(), "n_series": 9,
                         "n_events": 11},
            "data": {"sha256": "d" * 64},
            "config": config,
            "config_sha256": hashlib.sha256(dump_json(config).encode()).hexdigest(),
            "variants": {
                v: {
                    "model_dir": f"models/{name}/{v}",
                    "model_sha256": sha256_tree(self.project.model(name, v)),
                    "adapter_sha256": "a" * 64 if v == "chatts" else None,
                    "base": {"name": "tiny", "sha256": "b" * 64} if v == "chatts" else None,
                    "metrics": {"event_f1": f1},
                    "verdict": {"result": "win", "text": "better."},
                }
                for v, f1 in variants.items()
            },
            "primary": "chatts" if "chatts" in variants else best,
            "best_on_gold": best,
        }  # fmt: skip

    def job(self, sweep: str, job: str, **changes: Any) -> Path:
        """``sweeps/<sweep>/<job>.json``."""
        path = self.project.sweeps / sweep / f"{job}.json"
        content = {
            "schema": "tsloop.sweep/1",
            "sweep": sweep,
            "job": job,
            "overrides": ["finetune.rank=4"],
            "params": {"finetune.rank": 4, "detector": "chatts"},
            "metrics": {"event_f1": 0.4},
            "intervals": {"event_f1": [0.3, 0.5]},
            "seconds": 1.5,
            "config": {"finetune": {"rank": 4}},
            **changes,
        }
        write_json(path, content)
        return path

    def lock(self, *paths: str) -> None:
        """A ``dvc.lock`` that knows these outputs."""
        lines = ["schema: '2.0'", "stages:", "  prepare:", "    cmd: x", "    outs:"]
        for path in paths:
            md5 = hashlib.md5(path.encode()).hexdigest()
            lines += [f"    - path: {path}", "      hash: md5", f"      md5: {md5}.dir"]
        write_text_atomic(self.root / "dvc.lock", "\n".join(lines) + "\n")

    def git(self, *arguments: str) -> str:
        """Run git in the project."""
        command = ["git", "-c", "user.name=t", "-c", "user.email=t@example.com", *arguments]
        done = subprocess.run(command, cwd=self.root, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def commit(self) -> str:
        """Commit everything but the local state; returns the commit."""
        if not (self.root / ".git").exists():
            self.git("init", "-q")
            write_text_atomic(self.root / ".gitignore", "/.tsloop/\n/.dvc/cache\n/.dvc/tmp\n")
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "results")
        return self.git("rev-parse", "HEAD")


def write_runs(root: str, worker: int, n_runs: int) -> list[str]:
    """In a process of its own: open the initialised store and write runs with curves."""
    from tsloop.tracking.config import TrackingConfig
    from tsloop.tracking.runs import write_run
    from tsloop.tracking.specs import Metric, RunSpec
    from tsloop.tracking.store import open_store

    written = []
    with open_store(Path(root), TrackingConfig(), "demo", create=False) as store:
        for number in range(n_runs):
            spec = RunSpec(
                kind="job",
                name=f"w{worker}-{number}",
                key=f"{worker}/{number}",
                time_ms=1_700_000_000_000,
                params={"worker": str(worker)},
                metrics=tuple(Metric("loss", 1.0 / (s + 1), s) for s in range(20)),
            )
            written.append(write_run(store, spec))
    return written


def record(root: str, job_file: str) -> str:
    """In a process of its own: what a sweep's worker does with its result."""
    from tsloop.tracking.config import TrackingConfig
    from tsloop.tracking.sync import record_job

    return record_job(Path(root), TrackingConfig(), Path(job_file), project_name="demo")


def open_fresh(root: str) -> str:
    """In a process of its own: open a store that may not be there yet."""
    from tsloop.tracking.config import TrackingConfig
    from tsloop.tracking.store import open_store

    with open_store(Path(root), TrackingConfig(), "demo") as store:
        return store.experiment_id


def sync_project(root: str) -> int:
    """In a process of its own: synchronise, and say how many runs that made."""
    from tsloop.tracking.config import TrackingConfig
    from tsloop.tracking.sync import sync

    return sync(Path(root), TrackingConfig(), project_name="demo").runs_created


def begin_run_and_die(root: str) -> None:
    """In a process of its own: begin a run and be killed before it ends."""
    import os
    import signal

    from tsloop.tracking.config import TrackingConfig
    from tsloop.tracking.runs import write_run
    from tsloop.tracking.specs import RunSpec
    from tsloop.tracking.store import open_store

    store = open_store(Path(root), TrackingConfig(), "demo", create=False)
    parent = write_run(store, RunSpec("iteration", "it001", "k", 1_700_000_000_000), finish=False)
    write_run(store, RunSpec("variant", "knn", "k2", 1_700_000_000_000), parent)
    os.kill(os.getpid(), signal.SIGKILL)
