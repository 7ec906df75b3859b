"""Real projects for tests: made from the template, tiny, run by a real `dvc`."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tsloop.config.params import configure, read_params
from tsloop.files import sha256_file
from tsloop.loop.manager import IterationManager
from tsloop.project import BASE, Project
from tsloop.stages.runner import run_stage
from tsloop.template import create_project

TINY = (
    "loop.primary=knn",
    "source.units=4",
    "source.days=1.0",
    "annotator.budget=3",
    "sampler.budget=5",
    "evaluate.n_bootstrap=20",
    "evaluate.report_cases=1",
    "gate.n_bootstrap=100",
    "tracking=off",
)


def set_environment(set_variable: object, home: Path) -> None:
    """Keep DVC's and git's state of this machine out of the tests; one thread is enough."""
    home.mkdir(parents=True, exist_ok=True)
    git = home / "gitconfig"
    git.write_text(
        "[user]\n\tname = test\n\temail = test@example.com\n[init]\n\tdefaultBranch = main\n"
        "[commit]\n\tgpgsign = false\n[gc]\n\tauto = 0\n"
    )
    for name, value in {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "GIT_CONFIG_GLOBAL": str(git),
        "GIT_CONFIG_NOSYSTEM": "1",
        "DVC_SITE_CACHE_DIR": str(home / "dvc"),
        "DVC_GLOBAL_CONFIG_DIR": str(home / "dvc-global"),
        "DVC_SYSTEM_CONFIG_DIR": str(home / "dvc-system"),
        "DVC_NO_ANALYTICS": "1",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONHASHSEED": "0",
        "COLUMNS": "200",
    }.items():
        set_variable(name, value)  # type: ignore[operator]


def variants_of(root: Path) -> list[str]:
    """The variants that the template's ``conf/config.yaml`` chooses."""
    defaults = yaml.safe_load((root / "conf" / "config.yaml").read_text("utf-8"))["defaults"]
    keys = [key for item in defaults if isinstance(item, dict) for key in item]
    return [key.split("variants.")[1] for key in keys if key.startswith("detector@variants.")]


def make_project(
    directory: Path, *overrides: str, iterations: int = 2, variants: tuple[str, ...] = ("knn",)
) -> Project:
    """A tiny project with its first iterations, not run yet."""
    create_project(directory)
    project = Project(directory)
    removed = [name for name in variants_of(directory) if name not in variants]
    configure(project, [*(f"~detector@variants.{v}" for v in removed), *TINY, *overrides])
    manager = IterationManager(project)
    names = [iteration.name for iteration in manager.list_iterations()]
    for name in reversed(names[iterations:]):
        manager.delete(name)
    return project


def copy_project(source: Project, directory: Path) -> Project:
    """A project of its own, with outputs, cache and history."""
    shutil.copytree(source.root, directory, symlinks=True)
    return Project(directory)


def run(root: Path, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """A command in the project; fails with its whole output."""
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise AssertionError(f"{command} → {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


def dvc(root: Path, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """``dvc …`` in the project."""
    return run(root, sys.executable, "-m", "dvc", *arguments, check=check)


def tsloop(root: Path, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """``tsloop …`` in the project."""
    return run(root, sys.executable, "-m", "tsloop.cli", *arguments, check=check)


def run_all(project: Project) -> None:
    """What a first `dvc repro` does, in this process and so without twenty interpreters."""
    run_stages(project, *stages_in_order(project))


def run_stages(project: Project, *stages: str, record: bool = True) -> None:
    """Run stages, named as DVC names them, here; record their outputs as `dvc repro` does."""
    with contextlib.chdir(project.root), contextlib.redirect_stdout(io.StringIO()):
        for stage in stages:
            name, _, key = stage.partition("@")
            module = importlib.import_module(f"tsloop.stages.{name}")
            if run_stage(name, getattr(module, name), [key] if key else []):
                raise AssertionError(f"stage {stage} failed")
    if not record:
        return
    with dvc_here(project.root) as repo, repo.lock:
        # All of them first: DVC reads every stage anew after each change.
        for stage in [found for name in stages for found in repo.stage.collect(name)]:
            stage.ignore_outs()
            stage.save(run_cache=False)
            stage.commit()
            stage.dump(update_pipeline=False)


@contextlib.contextmanager
def dvc_here(root: Path) -> Iterator[Any]:
    """DVC's repository object, in this process, where importing it has to be paid only once."""
    with warnings.catch_warnings(), contextlib.chdir(root):
        warnings.simplefilter("ignore")
        from dvc.repo import Repo

        with Repo(str(root)) as repo:
            yield repo


def stages_in_order(project: Project) -> list[str]:
    params = read_params(project)
    bases = list(params["bases"])
    stages = ["acquire", "prepare", *(f"base@{key}" for key in bases)]
    stages += [f"predict@{BASE}-{key}" for key in bases if f"{BASE}-{key}" in params["predictions"]]
    stages += [f"queue@{BASE}", *(["annotate@gold"] if "gold" in params["annotations"] else [])]
    for name in params["datasets"]:
        fits = [key for key, entry in params["fits"].items() if entry["iteration"] == name]
        stages += [f"annotate@{name}"] if name in params["annotations"] else []
        stages += [f"dataset@{name}", *(f"fit@{key}" for key in fits)]
        stages += [f"predict@{key}" for key in fits]
        stages += [f"evaluate@{name}", f"queue@{name}", f"publish@{name}"]
    return stages


def repro(root: Path, *targets: str) -> list[str]:
    """`dvc repro`; returns the stages that it ran, in order."""
    return re.findall(r"Running stage '([^']+)'", dvc(root, "repro", *targets).stdout)


def changed(root: Path) -> set[str]:
    """The stages and ``.dvc`` files that `dvc status` finds out of date, without running any."""
    with dvc_here(root) as repo:
        return set(repo.status())


def commit(root: Path, message: str = "state") -> None:
    """Commit everything that git does not ignore."""
    run(root, "git", "add", "-A")
    run(root, "git", "commit", "-q", "-m", message)


def hashes(root: Path, *patterns: str) -> dict[str, str]:
    """Relative path → SHA-256 of the files that match."""
    paths = {path for pattern in patterns for path in root.glob(pattern) if path.is_file()}
    return {path.relative_to(root).as_posix(): sha256_file(path) for path in sorted(paths)}
