"""Embedded calibration sets: play that comes with the package, so that a model can be
calibrated without a replay.

A set has a file for each version of the schema: `NAME.safetensors` for version 1,
`NAME-v2.safetensors` for version 2.  It holds `frames` (games, frames, frame_size) and
`controllers` (games, frames, 26), int32 as in `wmq.game.schema`; the frames are a model's own
rollouts.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from calib.errors import CalibrationError

FOLDER = Path(__file__).parent
SUFFIX = ".safetensors"
LARGEST = 1 << 26  # bytes of a file
LATER = re.compile(r"-v([2-9])$")  # version of the schema in a file's name; without it, 1


@dataclass(frozen=True)
class CalibrationSet:
    """frames (games, T, frame_size) and controllers (games, T, 26) int32, T at least 2.

    sha256  of the file, hex
    """

    name: str
    sha256: str
    frames: np.ndarray
    controllers: np.ndarray


def files() -> list[Path]:
    """List the files that come with the package."""
    return sorted(FOLDER.glob(f"*{SUFFIX}"))


def names() -> list[str]:
    """List the sets that come with the package."""
    return sorted({LATER.sub("", path.stem) for path in files()})


def read_set(name: str, version: int) -> CalibrationSet:
    """Read an embedded set by its name, in any case, for models of a version of the schema.

    Raises CalibrationError.
    """
    if name.lower() not in names():
        known = ", ".join(names()) or "none is in this installation"
        raise CalibrationError(f"{name}: no such calibration set; give --set with one of those "
                               f"that come with wmq ({known}), or --data DATASET")  # fmt: skip
    path = FOLDER / f"{name.lower()}{'' if version == 1 else f'-v{version}'}{SUFFIX}"
    if path not in files():
        raise CalibrationError(f"{name}: the set has no frames of schema version {version}, which "
                               "the model is of; give --data DATASET")  # fmt: skip
    return replace(read_file(path), name=name.lower())


def read_file(path: str | os.PathLike[str]) -> CalibrationSet:
    """Read and check a set in a file.  Raises CalibrationError."""
    path = Path(path)
    try:
        with open(path, "rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise CalibrationError(f"{path}: {error.strerror}; give another set") from None
    if len(content) > LARGEST:
        raise CalibrationError(f"{path}: larger than {LARGEST} bytes, not a calibration set")
    try:
        tensors = load(content)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())[:120]
        raise CalibrationError(f"{path}: not a calibration set ({reason})") from None
    if set(tensors) != {"frames", "controllers"}:
        raise CalibrationError(f"{path}: must hold frames and controllers, nothing else")
    frames, controllers = tensors["frames"], tensors["controllers"]
    _check(str(path), frames, controllers)
    return CalibrationSet(path.stem, hashlib.sha256(content).hexdigest(), frames, controllers)


def write_set(path: str | os.PathLike[str], frames: np.ndarray, controllers: np.ndarray) -> str:
    """Write a set atomically; equal arrays give equal bytes.  Returns its SHA-256.

    Raises CalibrationError.
    """
    path = Path(path)
    if path.suffix != SUFFIX:
        raise CalibrationError(f"{path}: a calibration set's name ends in {SUFFIX}")
    _check(str(path), frames, controllers)
    arrays = {"frames": frames, "controllers": controllers}
    content = save({name: np.ascontiguousarray(array) for name, array in arrays.items()})
    if len(content) > LARGEST:
        raise CalibrationError(f"{path}: would be larger than {LARGEST} bytes; give fewer frames")
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        beside.write_bytes(content)
        os.replace(beside, path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise CalibrationError(f"{path}: cannot be written ({error.strerror})") from None
    return hashlib.sha256(content).hexdigest()


def _check(where: str, frames: np.ndarray, controllers: np.ndarray) -> None:
    for name, array in (("frames", frames), ("controllers", controllers)):
        if array.dtype != np.int32 or array.ndim != 3:
            raise CalibrationError(f"{where}: {name} is not int32 (games, frames, width)")
    if frames.shape[:2] != controllers.shape[:2]:
        raise CalibrationError(f"{where}: frames and controllers differ in games or length")
    if frames.shape[0] < 1 or frames.shape[1] < 2:
        raise CalibrationError(f"{where}: frames: no game of two frames or more; give another set")
