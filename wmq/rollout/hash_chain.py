"""Hash a rollout: a chain with one link per frame.

Integers come in as canonical little-endian int32 bytes; SHA-256 links leave.  A link covers
the one before it, the controllers and the frame that they led to, so a prefix of a rollout
can be checked on its own and a disagreement be located.

    link_0 = SHA256("wmq-rollout-1" 0 | SHA-256 of the model file | u32 number of given frames |
                    given frames | their controllers)
    link_t = SHA256(link_{t-1} | next controllers | new frame)
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

DOMAIN = b"wmq-rollout-1\0"
WORLDS_DOMAIN = b"wmq-rollouts-1\0"


def start_link(model_sha256: str, given: np.ndarray, controllers: np.ndarray) -> bytes:
    """Compute link_0 from given (g, frame_size) and their controllers (g, 26), int32."""
    parts = [bytes.fromhex(model_sha256), len(given).to_bytes(4, "little")]
    return hashlib.sha256(DOMAIN + b"".join(parts) + _le(given) + _le(controllers)).digest()


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
) -> str:
    """Return the last link of a whole rollout, hex."""
    first = start_link(model_sha256, given, given_controllers)
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
