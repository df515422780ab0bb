"""Matches: agents in a sampled world, against a plain statement of the loop, and verified."""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

import wmq
from tests.support.embedded import embed
from tests.support.ruled_frames import RULED
from tests.support.small_chain import made_play
from wmq.cli import main
from wmq.dataset.select import exchange_frames
from wmq.errors import WmqError
from wmq.inference.agents import FloatAgent, IntegerAgent
from wmq.inference.draws import draw_words
from wmq.inference.float_predictor import OnnxPredictor
from wmq.inference.integer_predictor import IntegerPredictor
from wmq.rollout.files import read_rollout, write_rollout
from wmq.rollout.rollout import Rollout, roll
from wmq.rollout.starts import Start
from wmq_kernels.program import Draws

pytest_plugins = ("tests.support.match_models", "tests.support.rollout_models")
FRAMES = 12


def start(given: int = 3) -> Start:
    frames, pads = made_play(RULED)
    return Start("made", frames[:given], pads[:given], -123 + given, pads[given:])


def idle(count: int) -> list[np.ndarray]:
    rest = np.array(([32768] * 4 + [0] * 9) * 2, np.int32)
    return [np.tile(rest, (FRAMES, 1)) for _ in range(count)]


@pytest.fixture(scope="module")
def world(match_models: Path) -> IntegerPredictor:
    return IntegerPredictor(match_models / "world.wmq")


@pytest.fixture(scope="module")
def agent(match_models: Path) -> IntegerAgent:
    return IntegerAgent(match_models / "agent.wmq")


def played(world: IntegerPredictor, agent: IntegerAgent, seeds: list[int], threads: int = 1,
           given: int = 3, delay: int = 0) -> Rollout:  # fmt: skip
    return roll(world, start(given), idle(len(seeds)), seeds, threads, agents=(agent, agent),
                delay=delay)  # fmt: skip


def stated(world: IntegerPredictor, agent: IntegerAgent, seed: int,
           delay: int = 0) -> tuple[list, list]:  # fmt: skip
    """Sections M2 to M5 of the specification, a frame and a model at a time."""
    begin, g = start(), 3
    states = [agent.engine.zero_state() for _ in (0, 1)]
    state = world.engine.zero_state()
    frames, pads = list(begin.given), list(begin.controllers)
    for t in range(g - 1 + FRAMES):
        halves = []
        for player in (0, 1):
            late = frames[max(t - delay, 0)]
            seen = exchange_frames(RULED, late) if player else late
            own = pads[t][13 * player : 13 * player + 13]
            draws = Draws(draw_words(seed, 4 + player, t, 1, 3), np.full((1, 3), -1, np.int32))
            run = agent.engine.run(states[player], own[None], seen[None], 1, draws=draws)
            halves.append(run.made[0])
        if t + 1 >= g:
            pads.append(np.concatenate(halves))
        draws = Draws(draw_words(seed, 3, t, 1, 4), np.full((1, 4), -1, np.int32))
        run = world.engine.run(state, frames[t][None], np.stack(pads[t : t + 2]), 1, draws=draws)
        if t + 1 >= g:
            frames.append(run.frames[0])
    return frames[g:], pads[g:]


def test_a_match_is_the_loop_of_the_specification(
    world: IntegerPredictor, agent: IntegerAgent
) -> None:
    found = played(world, agent, [5]).worlds[0]
    frames, pads = stated(world, agent, 5)
    np.testing.assert_array_equal(found.frames, frames)
    np.testing.assert_array_equal(found.controllers, pads)


@pytest.mark.parametrize("delay", [1, 2, 5, 60])
def test_agents_see_a_match_late(world: IntegerPredictor, agent: IntegerAgent, delay: int) -> None:
    found = played(world, agent, [5], delay=delay)
    frames, pads = stated(world, agent, 5, delay)
    np.testing.assert_array_equal(found.worlds[0].frames, frames)
    np.testing.assert_array_equal(found.worlds[0].controllers, pads)
    together = played(world, agent, [4, 5], 2, delay=delay)
    assert together.worlds[1].sha256 == found.sha256


def test_a_match_is_the_same_in_company_and_by_threads(
    world: IntegerPredictor, agent: IntegerAgent
) -> None:
    alone = [played(world, agent, [seed]).sha256 for seed in (1, 2, 3)]
    for threads in (1, 2):
        together = played(world, agent, [1, 2, 3], threads)
        assert [one.sha256 for one in together.worlds] == alone
    assert len(set(alone)) == 3
    assert played(world, agent, [2], threads=2).sha256 == alone[1]


