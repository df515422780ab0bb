"""Training: the same run killed or not, the loss that evaluation reports, and clear refusals."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.support.tiny import TINY, one_thread, tiny_preset, walking_dataset  # noqa: F401
from wmq.dataset.store import Dataset
from wmq.errors import WmqError
from wmq.evaluation.metrics import Tally
from wmq.game.targets import NUMBER_HEADS
from wmq.models.presets import PRESETS
from wmq.models.world import WorldModel
from wmq.training import checkpoint, loop, pace
from wmq.training.batches import Streams, exchange_players
from wmq.training.config import RunConfig
from wmq.training.loop import Stopped, sum_of, train
from wmq.training.loss import loss_terms
from wmq.training.run_folder import load_model

CONFIG = RunConfig(preset="tiny", epochs=2.0, streams=3, chunk=16, warmup=5, lr=5e-3)
STEPS = 41  # of CONFIG on the dataset below

pytestmark = pytest.mark.usefixtures("tiny_preset", "one_thread")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return walking_dataset(tmp_path_factory.mktemp("dataset"))


def test_a_run_can_begin_with_the_weights_of_another(dataset: Dataset, finished: Path,
                                                      tmp_path: Path) -> None:  # fmt: skip
    base = load_model(finished)[0]
    config = RunConfig(preset="tiny", epochs=0.05, streams=3, chunk=16, lr=0.0, base="0" * 64)
    train(dataset, tmp_path / "run", config, base=base)
    found = load_model(tmp_path / "run")[0].state_dict()
    for name, value in base.state_dict().items():
        assert torch.equal(found[name], value), name  # a learning rate of 0 keeps them
    other = WorldModel(msgspec.structs.replace(TINY, n_layer=1))
    with pytest.raises(WmqError, match="--preset"):
        train(dataset, tmp_path / "other", config, base=other)


@pytest.fixture(scope="module")
def finished(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was never interrupted."""
    run = tmp_path_factory.mktemp("run") / "whole"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, "tiny", TINY)
        train(dataset, run, CONFIG, save_every=7)
    return run


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    """A copy of that run to damage."""
    return Path(shutil.copytree(finished, tmp_path / "copy"))


def losses(run: Path) -> list[dict]:
    """The lines of metrics.jsonl without the speeds."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if k != "frames_per_second"} for row in rows]


def weights(run: Path) -> dict[str, torch.Tensor]:
    (path,) = run.glob("step-*.safetensors")
    return load_file(path)


@pytest.mark.parametrize("stop", [3, 7, 20, 33])
def test_killed_run_goes_on_to_the_same_losses_and_weights(
    dataset: Dataset, finished: Path, tmp_path: Path, stop: int
) -> None:
    run = tmp_path / "run"

    def kill(step: int, steps: int, row: dict) -> None:
        assert steps == STEPS
        if step == stop:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(dataset, run, CONFIG, save_every=7, progress=kill)
    first = []
    figures = train(dataset, run, CONFIG, 7, lambda step, _, row: first.append(step)).figures
    assert first[0] == stop // 7 * 7 + 1
    assert losses(run) == losses(finished)
    assert figures == losses(finished)[-1]["val"]
    wanted = weights(finished)
    found = weights(run)
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


class Stop:
    """True from its nth question on; the loop asks once a step, and once a validated game."""

    def __init__(self, at: int):
        self.left = at

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0


@pytest.mark.parametrize("stops", [[0], [6, 0], [7], [41], [3, 8, 1]])
def test_stopped_run_has_the_losses_and_weights_of_one_never_stopped(
    dataset: Dataset, finished: Path, tmp_path: Path, stops: list[int]
) -> None:
    """Also stopped where a validation is due (7) or under way, and in the last step."""
    run, step = tmp_path / "run", 0
    for at in stops:
        with pytest.raises(Stopped) as stopped:
            train(dataset, run, CONFIG, save_every=7, stop=Stop(at))
        found = checkpoint.latest(run)
        assert found is not None and found["step"] == stopped.value.step >= step
        step = found["step"]
    train(dataset, run, CONFIG, save_every=7)
    assert losses(run) == losses(finished)
    wanted, found = weights(finished), weights(run)
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_saving_and_validating_by_the_clock_change_no_number(
    dataset: Dataset, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(loop, "VALIDATE_SECONDS", 0.0)
    monkeypatch.setattr(pace, "SHARE", 1e9)
    run, seen = tmp_path / "run", []
    train(dataset, run, CONFIG, 7, lambda step, _, row: seen.append(checkpoint.latest(run)["step"]))
    assert seen == list(range(1, STEPS + 1))
    assert all(row in losses(run) for row in losses(finished))
    assert [row["step"] for row in losses(run) if "val" in row] == list(range(1, STEPS + 1))
    wanted, found = weights(finished), weights(run)
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_raised_epochs_stretch_the_cosine(
    dataset: Dataset, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rate of a step is that of a run of the new length, killed again or not."""
    short = msgspec.structs.replace(CONFIG, epochs=1.0)
    rates: dict[int, float] = {}
    rate = loop.learning_rate

    def noted(step: int, steps: int, config: RunConfig) -> float:
        rates[step] = rate(step, steps, config)
        return rates[step]

    monkeypatch.setattr(loop, "learning_rate", noted)
    for name, at in (("a", None), ("b", 5)):
        train(dataset, tmp_path / name, short, save_every=7)
        done = len(rates)
        if at:
            with pytest.raises(Stopped):
                train(dataset, tmp_path / name, CONFIG, save_every=7, stop=Stop(at))
        train(dataset, tmp_path / name, CONFIG, save_every=7)
        assert done == 20 and len(rates) == STEPS
        assert all(rates[k] == rate(k, STEPS, CONFIG) for k in range(done, STEPS))
        rates.clear()
    assert losses(tmp_path / "a") == losses(tmp_path / "b")
    assert {"step": 20, "epochs": 2.0} in losses(tmp_path / "a")
    one, other = weights(tmp_path / "a"), weights(tmp_path / "b")
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_finished_run_is_not_trained_again(dataset: Dataset, copy: Path) -> None:
    before = {path.name: path.read_bytes() for path in copy.iterdir()}
    steps = []
    figures = train(dataset, copy, CONFIG, progress=lambda step, n, _: steps.append(step)).figures
    assert steps == [] and figures == losses(copy)[-1]["val"]
    assert {path.name: path.read_bytes() for path in copy.iterdir()} == before


