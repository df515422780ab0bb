"""Training of worlds and agents with chains, on made games that have hits, deaths and rebirths."""

from __future__ import annotations

import dataclasses
import json
from itertools import count
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

from calib.step.graph import build_step, to_bytes
from tests.support.made_games import made_game
from tests.support.ruled_frames import AGENT, RULED
from tests.support.small_chain import CONFIGS, SCHEMAS, chain_weights
from tests.support.tiny import one_thread  # noqa: F401
from wmq.cli import main
from wmq.dataset.store import Dataset, write_game, write_index
from wmq.evaluation.control_metrics import ControlTally
from wmq.evaluation.metrics import CLASS_WEIGHTS, Tally
from wmq.export.onnx import export_run, size_of
from wmq.game.controls import control_classes
from wmq.game.schema import FULL, Q16
from wmq.game.targets import NUMBER_HEADS
from wmq.models.presets import PRESETS
from wmq.models.world import WorldModel
from wmq.replays.slippi import read_replay
from wmq.training.batches import Batch, Streams
from wmq.training.config import RunConfig
from wmq.training.loop import Stopped, sum_of, train
from wmq.training.loss import loss_terms, total_loss
from wmq.training.run_folder import load_model

KINDS = ["world", "agent"]
PLAN = msgspec.structs.replace(CONFIGS["world"], d_mix=0)

pytestmark = pytest.mark.usefixtures("small_presets", "one_thread")


