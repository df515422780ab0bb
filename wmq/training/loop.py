"""Train: streams of games in, a run folder out.

Truncated back-propagation through time: each step is one chunk of every stream, with the
recurrent state carried, but not differentiated, across chunks.  AdamW with warm-up and a
cosine to a hundredth of the peak.  The same seed, data and threads give the same losses and
weights, whether or not the run was stopped, killed and resumed, and whenever it was saved.
Raising the epochs of a run stretches the cosine: from the resumed step on, the learning rate
is that of a run which had the new length from its start, so it rises again.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from wmq.dataset.store import Dataset, GameInfo
from wmq.errors import WmqError
from wmq.game.targets import spreads
from wmq.models.base import begin_from, fits
from wmq.models.presets import PRESETS
from wmq.models.world import WorldModel
from wmq.training import checkpoint, run_folder
from wmq.training.batches import Streams, usable
from wmq.training.config import RunConfig
from wmq.training.loss import loss_terms, total_loss
from wmq.training.pace import Pace
from wmq.training.validation import Validation

SPREAD_GAMES = 40  # games that the targets' spreads are measured on
LOG_EVERY = 10  # steps
SAVE_SECONDS = VALIDATE_SECONDS = 60.0  # besides every so many steps
TRAINED_PER_VALIDATED = 3  # frames: validation takes a tenth of the time at most
Progress = Callable[[int, int, dict], None]  # (step, steps, figures)


@dataclass(frozen=True)
class Trained:
    """figures  of the last validation, {} without validation games; frozen: that predictor's"""

    steps: int
    figures: dict[str, float]
    frozen: dict[str, float]


class Stopped(Exception):
    """The run was asked to stop and saved after `step` of `steps`."""

    def __init__(self, step: int, steps: int):
        super().__init__(f"stopped at step {step} of {steps}")
        self.step, self.steps = step, steps


def train(dataset: Dataset, run: Path, config: RunConfig, save_every: int = 250,
          progress: Progress = lambda step, steps, figures: None,
          base: WorldModel | None = None, *,
          validated: Callable[[int, int, Trained], None] = lambda step, steps, found: None,
          warn: Callable[[str], None] = lambda text: None,
          stop: Callable[[], int] = lambda: 0) -> Trained:  # fmt: skip
    """Train, or resume the run in the folder.

    base       a model whose weights and spreads a new run begins with; its size must be the
               preset's
    validated  called after each validation
    warn       takes a line of text
    stop       asked after each step: whether to save and raise Stopped
    Raises WmqError.
    """
    games = _training_games(dataset)
    if base is not None and not fits(base.config, PRESETS[config.preset]):
        fitting = [f"--preset {name}" for name, size in PRESETS.items() if fits(base.config, size)]
        raise WmqError(f"--base is no {config.preset}; give {' or '.join(fitting) or '--preset'}")
    if not dataset.select("val"):
        warn(f"{dataset.path}: no game in val, so no figures of validation; "
             "`wmq dataset split` makes some")  # fmt: skip
    with run_folder.opened(run, warn):
        return _train(dataset, games, run, run_folder.settled(run, config), save_every, progress,
                      base, validated, warn, stop)  # fmt: skip


def _train(dataset: Dataset, games: list[GameInfo], run: Path, config: RunConfig, save_every: int,
           progress: Progress, base: WorldModel | None,
           validated: Callable[[int, int, Trained], None], warn: Callable[[str], None],
           stop: Callable[[], int]) -> Trained:  # fmt: skip
    """`train` in a folder that is this process's alone."""
    torch.manual_seed(config.seed)
    model = WorldModel(PRESETS[config.preset])
    optimizer = make_optimizer(model, config)
    streams = Streams(dataset, games, model.schema, config.streams, config.chunk, config.seed,
                      config.jitter)  # fmt: skip
    state = model.zero_state(config.streams)
    steps = step_count(games, config)
    identity = hashlib.sha256("".join(g.sha256 for g in games).encode()).hexdigest()
    first = 0
    found = checkpoint.latest(run)
    if found:
        first = found["step"]
        tensors = checkpoint.load_tensors(run, first)
        checkpoint.restore_model(model, tensors, run)
        checkpoint.restore_optimizer(optimizer, tensors, run)
        state = checkpoint.restore_recurrent(tensors, state, run)
        streams.restore(found["place"])
        if found["games"] not in ("", identity):
            warn(f"{run}: the training games are others than before; the run goes on with these")
    else:
        if model.number_heads and (base is None or base.config != model.config):
            _measure_spreads(model, dataset, games, config.seed)
        if base is not None:
            begin_from(model, base)
    validation = Validation(dataset, model, games)
    is_validated = run_folder.drop_later_lines(run, first)
    if run_folder.write_settings(run, config) and found:
        run_folder.log(run, {"step": first, "epochs": config.epochs})
    most_often = math.ceil(TRAINED_PER_VALIDATED * validation.frames
                           / (config.streams * config.chunk * save_every))  # fmt: skip
    validate_every = save_every * max(1, most_often)
    saving, validating = Pace(SAVE_SECONDS), Pace(VALIDATE_SECONDS)
    started = time.monotonic()
    saved = first

    def save(step: int) -> None:
        nonlocal saved
        if saved != step:
            with saving.timed():
                checkpoint.save(run, step, model, optimizer, state, streams.state(), identity)
            saved = step

    def validate(step: int, log: bool = True) -> Trained:
        with validating.timed():
            figures = validation.figures(model, stop)
        if figures is None:
            save(step)
            raise Stopped(step, steps)
        found = Trained(step, figures, validation.frozen)
        if figures and log:
            run_folder.log(run, {"step": step, "val": figures})
            validated(step, steps, found)
        return found

    if first >= steps:
        return validate(first, log=not is_validated)
    if first and first % validate_every == 0 and not is_validated:
        validate(first)
    for step in range(first + 1, steps + 1):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step - 1, steps, config)
        terms, state = train_step(model, optimizer, streams, state, config)
        row = {"step": step, "loss": sum_of(terms)} | terms
        frames = (step - first) * config.streams * config.chunk
        row["frames_per_second"] = frames / (time.monotonic() - started)
        if step % LOG_EVERY == 0:
            run_folder.log(run, row)
        stopping = bool(stop())
        if stopping or step == steps or step % save_every == 0 or saving.due():
            save(step)
        progress(step, steps, row)
        if stopping:
            raise Stopped(step, steps)
        if step < steps and (step % validate_every == 0 or validating.due()):
            validate(step)
    return validate(steps)


