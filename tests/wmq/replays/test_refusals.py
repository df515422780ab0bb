"""Reasons of refusals: the same kind for files that differ in ports, frames and values alone."""

from __future__ import annotations

import pytest

from wmq.replays.refusals import count_kinds, kind_of


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("124 frames, fewer than 1200", "N frames, fewer than 1200"),
        ("P2 is not a human player (Cpu); 129 frames, fewer than 1200",
         "is not a human player (Cpu)"),
        ("P1 x is nan in frame -48", "x is nan"),
        ("P3 x is 500.5 in frame 52, outside -500..500", "x is N, outside -500..500"),
        ("P1 action is 600 in frame 54, outside 0..543", "action is N, outside 0..543"),
        ("first frame id is 262433, not -123", "first frame id is N, not -123"),
        ("frame ids jump from -5 to 401", "frame ids jump from N to N"),
        ("frames of ports ['P1'], players in ports ['P1', 'P2']",
         "frames of ports [...], players in ports [...]"),
        ("peppi-py cannot read it: invalid data: expected: [123, 85], got: [84]; and more",
         "peppi-py cannot read it"),
        ("peppi-py panicked: index out of bounds: the len is 4 but the index is 5",
         "peppi-py panicked"),
        ("unexpected content (KeyError: 'P5')", "unexpected content"),
        ("took longer than 60 s", "took longer than 60 s"),
        ("not a regular file", "not a regular file"),
    ],
)  # fmt: skip
def test_kind_is_the_first_reason_without_its_variable_parts(reason: str, kind: str) -> None:
    assert kind_of(reason) == kind


def test_files_are_counted_once_and_the_commonest_kind_comes_first() -> None:
    reasons = ["P1 plays X", "130 frames, fewer than 1200", "P2 plays X; team mode", "team mode"]
    counted = count_kinds(reasons)
    assert list(counted)[0] == "plays X" and sum(counted.values()) == len(reasons)
    assert counted == {"plays X": 2, "N frames, fewer than 1200": 1, "team mode": 1}
