"""Golden hashes: what the embedded model and three synthetic programs compute, everywhere.

    python -m tests.wmq.golden EMBEDDED_FRAMES SYNTHETIC_FRAMES

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
from wmq.controllers import parse_source
from wmq.hashes import rollout_sha256
from wmq.opening import open_program
from wmq.rollout import IntegerWorlds, both_controllers, roll
from wmq.starts import Start, match_start
from wmq_kernels.conformance.network import START, network
from wmq_kernels.engine import Engine, State, kernels
from wmq_kernels.program import Program, encode, model_sha256
from wmq_kernels.reference import Reference

# The embedded model and `wmq rollout --frames N` of it: random play with seed 0.
MODEL_SHA256 = "581c9a409e857ceafe7e3c9278dee15fd3a4839ccc8592cc892d71acdff8daa3"
EMBEDDED = {
    6: "4de6f06a79287b8a52ac555ff4813ec48353b32031b637f5872cc99e0426df8d",
    60: "68209a136ce560d4af7b8b6ccb301ae387eb684245693fb87723022e976f88fd",
    600: "de9793a643588fe7026365338926d9dfdcbe6154b2173deb2d146a8ccf7a3c4a",
    3600: "3f565ebfe1aa6005aaf556adad29975195ce4c11bf3f8949299eb3226d325556",
}

# network(seed): the model_sha256 of its file, and the digest of N frames of it.
PROGRAM_SHA256 = (
    "cf672a90faf5fd8191b6e157909ffe9ef9cc787591922d32b780cf67bdfa5a14",
    "a74cd7bc91d03fa490f8593670b956986c2b91f59710e9fda58d58dda3d507bb",
    "95256e679e5b39fc063052a86a2c0c976e778f93a635a2cc71fd3bdd0d0c5944",
)
SYNTHETIC = {
    60: [
        "fff04235e5761fa0f0f0ded876cf0ef596ecf65d200216cb88414b14f9f20b0c",
        "af93d8cebc3c14c4c2e21079335a6251c213caa906ffb33465e6c689b7d93e5a",
        "eda02d9079b00a59a9d85141c4844c00e44274476e8d6567823e2150a87828ed",
    ],
    3600: [
        "f7eb3d413a2817ea6c42d72baf25d4ea349f3952e8044ec79b191e7a152abbe0",
        "df6a178086bf68670f23709cfecf41f022c4151b9d6f5cdad3a3cac58f090add",
        "2ee268a7ff03332644186bc2d411392b161632efd42ccd658e309b110a86026d",
    ],
}
SEEDS = range(len(PROGRAM_SHA256))


def program_sha256(seed: int) -> str:
    return model_sha256(encode(network(seed)))


@cache
def embedded_worlds(kernels: str = "auto") -> IntegerWorlds:
    return IntegerWorlds(open_program(), kernels)


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
