"""Matches: two recordings of one are told from two matches, and one of them is kept."""

from __future__ import annotations

import hashlib
import struct
from itertools import permutations

import numpy as np
import pytest

from wmq.replays.fingerprint import COMPARED, match_fingerprint, one_of_each

PADS = np.random.default_rng(5).integers(0, 65537, (1200, 26)).astype(np.int32)
MATCH = (31, 409, (2, 22), PADS)


def test_fingerprint_is_sha256_of_little_endian_numbers() -> None:
    """By hand with struct, over frame ids -123 to 899."""
    digest = hashlib.sha256(b"wmq-match-1\0" + struct.pack("<4q", 31, 409, 2, 22))
    for row in PADS[: 899 + 123 + 1].tolist():
        digest.update(struct.pack("<26i", *row))
    assert match_fingerprint(*MATCH) == digest.hexdigest()
    assert match_fingerprint(31, 409, (2, 22), PADS.astype(">i4")) == digest.hexdigest()


def test_end_of_a_recording_does_not_count() -> None:
    corrected = PADS.copy()
    corrected[COMPARED:] = 0
    for other in (PADS[:COMPARED], corrected):
        assert match_fingerprint(31, 409, (2, 22), other) == match_fingerprint(*MATCH)


@pytest.mark.parametrize("row", [0, 500, COMPARED - 1])
def test_one_unit_of_one_control_is_another_match(row: int) -> None:
    other = PADS.copy()
    other[row, 25] += 1
    assert match_fingerprint(31, 409, (2, 22), other) != match_fingerprint(*MATCH)


def test_idle_matches_differ_by_seed_stage_and_characters() -> None:
    idle = np.zeros_like(PADS)
    facts = [(31, 1, (2, 22)), (31, 2, (2, 22)), (32, 1, (2, 22)), (31, 1, (22, 2))]
    assert len({match_fingerprint(*fact, idle) for fact in facts}) == len(facts)


def test_longest_and_then_lowest_recording_is_kept_in_any_order() -> None:
    recordings = [("c", "m", 1300), ("b", "m", 1400), ("a", "m", 1400), ("d", "n", 1200)]
    for order in permutations(recordings):
        assert one_of_each({}, order) == ({"m": "a", "n": "d"}, {"b": "m", "c": "m"})


def test_recording_that_is_there_stays() -> None:
    further = [("a", "m", 9000), ("z", "m", 1200)]
    assert one_of_each({"m": "z"}, further) == ({"m": "z"}, {"a": "m"})
