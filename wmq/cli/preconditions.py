"""Check before a command's work that its packages are installed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from wmq.extras import require

# Command -> the modules that it always imports.
COMMAND_MODULES = {
    "prepare": ("peppi_py", "pyarrow"),
    "train": ("torch", "pyarrow"),
    "export": ("torch", "onnx", "onnxruntime"),
    "calibrate": ("onnx", "onnxruntime", "pyarrow"),
    "evaluate": ("pyarrow",),
    "drift": ("torch", "onnx", "onnxruntime", "pyarrow"),
    "sensitivity": ("onnx", "onnxruntime", "pyarrow"),
    "report": ("onnx", "onnxruntime"),
    "bench quantization": ("torch", "onnx", "onnxruntime", "matplotlib", "pyarrow"),
}
EITHER_FORM = ("rollout", "evaluate", "info")  # commands that take .wmq and .onnx


def check_needs(command: str, parameters: Mapping[str, Any]) -> None:
    """Raise WmqError if a command, with these options, lacks a package.

    A table as output is looked at by `wmq.rollout.files.check_output`.
    """
    modules = [*COMMAND_MODULES.get(command, ()), *_of_options(command, parameters)]
    require(f"wmq {command}", modules)


def _of_options(command: str, parameters: Mapping[str, Any]) -> Iterator[str]:
    if command in EITHER_FORM and _is_float(parameters):
        yield from ("onnx", "onnxruntime")
    if parameters.get("chart") or (command == "report" and parameters["folder"]):
        yield "matplotlib"
    if parameters.get("data"):
        yield "pyarrow"
    if ".slp@" in (parameters.get("start") or "").lower():
        yield from ("peppi_py", "pyarrow")


def _is_float(parameters: Mapping[str, Any]) -> bool:
    """Tell whether a float model is among those named, or is one that is taken without a name."""
    if "models" in parameters:
        models = parameters["models"] or (".onnx",)
    else:
        models = (parameters.get("model") or "",)
    floats = any(model.lower().endswith(".onnx") for model in models)
    return floats or parameters.get("arithmetic") == "float32"
