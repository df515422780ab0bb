"""Roll out float and int8 from one start with the same controllers: the worlds the page plays."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from wmq.dataset.store import Dataset
from wmq.errors import WmqError
from wmq.evaluation.rollout_error import first_divergence
from wmq.game.schema import FIRST_FRAME, Schema
from wmq.inference import model_files
from wmq.inference.float_predictor import OnnxPredictor
from wmq.inference.integer_predictor import IntegerPredictor
from wmq.progress import Progress
from wmq.rollout.match import NO_AGENTS, Agents
from wmq.rollout.rollout import Rollout, RolloutModel, roll
from wmq.rollout.starts import WARMUP, Start

FLOAT, INT8 = "float", "int8"
SHORT = re.compile(r"([0-9a-fA-F]{4,64})@(-?[0-9]{1,8})")  # a game's hash, or its beginning


@dataclass(frozen=True)
class Comparison:
    """Both rollouts; controllers: how a person names those of player 1 and 2."""

    rollouts: dict[str, Rollout]
    controllers: tuple[str, str]

    @cached_property
    def first(self) -> int | None:
        """Find the first new frame, from 1, with another action; None if there is none."""
        one, other = (self.rollouts[name].worlds[0].frames[None] for name in (FLOAT, INT8))
        return int(first_divergence(self.schema, one, other)[0]) or None

    @property
    def schema(self) -> Schema:
        return self.rollouts[FLOAT].schema

    @property
    def start(self) -> Start:
        return self.rollouts[FLOAT].start

    @property
    def tracks(self) -> dict[str, np.ndarray]:
        """name -> (1 + n, frame_size) int32; row 0 is the start, the same for both."""
        return {
            name: np.concatenate([found.start.given[-1:], found.worlds[0].frames])
            for name, found in self.rollouts.items()
        }


def open_pair(
    float_path: str | None, int8_path: str | None
) -> tuple[OnnxPredictor, IntegerPredictor]:
    """Open a float model and the integer program made from it, as `float_step_of` finds them.

    Raises ModelError if they don't belong together, ProgramError or CalibrationError.
    """
    program, floats = model_files.open_pair(int8_path, float_path)
    return OnnxPredictor(floats.path), IntegerPredictor(program)


def compare(
    models: tuple[RolloutModel, RolloutModel], start: Start, pads: np.ndarray, seed: int,
    controllers: tuple[str, str], threads: int, progress: Progress, agents: Agents = NO_AGENTS,
) -> Comparison:  # fmt: skip
    """Roll both out; pads (n, 26) int32 are the controllers of the new frames.

    agents  play in the place of a player's pads, the same in both worlds
    """
    rollouts = {}
    for name, model in zip((FLOAT, INT8), models, strict=True):

        def show(what: str, done: int, total: int, note: str = "", model: str = name) -> None:
            progress(f"{what} {model}", done, total, note)

        rollouts[name] = roll(model, start, [pads], [seed], threads, show, agents)
    return Comparison(rollouts, controllers)


def dataset_start(schema: Schema, folder: str, text: str | None) -> Start:
    """Start at a frame of a validation game: `SHA256@FRAME`, or the middle of the longest.

    The first digits of the hash are enough.  Raises WmqError.
    """
    dataset = Dataset.open(folder)
    games = dataset.select("val")
    if not games:
        raise WmqError(f"{Path(folder)}: has no validation game; prepare more replays")
    if text is None:
        info = max(games, key=lambda game: (game.frames, game.sha256))
        at = info.frames // 2
    else:
        asked = SHORT.fullmatch(text)
        found = [game for game in games if asked and game.sha256.startswith(asked[1].lower())]
        if not asked or len(found) != 1:
            raise WmqError(f"--start {text}: with --data, give SHA256@FRAME, the first digits of "
                           "one validation game's hash and a frame of it")  # fmt: skip
        info, at = found[0], int(asked[2]) - FIRST_FRAME
        if not 0 <= at < info.frames:
            last = FIRST_FRAME + info.frames - 1
            raise WmqError(f"--start {text}: no such frame; choose one of {FIRST_FRAME}..{last}")
    game = dataset.load(info, schema)
    given = slice(max(0, at + 1 - WARMUP), at + 1)
    return Start(f"game {info.sha256[:12]} at frame {at + FIRST_FRAME}", game.frames[given],
                 game.controllers[given], at + FIRST_FRAME + 1,
                 game.controllers[at + 1 :])  # fmt: skip
