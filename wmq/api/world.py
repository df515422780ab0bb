"""Step one world a frame at a time: controllers in, the frame that follows out.

The frames are those of a rollout from the same start with the same controllers, bit for bit,
and so is their hash.
"""

from __future__ import annotations

from typing import NoReturn, cast

import numpy as np

from wmq.api.controllers import Controllers, controller_row
from wmq.errors import WmqError
from wmq.game.natural import natural_frames
from wmq.inference.draws import Decode, Sampling
from wmq.inference.predictor import Worlds
from wmq.rollout import hash_chain
from wmq.rollout.rollout import RolloutModel, match_of
from wmq.rollout.starts import Start


class World:
    """A game in progress, made by `Model.start` or `Model.start_at`."""

    _worlds: Worlds | None  # None while a step is being made, and if one was interrupted

    def __init__(self, predictor: RolloutModel, start: Start, threads: int, seed: int,
                 decode: Decode):  # fmt: skip
        """Begin at the last of the start's given frames; those before it warm the state up."""
        self._predictor, self._start, self._threads = predictor, start, threads
        self._sampling = Sampling.of_worlds([seed], decode)
        self._worlds = worlds = predictor.worlds(1, threads, sampling=self._sampling)
        match = match_of(predictor.schema, seed, ("", ""), decode)
        self._integers, self._controllers = start.given[-1], start.controllers[-1]
        self._link = hash_chain.start_link(predictor.sha256, start.given, start.controllers, match)
        self._id = start.first - 1
        warmed = len(start.given) - 1
        if warmed:
            worlds.advance(start.given[None, :-1], start.controllers[None], warmed)

    def step(self, controllers: Controllers) -> np.void:
        """Make the next frame, with the controllers that lead to it, and return it.

        controllers  an integer array (26,) or (2, 13), 0..65536, buttons 0 or 65536; or what
                     each player holds by name, as {"p1": {"main": (1, 0), "A": 1}}
        Raises WmqError, which names the control and its range; the world is then as it was.
        A world whose step was interrupted, as by Ctrl-C, cannot go on.
        """
        row = controller_row(controllers)
        both = np.stack([self._controllers, row])[None]
        worlds, self._worlds = self._present(), None
        made = worlds.advance(self._integers[None, None], both, 1)[0]
        self._link = hash_chain.next_links(self._link, row[None], made)[0]
        self._integers, self._controllers, self._id = made[0], row, self._id + 1
        self._worlds = worlds
        return self.frame

    @property
    def frame(self) -> np.void:
        """The present frame: a record of `frame_dtype`, as frame["p1"]["percent"]."""
        return cast(np.void, natural_frames(self._predictor.schema, self._integers)[()])

    @property
    def frame_id(self) -> int:
        """The number of the present frame; a match begins at -123, and 60 make a second."""
        return self._id

    @property
    def saturations(self) -> int | None:
        """Values clamped inside the program so far; None for a float model."""
        return self._present().saturations[0]

    @property
    def sha256(self) -> str:
        """The `rollout_sha256` of all frames so far, hex; before the first step, of the start."""
        return self._link.hex()

    def copy(self) -> World:
        """Make a world of its own in the same state, from which to step another future."""
        states = self._present().states()
        twin = World.__new__(World)
        vars(twin).update(vars(self))
        twin._worlds = self._predictor.worlds(1, self._threads, states, self._sampling)
        twin._worlds.draws.go_to(self._present().draws.steps)
        return twin

    def __copy__(self) -> World:
        return self.copy()

    def __deepcopy__(self, memo: object) -> World:
        return self.copy()

    def __reduce__(self) -> NoReturn:
        raise WmqError("a World cannot be pickled: keep its controllers, and step them again")

    def _present(self) -> Worlds:
        """Return the worlds of the model between two steps.  Raises WmqError if there are none."""
        if self._worlds is None:
            raise WmqError(
                "this world is inside a step, which another thread makes or which was "
                "interrupted; start a world again, and copy() one for each thread"
            )
        return self._worlds

    def __repr__(self) -> str:
        return f"<World at frame {self.frame_id}: {self._start.label}>"
