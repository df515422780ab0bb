"""Rollouts of a small random model: reproducible, stored, verified, and refused in one line."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from replay_files import ROOT

from calib.lower import lower
from calib.statistics import collect
from calib.step_graph import to_bytes
from tests.calib.small_step import as_game, random_play, small_step
from wmq import hashes, rollout, stored
from wmq.cli import main
from wmq.controllers import SIZE, Source, random_controllers
from wmq.errors import WmqError
from wmq.onnx_step import OnnxStep, next_frames
from wmq.opening import ModelError, open_program, schema_of
from wmq.rollout import FloatWorlds, IntegerWorlds, both_controllers, roll
from wmq.schema import Q16, Schema
from wmq.starts import Start, match_start
from wmq.stored import altered_worlds, read_rollout, recompute, write_rollout
from wmq.summary import RULES, impossible_events, impossible_rate, summarize
from wmq_kernels.engine import Engine
from wmq_kernels.program import encode

pytest_plugins = ("replay_files",)

SCHEMA = Schema()
RANDOM = (Source("random"), Source("random"))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with small.onnx and small.wmq, the same model."""
    folder = tmp_path_factory.mktemp("models")
    step = small_step(folder)
    (folder / "small.onnx").write_bytes(to_bytes(step.model))
    statistics = collect(step, [as_game(SCHEMA, *random_play(SCHEMA, 61))])
    (folder / "small.wmq").write_bytes(encode(lower(step, statistics, {"set": "random"}, 2)))
    return folder


@pytest.fixture(scope="module")
def worlds(models: Path) -> IntegerWorlds:
    return IntegerWorlds(open_program(models / "small.wmq"))


def a_start(given: int = 1) -> Start:
    if given == 1:
        return match_start(SCHEMA, "battlefield", ("fox", "falco"))
    frames, pads = random_play(SCHEMA, given + 50, seed=3)
    return Start("random play", frames[:given], pads[:given], 77, pads[given:])


def played(
    worlds: IntegerWorlds, frames: int, seeds: Sequence[int], given: int = 1, threads: int = 1
) -> rollout.Rollout:
    start = a_start(given)
    pads = [both_controllers(RANDOM, start, frames, seed) for seed in seeds]
    return roll(worlds, start, pads, seeds, threads)


