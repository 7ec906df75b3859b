"""What tuning and asking a native ChatTS costs: LoRA, QLoRA, a plain backbone, score, generate.

    python benchmarks/native_lora.py --shape tiny                    # anywhere, in seconds
    python benchmarks/native_lora.py --shape 8b --device cuda        # a GPU with 80 GiB or more

A checkpoint with random weights of the given shape is written under the official names to
``--work`` (an ``8b`` needs 16.5 GB there), loaded as users load one, and trained for a few steps on
random prompts: ``--rows`` samples a series, 64 tokens of question, 64 of answer. Tokens are counted
after expansion. "plain" is the same language model without an encoder, tuned by PEFT on as many
text tokens. Peak memory is what torch had allocated at most. Each line of the table is a fresh
process, so that no measurement inherits another's memory. Results go to ``--out`` as JSON.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch

QUESTION, ANSWER = 64, 64
CASES = (
    "lora",
    "lora checkpointing",
    "qlora",
    "qlora checkpointing",
    "plain lora",
    "plain qlora",
    "score and generate",
)


def shape_of(name: str) -> dict[str, Any]:
    """The official config of an era, shrunk for ``tiny``."""
    from tsloop.chatts.native.configuration import official_config

    config = official_config("8b")
    if name == "tiny":
        config |= {
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 16,
            "vocab_size": 152064,
        }
        config["ts"] = config["ts"] | {"hidden_size": 64}
    return config


def write_random(directory: Path, name: str, device: str) -> None:
    """A checkpoint with random weights in float16, in shards of at most 4 GB."""
    from safetensors.torch import save_file

    from tsloop.chatts.native.modeling import Qwen3TSForCausalLM

    if (directory / "config.json").exists():
        return
    directory.mkdir(parents=True, exist_ok=True)
    info = shape_of(name)
    config = Qwen3TSForCausalLM.config_class.from_dict({**info, "model_type": "qwen3ts"})
    with torch.device("meta"):
        shapes = {n: t.shape for n, t in Qwen3TSForCausalLM(config).state_dict().items()}
    torch.manual_seed(0)
    shard: dict[str, torch.Tensor] = {}
    index: dict[str, str] = {}
    size = number = 0
    for position, (tensor, shape) in enumerate(shapes.items(), start=1):
        scale = 1.0 if tensor.endswith("norm.weight") else 0.02
        base = torch.ones if tensor.endswith("norm.weight") else torch.randn
        shard[tensor] = (scale * base(*shape, device=device)).half().cpu()
        size += shard[tensor].nbytes
        if size > 4e9 or position == len(shapes):
            number += 1
            file = f"model-{number:05d}.safetensors"
            save_file(shard, str(directory / file), metadata={"format": "pt"})
            index |= dict.fromkeys(shard, file)
            shard, size = {}, 0
    total = sum(2 * shape.numel() for shape in shapes.values())
    listing = {"metadata": {"total_size": total}, "weight_map": index}
    (directory / "model.safetensors.index.json").write_text(json.dumps(listing))
    (directory / "config.json").write_text(json.dumps(info))


def batch_of(config: Any, size: int, rows: int, device: str, *, series: bool) -> dict[str, Any]:
    """Random prompts; with ``series`` one of ``rows`` samples stands in the middle of each."""
    patches = -(-rows // config.ts["patch_size"])
    length = QUESTION + patches + ANSWER
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(100, 5000, (size, length), generator=generator)
    labels = ids.clone()
    labels[:, :-ANSWER] = -100
    batch: dict[str, Any] = {"input_ids": ids, "labels": labels}
    batch["attention_mask"] = torch.ones_like(ids)
    if series:
        ids[:, 32 : 32 + patches] = config.ts_token_start_index
        batch["timeseries"] = torch.randn(size, 1, rows, generator=generator)
        batch["ts_lengths"] = torch.full((size, 1), rows)
    return {key: value.to(device) for key, value in batch.items()}


def plain_model(directory: Path, dtype: torch.dtype, device: str, *, nf4: bool) -> Any:
    """The backbone alone, as transformers loads it."""
    from transformers import BitsAndBytesConfig, Qwen3Config, Qwen3ForCausalLM

    info = json.loads((directory / "config.json").read_text())
    info = {k: v for k, v in info.items() if k not in ("ts", "auto_map", "architectures")}
    options: dict[str, Any] = {}
    if nf4:
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype
        )
    return Qwen3ForCausalLM.from_pretrained(
        str(directory),
        config=Qwen3Config.from_dict({**info, "model_type": "qwen3"}),
        dtype=dtype,
        device_map={"": device},
        **options,
    )


def prepared(case: str, directory: Path, device: str, rank: int) -> Any:
    """The model of a case with LoRA layers, ready to train."""
    from peft import prepare_model_for_kbit_training

    from tsloop.chatts.native.checkpoints import load_checkpoint
    from tsloop.chatts.native.lora import add_lora, lora_config

    dtype, nf4, plain = torch.bfloat16, "qlora" in case, "plain" in case
    if plain:
        model = plain_model(directory, dtype, device, nf4=nf4)
    else:
        quantization = "nf4" if nf4 else None
        model = load_checkpoint(directory, dtype=dtype, device=device, quantization=quantization)
    if nf4:
        if device == "cpu":
            import bitsandbytes

            for module in model.modules():
                if isinstance(module, bitsandbytes.nn.Linear4bit):
                    module.support_avx512bf16_for_cpu = False
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    model = add_lora(model, lora_config(rank, 2.0 * rank, train_encoder=not plain))
    if "checkpointing" in case:
        model.enable_input_require_grads()
        model.gradient_checkpointing_enable({"use_reentrant": False})
    return model.train()


def train(case: str, options: argparse.Namespace) -> dict[str, Any]:
    """Seconds and tokens per optimiser step, and the peak of memory."""
    device = options.device
    began = time.perf_counter()
    model = prepared(case, options.work, device, options.rank)
    loaded = time.perf_counter() - began
    config = model.get_base_model().config
    if "plain" in case:
        from tsloop.chatts.native.configuration import Qwen3TSConfig

        config = Qwen3TSConfig.from_dict(shape_of(options.shape) | {"model_type": "qwen3ts"})
    batch = batch_of(config, options.batch, options.rows, device, series="plain" not in case)
    weights = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=1e-4)
    held = memory(device)
    seconds, losses = [], []
    for _ in range(options.steps):
        synchronize(device)
        started = time.perf_counter()
        with torch.autocast(device, dtype=torch.bfloat16):
            loss = model(**batch).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        synchronize(device)
        seconds.append(time.perf_counter() - started)
        losses.append(float(loss))
    step = median(seconds[1:] or seconds)
    return {
        "load_s": round(loaded, 1),
        "trainable": sum(p.numel() for p in weights),
        "step_s": round(step, 4),
        "tokens_per_s": round(batch["input_ids"].numel() / step),
        "weights_gib": held,
        "peak_gib": memory(device, peak=True),
        "first_loss": round(losses[0], 3),
        "last_loss": round(losses[-1], 3),
    }


def ask(options: argparse.Namespace) -> dict[str, Any]:
    """Seconds to score a series and to generate an answer about it, same weights, one at a time."""
    from tsloop.chatts.native.checkpoints import load_checkpoint

    device = options.device
    model = load_checkpoint(options.work, dtype=torch.bfloat16, device=device)
    model.add_score_head(["spike", "step"])
    batch = batch_of(model.config, 1, options.rows, device, series=True)
    batch.pop("labels")
    patches = options.rows // model.config.ts["patch_size"]
    batch["input_ids"] = batch["input_ids"][:, : QUESTION + patches]
    batch["attention_mask"] = batch["attention_mask"][:, : QUESTION + patches]
    answer = {"max_new_tokens": 128, "min_new_tokens": 128, "do_sample": False}
    found: dict[str, Any] = {}
    with torch.inference_mode():
        for name, call in {
            "score_s": lambda: model.score(**batch),
            "generate_s": lambda: model.generate(**batch, **answer),
        }.items():
            times = []
            for _ in range(options.steps):
                synchronize(device)
                started = time.perf_counter()
                call()
                synchronize(device)
                times.append(time.perf_counter() - started)
            found[name] = round(median(times[1:] or times), 4)
    found["ratio"] = round(found["generate_s"] / found["score_s"], 1)
    return found | {"peak_gib": memory(device, peak=True)}


def memory(device: str, *, peak: bool = False) -> float:
    """GiB that torch holds on the GPU, or the process at its peak on a CPU."""
    if device == "cpu":
        import resource

        return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)
    held = torch.cuda.max_memory_allocated() if peak else torch.cuda.memory_allocated()
    return round(held / 2**30, 2)


def synchronize(device: str) -> None:
    """Wait for the device."""
    if device != "cpu":
        torch.cuda.synchronize()


def main() -> int:
    """Every case in a process of its own; a table at the end."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", choices=["tiny", "8b"], default="tiny")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--work", type=Path, default=Path("/tmp/native-lora"))
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rows", type=int, default=1024)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--cases", nargs="+", default=list(CASES))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--case", help="one case, in this process (used by the command itself)")
    options = parser.parse_args()
    if options.case:
        found = ask(options) if options.case == CASES[-1] else train(options.case, options)
        print(json.dumps(found))
        return 0
    write_random(options.work, options.shape, options.device)
    results: dict[str, Any] = {}
    for case in options.cases:
        done = subprocess.run(
            [sys.executable, __file__, *sys.argv[1:], "--case", case],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            results[case] = {"error": (done.stderr.strip().splitlines() or ["?"])[-1]}
            sys.stderr.write(done.stderr[-2000:])
        else:
            results[case] = json.loads(done.stdout.strip().splitlines()[-1])
        print(case, results[case], flush=True)
        if options.out:
            options.out.write_text(json.dumps(results, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
