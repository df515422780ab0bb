"""Verify, calibrate and evaluate as the commands do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wmq.api.checks import FilePath, file_path, one_of, whole
from wmq.api.model import Model, load
from wmq.api.trajectory import Trajectory
from wmq.errors import WmqError
from wmq.extras import require
from wmq.files.output_path import output_path
from wmq.progress import Progress, silent
from wmq.rollout.files import as_stored, read_rollout
from wmq.rollout.limits import MOST_THREADS
from wmq.verification.recompute import Verification, check_model, open_played
from wmq.verification.recompute import verify as verify_stored

if TYPE_CHECKING:
    from calib.recipe import Recipe
    from wmq.calibration.calibrate import Result
    from wmq.evaluation.reports import EvaluationReport

PLAYED = 64_000  # frames


def verify(
    rollout: FilePath | Trajectory,
    model: Model | FilePath | None = None,
    *,
    agents: tuple[FilePath | None, FilePath | None] = (None, None),
    kernels: str = "auto",
    threads: int = 1,
) -> Verification:
    """Compute a rollout again, and compare it bit for bit.

    rollout  a .npz of `wmq rollout -o` or of `Trajectory.save`, or a trajectory
    model    that made it; by default the embedded one for a file, its own for a trajectory
    agents   the .wmq file of each player whom an agent played; None for the embedded agent
    kernels, threads  of a model that is opened here, as for `wmq.load`
    Raises WmqError if the rollout cannot be read, or was made by another model.  A difference
    is no error: see `same`, `first` and `altered` of the result.
    """
    if isinstance(rollout, Trajectory):
        stored = as_stored(rollout._rollout)
        model = rollout._model if model is None else model
    else:
        stored = read_rollout(file_path("rollout", rollout))
    opened = model if isinstance(model, Model) else load(model, kernels=kernels, threads=threads)
    check_model(stored, opened._predictor)
    one, two = (None if path is None else str(file_path("agents", path)) for path in agents)
    played = open_played(stored, (one, two), opened.kernels or "auto")
    return verify_stored(stored, opened._predictor, opened._threads, agents=played)


def calibrate(
    model: Model | FilePath,
    out: FilePath,
    *,
    data: FilePath | None = None,
    play: str | None = None,
    set: str | None = None,
    recipe: FilePath | Recipe = "static-best",
    frames: int = PLAYED,
    progress: Progress = silent,
) -> Result:
    """Lower a float step (.onnx) to an integer program (.wmq), with ranges found in play.

    data      a dataset of `wmq prepare`, whose training games are played
    play      "real" as they are, "self" as the model goes on from their frames, or "mixed"; by
              default the recipe's
    set       an embedded set instead of data: "self-play"
    recipe    a name of `wmq recipes`, or a .toml file
    frames    to play at most
    progress  is called as progress(what, done, total)
    Returns the program's hash and size and, for each tensor, range, scale and signal-to-noise
    ratio.  Raises WmqError; `out` is then as it was.
    """
    require("calibrate()", ["onnx", "onnxruntime", "pyarrow"])
    from calib.recipe import Recipe, read_recipe
    from calib.sets import names as sets
    from wmq.calibration.calibrate import calibrate as run

    chosen = recipe if isinstance(recipe, Recipe) else read_recipe(file_path("recipe", recipe))
    dataset = None if data is None else file_path("data", data)
    if set is not None:
        one_of("set", set.lower() if isinstance(set, str) else set, sets())
    frames = whole("frames", frames, 1, 2**62)
    target = output_path(file_path("out", out), "out", (".wmq",))
    return run(_file(model), target, chosen, dataset, set, frames, progress, play)


def evaluate(
    data: FilePath,
    models: Model | FilePath | Sequence[Model | FilePath] | None = None,
    *,
    split: str = "val",
    games: int | None = None,
    frames: int | None = None,
    horizon: int | None = None,
    starts: int = 300,
    threads: int = 1,
    kernels: str = "auto",
    progress: Progress = silent,
) -> EvaluationReport:
    """Compare models with the real games of a dataset, and each model with the one before it.

    data      a dataset of `wmq prepare`
    models    one or more .onnx or .wmq files, "frozen" (nothing changes) or
              "constant-velocity"; by default the embedded float and integer models
    split     "val" or "train"
    games, frames  no more than so many games, and frames of each; by default all
    horizon   also roll out so many frames from fixed real frames, `starts` of them
    threads, kernels, progress  as for `load` and `calibrate`
    Raises WmqError.
    """
    require("evaluate()", ["pyarrow"])
    from wmq.dataset.store import SPLITS, Dataset
    from wmq.evaluation.evaluate import EvaluationSettings
    from wmq.evaluation.evaluate import evaluate as run
    from wmq.inference.model_files import embedded_model

    one_of("split", split, SPLITS)
    if models is None:
        models = [embedded_model(".onnx"), embedded_model(".wmq")]
    several = isinstance(models, Sequence) and not isinstance(models, str)
    named: Any = models if several else [models]
    paths = [_file(model) for model in named]
    if not paths:
        raise WmqError("models is empty; give one or more, or None for the embedded ones")
    if any(path.suffix.lower() == ".onnx" for path in paths):
        require("evaluate()", ["onnx", "onnxruntime"])
    most = {"games": games, "frames": frames, "horizon": horizon}
    limits = {name: 0 if value is None else whole(name, value, 1, 2**31)
              for name, value in most.items()}  # fmt: skip
    settings = EvaluationSettings(split, **limits, starts=whole("starts", starts, 1, 2**31),
                        threads=whole("threads", threads, 1, MOST_THREADS),
                        kernels=kernels)  # fmt: skip
    return run(Dataset.open(file_path("data", data)), paths, settings, progress)


def _file(model: Model | FilePath) -> Path:
    """Return the file of a model, open or not.  Raises WmqError."""
    return model.path if isinstance(model, Model) else file_path("model", model)
