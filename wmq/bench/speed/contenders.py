"""The contenders of the speed benchmark: a library, what it makes of the model, its threads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from wmq.errors import WmqError

THREADS = (1, 2)
SPLIT = " split"  # ends a variant with a session for each thread, which has its part of the worlds
# Whole frames always, with encoding, argmax and update; of others also the model's call alone.
WAYS = {
    "wmq": ("frame",), "onnxruntime": ("session", "frame"), "torch": ("session", "frame"),
    "match": ("frame",),
}  # fmt: skip
EMBEDDED, ALONE, AGENTS = "embedded program", "world alone", "two agents"  # of a match
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
    "match": (EMBEDDED, ALONE, AGENTS),
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

    def takes(self, batch: int) -> bool:
        """Tell whether it is measured with so many worlds; a match has one."""
        return batch >= self.least_batch and (self.library != "match" or batch == 1)

    @property
    def name(self) -> str:
        return f"{self.way}, {self.threads} thread{'s' if self.threads > 1 else ''}"


def contenders(match: bool = False) -> list[Contender]:
    """List all contenders, wmq first; those of a match, one thread, if there is one."""
    return [Contender(library, variant, threads) for library, variants in VARIANTS.items()
            for variant in variants for threads in THREADS
            if threads > 1 or not variant.endswith(SPLIT)
            if library != "match" or (match and threads == 1)]  # fmt: skip


def chosen(only: Sequence[str], match: bool = False) -> list[Contender]:
    """Select the contenders with one of these texts in their name, or all.  Raises WmqError."""
    found = contenders(match)
    for text in only:
        if not any(text in row.name for row in found):
            names = ", ".join(dict.fromkeys(row.way for row in found))
            raise WmqError(f"--only {text}: in no row's name; the rows are {names}, 1 or 2 threads")
    return [row for row in found if not only or any(text in row.name for text in only)]