def test_kill_amid_a_line_of_the_log_leaves_a_run_that_goes_on(
    dataset: Dataset, copy: Path, finished: Path
) -> None:
    with open(copy / "metrics.jsonl", "a") as file:
        file.write('{"step": 50, "loss": 1.2}\n{"step": 50, "lo')
    train(dataset, copy, CONFIG)
    assert losses(copy) == losses(finished)


def test_learning_falls(finished: Path) -> None:
    rows = [row for row in losses(finished) if "loss" in row]
    assert rows[-1]["loss"] < 0.6 * rows[0]["loss"]
    checks = [row["val"]["val_loss"] for row in losses(finished) if "val" in row]
    assert checks[-1] < 0.8 * checks[0]


def test_training_loss_is_the_val_loss_of_the_metrics(dataset: Dataset) -> None:
    """Rows of a batch, some masked at their ends, as games to a Tally."""
    torch.manual_seed(1)
    model = WorldModel(TINY)
    for name in NUMBER_HEADS:
        getattr(model, f"{name}_scale").uniform_(0.5, 2.0)
    streams = Streams(dataset, dataset.select("train"), model.schema, 3, 60, seed=0)
    masked = 0
    for _ in range(4):
        batch = streams.next()
        with torch.no_grad():
            heads, _ = model(batch.numbers, batch.controllers, batch.classes,
                             batch.next_controllers, model.zero_state(3))  # fmt: skip
        terms = loss_terms(model, heads, batch)
        scales = {name: getattr(model, f"{name}_scale").numpy() for name in NUMBER_HEADS}
        tally = Tally(model.schema, scales)
        for row in range(3):
            kept = batch.mask[row].numpy() > 0
            masked += int((~kept).sum())
            values = {name: value[row].numpy()[kept] for name, value in heads.items()}
            tally.add(batch.now[row][kept], batch.after[row][kept], values, ("hitlag",))
        ours = sum_of({name: float(value) for name, value in terms.items()})
        assert ours == pytest.approx(tally.result()["val_loss"], rel=1e-5)
    assert masked


def test_streams_play_every_game_once_an_epoch_and_reset_at_its_begin(dataset: Dataset) -> None:
    games = dataset.select("train")
    schema = WorldModel(TINY).schema
    streams = Streams(dataset, games, schema, 2, 25, seed=4)
    starts, played = [], []
    while streams.next_game <= len(games) + 2:
        before = [number for number, _ in streams.position]
        batch = streams.next()
        starts += [streams.position[row][0] for row in batch.fresh]
        for row in range(2):
            count = int(batch.mask[row].sum())
            if streams.position[row][0] < len(games):
                played.append(count)
            assert (batch.now[row][1:count] == batch.after[row][: count - 1]).all()
            fresh = streams.position[row][0] != before[row] or streams.position[row][1] == count
            assert (row in batch.fresh) == fresh
    assert sorted(starts)[: len(games)] == list(range(len(games)))
    assert sum(played) == sum(game.frames - 1 for game in games)


