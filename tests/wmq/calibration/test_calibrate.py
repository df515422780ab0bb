"""`wmq calibrate`: the same play gives the same file, and bad input one line."""

from __future__ import annotations

import hashlib
import json

import onnx
import pytest

from calib import sets
from calib.statistics.tensors import observed_tensors
from calib.step.graph import read_step
from tests.support.calibrating import info, refused, run, write_dataset
from wmq.calibration.choice import LEAST_FRAMES
from wmq.calibration.play import LEAST_GAMES
from wmq.cli.calibrate import SETS
from wmq.dataset.store import FORMAT_VERSION, Dataset
from wmq.inference.model_files import embedded_model
from wmq_kernels.loading import load

pytest_plugins = ("tests.support.calibrating",)
pytestmark = pytest.mark.usefixtures("cache")


def test_the_same_inputs_give_the_same_bytes_wherever_they_lie(tmp_path, model, dataset):
    elsewhere = tmp_path / "elsewhere.onnx"
    elsewhere.write_bytes(model.read_bytes())
    outs = tmp_path / "a.wmq", tmp_path / "b.wmq"
    for source, out in zip((model, elsewhere), outs, strict=True):
        result = run(source, "-o", out, "--data", dataset, "--frames", 400)
        assert result.exit_code == 0, result.output
        assert hashlib.sha256(out.read_bytes()).hexdigest() in result.stdout
    assert outs[0].read_bytes() == outs[1].read_bytes()


def test_the_program_keeps_where_its_ranges_come_from(tmp_path, model, dataset):
    out = tmp_path / "a.wmq"
    result = run(model, "-o", out, "--data", dataset, "--frames", 400, "--json")
    facts = json.loads(result.stdout)
    program, sha256 = load(out)
    assert facts["model_sha256"] == sha256
    assert facts["bytes"] == out.stat().st_size
    kept = program.meta["calibration"]
    assert kept["recipe"]["name"] == "static-best" and kept["observer"] == "minmax"
    assert kept["frames"] == facts["frames"] == 400
    assert kept["onnx_sha256"] == hashlib.sha256(model.read_bytes()).hexdigest()
    games = kept["data"]["games"]
    assert games == sorted(games) and len(games) == kept["games"] == LEAST_GAMES
    assert set(games) < {game.sha256 for game in Dataset.open(dataset).games}
    assert str(tmp_path) not in json.dumps(program.meta)


def test_each_tensor_has_a_line_with_range_scale_and_ratio(tmp_path, model, dataset):
    result = run(model, "-o", tmp_path / "a.wmq", "--data", dataset, "--frames", 400, "--json")
    tensors = {row["name"]: row for row in json.loads(result.stdout)["tensors"]}
    assert tensors["layers.1.norm.unit"]["scale"] is None  # each channel has its own
    for name in ("layers.0.norm.unit", "layers.0.mamba.norm.unit", "norm_f.unit"):  # two digits
        row = tensors[name]
        assert row["scale"] == pytest.approx(row["limit"] / 127 / 128)
        assert 57 < row["decibels"] < 92
    assert tensors["layers.0.mamba.y"]["groups"] == 8
    assert tensors["layers.0.mamba.y"]["decibels"] > 50
    text = run(model, "-o", tmp_path / "a.wmq", "--data", dataset, "--frames", 400).stdout
    assert all(name in text for name in tensors)


def test_a_recipe_changes_the_program(tmp_path, model, dataset):
    outs = tmp_path / "a.wmq", tmp_path / "b.wmq"
    for out, recipe in zip(outs, ("static-minmax", "static-percentile"), strict=True):
        result = run(model, "-o", out, "--data", dataset, "--frames", 400, "--recipe", recipe)
        assert result.exit_code == 0, result.output
    assert outs[0].read_bytes() != outs[1].read_bytes()


def test_an_input_is_promoted_to_two_digits_for_more_products(tmp_path, model, dataset):
    """Also one that the default recipe smooths, as that of every layer but the first."""
    data, promoted = ("--data", dataset, "--frames", 400, "--json"), "layers.1.mamba.in_proj"
    out, facts = tmp_path / "a.wmq", []
    for more in ((), ("--promote", promoted)):
        result = run(model, "-o", out, *data, *more)
        assert result.exit_code == 0, result.output
        facts.append(json.loads(result.stdout))
    program, _ = load(out)
    weight = program.values[f"{promoted}.weight"]
    assert facts[1]["products"] - facts[0]["products"] == weight.size
    assert facts[1]["least_products"] == facts[0]["least_products"]
    assert program.meta["calibration"]["recipe"]["activations"]["two_digits"][-1] == promoted
    assert "layers.9.mamba.in_proj" in refused(
        tmp_path, model, "-o", out, *data, "--promote", "layers.9.mamba.in_proj"
    )


