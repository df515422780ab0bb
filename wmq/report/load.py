"""Load the results in a folder, each of which may be missing, and check them before drawing."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from wmq.errors import WmqError
from wmq.evaluation.results import Drift, Sensitivity, Suite, read_result
from wmq.report.compare import FLOAT, INT8
from wmq.report.drift import check_curves

# File -> the command that makes it.
SUITE, DRIFT, SENSITIVITY = "suite.json", "drift.json", "sensitivity.json"
COMMANDS = {
    SUITE: "wmq bench quantization --data DATASET -o FOLDER",
    DRIFT: "wmq drift --data DATASET -o FOLDER/drift.json",
    SENSITIVITY: "wmq sensitivity --data DATASET -o FOLDER/sensitivity.json",
}


@dataclass(frozen=True)
class Results:
    """What was measured; None: not there."""

    suite: Suite | None = None
    drift: Drift | None = None
    sensitivity: Sensitivity | None = None


def read_results(folder: str | os.PathLike[str]) -> Results:
    """Read the results.  Raises WmqError for a folder without any, or a damaged file."""
    path = Path(folder)
    if not path.is_dir():
        what = "not a folder" if path.exists() else "no such folder"
        raise WmqError(f"{path}: {what}; give the one with {SUITE}, {DRIFT} or {SENSITIVITY}")
    if not any((path / name).exists() for name in COMMANDS):
        raise WmqError(f"{path}: holds none of {', '.join(COMMANDS)}; make one with "
                       f"`{COMMANDS[SUITE]}`")  # fmt: skip
    suite, drift, sensitivity = path / SUITE, path / DRIFT, path / SENSITIVITY
    results = Results(
        read_result(suite, Suite) if suite.exists() else None,
        read_result(drift, Drift) if drift.exists() else None,
        read_result(sensitivity, Sensitivity) if sensitivity.exists() else None,
    )
    if results.drift:
        check_curves(str(drift), results.drift)
    return results


def check_models(folder: str, results: Results, sha256: dict[str, str]) -> None:
    """Check that the results are of the two models that are played.  Raises WmqError.

    sha256  of the float and of the int8 model's file; `wmq drift` and `wmq sensitivity` may
            have been given either
    """
    suite, drift, sensitivity = results.suite, results.drift, results.sensitivity
    found = {
        SUITE: suite and (suite.model, suite.onnx_sha256),
        DRIFT: drift and (drift.model, drift.sha256),
        SENSITIVITY: sensitivity and (sensitivity.model, sensitivity.sha256),
    }
    for name, measured in found.items():
        if not measured:
            continue
        model, digest = measured
        right = [sha256[FLOAT]] if name == SUITE else [sha256[FLOAT], sha256[INT8]]
        if name == DRIFT and drift and drift.float_sha256 not in ("", sha256[FLOAT]):
            digest, right = drift.float_sha256, [sha256[FLOAT]]
        if digest not in right:
            raise WmqError(
                f"{Path(folder) / name}: is of the model {model}, sha256 {digest[:16]}.., not of "
                f"the one to be played, {' or '.join(f'{s[:16]}..' for s in right)}; name that "
                "model with --float and --int8, or measure again"
            )
