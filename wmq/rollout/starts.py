"""Start a rollout at the first frame of a match, or at a frame of a real game.

A stage and two characters, or `GAME.slp@FRAME`, come in; a `Start` leaves, with the given
integer frames, their controllers and what the players did afterwards.  Positions of a match
start are those of real games: `starts.json` holds the commonest first frame of each stage
(`wmq.rollout.make_tables` makes it).
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from wmq.errors import WmqError
from wmq.files.names import printable
from wmq.game.names import CHARACTERS, STAGES
from wmq.game.schema import FIRST_FRAME, FULL, LEGAL_STAGES, Schema
from wmq.inference.model_files import ships_agent
from wmq.rollout.controllers import AT_REST
from wmq.rollout.limits import MINUTE

TABLE = Path(__file__).with_name("starts.json")
WARMUP = 240  # frames


@dataclass(frozen=True)
class Start:
    """What a rollout begins with.

    label        how a person names it
    given        (g, frame_size) int32: real frames, the last of which is the start
    controllers  (g, 26) int32: those of the given frames
    first        frame id of the first new frame
    following    (n, 26) int32: the real controllers of the frames after it, or None
    """

    label: str
    given: np.ndarray
    controllers: np.ndarray
    first: int
    following: np.ndarray | None = None

    def usual_source(self, schema: Schema) -> str:
        """The controllers of a rollout that names none: those of the game; in a match of a world
        that draws, the embedded agent; else random play.

        schema  of the world
        """
        if self.following is not None:
            return "replay"
        return "agent" if schema.draws and ships_agent() else "random"

    def usual_frames(self, sources: Sequence[str]) -> int:
        """Count the new frames of a rollout: a minute, or the rest of a game that it follows."""
        if self.following is None or "replay" not in sources:
            return MINUTE
        return min(MINUTE, max(len(self.following), 1))


@cache
def _table() -> dict:
    return json.loads(TABLE.read_text("utf-8"))


def match_start(schema: Schema, stage: str, characters: tuple[str, str]) -> Start:
    """Start at frame -123 of a match; names are keys of STAGES and CHARACTERS."""
    table = _table()
    frame = np.zeros(schema.frame_size, dtype=np.int32)
    for player, name in enumerate(characters):
        values = dict(table["stages"][stage][player])
        values["jumps"] = table["jumps"].get(name, table["jumps"][""])
        values["character"] = CHARACTERS[name]
        for field, value in values.items():
            frame[schema.index(field, player)] = value
    frame[schema.stage_index] = STAGES[stage]
    label = f"match on {LEGAL_STAGES[STAGES[stage]]}, {characters[0]} against {characters[1]}"
    return Start(label, frame[None], np.tile(AT_REST, (1, 2)), FIRST_FRAME + 1)


def parse_replay_start(text: str) -> tuple[Path, int]:
    """Parse `GAME.slp@FRAME`.  Raises WmqError."""
    path, at, frame = text.rpartition("@")
    if not at or not path or not path.lower().endswith(".slp"):
        raise WmqError(f"--start {text}: neither match nor of the form GAME.slp@FRAME")
    if not re.fullmatch(r"-?[0-9]{1,9}", frame):
        raise WmqError(f"--start {text}: {frame!r} is not a frame number")
    return Path(path), int(frame)


def replay_start(schema: Schema, path: Path, frame: int, warmup: int = WARMUP) -> Start:
    """Start at a frame of a real game, after up to `warmup` frames of it.  Raises WmqError."""
    from wmq.replays.sandbox import read_sandboxed

    game = read_sandboxed(path)
    at = frame - FIRST_FRAME
    if not 0 <= at < game.info.frames:
        last = FIRST_FRAME + game.info.frames - 1
        raise WmqError(f"{path}: has no frame {frame}; choose one of {FIRST_FRAME}..{last}")
    chosen = [FULL.index(f.name, player) for player in (0, 1) for f in schema.fields]
    given = slice(max(0, at + 1 - warmup), at + 1)
    return Start(
        f"{printable(path.name)} at frame {frame}",
        np.ascontiguousarray(game.frames[given][:, [*chosen, FULL.stage_index]]),
        game.controllers[given],
        frame + 1,
        game.controllers[at + 1 :],
    )
