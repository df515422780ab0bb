"""Answers on stdout, one line for each line on stdin; ends when no more can come."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from importlib import import_module

import msgspec

from wmq.bench.worker.messages import Answer, Request, Setup
from wmq.errors import WmqError
from wmq.extras import EXTRAS, pip_command

KINDS = {
    "wmq": "wmq.bench.worker.integer_worlds",
    "onnxruntime": "wmq.bench.worker.onnx_worlds",
    "torch": "wmq.bench.worker.torch_worlds",
    "match": "wmq.bench.worker.match_worlds",
    "machine": "wmq.bench.worker.peaks",
}


def why(error: Exception) -> str:
    """Say in one line what went wrong."""
    if isinstance(error, ModuleNotFoundError):
        name = (error.name or str(error)).split(".")[0]
        return f"{name} is not installed" + (f": {pip_command([name])}" if name in EXTRAS else "")
    if isinstance(error, WmqError):
        return str(error)
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:120]}" if text else type(error).__name__


def main() -> None:
    # Libraries may print what they like: the answers' way out is ours alone.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def say(answer: Answer) -> None:
        answers.write(msgspec.json.encode(answer) + b"\n")

    try:
        setup = msgspec.json.decode(sys.argv[1], type=Setup)
        answer: Callable[[Request], Answer] = import_module(KINDS[setup.kind]).begin(setup)
    except Exception as error:
        say(Answer(reason=why(error)))
        return
    say(Answer())
    for line in sys.stdin.buffer:
        try:
            say(answer(msgspec.json.decode(line, type=Request)))
        except Exception as error:
            say(Answer(reason=why(error)))


if __name__ == "__main__":
    main()