@pytest.fixture
def small_presets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, config in (CONFIGS | {"mamba2-small": PLAN}).items():
        monkeypatch.setitem(PRESETS, name, config)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Three made games, one of them to validate; the replay of the second lacks hitlag."""
    root = tmp_path_factory.mktemp("made")
    (root / "data" / "games").mkdir(parents=True)
    infos = []
    for number, version in enumerate([(3, 14, 0), (3, 7, 0), (3, 14, 0)]):
        path = root / f"{number}.slp"
        path.write_bytes(made_game(40 + number, 1300, version=version).to_bytes())
        game = read_replay(path, FULL)
        info = dataclasses.replace(game.info, split="val" if number == 2 else "train")
        write_game(root / "data", dataclasses.replace(game, info=info))
        infos.append(info)
    assert "hitlag" in infos[1].missing
    write_index(root / "data", infos, [])
    return Dataset.open(root / "data")


def run_config(kind: str, **changes) -> RunConfig:
    config = RunConfig(preset=kind, epochs=0.4, streams=3, chunk=32, warmup=2, lr=5e-3,
                       jitter=0.5 if kind == "world" else 0.0)  # fmt: skip
    return msgspec.structs.replace(config, **changes)


def fresh_model(kind: str) -> WorldModel:
    torch.manual_seed(1)
    model = WorldModel(CONFIGS[kind])
    for name in model.number_heads:
        getattr(model, f"{name}_scale").uniform_(0.5, 2.0)
    return model


@torch.no_grad()
def heads_of(model: WorldModel, batch: Batch) -> dict[str, torch.Tensor]:
    heads, _ = model(batch.numbers, batch.controllers, batch.classes, batch.next_controllers,
                     model.zero_state(len(batch.now)),
                     lambda number, _: batch.drawn[..., number])  # fmt: skip
    return heads


# --- the loss ------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", [False, True])
def test_training_loss_of_a_world_is_the_val_loss_of_the_metrics(dataset, missing):
    """Rows of a batch, some masked at their ends, with deaths among them, as games to a Tally."""
    model = fresh_model("world")
    for name in ("p1_ground", "p1_action"):  # so that the players' losses differ
        model.heads[name].bias.data.normal_(0, 3)
    games = [g for g in dataset.select("train") if ("hitlag" in g.missing) is missing]
    streams = Streams(dataset, games, model.schema, 2, 61, seed=0)
    deaths = masked = 0
    for _ in range(60):
        batch = streams.next()
        if (batch.alive == 1).all() and (batch.mask == 1).all():
            continue
        heads = heads_of(model, batch)
        terms = loss_terms(model, heads, batch)
        tally = Tally(model.schema, {h: getattr(model, f"{h}_scale").numpy() for h in NUMBER_HEADS})
        for row in range(2):
            kept = batch.mask[row].numpy() > 0
            masked += int((~kept).sum())
            deaths += int((batch.alive[row].numpy()[kept] == 0).sum())
            values = {name: value[row].numpy()[kept] for name, value in heads.items()}
            pads = (batch.next_controllers[row].numpy()[kept] * Q16).astype(np.int32)
            tally.add(batch.now[row][kept], batch.after[row][kept], values,
                      ("hitlag",) if missing else (), pads)  # fmt: skip
        ours = sum_of({name: float(value) for name, value in terms.items()})
        assert ours == pytest.approx(tally.result()["val_loss"], rel=1e-5)
    assert masked and deaths > 3


def test_training_loss_of_an_agent_is_the_sum_of_its_metrics(dataset):
    model = fresh_model("agent")
    streams = Streams(dataset, dataset.select("train"), model.schema, 2, 700, seed=0)
    for _ in range(3):
        batch = streams.next()
        heads = heads_of(model, batch)
        terms = loss_terms(model, heads, batch)
        tally = ControlTally()
        for row in range(2):
            kept = batch.mask[row].numpy() > 0
            pads = [np.rint(part[row].numpy()[kept] * Q16).astype(np.int32)
                    for part in (batch.controllers, batch.next_controllers)]  # fmt: skip
            tally.add(*pads, {name: value[row].numpy()[kept] for name, value in heads.items()})
        found = tally.result()
        assert {name: float(value) for name, value in terms.items()} == pytest.approx(
            {name: found[name] for name in ("buttons", "main", "trigger")}, rel=1e-5)  # fmt: skip
        assert float(total_loss(terms)) == pytest.approx(
            sum(CLASS_WEIGHTS[name] * found[name] for name in terms), rel=1e-5)  # fmt: skip
        assert found["val_loss"] == pytest.approx(float(sum(terms.values())), rel=1e-5)


def test_nothing_of_a_player_who_dies_is_a_target_but_his_hit(dataset):
    """Whatever heads say of him on that frame, the loss and its gradient are the same."""
    model = fresh_model("world")
    streams = Streams(dataset, dataset.select("train"), model.schema, 2, 700, seed=0)
    batch = streams.next()
    while not (batch.alive == 0).any():
        batch = streams.next()
    row, t, player = (int(axis[0]) for axis in np.nonzero(batch.alive.numpy() == 0))
    action = RULED.index("action", player)
    assert batch.after[row, t, action] in (0, 1, 2, 4, 6) and batch.now[row, t, action] > 13
    heads = {n: v.detach().clone().requires_grad_() for n, v in heads_of(model, batch).items()}
    total_loss(loss_terms(model, heads, batch)).backward()
    prefix, other = (f"p{k + 1}." for k in (player, 1 - player))
    for name, value in heads.items():
        gradient = value.grad[row, t]
        if name.startswith(prefix) or name.startswith(other):
            none = name.startswith(prefix) and not name.endswith(".percent")
            assert (gradient == 0).all() == none, name
        else:
            halves = gradient.chunk(2)
            assert (halves[player] == 0).all() and (halves[1 - player] != 0).any(), name


# --- batches -------------------------------------------------------------------------------------


def all_of(batch: Batch) -> list[np.ndarray]:
    return [np.asarray(getattr(batch, field.name)) for field in dataclasses.fields(batch)]


def test_jitter_is_the_same_each_time_and_puts_places_and_speeds_off_by_a_constant(dataset):
    games = dataset.select("train")
    plain, one, two = (Streams(dataset, games, RULED, 4, 50, 3, jitter=j) for j in (0, 0.5, 0.5))
    names = ["x", "y", *(field.name for field in RULED.head("velocity"))]
    moved = [RULED.index(name, player) for name in names for player in (0, 1)]
    kept = np.setdiff1d(np.arange(RULED.frame_size), moved)
    jittered = rows = 0
    for _ in range(12):
        true, a, b = (streams.next() for streams in (plain, one, two))
        for left, right in zip(all_of(a), all_of(b), strict=True):
            assert (left == right).all()
        for name in ("after", "mask", "drawn", "counted", "alive", "controllers", "present"):
            assert (np.asarray(getattr(a, name)) == np.asarray(getattr(true, name))).all(), name
        assert (a.now[..., kept] == true.now[..., kept]).all()
        assert (a.classes == true.classes).all()
        for row in range(4):
            off = a.now[row][:, moved].astype(np.int64) - true.now[row][:, moved]
            assert (off == off[0]).all()
            jittered, rows = jittered + bool(off.any()), rows + 1
            assert np.abs(off[0]).max() < 4 * Q16  # of a game unit, or a unit a frame
        numbers = a.now[..., RULED.number_index] * RULED.number_unit
        np.testing.assert_allclose(a.numbers, numbers, rtol=1e-6)
    assert 0.25 * rows < jittered < 0.75 * rows


def test_an_agent_sees_himself_first_and_draws_his_own_next_controller(dataset):
    games = dataset.select("train")
    streams = Streams(dataset, games, AGENT, 3, 40, seed=5)
    exchanged = set()
    for _ in range(4):
        batch = streams.next()
        for row in range(3):
            game = streams.loaded[streams.position[row][0]]
            played, end = int(batch.mask[row].sum()), streams.position[row][1]
            own = game.controllers[end - played : end + 1, :13]
            assert (batch.drawn[row, :played].numpy() == control_classes(own[1:])).all()
            assert (np.rint(batch.controllers[row, :played].numpy() * Q16) == own[:-1]).all()
            assert batch.controllers.shape[2] == 13
            first = game.frames[0, AGENT.index("character")]
            exchanged.add(first != game.info.characters[0])
        assert (batch.alive == 1).all() and (batch.counted == 1).all()
    assert exchanged == {True, False}


# --- runs ----------------------------------------------------------------------------------------


def weights(run: Path) -> dict[str, torch.Tensor]:
    (path,) = run.glob("step-*.safetensors")
    return load_file(path)


@pytest.mark.parametrize("kind", KINDS)
def test_a_stopped_run_goes_on_to_the_same_weights(dataset, kind, tmp_path):
    config = run_config(kind)
    whole = train(dataset, tmp_path / "whole", config, save_every=4)
    asked = count()
    with pytest.raises(Stopped):
        train(dataset, tmp_path / "stopped", config, save_every=4, stop=lambda: next(asked) >= 5)
    again = train(dataset, tmp_path / "stopped", config, save_every=4)
    assert whole.steps == again.steps == 11 and whole.figures == again.figures
    wanted, found = weights(tmp_path / "whole"), weights(tmp_path / "stopped")
    assert wanted.keys() == found.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)
    rows = [json.loads(line) for line in (tmp_path / "whole" / "metrics.jsonl").open()]
    terms = {"world": {"percent", "action", "ground", "continuous"},
             "agent": {"buttons", "main", "trigger"}}[kind]  # fmt: skip
    assert all(terms <= set(row) for row in rows if "loss" in row)
    figures = {"world": {"val_loss", "pos_mae", "nll", "percent_mae", "change_acc"},
               "agent": {"val_loss", "press_nll", "press_acc", "held_acc"}}[kind]  # fmt: skip
    assert figures <= set(whole.figures)
    assert all(np.isfinite(value) for value in whole.figures.values())
    exported = export_run(tmp_path / "whole", tmp_path / "model.onnx")
    assert exported.preset == kind and exported.difference < 1e-4


def test_what_no_gradient_reaches_stays_as_it_was_made(dataset, tmp_path):
    config = run_config("world", epochs=0.1)
    train(dataset, tmp_path / "run", config)
    torch.manual_seed(config.seed)
    fresh, found = WorldModel(CONFIGS["world"]), load_model(tmp_path / "run")[0]
    for name in ("allowed", "decode"):
        assert torch.equal(getattr(found, name), getattr(fresh, name))


def test_a_world_can_begin_with_a_model_of_version_1(dataset, tmp_path):
    """`--base` with a .onnx, through the command line."""
    data, base = str(dataset.path), tmp_path / "plan.onnx"
    common = ["train", "--data", data, "--epochs", "0.02", "--threads", "1"]
    first = CliRunner().invoke(main, [*common, "--preset", "mamba2-small", "-o",
                                      str(tmp_path / "plan")])  # fmt: skip
    assert first.exit_code == 0, first.output
    export_run(tmp_path / "plan", base)
    arguments = [*common, "--preset", "world", "--base", str(base), "-o", str(tmp_path / "world"),
                 "--lr", "1e-9"]  # fmt: skip
    found = CliRunner().invoke(main, arguments)
    assert found.exit_code == 0, found.output
    theirs = load_model(tmp_path / "plan")[0].state_dict()
    ours = load_model(tmp_path / "world")[0].state_dict()
    for name in ("layers.0.mamba.in_proj.weight", "heads.p1_jumps.weight"):
        torch.testing.assert_close(ours[name], theirs[name], rtol=0, atol=1e-6)
    assert ours["dynamics_scale"].shape != theirs["dynamics_scale"].shape  # stocks are a rule
    wrong = CliRunner().invoke(main, [*common, "--preset", "agent", "--base", str(base), "-o",
                                      str(tmp_path / "agent")])  # fmt: skip
    assert wrong.exit_code == 2 and wrong.stderr.count("\n") == 1
    assert not (tmp_path / "agent").exists()


def test_a_base_with_fields_of_another_program_is_refused_in_one_line(dataset, tmp_path):
    fields = tuple(dataclasses.replace(f, dim=f.dim + 1) if f.name == "jumps" else f
                   for f in RULED.step.fields)  # fmt: skip
    other = dataclasses.replace(RULED.step, fields=fields)
    made = chain_weights("world")
    made["embeddings.jumps.weight"] = np.zeros((8, 5), np.float32)
    made["frame_proj.weight"] = np.zeros((32, 198), np.float32)
    metadata = {"wmq.run": "0" * 64, "wmq.training": "{}"}
    path = tmp_path / "other.onnx"
    path.write_bytes(to_bytes(build_step(size_of(CONFIGS["world"]), other, made, metadata)))
    arguments = ["train", "--preset", "world", "--data", str(dataset.path), "--base", str(path)]
    found = CliRunner().invoke(main, [*arguments, "-o", str(tmp_path / "run")])
    assert found.exit_code == 2 and found.stderr.count("\n") == 1
    assert "schema differs" in found.stderr and "jumps" in found.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_a_made_run_learns(dataset, kind, tmp_path):
    train(dataset, tmp_path / "run", run_config(kind, epochs=1.5))
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").open()]
    losses = [row["loss"] for row in rows if "loss" in row]
    assert losses[-1] < 0.8 * losses[0]
    assert SCHEMAS[kind] == load_model(tmp_path / "run")[0].schema
