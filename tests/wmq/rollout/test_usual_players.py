"""Who plays where nobody is named: in a world that draws the embedded agent, as both players."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import wmq
from tests.support.embedded import FILES, embed
from tests.support.made_games import made_game
from tests.support.rollout_models import wmq as command
from wmq.files.digest import file_sha256

pytest_plugins = ("tests.support.match_models", "tests.support.rollout_models")
FRAMES = ("--frames", 8, "--seed", 3)


@pytest.fixture
def embedded(match_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which a small world and a small agent are the embedded ones."""
    folder = tmp_path / "embedded"
    folder.mkdir()
    embed(monkeypatch, match_models, folder)
    return folder


def facts(*arguments: object) -> dict:
    result = command(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_a_rollout_that_names_nothing_is_a_match_of_the_embedded_models(
    embedded: Path, tmp_path: Path
) -> None:
    file = tmp_path / "match.npz"
    found = facts("rollout", *FRAMES, "-o", file)
    assert (found["p1"], found["p2"]) == ("agent", "agent")
    assert found["model_sha256"] == file_sha256(embedded / "world.wmq")
    seat = f"agent:{embedded / 'agent.wmq'}"
    named = facts("rollout", embedded / "world.wmq", "--p1", seat, "--p2", seat, *FRAMES)
    assert named["rollout_sha256"] == found["rollout_sha256"]
    text = command("rollout", *FRAMES).stdout
    assert text.startswith("no MODEL given: this is the embedded world\n")
    assert "; player 1 agent, player 2 agent\n" in text
    verified = command("verify", file)
    assert verified.exit_code == 0 and found["rollout_sha256"] in verified.stdout


def test_the_interface_plays_what_the_command_plays(embedded: Path, tmp_path: Path) -> None:
    run = wmq.load().rollout(8, seed=3)
    assert run.sha256 == facts("rollout", *FRAMES)["rollout_sha256"]
    assert wmq.verify(run).same
    run.save(tmp_path / "match.npz")
    assert wmq.verify(tmp_path / "match.npz").same
    agent = embedded / "agent.wmq"
    assert wmq.verify(run, agents=(agent, agent)).same
    with pytest.raises(wmq.WmqError, match="is a world, not an agent"):
        wmq.verify(run, agents=(embedded / "world.wmq", None))


def test_a_float_world_has_the_same_agents_in_integers(embedded: Path) -> None:
    found = facts("rollout", "--float", *FRAMES)
    assert (found["arithmetic"], found["p1"]) == ("float32", "agent")
    assert wmq.load(embedded / "world.onnx").rollout(8, seed=3).sha256 == found["rollout_sha256"]


def test_the_report_lets_them_play_in_both_worlds(embedded: Path, tmp_path: Path) -> None:
    made = facts("report", "--viewer", tmp_path / "both.json", *FRAMES)
    assert (made["p1"], made["p2"]) == ("agent", "agent")
    for name, option in (("int8", "--int8"), ("float", "--float")):
        assert (
            made["models"][name]["rollout_sha256"]
            == (facts("rollout", option, *FRAMES)["rollout_sha256"])
        )


def test_others_play_in_a_game_in_worlds_that_do_not_draw_and_without_an_agent(
    embedded: Path, models: Path, match_models: Path, tmp_path: Path
) -> None:
    game = tmp_path / "game.slp"
    game.write_bytes(made_game(3, frames=1300).to_bytes())
    assert facts("rollout", *FRAMES, "--start", f"{game}@100")["p1"] == "replay"
    assert facts("rollout", models / "small.wmq", *FRAMES)["p1"] == "random"
    assert facts("rollout", *FRAMES, "--p2", "idle")["p2"] == "idle"
    (embedded / FILES[-1]).unlink()
    assert facts("rollout", *FRAMES)["p1"] == "random"
    assert "agent in a match, if MODEL draws" in " ".join(command("rollout", "-h").stdout.split())
