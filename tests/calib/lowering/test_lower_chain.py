"""Lowered worlds and agents whose heads are chains: proven, exact, and near the float step."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest

from calib.lowering.lower import lower
from calib.recipe import RecurrentState
from calib.statistics.collect import collect
from calib.step.graph import StepModel
from tests.support.ruled_frames import random_frames
from tests.support.small_chain import SCHEMAS, Session, made_play, small_chain
from wmq.calibration.play import calibration_game
from wmq.game.controls import control_classes, control_pads
from wmq.game.frame_update import forced_actions, next_frames
from wmq.game.schema import Q16, Schema
from wmq.game.targets import true_draws
from wmq_kernels.decoding import decode
from wmq_kernels.engine import Engine
from wmq_kernels.program import BY_WORD, LIKELIEST, Draws, Program, encode
from wmq_kernels.rangecheck import bounds, prove
from wmq_kernels.reference import Reference

STATE = RecurrentState(headroom_bits=2)
FRAMES = 150


@dataclass(frozen=True)
class Lowered:
    kind: str
    schema: Schema
    step: StepModel
    frames: np.ndarray  # (FRAMES + 1, frame_size)
    pads: np.ndarray  # (FRAMES + 1, own controllers)
    drawn: np.ndarray  # (FRAMES, draws), those of the play
    program: Program


@cache
def lower_small(kind: str) -> Lowered:
    schema = SCHEMAS[kind]
    with TemporaryDirectory() as folder:
        step = small_chain(kind, Path(folder))
    frames, pads = (rows[300 : 301 + FRAMES] for rows in made_play(schema))
    statistics = collect(step, [calibration_game(schema, frames, pads)]).ranges()
    program = lower(step, statistics, {}, STATE)
    drawn = true_draws(schema, frames, pads)
    return Lowered(kind, schema, step, frames, pads[:, : schema.controllers_size], drawn, program)


@pytest.fixture(params=["world", "agent"])
def lowered(request) -> Lowered:
    return lower_small(request.param)


@pytest.fixture
def world() -> Lowered:
    return lower_small("world")


@pytest.fixture
def agent() -> Lowered:
    return lower_small("agent")


def ports(made: Lowered, frames: np.ndarray, pads: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What is fed back, and the inputs of so many frames but one."""
    return (frames[:-1], pads) if made.kind == "world" else (pads[:-1], frames[:-1])