def test_bad_input_is_one_line_and_writes_nothing(tmp_path, model, dataset):
    out = tmp_path / "a.wmq"
    half = tmp_path / "half.onnx"
    half.write_bytes(model.read_bytes()[: model.stat().st_size // 2])
    idle = write_dataset(tmp_path / "idle", [info(1, idle=(0.9, 0.1)), info(2, split="val")])
    recipe = tmp_path / "mine.toml"
    recipe.write_text('name = "mine"\n[activations]\nobserver = "best"\n[state]\nheadroom_bits=2')
    unknown = tmp_path / "mine2.toml"
    unknown.write_text('name = "m"\n[activations]\nobserver = "mse"\n[state]\nheadroom_bits=2\n'
                       '[data]\nplay = "set"\nsets = "self-play"')  # fmt: skip
    data = ("--data", dataset)
    for arguments, reason in (
        ((tmp_path / "none.onnx", "-o", out, *data), "none.onnx"),
        ((dataset / "index.json", "-o", out, *data), "index.json"),
        ((half, "-o", out, *data), "half.onnx"),
        ((half, "-o", tmp_path / "a.onnx", *data), "-o " + str(tmp_path / "a.onnx")),  # before it
        ((half, "-o", tmp_path / "a", *data), ".wmq"),
        ((half, "-o", idle, *data), "is a folder"),
        ((half, "-o", tmp_path / "no" / "a.wmq", *data), "its folder does not exist"),
        ((model, "-o", out, "--set", "own-play"), f"one of those that come with wmq ({SETS[0]}"),
        ((model, "-o", out), "give data (a dataset"),
        ((model, *data), "-o MODEL.wmq"),
        ((model, "--show-statistics"), "give data (a dataset"),
        ((model, "-o", out, "--set", "self-play", "--play", "self"), "play self: a set"),
        ((model, "-o", out, "--play", "mixed"), "give data (a dataset"),
        ((model, "-o", out, *data, "--recipe", unknown), "mine2.toml: data.sets: unknown key"),
        ((model, "-o", out, *data, "--set", "tiny"), "either"),
        ((model, "-o", out, "--data", tmp_path / "nowhere"), "nowhere"),
        ((model, "-o", out, "--data", idle), "no training game"),
        ((model, "-o", out, *data, "--frames", LEAST_FRAMES - 1), "frames 255: too few"),
        ((model, "-o", out, *data, "--frames", -5), "frames -5: too few"),
        ((model, "-o", out, *data, "--recipe", recipe), "mine.toml: activations.observer: "),
        ((model, "-o", out, *data, "--recipe", "worst"), "static-digits"),
    ):
        assert reason in refused(tmp_path, *arguments)


def test_sets_are_listed_by_help_and_found_in_letters_of_any_case(tmp_path, model):
    assert SETS == tuple(sets.names())
    assert all(name in " ".join(run("-h").stdout.split()) for name in SETS)
    outs = tmp_path / "a.wmq", tmp_path / "b.wmq"
    for out, name in zip(outs, ("self-play", "Self-Play"), strict=True):
        result = run(model, "-o", out, "--set", name, "--frames", 300)
        assert result.exit_code == 0, result.output
    assert outs[0].read_bytes() == outs[1].read_bytes()


def test_a_damaged_shard_leaves_the_old_program_as_it_was(tmp_path, model):
    root = write_dataset(tmp_path / "d", [info(i) for i in range(16)])
    shard = sorted((root / "games").iterdir())[3]
    shard.write_bytes(shard.read_bytes()[:1000])
    out, before = tmp_path / "a.wmq", embedded_model(".wmq").read_bytes()
    out.write_bytes(before)
    assert shard.name in refused(tmp_path, model, "-o", out, "--data", root)
    assert out.read_bytes() == before


def test_a_dataset_of_another_schema_is_one_line(tmp_path, model):
    root = write_dataset(tmp_path / "d", [info(i) for i in range(3)])
    index = json.loads((root / "index.json").read_text())
    (root / "index.json").write_text(json.dumps(index | {"schema": 999}))
    assert f"{root}: dataset of format {FORMAT_VERSION}, schema 999" in refused(
        tmp_path, model, "-o", tmp_path / "a.wmq", "--data", root
    )


def test_a_model_without_a_recurrent_state_is_one_line(tmp_path, model):
    step = onnx.load(model)
    for port in list(step.graph.input):
        if port.name.startswith(("conv.", "state.")):
            step.graph.input.remove(port)
    path = tmp_path / "stateless.onnx"
    onnx.save(step, path)
    message = refused(tmp_path, path, "-o", tmp_path / "a.wmq", "--set", "self-play")
    assert f"{path}: input conv.0 is missing" in message


def test_statistics_are_shown_for_every_tensor(tmp_path, model, dataset):
    data = ("--data", dataset, "--frames", 400, "--show-statistics")
    facts = json.loads(run(model, *data, "--json").stdout)
    step = read_step(model)
    assert [row["name"] for row in facts["statistics"]] == list(observed_tensors(step.sizes))
    for row in facts["statistics"]:
        for limit in ("moving_average", "percentile_99_9", "percentile_99_99", "mse", "entropy"):
            assert 0 < row[limit] <= row["maximum"], (row["name"], limit)
        assert row["percentile_99_9"] <= row["percentile_99_99"]
    text = run(model, *data).stdout
    assert all(row["name"] in text for row in facts["statistics"])
    out = tmp_path / "a.wmq"
    both = json.loads(run(model, *data, "-o", out, "--json").stdout)
    assert both["statistics"] == facts["statistics"]
    assert both["model_sha256"] == hashlib.sha256(out.read_bytes()).hexdigest()