@pytest.mark.parametrize("delay", [0, 9])
def test_the_first_link_is_as_specified(
    world: IntegerPredictor, agent: IntegerAgent, delay: int
) -> None:
    found, begin = played(world, agent, [7], delay=delay), start()
    late = struct.pack("<B", delay) if delay else b""

    def packed(rows: np.ndarray) -> bytes:
        return b"".join(struct.pack(f"<{len(row)}i", *row) for row in rows.tolist())

    domain = b"wmq-match-2\0" if delay else b"wmq-match-1\0"
    link = hashlib.sha256(
        domain + bytes.fromhex(world.sha256) + 2 * bytes.fromhex(agent.sha256)
        + struct.pack("<QB", 7, 1) + late + struct.pack("<I", 3)
        + packed(begin.given) + packed(begin.controllers)
    ).digest()  # fmt: skip
    only = found.worlds[0]
    for pad, frame in zip(only.controllers, only.frames, strict=True):
        link = hashlib.sha256(link + packed(pad[None]) + packed(frame[None])).digest()
    assert found.sha256 == link.hex()


def test_mode_is_the_likeliest_whatever_the_seed(
    world: IntegerPredictor, agent: IntegerAgent
) -> None:
    one, two = (roll(world, start(), idle(1), [seed], agents=(agent, None), decode="mode")
                for seed in (1, 2))  # fmt: skip
    np.testing.assert_array_equal(one.worlds[0].frames, two.worlds[0].frames)
    assert one.sha256 != two.sha256  # the seed is in the hash
    assert one.agents == (agent.sha256, "")


def test_float_models_draw_by_the_same_words(
    match_models: Path, world: IntegerPredictor, agent: IntegerAgent
) -> None:
    floats = roll(OnnxPredictor(match_models / "world.onnx"), start(), idle(4), [1, 2, 3, 4],
                  agents=(FloatAgent(match_models / "agent.onnx"), None))  # fmt: skip
    ints = roll(world, start(), idle(4), [1, 2, 3, 4], agents=(agent, None))
    first = [
        (a.controllers[0, :13] == b.controllers[0, :13]).all()
        for a, b in zip(floats.worlds, ints.worlds, strict=True)
    ]
    assert sum(first) >= 3  # random weights, 263 classes: unpaired draws would hardly agree


