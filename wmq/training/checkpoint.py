"""Write and read checkpoints: weights, optimizer and place of a training run.

Neither a kill nor a power failure loses more than the steps since the last one.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import msgspec
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from wmq.errors import WmqError
from wmq.files.atomic import write_atomically

Count = Annotated[int, msgspec.Meta(ge=0)]


class _Place(msgspec.Struct, forbid_unknown_fields=True):
    position: list[tuple[Count, Count]]
    next_game: Count


class _Latest(msgspec.Struct, forbid_unknown_fields=True):
    step: Count
    place: _Place
    games: str = ""  # unknown in runs of earlier versions


def save(run: Path, step: int, model: nn.Module, optimizer: torch.optim.Optimizer,
         recurrent: list[tuple[Tensor, Tensor]], place: dict, games: str) -> None:  # fmt: skip
    """Write step-N.safetensors, then point latest.json to it, then drop the older one.

    place  of the streams; games: identity of the games that they play
    Raises WmqError.
    """
    tensors = {f"model.{k}": v for k, v in model.state_dict().items()}
    for index, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{k}": torch.as_tensor(v) for k, v in moments.items()}
    for layer, (conv, ssm) in enumerate(recurrent):
        tensors |= {f"state.{layer}.conv": conv, f"state.{layer}.ssm": ssm}
    path = run / f"step-{step}.safetensors"
    write_atomically(path, safetensors.torch.save({k: v.contiguous() for k, v in tensors.items()}))
    place = {"step": step, "place": place, "games": games}
    write_atomically(run / "latest.json", json.dumps(place).encode())
    _flush_names(run)  # the older one goes when the newer is on the disk, not before
    for old in run.glob("step-*.safetensors"):
        if old != path:
            old.unlink(missing_ok=True)


def _flush_names(folder: Path) -> None:
    """Have the disk hold the folder's renamed files; some file systems cannot be asked."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def latest(run: Path) -> dict | None:
    """Read latest.json; None for a run without a checkpoint."""
    path = run / "latest.json"
    try:
        return msgspec.to_builtins(msgspec.json.decode(path.read_bytes(), type=_Latest))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise WmqError(f"{path}: cannot be read ({error.strerror}); try again") from None
    except (msgspec.MsgspecError, ValueError) as error:
        raise WmqError(f"{path}: damaged ({error}); train a new run") from None


def load_tensors(run: Path, step: int) -> dict[str, Tensor]:
    path = run / f"step-{step}.safetensors"
    try:
        return safetensors.torch.load(path.read_bytes())  # load_file takes UTF-8 names alone
    except (OSError, SafetensorError) as error:
        raise WmqError(f"{path}: no readable checkpoint ({error}); train a new run") from None


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def restore_model(model: nn.Module, tensors: dict[str, Tensor], run: Path) -> None:
    """Restore the weights.  Raises WmqError if they do not belong to this model."""
    try:
        model.load_state_dict(_part(tensors, "model."))
    except RuntimeError as error:
        text = " ".join(str(error).split())[:200]
        raise WmqError(f"{run}: the checkpoint is of another model ({text})") from None


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor],
                      run: Path) -> None:  # fmt: skip
    """Restore the moments.  Raises WmqError if they are not of the optimizer's parameters."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in _part(tensors, "optimizer.").items():
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = value
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    found = {i: {k: tuple(v.shape) for k, v in moments.items()} for i, moments in state.items()}
    wanted = {i: {"step": (), "exp_avg": tuple(p.shape), "exp_avg_sq": tuple(p.shape)}
              for i, p in enumerate(parameters)}  # fmt: skip
    if found != wanted:
        raise WmqError(f"{run}: the checkpoint's optimizer is of another model; choose another -o")
    optimizer.load_state_dict(optimizer.state_dict() | {"state": state})


def restore_recurrent(tensors: dict[str, Tensor], like: list[tuple[Tensor, Tensor]],
                      run: Path) -> list[tuple[Tensor, Tensor]]:  # fmt: skip
    """Restore the state carried between chunks, in the shapes of `like`.  Raises WmqError."""
    part = _part(tensors, "state.")
    names = [(f"{i}.conv", f"{i}.ssm") for i in range(len(like))]
    for pair, before in zip(names, like, strict=True):
        for name, tensor in zip(pair, before, strict=True):
            if name not in part or part[name].shape != tensor.shape:
                raise WmqError(f"{run}: the checkpoint lacks state.{name}; choose another -o")
    return [(part[conv], part[ssm]) for conv, ssm in names]
