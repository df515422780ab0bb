"""A training run's folder: weights, optimizer and place, written so that a kill loses
nothing but the steps since.

    run.json              configuration, fixed at the start
    metrics.jsonl         one line an event
    step-N.safetensors    weights, optimizer and recurrent state after step N
    latest.json           name of the newest whole checkpoint, and the place in the data

Everything is safetensors or JSON: nothing of a run is ever unpickled.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from wmq.dataset import write_atomically
from wmq.errors import WmqError


def save(run: Path, step: int, model: nn.Module, optimizer: torch.optim.Optimizer,
         recurrent: list[tuple[Tensor, Tensor]], place: dict) -> None:  # fmt: skip
    """Write step-N.safetensors, then point latest.json to it, then drop the older one."""
    tensors = {f"model.{k}": v for k, v in model.state_dict().items()}
    for index, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{k}": torch.as_tensor(v) for k, v in moments.items()}
    for layer, (conv, ssm) in enumerate(recurrent):
        tensors |= {f"state.{layer}.conv": conv, f"state.{layer}.ssm": ssm}
    path = run / f"step-{step}.safetensors"
    beside = run / f".{path.name}.tmp"
    try:
        save_file({k: v.contiguous() for k, v in tensors.items()}, beside)
        os.replace(beside, path)
    except (OSError, SafetensorError) as error:
        beside.unlink(missing_ok=True)
        raise WmqError(f"{path}: cannot be written ({error}); free some space, run again") from None
    write_atomically(run / "latest.json", json.dumps({"step": step, "place": place}).encode())
    for old in run.glob("step-*.safetensors"):
        if old != path:
            old.unlink()


def latest(run: Path) -> dict | None:
    """The content of latest.json, or None for a run without a checkpoint."""
    try:
        return json.loads((run / "latest.json").read_text("utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise WmqError(f"{run / 'latest.json'}: {error}; start a new run with -o") from None


def load_tensors(run: Path, step: int) -> dict[str, Tensor]:
    path = run / f"step-{step}.safetensors"
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise WmqError(f"{path}: no readable checkpoint ({error})") from None


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def restore_model(model: nn.Module, tensors: dict[str, Tensor], run: Path) -> None:
    """Raises WmqError if the weights do not belong to this model."""
    try:
        model.load_state_dict(_part(tensors, "model."))
    except RuntimeError as error:
        text = " ".join(str(error).split())[:200]
        raise WmqError(f"{run}: the checkpoint is of another model ({text})") from None


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in _part(tensors, "optimizer.").items():
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict(optimizer.state_dict() | {"state": state})


def restore_recurrent(tensors: dict[str, Tensor], layers: int) -> list[tuple[Tensor, Tensor]]:
    part = _part(tensors, "state.")
    return [(part[f"{i}.conv"], part[f"{i}.ssm"]) for i in range(layers)]
