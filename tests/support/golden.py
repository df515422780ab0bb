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
    "567f963627ddb13504fcd890056f0802fc0442fa9a194e64af2444f8024737aa",
    "1c1fd3b4cd9a7c94d12a96e0f6c51a7703399defa78d4c1bcf2a7b39b40f5f14",
    "684c5020e7284ab1cd4a37fb55f4b191f3be633f19b88649b42874b38543a401",
)
SYNTHETIC = {
    60: [
        "90b723cba198eb4ce7571528f8c7b3a494ce22e0db0841ee50da5cbffd8d3d60",
        "a50ab25d7d8ab6cdef11c0cf3aa2642d5965ba35378773c1c29034c181162696",
        "31570b9fff963ff08efe83f54cdfcfb47efa7f9f705a9fb071340d4f92440fdd",
    ],
    3600: [
        "b90237be2aec03888432a376e663ad2da4d138e1970611eed5ba7f40e8866a12",
        "2b74377e992e8c180246a00b9cb829e86d9136f7b62949f01e317e0df9e491bf",
        "b09cc5dfce0d44418aaa9b404f28e99ae09e1e9ce0d4ce393bab610d7c92f7a4",
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