def _training_games(dataset: Dataset) -> list[GameInfo]:
    """Raises WmqError, with the way out, if there are none."""
    chosen = dataset.select("train")
    games = usable(chosen)
    if games:
        return games
    if chosen:
        raise WmqError(
            f"{dataset.path}: none of its {len(chosen)} training games has velocities and two "
            "active players; prepare more replays, of version 3.5 or later"
        )
    raise WmqError(
        f"{dataset.path}: no training game, all {len(dataset.games)} are in val; prepare more "
        "replays, or move games with `wmq dataset split`"
    )


def step_count(games: Sequence[GameInfo], config: RunConfig) -> int:
    frames = config.epochs * sum(game.frames for game in games)
    return max(1, round(frames / (config.streams * config.chunk)))


def use_threads(count: int) -> None:
    """Set the threads of torch in this process; other numbers round differently."""
    torch.set_num_threads(count)


def train_step(model: WorldModel, optimizer: torch.optim.Optimizer, streams: Streams,
               state: list[tuple[Tensor, Tensor]], config: RunConfig) -> tuple:  # fmt: skip
    """Train on one chunk of every stream; returns the loss terms and the state after it."""
    batch = streams.next()
    if batch.fresh:
        keep = torch.ones(config.streams)
        keep[batch.fresh] = 0
        state = [(c * keep[:, None, None], s * keep[:, None, None, None]) for c, s in state]
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=config.bf16):
        heads, after = model(batch.numbers, batch.controllers, batch.classes,
                             batch.next_controllers, state,
                             lambda number, logits: batch.drawn[..., number])  # fmt: skip
    terms = loss_terms(model, heads, batch)
    loss = total_loss(terms)
    if not torch.isfinite(loss):
        raise WmqError("the loss is not finite; start again with a lower --lr and another -o")
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip)
    optimizer.step()
    optimizer.zero_grad()
    return ({name: float(value.detach()) for name, value in terms.items()},
            [(c.detach().float(), s.detach()) for c, s in after])  # fmt: skip


def sum_of(terms: dict[str, float]) -> float:
    return float(total_loss({name: torch.tensor(value) for name, value in terms.items()}))


def make_optimizer(model: WorldModel, config: RunConfig) -> torch.optim.AdamW:
    """Make the optimizer, with weight decay on matrices only, not on A_log, D or embeddings."""
    decayed: list[Tensor] = []
    plain: list[Tensor] = []
    for name, parameter in model.named_parameters():
        matrix = parameter.ndim == 2 and "embeddings" not in name
        (decayed if matrix else plain).append(parameter)
    groups = [{"params": decayed, "weight_decay": config.weight_decay},
              {"params": plain, "weight_decay": 0.0}]  # fmt: skip
    return torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, 0.95), fused=True)


def learning_rate(step: int, steps: int, config: RunConfig) -> float:
    """Compute the rate: linear warm-up, then half a cosine to a hundredth of the peak."""
    if step < config.warmup:
        return config.lr * (step + 1) / config.warmup
    share = (step - config.warmup) / max(1, steps - config.warmup)
    return config.lr * (0.01 + 0.99 * (1 + math.cos(math.pi * share)) / 2)


def _measure_spreads(model: WorldModel, dataset: Dataset, games: list, seed: int) -> None:
    rng = np.random.default_rng([seed, 1 << 20])
    chosen = rng.permutation(len(games))[:SPREAD_GAMES]
    loaded = (dataset.load(games[i], model.schema) for i in chosen)
    found = spreads(model.schema, [(game.frames, game.controllers) for game in loaded])
    for head, (offset, scale) in found.items():
        getattr(model, f"{head}_offset").copy_(torch.from_numpy(offset))
        getattr(model, f"{head}_scale").copy_(torch.from_numpy(scale))
