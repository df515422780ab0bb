"""The sources that the rows of the suite depend on, as patterns for `wmq.provenance.sources`."""

from __future__ import annotations

SUITE = "wmq/bench/quantization"
MEASURING = (
    "wmq/schema.py", "wmq/targets.py", "wmq/encoding.py", "wmq/metrics.py", "wmq/horizons.py",
    "wmq/intervals.py", "wmq/onnx_step.py", "wmq/frame_update.py", "wmq/lanes.py",
    "wmq/predictors.py", f"{SUITE}/figures.py", f"{SUITE}/heads.py",
    f"{SUITE}/measuring.py", f"{SUITE}/play.py", f"{SUITE}/record.py",
    f"{SUITE}/ways.py",
)  # fmt: skip
ENGINE = ("wmq_kernels/*.py", "wmq_kernels/engine/*.py")  # runs our programs
CALIBRATING = (
    "calib/**/*.py", "wmq/calibrat*.py", "wmq/self_play.py", f"{SUITE}/ours.py", *ENGINE,
)  # fmt: skip
# Whatever else is in the suite's folder makes the ways of other libraries.
PEERS = (
    f"{SUITE}/*.py", "wmq/bench/onnx_export.py", "wmq/bench/worker/*.py", "wmq/models/*.py",
    "wmq/calibrat*.py",
)  # fmt: skip
NO_PEERS = (*MEASURING, *(f"{SUITE}/{name}.py" for name in (
    "__init__", "keys", "ours", "recipe_figures", "running", "table", "whole")))  # fmt: skip
