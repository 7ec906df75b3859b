"""What an iteration hands to the registry: content hashes, metrics, the verdict of the gate."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tsloop.files import dump_json, read_json, sha256_file, sha256_tree, write_json
from tsloop.stages.runner import Figures, StageContext, run_stage

__all__ = ["publish"]

_ENTRIES = ("annotations", "datasets", "fits", "evaluations", "queues")


def publish(context: StageContext) -> Figures:
    """Stage ``publish@<iteration>``."""
    project, entry, name = context.project, context.entry("publications"), context.key
    scorecard = read_json(project.report(name) / "scorecard.json")
    snapshot = read_json(project.snapshot(name) / "snapshot.json")
    config = iteration_config(context.params, name)
    evaluation = config["evaluations"][name]
    variants = {
        variant: _variant(project.model(name, variant), project.root, scorecard)
        for variant in evaluation["variants"]
    }
    primary = evaluation["primary"]
    record = {
        "schema": "tsloop.registry/1",
        "iteration": name,
        "parent": entry["parent"],
        "gold": scorecard["gold"],
        "journal": {
            "path": config["datasets"][name]["journal"],
            "sha256": next(j["sha256"] for j in snapshot["journals"] if j["iteration"] == name),
        },
        "snapshot": {
            "sha256": snapshot["annotations_sha256"],
            "n_series": snapshot["n_series"],
            "n_events": snapshot["n_intervals"],
        },
        "data": {"sha256": sha256_file(project.series / "manifest.json")},
        "config": config,
        "config_sha256": hashlib.sha256(dump_json(config).encode("utf-8")).hexdigest(),
        "variants": variants,
        "primary": primary,
        "best_on_gold": _best(variants, primary),
    }
    write_json(project.registry(name), record)
    return {"variants": len(variants), "primary": primary, "best_on_gold": record["best_on_gold"]}


def iteration_config(params: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Everything in ``params.yaml`` that decided the iteration's results."""
    config: dict[str, Any] = {
        section: {
            key: value
            for key, value in params[section].items()
            if key == name or key.startswith(f"{name}-")
        }
        for section in _ENTRIES
    }
    config["source"] = params["source"]
    config["prepare"] = params["prepare"]
    return config


def _variant(directory: Path, root: Path, scorecard: Mapping[str, Any]) -> dict[str, Any]:
    card = read_json(directory / "detector.json")
    weights = [digest for name, digest in sorted(card["files"].items()) if "adapter" in name]
    return {
        "model_dir": directory.relative_to(root).as_posix(),
        "model_sha256": sha256_tree(directory),
        "adapter_sha256": weights[0] if weights else None,
        "base": card["extra"].get("base"),
        "metrics": scorecard["variants"].get(directory.name, {}).get("metrics", {}),
        "verdict": scorecard["verdicts"].get(directory.name, {}),
    }


def _best(variants: Mapping[str, Mapping[str, Any]], primary: str) -> str:
    """The highest event-F1 on gold; the primary variant among equals or where there is no gold.

    It is told, but nothing is chosen by it: gold that chooses is no longer gold.
    """
    return max(
        sorted(variants),
        key=lambda v: (variants[v]["metrics"].get("event_f1", -1.0), v == primary),
    )


if __name__ == "__main__":
    raise SystemExit(run_stage("publish", publish))
