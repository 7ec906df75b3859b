"""The files under ``conf/``: every choice composes, builds its object and explains itself."""

from __future__ import annotations

import dataclasses
import importlib
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tsloop.config.compose import compose, resolve_below
from tsloop.config.params import read_params, render
from tsloop.config.schema import SECTIONS, SOURCES, SweepConfig, section, source_config
from tsloop.detectors import build
from tsloop.errors import ConfigError
from tsloop.project import Project
from tsloop.template import template_root
from tsloop.typed import from_mapping

TEMPLATE = Project(template_root())
FILES = sorted(TEMPLATE.conf.rglob("*.yaml"))
WRITTEN_BY_TSLOOP = {"iterations.yaml", "overrides.yaml", "pipeline.yaml"}
CHOICES = [
    (path.parent.name, path.stem)
    for path in FILES
    if path.parent.parent == TEMPLATE.conf and path.name not in WRITTEN_BY_TSLOOP
]


def test_the_template_is_rendered_as_conf_says() -> None:
    assert read_params(TEMPLATE) == render(TEMPLATE)


def test_every_detector_composes_as_a_variant() -> None:
    names = [choice for group, choice in CHOICES if group == "detector"]
    params = render(TEMPLATE, [f"+detector@variants.v_{name}={name}" for name in names])
    assert {f"v_{name}" for name in names} <= set(params["variants"])


@pytest.mark.parametrize("number", range(5))
def test_every_choice_composes_and_builds(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The n-th choice of every group at once (its last, where it has fewer)."""
    monkeypatch.setenv("TSLOOP_DATA", "/data")
    groups: dict[str, list[str]] = {}
    for group, choice in CHOICES:
        if group not in ("detector", "experiment"):
            groups.setdefault(group, []).append(choice)
    assert max(map(len, groups.values())) <= 5
    chosen = {group: names[min(number, len(names) - 1)] for group, names in groups.items()}
    overrides = [f"{group}={choice}" for group, choice in chosen.items()]
    if chosen["finetune"] == "qlora":  # which the template's small model refuses
        overrides.append("variants.chatts.finetune={}")
    params = render(TEMPLATE, overrides)
    for group in chosen:
        if group == "source":
            assert source_config(params["source"])[0] == chosen["source"]
        else:
            assert section(params, group)


@pytest.mark.parametrize("choice", [c for group, c in CHOICES if group == "experiment"])
def test_every_experiment_composes_and_changes_something(choice: str) -> None:
    assert render(TEMPLATE, [f"experiment={choice}"]) != read_params(TEMPLATE)


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
    for group, choice in CHOICES:
        if group in ("detector", "experiment"):
            continue
        values = yaml.safe_load((TEMPLATE.conf / group / f"{choice}.yaml").read_text("utf-8"))
        place = SOURCES[values["kind"]] if group == "source" else SECTIONS[group]
        module, name = place.split(":")
        schema = getattr(importlib.import_module(module), name)
        fields = {field.name for field in dataclasses.fields(schema)}
        assert set(values) - {"kind"} == fields - {"kind"}, f"{group}/{choice}"


LANGUAGE_MODELS = ["chatts_14b", "chatts_8b", "smollm2"]


def variant(name: str, *overrides: str) -> dict[str, Any]:
    found = render(TEMPLATE, [f"+detector@variants.big={name}", *overrides])["variants"]["big"]
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("name", LANGUAGE_MODELS)
def test_a_language_model_builds_without_its_checkpoint(name: str) -> None:
    values = variant(name)
    detector = build(values)
    assert detector.name == "chatts_llm"
    assert set(values) - {"_target_"} == {f.name for f in dataclasses.fields(detector.config)}
    generate = detector.config.generate
    assert set(values["generate"]) == {f.name for f in dataclasses.fields(generate)}
    assert detector.config.finetune.window == generate.window, "asked as it was trained"


def test_answer_and_finetune_are_chosen_per_variant() -> None:
    values = variant(
        "chatts_8b",
        "finetune@variants.big.finetune=qlora",
        "variants.big.quantization=nf4",
        "variants.big.answer=generate",
        "variants.big.finetune.steps=7",
    )
    assert values["answer"] == "generate"
    assert values["finetune"]["method"] == "qlora"
    assert values["finetune"]["steps"] == 7
    with pytest.raises(ConfigError, match="does not go with quantization"):
        variant("chatts_8b", "variants.big.quantization=nf4")


def test_a_language_model_can_be_swept() -> None:
    composed = compose(TEMPLATE.conf, ["detector=smollm2"], name="sweep")
    assert build(resolve_below(composed)["detector"]).name == "chatts_llm"
