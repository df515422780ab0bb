"""The contenders of the speed benchmark: a library, what it makes of the model, its threads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from wmq.errors import WmqError

THREADS = (1, 2)
SPLIT = " split"  # ends a variant with a session for each thread, which has its part of the worlds
# Whole frames always, with encoding, argmax and update; of others also the model's call alone.
WAYS = {"wmq": ("frame",), "onnxruntime": ("session", "frame"), "torch": ("session", "frame")}
VARIANTS = {
    "wmq": ("vnni", "portable"),
    "onnxruntime": (
        "float32", "dynamic int8", "dynamic int8 per channel", "dynamic int8 uint8 weights",
        "dynamic int8 Linear only", "static int8", "static int8 Linear only",
        "float32 split", "dynamic int8 Linear only split", "static int8 Linear only split",
    ),
    "torch": (
        "float32", "dynamic int8 x86", "dynamic int8 fbgemm", "dynamic int8 onednn",
        "dynamic int8 qnnpack", "compile",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Contender:
    """One row of the table."""

    library: str
    variant: str
    threads: int

    @property
    def way(self) -> str:
        return f"{self.library} {self.variant}"

    @property
    def least_batch(self) -> int:
        """Count the fewest worlds: each session of a split row has one."""
        return self.threads if self.variant.endswith(SPLIT) else 1

    @property
    def name(self) -> str:
        return f"{self.way}, {self.threads} thread{'s' if self.threads > 1 else ''}"


def contenders() -> list[Contender]:
    """List all contenders, wmq first."""
    return [Contender(library, variant, threads) for library, variants in VARIANTS.items()
            for variant in variants for threads in THREADS
            if threads > 1 or not variant.endswith(SPLIT)]  # fmt: skip


def chosen(only: Sequence[str]) -> list[Contender]:
    """Select the contenders with one of these texts in their name, or all.  Raises WmqError."""
    found = contenders()
    for text in only:
        if not any(text in row.name for row in found):
            names = ", ".join(dict.fromkeys(row.way for row in found))
            raise WmqError(f"--only {text}: in no row's name; the rows are {names}, 1 or 2 threads")
    return [row for row in found if not only or any(text in row.name for text in only)]
