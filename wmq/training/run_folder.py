"""Manage a training run's folder: one process trains in it at a time, with one set of settings.

    run.json              settings; only the number of epochs may be raised later
    metrics.jsonl         one line an event: losses every ten steps, validations
    step-N.safetensors    weights, optimizer and recurrent state after step N
    latest.json           step of the newest checkpoint, and the place in the data

Everything is safetensors or JSON: nothing of a run is ever unpickled.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from torch import Tensor

from wmq.errors import WmqError
from wmq.files.atomic import cannot_write, write_atomically
from wmq.files.folder_lock import folder_lock
from wmq.models.presets import PRESETS
from wmq.models.world import WorldModel
from wmq.training import checkpoint
from wmq.training.config import RunConfig

SETTINGS, METRICS = "run.json", "metrics.jsonl"
LEFT_OVER = re.compile(
    r"\.(run\.json|latest\.json|metrics\.jsonl|step-\d+\.safetensors)(\.\d+)?\.tmp"
)
OPTIONS = {name: f"--{name}" for name in ("preset", "epochs", "lr", "seed", "base")}


@contextmanager
def opened(run: Path, warn: Callable[[str], None]) -> Iterator[None]:
    """Make the folder of a run, or see that it is one, and hold its lock.  Raises WmqError."""
    try:
        if run.exists() and not run.is_dir():
            raise WmqError(f"{run}: is a file; give a folder with -o")
        run.mkdir(parents=True, exist_ok=True)
        names = {path.name for path in run.iterdir()}
    except OSError as error:
        raise cannot_write(run, error) from None
    if SETTINGS not in names and any(not _is_left_over(name) for name in names):
        raise WmqError(f"{run}: holds other files and no run; give a new folder with -o")
    if not os.access(run, os.W_OK):
        raise WmqError(f"{run}: cannot be written; give another folder with -o")
    busy = "another `wmq train` is training in it; wait for it, or give another folder with -o"
    with folder_lock(run, busy, warn):
        for name in filter(_is_left_over, os.listdir(run)):
            (run / name).unlink(missing_ok=True)
        yield


def _is_left_over(name: str) -> bool:
    """Half a file of a process that was killed while it wrote."""
    return LEFT_OVER.fullmatch(name) is not None


def settled(run: Path, config: RunConfig) -> RunConfig:
    """Settle the settings to continue with: those asked for, if the checkpoint allows them.

    A run without a checkpoint takes any.  `base` may be left out, and `epochs` be raised.
    Raises WmqError, naming each setting that differs.
    """
    path = run / SETTINGS
    if not path.exists():
        return config
    try:
        before = msgspec.json.decode(path.read_bytes(), type=RunConfig)
    except (OSError, msgspec.MsgspecError) as error:
        raise WmqError(f"{path}: damaged, or of another program ({error}); give a new folder "
                       "with -o") from None  # fmt: skip
    if checkpoint.latest(run) is None:
        return config
    if not config.base:
        config = msgspec.structs.replace(config, base=before.base)
    here, there = msgspec.structs.asdict(config), msgspec.structs.asdict(before)
    differing = [name for name in here if here[name] != there[name]]
    if config.epochs > before.epochs:
        differing.remove("epochs")
    if differing:
        texts = [f"{OPTIONS.get(n, n)} {_shown(here[n])} here, {_shown(there[n])} there"
                 for n in differing]  # fmt: skip
        way_out = "give the same ones or another -o"
        if differing == ["epochs"]:
            way_out = "--epochs can be raised, but not lowered"
        elif differing == ["base"] and before.base:
            way_out = "leave out --base to resume, or give another -o"
        raise WmqError(f"{path}: a run with other settings ({'; '.join(texts)}); {way_out}")
    return config


def _shown(value: object) -> str:
    """Return a setting for people; the SHA-256 of a base is cut, and "" is none."""
    text = str(value)
    return (text[:12] if len(text) == 64 else text) or "none"


def write_settings(run: Path, config: RunConfig) -> bool:
    """Write the settings; returns whether there were others.  Raises WmqError."""
    path = run / SETTINGS
    before = msgspec.json.decode(path.read_bytes(), type=RunConfig) if path.exists() else None
    if before != config:
        write_atomically(path, msgspec.json.format(msgspec.json.encode(config)) + b"\n")
    return before not in (None, config)


def read_settings(run: Path) -> RunConfig:
    """Read the settings of a run.  Raises WmqError, which says what a run is."""
    try:
        config = msgspec.json.decode((run / SETTINGS).read_bytes(), type=RunConfig)
        if config.preset not in PRESETS:
            raise ValueError(f"unknown preset {config.preset}")
        return config
    except (OSError, msgspec.MsgspecError, ValueError) as error:
        if run.is_file() and (run.absolute().parent / SETTINGS).is_file():
            raise WmqError(f"{run}: a file of a training run; give the run's folder") from None
        reason = getattr(error, "strerror", None) or str(error)
        if run.is_file() or (run.is_dir() and not (run / SETTINGS).exists()):
            reason = "checkpoints of other programs cannot be imported yet"
        raise WmqError(f"{run}: not a training run, which is a folder that `wmq train` made "
                       f"({reason}); give one of those") from None  # fmt: skip


def load_model(run: Path) -> tuple[WorldModel, RunConfig, int]:
    """Load the newest checkpoint of a run, which may be in training.  Raises WmqError."""
    config = read_settings(run)
    model = WorldModel(PRESETS[config.preset])
    step, tensors = _newest(run)
    checkpoint.restore_model(model, tensors, run)
    return model.eval(), config, step


def _newest(run: Path) -> tuple[int, dict[str, Tensor]]:
    """Step and tensors of the newest checkpoint, while a training may replace it."""
    while True:
        found = checkpoint.latest(run)
        if found is None:
            raise WmqError(f"{run}: no checkpoint yet; let `wmq train` save one, which it does "
                           "every minute")  # fmt: skip
        try:
            return found["step"], checkpoint.load_tensors(run, found["step"])
        except WmqError:
            if checkpoint.latest(run) == found:
                raise


def log(run: Path, row: dict) -> None:
    """Add a line to metrics.jsonl.  Raises WmqError."""
    path = run / METRICS
    try:
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
    except OSError as error:
        raise cannot_write(path, error) from None


def drop_later_lines(run: Path, step: int) -> bool:
    """Remove what a killed run logged after its last checkpoint, and a line cut short.

    Lines without a step, as another version may have written, stay.  Returns whether a
    validation at `step` is there.
    """
    path = run / METRICS
    if not path.exists():
        return False
    lines = path.read_bytes().splitlines(keepends=True)
    kept, validated = [], False
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        found = row.get("step") if isinstance(row, dict) else None
        if isinstance(found, int) and found > step:
            continue
        kept.append(line if line.endswith(b"\n") else line + b"\n")
        validated |= found == step and "val" in row
    if kept != lines:
        write_atomically(path, b"".join(kept))
    return validated
