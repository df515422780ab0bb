"""The hash chain against a second, plain implementation of its definition."""

from __future__ import annotations

import hashlib
import struct

import numpy as np
import pytest

from wmq.rollout.hash_chain import next_links, rollout_sha256, start_link, worlds_sha256

MODEL = "ab" * 32


def parts(seed: int = 0) -> list[np.ndarray]:
    """given, their controllers, controllers, frames."""
    rng = np.random.default_rng(seed)
    shapes = ((3, 47), (3, 26), (5, 26), (5, 47))
    return [rng.integers(-(2**31), 2**31, shape).astype(np.int32) for shape in shapes]


def plain(model: str, given: list, pads: list, following: list, frames: list) -> str:
    """As the module's docstring says, from lists of Python integers."""

    def packed(rows: list[list[int]]) -> bytes:
        return b"".join(struct.pack(f"<{len(row)}i", *row) for row in rows)

    first = b"wmq-rollout-1\0" + bytes.fromhex(model) + struct.pack("<I", len(given))
    link = hashlib.sha256(first + packed(given) + packed(pads)).digest()
    for pad, frame in zip(following, frames, strict=True):
        link = hashlib.sha256(link + packed([pad]) + packed([frame])).digest()
    return link.hex()


def test_chain_is_as_defined() -> None:
    assert rollout_sha256(MODEL, *parts()) == plain(MODEL, *(p.tolist() for p in parts()))


def test_a_prefix_has_the_links_of_the_whole() -> None:
    given, pads, following, frames = parts()
    links = next_links(start_link(MODEL, given, pads), following, frames)
    for n in range(1, 6):
        whole = rollout_sha256(MODEL, given, pads, following[:n], frames[:n])
        assert whole == links[n - 1].hex()


def test_every_number_counts() -> None:
    usual = rollout_sha256(MODEL, *parts())
    for place in range(4):
        for row, column in ((0, 0), (-1, -1)):
            changed = parts()
            changed[place][row, column] ^= 1
            assert rollout_sha256(MODEL, *changed) != usual
    assert rollout_sha256("cd" * 32, *parts()) != usual


def test_memory_layout_and_byte_order_do_not_count() -> None:
    fortran = [np.asfortranarray(p) for p in parts()]
    assert rollout_sha256(MODEL, *fortran) == rollout_sha256(MODEL, *parts())
    with pytest.raises(TypeError):
        rollout_sha256(MODEL, *[p.astype(np.int64) for p in parts()])


def test_worlds_are_hashed_in_order_and_one_keeps_its_own() -> None:
    one, two = rollout_sha256(MODEL, *parts(1)), rollout_sha256(MODEL, *parts(2))
    assert worlds_sha256([one]) == one
    content = b"wmq-rollouts-1\0" + struct.pack("<I", 2) + bytes.fromhex(one + two)
    assert worlds_sha256([one, two]) == hashlib.sha256(content).hexdigest()
    assert worlds_sha256([two, one]) != worlds_sha256([one, two])
