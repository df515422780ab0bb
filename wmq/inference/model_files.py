"""Model files, opened and matched against this program's schema.

A path, or nothing for the embedded model, comes in; what leaves has exactly the fields of
`wmq.game.schema`, so the code behind it need not check again.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from calib.errors import FOREIGN
from calib.step.schema import StepSchema
from wmq.errors import WmqError
from wmq.game.schema import SCHEMA_VERSION, Schema

if TYPE_CHECKING:
    from wmq_kernels.program import Program

EMBEDDED = Path(__file__).parents[1] / "embedded"
EMBEDDED_NAME = "mamba2-medium"
SUFFIXES = (".wmq", ".onnx")
CHECKPOINTS = (".pt", ".pth", ".ckpt", ".bin", ".safetensors")  # of other programs; never opened


class ModelError(WmqError):
    """A model file that cannot be used here."""


@dataclass(frozen=True)
class IntegerModel:
    """A proven integer program, its schema and the SHA-256 of its file (hex)."""

    path: Path
    program: Program
    schema: Schema
    sha256: str


def embedded_model(suffix: str) -> Path:
    """The model that ships with the package, `.wmq` or `.onnx`.  Raises ModelError."""
    path = EMBEDDED / (EMBEDDED_NAME + suffix)
    if not path.is_file():
        raise ModelError(f"{path}: the embedded model is missing; reinstall wmq or name a MODEL")
    return path


def model_path(path: str | os.PathLike[str] | None, suffix: str) -> Path:
    """`path`, or the embedded model, as a file that is there.  Raises ModelError."""
    if path is None:
        return embedded_model(suffix)
    path = Path(path)
    check_form(path)
    if path.suffix.lower() != suffix:
        wanted, way_out = {
            ".wmq": ("an integer program", "make one with `wmq calibrate`"),
            ".onnx": ("a float model", "make one with `wmq export`"),
        }[suffix]
        raise ModelError(f"{path}: not {wanted} ({suffix}); {way_out}")
    if not path.exists():
        raise ModelError(f"{path}: no such file; give a {suffix} file that is there")
    if not path.is_file():
        raise ModelError(f"{path}: not a regular file; give a {suffix} file")
    return path


def check_form(path: Path) -> None:
    """Raise ModelError if the name is neither that of an integer program nor of a float step."""
    suffix = path.suffix.lower()
    if suffix in SUFFIXES:
        return
    if path.is_dir():
        raise ModelError(f"{path}: a folder; `wmq export` makes a model of a training run")
    if suffix in CHECKPOINTS:
        raise ModelError(f"{path}: a checkpoint, not a model of wmq; {FOREIGN}")
    raise ModelError(f"{path}: not a model; give a .wmq of `wmq calibrate` or a .onnx of "
                     "`wmq export`")  # fmt: skip


def float_step_of(
    program: str | os.PathLike[str] | None, named: str | os.PathLike[str] | None
) -> Path:
    """The float step of an integer program: the one named, or the .onnx of its name beside it.

    For None and None, the embedded one.  Raises ModelError.
    """
    if named is not None or program is None:
        return model_path(named, ".onnx")
    beside = model_path(program, ".wmq").with_suffix(".onnx")
    if not beside.exists():
        raise ModelError(f"{beside}: no such file; name the float step that {Path(program).name} "
                         "was calibrated from with --float")  # fmt: skip
    return model_path(beside, ".onnx")


def open_program(path: str | os.PathLike[str] | None = None) -> IntegerModel:
    """Load a `.wmq` file.  Raises ModelError, or ProgramError for what is in the file."""
    from wmq_kernels.loading import load

    path = model_path(path, ".wmq")
    program, sha256 = load(path)
    schema = schema_of(program.meta.get("schema"), path)
    sizes = {"frame": schema.frame_size, "controllers": schema.controllers_size}
    for name, size in sizes.items():
        found = program.values[name].size
        if found != size:
            raise ModelError(f"{path}: {name} has {found} numbers, the schema {size}")
    return IntegerModel(path, program, schema, sha256)


def schema_of(found: StepSchema | Any, path: str | os.PathLike[str]) -> Schema:
    """The Schema that a model file carries, read or still plain data.  Raises ModelError."""
    if isinstance(found, StepSchema):
        schema = Schema(found.projectiles)
        if found == schema.step:
            return schema
        found = found.to_json()
    if not isinstance(found, dict):
        raise ModelError(f"{path}: names no schema; make it again with this version of wmq")
    if found.get("version") != SCHEMA_VERSION:
        raise ModelError(
            f"{path}: schema version {found.get('version')!r}, this program has {SCHEMA_VERSION}; "
            "make the model again with this version of wmq"
        )
    schema = Schema(projectiles=found.get("projectiles") is True)
    expected = schema.to_json()
    for key in expected:
        if found.get(key) != expected[key]:
            what = _difference(found.get(key), expected[key])
            raise ModelError(
                f"{path}: schema differs from this program's in {key}{what}; "
                "make the model again with this version of wmq"
            )
    return schema


def _difference(found: Any, expected: Any) -> str:
    """The first named row that differs, for schema parts that are lists of fields."""
    if isinstance(found, list) and isinstance(expected, list):
        for ours, theirs in zip(expected, found, strict=False):
            if ours != theirs:
                return f" ({ours['name'] if isinstance(ours, dict) else ours})"
        return f" ({len(found)} rows, not {len(expected)})"
    return ""
