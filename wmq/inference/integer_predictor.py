"""Integer programs in the compiled engine, some games or worlds side by side in each thread."""

from __future__ import annotations

import logging
import math
import os
import threading
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from wmq.game.targets import NUMBER_HEADS, true_draws
from wmq.inference.draws import Decoding, DrawSource, Sampling, forced_draws
from wmq.inference.model_files import IntegerModel, ModelError, open_program
from wmq.inference.predictor import Predictor, Spreads, StartRow, Take, cuts
from wmq.inference.scheduling import SIDE_BY_SIDE, Team, in_threads, shares
from wmq.progress import Progress
from wmq.replays.slippi import Game
from wmq_kernels.tables import DISTANCE_BITS, WEIGHT_STEP_BITS

if TYPE_CHECKING:
    from wmq_kernels.engine import Engine, Group
    from wmq_kernels.engine import State as EngineState

LOG = logging.getLogger(__name__)


class IntegerPredictor(Predictor):
    """An integer program.  `kernels` is "vnni" or "portable"."""

    arithmetic = "int8"
    side_by_side = SIDE_BY_SIDE  # worlds that one thread had best compute together

    def __init__(
        self, model: IntegerModel | str | os.PathLike[str] | None = None, threads: int = 1,
        kernels: str = "auto",
    ):  # fmt: skip
        """The embedded program for None.

        Raises ModelError, or ProgramError if this machine has not the kernels asked for.
        """
        from wmq_kernels.engine import Engine

        opened = model if isinstance(model, IntegerModel) else open_program(model)
        self.path, self.sha256, self.schema = opened.path, opened.sha256, opened.schema
        self.program, self.threads = opened.program, threads
        self.engine = Engine(opened.program, kernels)
        self.kernels: str | None = self.engine.kernels
        LOG.info("%s: sha256 %s, kernels %s", self.path, self.sha256, self.kernels)

    @cached_property
    def spreads(self) -> Spreads:  # type: ignore[override]
        """The spreads of the number heads in the program's meta.  Raises ModelError."""
        meta: Any = self.program.meta
        try:
            return {head: np.array(meta["spreads"][head], np.float32)
                    for head in NUMBER_HEADS if head in self.schema.heads}  # fmt: skip
        except (KeyError, TypeError, ValueError):
            raise ModelError(f"{self.path}: names no spreads of its heads; make the model again "
                             "with `wmq calibrate`") from None  # fmt: skip

    @property
    def decoding(self) -> Decoding | None:
        """Temperature and min-p of the draws, as near as the program has them; None without."""
        step = next((step for step in self.program.steps if step.op == "sample"), None)
        if step is None:
            return None
        nats = step.parameters["multiplier"] / 2 ** (step.parameters["shift"] + DISTANCE_BITS)
        place = step.operands["x"].start
        unit = next(unit for _, at, unit in self.head_columns() if at.start == place)
        reach = (step.operands["table"].count - 1) / 2**WEIGHT_STEP_BITS
        return unit / nats, math.exp(-reach)

    def head_columns(self) -> list[tuple[str, slice, float]]:
        """Name, place in the row of heads, natural units in one unit.  Raises ModelError."""
        scales = self.program.meta.get("head_scales")
        scales = scales if isinstance(scales, dict) else {}
        found = []
        for name, width in self.schema.heads.items():
            start, size = self.program.heads.get(name, (0, 0))
            if size != width or not isinstance(scales.get(name), float | int):
                raise ModelError(f"{self.path}: head {name} is not there, or has no scale; "
                                 "make the model again with `wmq calibrate`")  # fmt: skip
            found.append((name, slice(start, start + width), float(scales[name])))
        return found

    def walk(self, games: Sequence[Game], starts: Sequence[StartRow], take: Take) -> list[Any]:
        named = self.head_columns()
        found: dict[StartRow, Any] = dict.fromkeys(starts)
        borders = [cuts(game, [s.row for s in starts if s.game == number])
                   for number, game in enumerate(games)]  # fmt: skip

        def together(numbers: list[int]) -> None:
            """One lane a game, the longest first; a lane closes when its game ends."""
            group = self.engine.zero_group(len(numbers))
            drawn = {n: true_draws(self.schema, games[n].frames, games[n].controllers)
                     for n in numbers}  # fmt: skip
            kept: dict[int, list[np.ndarray]] = {n: [] for n in numbers}  # since the last border
            for first, last in pairwise(sorted({at for n in numbers for at in borders[n]})):
                if stop.is_set():
                    return
                lanes = [n for n in numbers if borders[n][-1] > first]
                if len(lanes) < len(group):
                    group = self._group([group.copy(lane) for lane in range(len(lanes))])
                for lane, number in enumerate(lanes):
                    if (start := StartRow(number, first)) in found:
                        found[start] = group.copy(lane)
                draws = None
                if self.schema.draws:
                    draws = forced_draws(np.stack([drawn[n][first:last] for n in lanes]))
                frames = np.stack([games[n].frames[first:last] for n in lanes])
                pads = np.stack([games[n].controllers[first : last + 1] for n in lanes])
                run = self.engine.run_group(group, *self._ports(frames, pads), last - first, True,
                                            draws=draws)  # fmt: skip
                assert run.heads is not None  # asked for
                for number, rows in zip(lanes, run.heads, strict=True):
                    kept[number].append(rows)
                    if last in borders[number]:
                        whole = np.concatenate(kept[number])
                        heads = {name: (whole[:, at] * scale).astype(np.float32)
                                 for name, at, scale in named}  # fmt: skip
                        take(number, last - len(whole), heads)
                        kept[number].clear()

        stop = threading.Event()
        by_length = sorted(range(len(games)), key=lambda n: -len(games[n].frames))
        groups = [[by_length[k] for k in dealt] for dealt in shares(len(games), self.threads)]
        in_threads(together, groups, self.threads, stop)
        return [found[start] for start in starts]

    def worlds(
        self, count: int, threads: int = 1, states: Sequence[EngineState] | None = None,
        sampling: Sampling | None = None,
    ) -> IntegerWorlds:  # fmt: skip
        group = self.engine.zero_group(count) if states is None else self._group(states)
        draws = DrawSource(self.schema, count, sampling)
        return IntegerWorlds(self.engine, group, Team(threads), draws)

    def groups(self, count: int) -> list[list[int]]:
        return shares(count, self.threads)

    def compile(self) -> None:
        frames = np.zeros((1, 1, self.schema.frame_size), np.int32)
        pads = np.zeros((1, 2, self.schema.controllers_size), np.int32)
        draws = DrawSource(self.schema, 1, None).next(1)
        self.engine.run_group(self.engine.zero_group(1), *self._ports(frames, pads), 1, draws=draws)

    def _ports(self, frames: np.ndarray, pads: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What is fed back and what is given; frames (worlds, T, n), pads (worlds, T + 1, n)."""
        return (pads[:, :-1], frames) if self.schema.agent else (frames, pads)

    def _group(self, states: Sequence[EngineState]) -> Group:
        """Return a group of worlds with the content of these states."""
        group = self.engine.zero_group(len(states))
        for lane, state in enumerate(states):
            group.put(lane, state)
        return group


def check_and_compile(predictors: Iterable[Predictor], progress: Progress) -> None:
    """Check that `walk` can read the heads of all integer programs, then compile their engines.

    So that a program in which they are missing costs no hour of other models' work.
    Raises ModelError.
    """
    integer = [predictor for predictor in predictors if isinstance(predictor, IntegerPredictor)]
    for predictor in integer:
        predictor.head_columns()
    for done, predictor in enumerate(integer):
        progress("compiling the engine", done, len(integer))
        predictor.compile()
        progress("compiling the engine", done + 1, len(integer))


class IntegerWorlds:
    """Worlds of an integer program."""

    def __init__(self, engine: Engine, group: Group, team: Team, draws: DrawSource):
        self.engine, self.group, self.team, self.draws = engine, group, team, draws

    def advance(self, given: np.ndarray, controllers: np.ndarray, frames: int) -> np.ndarray:
        made = np.empty((len(given), frames, given.shape[2]), dtype=np.int32)
        for first, last, threads in self.team.parts(frames):
            now = given[:, first:last] if first < given.shape[1] else made[:, first - 1 : first]
            pads = controllers[:, first : last + 1]
            draws = self.draws.next(last - first)
            run = self.engine.run_group(self.group, now, pads, last - first, threads=threads,
                                        draws=draws)  # fmt: skip
            made[:, first:last] = run.frames
        return made

    def states(self) -> list[EngineState]:
        return [self.group.copy(number) for number in range(len(self.group))]

    def begin(self, world: int, seed: int) -> None:
        """Put one world before its first frame again; what it draws goes by the seed."""
        self.group.put(world, self._fresh)
        self.draws.begin(world, seed)

    @cached_property
    def _fresh(self) -> EngineState:
        return self.engine.zero_state()

    @property
    def saturations(self) -> list[int | None]:
        return [int(counts.sum()) for counts in self.group.saturations]