def words(count: int, draws: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(-(1 << 31), 1 << 31, (count, draws)).astype(np.int32)


def heads_of(program: Program, rows: np.ndarray) -> dict[str, np.ndarray]:
    """The program's own heads in natural units, (T, width) float64."""
    return {name: rows[:, start : start + count] * program.meta["head_scales"][name]
            for name, (start, count) in program.heads.items()}  # fmt: skip


def drawn_of(made: Lowered, given: np.ndarray, inputs: np.ndarray, draws: Draws):
    """What each frame made, its heads, and what was drawn, a frame at a time."""
    reference, fed = Reference(made.program), made.program.roles
    rows = []
    for t in range(len(given)):
        one = Draws(draws.words[t : t + 1], draws.forced[t : t + 1])
        steps = inputs[t : t + fed.rows(1)].tolist()
        found = reference.run(given[t : t + 1].tolist(), steps, 1, True, one)
        rows.append((found.made[0], found.heads[0], list(reference.values["drawn"])))
    return tuple(np.array(column) for column in zip(*rows, strict=True))


def test_the_program_is_proven_and_comes_back_from_its_file(lowered):
    content = encode(lowered.program)
    again = decode(content)
    prove(again)
    assert encode(again) == content and bounds(again) == lowered.program.certificate
    assert lowered.program.kind == lowered.kind
    assert lowered.program.values["words"].size == len(lowered.schema.draws)


def test_engine_and_oracle_agree_on_frames_with_sampled_draws(lowered):
    given, inputs = ports(lowered, lowered.frames, lowered.pads)
    count, rows = 14, lowered.program.roles.rows(14)
    forced = np.full((count, len(lowered.schema.draws)), BY_WORD, np.int32)
    forced[3], forced[5] = LIKELIEST, lowered.drawn[5]
    draws = Draws(words(count, forced.shape[1]), forced)
    engine = Engine(lowered.program)
    run = engine.run(engine.zero_state(), given[:4], inputs[:rows], count, True, 1, draws)
    wanted = Reference(lowered.program).run(given[:4].tolist(), inputs[:rows].tolist(), count,
                                            True, draws)  # fmt: skip
    assert run.made.tolist() == wanted.made
    assert run.heads.tolist() == wanted.heads


def test_every_head_is_near_the_float_step_given_the_same_draws(lowered):
    """Noise beside the spread of a head over the play, in rms: int8 leaves less than a quarter."""
    given, inputs = ports(lowered, lowered.frames, lowered.pads)
    draws = Draws(words(FRAMES, lowered.drawn.shape[1]), lowered.drawn.astype(np.int32))
    engine = Engine(lowered.program)
    state = engine.zero_state()
    run = engine.run(state, given, inputs, FRAMES, True, 1, draws)
    found = heads_of(lowered.program, run.heads)
    session = Session(lowered.step, lowered.schema)
    rows = [session.run(lowered.frames[t : t + 1], lowered.pads[t : t + 1],
                        lowered.pads[t + 1 : t + 2], forced=lowered.drawn[t])
            for t in range(FRAMES)]  # fmt: skip
    for name, values in found.items():
        wanted = np.concatenate([row[name] for row in rows])
        spread = np.sqrt(((wanted - wanted.mean(0)) ** 2).mean())
        noise = np.sqrt(((values - wanted) ** 2).mean())
        assert noise < spread / 4, (name, noise / spread)
    assert state.saturations.sum() <= FRAMES // 10  # at the very end of a range


def test_the_frame_update_is_that_of_the_schema(world):
    """On the play with sampled draws, and on frames at which every rule happens."""
    count = 40
    draws = Draws(words(count, 4, 1), np.full((count, 4), BY_WORD, np.int32))
    made, heads, drawn = drawn_of(world, world.frames[:count], world.pads, draws)
    after = next_frames(world.schema, world.frames[:count], heads_of(world.program, heads), drawn,
                        world.pads[1 : count + 1])  # fmt: skip
    assert (after == made).all(), np.argwhere(after != made)[:5]

    count, rng = 3000, np.random.default_rng(3)
    wild = random_frames(rng, count)
    pads = rng.integers(0, Q16 + 1, (count + 1, 26)).astype(np.int32)
    drawn = rng.integers(0, [draw.classes for draw in world.schema.draws], (count, 4))
    for player in (0, 1):  # half of the actions by the clocks, or as they were
        forced = forced_actions(world.schema, wild, player)
        stays = np.where(forced >= 0, forced, wild[:, world.schema.index("action", player)])
        drawn[: count // 2, 2 + player] = stays[: count // 2]
    engine = Engine(world.program)
    draws = Draws(words(count, 4), drawn.astype(np.int32))
    run = engine.run(engine.zero_state(), wild, pads, count, True, 1, draws)
    after = next_frames(world.schema, wild, heads_of(world.program, run.heads), drawn, pads[1:])
    assert (after == run.made).all(), np.argwhere(after != run.made)[:5]
    changed = run.made[:, world.schema.index("action")]
    before = wild[:, world.schema.index("action")]
    for action in (0, 1, 2, 4, 7, 12):  # each fate, and what clocks begin
        assert ((changed == action) & (before != action)).any(), action


@pytest.mark.parametrize("player", [0, 1])
def test_a_clock_decides_the_action_that_nobody_forces(world, player):
    schema, rng = world.schema, np.random.default_rng(4)
    frames = random_frames(rng, 60)
    pads = np.zeros((61, 26), np.int32)
    for forced in (BY_WORD, LIKELIEST):
        draws = Draws(words(60, 4, 2), np.full((60, 4), forced, np.int32))
        _, _, drawn = drawn_of(world, frames, pads, draws)
        wanted = forced_actions(schema, frames, player)
        column = [draw.name for draw in schema.draws].index(f"p{player + 1}.action")
        ruled = wanted >= 0
        assert ruled.sum() > 10 and (drawn[ruled, column] == wanted[ruled]).all()
        before = frames[:, schema.index("action", player)]
        allowed = world.step.weights["allowed"][before, drawn[:, column]]
        assert (allowed[~ruled] == 1).all()
    draws = Draws(words(60, 4), np.full((60, 4), 20, np.int32))
    assert (drawn_of(world, frames, pads, draws)[2] == 20).all()


def test_an_agent_gives_the_controller_that_it_drew(agent):
    given, inputs = ports(agent, agent.frames, agent.pads)
    sizes = [draw.classes for draw in agent.schema.draws]
    forced = np.random.default_rng(5).integers(-2, sizes, (60, 3)).astype(np.int32)
    forced[:20] = BY_WORD
    made, _, drawn = drawn_of(agent, given[:60], inputs, Draws(words(60, 3, 6), forced))
    assert (made == control_pads(drawn)).all()
    assert (drawn[forced >= 0] == forced[forced >= 0]).all()
    assert len(np.unique(drawn[:20], axis=0)) > 10


def softmax(logits: np.ndarray, temperature: float, min_p: float) -> np.ndarray:
    """The float step's distribution, in float64."""
    exponent = (logits - logits.max()) / temperature
    weight = np.where(exponent >= np.log(min_p), np.exp(exponent), 0)
    return weight / weight.sum()


def test_draws_are_as_frequent_as_the_float_step_s_softmax_says(lowered):
    """Of 4,000 draws at one frame, beside the program's own logits and beside the float's."""
    schema, program, count, first = lowered.schema, lowered.program, 4000, 25
    given, inputs = ports(lowered, lowered.frames, lowered.pads)
    engine = Engine(program)
    group = engine.zero_group(count)
    rows = program.roles.rows(1)
    forced = np.full((count, 1, len(schema.draws)), BY_WORD, np.int32)
    some = Draws(words(count, len(schema.draws), 7)[:, None], forced)
    run = engine.run_group(group, np.repeat(given[None, first : first + 1], count, 0),
                           np.repeat(inputs[None, first : first + rows], count, 0), 1, True, 1,
                           some)  # fmt: skip
    session = Session(lowered.step, schema)
    found = session.run(lowered.frames[first : first + 1], lowered.pads[first : first + 1],
                        lowered.pads[first + 1 : first + 2])  # fmt: skip
    draw = schema.draws[0]  # its logits are the same, whatever is drawn
    temperature, min_p = (float(v) for v in lowered.step.weights["decode"])
    wanted = softmax(found[draw.name][0].astype(np.float64), temperature, min_p)
    logits = heads_of(program, run.heads[0])[draw.name]
    own = softmax(logits[0], temperature, min_p)
    chosen = first_drawn(lowered, lowered.frames[first], run.made[:, 0])
    frequency = np.bincount(chosen, minlength=draw.classes) / count
    deviation = np.sqrt(own * (1 - own) / count)
    assert (np.abs(frequency - own) < 5 * deviation + 1e-3).all()
    assert np.abs(frequency - wanted).sum() / 2 < 0.1  # total variation; int8 moves logits
    assert (frequency > 0).sum() > 5


def first_drawn(lowered: Lowered, frame: np.ndarray, made: np.ndarray) -> np.ndarray:
    """What the first draw gave, told by what came of it."""
    schema = lowered.schema
    if lowered.kind == "world":
        at = schema.index("percent")
        rises = {rise: k for k, rise in enumerate(schema.rules.rises)}
        return np.array([rises[rise] for rise in (made[:, at] - frame[at]).tolist()])
    return control_classes(made)[:, 0]
