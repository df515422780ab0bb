"""Ports of draws, and agents: engine and oracle alike, each run as docs/SPEC.md L1 to L6 say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.wmq_kernels.programs import case_of_ports, each_kind, of_worlds, rows
from wmq_kernels.conformance.builder import Builder
from wmq_kernels.conformance.network import START, network
from wmq_kernels.conformance.ports import KINDS_OF_PORTS, run_of
from wmq_kernels.decoding import decode
from wmq_kernels.engine import Engine, Group
from wmq_kernels.errors import ProgramError
from wmq_kernels.isa import INT32
from wmq_kernels.program import Draws, Program, Slice, encode
from wmq_kernels.rangecheck import certified
from wmq_kernels.reference import Reference

each_of = pytest.mark.parametrize("of", KINDS_OF_PORTS)
SUM = (-(1 << 30), 1 << 30)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(KINDS_OF_PORTS)), st.integers(0, 1 << 40))
def test_a_program_of_any_ports_is_the_oracle_s(of: str, seed: int) -> None:
    assert not case_of_ports(of, seed).difference()


@each_kind
@each_of
@pytest.mark.parametrize("threads", [2, 5])
def test_a_team_of_threads_gives_the_same_bits(of: str, kind: str, threads: int) -> None:
    for seed in range(12):
        assert not case_of_ports(of, seed, [kind], threads).difference()


@each_of
def test_a_file_is_read_as_what_it_is(of: str) -> None:
    kind, draws = KINDS_OF_PORTS[of]
    program = run_of(of, 1).program
    again = decode(encode(program))
    assert (again.kind, bool(again.draws), Engine(again).kind) == (kind, draws, kind)
    assert encode(again) == encode(program)


def worlds_of(of: str, count: int) -> tuple[Program, np.ndarray, np.ndarray, Draws | None]:
    """One program, and for each world rows and draws of its own."""
    first = run_of(of, 5)
    rng, program = np.random.default_rng(3), first.program
    given, inputs = (np.repeat(rows(part)[None], count, 0) for part in (first.given, first.inputs))
    pads = given if program.kind == "agent" else inputs
    pads[:] = rng.integers(*INT32, pads.shape, np.int32, endpoint=True)
    draws = of_worlds(first.draws, count)
    if draws is not None:
        draws.words[:] = rng.integers(*INT32, draws.words.shape, np.int32, endpoint=True)
        port = program.values["forced"]
        draws.forced[:] = rng.integers(port.lo, port.hi, draws.forced.shape, np.int32, True)
    return program, given, inputs, draws


@each_of
@pytest.mark.parametrize("threads", [1, 2])
def test_worlds_of_a_group_are_each_as_if_alone(of: str, threads: int) -> None:
    program, given, inputs, draws = worlds_of(of, 5)
    engine, frames = Engine(program), run_of(of, 5).frames
    run = engine.run_group(engine.zero_group(5), given, inputs, frames, True, threads, draws)
    assert run.heads is not None
    assert len(np.unique(run.heads, axis=0)) == 5
    for w in range(5):
        mine = None if draws is None else Draws(draws.words[w], draws.forced[w])
        wanted = Reference(program).run(given[w].tolist(), inputs[w].tolist(), frames, True, mine)
        assert run.made[w].tolist() == wanted.made
        assert run.heads[w].tolist() == wanted.heads


@each_of
def test_frame_by_frame_is_the_same_run(of: str) -> None:
    """L5, with a group that keeps what its threads work in."""
    program, given, inputs, draws = worlds_of(of, 3)
    engine, frames = Engine(program), run_of(of, 5).frames
    whole = engine.run_group(engine.zero_group(3), given, inputs, frames, True, draws=draws)
    group, now, ahead = engine.zero_group(3), given[:, :1], len(program.roles.inputs)
    for t in range(frames):
        now = given[:, t : t + 1] if t < given.shape[1] else now
        drawn = draws and Draws(draws.words[:, t : t + 1], draws.forced[:, t : t + 1])
        run = engine.run_group(group, now, inputs[:, t : t + ahead], 1, True, 1 + t % 2, drawn)
        now = run.made
        assert run.heads is not None and whole.heads is not None
        assert (run.made[:, 0] == whole.made[:, t]).all()
        assert (run.heads[:, 0] == whole.heads[:, t]).all()


def summing(kind: str) -> Program:
    """What is fed back grows by what is seen and by both draws; two numbers each."""
    b = Builder(Random(0))
    b.part(2, INT32)
    words, forced = b.draws(2, (-2, 99))
    seen = Slice("controllers" if kind == "world" else "frame", 0, 2)
    total = Slice("frame" if kind == "world" else "controllers", 0, 2)
    for other in (seen, words, forced):
        more = b.temp("more", "i32", 2, SUM)
        b.step("add", {"a": total, "b": other, "out": more}, n=2, lo=SUM[0], hi=SUM[1])
        total = more
    return certified(b.program(total, kind=kind))


@pytest.mark.parametrize("kind", ["world", "agent"])
def test_what_is_fed_back_is_the_running_sum(kind: str) -> None:
    """Row t of what is seen and of the draws belongs to step t; the second given row is a new
    beginning."""
    program, rng, frames = summing(kind), np.random.default_rng(1), 6
    begin, seen, words = (rng.integers(-9999, 9999, (n, 2)).astype(np.int32) for n in (2, 7, 6))
    forced = rng.integers(-2, 99, (frames, 2)).astype(np.int32)
    inputs = seen if kind == "world" else seen[:frames]
    each = seen[:frames] + words + forced
    wanted = [begin[0] + each[0], *(begin[1] + np.cumsum(each[1:], axis=0))]
    engine = Engine(program)
    found = engine.run(engine.zero_state(), begin, inputs, frames, draws=Draws(words, forced))
    assert found.made.tolist() == np.array(wanted).tolist()
    oracle = Reference(program).run(begin.tolist(), inputs.tolist(), frames,
                                    draws=Draws(words, forced))  # fmt: skip
    assert oracle.made == found.made.tolist()


# --- what is refused ----------------------------------------------------------------------

SOUND: dict[str, object] = {"given": [[1, 2]], "inputs": [[3, 4], [5, 6]],
                            "words": [[7, 8], [9, 9]], "forced": [[-1, -2], [99, 0]]}  # fmt: skip
WRONG: dict[str, tuple[dict, str]] = {
    "no draws": ({"words": None}, "draws"),
    "a row of draws short": ({"words": [[7, 8]]}, "rows"),
    "a row of forced over": ({"forced": [[-1, -1]] * 3}, "rows"),
    "a draw over": ({"words": [[7, 8, 9]] * 2, "forced": [[-1] * 3] * 2}, "words"),
    "forced too low": ({"forced": [[-1, -3], [0, 0]]}, r"forced.*\[-2, 99\]"),
    "forced too high": ({"forced": [[-1, -2], [100, 0]]}, r"forced.*\[-2, 99\]"),
    "words beyond int32": ({"words": [[7, 8], [9, 1 << 31]]}, "words"),
    "an input over": ({"inputs": [[0, 0]] * 3}, "2 of frame"),
    "an input short": ({"inputs": [[0, 0]]}, "2 of frame"),
    "none given": ({"given": np.zeros((0, 2), int).tolist()}, "1 to 2 rows of controllers"),
    "a number over": ({"given": [[1, 2, 3]]}, "controllers"),
}


def arguments(of: dict) -> tuple[np.ndarray, np.ndarray, int, Draws | None]:
    given, inputs = (np.array(of[name], np.int64).reshape(-1, len((of[name] or [[0, 0]])[0]))
                     for name in ("given", "inputs"))  # fmt: skip
    draws = of["words"] and Draws(np.array(of["words"]), np.array(of["forced"]))
    return given, inputs, 2, draws


@pytest.mark.parametrize("name", WRONG)
def test_a_malformed_run_of_an_agent_is_refused_before_its_first_frame(name: str) -> None:
    change, says = WRONG[name]
    program = summing("agent")
    engine, oracle = Engine(program), Reference(program)
    state = engine.zero_state()
    given, inputs, frames, draws = arguments(SOUND | change)
    with pytest.raises(ProgramError, match=says) as caught:
        engine.run(state, given, inputs, frames, draws=draws)
    assert "\n" not in str(caught.value) and caught.value.reason == "run"
    with pytest.raises(ProgramError):
        oracle.run(given.tolist(), inputs.tolist(), frames, draws=draws)
    given, inputs, frames, draws = arguments(SOUND)
    wanted = oracle.run(given.tolist(), inputs.tolist(), frames, draws=draws).made
    assert engine.run(state, given, inputs, frames, draws=draws).made.tolist() == wanted


def test_a_program_that_draws_nothing_takes_no_draws() -> None:
    program = network(0)
    engine, draws = Engine(program), Draws(np.zeros((1, 1), np.int32), np.zeros((1, 1), np.int32))
    pads = np.zeros((2, 2), np.int32)
    with pytest.raises(ProgramError, match="no ports words and forced"):
        engine.run(engine.zero_state(), np.array([START], np.int32), pads, 1, draws=draws)
    with pytest.raises(ProgramError, match="draws"):
        Reference(program).run([START], pads.tolist(), 1, draws=draws)


def with_interval(program: Program, **intervals: tuple[int, int]) -> Program:
    changed = {name: replace(program.values[name], lo=lo, hi=hi)
               for name, (lo, hi) in intervals.items()}  # fmt: skip
    return replace(program, values={**program.values, **changed})


@pytest.mark.parametrize("kind", ["world", "agent"])
@pytest.mark.parametrize("intervals", [{"words": (-(1 << 31), 0)}, {"forced": (-1, 9)},
                                       {"forced": (-9, -2)}], ids=str)  # fmt: skip
def test_draws_may_be_any(kind: str, intervals: dict) -> None:
    with pytest.raises(ProgramError) as caught:
        certified(with_interval(summing(kind), **intervals))
    assert caught.value.reason == "port" and next(iter(intervals)) in str(caught.value)


@pytest.mark.parametrize("kind", ["world", "agent"])
def test_what_is_fed_back_lies_where_it_may_be_given(kind: str) -> None:
    program = summing(kind)
    roles = program.roles
    narrow = certified(with_interval(program, **{roles.made: INT32, roles.fed: INT32}))
    assert narrow.certificate == program.certificate
    for end in (0, 1):
        ends = list(INT32)
        ends[end] += 1 - 2 * end
        with pytest.raises(ProgramError, match=f"{roles.made}.*{roles.fed}") as caught:
            certified(with_interval(program, **{roles.fed: (ends[0], ends[1])}))
        assert caught.value.reason == "port"


# --- what a group knows of its states ------------------------------------------------------


@each_kind
@pytest.mark.parametrize("how", ["put", "memory that was lent", "another engine's run"])
def test_a_state_that_another_wrote_between_two_runs_is_looked_at_again(
    kind: str, how: str
) -> None:
    """vnni's scan keeps a bound of each state from run to run: these states exceed it."""
    program = network(3)
    engine, other = Engine(program, kind), Engine(program, "portable")
    pads = np.random.default_rng(0).integers(-3_000_000, 3_000_000, (2, 41, 2)).astype(np.int32)
    given = np.repeat(np.array([[START]], np.int32), 2, axis=0)
    names = [name for name, value in program.values.items() if name.startswith("state.")]
    assert names

    def written(group: Group) -> None:
        state = group.copy(1)
        for name in names:
            engine.value(state, name)[:] = program.values[name].hi
        if how == "put":
            group.put(1, state)
        elif how == "another engine's run":
            other.run_group(group, given, pads[:, :2], 1)
            group.put(1, state)
        else:
            lent.arenas["i32"][:] = state.arenas["i32"]

    group = engine.zero_group(2)
    lent = group.world(1) if how == "memory that was lent" else group.copy(1)
    now = engine.run_group(group, given, pads[:, :21], 20).made[:, -1:]
    written(group)
    fresh = other.zero_group(2)
    for w in range(2):
        fresh.put(w, group.copy(w))
    found = engine.run_group(group, now, pads[:, 20:], 20).made
    assert (found == other.run_group(fresh, now, pads[:, 20:], 20).made).all()


@pytest.mark.parametrize("make", [np.int64, np.int16, np.float64])
def test_rows_of_another_type_are_the_same_rows(make: Callable) -> None:
    program = summing("agent")
    engine = Engine(program)
    given, inputs, frames, draws = arguments(SOUND)
    assert draws is not None
    found = [engine.run(engine.zero_state(), given.astype(t), inputs.astype(t), frames,
                        draws=Draws(draws.words.astype(t), draws.forced.astype(t))).made.tolist()
             for t in (np.int32, make)]  # fmt: skip
    assert found[0] == found[1]
