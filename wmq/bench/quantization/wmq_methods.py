"""wmq's own rows: the embedded program, every recipe, and the widths of the recurrent state."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from msgspec.structs import replace

from calib import sets
from calib.recipe import DEFAULT, Recipe, names, read_recipe
from wmq.calibration.calibrate import calibrate
from wmq.dataset.select import usable
from wmq.dataset.store import Dataset
from wmq.files.digest import file_sha256
from wmq.inference.integer_predictor import IntegerPredictor
from wmq.inference.model_files import embedded_model, open_program
from wmq.inference.scheduling import SIDE_BY_SIDE
from wmq.memo.manifest import make_files, read_manifest
from wmq.memo.provenance import digest, sources, versions
from wmq.progress import Progress
from wmq.toolkits.methods import (
    ALONE,
    MOST,
    TORCH_ALONE,
    WHOLE,
    Method,
    MethodContext,
)
from wmq_kernels.program import NUMPY, Program

EMBEDDED = "wmq embedded program"
SET = "self-play"  # calibrates where there is no training game
STATE_BITS = (8, 16, 32)
SHORT = {f"wmq {DEFAULT}, first {share:.0%}": share for share in (MOST, ALONE, TORCH_ALONE)}


def rows(onnx_sha256: str) -> dict[str, str]:
    """List the rows, name -> what it is; the embedded program only beside its own float step."""
    found = {}
    if _embedded_source() == onnx_sha256:
        found[EMBEDDED] = "the program that comes with wmq"
    found |= {f"wmq {name}": f"recipe {name}" for name in names()}
    found |= {name: f"recipe {DEFAULT} on the frames of other ways" for name in SHORT}
    found |= {f"wmq state {bits} bits": f"recipe {DEFAULT}, recurrent state of {bits} bits"
              for bits in STATE_BITS}  # fmt: skip
    return found


def inputs(name: str, context: MethodContext) -> str:
    """Digest all that the row's program is made of, and run by."""
    code = sources(__name__), versions()
    if name == EMBEDDED:
        return digest(*code, file_sha256(embedded_model(".wmq")))
    return digest(*code, file_sha256(context.onnx), _recipe(name).to_json(), _play(context),
                  context.frames)  # fmt: skip


def make(name: str, context: MethodContext, progress: Progress) -> Method:
    """Make the row's method.  Raises WmqError, CalibrationError or ProgramError."""
    if name == EMBEDDED:
        return _method(embedded_model(".wmq"), context, WHOLE)
    default = _recipe(name) == read_recipe(DEFAULT)
    return _method(program(name, context, progress), context,
                SHORT.get(name, WHOLE if default else MOST))  # fmt: skip


def program(name: str, context: MethodContext, progress: Progress) -> Path:
    """Find the row's program, calibrated if there is none of these inputs.  Raises as `make`."""
    path = context.folder / f"{_base(name).replace(' ', '-')}.wmq"
    manifest, key = path.with_suffix(".json"), inputs(_base(name), context)

    def make_program() -> list[Path]:
        recipe = _recipe(name)
        set_name = _set_of(recipe) or (None if _training_games(context) else SET)
        calibrate(context.onnx, path, recipe, data=None if set_name else context.data,
                  set_name=set_name, frames=context.frames, progress=progress)  # fmt: skip
        return [path]

    if read_manifest(manifest, key) is None:
        make_files(manifest, key, make_program)
    return path


def _base(name: str) -> str:
    """Name the row that has the same program on more frames."""
    return f"wmq {DEFAULT}" if name in SHORT else name


def linears(program: Program) -> list[str]:
    """List the Linears of the model whose weights are multiplied in int8."""
    found: dict[str, None] = {}
    for step in program.steps:
        if "weight" in step.operands and step.op.startswith("dot"):
            found[step.operands["weight"].value.partition(".weight")[0]] = None
    return list(found)


def float_operations(program: Program) -> int:
    """Count the instructions with an operand that is no integer."""
    return sum(
        any(np.dtype(NUMPY[program.values[at.value].dtype]).kind != "i"
            for at in step.operands.values())
        for step in program.steps
    )  # fmt: skip


def _method(path: Path, context: MethodContext, share: float) -> Method:
    predictor = IntegerPredictor(path, context.threads)
    program = predictor.engine.program
    layers = len(linears(program))
    return Method(predictor, SIDE_BY_SIDE, share, layers, layers, float_operations(program),
               path.stat().st_size, (_calibrated_on(program),), file_sha256(path))  # fmt: skip


def _calibrated_on(program: Program) -> str:
    """Say what calibrated the program, from the provenance that it carries."""
    facts = program.meta["calibration"]
    played = facts["data"]
    what = (f"the embedded set {played['set']}" if "set" in played
            else f"{len(played['games'])} training games")  # fmt: skip
    if "play" in played:
        what += f", {played['play']} play"
    return f"calibrated on {facts['frames']:,} frames of {what}"


def _recipe(name: str) -> Recipe:
    chosen = _base(name).removeprefix("wmq ")
    if not chosen.startswith("state "):
        return read_recipe(chosen)
    recipe = read_recipe(DEFAULT)
    return replace(recipe, state=replace(recipe.state, bits=int(chosen.split()[1])))


def _set_of(recipe: Recipe) -> str | None:
    """Name the embedded set that the recipe itself asks for."""
    return recipe.data.set if recipe.data else None


def _training_games(context: MethodContext) -> list[str]:
    """List the SHA-256 of the games that calibration may take."""
    games = usable(Dataset.open(context.data).select("train"))
    return [info.sha256 for info in games if info.frames > 1]


def _play(context: MethodContext) -> list[str]:
    """List what identifies all play that a recipe may take."""
    return [*_training_games(context), *map(file_sha256, sets.files())]


def _embedded_source() -> str:
    """Read the SHA-256 of the float step that the embedded program was made from."""
    return str(open_program().program.meta.get("calibration", {}).get("onnx_sha256", ""))