def wmq(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.mark.parametrize("given", [1, 30])
def test_rollout_is_the_engine_run_over_given_and_new_frames(
    worlds: IntegerWorlds, given: int
) -> None:
    found = played(worlds, 40, [5], given)
    start = a_start(given)
    pads = np.concatenate([start.controllers, found.worlds[0].controllers])
    engine = Engine(open_program(worlds.path).program)
    run = engine.run(engine.zero_state(), start.given, pads, given - 1 + 40)
    assert (found.worlds[0].frames == run.frames[given - 1 :]).all()
    assert found.steps == given - 1 + 40
    halves = [random_controllers(40, player, 5) for player in (0, 1)]
    assert (found.worlds[0].controllers == np.concatenate(halves, axis=1)).all()
    assert found.sha256 == hashes.rollout_sha256(
        worlds.sha256, start.given, start.controllers, pads[given:], found.worlds[0].frames
    )


@pytest.mark.parametrize("given", [1, 7, 30])
def test_blocks_do_not_show(
    worlds: IntegerWorlds, monkeypatch: pytest.MonkeyPatch, given: int
) -> None:
    whole = played(worlds, 40, [1], given)
    for block in (1, 7, 40):
        monkeypatch.setattr(rollout, "BLOCK", block)
        assert played(worlds, 40, [1], given).sha256 == whole.sha256


def test_threads_and_company_do_not_show(worlds: IntegerWorlds) -> None:
    alone = {seed: played(worlds, 60, [seed]).sha256 for seed in range(4)}
    assert len(set(alone.values())) == 4
    for threads in (1, 2, 4):
        together = played(worlds, 60, range(4), threads=threads)
        assert [world.sha256 for world in together.worlds] == list(alone.values())
        assert together.sha256 == hashes.worlds_sha256(list(alone.values()))


def test_an_error_in_one_world_ends_all(worlds: IntegerWorlds) -> None:
    bad = np.full((500, 26), -1, dtype=np.int32)
    good = np.zeros((500, 26), dtype=np.int32)
    with pytest.raises(Exception, match="controllers"):
        roll(worlds, a_start(), [good, bad], [0, 1], threads=2)


def test_progress_ends_at_all_steps(worlds: IntegerWorlds) -> None:
    seen = []
    start = a_start()
    pads = [both_controllers(RANDOM, start, 300, seed) for seed in (0, 1)]
    roll(worlds, start, pads, [0, 1], 2, lambda what, done, total: seen.append((done, total)))
    assert seen[-1] == (600, 600)


def test_float_rollout_is_the_step_and_the_update_in_turn(models: Path) -> None:
    start = a_start(4)
    pads = both_controllers(RANDOM, start, 6, 0)
    found = roll(FloatWorlds(models / "small.onnx"), start, [pads], [0])
    step = OnnxStep(models / "small.onnx")
    state, rows = step.zero_state(1), np.concatenate([start.controllers, pads])
    frame = start.given[:1]
    for t in range(9):
        now = start.given[t : t + 1] if t < 4 else frame
        heads, state = step.step(now, rows[t : t + 1], rows[t + 1 : t + 2], state)
        frame = next_frames(SCHEMA, now, heads)
    assert (found.worlds[0].frames[-1] == frame[0]).all()
    assert found.saturations is None and found.arithmetic == "float32"
    assert (SCHEMA.lo <= found.worlds[0].frames).all()
    assert (found.worlds[0].frames <= SCHEMA.hi).all()


def test_a_batch_of_games_is_each_game_alone(models: Path) -> None:
    step = OnnxStep(models / "small.onnx")
    frames, pads = random_play(SCHEMA, 3, seed=9)
    together, after = step.step(frames, pads, pads[::-1], step.zero_state(3))
    for row in range(3):
        one = slice(row, row + 1)
        alone, mine = step.step(frames[one], pads[one], pads[::-1][one], step.zero_state(1))
        for name in alone:
            assert np.allclose(alone[name][0], together[name][row], atol=1e-4)
        assert all(np.allclose(mine[n][0], after[n][row], atol=1e-4) for n in mine)


def test_frame_update_follows_the_schema() -> None:
    """Values worked out by hand, at the edges of rounding and of the intervals."""
    frames = np.repeat(match_start(SCHEMA, "battlefield", ("fox", "fox")).given, 2, axis=0)
    at = SCHEMA.index
    frames[:, at("percent")] = [0, 999 * Q16]
    frames[:, at("state_age")] = [0, 149]
    heads = {
        "continuous": np.zeros((2, 8), np.float32),
        "velocity": np.zeros((2, 10), np.float32),
        "dynamics": np.zeros((2, 6), np.float32),
        "binary": np.zeros((2, 6), np.float32),
    }
    for player in ("p1", "p2"):
        for field in SCHEMA.head("classes"):
            heads[f"{player}.{field.name}"] = np.zeros((2, field.classes), np.float32)
    heads["continuous"][:, 0] = [-1, 1]  # percent stays within 0..999
    heads["continuous"][:, 1] = [1.5 / Q16, -1.5 / Q16]  # half up: +2 and -1 units
    heads["dynamics"][:, 0] = [2.5, -0.6]  # hitlag: to 3, and clamped to 0
    heads["dynamics"][:, 1] = [4.6, 3.4]  # stocks never rise: 4, and 3
    heads["binary"][:, 0] = [0, 1e-6]  # facing: more than 0
    heads["p1.action"][0, 322] = 1  # stays, so its age goes on; row 1 changes to 0
    heads["p1.jumps"][:, [3, 5]] = 2  # the lowest of equals
    after = next_frames(SCHEMA, frames, heads)
    assert after[:, at("percent")].tolist() == [0, 999 * Q16]
    assert (after - frames)[:, at("x")].tolist() == [2, -1]
    assert after[:, at("hitlag")].tolist() == [3, 0]
    assert after[:, at("stocks")].tolist() == [4, 3]
    assert after[:, at("facing")].tolist() == [0, 1]
    assert after[:, at("action")].tolist() == [322, 0]
    assert after[:, at("state_age")].tolist() == [1, 0]
    assert after[:, at("jumps")].tolist() == [3, 3]
    assert (after[:, SCHEMA.stage_index] == 31).all()
    assert (after[:, at("character", 1)] == 1).all()
    heads["p1.action"][1, 322] = 1
    assert next_frames(SCHEMA, frames, heads)[1, at("state_age")] == 149


@pytest.mark.parametrize("seeds", [[3], [3, 4, 5]])
def test_stored_rollouts_are_verified(
    worlds: IntegerWorlds, tmp_path: Path, seeds: list[int]
) -> None:
    whole = played(worlds, 50, seeds, given=20)
    path = tmp_path / "rollout.npz"
    write_rollout(path, whole)
    back = read_rollout(path)
    assert back.seeds == tuple(seeds) and back.start.first == 77
    assert [w.sha256 for w in whole.worlds] == list(back.worlds)
    again, differences = recompute(back, worlds)
    assert again.sha256 == whole.sha256 and not differences and not altered_worlds(back)
    first = path.read_bytes()
    write_rollout(path, whole)
    assert path.read_bytes() == first


def changed(path: Path, **arrays: np.ndarray) -> Path:
    with np.load(path) as file:
        content = dict(file) | arrays
    other = path.with_name("changed.npz")
    np.savez(other, **{name: a for name, a in content.items() if a is not None})
    return other


def test_verify_names_the_first_difference(models: Path, tmp_path: Path) -> None:
    path = tmp_path / "minute.npz"
    model = models / "small.wmq"
    made = wmq("rollout", model, "--frames", 50, "--worlds", 2, "-o", path, "--json")
    same = wmq("verify", model, path)
    assert same.exit_code == 0 and "same: 100 frames" in same.output
    assert json.loads(made.output)["rollout_sha256"] in same.output
    with np.load(path) as file:
        frames = file["frames"].copy()
    frames[1, 30, SCHEMA.index("y", 1)] += 1
    other = changed(path, frames=frames)
    result = wmq("verify", model, other)
    assert result.exit_code == 1
    assert "differs: world 1 first at frame -92, p2.y" in result.output
    facts = json.loads(wmq("verify", model, other, "--json").output)
    assert facts["worlds_that_differ"] == facts["worlds_changed_in_the_file"] == [1]
    assert facts["first_difference"]["frame"] == -92 and not facts["same"]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"frames": None}, "damaged or no stored rollout"),
        ({"frames": np.zeros((1, 5), np.int32)}, "damaged or no stored rollout"),
        ({"frames": np.zeros((0, 5, 47), np.int32)}, "it holds no frame"),
        ({"given": np.zeros((1, 47), np.int64)}, "given is not int32"),
        ({"given": np.full((1, 47), 2**31 - 1, np.int32)}, "outside of the schema's intervals"),
        ({"controllers": np.full((1, 5, 26), -1, np.int32)}, "controllers are outside of 0"),
        ({"format": np.array(9)}, "rollout of format 9, schema 1; this program has format 1"),
        ({"schema": np.array([1, 2])}, "schema is not one integer"),
        ({"seeds": np.array(["x"], dtype=object)}, "damaged or no stored rollout"),
        ({"arithmetic": np.frombuffer(b"float32", np.uint8)}, "was made in float32"),
        ({"model_sha256": np.zeros(32, np.uint8)}, "was made by the model 0000000000000000"),
    ],
)  # fmt: skip
def test_bad_stored_rollouts_are_one_line(
    worlds: IntegerWorlds, tmp_path: Path, arrays: dict, message: str
) -> None:
    write_rollout(tmp_path / "a.npz", played(worlds, 5, [0]))
    other = changed(tmp_path / "a.npz", **arrays)
    result = wmq("verify", worlds.path, other)
    assert result.exit_code == 2 and message in result.output
    assert result.output.startswith("wmq: ") and result.output.count("\n") == 1


