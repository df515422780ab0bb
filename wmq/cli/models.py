"""Open the model of a command line, and compile its engine before any time is measured."""

from __future__ import annotations

import gc
import os
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from wmq.cli.streams import say
from wmq.errors import WmqError

if TYPE_CHECKING:
    from wmq.rollout.rollout import RolloutModel

SLOW_COMPILE = 1.0  # seconds after which we say what is going on


def open_model(path: str | None, arithmetic: str | None, kernels: str = "auto") -> RolloutModel:
    """Open a MODEL; its arithmetic follows from the file where none is named.  Raises WmqError."""
    from wmq.inference.float_predictor import OnnxPredictor
    from wmq.inference.integer_predictor import IntegerPredictor
    from wmq.inference.model_files import open_program

    if arithmetic is None:
        arithmetic = "float32" if path and path.lower().endswith(".onnx") else "int8"
    if arithmetic == "int8":
        with frozen_garbage():
            return IntegerPredictor(open_program(path), kernels=kernels)
    if kernels != "auto":
        raise WmqError(f"--kernels {kernels}: only for integer programs; leave it out")
    return OnnxPredictor(path)


def compile_first(model: RolloutModel) -> None:
    """Compile the model's engine, and say so if that takes long."""
    if model.kernels is None:
        model.compile()
        return
    from wmq_kernels.engine.compiling import folder

    kept = "the first run compiles it, later ones reuse it" if folder() else "each run compiles it"
    with announced_if_slow(f"wmq: preparing the engine; {kept}"), frozen_garbage():
        model.compile()


@contextmanager
def frozen_garbage() -> Iterator[None]:
    """Freeze the garbage collector over all objects that are made inside, for good.

    numba makes a hundred thousand of them, and collecting took a fifth of a short rollout's time.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@contextmanager
def announced_if_slow(message: str) -> Iterator[None]:
    """Announce what takes long; a terminal counts the seconds until it is done."""
    done = threading.Event()

    def tell() -> None:
        if done.wait(SLOW_COMPILE):
            return
        if not (sys.stderr and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"):
            say(message)
            return
        from rich.console import Console
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
        width = shutil.get_terminal_size().columns  # rich would take COLUMNS=0 at its word
        console = Console(stderr=True, width=width)
        with Progress(*columns, console=console, transient=True) as shown:
            shown.add_task(message)
            done.wait()

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        done.set()
        teller.join()
