"""Golden hashes: what the embedded model and three synthetic programs compute, everywhere.

    python -m tests.support.golden EMBEDDED_FRAMES SYNTHETIC_FRAMES

prints, as one JSON object, the hashes that this process gets (numba reads its settings when
it is imported) and what was compiled for it.  Needs the base dependencies alone.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from functools import cache
from random import Random
from typing import Any

import numpy as np

from tests.wmq_kernels import machine_code
from wmq.inference.integer_predictor import IntegerPredictor
from wmq.inference.model_files import open_program
from wmq.rollout.controllers import parse_source
from wmq.rollout.hash_chain import rollout_sha256
from wmq.rollout.rollout import both_controllers, roll
from wmq.rollout.starts import Start, match_start
from wmq_kernels.conformance.network import START, network
from wmq_kernels.engine import Engine, State, kernels
from wmq_kernels.program import Program, encode, model_sha256
from wmq_kernels.reference import Reference

# The embedded model and `wmq rollout --frames N` of it: random play with seed 0.
MODEL_SHA256 = "59eabf7eda1eeb9fda3b42cdb003d8feb4b2c30a658eb8fbf5accbad077254ce"
EMBEDDED = {
    6: "b68d7685948816c1fff8f156fff228d90fbdf4e1fdabfbab6580a31ee119316e",
    60: "489f353a50022618ac47af1c87f43664e1f55c387e135f3a42981e99e2a9e319",
    600: "2b38a829fa1fd3be30d242699f879cd2f8dae618462bf797dcbaa48fdd08b614",
    3600: "d13ab68dde8459fd379fe61740f9f61014b1208fd48d73dea05138e42eb5de5b",
}

# network(seed): the model_sha256 of its file, and the digest of N frames of it.
PROGRAM_SHA256 = (
    "753cab4bbca1020fd32ea0257e682622217af3799b04ca732cba8a9adb05f5d9",
    "d0d5a97db4eb9b1093fa982313c409aee9b5ae4f58a43cb8ba57624d8d82793a",
    "2e2f7fa5ee80b702b48803867f41feda2069b26da9f7c92b7bebf33b542d342f",
)
SYNTHETIC = {
    60: [
        "e7093720d3aaaf07d58f43808bb0a9398bb8a4868978d32013a7742d02a818ce",
        "6acb6181544e6233142529ab8eb49cca2f4a9aa4d7c60efec44b1786fbd715e0",
        "b166b194cdb4595da85126d1ee556e5fce812204811e21ed8f9edd4840d49e4b",
    ],
    3600: [
        "36f2644430b94e0afd0d1cbd27960d509e449f3792c4193c564fae49548365c6",
        "b2d11688f3c5f6b03a979dbe0d6e73dff990e903c68523796cd8e6ace326201a",
        "c43f6a13268d551be899f4a308700906a8a61cfb87828e89ef8f8abface00812",
    ],
}
SEEDS = range(len(PROGRAM_SHA256))


def program_sha256(seed: int) -> str:
    return model_sha256(encode(network(seed)))


@cache
def embedded_worlds(kernels: str = "auto") -> IntegerPredictor:
    return IntegerPredictor(open_program(), kernels=kernels)


def a_start(stage: str = "battlefield", characters: tuple[str, str] = ("fox", "falco")) -> Start:
    return match_start(embedded_worlds().schema, stage, characters)


def random_play(frames: int, seed: int = 0) -> np.ndarray:
    """Controllers of both players from a match's start, (frames, 26) int32."""
    random = parse_source("random", "--p1")
    return both_controllers((random, random), a_start(), frames, seed)


def embedded(frames: int, kernels: str = "auto") -> str:
    """rollout_sha256 of `wmq rollout --frames N`."""
    return roll(embedded_worlds(kernels), a_start(), [random_play(frames)], [0]).sha256


def embedded_by_a_team(frames: int, kernels: str, threads: int) -> str:
    """The same with so many threads at each frame."""
    worlds, start, new = embedded_worlds(kernels), a_start(), random_play(frames)
    pads = np.concatenate([start.controllers, new])
    steps = len(pads) - 1
    run = worlds.engine.run(worlds.engine.zero_state(), start.given, pads, steps, threads=threads)
    made = run.frames[len(start.given) - 1 :]
    return rollout_sha256(worlds.sha256, start.given, start.controllers, new, made)


def controllers(seed: int, frames: int) -> np.ndarray:
    """(frames + 1, 2) int32 for network(seed)."""
    rng = Random(seed)
    rows = [[rng.randint(-3_000_000, 3_000_000) for _ in range(2)] for _ in range(frames + 1)]
    return np.array(rows, np.int32)


def digest(
    frames: np.ndarray, heads: np.ndarray, states: Sequence[np.ndarray], saturations: np.ndarray
) -> str:
    """SHA-256 over all that a run leaves, as little-endian int64 in row-major order.

    frames (T, frame_size), heads (T, n); states in the program's order; saturations a step
    """
    everything = hashlib.sha256()
    for part in (frames, heads, *states, saturations):
        everything.update(np.ascontiguousarray(part, "<i8").tobytes())
    return everything.hexdigest()


def state_names(program: Program) -> list[str]:
    return [name for name, value in program.values.items() if value.kind == "state"]


def by_engine(seed: int, frames: int, kind: str = "auto", threads: int = 1) -> str:
    """The digest of network(seed) in the engine."""
    engine = Engine(network(seed), kind)
    state = engine.zero_state()
    given = np.array([START], np.int32)
    run = engine.run(state, given, controllers(seed, frames), frames, True, threads)
    assert run.heads is not None
    return digest(run.frames, run.heads, kept(engine, state), state.saturations)


def kept(engine: Engine, state: State) -> list[np.ndarray]:
    """The values that live from frame to frame."""
    return [engine.value(state, name) for name in state_names(engine.program)]


def by_oracle(seed: int, frames: int) -> str:
    """The digest of network(seed) in the oracle."""
    oracle = Reference(network(seed))
    run = oracle.run([START], controllers(seed, frames).tolist(), frames, heads=True)
    states = [np.array(oracle.values[name]) for name in state_names(oracle.program)]
    return digest(np.array(run.frames), np.array(run.heads), states, np.array(run.saturations))


def bounds_are_checked() -> bool:
    """Whether a kernel that is made to read beyond a slice raises (it stays in the array)."""
    array = np.arange(8, dtype=np.int32)
    try:
        kernels.copy(array[:3], array[4:])
    except IndexError:
        return True
    return False


def main(arguments: Sequence[str]) -> None:
    import numba
    from numba.core import config
    from numba.core.registry import cpu_target

    embedded_frames, synthetic_frames = map(int, arguments)
    found: dict[str, Any] = {"numba": numba.__version__, "compiled": not config.DISABLE_JIT}
    if found["compiled"]:
        _, cpu, _ = cpu_target.target_context.codegen().magic_tuple()
        code = machine_code.report(of=["run_frames"])
        found |= {"cpu": cpu, "code": code, "checked": bounds_are_checked()}
    found["synthetic"] = [by_engine(seed, synthetic_frames) for seed in SEEDS]
    found["embedded"] = embedded(embedded_frames) if embedded_frames else None
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:])
