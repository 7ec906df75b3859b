"""Several processes that share each batch do what one does."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import tsloop
from tsloop.chatts.native.tuning.processes import Processes

Checkpoint = Callable[..., Path]

SCRIPT = """
import json, sys
from pathlib import Path
sys.path[:0] = [{tests!r}]
from safetensors.torch import save_file
from tuning_tools import base, config, data, prompt_of, tensors_of
from tsloop.chatts.native.tuning import tune
from tsloop.chatts.native.tuning.processes import Processes
model, processor = base(Path({base!r}))
figures = []
result = tune(model, processor, data(processor), config(**{settings!r}), answer="both",
              prompt_of=prompt_of, checkpoint_dir=Path({out!r}) / "checkpoints",
              progress=lambda f: figures.append(dict(f)))
processes = Processes(next(model.parameters()).device)
out = Path({out!r}) / str(processes.rank)
out.mkdir(parents=True)
save_file(tensors_of(result.model), out / "tensors.safetensors")
(out / "figures.json").write_text(json.dumps([processes.count, result.valid_loss, figures]))
"""


def tuned(directory: Path, out: Path, count: int, **settings: Any) -> list[Path]:
    """Tune in ``count`` processes; their directories of results."""
    tests = str(Path(__file__).parent)
    script = out / "script.py"
    out.mkdir()
    script.write_text(
        SCRIPT.format(tests=tests, base=str(directory), out=str(out), settings=settings), "utf-8"
    )
    command = [sys.executable, str(script)]
    if count > 1:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [
            *(sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes"),
            *(str(count), "--num_machines", "1", "--mixed_precision", "no"),
            *("--dynamo_backend", "no", "--num_cpu_threads_per_process", "1"),
            *("--main_process_port", str(port), str(script)),
        ]
    source = str(Path(tsloop.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": source, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return [out / str(rank) for rank in range(count)]


def figures(directory: Path) -> tuple[int, float, list[dict[str, float]]]:
    count, valid, steps = json.loads((directory / "figures.json").read_text(encoding="utf-8"))
    return count, valid, steps


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{"batch_size": 4}, {"batch_size": 3, "accumulate": 2}])
def test_two_processes_learn_what_one_does(
    settings: dict[str, int], checkpoint: Checkpoint, tmp_path: Path
) -> None:
    (alone,) = tuned(checkpoint("8b"), tmp_path / "one", 1, **settings)
    both = tuned(checkpoint("8b"), tmp_path / "two", 2, **settings)
    _, valid, steps = figures(alone)
    for directory in both:
        count, same_valid, same_steps = figures(directory)
        assert count == 2
        assert same_valid == pytest.approx(valid, abs=1e-5)
        for one, two in zip(steps, same_steps, strict=True):
            assert two == pytest.approx(one, abs=1e-5)
    first, second = (load_file(d / "tensors.safetensors") for d in both)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert len(list((tmp_path / "two" / "checkpoints").iterdir())) == 1


def test_alone_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    one = Processes(torch.device("cpu"))
    weight = torch.nn.Parameter(torch.ones(2))
    weight.grad = torch.full((2,), 3.0)
    one.add_gradients([weight])
    one.wait()
    assert weight.grad.tolist() == [3.0, 3.0]
    assert one.total(2.5, torch.device("cpu")) == 2.5
    assert one.mine([1, 2, 3]) == [1, 2, 3]
    assert one.first


def test_every_example_belongs_to_one_process() -> None:
    one = Processes(torch.device("cpu"))
    for count in (1, 2, 3, 5):
        parts = []
        for one.rank in range(count):
            one.count = count
            parts += one.mine(range(4))
        assert parts == [0, 1, 2, 3]
