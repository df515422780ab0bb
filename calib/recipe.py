"""Recipes: the choices of a calibration, as a TOML file of a few lines.

A file, or the name of one of those in `calib/recipes/`, comes in; a checked `Recipe`
leaves.  Errors name the key: `mine.toml: activations.observer: ...`.
"""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Annotated, Literal, get_args

import msgspec

from calib.errors import CalibrationError

FOLDER = Path(__file__).with_name("recipes")
DEFAULT = "static-best"
LARGEST = 1 << 16  # bytes of a file

ObserverName = Literal["minmax", "moving-average", "percentile", "mse", "entropy"]
PlayName = Literal["real", "self", "mixed", "set"]
Projection = Literal["frame_proj", "ctrl_proj"]
WeightMethod = Literal["nearest", "gptq"]
CHOICES = {"activations.observer": get_args(ObserverName), "data.play": get_args(PlayName),
           "weights.rounding": get_args(WeightMethod),
           "weights.two_digits": get_args(Projection)}  # fmt: skip
Percent = Annotated[float, msgspec.Meta(gt=0, le=100)]
Share = Annotated[float, msgspec.Meta(gt=0, le=1)]
Strength = Annotated[float, msgspec.Meta(ge=0, le=1)]
Bits = Annotated[int, msgspec.Meta(ge=0, le=8)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


class Activations(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How the range of an int8 activation is chosen; wider ones keep their maximum.

    two_digits  Linears whose input is two int8 digits, 15 bits: names in which * stands for
                any text, such as "layers.*.mamba.in_proj" or "heads.continuous"
    """

    observer: ObserverName
    percent: Percent | None = None
    two_digits: tuple[Name, ...] = ()


class RecurrentState(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The recurrent state.

    headroom_bits   its room above its largest size, in powers of two
    bits            its width; fewer than 32 are for study
    error_feedback  whether what the rounding leaves is carried to the next frame, in 16 bits
    """

    headroom_bits: Bits
    bits: Literal[8, 16, 32] = 32
    error_feedback: bool = True


class Weights(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How weights become int8.

    rounding         "nearest", or "gptq": columns make up for each other's errors (Frantar et
                     al. 2023), in the second moments of the calibration frames
    damping          of gptq: the share of the mean variance that is added to each channel's
    bias_correction  the mean error of each output is added to its bias
    two_digits       those of "frame_proj" and "ctrl_proj" whose weights are two int8 digits
    """

    rounding: WeightMethod = "nearest"
    damping: Share = 0.001
    bias_correction: bool = False
    two_digits: tuple[Projection, ...] = ()


class NormTransforms(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is done between a norm and its projection, whose columns take the inverse.

    smoothing  norms, as "layers.*.norm" or "norm_f", whose channels get powers of two
    strength   of the smoothing, 0 to 1 (Xiao et al. 2023); without one, the best is searched
    hadamard   norms before an out_proj, as "layers.*.mamba.norm", whose channels are turned
    """

    smoothing: tuple[Name, ...] = ()
    strength: Strength | None = None
    hadamard: tuple[Name, ...] = ()


class Data(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Where ranges come from, unless the command says it.

    play  of the dataset's games: "real", as they were; "self", as the model goes on from
          their beginnings; "mixed", half of each.  "set": an embedded set, without a dataset
    """

    play: PlayName
    set: Name | None = None


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    name: Name
    activations: Activations
    state: RecurrentState
    weights: Weights = Weights()
    transforms: NormTransforms = NormTransforms()
    data: Data | None = None

    def to_json(self) -> dict:
        """Convert to plain data, as the program stores it."""
        return msgspec.to_builtins(self)


def names() -> list[str]:
    """List the recipes that come with the package."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def read_recipe(source: str | os.PathLike[str] = DEFAULT) -> Recipe:
    """Read a recipe file (`.toml`), or one of `names()`.  Raises CalibrationError."""
    path = Path(source)
    if path.suffix != ".toml":
        if str(source) not in names():
            known = ", ".join(names())
            raise CalibrationError(f"{source}: no such recipe; give a .toml file, or {known}")
        path = FOLDER / f"{source}.toml"
    try:
        with open(path, "rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise CalibrationError(f"{path}: {error.strerror}; give another recipe") from None
    if len(content) > LARGEST:
        raise CalibrationError(f"{path}: larger than {LARGEST} bytes, not a recipe")
    return parse_recipe(content, str(path))


def parse_recipe(content: bytes, where: str) -> Recipe:
    """Parse and check the recipe in a file's bytes.  Raises CalibrationError."""
    try:
        plain = tomllib.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        reason = str(error) or "nested too deeply"
        raise CalibrationError(f"{where}: not a TOML file ({reason})") from None
    try:
        recipe = msgspec.convert(plain, Recipe)
    except msgspec.ValidationError as error:
        raise CalibrationError(f"{where}: {_explained(str(error))}") from None
    chosen = recipe.activations
    if (chosen.observer == "percentile") != (chosen.percent is not None):
        way_out = "needs a" if chosen.percent is None else "takes no"
        raise CalibrationError(
            f"{where}: activations.percent: the observer {chosen.observer!r} {way_out} percent"
        )
    data = recipe.data
    if data is not None and (data.play == "set") != (data.set is not None):
        way_out = "needs the name of a" if data.set is None else "takes no"
        raise CalibrationError(f"{where}: data.set: play {data.play!r} {way_out} set")
    return recipe


def _explained(message: str) -> str:
    """Turn msgspec's `... - at `$.a.b`` into `a.b: ...`, with the key at fault in the path."""
    text, _, place = message.partition(" - at ")
    path = place.strip("`").removeprefix("$").removeprefix(".")
    unknown = re.fullmatch(r"Object contains unknown field `(.*)`", text, re.DOTALL)
    missing = re.fullmatch(r"Object missing required field `(.*)`", text)
    if unknown or missing:
        key = (unknown or missing).group(1)  # type: ignore[union-attr]
        path = f"{path}.{key}" if path else key
        text = "unknown key" if unknown else "missing"
    elif path in CHOICES:
        text += f"; give one of {', '.join(CHOICES[path])}"
    return f"{path.encode('unicode_escape').decode()}: {text}"
