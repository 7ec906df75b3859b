"""``params.yaml``: written by `configure`, read by every stage, checked against ``conf/``."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tsloop.config.compose import ENV_MARK, compose, escape, resolve_below
from tsloop.config.label_sets import (
    check_frozen_label_sets,
    check_label_sets,
    label_set_sha256,
)
from tsloop.config.overrides import StoredOverrides, no_section, read_overrides, write_overrides
from tsloop.config.pipeline import IterationSpec, unroll
from tsloop.config.schema import PIPELINE_KEYS, SECTIONS, check_chosen, validate
from tsloop.errors import ConfigDriftError, ConfigError
from tsloop.files import write_text_atomic
from tsloop.loop.closed import check_closed_journals
from tsloop.names import check_name
from tsloop.project import BASE, Project

__all__ = [
    "check_drift",
    "configure",
    "differences",
    "load_yaml",
    "preview",
    "read_iterations",
    "read_params",
    "read_specs",
    "render",
    "tried",
    "write_iterations",
]

_ITERATIONS = """\
# Written by `tsloop iteration create|archive|delete`: the iterations of this project.
"""
_PIPELINE = """\
# @package _global_
# Written by `tsloop configure`: what DVC's stages iterate over. Nothing to edit here.
"""
_PARAMS = """\
# Written by `tsloop configure` from conf/: the composed configuration that `dvc repro` sees.
# Change it with `tsloop configure KEY=VALUE`; edits made here are refused by the stages.
"""


def load_yaml(text: str) -> Any:
    """`yaml.safe_load`, ten times as fast where PyYAML was built with its C parser."""
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def read_params(project: Project) -> dict[str, Any]:
    """The values of ``params.yaml``, with ``${oc.env:…}`` as text."""
    try:
        data = load_yaml(project.params.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"{project.params.name} does not exist.", hint="Write it with: tsloop configure"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        fault = " ".join(str(error).split())
        raise ConfigError(
            f"{project.params.name} is not valid YAML: {fault}.",
            hint="Write it again with: tsloop configure",
        ) from error
    if not isinstance(data, dict):
        raise ConfigError(
            f"{project.params.name} is not a mapping of keys.",
            hint="Write it again with: tsloop configure",
        )
    return data


def read_iterations(project: Project) -> dict[str, IterationSpec]:
    """The iterations of the project, oldest first."""
    path = project.conf / "project" / "iterations.yaml"
    try:
        data = load_yaml(path.read_text(encoding="utf-8")) if path.exists() else {}
        wrong = [name for name, entry in (data or {}).items() if not isinstance(entry, dict)]
        if wrong:
            raise TypeError(f"{wrong[0]} says nothing of its parent")
    except (yaml.YAMLError, UnicodeDecodeError, AttributeError, TypeError) as error:
        fault = " ".join(str(error).split())
        raise ConfigError(
            f"{project.relative(path)} is not a list of iterations: {fault}.",
            hint="After a merge keep the entries of both sides, then run: tsloop configure",
        ) from error
    return read_specs(data)


def read_specs(entries: Mapping[str, Any] | None) -> dict[str, IterationSpec]:
    """What ``iterations.yaml``, or ``iterations`` of ``params.yaml``, says of the iterations."""
    where = "conf/project/iterations.yaml: an iteration"
    return {
        check_name(str(name), where): IterationSpec(
            name,
            parent=check_name(str(entry.get("parent", BASE)), f"{where}'s parent"),
            archived=entry.get("archived", False),
            variants=tuple(check_name(v, f"{where}'s variant") for v in entry.get("variants", ())),
        )
        for name, entry in (entries or {}).items()
    }


def write_iterations(project: Project, iterations: Mapping[str, IterationSpec]) -> None:
    """Replace the list of iterations; call `configure` afterwards."""
    path = project.conf / "project" / "iterations.yaml"
    write_text_atomic(path, _ITERATIONS + _dump(_declared(iterations)))


def _declared(iterations: Mapping[str, IterationSpec]) -> dict[str, Any]:
    """What both ``iterations.yaml`` and ``params.yaml`` say of the iterations."""
    return {name: spec.to_dict() for name, spec in iterations.items()}


def configure(project: Project, overrides: Sequence[str] = (), *, reset: bool = False) -> list[str]:
    """Take in overrides, unroll the pipeline, write ``params.yaml``; returns what changed.

    Nothing is written unless the whole result composes and passes the schema. The outputs of a
    variant that an open iteration no longer has are deleted; DVC's cache keeps what was finished.
    """
    with _taken_in(project, overrides, reset=reset) as (previous, params):
        shown = _read_yaml(project.params)
        write_text_atomic(project.params, _PARAMS + _dump(params))
    _remove_dropped(project, previous, params)
    return differences(shown, params)


def preview(project: Project, overrides: Sequence[str] = ()) -> list[str]:
    """What `configure` would change; nothing stays."""
    with _taken_in(project, overrides, only_look=True) as (_, params):
        return differences(_read_yaml(project.params), params)


def tried(project: Project, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """The configuration that `configure` would write with these overrides; nothing stays."""
    with _taken_in(project, overrides, only_look=True) as (_, params):
        return params


@contextlib.contextmanager
def _taken_in(
    project: Project,
    overrides: Sequence[str],
    *,
    reset: bool = False,
    only_look: bool = False,
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """``conf/project`` with these overrides; gives the configuration before and the composed one.

    Where the block raises, or ``only_look`` is set, ``conf/project`` is as it was afterwards.
    """
    stored_path = project.conf / "project" / "overrides.yaml"
    pipeline_path = project.conf / "project" / "pipeline.yaml"
    read_iterations(project)  # a broken list is named before anything is composed
    stored = StoredOverrides() if reset else read_overrides(stored_path)
    stored.apply(overrides, project.conf)
    stored.values = _portable(stored.values, project)
    before = {p: p.read_text("utf-8") if p.exists() else None for p in (stored_path, pipeline_path)}
    previous = _previous(project, pipeline_path)
    check_closed_journals(project, read_iterations(project), read_specs(previous.get("iterations")))
    done = False
    try:
        write_overrides(stored_path, stored)
        if not pipeline_path.exists():
            write_text_atomic(pipeline_path, _PIPELINE + "{}\n")
        values = _sections(compose(project.conf))
        pipeline = _escaped(_unroll(project, values, previous))
        write_text_atomic(pipeline_path, _PIPELINE + _dump(pipeline))
        params = render(project)
        check_chosen(params)
        yield previous, params
        done = not only_look
    finally:
        for path, text in before.items() if not done else ():
            if text is None:
                path.unlink(missing_ok=True)
            else:
                write_text_atomic(path, text)


def render(project: Project, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """What ``conf/`` composes to now, checked against the schema."""
    params: dict[str, Any] = resolve_below(compose(project.conf, overrides))
    validate(params)
    return params


def check_drift(project: Project) -> dict[str, Any]:
    """The values of ``params.yaml``, after making sure that ``conf/`` composes to them.

    The project's own label set must be the one that they were written with, too.

    Inside a DVC experiment (whose overrides are in ``params.yaml`` alone) the schema is checked
    and the difference is told, not refused. A check that passed is remembered by content.
    """
    params = read_params(project)
    if os.environ.get("DVC_EXP_NAME") or os.environ.get("DVC_EXP_BASELINE_REV"):
        validate(params)
        _tell_experiment(project, params)
        return params
    check_label_sets(project, params)
    stamp = project.local / "drift-checked"
    digest = _digest(project)
    if stamp.exists() and stamp.read_text(encoding="utf-8") == digest:
        return params
    changed = differences(params, render(project))
    declared = _declared(read_iterations(project))
    changed += differences({"iterations": params["iterations"]}, {"iterations": declared})
    if changed:
        raise ConfigDriftError(
            f"params.yaml is not what conf/ composes to: {_shown(changed, at_most=3)}.",
            hint="Write it again with: tsloop configure",
        )
    write_text_atomic(stamp, digest)
    return params


def _tell_experiment(project: Project, params: Mapping[str, Any]) -> None:
    """Say once what an experiment sets: the next one composes from conf/ and does not know it."""
    stamp = project.local / "experiment-told"
    digest = _digest(project)
    if stamp.exists() and stamp.read_text(encoding="utf-8") == digest:
        return
    changed = differences(render(project), params)
    for line in changed[:10]:
        sys.stderr.write(f"experiment: {line}\n")
    if changed:
        more = f"; {len(changed) - 10} more" if changed[10:] else ""
        sys.stderr.write(f"experiment: for this run only{more}; to keep it: tsloop configure …\n")
    write_text_atomic(stamp, digest)


def _shown(lines: Sequence[str], *, at_most: int) -> str:
    more = f"; and {len(lines) - at_most} more" if len(lines) > at_most else ""
    return "; ".join(lines[:at_most]) + more


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """One line per key that differs: ``finetune.rank: 8 → 16``."""
    left, right = dict(_flatten(old)), dict(_flatten(new))
    lines = []
    for key in sorted({*left, *right}):
        if key not in left:
            lines.append(f"{key}: (new) {right[key]!r}")
        elif key not in right:
            lines.append(f"{key}: {left[key]!r} → (gone)")
        elif left[key] != right[key]:
            lines.append(f"{key}: {left[key]!r} → {right[key]!r}")
    return lines


def _sections(composed: Any) -> dict[str, Any]:
    keys = [key for key in (*SECTIONS, "source", "variants") if key in composed]
    sections = {key: resolve_below(composed, key) for key in keys}
    for name, value in sections.get("variants", {}).items():
        if not isinstance(value, dict):
            raise no_section(f"variants.{name}", value)
    return sections


def _unroll(
    project: Project, values: Mapping[str, Any], previous: Mapping[str, Any]
) -> dict[str, Any]:
    from tsloop.tracking.promotions import reference_model

    iterations = read_iterations(project)
    unrolled = unroll(
        iterations,
        values,
        previous,
        published=frozenset(name for name in iterations if project.registry(name).exists()),
        journals=frozenset(name for name in iterations if project.labels(name).exists()),
        second=frozenset(name for name in iterations if project.second(name).exists()),
        label_set_sha256=label_set_sha256(project, values["labels"].get("set"), previous),
        champion=reference_model(project),
    )
    check_frozen_label_sets(project, vars(unrolled))
    latest = next(reversed(unrolled.datasets), BASE)
    return {
        "loop": {"latest": latest},
        **{key: getattr(unrolled, key) for key in PIPELINE_KEYS},
    }


def _previous(project: Project, pipeline_path: Path) -> dict[str, Any]:
    """The configuration that the iterations had so far.

    What ``pipeline.yaml`` spells out counts (the past, which an edited ``params.yaml`` must not
    rewrite); what it refers to is taken from ``params.yaml``.
    """
    literal = _read_yaml(pipeline_path)
    params = _read_yaml(project.params)
    if literal and not params:  # lost or broken: conf/ is the next best
        with contextlib.suppress(ConfigError):
            params = resolve_below(compose(project.conf))
    return {**params, **{key: _filled(literal[key], params.get(key)) for key in literal}}


def _filled(literal: Any, shown: Any) -> Any:
    if isinstance(literal, Mapping):
        known = shown if isinstance(shown, Mapping) else {}
        return {key: _filled(value, known.get(key)) for key, value in literal.items()}
    if isinstance(literal, str):
        return shown if literal.startswith("${") else literal.replace("\\" + ENV_MARK, ENV_MARK)
    return literal


def _read_yaml(path: Path) -> dict[str, Any]:
    """A mapping; empty where the file is missing or broken, since it is about to be rewritten."""
    try:
        data = load_yaml(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, UnicodeDecodeError, yaml.YAMLError):
        return {}
    return data if isinstance(data, dict) else {}


def _remove_dropped(
    project: Project, previous: Mapping[str, Any], params: Mapping[str, Any]
) -> None:
    """Delete what variants left behind that an iteration of the graph does not have any more.

    Stages depend on ``models/<it>`` and ``data/predictions/<it>`` as a whole, and another machine
    would not have those leftovers.
    """
    for key, entry in (previous.get("fits") or {}).items():
        if key not in params["fits"] and entry["iteration"] in params["datasets"]:
            _remove_model(project, entry["iteration"], entry["variant"])
    for key in previous.get("bases") or {}:
        if key not in params["bases"]:
            _remove_model(project, BASE, key)


def _remove_model(project: Project, iteration: str, variant: str) -> None:
    for path in (project.model(iteration, variant), project.predictions(iteration, variant)):
        shutil.rmtree(path, ignore_errors=True)


def _portable(values: dict[str, Any], project: Project) -> dict[str, Any]:
    """Environment variables as text; the source's path relative to ``$TSLOOP_DATA`` or the project.

    Other absolute paths are left alone.
    """
    values = _escaped(values)
    source = values.get("source")
    if not isinstance(source, dict) or not isinstance(source.get("path"), str):
        return values
    path = Path(source["path"]).expanduser()
    if not path.is_absolute():
        return values
    source["path"] = str(path)
    data = os.environ.get("TSLOOP_DATA")
    if data and path.resolve().is_relative_to(Path(data).resolve()):
        rest = path.resolve().relative_to(Path(data).resolve()).as_posix()
        source["path"] = escape(ENV_MARK + "TSLOOP_DATA}" + ("" if rest == "." else f"/{rest}"))
    elif path.resolve().is_relative_to(project.root.resolve()):
        source["path"] = project.relative(path)
    return values


def _escaped(tree: Any) -> Any:
    """A copy in which ``${oc.env:…}`` is text for whoever composes it."""
    if isinstance(tree, Mapping):
        return {key: _escaped(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_escaped(value) for value in tree]
    return escape(tree) if isinstance(tree, str) else tree


def _digest(project: Project) -> str:
    digest = hashlib.sha256(project.params.read_bytes())
    for path in sorted(project.conf.rglob("*.yaml")):
        digest.update(path.relative_to(project.conf).as_posix().encode() + b"\0")
        digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()


def _dump(data: Any) -> str:
    class Plain(yaml.SafeDumper):
        """No anchors: the same value twice is written twice."""

        def ignore_aliases(self, data: Any) -> bool:
            return True

    return yaml.dump(data, Dumper=Plain, sort_keys=False, allow_unicode=True, width=100)


def _flatten(tree: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(tree, Mapping) and tree:
        for key, value in tree.items():
            yield from _flatten(value, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, tree
