"""`tsloop configure`: what is stored, what is refused, what the composed result holds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from project_tools import hashes
from tsloop.config.params import (
    check_drift,
    configure,
    read_iterations,
    read_params,
    render,
    write_iterations,
)
from tsloop.config.pipeline import IterationSpec
from tsloop.config.schema import section, source_config
from tsloop.config.show import describe_choices, describe_keys, summarise_changes
from tsloop.detectors import build
from tsloop.errors import ConfigDriftError, ConfigError, TsloopError
from tsloop.project import Project

WRITTEN = ("params.yaml", "conf/project/*.yaml")


def stored(project: Project) -> dict[str, object]:
    """What ``conf/project/overrides.yaml`` holds."""
    path = project.conf / "project" / "overrides.yaml"
    data: dict[str, object] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return data


def test_choices_values_additions_and_deletions_are_stored(fresh: Project) -> None:
    changed = configure(
        fresh,
        [
            "sampler=margin",
            "sampler.budget=7",
            "+detector@variants.other=knn",
            "variants.other.neighbours=3",
            "project.title='Pumps, east; 泵'",
            "prepare.missing_tokens=['nan', '-']",
        ],
    )
    assert "sampler.kind: 'mixed' → 'margin'" in changed
    assert "fits.it002-other.detector.neighbours: (new) 3" in changed
    params = read_params(fresh)
    assert params["sampler"]["kind"] == "margin"
    assert params["sampler"]["budget"] == 7
    assert params["variants"]["other"]["neighbours"] == 3
    assert params["project"]["title"] == "Pumps, east; 泵"
    assert params["prepare"]["missing_tokens"] == ["nan", "-"]
    assert configure(fresh) == []
    shown = describe_choices(fresh)
    assert "sampler=margin" in shown
    assert "sampler.budget=7" in shown
    configure(fresh, ["~sampler.budget", "~detector@variants.other"])
    params = read_params(fresh)
    assert params["sampler"]["budget"] == 20
    assert set(params["variants"]) == {"knn"}
    assert "other" not in str(stored(fresh))


def test_reset_forgets_everything(fresh: Project) -> None:
    template = yaml.safe_load((fresh.conf / "sampler" / "mixed.yaml").read_text("utf-8"))
    configure(fresh, reset=True)
    assert stored(fresh) == {"defaults": ["_self_"]}
    params = read_params(fresh)
    assert params["sampler"] == template
    assert set(params["variants"]) > {"knn"}
    shown = describe_choices(fresh)
    assert "(the defaults)" in shown
    assert "sampler    diversity, margin, [mixed], random, uncertainty" in shown


def test_reset_restores_the_bytes_of_the_template(fresh: Project) -> None:
    """So that `git diff` is empty afterwards, whatever was chosen in between."""
    configure(fresh, reset=True)
    before = hashes(fresh.root, *WRITTEN)
    configure(fresh, ["source=folder", "source.path=x", "finetune.rank=4", "annotator=human"])
    configure(fresh, ["+detector@variants.other=forest", "~detector@variants.boosting"])
    configure(fresh, reset=True)
    assert hashes(fresh.root, *WRITTEN) == before


def test_the_keys_of_a_section_are_shown_with_their_help(fresh: Project) -> None:
    configure(fresh, ["sampler.budget=7"])
    assert "  sampler.budget=7   # " in describe_keys(fresh, "sampler")
    assert "  variants.knn.neighbours=5   # " in describe_keys(fresh, "variants.knn")
    assert "loop.primary=knn" in describe_keys(fresh, "loop")
    with pytest.raises(ConfigError, match=r"no section 'samplr'.*sampler.*variants\.knn"):
        describe_keys(fresh, "samplr")


def test_many_changes_are_counted_by_section() -> None:
    fits = [f"fits.it001-knn.x{i}: 1 → 2" for i in range(30)]
    assert summarise_changes(fits[:3]) == fits[:3]
    assert summarise_changes([*fits, "finetune.rank: 8 → 16"]) == [
        "fits: 30 values, which follow",
        "finetune.rank: 8 → 16",
        "(every value: --verbose)",
    ]


def test_another_choice_drops_the_values_of_the_former(fresh: Project) -> None:
    configure(fresh, ["source.anomalies_per_tag=2.0"])
    configure(fresh, ["source=folder", "source.path=data/input"])
    assert "anomalies_per_tag" not in str(stored(fresh))
    assert read_params(fresh)["source"]["kind"] == "folder"
    configure(fresh, ["source=plant"])
    assert stored(fresh).get("source") is None


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["finetune.rnk=4"], r"Unknown key finetune\.rnk\. Did you mean finetune\.rank\?"),
        (["surce=folder"], r"Unknown key surce\. Did you mean source\?"),
        (["source=iotbd"], r"does not compose: .*source/iotbd"),
        (["finetune.rank=many"], r"finetune\.rank must be int, but is 'many'"),
        (["finetune.learning_rate=true"], r"finetune\.learning_rate must be float"),
        (["sampler.kind=best"], r"best"),
        (["loop.primary=chatty"], r"loop\.primary is 'chatty'.*\['knn'\]"),
        (["variants.knn.neighbors=3"], r"neighbors"),
        (["~detector@variants.knn"], r"variant"),
        (["sampler=x"], r"no sampler/x\. Choose one of: diversity, margin, mixed, random, unc"),
        (["detector@variants.knn=catts"], r"no detector/catts\. Choose one of: adtk.*residual"),
        (["detector=knn"], r"Add a variant: tsloop configure \+detector@variants\.NAME=knn\."),
        (["detector=catts"], r"\+detector@variants\.NAME=chatts_\w+"),
        (["variants=x"], r"variants holds settings.*\+detector@variants\.NAME=knn"),
        (["variants.knn=3"], r"variants\.knn holds settings, and cannot be the single value 3"),
        (["loop=x"], r"loop holds settings.*loop\.KEY=VALUE"),
        (["finetune.steps=0"], r"finetune\.steps is 0; at least 1"),
        (["source=folder"], r"source\.path is empty.*source=folder source\.path=DIR"),
        (["labels.set=nofile.json"], r"nofile\.json does not exist"),
        (["source.zone=Asia/Beijing"], r"source\.zone='Asia/Beijing'.*mean Asia/Shanghai\?"),
        (["prepare.zone=Europe/Berln"], r"Did you mean Europe/Berlin\?"),
        (["source.zone=Mars/Olympus"], r"Write it like Asia/Shanghai or UTC"),
        (["finetune.rank=4,8"], r"several values\. Compare them with: python -m tsloop\.sweep -m"),
        (["finetune.rank"], r"not in Hydra's grammar"),
        (["~gate.min_delta"], r"gate\.min_delta was not set by `tsloop configure`"),
        (["sampler.budget.x=1"], r"sampler"),
        (["+fits.it002-knn.seed=3"], r"written by tsloop"),
        (["revisions.fit=9"], r"written by tsloop"),
        (["loop.latest=it001"], r"written by tsloop"),
        (["variants.knn._target_=os.makedirs"], r"os\.makedirs"),
        (["+detector.x=1"], r"Unknown key detector"),
        (["+hydra.run.dir=/tmp"], r"hydra\.run\.dir is no setting of a project"),
        (["hydra/sweeper=search"], r"hydra/sweeper is no setting of a project"),
        (["project.name='../../evil'"], r"project\.name is '\.\./\.\./evil', which is no name"),
        ([f"+detector@variants.{'v' * 65}=knn"], r"The variant is .* has 65 characters"),
        (["project.title='${oc.env:HOME}'"], r"HOME.*TSLOOP_"),
        (["source=folder", "source.path='${oc.env:AWS_SECRET_ACCESS_KEY}'"], r"AWS_SECRET"),
        (["project.title='${oc.decode:${oc.env:HOME}}'"], r"HOME"),
        (["project.title='${no.such}'"], r"no\.such|does not resolve"),
    ],
)
def test_what_is_wrong_is_refused_and_nothing_is_written(
    fresh: Project, overrides: list[str], message: str
) -> None:
    before = hashes(fresh.root, *WRITTEN)
    with pytest.raises(TsloopError, match=message):
        configure(fresh, ["sampler.budget=9", *overrides])
    assert hashes(fresh.root, *WRITTEN) == before


@pytest.mark.parametrize(
    "where",
    ["variants.knn", "variants.knn.window", "finetune", "source", "sampler", "prepare", "labels"],
)
def test_a_target_that_runs_code_is_refused_wherever_it_stands(
    fresh: Project, where: str, tmp_path: Path
) -> None:
    """Also where somebody wrote it into ``params.yaml``, which stages read."""
    target = tmp_path / "made"
    before = hashes(fresh.root, *WRITTEN)
    with pytest.raises(ConfigError):
        configure(fresh, [f"+{where}={{_target_: os.makedirs, name: {target}}}"])
    with pytest.raises(ConfigError):
        configure(fresh, [f"++{where}._target_=os.makedirs", f"++{where}.name={target}"])
    assert hashes(fresh.root, *WRITTEN) == before
    assert not target.exists()


def test_the_environment_stays_out_of_params(
    fresh: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    data = tmp_path / "secret-place"
    data.mkdir()
    monkeypatch.setenv("TSLOOP_DATA", str(data))
    for path in ("'${oc.env:TSLOOP_DATA}/wsd'", f"{data}/wsd"):
        configure(fresh, ["source=folder", f"source.path={path}"])
        values = read_params(fresh)["source"]
        assert values["path"] == "${oc.env:TSLOOP_DATA}/wsd"
        texts = [file.read_text(encoding="utf-8") for file in fresh.root.glob("conf/**/*.yaml")]
        assert str(data) not in "".join([*texts, fresh.params.read_text(encoding="utf-8")])
        assert source_config(values)[1].path == f"{data}/wsd"
    configure(fresh, [f"source.path={data}"])
    assert read_params(fresh)["source"]["path"] == "${oc.env:TSLOOP_DATA}"
    configure(fresh, [f"source.path={fresh.root}/data/mine"])
    assert read_params(fresh)["source"]["path"] == "data/mine"
    monkeypatch.delenv("TSLOOP_DATA")
    configure(fresh, ["source.path='${oc.env:TSLOOP_DATA}'"])
    with pytest.raises(ConfigError, match="TSLOOP_DATA, which is not set"):
        source_config(read_params(fresh)["source"])
    configure(fresh, ["experiment=series_folder", "source.datasets=[wsd]"])
    assert read_params(fresh)["source"]["path"] == "${oc.env:TSLOOP_DATA}"


def test_environment_variables_reach_frozen_iterations_as_text(
    fresh: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(fresh, ["labels.set='${oc.env:TSLOOP_LABELS}/set.json'"])
    monkeypatch.setenv("TSLOOP_LABELS", "/one")
    first = fresh.params.read_bytes()
    monkeypatch.setenv("TSLOOP_LABELS", "/two")
    configure(fresh)
    assert fresh.params.read_bytes() == first
    for name in ("it001", "it002"):
        entry = read_params(fresh)["datasets"][name]
        assert entry["labels"]["set"] == "${oc.env:TSLOOP_LABELS}/set.json"
    assert section(read_params(fresh), "labels").set == "/two/set.json"


def test_an_environment_variable_in_a_conf_file_must_be_escaped(fresh: Project) -> None:
    file = fresh.conf / "labels" / "tsloop.yaml"
    file.write_text("# the set\nset: ${oc.env:HOME}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"HOME.*backslash"):
        render(fresh)
    file.write_text("# the set\nset: ${ oc.env:HOME,x}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="HOME"):
        render(fresh)


def test_edits_by_hand_are_found_out_and_named(fresh: Project) -> None:
    assert check_drift(fresh) == read_params(fresh)
    good = fresh.params.read_text(encoding="utf-8")
    fresh.params.write_text(good.replace("audit_share: 0.2", "audit_share: 0.3"), encoding="utf-8")
    with pytest.raises(ConfigDriftError, match=r"sampler\.audit_share.*tsloop configure"):
        check_drift(fresh)
    configure(fresh)
    assert fresh.params.read_text(encoding="utf-8") == good
    check_drift(fresh)
    file = fresh.conf / "sampler" / "mixed.yaml"
    file.write_text(file.read_text("utf-8").replace("audit_share: 0.2", "audit_share: 0.3"))
    with pytest.raises(ConfigDriftError, match=r"sampler\.audit_share: 0\.2 → 0\.3"):
        check_drift(fresh)
    assert any(line.startswith("sampler.audit_share") for line in configure(fresh))
    check_drift(fresh)


def test_a_change_of_iterations_that_was_cut_short_is_found_out(fresh: Project) -> None:
    """Killed between ``iterations.yaml`` and ``params.yaml``."""
    iterations = read_iterations(fresh)
    write_iterations(fresh, {**iterations, "it003": IterationSpec("it003", "it002")})
    with pytest.raises(ConfigDriftError, match=r"iterations\.it003.*tsloop configure"):
        check_drift(fresh)
    configure(fresh)
    assert check_drift(fresh)["fits"]["it003-knn"]["parent_model"] == "models/it002/knn"


def test_an_experiment_may_choose_what_was_chosen_before(fresh: Project) -> None:
    configure(fresh, ["source=plant", "source.units=5"])
    configure(fresh, ["experiment=series_folder", "source.datasets=[wsd]"])
    assert read_params(fresh)["source"]["kind"] == "folder"
    assert read_params(fresh)["source"]["datasets"] == ["wsd"]
    configure(fresh, ["experiment=null"])
    assert "experiment=null" in describe_choices(fresh)
    assert read_params(fresh)["source"]["kind"] == "plant"


def test_a_check_that_passed_is_remembered_by_content(
    fresh: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tsloop.config import params

    check_drift(fresh)
    monkeypatch.setattr(params, "render", lambda *_: pytest.fail("composed again"))
    check_drift(fresh)


def test_inside_an_experiment_the_schema_counts(
    fresh: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = fresh.params.read_text(encoding="utf-8")
    fresh.params.write_text(good.replace("audit_share: 0.2", "audit_share: 0.3"), encoding="utf-8")
    monkeypatch.setenv("DVC_EXP_NAME", "three")
    assert check_drift(fresh)["sampler"]["audit_share"] == 0.3
    fresh.params.write_text(good.replace("audit_share: 0.2", "audit_shard: 0.3"), encoding="utf-8")
    with pytest.raises(ConfigError, match="audit_shard"):
        check_drift(fresh)


@pytest.mark.parametrize("text", ["", "a: [", "- 1\n", "\xff"])
def test_a_broken_params_file_is_named_and_mended(fresh: Project, text: str) -> None:
    good = fresh.params.read_bytes()
    fresh.params.write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError, match=r"params\.yaml.*tsloop configure"):
        check_drift(fresh)
    configure(fresh)
    assert fresh.params.read_bytes() == good
    fresh.params.unlink()
    with pytest.raises(ConfigError, match=r"params\.yaml does not exist.*tsloop configure"):
        check_drift(fresh)
    configure(fresh)
    assert fresh.params.read_bytes() == good


def test_hand_edits_do_not_rewrite_the_published_past(finished: Project) -> None:
    """`tsloop configure` mends ``params.yaml`` from what the past really ran with."""
    good = read_params(finished)
    params = read_params(finished)
    params["fits"]["it001-knn"]["seed"] = 99
    finished.params.write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")
    configure(finished)
    assert read_params(finished) == good
    finished.params.unlink()
    configure(finished, ["loop.seed=5"])
    assert read_params(finished)["fits"]["it001-knn"] == good["fits"]["it001-knn"]
    assert read_params(finished)["fits"]["it002-knn"]["seed"] == 5


def test_configuring_an_experiment_composes_the_same_as_dvc(
    fresh: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from dvc.utils.hydra import compose_and_dump

    monkeypatch.setenv("TSLOOP_DATA", str(tmp_path))

    def composed_by_dvc() -> object:
        out = tmp_path / "params.yaml"
        compose_and_dump(out, str(fresh.conf), None, "config", None, [])
        return yaml.safe_load(out.read_text(encoding="utf-8"))

    assert composed_by_dvc() == render(fresh) == read_params(fresh)
    configure(fresh, reset=True)
    assert composed_by_dvc() == render(fresh) == read_params(fresh)
    configure(fresh, ["source=folder", f"source.path={tmp_path}/x", "source.datasets=[wsd]"])
    assert composed_by_dvc() == render(fresh) == read_params(fresh)
    configure(fresh, ["project.title='${oc.env:TSLOOP_DATA}'", "experiment=series_folder"])
    assert composed_by_dvc() == render(fresh) == read_params(fresh)


@pytest.mark.parametrize(
    "entry",
    ["'../../evil': {parent: base}", "it001: {parent: ../evil}", "it001: {variants: [../evil]}"],
)
def test_a_name_in_the_list_of_iterations_is_no_path(fresh: Project, entry: str) -> None:
    path = fresh.conf / "project" / "iterations.yaml"
    path.write_text(entry + "\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"iterations\.yaml: .*evil', which is no name"):
        read_iterations(fresh)


def test_the_project_may_be_named_by_the_environment(
    fresh: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(fresh, ["project.name='${oc.env:TSLOOP_PLANT}'"])
    monkeypatch.setenv("TSLOOP_PLANT", "north")
    assert section(read_params(fresh), "project").name == "north"
    monkeypatch.setenv("TSLOOP_PLANT", "../../evil")
    with pytest.raises(ConfigError, match=r"project\.name is '\.\./\.\./evil'"):
        section(read_params(fresh), "project")


def test_a_choice_stays_without_being_repeated_and_its_end_is_reported(fresh: Project) -> None:
    assert "sampler.budget: 5 → 8" in configure(fresh, ["sampler.budget=8"])
    assert configure(fresh) == []
    changed = configure(fresh, ["sampler.seed=3"])
    assert changed
    assert all("seed: 0 → 3" in line for line in changed)
    assert read_params(fresh)["sampler"]["budget"] == 8
    assert "sampler.budget: 8 → 20" in configure(fresh, ["~sampler.budget"])


def test_what_an_experiment_sets_is_told_once(
    fresh: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DVC_EXP_NAME", "quiet-owl")
    text = fresh.params.read_text("utf-8")
    before = "\nsampler:\n  kind: mixed\n  budget: 5"
    assert before in text
    changed = text.replace(before, before.replace("5", "9"))
    check_drift(fresh)
    assert capsys.readouterr().err == ""
    fresh.params.write_text(changed, encoding="utf-8")
    check_drift(fresh)
    told = capsys.readouterr().err.splitlines()
    assert told[0] == "experiment: sampler.budget: 5 → 9"
    assert "for this run only" in told[-1]
    check_drift(fresh)
    assert capsys.readouterr().err == ""


def test_a_language_model_is_configured_without_importing_torch(fresh: Project) -> None:
    """Its settings and another way to tune it, kept as text."""
    overrides = [
        "+detector@variants.big=chatts_14b",
        "finetune@variants.big.finetune=lora",
        "variants.big.quantization=none",
        "variants.big.finetune.rank=4",
    ]
    code = f"""
import sys
from pathlib import Path
from tsloop.config.params import configure
from tsloop.project import Project
project = Project(Path({str(fresh.root)!r}))
configure(project, {overrides!r})
assert configure(project) == []
assert not {{"torch", "transformers", "peft"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    params = read_params(fresh)
    big = params["variants"]["big"]
    assert (big["finetune"]["method"], big["finetune"]["rank"]) == ("lora", 4)
    assert big["labels"] == "tsloop"
    assert params["fits"]["it002-big"]["detector"] == big
    assert "finetune" not in params["bases"]["big"]["detector"]
    build(params["bases"]["big"]["detector"])
