"""What the stages give on a small project, as a fingerprint: compare it, or record it again.

DVC's stages do not depend on source files, so a changed result needs a new number in ``REVISIONS``.
``tests/pipeline/test_golden_outputs.py`` compares with ``tests/pipeline/golden_outputs.json``;
``python tests/record_golden.py`` writes that file, and refuses where a number was forgotten.

A fingerprint has a few figures for every key of every output file. Texts and whole numbers (rows of
intervals, order of a queue, sides of a split) are compared exactly. Of other numbers there are the
sum, the sum of absolute values, and `_mix`, which one changed value among thousands moves. Left out
are pictures and pages, content hashes, and the revisions that the registry repeats.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import hashlib
import json
import os
import re
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from project_tools import make_project, run_stages, set_environment, stages_in_order
from tsloop.config.params import configure, read_params
from tsloop.config.pipeline import REVISIONS
from tsloop.files import dump_json, read_json, read_jsonl, write_text_atomic
from tsloop.project import Project

COMMAND = "python tests/record_golden.py"
FILE = Path(__file__).parent / "pipeline" / "golden_outputs.json"

EXPENSIVE = (
    "detector@variants.chatts=chatts_nano",
    "detector@variants.boosting=boosting",
    "finetune.steps=2",
    "variants.boosting.trees=5",
)
"""Variants that the shared project of the tests does without, with as little training as can be."""

TOLERANCE = 1e-4
"""Of sums, relative to the sum of absolute values: another processor's last bits pass."""
MIX_TOLERANCE = 3e-4
"""Of one number of `_mix`, for each value in it (they add up like random errors)."""
MIXED = 256
"""About so many values go into one number of `_mix`."""

Figure = dict[str, Any]
Outputs = dict[str, dict[str, Figure]]
"""Output file → key → figures."""


@dataclass
class Golden:
    """The revisions of the stages, and what each stage of the small project gave."""

    revisions: dict[str, int] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    """A hash of the part of ``params.yaml`` that each stage depends on."""
    outputs: dict[str, Outputs] = field(default_factory=dict)

    def text(self) -> str:
        """JSON with one figure a line, so that a diff shows what moved."""
        lines = [f' "revisions": {dump_json(self.revisions)},', ' "stages": {']
        for stage, outputs in sorted(self.outputs.items()):
            lines.append(f'  "{stage}": {{"settings": "{self.settings[stage]}", "outputs": {{')
            for name, figures in sorted(outputs.items()):
                rows = [f"    {json.dumps(k)}: {dump_json(v)}" for k, v in sorted(figures.items())]
                lines.append(f"   {json.dumps(name)}: {{\n" + ",\n".join(rows) + "},")
            lines[-1] = lines[-1].removesuffix(",") + "}},"
        lines[-1] = lines[-1].removesuffix(",") + "}"
        return "{\n" + "\n".join(lines) + "\n}\n"

    @classmethod
    def read(cls, path: Path | None = None) -> Golden:
        """What was recorded."""
        data = read_json(path or FILE)
        stages = data["stages"]
        return cls(
            data["revisions"],
            {stage: entry["settings"] for stage, entry in stages.items()},
            {stage: entry["outputs"] for stage, entry in stages.items()},
        )


# The small project


def look(project: Project) -> Golden:
    """The fingerprint of what every stage wrote."""
    golden = Golden(dict(REVISIONS))
    for stage, declared in declarations(project).items():
        golden.settings[stage] = _digest([dump_json(value) for value in declared.settings])
        golden.outputs[stage] = {}
        for path in declared.outputs:
            golden.outputs[stage] |= _fingerprint(project.root, path)
    return golden


def add_expensive(finished: Project) -> None:
    """Add the expensive variants to a finished project and run what they add to its last iteration.

    Its evaluation stays the one of the cheap variant.
    """
    before = stages_in_order(finished)
    configure(finished, list(EXPENSIVE))
    more = [stage for stage in stages_in_order(finished) if stage not in before]
    run_stages(finished, *more, record=False)


@dataclass(frozen=True)
class Declared:
    """What ``dvc.yaml`` says of one stage."""

    inputs: list[str]
    outputs: list[str]
    settings: list[Any]


def declarations(project: Project) -> dict[str, Declared]:
    """Stage → its declaration, with names and values of ``params.yaml`` filled in."""
    params = read_params(project)
    templates = yaml.safe_load((project.root / "dvc.yaml").read_text("utf-8"))["stages"]
    found = {}
    for stage in stages_in_order(project):
        name, _, key = stage.partition("@")
        entry = templates[name]
        item = {}
        if key:
            item = params[entry["foreach"].strip("${}")][key]
            entry = entry["do"]
        found[stage] = Declared(
            [_fill(path, key, item) for path in entry.get("deps", [])],
            [_fill(_path_of(out), key, item) for out in entry["outs"]],
            [_without_revision(_value(params, _fill(p, key, item))) for p in entry["params"]],
        )
    return found


