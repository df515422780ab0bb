"""Hash a rollout: a chain with one link per frame.

Integers come in as canonical little-endian int32 bytes; SHA-256 links leave.  A link covers
the one before it, the controllers and the frame that they led to, so a prefix of a rollout
can be checked on its own and a disagreement be located.

    link_0 = SHA256("wmq-rollout-1" 0 | SHA-256 of the model file | u32 number of given frames |
                    given frames | their controllers)
    link_t = SHA256(link_{t-1} | next controllers | new frame)

Where models draw, what they draw by is covered too:

    link_0 = SHA256("wmq-match-1" 0 | SHA-256 of the world's file | that of player 1's agent | of
                    player 2's | u64 seed | u8 decode | u32 number of given frames | given frames |
                    their controllers)

An agent's is 32 zeros where the controllers come from elsewhere; decode is 1 for "sample" and 0
for "mode".  Where agents see late, "wmq-match-2" 0 begins it, and the delay follows decode as u8.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

DOMAIN = b"wmq-rollout-1\0"
MATCH_DOMAIN, LATE_DOMAIN = b"wmq-match-1\0", b"wmq-match-2\0"
NOBODY = "00" * 32
WORLDS_DOMAIN = b"wmq-rollouts-1\0"


@dataclass(frozen=True)
class Match:
    """What a world that draws is played with, besides its file.

    agents  SHA-256 of each player's agent, hex; "" for other controllers
    decode  "sample" or "mode"
    delay   in frames, by which agents see late
    """

    seed: int
    agents: tuple[str, str] = ("", "")
    decode: str = "sample"
    delay: int = 0


def start_link(model_sha256: str, given: np.ndarray, controllers: np.ndarray,
               match: Match | None = None) -> bytes:  # fmt: skip
    """Compute link_0 from given (g, frame_size) and their controllers (g, 26), int32.

    match  of a world that draws; None for others
    """
    begin = DOMAIN + bytes.fromhex(model_sha256)
    if match is not None:
        agents = b"".join(bytes.fromhex(agent or NOBODY) for agent in match.agents)
        decode = int(match.decode == "sample").to_bytes(1, "little")
        seed = match.seed.to_bytes(8, "little")
        begin = MATCH_DOMAIN + bytes.fromhex(model_sha256) + agents + seed + decode
        if match.delay:
            begin = LATE_DOMAIN + begin[len(MATCH_DOMAIN) :] + match.delay.to_bytes(1, "little")
    count = len(given).to_bytes(4, "little")
    return hashlib.sha256(begin + count + _le(given) + _le(controllers)).digest()


def next_links(link: bytes, controllers: np.ndarray, frames: np.ndarray) -> list[bytes]:
    """Compute the links of new frames (n, frame_size) from controllers (n, 26), int32."""
    links = []
    for pad, frame in zip(controllers, frames, strict=True):
        link = hashlib.sha256(link + _le(pad) + _le(frame)).digest()
        links.append(link)
    return links


def rollout_sha256(
    model_sha256: str,
    given: np.ndarray,
    given_controllers: np.ndarray,
    controllers: np.ndarray,
    frames: np.ndarray,
    match: Match | None = None,
) -> str:
    """Return the last link of a whole rollout, hex."""
    first = start_link(model_sha256, given, given_controllers, match)
    return [first, *next_links(first, controllers, frames)][-1].hex()


def worlds_sha256(worlds: Sequence[str]) -> str:
    """Hash the hashes of several rollouts, in order; one alone keeps its own.

    SHA256("wmq-rollouts-1" 0 | u32 number of worlds | the last link of each)
    """
    if len(worlds) == 1:
        return worlds[0]
    count = len(worlds).to_bytes(4, "little")
    return hashlib.sha256(
        WORLDS_DOMAIN + count + b"".join(bytes.fromhex(world) for world in worlds)
    ).hexdigest()


def _le(values: np.ndarray) -> bytes:
    if values.dtype != np.int32:
        raise TypeError(f"frames and controllers are int32, not {values.dtype}")
    return values.astype("<i4").tobytes()
