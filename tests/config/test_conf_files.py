"""The files under ``conf/``: every choice composes, builds its object and explains itself."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tsloop.config.compose import compose, resolve_below
from tsloop.config.params import read_params, render
from tsloop.config.schema import SECTIONS, SOURCES, SweepConfig, section, source_config
from tsloop.detectors import build
from tsloop.project import Project
from tsloop.template import template_root
from tsloop.typed import from_mapping

TEMPLATE = Project(template_root())
FILES = sorted(TEMPLATE.conf.rglob("*.yaml"))
WRITTEN_BY_TSLOOP = {"iterations.yaml", "overrides.yaml", "pipeline.yaml"}
CHOICES = [
    (path.parent.name, path.stem)
    for path in FILES
    if path.parent != TEMPLATE.conf and path.name not in WRITTEN_BY_TSLOOP
]


def test_the_template_is_rendered_as_conf_says() -> None:
    assert read_params(TEMPLATE) == render(TEMPLATE)


@pytest.mark.parametrize(("group", "choice"), CHOICES, ids="/".join)
def test_every_choice_composes_and_builds(
    group: str, choice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TSLOOP_DATA", "/data")
    key = "+detector@variants.probe" if group == "detector" else group
    params = render(TEMPLATE, [f"{key}={choice}"])
    if group == "detector":
        assert build(params["variants"]["probe"]).name
    elif group == "experiment":
        assert params != read_params(TEMPLATE)
    elif group == "source":
        assert source_config(params["source"])[0] in SOURCES
    else:
        assert section(params, group)


def test_every_section_has_a_group_or_lies_in_the_main_file() -> None:
    groups = {group for group, _ in CHOICES}
    assert groups - {"detector", "source", "experiment"} == set(SECTIONS) - {"loop"}


def test_the_sweep_composes_on_top() -> None:
    composed = compose(TEMPLATE.conf, ["detector=knn", "sweep.folds=2"], name="sweep")
    params = resolve_below(composed)
    assert from_mapping(SweepConfig, params["sweep"], "sweep").folds == 2
    assert build(params["detector"]).name == "knn"
    assert params["variants"] == read_params(TEMPLATE)["variants"]


@pytest.mark.parametrize("override", ["loop.seed=7", "source.seed=7", "sampler.seed=7"])
def test_an_override_on_the_command_line_wins(override: str) -> None:
    """The place of ``_self_`` in each defaults list."""
    key, value = override.split("=")
    first, second = key.split(".")
    assert render(TEMPLATE, [override])[first][second] == int(value)


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_comment_stands_above_every_key(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("#"), "the first line says what the file is for"
    if path.name in WRITTEN_BY_TSLOOP:
        return
    section_of_hydra = False
    for above, line in zip(["", *lines], lines, strict=False):
        match = re.match(r"( *)([\w@.]+):(.*)", line)
        if match is None:
            continue
        indent, key, value = match.groups()
        if not indent:
            section_of_hydra = key in ("defaults", "hydra")
        if section_of_hydra or not value.strip():
            continue
        assert above.strip().startswith("# "), f"{path.name}: nothing explains {key}"
        assert "TODO" not in above


def test_conf_holds_every_key_of_its_dataclass() -> None:
    """Nothing is hidden: what can be set stands in the file, with its default."""
    import dataclasses
    import importlib

    for group, choice in CHOICES:
        if group in ("detector", "experiment"):
            continue
        values = yaml.safe_load((TEMPLATE.conf / group / f"{choice}.yaml").read_text("utf-8"))
        module, name = (SOURCES[values["kind"]] if group == "source" else SECTIONS[group]).split(
            ":"
        )
        fields = {
            f.name for f in dataclasses.fields(getattr(importlib.import_module(module), name))
        }
        assert set(values) - {"kind"} == fields - {"kind"}, f"{group}/{choice}"
