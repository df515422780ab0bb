"""Model files, opened and matched against this program's schema.

A path, or nothing for the embedded model, comes in; what leaves has exactly the fields of
`wmq.game.schema`, so the code behind it need not check again.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from calib.errors import FOREIGN
from calib.step.schema import StepSchema
from wmq.errors import WmqError
from wmq.files.digest import file_sha256
from wmq.game.schema import VERSIONS, Schema

if TYPE_CHECKING:
    from calib.step.graph import StepModel
    from wmq.inference.predictor import Spreads
    from wmq_kernels.program import Program

EMBEDDED = Path(__file__).parents[1] / "embedded"
EMBEDDED_NAMES = {"world": "mamba2-medium", "agent": "agent"}
Role = Literal["world", "agent"]  # of a model in a match
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


@dataclass(frozen=True)
class FloatModel:
    """A checked float step, its schema and the SHA-256 of its file (hex)."""

    path: Path
    step: StepModel
    schema: Schema
    sha256: str

    @property
    def spreads(self) -> Spreads:
        """Of the targets of each number head, (width,) float32."""
        return {head: self.step.weights[f"{head}_scale"] for head in self.step.sizes.number_heads}


def ships_agent() -> bool:
    """Say whether an agent comes with the package."""
    return (EMBEDDED / (EMBEDDED_NAMES["agent"] + ".wmq")).is_file()


def embedded_model(suffix: str, role: Role = "world") -> Path:
    """Return the model that ships with the package, `.wmq` or `.onnx`.  Raises ModelError."""
    path = EMBEDDED / (EMBEDDED_NAMES[role] + suffix)
    if not path.is_file() and role == "agent":
        raise ModelError("agent: this version of wmq ships none; name one, as agent:FILE")
    if not path.is_file():
        raise ModelError(f"{path}: the embedded model is missing; reinstall wmq or name a MODEL")
    return path


def model_path(path: str | os.PathLike[str] | None, suffix: str, role: Role = "world") -> Path:
    """`path`, or the embedded model, as a file that is there.  Raises ModelError."""
    if path is None:
        return embedded_model(suffix, role)
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


def open_program(
    path: str | os.PathLike[str] | None = None, role: Role | None = "world"
) -> IntegerModel:
    """Load a `.wmq` file; one of any role for None.

    Raises ModelError, or ProgramError for what is in the file.
    """
    from wmq_kernels.loading import load

    path = model_path(path, ".wmq", role or "world")
    program, sha256 = load(path)
    schema = schema_of(program.meta.get("schema"), path)
    if role:
        check_role(path, schema, role)
    draws = program.values[program.draws[0]].size if program.draws else 0
    kind = "agent" if schema.agent else "world"
    if program.kind != kind or draws != len(schema.draws):
        raise ModelError(f"{path}: its ports are not those of its schema; make it again")
    sizes = {"frame": schema.frame_size, "controllers": schema.controllers_size}
    for name, size in sizes.items():
        found = program.values[name].size
        if found != size:
            raise ModelError(f"{path}: {name} has {found} numbers, the schema {size}")
    return IntegerModel(path, program, schema, sha256)


def check_role(path: Path, schema: Schema, role: Role) -> None:
    """Raise ModelError if a world is given for an agent, or an agent for a world."""
    if schema.agent and role == "world":
        raise ModelError(f"{path}: is an agent, not a world; give it to --p1 or --p2 as "
                         f"agent:{path}")  # fmt: skip
    if not schema.agent and role == "agent":
        raise ModelError(f"{path}: is a world, not an agent; give a model of the preset agent")


def open_float(path: str | os.PathLike[str] | None = None) -> FloatModel:
    """Read and check a `.onnx` file.  Raises ModelError or CalibrationError."""
    from calib.step.graph import read_step

    path = model_path(path, ".onnx")
    step = read_step(path)
    return FloatModel(path, step, schema_of(step.schema, path), file_sha256(path))


def open_pair(
    program: str | os.PathLike[str] | None, float_step: str | os.PathLike[str] | None,
    role: Role | None = "world",
) -> tuple[IntegerModel, FloatModel]:  # fmt: skip
    """Open an integer program and the float step that it was made from, as by `float_step_of`.

    role  as in `open_program`
    A program that names no file it was calibrated from must be of the same training run.
    Raises ModelError if they don't belong together, ProgramError or CalibrationError.
    """
    integer = open_program(program, role)
    exact = open_float(float_step_of(program, float_step))
    if reason := _mismatch(integer, exact):
        raise ModelError(f"{integer.path}: was not made from {exact.path} ({reason}); give the "
                         "float step that it was calibrated from")  # fmt: skip
    return integer, exact


def _mismatch(integer: IntegerModel, exact: FloatModel) -> str:
    """Say why they don't belong together, or ""."""
    meta = integer.program.meta
    if integer.schema != exact.schema:
        return "which has other fields"
    if meta.get("config") != exact.step.config:
        return "which is of another size"
    calibration = meta.get("calibration")
    source = calibration.get("onnx_sha256") if isinstance(calibration, dict) else None
    if source is not None:
        same = source == exact.sha256
        return "" if same else f"but from {str(source)[:16]}.., not {exact.sha256[:16]}.."
    same = meta.get("run") == exact.step.metadata["wmq.run"]
    return "" if same else "which is of another training run"


def schema_of(found: StepSchema | Any, path: str | os.PathLike[str]) -> Schema:
    """Return the Schema that a model file carries, read or still plain data.  Raises ModelError."""
    if isinstance(found, StepSchema):
        schema = Schema(found.projectiles, found.version, found.controls is not None)
        if found.version in VERSIONS and found == schema.step:
            return schema
        found = found.to_json()
    if not isinstance(found, dict):
        raise ModelError(f"{path}: names no schema; make it again with this version of wmq")
    version = found.get("version")
    if type(version) is not int or version not in VERSIONS:
        raise ModelError(
            f"{path}: schema version {version!r}, this program has "
            f"{' and '.join(map(str, VERSIONS))}; make the model again with this version of wmq"
        )
    schema = Schema(found.get("projectiles") is True, version, "controls" in found)
    expected = schema.to_json()
    for key in {**expected, **found}:
        if found.get(key) != expected.get(key):
            what = _difference(found.get(key), expected.get(key))
            raise ModelError(
                f"{path}: schema differs from this program's in {key}{what}; "
                "make the model again with this version of wmq"
            )
    return schema


def _difference(found: Any, expected: Any) -> str:
    """Return the first named row that differs, for schema parts that are lists of fields."""
    if isinstance(found, list) and isinstance(expected, list):
        for ours, theirs in zip(expected, found, strict=False):
            if ours != theirs:
                return f" ({ours['name'] if isinstance(ours, dict) else ours})"
        return f" ({len(found)} rows, not {len(expected)})"
    return ""