def sources(project: Project) -> dict[str, set[str]]:
    """Stage → the stages that it reads from."""
    declared = declarations(project)
    return {
        stage: {
            other
            for other, theirs in declared.items()
            if any(_overlap(a, b) for a in mine.inputs for b in theirs.outputs)
        }
        for stage, mine in declared.items()
    }


def _fill(text: str, key: str, item: Mapping[str, Any]) -> str:
    values = {"key": key} | {f"item.{name}": value for name, value in item.items()}
    return re.sub(r"\$\{([\w.]+)\}", lambda match: str(values[match[1]]), text)


def _path_of(out: str | Mapping[str, Any]) -> str:
    return out if isinstance(out, str) else next(iter(out))


def _value(params: Any, path: str) -> Any:
    for part in path.split("."):
        params = params[part]
    return params


def _without_revision(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: v for k, v in value.items() if k != "revision"}
    return None if isinstance(value, int) else value  # acquire's and prepare's own revision


def _overlap(a: str, b: str) -> bool:
    return f"{a}/".startswith(f"{b}/") or f"{b}/".startswith(f"{a}/")


# Fingerprints of files


def _fingerprint(root: Path, output: str) -> Outputs:
    """Figures of an output, of files that differ in name alone together."""
    place = root / output
    paths = [place] if place.is_file() else sorted(p for p in place.rglob("*") if p.is_file())
    kinds: dict[str, list[Path]] = defaultdict(list)
    for path in paths:
        name = path.relative_to(root).as_posix()
        # One file a series: their figures are taken together.
        kinds[re.sub(r"[^/]+-[0-9a-f]{12}\.", "*.", name)].append(path)
    found: Outputs = {}
    for kind, members in kinds.items():
        values = _Values()
        for path in members:
            values.add("files", path.name)
            _READERS.get(path.suffix, _nothing)(path, values)
        found[kind] = values.figures()
    return found


class _Values:
    """Values by key, in the order in which they are found."""

    def __init__(self) -> None:
        self.exact: dict[str, list[Any]] = defaultdict(list)
        self.floats: dict[str, list[np.ndarray]] = defaultdict(list)
        self.paths: set[str] = set()

    def add(self, key: str, value: Any) -> None:
        if isinstance(value, float):
            self.floats[key].append(np.array([value]))
        else:
            self.exact[key].append(value)

    def add_array(self, key: str, array: np.ndarray) -> None:
        if array.dtype.kind == "f":
            self.floats[key].append(array.astype(np.float64).ravel())
        else:
            self.exact[key] += array.ravel().tolist()

    def figures(self) -> dict[str, Figure]:
        figures: dict[str, Figure] = {}
        if self.paths:
            figures["(keys)"] = {"n": len(self.paths), "hash": _digest(sorted(self.paths))}
        for key, values in self.exact.items():
            whole = [v for v in values if isinstance(v, int)]
            total = {"sum": sum(whole)} if whole else {}
            digest = _digest(json.dumps(value) for value in values)
            figures[f"{key}:exact"] = {"n": len(values), **total, "hash": digest}
        for key, arrays in self.floats.items():
            figures[f"{key}:float"] = _float_figure(np.concatenate(arrays))
        return figures


def _float_figure(values: np.ndarray) -> Figure:
    finite = np.isfinite(values)
    known = np.where(finite, values, 0.0)
    figure: Figure = {"n": len(values)}
    if not finite.all():
        figure["missing"] = int((~finite).sum())
    figure |= {"sum": _short(known.sum()), "abs": _short(np.abs(known).sum())}
    return figure | {"mix": [round(float(number), 3) for number in _mix(known)]}


