"""The `tsloop` command: cheap to start, clear when it refuses, and what its verbs print."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from project_tools import tsloop
from tsloop.cli import main
from tsloop.cli.demo import activation_hint
from tsloop.cli.status import next_step, setback, when_all_is_done
from tsloop.cli.tables import iterations_table, show
from tsloop.config.params import configure, read_params
from tsloop.files import read_json, write_json
from tsloop.loop.manager import Iteration
from tsloop.loop.states import State
from tsloop.project import Project

HEAVY = ("torch", "mlflow", "dvc", "hydra", "omegaconf", "pandas", "numpy", "pyarrow", "sklearn")

PROBE = """
import sys
from tsloop.cli import main
from tsloop.cli.demo import activation_hint
sys.argv = ["tsloop", *sys.argv[1:]]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print("LOADED", *sorted(sys.modules), file=sys.stderr)
"""


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["iteration", "--help"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *arguments], capture_output=True, text=True, check=True
    )
    loaded = done.stderr.split("LOADED", 1)[1].split()
    assert [name for name in HEAVY if name in loaded] == []
    assert done.stdout.strip()


def test_the_help_speaks_of_sweeps(call, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    assert "python -m tsloop.sweep -m detector=knn,boosting" in call(tmp_path, "--help").out


class Said:
    """What one call of the command printed, and its exit code."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    """Call the command in this process, in a directory."""

    def run(place: Path, *arguments: str) -> Said:
        monkeypatch.chdir(place)
        monkeypatch.setattr(sys, "argv", ["tsloop", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        printed = capsys.readouterr()
        code = end.value.code
        return Said(code if isinstance(code, int) else 0, printed.out, printed.err)

    return run


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["configure", "finetune.rnk=4"], "Did you mean finetune.rank?"),
        (["configure", "source=nothing"], "source/nothing"),
        (["iteration", "show", "it042"], "it042"),
        (["iteration", "delete", "it001"], "it002 builds on it"),
        (["iteration", "create", "nr1"], "not an iteration name"),
        (["iteration", "archive", "--keep", "0"], "at least one iteration"),
        (["iteration", "archive", "--keep", "1"], "is not published"),
        (["iteration", "train", "it042"], "it042"),
        (["iteration", "train", "it001"], "Annotating"),
        (["promote", "it001"], "it001 is not published. Run: dvc repro"),
        (["promote", "it001/knn"], "it001"),
        (["promote", "it009/knn", "--if-win"], "it009/knn is not published"),
        (["promote", "it009", "--if-win"], "it009 is not published"),
        (["rollback"], "champion"),
        (["jobs", "log", "nothing"], "nothing"),
        (["detect", "no-such-file.csv"], "no-such-file.csv does not exist"),
        (["detect", "x.csv", "--model", "it001/knn"], "models/it001/knn"),
        (["detect", "x.csv", "--model", "it001"], "it001 is not published. Run: dvc repro"),
        (["detect", "x.csv", "--model", "knn"], "no iteration 'knn', and no model directory"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_users_error_is_one_message(  # type: ignore[no-untyped-def]
    fresh: Project, call, arguments: list[str], message: str
) -> None:
    (fresh.root / "x.csv").write_text(
        "timestamp,value\n" + "".join(f"{1e9 + 60 * i:.0f},1\n" for i in range(20)),
        encoding="utf-8",
    )
    said = call(fresh.root, *arguments)
    assert said.code == 1
    assert message in said.err
    assert said.err.startswith("tsloop: ")
    assert len(said.err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    "arguments",
    [["status"], ["configure"], ["iteration", "list"], ["repro"], ["gc", "--keep", "1"], ["demo"]],
    ids=" ".join,
)
def test_outside_a_project(call, tmp_path: Path, arguments: list[str]) -> None:  # type: ignore[no-untyped-def]
    said = call(tmp_path, *arguments)
    assert said.code == 1
    assert "not inside a tsloop project" in said.err
    assert "tsloop init DIR" in said.err


def test_wrong_usage_is_exit_code_2(call, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    assert call(tmp_path, "no-such-verb").code == 2
    assert call(tmp_path, "gc").code == 2


def test_the_real_command_refuses_without_a_traceback(fresh: Project) -> None:
    done = tsloop(fresh.root, "configure", "finetune.rank=many", check=False)
    assert done.returncode == 1
    assert done.stderr == "tsloop: finetune.rank must be int, but is 'many'.\n"
    assert done.stdout == ""


def test_a_failing_repro_points_at_the_stage(fresh: Project) -> None:
    (fresh.root / "dvc.yaml").write_text("stages:\n  acquire:\n    cmd: exit 3\n", encoding="utf-8")
    done = tsloop(fresh.root, "repro", check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("tsloop: dvc repro ended with exit code")
    assert "Traceback" not in done.stderr


def test_configure_lists_and_changes(fresh: Project, call) -> None:  # type: ignore[no-untyped-def]
    shown = call(fresh.root, "configure", "--show").out
    assert "sampler    diversity, margin, [mixed], random, uncertainty" in shown
    assert "loop.primary=knn" in shown
    assert "finetune.rank=" in call(fresh.root, "configure", "--show", "finetune").out
    many = call(fresh.root, "configure", "annotator=human").out
    assert "values, which follow" in many
    every = call(fresh.root, "configure", "annotator=simulated", "--verbose").out
    assert len(every.splitlines()) > len(many.splitlines()) > 3
    said = call(fresh.root, "configure", "sampler.budget=8")
    assert "sampler.budget: 5 → 8" in said.out
    assert call(fresh.root, "configure").out == "Nothing changed.\n"
    assert read_params(fresh)["sampler"]["budget"] == 8


def test_status_of_a_new_project(fresh: Project, call) -> None:  # type: ignore[no-untyped-def]
    said = call(fresh.root, "status").out
    assert "Champion: none yet" in said
    assert said.splitlines()[-1] == "Next: dvc repro (brings it001 from Annotating on)"


def test_status_list_and_show_of_a_finished_project(finished: Project, call) -> None:  # type: ignore[no-untyped-def]
    for arguments in (["status"], ["iteration", "list"]):
        said = call(finished.root, *arguments).out
        assert "it001" in said
        assert "knn event-F1" in said
    said = call(finished.root, "iteration", "show", "it002").out
    assert "it002 on it001" in said
    assert "Report: reports/it002/report.html" in said
    created = call(finished.root, "iteration", "create").out
    assert created == "Created it003 on top of it002. Next: dvc repro\n"
    assert "it003" in call(finished.root, "status").out.splitlines()[-1]


def iteration(**more: object) -> Iteration:
    plain = {"name": "it002", "parent": "it001", "base_model": "it001/knn", "n_labelled": 3}
    values = plain | {"state": State.REVIEWING, "published": True} | more
    return Iteration(**{"metrics": {"knn": {"event_f1": 0.5}}, **values})  # type: ignore[arg-type]


def test_what_follows_a_finished_iteration() -> None:
    done = iteration()
    assert next_step([done]) == "Next: tsloop promote, or tsloop iteration create"
    said = when_all_is_done(done, "knn", "it001/knn")
    assert said == "Next: tsloop promote it002, or tsloop iteration create"
    said = when_all_is_done(done, "knn", "it002/knn")
    assert said == "it002/knn is the champion. Next: tsloop iteration create"
    for metrics in ({}, {"knn": {"n_failed": 0.0}}, {"knn": {"event_f1": None}}):
        said = when_all_is_done(iteration(metrics=metrics), "knn", None)
        assert "promote" not in said.split("Next:")[1]
        assert "tsloop labels gold add" in said
    unlabelled = iteration(n_labelled=0)
    assert "annotator=human" in when_all_is_done(unlabelled, "knn", None)


def test_states_are_said_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [iteration(), iteration(published=False), iteration(n_labelled=0)]
    show(iterations_table([*rows, iteration(state=State.CREATED, n_labelled=None)]))
    said = capsys.readouterr().out
    for word in ("Done", "Predicted", "no labels", "Created", "–"):
        assert word in said
    assert "Reviewing" not in said


def test_status_says_what_to_label_and_how(fresh: Project, call) -> None:  # type: ignore[no-untyped-def]
    configure(fresh, ["annotator=human"])
    assert "Next: dvc repro (reads the series" in call(fresh.root, "status").out
    fresh.queue("base").parent.mkdir(parents=True)
    fresh.queue("base").touch()
    said = call(fresh.root, "status").out.splitlines()[-1]
    assert "tsloop labels template it001" in said
    assert "data/queues/base.jsonl" in said


def test_status_says_that_an_iteration_is_not_better(finished: Project, call) -> None:  # type: ignore[no-untyped-def]
    path = finished.report("it002") / "scorecard.json"
    card = read_json(path)
    card["variants"]["knn"]["metrics"]["event_f1"] = 0.25
    card["parents"]["knn"]["metrics"]["event_f1"] = 0.5
    write_json(path, card)
    said = setback(finished, iteration(), "knn")
    assert said.startswith("it002 is not better: knn has event-F1 0.250 on gold, and it001, ")
    assert said in call(finished.root, "status").out
    card["variants"]["knn"]["metrics"]["event_f1"] = 0.75
    write_json(path, card)
    assert setback(finished, iteration(), "knn") == ""


def test_the_demo_says_how_to_activate_an_environment_that_is_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    venv = tmp_path / ".venv"
    monkeypatch.setattr(sys, "prefix", str(venv))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    assert activation_hint() == [], "nothing to activate"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "activate").touch()
    assert activation_hint()[-1] == "  source .venv/bin/activate"
    monkeypatch.chdir(venv)
    assert activation_hint()[-1] == "  source bin/activate"
    monkeypatch.chdir(venv / "bin")
    assert activation_hint()[-1] == f"  source {venv}/bin/activate"
    monkeypatch.setenv("VIRTUAL_ENV", str(venv))
    assert activation_hint() == []


def test_old_jobs_are_forgotten(finished: Project, call) -> None:  # type: ignore[no-untyped-def]
    assert call(finished.root, "jobs", "prune").out == "Forgot 0 jobs.\n"
    assert call(finished.root, "jobs", "prune", "--keep", "-1").code == 2


def test_status_says_the_next_step_though_mlflow_cannot_follow(finished: Project, call) -> None:  # type: ignore[no-untyped-def]
    configure(finished, ["tracking=local"])
    store = finished.local / "mlflow.db"
    store.parent.mkdir(exist_ok=True)
    store.write_text("This is no database, and a backup tool put it here." * 100, encoding="utf-8")
    said = call(finished.root, "status")
    assert said.code == 0
    lines = said.out.splitlines()
    assert lines[-1] == "Next: tsloop promote it002, or tsloop iteration create"
    assert lines[-2].startswith("Attention: MLflow is not up to date. ")
    assert "tsloop tracking sync" in lines[-2]


def test_if_win_forgives_the_gate_alone(finished: Project, call) -> None:  # type: ignore[no-untyped-def]
    said = call(finished.root, "promote", "it002/knn", "--if-win")
    assert said.code == 0
    assert "Not promoted: it002/knn does not win" in said.out
    assert call(finished.root, "promote", "it002/knn").code == 1
    assert call(finished.root, "promote", "it002/kn", "--if-win").code == 1
    assert call(finished.root, "promote", "it002/knn", "--force", "--reason", "a test").code == 0
    said = call(finished.root, "promote", "it002/knn", "--if-win")
    assert said.code == 0
    assert "champion already" in said.out
    shutil.rmtree(finished.report("it001"))
    said = call(finished.root, "promote", "it001/knn", "--if-win")
    assert said.code == 1
    assert "dvc pull reports/it001" in said.err


def test_gold_does_not_choose_what_is_promoted(finished: Project, call) -> None:  # type: ignore[no-untyped-def]
    entry = read_json(finished.registry("it002"))
    assert (entry["primary"], entry["best_on_gold"]) == ("knn", "knn")
    write_json(finished.registry("it002"), {**entry, "best_on_gold": "chatts"})
    said = call(finished.root, "promote", "it002", "--force", "--reason", "a test").out
    assert "it002 stands for its primary variant knn. On gold chatts was best" in said
    assert "it002/knn is champion now" in said


def test_gc_says_what_it_would_do(finished: Project, call) -> None:  # type: ignore[no-untyped-def]
    said = call(finished.root, "gc", "--keep", "1", "--dry-run")
    assert said.out.endswith("Nothing to delete.\n")
