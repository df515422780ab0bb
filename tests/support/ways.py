"""Ways of compiling the engine, each tried in a process of its own with an empty numba cache.

The cache would not do: its key holds the processor, but neither NUMBA_OPT nor
NUMBA_BOUNDSCHECK.  A way that this machine cannot go says why (`Way.obstacle`).
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from llvmlite import binding

ROOT = Path(__file__).parents[2]
# Made by the Makefile, which leaves either the stamp or the reason why it could not.
OLDEST = ROOT / ".venv" / "numba-oldest" / "bin" / "python"
OLDEST_INSTALLED = ROOT / ".venv" / "installed-oldest"
OLDEST_OBSTACLE = ROOT / ".venv" / "numba-oldest" / "obstacle"
X86_64 = ("x86_64", "AMD64")


@dataclass(frozen=True)
class Way:
    """settings of numba; features that the processor needs; the Python that has the numba.

    embedded, synthetic  frames that `tests.support.golden` is asked for
    """

    settings: Mapping[str, str] = field(default_factory=dict)
    features: frozenset[str] = frozenset()
    python: Path = Path(sys.executable)
    embedded: int = 600
    synthetic: int = 3600

    @property
    def obstacle(self) -> str:
        """Why it can't be tried here, or ""."""
        if self.features and platform.machine() not in X86_64:
            return f"{self.settings['NUMBA_CPU_NAME']} is another kind of processor than this one"
        lacking = {name for name in self.features if not binding.get_host_cpu_features().get(name)}
        if lacking:
            return f"this processor lacks {', '.join(sorted(lacking))}"
        if self.python == OLDEST and OLDEST_OBSTACLE.is_file():
            return OLDEST_OBSTACLE.read_text("utf-8").strip()
        if self.python == OLDEST and not OLDEST_INSTALLED.is_file():
            return "the oldest numba is not installed: make .venv/installed-oldest"
        return ""

    def result(self) -> dict[str, Any]:
        """What `tests.support.golden` prints there."""
        usual = {k: v for k, v in os.environ.items() if not k.startswith(("NUMBA_", "PYTHON"))}
        with tempfile.TemporaryDirectory() as cache:
            own = {"NUMBA_CACHE_DIR": cache, "PYTHONPATH": str(ROOT)}
            command = [str(self.python), "-m", "tests.support.golden"]
            done = subprocess.run(
                [*command, str(self.embedded), str(self.synthetic)],
                env={**usual, **own, **self.settings}, cwd=ROOT, capture_output=True, text=True,
            )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout)


def processor(name: str, features: str = "") -> Way:
    """Code for a named kind of processor.  Which this one is like if it has the features."""
    settings = {"NUMBA_CPU_NAME": name, "NUMBA_CPU_FEATURES": ""}
    return Way(settings, frozenset(features.split()))


AVX2 = "avx2 bmi bmi2 fma lzcnt movbe"
AVX512 = f"{AVX2} avx512f avx512bw avx512cd avx512dq avx512vl"
ZEN4 = f"{AVX512} avx512bf16 avx512bitalg avx512ifma avx512vbmi avx512vbmi2 avx512vnni gfni sse4a"
WAYS = {
    "generic": processor("generic"),
    "haswell": processor("haswell", AVX2),
    "unoptimized": Way({"NUMBA_OPT": "0"}, embedded=60),
    "bounds checked": Way({"NUMBA_BOUNDSCHECK": "1"}),
    "oldest numba": Way(python=OLDEST),
    "interpreted": Way({"NUMBA_DISABLE_JIT": "1"}, embedded=0, synthetic=60),
}
# For make soak.  A frame of the embedded model takes 50 ms unoptimized, 9 s interpreted.
LONG_WAYS = {name: replace(way, embedded=3600) for name, way in WAYS.items()} | {
    "skylake-avx512": replace(processor("skylake-avx512", AVX512), embedded=3600),
    "znver4": replace(processor("znver4", ZEN4), embedded=3600),
    "oldest numba, generic": replace(processor("generic"), python=OLDEST, embedded=3600),
    "unoptimized": replace(WAYS["unoptimized"], embedded=600),
    "interpreted": replace(WAYS["interpreted"], embedded=6),
}


@contextmanager
def gone(ways: Mapping[str, Way]) -> Iterator[dict[str, Future[dict[str, Any]]]]:
    """The results of all ways that can be gone here, two at a time."""
    pool = ThreadPoolExecutor(min(2, os.cpu_count() or 1))
    try:
        yield {name: pool.submit(way.result) for name, way in ways.items() if not way.obstacle}
    finally:
        pool.shutdown(cancel_futures=True)
