"""One interface for float models, integer programs and baselines.

`walk` goes through whole games with the true frames as input (teacher-forced) and hands out heads
in natural units, some frames at a time; on the way it keeps the state at given starts.  `worlds`
are free-running games side by side, from the beginning or from such states; `roll` runs them on
from real frames with the true controllers.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from wmq.game.schema import Schema
from wmq.game.targets import Heads
from wmq.inference.draws import DrawSource, Sampling
from wmq.inference.scheduling import in_threads
from wmq.replays.slippi import Game

CHUNK = 256  # frames that `walk` hands out at a time
BLOCK = 20  # frames that `roll` computes between two looks at whether it is to stop
Spreads = dict[str, np.ndarray]  # of the targets of each number head, natural units, (width,)
Take = Callable[[int, int, Heads], None]  # (number of the game, first row, heads of some rows)
Tick = Callable[[int], None]  # frames done since the last call


@dataclass(frozen=True)
class StartRow:
    """The last real frame of a rollout: place of the game in a list, and row in the game."""

    game: int
    row: int


class Worlds(Protocol):
    """Games in progress, side by side.  draws: what they draw by, and how far they are."""

    draws: DrawSource

    def advance(self, given: np.ndarray, controllers: np.ndarray, frames: int) -> np.ndarray:
        """`frames` further frames of each world, (worlds, frames, frame_size) int32.

        given        (worlds, g, frame_size), 1 <= g <= frames: the present frame of the first
                     g steps
        controllers  (worlds, frames + 1, 26): of the present frame and of each next one
        """
        ...

    def states(self) -> list[Any]:
        """Return a copy of each world's state, which `Predictor.worlds` takes."""
        ...

    @property
    def saturations(self) -> list[int | None]:
        """For each world, values clamped so far inside the program; None: nothing is counted."""
        ...


class Predictor(ABC):
    """schema   fields of the frames
    spreads  those of the number heads, None for baselines
    threads  that `walk` and `roll` use
    """

    schema: Schema
    spreads: Spreads | None
    threads: int

    @abstractmethod
    def walk(self, games: Sequence[Game], starts: Sequence[StartRow], take: Take) -> list[Any]:
        """Heads of all rows but the last of each game to `take`, from any thread.

        Returns the state at each start, before its row is read.
        """

    @abstractmethod
    def worlds(self, count: int, threads: int = 1, states: Sequence[Any] | None = None,
               sampling: Sampling | None = None) -> Worlds:  # fmt: skip
        """Worlds before their first frame, or in `count` states of `walk`.

        threads   that may share each frame
        sampling  of a model that draws; None: always the likeliest class
        """

    @abstractmethod
    def groups(self, count: int) -> list[list[int]]:
        """Which of `count` worlds `roll` computes side by side."""

    def roll(
        self, games: Sequence[Game], starts: Sequence[StartRow], states: Sequence[Any],
        count: int, tick: Tick,
    ) -> np.ndarray:  # fmt: skip
        """Return the `count` frames after each start, (starts, count, frame_size) int32."""
        rolled = np.empty((len(starts), count, self.schema.frame_size), np.int32)
        stop = threading.Event()

        def together(places: list[int]) -> None:
            at = [(games[starts[place].game], starts[place].row) for place in places]
            now = np.stack([game.frames[row : row + 1] for game, row in at])
            pads = np.stack([game.controllers[row : row + count + 1] for game, row in at])
            worlds = self.worlds(len(places), states=[states[place] for place in places])
            for first in range(0, count, BLOCK):
                if stop.is_set():
                    return
                last = min(first + BLOCK, count)
                made = worlds.advance(now, pads[:, first : last + 1], last - first)
                rolled[places, first:last], now = made, made[:, -1:]
                tick(len(places) * (last - first))

        in_threads(together, self.groups(len(starts)), self.threads, stop)
        return rolled

    def compile(self) -> None:
        """Compute one frame, so that what is compiled once is."""
        frame = np.zeros((1, 1, self.schema.frame_size), np.int32)
        self.worlds(1).advance(frame, np.zeros((1, 2, self.schema.controllers_size), np.int32), 1)


def cuts(game: Game, extra: Sequence[int] = ()) -> list[int]:
    """Borders of the pieces in which a game is handed out."""
    last = len(game.frames) - 1
    return sorted({*range(0, last, CHUNK), *extra, last})
