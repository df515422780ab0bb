"""World-frames a second of the environments, beside a rollout of as many worlds.

All forms are measured in turn, round after round, with the embedded model, the same threads and
the same random play; the table has the medians and ranges, and the medians of the ratios to the
rollout of the same round.

    python -m benchmarks environments --worlds 64 --threads 2
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv

from wmq.envs.actions import natural_controllers
from wmq.envs.vector import MeleeSelfPlayVectorEnv, MeleeVectorEnv
from wmq.inference.integer_predictor import IntegerPredictor
from wmq.rollout.controllers import Source
from wmq.rollout.rollout import both_controllers, roll
from wmq.rollout.starts import match_start

SIZE = 13  # numbers of a controller


def actions_of(rows: np.ndarray) -> list[dict[str, Any]]:
    """A batch of actions a frame, of controllers (worlds, frames, 13)."""
    natural = natural_controllers(rows.swapaxes(0, 1))
    return [{"analog": now[:, :5], "buttons": now[:, 5:].astype(np.int8)} for now in natural]


def stepped(make: Callable[[], VectorEnv], batches: list[dict[str, Any]]) -> float:
    """Seconds that the steps take."""
    env = make()
    env.reset(seed=0)
    began = time.perf_counter()
    for actions in batches:
        env.step(actions)
    seconds = time.perf_counter() - began
    env.close()
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks environments",
                                     description=__doc__.partition("\n")[0])  # fmt: skip
    parser.add_argument("--worlds", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--frames", type=int, default=120)
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    worlds, threads, frames = given.worlds, given.threads, given.frames

    model = IntegerPredictor()
    model.compile()
    start = match_start(model.schema, "battlefield", ("fox", "falco"))
    random = (Source("random"), Source("random"))
    pads = np.stack([both_controllers(random, start, frames, seed) for seed in range(worlds)])
    both = actions_of(
        pads.reshape(worlds, frames, 2, SIZE).swapaxes(1, 2).reshape(-1, frames, SIZE)
    )
    first = actions_of(pads[:, :, :SIZE])
    options: dict[str, Any] = {"model": model, "threads": threads}
    forms: dict[str, Callable[[], float]] = {
        "wmq rollout": lambda: roll(model, start, pads, range(worlds), threads).seconds,
        "both players act": lambda: stepped(
            lambda: MeleeSelfPlayVectorEnv(worlds, **options), both
        ),
        "against idle": lambda: stepped(lambda: MeleeVectorEnv(worlds, "idle", **options), first),
        "against random": lambda: stepped(
            lambda: MeleeVectorEnv(worlds, "random", **options), first
        ),
    }
    speeds: dict[str, list[float]] = {name: [] for name in forms}
    for _ in range(given.rounds):
        for name, seconds in forms.items():
            speeds[name].append(worlds * frames / seconds())
    print(f"{worlds} worlds, {frames} frames each, {threads} threads, {model.kernels}, "
          f"{given.rounds} rounds: world-frames/s")  # fmt: skip
    for name, found in speeds.items():
        ratios = [own / base for own, base in zip(found, speeds["wmq rollout"], strict=True)]
        print(f"{name:18} {median(found):8,.0f}  ({min(found):,.0f} to {max(found):,.0f})  "
              f"{median(ratios):5.2f} of the rollout")  # fmt: skip


if __name__ == "__main__":
    main()
