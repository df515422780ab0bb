"""Frames a second of rollouts: the integer program and the float model, some worlds at a time.

A match on Battlefield with random controllers from the seeds 0, 1, ..; the first frame is
computed before the time is taken, so compiling does not count.  Prints the median of some
repeats, and the lowest and the highest.

    python benchmarks/rollout_speed.py [--frames N] [--repeats N] [MODEL.wmq MODEL.onnx]
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics

from wmq.cli.rollout import cores, open_model
from wmq.controllers import parse_source
from wmq.rollout import Model, both_controllers, compile_engine, roll
from wmq.starts import match_start


def measure(model: Model, frames: int, worlds: int, threads: int, repeats: int) -> list[float]:
    """Frames a second of all worlds together, one figure a repeat, in rising order."""
    start = match_start(model.schema, "battlefield", ("fox", "falco"))
    sources = (parse_source("random", "--p1"), parse_source("random", "--p2"))
    pads = [both_controllers(sources, start, frames, seed) for seed in range(worlds)]
    compile_engine(model, start)
    return sorted(
        roll(model, start, pads, range(worlds), threads).frames_per_second for _ in range(repeats)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", metavar="MODEL", help="default: the embedded two")
    parser.add_argument("--frames", type=int, default=3600, help="of each world (default 3600)")
    parser.add_argument("--repeats", type=int, default=3, help="(default 3)")
    options = parser.parse_args()
    if options.models:
        models = [open_model(path, None) for path in options.models]
    else:
        models = [open_model(None, "int8"), open_model(None, "float32")]
    print(f"{options.frames} frames a world, {options.repeats} repeats; {platform.machine()}, "
          f"{cores()} of {os.cpu_count()} cores")  # fmt: skip
    print(f"{'model':30} {'arithmetic':10} {'worlds':>6} {'threads':>7}"
          f" {'frames/s':>9} {'lowest':>8} {'highest':>8}")  # fmt: skip
    for model in models:
        for count in sorted({1, cores()}):
            found = measure(model, options.frames, count, count, options.repeats)
            middle = statistics.median(found)
            print(f"{model.path.name:30} {model.arithmetic:10} {count:6} {count:7}"
                  f" {middle:9,.0f} {found[0]:8,.0f} {found[-1]:8,.0f}")  # fmt: skip


if __name__ == "__main__":
    main()
