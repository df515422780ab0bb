"""`python -m benchmarks SUITE ..` runs a suite; without one, their names are printed.

`speed` and `quantization` are `wmq bench` of that name; every other suite is a file of this folder.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

COMMANDS = ("speed", "quantization")


def main() -> int:
    suites = sorted(file.stem for file in Path(__file__).parent.glob("[a-z]*.py"))
    suites += COMMANDS
    if len(sys.argv) < 2:
        print("\n".join(suites))
        return 0
    name, rest = sys.argv[1], sys.argv[2:]
    if name not in suites:
        print(f"benchmarks: no suite {name}; choose one of {', '.join(suites)}", file=sys.stderr)
        return 2
    if name in COMMANDS:
        from wmq.cli import main as wmq

        wmq(["bench", name, *rest], prog_name="wmq")
    sys.argv = [f"benchmarks {name}", *rest]
    runpy.run_module(f"benchmarks.{name}", run_name="__main__")
    return 0


if __name__ == "__main__":
    sys.exit(main())