def test_truncated_stored_rollouts_are_one_line(worlds: IntegerWorlds, tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    write_rollout(path, played(worlds, 5, [0]))
    whole = path.read_bytes()
    for content in (b"", b"PK\3\4", whole[:100], whole[:-30], bytes(len(whole))):
        path.write_bytes(content)
        with pytest.raises(WmqError, match="damaged or no stored rollout") as caught:
            read_rollout(path)
        assert "\n" not in str(caught.value)


def test_damaged_bytes_are_refused_or_found_to_differ(
    worlds: IntegerWorlds, tmp_path: Path
) -> None:
    path = tmp_path / "a.npz"
    write_rollout(path, played(worlds, 5, [0]))
    whole = path.read_bytes()
    for at in range(40, len(whole), len(whole) // 40):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
        try:
            back = read_rollout(path)
            recompute(back, worlds)
        except WmqError as error:
            assert "\n" not in str(error)


def test_tables_hold_the_frames(worlds: IntegerWorlds, tmp_path: Path) -> None:
    whole = played(worlds, 20, [3, 4])
    expected = np.concatenate([world.frames for world in whole.worlds])
    pads = np.concatenate([world.controllers for world in whole.worlds])
    write_rollout(tmp_path / "a.csv", whole)
    with open(tmp_path / "a.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(r["frame"]) for r in rows] == [*range(-122, -102)] * 2
    assert [int(r["world"]) for r in rows] == [0] * 20 + [1] * 20
    names = stored.frame_names(SCHEMA)
    for t, row in enumerate(rows):
        for at, name in enumerate(names):
            unit = Q16 if name.partition(".")[2] in FIXED else 1
            assert float(row[name]) * unit == expected[t, at]
        assert float(row["p1.pad.main_x"]) * Q16 == pads[t, 0]
        assert int(row["p2.pad.L"]) * Q16 == pads[t, SIZE + 10]
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    for suffix in (".arrow", ".parquet"):
        write_rollout(tmp_path / f"a{suffix}", whole)
    table = pa.ipc.open_file(tmp_path / "a.arrow").read_all()
    assert table.equals(pq.read_table(tmp_path / "a.parquet"))
    assert table.schema.metadata[b"wmq.rollout_sha256"].decode() == whole.sha256
    assert all((table[name].to_numpy() == expected[:, at]).all() for at, name in enumerate(names))


FIXED = {field.name for field in SCHEMA.fields if field.kind == "fixed"}


def test_command_prints_one_json_object(models: Path) -> None:
    command = ("rollout", models / "small.wmq", "--frames", 90, "--json")
    first, second = (wmq(*command, "--threads", threads) for threads in (1, 2))
    facts = json.loads(first.output)
    assert first.exit_code == 0 and facts["frames"] == 90 and facts["frames_per_second"] > 0
    assert facts["rollout_sha256"] == json.loads(second.output)["rollout_sha256"]
    assert facts["model_sha256"] == open_program(models / "small.wmq").sha256
    assert isinstance(facts["saturations"], int) and facts["arithmetic"] == "int8"
    assert len(facts["worlds"]) == 1 and set(facts["worlds"][0]["p1"]["impossible"]) == set(RULES)
    other = json.loads(wmq(*command, "--seed", 1).output)
    assert other["rollout_sha256"] != facts["rollout_sha256"]


def test_command_rolls_a_float_model_out(models: Path) -> None:
    facts = json.loads(wmq("rollout", models / "small.onnx", "--frames", 20, "--json").output)
    assert facts["arithmetic"] == "float32" and facts["saturations"] is None


def test_command_starts_in_a_game(models: Path, val_games: list[Path], tmp_path: Path) -> None:
    start = ("rollout", models / "small.wmq", "--start", f"{val_games[0]}@600", "--json")
    facts = json.loads(wmq(*start, "--frames", 30).output)
    assert facts["given_frames"] == 240 and facts["first_frame"] == 601
    assert facts["p1"] == facts["p2"] == "replay"
    moment = facts["worlds"][0]["p1"]["moments"][0]
    short = json.loads(wmq(*start, "--frames", 30, "--warmup", 1, "--p2", "idle").output)
    assert short["given_frames"] == 1
    assert short["worlds"][0]["p1"]["moments"][0] == moment
    late = wmq(*start, "--frames", 1_000_000)
    assert late.exit_code == 2 and "say --frames" in late.output


def test_summary_is_for_people(models: Path) -> None:
    one = wmq("rollout", models / "small.wmq", "--frames", 700).output
    assert "match on Battlefield, fox against falco" in one
    assert [w for w in one.split() if w.startswith(("0.0", "10.0", "11.7"))] != []
    assert one.count("stocks lost") == 2 and "rollout_sha256  " in one
    several = wmq("rollout", models / "small.wmq", "--frames", 30, "--worlds", 3).output
    assert "90 in 3 worlds, int8" in several


BAD = [
    (["nope.wmq"], "nope.wmq: no such file"),
    (["."], ".: not a model"),
    (["small.onnx", "--int8"], "not an integer program (.wmq)"),
    (["small.wmq", "--float"], "not a float model (.onnx)"),
    (["broken.wmq"], "broken.wmq: "),
    (["broken.onnx"], "broken.onnx: "),
    (["small.wmq", "--start", "x"], "neither match nor of the form"),
    (["small.wmq", "--start", "x.slp@3"], "x.slp: no such file"),
    (["small.wmq", "--start", "x.slp@3", "--stage", "battlefield"], "only for --start match"),
    (["small.wmq", "--p1", "joe"], "--p1 joe: unknown controller"),
    (["small.wmq", "--p2", "replay"], "--p2 replay: needs a start"),
    (["small.wmq", "--p1", "script:none"], "none: no such script"),
    (["small.wmq", "--p1-character", "joe"], "--p1-character joe: unknown; choose one of"),
    (["small.wmq", "-o", "x.txt"], "x.txt: unknown form"),
    (["small.wmq", "-o", "none/x.npz"], "its folder is not there"),
    (["small.wmq", "--worlds", "100000"], "more than 20,000,000 frames"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD)
def test_bad_input_is_one_line(
    models: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(models)
    whole = Path("small.wmq").read_bytes()
    Path("broken.wmq").write_bytes(whole[: len(whole) // 2])
    Path("broken.onnx").write_bytes(b"\0" * 100)
    before = sorted(models.iterdir())
    result = wmq("rollout", *arguments)
    assert result.exit_code == 2 and message in result.output
    assert result.output.startswith("wmq: ") and result.output.count("\n") == 1
    assert sorted(models.iterdir()) == before


def test_another_schema_is_one_clear_error() -> None:
    ours = SCHEMA.to_json()
    assert schema_of(ours, "m") == SCHEMA
    assert schema_of(Schema(projectiles=True).to_json(), "m") == Schema(projectiles=True)
    fields = [dict(field) for field in ours["fields"]]
    fields[2] = fields[2] | {"hi": 501}
    for found, message in (
        (None, "names no schema"),
        (ours | {"version": 2}, "schema version 2, this program has 1"),
        (ours | {"fields": fields}, r"differs from this program's in fields \(y\)"),
        (ours | {"fields": fields[:2]}, r"fields \(2 rows, not 23\)"),
        (ours | {"projectiles": True}, "in fields"),
        (ours | {"stage": {"classes": 40, "dim": 4}}, "in stage"),
    ):
        with pytest.raises(ModelError, match=f"^m: .*{message}.*make (it|the model) again"):
            schema_of(found, "m")


def test_info_shows_both_forms(models: Path) -> None:
    program = json.loads(wmq("info", models / "small.wmq", "--json").output)
    assert program["sha256"] == open_program(models / "small.wmq").sha256
    assert program["config"]["d_model"] == 64 and program["calibration"] == {"set": "random"}
    assert program["instructions"] == sum(program["by kind"].values())
    step = json.loads(wmq("info", models / "small.onnx", "--json").output)
    assert step["kind"] == "float step" and step["parameters"] > 0
    assert "by kind" in wmq("info", models / "small.wmq").output
    bad = wmq("info", "nope.wmq")
    assert bad.exit_code == 2 and bad.output == "wmq: nope.wmq: no such file\n"


def test_integer_rollouts_need_the_base_packages_only(models: Path, tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from wmq.cli import main\n"
        "main(sys.argv[1:], standalone_mode=False)\n"
        "heavy = {'torch', 'onnx', 'onnxruntime', 'pyarrow', 'peppi_py'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    for arguments in (
        ["rollout", models / "small.wmq", "--frames", "5", "-o", tmp_path / "a.npz"],
        ["verify", models / "small.wmq", tmp_path / "a.npz"],
        ["info", models / "small.wmq"],
    ):
        command = [sys.executable, "-c", code, *map(str, arguments)]
        subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)


def course(frames: int = 5) -> np.ndarray:
    """A match's first frame, standing still on the ground."""
    rows = np.repeat(match_start(SCHEMA, "battlefield", ("fox", "falco")).given, frames, axis=0)
    for player in (0, 1):
        rows[:, SCHEMA.index("action", player)] = 14
        rows[:, SCHEMA.index("on_ground", player)] = 1
    return rows


def broken(rows: np.ndarray, player: int = 0) -> dict[str, int]:
    events = impossible_events(SCHEMA, rows, player)
    return {rule: int(found.sum()) for rule, found in events if found.any()}


@pytest.mark.parametrize(
    ("field", "values", "rules"),
    [
        ("stocks", [4, 4, 3, 3, 3], {"stocks": 1}),
        ("stocks", [3, 4, 4, 4, 4], {"stocks": 1}),
        ("percent", [9 * Q16, 8 * Q16, 8 * Q16, 8 * Q16, 9 * Q16], {"healing": 1}),
        ("percent", [9 * Q16, 9 * Q16 - 9, 9 * Q16, 9 * Q16, 9 * Q16], {}),
        ("x", [0, 36 * Q16, 0, 34 * Q16, 0], {"teleport": 2}),
        ("y", [0, -36 * Q16, -36 * Q16, 0, 0], {"teleport": 2}),
        ("on_ground", [1, 1, 0, 0, 1], {"ground": 2}),
        ("action", [14, 14, 324, 324, 324], {"unseen action change": 1}),
    ],
)
def test_impossible_events_are_found(field: str, values: list[int], rules: dict) -> None:
    for player in (0, 1):
        rows = course()
        rows[:, SCHEMA.index(field, player)] = values
        assert broken(rows, player) == rules
        assert not broken(rows, 1 - player)


def test_death_may_take_a_stock_and_move_a_player() -> None:
    rows = course()
    columns = {
        "action": [35, 0, 12, 12, 13],
        "stocks": [4, 3, 3, 3, 3],
        "percent": [90 * Q16, 90 * Q16, 0, 0, 0],
        "x": [-300 * Q16, -300 * Q16, 0, 0, 0],
        "on_ground": [0, 0, 0, 0, 0],
    }
    for name, values in columns.items():
        rows[:, SCHEMA.index(name)] = values
    assert not broken(rows)
    rows[2:, SCHEMA.index("action")] = 14
    rows[2:, SCHEMA.index("on_ground")] = 1
    assert set(broken(rows)) == {"death", "healing", "unseen action change"}


def test_summary_counts_stocks_damage_and_actions() -> None:
    rows = course(1203)
    rows[:, SCHEMA.index("percent")] = np.minimum(np.arange(1203) * Q16 // 100, 8 * Q16)
    rows[700:, SCHEMA.index("stocks", 1)] = 0
    rows[700:, SCHEMA.index("action", 1)] = 0
    rows[700:, SCHEMA.index("on_ground", 1)] = 0
    one, two = summarize(SCHEMA, rows[0], rows[1:])
    assert [m.seconds for m in one.moments] == [0, 10, 20, 1202 / 60]
    assert one.damage == 8 and one.stocks_lost == 0 and one.out_after is None
    assert two.stocks_lost == 4 and two.out_after == 700 / 60
    assert one.actions == {"stand, walk, dash, turn, crouch, land": 1.0}
    assert sum(two.actions.values()) == pytest.approx(1)
    assert two.impossible["stocks"] == 1
    rate = impossible_rate((one, two), 1202)
    assert rate == 1000 * sum(two.impossible.values()) / 2404


def test_real_games_break_no_rule(val_games: list[Path]) -> None:
    from wmq.replays import read_replay

    for path in val_games[:3]:
        frames = read_replay(path).frames
        for player in (0, 1):
            assert set(broken(frames, player)) <= {"unseen action change"}