def _mix(values: np.ndarray) -> np.ndarray:
    """Sums of logarithms with signs that depend on the position.

    Small values count as much as large ones, and a change of one is not lost among the others.
    Rounding errors cancel; swapped or shifted values do not.
    """
    position = np.arange(len(values), dtype=np.uint64)
    odd = (position * np.uint64(2654435761) >> np.uint64(15)) & np.uint64(1)
    logarithms = np.sign(values) * np.log1p(1000.0 * np.abs(values))
    n_sums = -(-len(values) // MIXED)
    return np.bincount(
        (position % np.uint64(n_sums)).astype(np.int64),
        weights=np.where(odd == 1, logarithms, -logarithms),
        minlength=n_sums,
    )


def _short(number: float) -> float:
    return float(f"{number:.6g}")


def _digest(texts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(texts).encode("utf-8")).hexdigest()[:12]


def _json(path: Path, values: _Values) -> None:
    _leaves(read_json(path), (), values)


def _jsonl(path: Path, values: _Values) -> None:
    _leaves(read_jsonl(path), (), values)


def _leaves(value: Any, path: tuple[str, ...], values: _Values) -> None:
    if isinstance(value, dict):
        for key in sorted(value):
            _leaves(value[key], (*path, key), values)
    elif isinstance(value, list):
        for element in value:
            _leaves(element, path, values)
    elif not _left_out(path, value):
        values.paths.add("/".join(path))
        values.add(path[-1], value)


def _left_out(path: tuple[str, ...], value: Any) -> bool:
    """Content hashes, which last bits change, and revisions that a registry file repeats.

    The hash of the weights that a model is based on stays: it is what the stage gives.
    """
    hashed = isinstance(value, str) and re.fullmatch(r"[0-9a-f]{64}", value) is not None
    return (hashed and "base" not in path[-2:-1]) or (
        path[:1] == ("config",) and path[-1] == "revision"
    )


def _csv(path: Path, values: _Values) -> None:
    with path.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            for key, text in row.items():
                with contextlib.suppress(ValueError):
                    values.add(key, float(text))
                    continue
                values.add(key, text)


def _parquet(path: Path, values: _Values) -> None:
    table = pq.read_table(path)
    for name in table.column_names:
        column = table.column(name)
        if pa.types.is_timestamp(column.type):
            column = column.cast(pa.int64())
        if pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
            values.add_array(name, column.to_numpy())
        else:
            values.exact[name] += column.to_pylist()


def _safetensors(path: Path, values: _Values) -> None:
    from safetensors.numpy import load_file

    for name, tensor in sorted(load_file(path).items()):
        values.paths.add(f"{name} {tensor.dtype} {tensor.shape}")
        values.add_array(re.sub(r"\.\d+\.", ".*.", name), tensor)


def _nothing(path: Path, values: _Values) -> None:
    """A picture or a page: its name alone counts."""


_READERS = {
    ".json": _json,
    ".jsonl": _jsonl,
    ".csv": _csv,
    ".parquet": _parquet,
    ".safetensors": _safetensors,
}


# Comparison


def settled(old: Golden, new: Golden) -> Golden:
    """The new one, with the old figures where none has moved: a diff shows only what has."""
    outputs = {
        stage: {
            name: {key: _kept(old, stage, name, key, figure) for key, figure in figures.items()}
            for name, figures in files.items()
        }
        for stage, files in new.outputs.items()
    }
    return Golden(new.revisions, new.settings, outputs)


def _kept(old: Golden, stage: str, name: str, key: str, figure: Figure) -> Figure:
    before = old.outputs.get(stage, {}).get(name, {}).get(key)
    return figure if before is None or any(_moved(before, figure)) else before


def differences(old: Outputs, new: Outputs) -> list[str]:
    """Every figure that moved, as ``file  key figure: old → new``."""
    return [
        f"{name}  {key} {line}"
        for name in sorted(old.keys() | new.keys())
        for key in sorted(old.get(name, {}).keys() | new.get(name, {}).keys())
        for line in _moved(old.get(name, {}).get(key), new.get(name, {}).get(key))
    ]


def _moved(old: Figure | None, new: Figure | None) -> Iterator[str]:
    if old is None or new is None:
        yield f"n: {old['n'] if old else 'nothing'} → {new['n'] if new else 'nothing'}"
        return
    scale = max(old.get("abs", 0.0), new.get("abs", 0.0))
    for name in sorted(old.keys() | new.keys()):
        a, b = old.get(name), new.get(name)
        if a == b:
            continue
        if name == "mix" and old["n"] == new["n"]:
            slack = MIX_TOLERANCE * np.sqrt(old["n"] / len(a)) + 1e-3
            at = int(np.argmax(np.abs(np.subtract(a, b))))
            if abs(a[at] - b[at]) > slack:
                yield f"mix[{at}]: {a[at]} → {b[at]}"
        elif name == "mix":
            continue  # n is told already
        elif "hash" in old or name in ("n", "missing") or abs(a - b) > TOLERANCE * scale:
            yield f"{name}: {a} → {b}"


def changed(old: Golden, new: Golden) -> dict[str, list[str]]:
    """Stage of the project → what differs, of stages that are in both."""
    common = [stage for stage in new.outputs if stage in old.outputs]
    found = {stage: differences(old.outputs[stage], new.outputs[stage]) for stage in common}
    return {stage: lines for stage, lines in found.items() if lines}


def forgotten(old: Golden, new: Golden, reads: Mapping[str, set[str]]) -> dict[str, list[str]]:
    """Changed stages whose code must have changed, though the revision did not.

    What only passes on a change of its inputs is not among them, nor is what runs with other
    settings: DVC sees both. So of two changed stages, one of which reads from the other, the first
    alone is found.
    """
    found = changed(old, new)
    return {
        stage: lines
        for stage, lines in found.items()
        if old.settings[stage] == new.settings[stage]
        and not reads.get(stage, set()) & found.keys()
        and old.revisions.get(name_of(stage)) == new.revisions.get(name_of(stage))
    }


def problems(old: Golden, new: Golden, reads: Mapping[str, set[str]]) -> list[str]:
    """What is wrong, and what to do about it; empty where all is well."""
    found = []
    missed = forgotten(old, new, reads)
    for name in sorted({name_of(stage) for stage in missed}):
        mine = {stage: lines for stage, lines in missed.items() if name_of(stage) == name}
        found.append(
            "\n".join(
                [
                    f"The results of {name} changed, but REVISIONS[{name!r}] is "
                    f"{new.revisions[name]} as before.",
                    *(line for stage in mine for line in _some(stage, mine[stage])),
                    f"Where that is meant: raise REVISIONS[{name!r}] in "
                    f"src/tsloop/config/pipeline.py and record again: {COMMAND}",
                ]
            )
        )
    for name in sorted(old.revisions.keys() | new.revisions.keys()):
        before, now = old.revisions.get(name), new.revisions.get(name)
        if before is None or now is None:
            where = "REVISIONS" if now is None else FILE.name
            found.append(f"{where} has no {name}. Record again: {COMMAND}")
        elif now > before:
            found.append(
                f"REVISIONS[{name!r}] is {now}, and {FILE.name} holds the results of revision "
                f"{before}. Record again: {COMMAND}"
            )
        elif now < before:
            found.append(
                f"REVISIONS[{name!r}] is {now}, but {FILE.name} holds the results of revision "
                f"{before}: a number that was used must not come back. Raise it to {before} or "
                "more."
            )
    lacking = [name for name in new.revisions if name not in map(name_of, old.outputs)]
    if lacking:
        found.append(f"{FILE.name} has no results of {lacking}. Record again: {COMMAND}")
    others = sorted(old.outputs.keys() ^ new.outputs.keys())
    others += [s for s in new.outputs if s in old.outputs and old.settings[s] != new.settings[s]]
    if others:
        found.append(
            f"The tests' project has other stages or settings than recorded: {others}. DVC sees "
            f"that without a new revision. Record again: {COMMAND}"
        )
    followers = sorted(changed(old, new).keys() - missed.keys())
    if followers and found:
        found.append(f"Different as well, with other inputs, settings or revisions: {followers}.")
    elif followers:
        found.append(f"The results of {followers} changed. Record again: {COMMAND}")
    return found


def name_of(stage: str) -> str:
    """``fit`` of ``fit@it002-knn``."""
    return stage.partition("@")[0]


def _some(stage: str, lines: Sequence[str], most: int = 6) -> Iterator[str]:
    yield f"  {stage}:"
    yield from (f"    {line}" for line in lines[:most])
    if len(lines) > most:
        yield f"    … and {len(lines) - most} more figures"


def main(argv: list[str] | None = None) -> int:
    """Run the small project and write the file."""
    parser = argparse.ArgumentParser(description="Record the golden outputs of the stages.")
    parser.add_argument(
        "--same-revisions",
        action="store_true",
        help="record changed results under the same revisions, as after an update of a library",
    )
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as directory:
        set_environment(os.environ.__setitem__, Path(directory) / "home")
        project = make_project(Path(directory) / "project")
        run_stages(project, *stages_in_order(project), record=False)
        add_expensive(project)
        new, reads = look(project), sources(project)
    if FILE.exists():
        old = Golden.read()
        lowered = [n for n, number in REVISIONS.items() if number < old.revisions.get(n, 0)]
        if lowered or (forgotten(old, new, reads) and not arguments.same_revisions):
            sys.stderr.write("\n\n".join(problems(old, new, reads)) + "\n\nNothing was recorded.\n")
            return 1
        new = settled(old, new)
    write_text_atomic(FILE, new.text())
    sys.stdout.write(f"Recorded {len(new.outputs)} stages in {FILE}.\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