def test_exchanged_players_twice_are_the_game_itself(dataset: Dataset) -> None:
    schema = WorldModel(TINY).schema
    game = dataset.load(dataset.games[0], schema)
    frames, pads = exchange_players(schema, game.frames, game.controllers)
    at = [schema.index("x", player) for player in (0, 1)]
    assert (frames[:, at] == game.frames[:, at[::-1]]).all()
    assert (pads[:, :13] == game.controllers[:, 13:]).all()
    again = exchange_players(schema, frames, pads)
    assert (again[0] == game.frames).all() and (again[1] == game.controllers).all()


def edit_tensors(change: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Path], None]:
    def damage(run: Path) -> None:
        (path,) = run.glob("step-*.safetensors")
        tensors = load_file(path)
        change(tensors)
        save_file(tensors, path)

    return damage


def truncate(run: Path) -> None:
    (path,) = run.glob("step-*.safetensors")
    path.write_bytes(path.read_bytes()[:-9])


def no_tensors(run: Path) -> None:
    (path,) = run.glob("step-*.safetensors")
    path.unlink()


def write_latest(text: str) -> Callable[[Path], None]:
    return lambda run: (run / "latest.json").write_text(text) and None


def fewer_streams(run: Path) -> None:
    found = json.loads((run / "latest.json").read_text())
    found["place"]["position"].pop()
    (run / "latest.json").write_text(json.dumps(found))


def transposed(tensors: dict[str, torch.Tensor]) -> None:
    weight = tensors["model.frame_proj.weight"]
    tensors["model.frame_proj.weight"] = weight.T.contiguous()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncate, "no readable checkpoint"),
        (no_tensors, "no readable checkpoint"),
        (edit_tensors(lambda t: t.pop("model.norm_f.weight")), "of another model"),
        (edit_tensors(transposed), "of another model"),
        (edit_tensors(lambda t: t.pop("optimizer.0.exp_avg")), "optimizer is of another model"),
        (edit_tensors(lambda t: t.pop("state.1.ssm")), r"lacks state\.1\.ssm"),
        (write_latest("{"), "damaged"),
        (write_latest("[]"), "damaged"),
        (write_latest('{"step": -1, "place": {"position": [], "next_game": 0}}'), "damaged"),
        (write_latest('{"step": 7, "place": {"position": [[1, "x"]], "next_game": 0}}'), "damaged"),
        (fewer_streams, "has 2 streams, the run 3"),
    ],
)
def test_damaged_checkpoint_is_refused_in_one_line(
    dataset: Dataset, copy: Path, damage: Callable[[Path], None], message: str
) -> None:
    damage(copy)
    with pytest.raises(WmqError, match=message) as caught:
        train(dataset, copy, CONFIG)
    assert "\n" not in str(caught.value)


def test_loss_that_is_not_finite_ends_the_run(dataset: Dataset, tmp_path: Path) -> None:
    wild = RunConfig(preset="tiny", streams=3, chunk=16, warmup=0, lr=1e30)
    with pytest.raises(WmqError, match="not finite; start again with a lower --lr"):
        train(dataset, tmp_path / "run", wild)


def test_model_is_loaded_from_a_run(finished: Path) -> None:
    model, config, step = load_model(finished)
    assert (config, step) == (CONFIG, STEPS)
    saved = weights(finished)
    for name, value in model.state_dict().items():
        assert torch.equal(value, saved[f"model.{name}"])


def test_model_is_loaded_while_a_newer_checkpoint_takes_the_place(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The older checkpoint is deleted between reading its name and opening it."""
    newest = (copy / "latest.json").read_text()
    (copy / "latest.json").write_text(newest.replace(f'"step": {STEPS}', '"step": 7'))
    load = checkpoint.load_tensors

    def race(run: Path, step: int) -> dict:
        (run / "latest.json").write_text(newest)
        return load(run, step)

    monkeypatch.setattr(checkpoint, "load_tensors", race)
    assert load_model(copy)[2] == STEPS


def test_seed_decides_the_weights(dataset: Dataset, tmp_path: Path) -> None:
    found = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        config = RunConfig(preset="tiny", epochs=0.2, streams=3, chunk=16, seed=seed)
        train(dataset, tmp_path / name, config)
        found.append(weights(tmp_path / name)["model.frame_proj.weight"].numpy())
    assert np.array_equal(found[0], found[1]) and not np.array_equal(found[0], found[2])
