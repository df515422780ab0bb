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
    "8b248a4e48e6347dd1428981ab1c73f7d5890eb56a3ed27821203122558f989d",
    "34d20cae775bea4e3c24368c3d39c0e8cb7ce87f13fcc15231c4bfad1621ee91",
    "38a0f7d75eb5b3854286a63f32ddc63355805b9e3ce7986dd291e4128d4b5e0a",
)
SYNTHETIC = {
    60: [
        "315500385546f2337ecc7d016ca93b7e3ad368e73252c0c4867828bb46e3ad46",
        "b91e61516c6c21f289282b61f0625ec064e1f8565d1922c5c6aa53a72dcad600",
        "1313de2cf0dc8670577737a46b5ff7010df23d0d8fe5c96296bc016bb146bc65",
    ],
    3600: [
        "84b0b688be7b8c976dce05c76fb11928eac903dc3583f56df4d6d241a937f454",
        "359f8f6894e72c5595e4e0ea725f58be6d6ece938077025362c4cf4abafabda7",
        "e5ce41b220842833f98043d5ec4798b5d6b22d8144fff90b867a03b2daf81471",
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
