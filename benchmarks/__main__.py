"""`python -m benchmarks SUITE ..` runs a suite; without one, their names are printed.

`speed` is `wmq bench speed`; every other suite is a file of this folder.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path


def main() -> int:
    suites = sorted(file.stem for file in Path(__file__).parent.glob("[a-z]*.py"))
    suites.append("speed")
    if len(sys.argv) < 2:
        print("\n".join(suites))
        return 0
    name, rest = sys.argv[1], sys.argv[2:]
    if name not in suites:
        print(f"benchmarks: no suite {name}; choose one of {', '.join(suites)}", file=sys.stderr)
        return 2
    if name == "speed":
        from wmq.cli import main as wmq

        wmq(["bench", "speed", *rest], prog_name="wmq")
    sys.argv = [f"benchmarks {name}", *rest]
    runpy.run_module(f"benchmarks.{name}", run_name="__main__")
    return 0


if __name__ == "__main__":
    sys.exit(main())
