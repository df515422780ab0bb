"""The training loop: streams of games in, a run folder out.

Truncated back-propagation through time: each step is one chunk of every stream, with the
recurrent state carried, but not differentiated, across chunks.  AdamW with warm-up and a
cosine to a hundredth.  The same seed, data and threads give the same losses, killed or not.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import torch
from torch import Tensor

from wmq.dataset import Dataset, write_atomically
from wmq.errors import WmqError
from wmq.metrics import Tally
from wmq.models.presets import PRESETS, ModelConfig
from wmq.models.world import WorldModel
from wmq.targets import NUMBER_HEADS, spreads
from wmq.train import checkpoint
from wmq.train.batches import Streams, model_inputs, usable
from wmq.train.config import RunConfig
from wmq.train.loss import loss_terms, total_loss

SPREAD_GAMES = 40  # games that the targets' spreads are measured on
VAL_GAMES, VAL_FRAMES = 8, 1500  # of each check while training; `wmq evaluate` takes all
Progress = Callable[[int, int, dict], None]  # (step, steps, figures)


def train(dataset: Dataset, run: Path, config: RunConfig, save_every: int = 250,
          progress: Progress = lambda step, steps, figures: None,
          base: WorldModel | None = None) -> dict:  # fmt: skip
    """Train, or go on where the run folder stopped.  Returns the last validation figures.

    base  a model whose weights and spreads a new run begins with; its size must be the preset's
    """
    games = usable(dataset.select("train"))
    if not games:
        raise WmqError(f"{dataset.path}: no training game with velocities and two active players")
    _claim(run, config)
    torch.manual_seed(config.seed)
    model = WorldModel(PRESETS[config.preset])
    optimizer = make_optimizer(model, config)
    streams = Streams(dataset, games, model.schema, config.streams, config.chunk, config.seed)
    state = model.zero_state(config.streams)
    steps = max(1, round(config.epochs * sum(g.frames for g in games)
                         / (config.streams * config.chunk)))  # fmt: skip
    first = 0
    found = checkpoint.latest(run)
    if found:
        tensors = checkpoint.load_tensors(run, found["step"])
        checkpoint.restore_model(model, tensors, run)
        checkpoint.restore_optimizer(optimizer, tensors, run)
        state = checkpoint.restore_recurrent(tensors, state, run)
        streams.restore(found["place"])
        first = found["step"]
        _drop_later_lines(run / "metrics.jsonl", first)
    elif base is not None:
        if base.config != model.config:
            raise WmqError(f"the base model is not a {config.preset}; give --preset as it was")
        model.load_state_dict(base.state_dict())
    else:
        _measure_spreads(model, dataset, games, config.seed)
    figures: dict = {}
    started = time.monotonic()
    for step in range(first, steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps, config)
        terms, state = train_step(model, optimizer, streams, state, config)
        row = {"step": step + 1, "loss": sum_of(terms)} | terms
        if (step + 1) % 10 == 0:
            seconds = time.monotonic() - started
            row["frames_per_second"] = (step + 1 - first) * config.streams * config.chunk / seconds
            _log(run, row)
        if (step + 1) % save_every == 0 or step + 1 == steps:
            figures = validate(model, dataset)
            _log(run, {"step": step + 1, "val": figures})
            checkpoint.save(run, step + 1, model, optimizer, state, streams.state())
        progress(step + 1, steps, row)
    return figures or validate(model, dataset)


def use_threads(count: int) -> None:
    """Threads of torch in this process; other numbers round differently."""
    torch.set_num_threads(count)


def train_step(model: WorldModel, optimizer: torch.optim.Optimizer, streams: Streams,
               state: list[tuple[Tensor, Tensor]], config: RunConfig) -> tuple:  # fmt: skip
    """One chunk of every stream; returns the loss terms as floats and the state after it."""
    batch = streams.next()
    if batch.fresh:
        keep = torch.ones(config.streams)
        keep[batch.fresh] = 0
        state = [(c * keep[:, None, None], s * keep[:, None, None, None]) for c, s in state]
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=config.bf16):
        heads, after = model(batch.numbers, batch.controllers, batch.classes,
                             batch.next_controllers, state)  # fmt: skip
    terms = loss_terms(model, heads, batch)
    loss = total_loss(terms)
    if not torch.isfinite(loss):
        raise WmqError("the loss is not finite; start again with a lower --lr")
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip)
    optimizer.step()
    optimizer.zero_grad()
    return ({name: float(value.detach()) for name, value in terms.items()},
            [(c.detach().float(), s.detach()) for c, s in after])  # fmt: skip


def sum_of(terms: dict[str, float]) -> float:
    return float(total_loss({name: torch.tensor(value) for name, value in terms.items()}))


def make_optimizer(model: WorldModel, config: RunConfig) -> torch.optim.AdamW:
    """Weight decay on matrices only; A_log, D, biases, norms and embeddings go without."""
    decayed: list[Tensor] = []
    plain: list[Tensor] = []
    for name, parameter in model.named_parameters():
        matrix = parameter.ndim == 2 and "embeddings" not in name
        (decayed if matrix else plain).append(parameter)
    groups = [{"params": decayed, "weight_decay": config.weight_decay},
              {"params": plain, "weight_decay": 0.0}]  # fmt: skip
    return torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, 0.95), fused=True)


def learning_rate(step: int, steps: int, config: RunConfig) -> float:
    """Linear warm-up, then half a cosine down to a hundredth of the peak."""
    if step < config.warmup:
        return config.lr * (step + 1) / config.warmup
    share = (step - config.warmup) / max(1, steps - config.warmup)
    return config.lr * (0.01 + 0.99 * (1 + math.cos(math.pi * share)) / 2)


@torch.no_grad()
def validate(model: WorldModel, dataset: Dataset) -> dict[str, float]:
    """Metrics on the beginnings of a few validation games, state carried."""
    schema = model.schema
    scales = {h: getattr(model, f"{h}_scale").numpy() for h in NUMBER_HEADS}
    tally = Tally(schema, scales)
    for info in dataset.select("val")[:VAL_GAMES]:
        game = dataset.load(info, schema)
        frames, pads = game.frames[: VAL_FRAMES + 1], game.controllers[: VAL_FRAMES + 1]
        inputs = [x.unsqueeze(0) for x in model_inputs(schema, frames, pads)]
        numbers, classes, controllers = inputs
        heads, _ = model(numbers[:, :-1], controllers[:, :-1], classes[:, :-1],
                         controllers[:, 1:], model.zero_state(1))  # fmt: skip
        values = {name: value[0].numpy() for name, value in heads.items()}
        tally.add(frames[:-1], frames[1:], values, info.missing)
    return tally.result() if tally.sums else {}


def _measure_spreads(model: WorldModel, dataset: Dataset, games: list, seed: int) -> None:
    rng = np.random.default_rng([seed, 1 << 20])
    chosen = rng.permutation(len(games))[:SPREAD_GAMES]
    loaded = (dataset.load(games[i], model.schema).frames for i in chosen)
    found = spreads(model.schema, [(frames[:-1], frames[1:]) for frames in loaded])
    for head, (offset, scale) in found.items():
        getattr(model, f"{head}_offset").copy_(torch.from_numpy(offset))
        getattr(model, f"{head}_scale").copy_(torch.from_numpy(scale))


def _claim(run: Path, config: RunConfig) -> None:
    """Make the run folder, or see that it belongs to the same configuration."""
    text = msgspec.json.format(msgspec.json.encode(config)) + b"\n"
    path = run / "run.json"
    try:
        run.mkdir(parents=True, exist_ok=True)
        before = path.read_bytes() if path.exists() else None
    except OSError as error:
        raise WmqError(f"{run}: {error.strerror}; choose another folder with -o") from None
    if before is None:
        write_atomically(path, text)
    elif before != text:
        raise WmqError(f"{path}: a run with other settings; give the same ones or another -o")


def load_model(run: Path) -> tuple[WorldModel, RunConfig, int]:
    """The newest checkpoint of a run.  Raises WmqError."""
    try:
        config = msgspec.json.decode((run / "run.json").read_bytes(), type=RunConfig)
        size: ModelConfig = PRESETS[config.preset]
    except (OSError, msgspec.MsgspecError, KeyError) as error:
        raise WmqError(f"{run}: not a training run ({error}); make one with `wmq train`") from None
    model = WorldModel(size)
    step, tensors = _newest(run)
    checkpoint.restore_model(model, tensors, run)
    return model.eval(), config, step


def _newest(run: Path) -> tuple[int, dict[str, Tensor]]:
    """Step and tensors of the newest checkpoint, while a training may replace it."""
    while True:
        found = checkpoint.latest(run)
        if found is None:
            raise WmqError(f"{run}: no checkpoint yet; let `wmq train` run on")
        try:
            return found["step"], checkpoint.load_tensors(run, found["step"])
        except WmqError:
            if checkpoint.latest(run) == found:
                raise


def _log(run: Path, row: dict) -> None:
    with open(run / "metrics.jsonl", "a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def _drop_later_lines(path: Path, step: int) -> None:
    """A killed run may have logged steps that its checkpoint does not hold."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text("utf-8", errors="replace").splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line)
        except (ValueError, TypeError, KeyError):
            pass  # the kill came in the middle of this line
    write_atomically(path, "".join(line + "\n" for line in kept).encode())
