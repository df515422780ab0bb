"""Recognize recordings of the same match.

In a match over the network each player's machine writes a file of its own, so one match may
come as two files.  Game facts come in, the recordings to keep leave.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import numpy as np

from wmq.game.schema import FIRST_FRAME

DOMAIN = b"wmq-match-1\0"
COMPARED = 900 - FIRST_FRAME  # frames: ids -123 to 899


def match_fingerprint(
    stage: int, seed: int, characters: tuple[int, int], controllers: np.ndarray
) -> str:
    """Hash what a match was played with, the same for both players' recordings; hex SHA-256.

    It covers the stage, the random seed, both characters and the first COMPARED rows of the
    controllers (T, 26), int32 in little-endian order.  The game is a function of these, so two
    matches that share them are one.  Left out is what may differ between two recordings:

    - the rest of the file: in the known pair it differs in the start time alone;
    - the end: a recording stops when its machine leaves the match, and its last frames (7 at
      most) may hold a prediction of the other player that no rollback corrected any more.  The
      shortest game in a dataset has 177 frames after the last one compared;
    - the frames: a field may be missing from the recording of an older program.

    The ports are the same in both recordings.  The seed separates matches in which nobody
    touches a controller for the first 17 seconds.
    """
    digest = hashlib.sha256(DOMAIN)
    digest.update(np.array([stage, seed, *characters], dtype="<i8").tobytes())
    digest.update(controllers[:COMPARED].astype("<i4").tobytes())
    return digest.hexdigest()


def one_of_each(
    kept: Mapping[str, str], found: Iterable[tuple[str, str, int]]
) -> tuple[dict[str, str], dict[str, str]]:
    """Choose one recording of each match.

    kept   fingerprint -> file that is kept whatever comes
    found  (file, fingerprint, frames) of further recordings, in any order
    Returns fingerprint -> file kept, and file -> fingerprint of the others.  Of further
    recordings the longest is kept, and of equally long ones that of the lowest name.
    """
    chosen, others = dict(kept), {}
    for file, fingerprint, _ in sorted(found, key=lambda entry: (-entry[2], entry[0])):
        if chosen.setdefault(fingerprint, file) != file:
            others[file] = fingerprint
    return chosen, others
