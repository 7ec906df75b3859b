"""What constrained decoding costs per step on a vocabulary of 150 000 tokens.

    OMP_NUM_THREADS=1 python benchmarks/constrained_decoding.py [--steps 400] [--out FILE.json]

The vocabulary is made from code in the manner of byte-level BPE: single bytes, words with and
without a space, Chinese characters and words, numbers of up to three digits, runs of spaces and
punctuation, parts of characters. Answers are random walks: every row draws a token among those that
may follow, with reasons of up to 80 characters, and starts again when it is done; so each row goes
its own way, which is the worst case for what is remembered. Reported are milliseconds per step of
`ConstrainedDecoding` for all rows together: masks, choice and the scores themselves (on the CPU).
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch

from tsloop.chatts.generate.constraints import AnswerConstraint, Phase, State
from tsloop.chatts.generate.decoding import ConstrainedDecoding
from tsloop.chatts.generate.vocabulary import TokenTable
from tsloop.labels import builtin_label_set

ENTRIES = 150_000
EOS = ENTRIES
WIDTH = 151_936
BUDGET = 1024


def vocabulary(entries: int, seed: int = 0) -> list[bytes]:
    """Distinct token texts; the first 256 are the single bytes."""
    rng = random.Random(seed)
    letters = "etaoinshrdlucmfwypvbgkjqxz"
    marks = ['"', "[", "]", "{", "}", ",", ":", "\\", "/", "(", ")", ".", "-", "=", "<", ">", " "]
    texts = {bytes((byte,)): None for byte in range(256)}
    texts |= {b" " * n: None for n in range(2, 129)}
    texts |= {str(n).encode(): None for n in range(1000)}
    texts |= {chr(c).encode(): None for c in range(0x4E00, 0x9FA6)}
    texts |= {chr(c).encode()[:2]: None for c in range(0x4E00, 0x9FA6, 64)}
    while len(texts) < entries:
        kind = rng.random()
        if kind < 0.70:
            word = "".join(rng.choices(letters, k=rng.randint(2, 12)))
            text = rng.choice(["", " "]) + rng.choice([word, word.title(), word.upper()])
        elif kind < 0.90:
            text = "".join(chr(rng.randint(0x4E00, 0x6E00)) for _ in range(rng.randint(2, 4)))
        else:
            text = "".join(rng.choices(marks, k=rng.randint(2, 5)))
            text += rng.choice(["", "", "\n", *letters])
        texts.setdefault(text.encode(), None)
    return list(texts)


def walk(table: TokenTable, rows: int, steps: int, seed: int = 0) -> dict[str, float]:
    """Milliseconds per step of the processor, every row a random answer of its own."""
    rng = np.random.default_rng(seed)
    label_set = builtin_label_set()
    constraints = [AnswerConstraint.of(1024, label_set, 32, 80) for _ in range(rows)]
    generator = torch.Generator().manual_seed(seed)
    noise = torch.rand(rows, WIDTH, generator=generator)
    took: list[float] = []
    while len(took) < steps:
        decoding = ConstrainedDecoding(table, constraints, 1, BUDGET, [EOS])
        ids = torch.zeros(rows, 1, dtype=torch.long)
        for _ in range(min(BUDGET, steps - len(took))):
            scores = noise.roll(int(rng.integers(WIDTH)), dims=1)
            begun = time.perf_counter()
            scores = decoding(ids, scores)
            took.append(1000 * (time.perf_counter() - begun))
            ids = torch.cat([ids, scores.argmax(dim=1, keepdim=True)], dim=1)
            if all(trace.ended for trace in decoding.traces):
                break
    times = np.array(took)
    return {
        "rows": rows,
        "steps": len(times),
        "ms_mean": round(float(times.mean()), 3),
        "ms_median": round(float(np.median(times)), 3),
        "ms_p99": round(float(np.quantile(times, 0.99)), 3),
    }


def masks_by_phase(texts: list[bytes], answers: int) -> dict[str, dict[str, float]]:
    """Milliseconds for one mask that is not remembered, by where in the answer it is."""
    table = TokenTable(texts, remembered=1)
    constraint = AnswerConstraint.of(1024, builtin_label_set(), 32, 80)
    took: dict[str, list[float]] = defaultdict(list)
    for seed in range(answers):
        rng, state = np.random.default_rng(seed), State()
        while state.phase is not Phase.DONE:
            begun = time.perf_counter()
            mask = table.mask(constraint, state)
            part = "_PART" if state.phase is Phase.REASON and state.part else ""
            took[state.phase.name + part].append(1000 * (time.perf_counter() - begun))
            after = constraint.follow(state, table.texts[rng.choice(np.flatnonzero(mask))])
            assert after is not None
            state = after
    return {
        phase: {
            "masks": len(times),
            "ms_median": round(float(np.median(times)), 3),
            "ms_max": round(max(times), 3),
        }
        for phase, times in sorted(took.items())
    }


def main() -> None:
    """Print the figures as JSON, and write them where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--answers", type=int, default=15)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    texts = vocabulary(ENTRIES)
    begun = time.perf_counter()
    table = TokenTable(texts)
    figures = {
        "entries": len(texts),
        "table_seconds": round(time.perf_counter() - begun, 2),
        "masks": masks_by_phase(texts, given.answers),
        "steps": [walk(table, rows, given.steps) for rows in (1, 4, 8, 16)],
    }
    text = json.dumps(figures, indent=2)
    print(text)
    if given.out:
        given.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
