"""Training: the same run killed or not, the loss that evaluation reports, and clear refusals."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import TINY, walking_dataset

from wmq.dataset import Dataset
from wmq.errors import WmqError
from wmq.metrics import Tally
from wmq.models.presets import PRESETS
from wmq.models.world import WorldModel
from wmq.targets import NUMBER_HEADS
from wmq.train import checkpoint
from wmq.train.batches import Streams, exchange_players
from wmq.train.config import RunConfig
from wmq.train.loop import load_model, sum_of, train
from wmq.train.loss import loss_terms

CONFIG = RunConfig(preset="tiny", epochs=2.0, streams=3, chunk=16, warmup=5, lr=5e-3)
STEPS = 41  # of CONFIG on the dataset below


@pytest.fixture(autouse=True)
def tiny_preset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PRESETS, "tiny", TINY)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """More of them cost more than a tiny model gains."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


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
    figures = train(dataset, run, CONFIG, 7, lambda step, steps, row: first.append(step))
    assert first[0] == stop // 7 * 7 + 1
    assert losses(run) == losses(finished)
    assert figures == losses(finished)[-1]["val"]
    wanted = weights(finished)
    found = weights(run)
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_finished_run_is_not_trained_again(dataset: Dataset, copy: Path) -> None:
    before = {path.name: path.read_bytes() for path in copy.iterdir()}
    steps = []
    figures = train(dataset, copy, CONFIG, progress=lambda step, n, row: steps.append(step))
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


def test_other_settings_are_refused(dataset: Dataset, copy: Path) -> None:
    for other in (RunConfig(preset="tiny"), RunConfig(preset="mamba2-small")):
        with pytest.raises(WmqError, match="a run with other settings"):
            train(dataset, copy, other)


def test_dataset_without_a_usable_game_is_refused(dataset: Dataset, tmp_path: Path) -> None:
    val = Dataset(dataset.path, tuple(dataset.select("val")))
    with pytest.raises(WmqError, match="no training game"):
        train(val, tmp_path / "run", CONFIG)
    assert not (tmp_path / "run").exists()


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


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("run.json", None, "not a training run"),
        ("run.json", "{}", "not a training run"),
        ("run.json", '{"preset": "tiny", "more": 1}', "not a training run"),
        ("run.json", '{"preset": "huge"}', "not a training run"),
        ("latest.json", None, "no checkpoint yet"),
    ],
)
def test_folder_that_is_no_run_is_refused(
    copy: Path, name: str, text: str | None, message: str
) -> None:
    (copy / name).unlink()
    if text is not None:
        (copy / name).write_text(text)
    with pytest.raises(WmqError, match=message) as caught:
        load_model(copy)
    assert str(copy) in str(caught.value) and "\n" not in str(caught.value)


def test_a_run_json_of_today_stays_readable(copy: Path) -> None:
    """The form in which runs were written from the first one on."""
    (copy / "run.json").write_text(
        '{"preset": "tiny", "epochs": 3.5, "streams": 32, "chunk": 64, "lr": 0.0015, '
        '"weight_decay": 0.05, "warmup": 100, "clip": 1.0, "seed": 0, "bf16": false}'
    )
    assert load_model(copy)[1] == RunConfig(preset="tiny", epochs=3.5)


def test_seed_decides_the_weights(dataset: Dataset, tmp_path: Path) -> None:
    found = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        config = RunConfig(preset="tiny", epochs=0.2, streams=3, chunk=16, seed=seed)
        train(dataset, tmp_path / name, config)
        found.append(weights(tmp_path / name)["model.frame_proj.weight"].numpy())
    assert np.array_equal(found[0], found[1]) and not np.array_equal(found[0], found[2])
