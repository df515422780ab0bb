"""The base of every error that a user is meant to see, and the machine's own.

A machine's message names the place in the file and what is wrong.
"""

from __future__ import annotations

# Why a program is refused; docs/SPEC.md tells what each class holds.
REASONS = (
    "magic", "version", "length", "header", "digest", "value", "constant", "step", "slice",
    "port", "canonical", "order", "range", "certificate",
)  # fmt: skip


class WmqError(Exception):
    """A one-line message that says what, where and what to do; a command exits with 2."""


class ProgramError(WmqError):
    """A program that is damaged, of another version, or not proven safe to run.

    reason  one of REASONS, or "run" where not the program but a call of it is at fault
    """

    def __init__(self, message: str, reason: str = "run"):
        super().__init__(message)
        self.reason = reason