def command(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


def test_a_match_is_stored_and_verified(
    match_models: Path, world: IntegerPredictor, agent: IntegerAgent, tmp_path: Path
) -> None:
    file, model, player = tmp_path / "m.npz", match_models / "world.wmq", match_models / "agent.wmq"
    seats = ("--p1", f"agent:{player}", "--p2", f"agent:{player}")
    made = command("rollout", model, *seats, "--frames", 8, "--seed", 3, "--worlds", 2, "-o", file)
    assert made.exit_code == 0, made.output
    named = ("--agent1", player, "--agent2", player)
    same = command("verify", model, file, *named)
    assert same.exit_code == 0 and "same: 16 frames" in same.output
    without = command("verify", model, file, "--agent1", player)
    assert without.exit_code == 2 and without.output.count("\n") == 1
    stored = read_rollout(file)
    assert stored.agents == (agent.sha256, agent.sha256) and stored.decode == "sample"
    pads = stored.controllers.copy()
    pads[1, 5, 7] ^= 65536  # player 1 presses X, or does not
    with np.load(file) as content:
        arrays = dict(content) | {"controllers": pads}
    np.savez(tmp_path / "changed.npz", **arrays)
    changed = command("verify", model, tmp_path / "changed.npz", *named)
    assert changed.exit_code == 1 and "p1.pad.X" in changed.output


def test_a_late_match_is_stored_and_verified(match_models: Path, tmp_path: Path) -> None:
    late, prompt, model = tmp_path / "late.npz", tmp_path / "a.npz", match_models / "world.wmq"
    player = match_models / "agent.wmq"
    usual = ("rollout", model, "--p1", f"agent:{player}", "--frames", 8, "--json")
    made = [json.loads(command(*usual, *more).output)
            for more in (("-o", prompt), ("--delay", 0), ("--delay", 3, "-o", late))]  # fmt: skip
    hashes = [one["rollout_sha256"] for one in made]
    assert hashes[0] == hashes[1] != hashes[2] and made[2]["delay"] == 3
    same = command("verify", model, late, "--agent1", player)
    assert same.exit_code == 0 and hashes[2] in same.output
    assert read_rollout(late).delay == 3 and read_rollout(prompt).delay == 0
    with np.load(prompt) as content:
        assert "delay" not in content.files
        arrays = dict(content)
    np.savez(tmp_path / "other.npz", **arrays, delay=np.array(3))
    other = command("verify", model, tmp_path / "other.npz", "--agent1", player)
    assert other.exit_code == 1 and "changed: " in other.output
    np.savez(tmp_path / "bad.npz", **arrays, delay=np.array(61))
    bad = command("verify", model, tmp_path / "bad.npz", "--agent1", player)
    assert bad.exit_code == 2 and "delay 61 is not in 0..60" in bad.output
    whole = wmq.load(model).rollout(8, controllers=(f"agent:{player}", "random"), delay=3)
    assert whole.sha256 == hashes[2]


def test_a_delay_that_cannot_be_is_one_line(match_models: Path) -> None:
    model, seat = match_models / "world.wmq", f"agent:{match_models / 'agent.wmq'}"
    for delay, p1, text in (
        (-1, seat, "delay -1: give a whole number of frames in 0..60"),
        (61, seat, "delay 61: give a whole number of frames in 0..60"),
        (5, "idle", "delay 5: only agents see late, and none plays"),
    ):
        found = command("rollout", model, "--p1", p1, "--frames", 2, "--delay", delay)
        assert found.exit_code == 2 and text in found.output and found.output.count("\n") == 1
        with pytest.raises(WmqError, match="delay"):
            wmq.load(model).rollout(2, controllers=(p1, "random"), delay=delay)
    rows = np.zeros((2, 26), np.int32)
    with pytest.raises(WmqError, match="delay 5: only agents see late"):
        wmq.load(model).rollout(controllers=rows, delay=5)


def test_worlds_and_agents_are_told_apart(
    match_models: Path, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed(monkeypatch, match_models, tmp_path, ("world.wmq",))
    world, agent = match_models / "world.wmq", match_models / "agent.wmq"
    for arguments, text in (
        (("rollout", agent, "--frames", 2), "is an agent, not a world"),
        (("rollout", world, "--p1", f"agent:{world}", "--frames", 2), "is a world, not an agent"),
        (("rollout", world, "--p1", "agent:none.wmq", "--frames", 2), "no such file"),
        (("rollout", world, "--p1", f"agent:{agent.with_suffix('.onnx')}"), "give a .wmq file"),
        (("rollout", models / "small.wmq", "--p1", f"agent:{agent}"), "sees other fields"),
        (("rollout", world, "--p1", "agent", "--frames", 2), "ships none"),
        (("rollout", agent.with_suffix(".onnx"), "--frames", 2), "is an agent, not a world"),
        (("info", agent.with_suffix(".onnx")), "is an agent, not a world"),
    ):
        result = command(*arguments)
        assert result.exit_code == 2 and text in result.output, result.output
        assert result.output.count("\n") == 1


def test_a_world_of_the_interface_draws_as_a_rollout(match_models: Path, tmp_path: Path) -> None:
    model = wmq.load(match_models / "world.wmq")
    rows = [np.array(([32768] * 4 + [0] * 9) * 2, np.int32)] * 6
    whole = model.rollout(controllers=np.stack(rows), seed=11)
    world = model.start(seed=11)
    for row in rows[:3]:
        world.step(row)
    twin = world.copy()
    for row in rows[3:]:
        world.step(row)
        twin.step(row)
    assert world.sha256 == twin.sha256 == whole.sha256
    assert model.start(seed=12).sha256 != model.start(seed=11).sha256


def test_stored_agents_survive_the_file(
    world: IntegerPredictor, agent: IntegerAgent, tmp_path: Path
) -> None:
    made = roll(world, start(), idle(1), [1], agents=(None, agent), decode="mode")
    write_rollout(tmp_path / "a.npz", made)
    stored = read_rollout(tmp_path / "a.npz")
    assert stored.agents == ("", agent.sha256) and stored.decode == "mode"
