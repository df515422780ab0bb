"""The machine's exceptions: each message names the place in the file and what is wrong."""

from __future__ import annotations

# Why a program is refused; docs/SPEC.md tells what each class holds.
REASONS = (
    "magic", "version", "length", "header", "digest", "value", "constant", "step", "slice",
    "port", "canonical", "order", "range", "certificate",
)  # fmt: skip


class ProgramError(Exception):
    """A program that is damaged, of another version, or not proven safe to run.

    reason  one of REASONS, or "run" where not the program but a call of it is at fault
    """

    def __init__(self, message: str, reason: str = "run"):
        super().__init__(message)
        self.reason = reason
