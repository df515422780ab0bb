"""Validate on a few games while training, beside the figures of `frozen`.

`frozen` predicts that nothing changes (`wmq.inference.baselines`): a worse model has learned
nothing useful yet.  `wmq evaluate` takes all games and all frames.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from wmq.dataset.select import beginning
from wmq.dataset.store import Dataset, GameInfo
from wmq.evaluation.control_metrics import ControlTally
from wmq.evaluation.metrics import Tally
from wmq.evaluation.teacher_forced import add_rows
from wmq.game.targets import true_draws
from wmq.inference.baselines import Trivial, shares_unchanged
from wmq.models.world import WorldModel
from wmq.training.batches import model_inputs

GAMES, FRAMES = 8, 1500  # the first games, and the beginning of each
FIT_GAMES = 40  # training games that show how often a class changes
COMPARED = ("val_loss", "pos_mae")  # with frozen's; less is better


class Validation:
    """frames: in all games together; frozen: figures of that predictor on them, or {}."""

    def __init__(self, dataset: Dataset, model: WorldModel, training: Sequence[GameInfo]):
        """training: games to fit `frozen` to.  The model's scales must be final."""
        schema = model.schema
        chosen = dataset.select("val")[:GAMES]
        self.games = [beginning(dataset.load(info, schema), FRAMES) for info in chosen]
        self.frames = sum(len(game.frames) - 1 for game in self.games)
        self.frozen: dict[str, float] = {}
        if self.frames and not schema.agent:
            fitting = (dataset.load(info, schema) for info in training[:FIT_GAMES])
            frozen = Trivial(schema, shares_unchanged(schema, fitting), moving=False)
            tally = _tally(model)
            for game in self.games:
                add_rows(tally, game, 0, frozen.heads(game.frames[:-1]))
            self.frozen = tally.result()

    @torch.no_grad()
    def figures(
        self, model: WorldModel, stop: Callable[[], int] = lambda: 0
    ) -> dict[str, float] | None:
        """The metrics with the state carried, {} without games, None if stopped between them."""
        schema, own = model.schema, model.schema.controllers_size
        controls, tally = ControlTally(), _tally(model)
        for game in self.games:
            if stop():
                return None
            inputs = model_inputs(schema, game.frames, game.controllers[:, :own])
            numbers, classes, controllers = (x.unsqueeze(0) for x in inputs)
            drawn = torch.from_numpy(true_draws(schema, game.frames, game.controllers)).unsqueeze(0)
            heads, _ = model(numbers[:, :-1], controllers[:, :-1], classes[:, :-1],
                             controllers[:, 1:], model.zero_state(1),
                             lambda number, logits, drawn=drawn: drawn[..., number])  # fmt: skip
            values = {name: value[0].numpy() for name, value in heads.items()}
            if schema.agent:
                pads = game.controllers[:, :own]
                controls.add(pads[:-1], pads[1:], values)
            else:
                add_rows(tally, game, 0, values)
        if not self.frames:
            return {}
        return controls.result() if schema.agent else tally.result()


def worse(figures: dict[str, float], frozen: dict[str, float]) -> list[str]:
    """Name the figures in which a model does not beat `frozen`."""
    return [name for name in COMPARED if name in frozen and not figures[name] < frozen[name]]


def _tally(model: WorldModel) -> Tally:
    scales = {h: getattr(model, f"{h}_scale").numpy() for h in model.number_heads}
    return Tally(model.schema, scales)
