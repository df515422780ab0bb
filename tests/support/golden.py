"""Golden hashes: what the embedded model and three synthetic programs compute, everywhere.

    python -m tests.support.golden EMBEDDED_FRAMES SYNTHETIC_FRAMES

prints, as one JSON object, the hashes that this process gets (numba reads its settings when
it is imported) and what was compiled for it.  Needs the base dependencies alone.

    python -m tests.support.golden renew

writes the hashes of the embedded models, after they were replaced, to golden.json.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from tests.wmq_kernels import machine_code
from wmq.inference.draws import DrawSource, Sampling
from wmq.inference.integer_predictor import IntegerPredictor
from wmq.inference.model_files import open_program
from wmq.rollout.controllers import Source, parse_source
from wmq.rollout.match import Agents, open_agents
from wmq.rollout.rollout import Rollout, agent_sha256, both_controllers, roll
from wmq.rollout.starts import Start, match_start
from wmq_kernels.conformance.network import START, network
from wmq_kernels.engine import Engine, State, kernels
from wmq_kernels.program import Draws, Program, encode, model_sha256
from wmq_kernels.reference import Reference

# The embedded models, and N -> rollout_sha256 of `wmq rollout --frames N`: a match with seed 0, of
# two embedded agents if the world draws, else of random play.
FILE = Path(__file__).with_suffix(".json")
GOLDEN = json.loads(FILE.read_text("utf-8"))
EMBEDDED = {int(frames): sha256 for frames, sha256 in GOLDEN["rollout_sha256"].items()}

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


@cache
def embedded_agents(kernels: str = "auto") -> Agents:
    """Those of both players, or none if the embedded world does not draw."""
    schema = embedded_worlds(kernels).schema
    return open_agents(usual_sources(), "int8", kernels, schema)


def usual_sources() -> tuple[Source, Source]:
    usual = parse_source(a_start().usual_source(embedded_worlds().schema), "--p1")
    return usual, usual


def rolled(frames: int, seeds: Sequence[int], kernels: str = "auto", threads: int = 1,
           start: Start | None = None) -> Rollout:  # fmt: skip
    """Worlds with these seeds, played as by `wmq rollout` that names no controllers."""
    start = start or a_start()
    pads = [both_controllers(usual_sources(), start, frames, seed) for seed in seeds]
    worlds, agents = embedded_worlds(kernels), embedded_agents(kernels)
    return roll(worlds, start, pads, seeds, threads, agents=agents)


def embedded(frames: int, kernels: str = "auto", threads: int = 1) -> str:
    """rollout_sha256 of `wmq rollout --frames N`."""
    return rolled(frames, [0], kernels, threads).sha256


def drawn(frames: int, seed: int = 0) -> Draws | None:
    """What the embedded world draws by in its first frames, (frames, draws) each."""
    draws = DrawSource(embedded_worlds().schema, 1, Sampling.of_worlds([seed])).next(frames)
    return draws and Draws(draws.words[0], draws.forced[0])


def renew() -> None:
    """Write what the embedded models compute now: the oracle's word for it is in `make soak`."""
    agent = agent_sha256(embedded_agents())[0]
    sha256 = {str(frames): embedded(frames) for frames in EMBEDDED}
    found = {"model_sha256": embedded_worlds().sha256, "agent_sha256": agent,
             "rollout_sha256": sha256}  # fmt: skip
    FILE.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


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

    if list(arguments) == ["renew"]:
        return renew()
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
