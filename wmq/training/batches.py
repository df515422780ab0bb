"""Cut games into batches of consecutive chunks, so that the recurrent state can be carried.

A batch is `streams` rows.  Each row plays one game after the other, `chunk` frames a
step; where a game ends the row's rest is masked and its state is reset for the next
game.  Which game comes when, and whether its players are exchanged, follows from the
seed and the place in the order alone, so a stream is resumed from a few numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from wmq.dataset.select import exchange_players, usable
from wmq.dataset.store import Dataset, Game, GameInfo
from wmq.errors import WmqError
from wmq.game.controls import control_classes
from wmq.game.encoding import float_inputs
from wmq.game.schema import Q16, Schema
from wmq.game.targets import drawn_classes

# Least and greatest size of what a chunk's numbers are put off by, natural units.  Places little:
# whether a player stands must go on to depend on where the ground ends.
JITTER = {"x": (0.02, 0.3), "y": (0.02, 1.0), "speed_air_x": (0.01, 1.0), "speed_y": (0.01, 1.0),
          "speed_ground_x": (0.01, 1.0), "speed_attack_x": (0.01, 0.5),
          "speed_attack_y": (0.01, 0.5)}  # fmt: skip

__all__ = ["Batch", "Streams", "exchange_players", "model_inputs", "usable"]


@dataclass(frozen=True)
class Batch:
    """One step of all streams: t = chunk frames, each with the frame after it.

    numbers, classes, controllers, next_controllers  model inputs, (streams, t, ..)
    now, after  integer frames (streams, t, frame_size) int32
    mask        (streams, t) float32, 0 where a game has ended
    present     (streams, frame_size) float32, 0 for fields that the replay lacks
    fresh       rows that begin a game: reset their state before this batch
    drawn       (streams, t, draws) int64, the class of each draw; no draws in version 1
    counted     (streams, t, draws) float32, 0 where a rule decided
    alive       (streams, t, 2) float32, 0 where a player dies
    """

    numbers: Tensor
    classes: Tensor
    controllers: Tensor
    next_controllers: Tensor
    now: np.ndarray
    after: np.ndarray
    mask: Tensor
    present: Tensor
    fresh: list[int]
    drawn: Tensor
    counted: Tensor
    alive: Tensor


def model_inputs(
    schema: Schema, frames: np.ndarray, pads: np.ndarray
) -> tuple[Tensor, Tensor, Tensor]:
    """Encode integer frames (.., frame_size) and pads (.., 26): numbers, classes, controllers."""
    numbers, classes, controllers = float_inputs(schema, frames, pads)
    return torch.from_numpy(numbers), torch.from_numpy(classes), torch.from_numpy(controllers)


class Streams:
    """The rows of the batches.  `position` is all that a checkpoint must hold."""

    def __init__(self, dataset: Dataset, games: Sequence[GameInfo], schema: Schema,
                 streams: int, chunk: int, seed: int, jitter: float = 0.0):  # fmt: skip
        """jitter: share of the chunks whose inputs are put off the truth (`_jitter`)."""
        self.dataset, self.games, self.schema = dataset, list(games), schema
        self.streams, self.chunk, self.seed, self.jitter = streams, chunk, seed, jitter
        # per row: number of the game in the endless order, and frame in it
        self.position = [[row, 0] for row in range(streams)]
        self.next_game = streams
        self.loaded: dict[int, Game] = {}

    def state(self) -> dict:
        return {"position": [list(p) for p in self.position], "next_game": self.next_game}

    def restore(self, state: dict) -> None:
        """Continue from `state()`.  Raises WmqError if it had another number of rows."""
        if len(state["position"]) != self.streams:
            raise WmqError(f"the checkpoint has {len(state['position'])} streams, the run "
                           f"{self.streams}: start a new run with -o")  # fmt: skip
        self.position = [list(map(int, p)) for p in state["position"]]
        self.next_game = int(state["next_game"])

    def next(self) -> Batch:
        size, pads = self.schema.frame_size, self.schema.controllers_size
        shape = (self.streams, self.chunk + 1)
        frames = np.zeros((*shape, size), dtype=np.int32)
        controllers = np.zeros((*shape, pads), dtype=np.int32)
        mask = np.zeros((self.streams, self.chunk), dtype=np.float32)
        present = np.ones((self.streams, size), dtype=np.float32)
        fresh = []
        for row in range(self.streams):
            if self._game(row).info.frames - 1 <= self.position[row][1]:
                self.loaded.pop(self.position[row][0])
                self.position[row] = [self.next_game, 0]
                self.next_game += 1
            number, first = self.position[row]
            game = self._game(row)
            if first == 0:
                fresh.append(row)
            count = min(self.chunk, game.info.frames - 1 - first)
            frames[row, : count + 1] = game.frames[first : first + count + 1]
            controllers[row, : count + 1] = game.controllers[first : first + count + 1, :pads]
            mask[row, :count] = 1
            for name in game.info.missing:
                if name in {f.name for f in self.schema.fields}:
                    present[row, [self.schema.index(name, p) for p in (0, 1)]] = 0
            self.position[row][1] += count
        now, after = frames[:, :-1], frames[:, 1:]
        draws = self._draws(now, after, controllers[:, 1:])
        if self.jitter:
            now = self._jittered(now)
        inputs = model_inputs(self.schema, now, controllers[:, :-1])
        following = torch.from_numpy(controllers[:, 1:].astype(np.float32) / Q16)
        return Batch(*inputs, following, now, after, torch.from_numpy(mask),
                     torch.from_numpy(present), fresh, *draws)  # fmt: skip

    def _draws(self, now: np.ndarray, after: np.ndarray,
               pads: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        shape = now.shape[:2]
        if self.schema.agent:
            classes = torch.from_numpy(control_classes(pads))
            return classes, torch.ones(classes.shape), torch.ones(*shape, 2)
        if self.schema.rules is None:
            return (
                torch.zeros(*shape, 0, dtype=torch.int64),
                torch.zeros(*shape, 0),
                torch.ones(*shape, 2),
            )
        found = drawn_classes(self.schema, *(x.reshape(-1, x.shape[-1]) for x in (now, after)))
        classes, counted, died = (torch.from_numpy(x.reshape(*shape, -1)) for x in
                                  (found.classes, found.counted, found.extrapolated))  # fmt: skip
        return classes, counted.float(), 1 - died.float()

    def _jittered(self, now: np.ndarray) -> np.ndarray:
        """Put the speeds and places of some chunks off the truth, as a rollout's errors do.

        The targets stay the true frames, so that a model learns to come back to them where the
        game shows the way: he who stands has no speed, and the ground has a height.  Where it
        does not, in the air, the median of the targets is to go on.  Each player's number is put
        off by a constant, the size of which is log-uniform.
        """
        now = now.copy()
        for row, (number, first) in enumerate(self.position):
            rng = np.random.default_rng([self.seed, 1, number, first])
            if rng.random() >= self.jitter:
                continue
            for name, (least, most) in JITTER.items():
                for player in (0, 1):
                    size = np.exp(rng.uniform(np.log(least), np.log(most)))
                    off = int(rng.choice([-1, 0, 1]) * size * Q16)
                    at = self.schema.index(name, player)
                    now[row, :, at] = np.clip(now[row, :, at] + off, self.schema.lo[at],
                                              self.schema.hi[at])  # fmt: skip
        return now

    def _game(self, row: int) -> Game:
        number = self.position[row][0]
        if number not in self.loaded:
            epoch, place = divmod(number, len(self.games))
            rng = np.random.default_rng([self.seed, epoch])
            order, exchanged = rng.permutation(len(self.games)), rng.random(len(self.games)) < 0.5
            game = self.dataset.load(self.games[order[place]], self.schema)
            frames, pads = game.frames, game.controllers
            if exchanged[place]:
                frames, pads = exchange_players(self.schema, frames, pads)
            self.loaded[number] = Game(game.info, frames, pads)
        return self.loaded[number]
