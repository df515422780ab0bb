"""What a model would have drawn in real games: the draws of onnxruntime and of the oracle."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tests.support.ruled_frames import RULED
from tests.support.small_chain import SCHEMAS, made_play
from wmq.evaluation.agents import both_sides
from wmq.evaluation.bootstrap import draw_weights
from wmq.evaluation.chain import Chain, choices, nll_change, other_draws
from wmq.game.targets import true_draws
from wmq.inference.draws import draw_words, uniforms
from wmq.inference.integer_predictor import IntegerPredictor
from wmq.inference.model_files import open_program
from wmq.inference.onnx_session import OnnxStep
from wmq.replays.slippi import Game
from wmq_kernels.program import BY_WORD, Draws
from wmq_kernels.reference import Reference

pytest_plugins = ("tests.support.match_models",)
KINDS = ("world", "agent")


def rows_of(kind: str, first: int, count: int):
    """Frames (count + 1, frame_size), own controllers, true draws and words of a made game."""
    schema = SCHEMAS[kind]
    frames, pads = (rows[first : first + count + 1] for rows in made_play(schema))
    own = pads[:, : schema.controllers_size]
    drawn = true_draws(schema, frames, own).astype(np.int32)
    return frames, own, drawn, draw_words(7, 3, 0, count, len(schema.draws))


def forced_but(drawn: np.ndarray, column: int) -> np.ndarray:
    """Force all true draws but one, which goes by its word."""
    forced = drawn.copy()
    forced[:, column] = BY_WORD
    return forced


@pytest.mark.parametrize("kind", KINDS)
def test_choices_are_the_draws_of_onnxruntime(match_models: Path, kind: str) -> None:
    """Each frame begins with no memory, so that all rows are one batch."""
    step = OnnxStep(match_models / f"{kind}.onnx")
    frames, own, drawn, words = rows_of(kind, 300, 400)
    made = np.empty_like(drawn, dtype=np.int64)
    for column in range(drawn.shape[1]):
        draws = Draws(words, forced_but(drawn, column))
        found, _ = step.step(frames[:-1], own[:-1], own[1:], step.zero_state(400), draws)
        made[:, column] = found["drawn"][:, column]
    heads, _ = step.step(frames[:-1], own[:-1], own[1:], step.zero_state(400), Draws(words, drawn))
    assert step.decoding is not None
    found = choices(SCHEMAS[kind], frames[:-1], heads, uniforms(words), step.decoding)
    np.testing.assert_array_equal(found, made)
    assert (found != drawn).mean() > 0.3


@pytest.mark.parametrize("kind", KINDS)
def test_choices_are_the_draws_of_the_program(match_models: Path, kind: str) -> None:
    opened = open_program(match_models / f"{kind}.wmq", None)
    model = IntegerPredictor(opened)
    frames, own, drawn, words = rows_of(kind, 300, 6)
    fed, given = (frames, own) if kind == "world" else (own, frames)
    heads, made = [], np.empty_like(drawn)
    for row in range(len(drawn)):
        steps = given[row : row + opened.program.roles.rows(1)].tolist()
        for column in range(drawn.shape[1]):
            forced = forced_but(drawn, column)[row : row + 1]
            reference = Reference(opened.program)
            run = reference.run(fed[row : row + 1].tolist(), steps, 1, True,
                                Draws(words[row : row + 1], forced))  # fmt: skip
            made[row, column] = reference.values["drawn"][column]
        draws = Draws(words[row : row + 1], drawn[row : row + 1])
        run = Reference(opened.program).run(fed[row : row + 1].tolist(), steps, 1, True, draws)
        heads.append(run.heads[0])
    named = {name: np.array(heads)[:, at] * unit for name, at, unit in model.head_columns()}
    assert model.decoding is not None
    found = choices(SCHEMAS[kind], frames[:-1], named, uniforms(words), model.decoding)
    np.testing.assert_array_equal(found, made)


@pytest.mark.parametrize("kind", KINDS)
def test_float_and_program_draw_by_the_same_temperature_and_min_p(
    match_models: Path, kind: str
) -> None:
    step = OnnxStep(match_models / f"{kind}.onnx")
    model = IntegerPredictor(open_program(match_models / f"{kind}.wmq", None))
    assert step.decoding == pytest.approx(model.decoding, rel=3e-3)


def games(lengths: list[int]) -> list[Game]:
    frames, pads = made_play(RULED)
    return [Game(None, frames[:n], pads[:n]) for n in lengths]  # type: ignore[arg-type]


def test_the_share_of_other_draws_is_that_of_a_count() -> None:
    one, other = (Chain(RULED, games([31, 51]), None) for _ in range(2))
    one.drawn[0][3, 1] = 5
    other.drawn[1][7] = [1, 2, 3, 4]
    other.drawn[1][9, 0], one.counted[1][9, 0] = 1, False
    draws, frames = other_draws(one, other, draw_weights(2, 20))
    assert draws.value == pytest.approx(100 * 5 / (80 * 4 - 1))
    assert frames.value == pytest.approx(100 * 2 / 80)
    assert frames.lo == pytest.approx(100 / 50) and frames.hi == pytest.approx(100 / 30)


def test_both_sides_of_a_game_are_one_game() -> None:
    schema = SCHEMAS["agent"]
    (game,) = games([40])
    one, other = both_sides(schema, [game])
    half, pads = len(schema.fields), 13
    np.testing.assert_array_equal(one.frames, game.frames)
    np.testing.assert_array_equal(other.frames[:, :half], game.frames[:, half : 2 * half])
    np.testing.assert_array_equal(other.controllers, game.controllers[:, pads:])
    chain = Chain(schema, [one, other, one, other], None)
    assert chain.owners == [0, 0, 1, 1] and len(set(chain.keys)) == 4


def test_a_change_of_nll_is_paired_over_games() -> None:
    tallies = [SimpleNamespace(sums={"nll": s}, counts={"nll": 10.0}) for s in (5.0, 50.0, 20.0)]
    more = [SimpleNamespace(sums={"nll": t.sums["nll"] * 1.01}, counts=t.counts) for t in tallies]
    found = nll_change(tallies, more, draw_weights(3, 100))
    assert (found.value, found.lo, found.hi) == pytest.approx((1, 1, 1))
