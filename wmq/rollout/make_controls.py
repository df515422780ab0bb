"""Measure on real games which classes of controllers an agent draws.

    python -m wmq.rollout.make_controls DATASET

writes `controls.json` (`wmq.game.controls`).
"""

from __future__ import annotations

import json
import sys

import numpy as np

from wmq.dataset.select import usable
from wmq.dataset.store import Dataset
from wmq.errors import WmqError
from wmq.files.atomic import write_atomically
from wmq.game import controls
from wmq.game.controls import REST, c_stick_places
from wmq.game.schema import CONTROLLER_FIELDS, FULL, Q16

PLACES = 85  # of the main stick
TRIGGERS = (0, 22938, 32768, 43691, 54613, 65536)  # released, Z, light presses, full
ROUNDS = 100  # of Lloyd's algorithm, at most


def tables(pads: np.ndarray) -> dict:
    """Choose the classes for controllers (n, 13) int32 Q15.16."""
    names = list(CONTROLLER_FIELDS)
    stick = c_stick_places(pads[:, [names.index("c_x"), names.index("c_y")]]).astype(np.int64)
    pressed = np.where(pads[:, names.index("A") :] > 0, Q16, 0)
    combinations, counts = distinct_rows(np.hstack([stick, pressed]))
    order = np.argsort(-counts, kind="stable")
    return {
        "buttons": combinations[order].tolist(),
        "main": stick_places(pads[:, :2]).tolist(),
        "trigger": [[value] for value in TRIGGERS],
    }


def distinct_rows(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the distinct rows of numbers in 0..65536, sorted, and how often each occurs.

    Column after column: sorting whole rows of millions takes minutes.
    """
    keys = np.zeros(len(values), np.int64)
    for column in values.T:
        _, rank = np.unique(column, return_inverse=True)
        _, keys = np.unique(keys * (rank.max() + 1) + rank, return_inverse=True)
    _, first, counts = np.unique(keys, return_index=True, return_counts=True)
    return values[first], counts


def stick_places(values: np.ndarray) -> np.ndarray:
    """Cluster a main stick's places, (n, 2) Q15.16, to PLACES of them, by their weights' roots.

    Begins with the commonest place and those farthest from all before, weighted (deterministic
    k-means++), runs Lloyd's algorithm, and takes the commonest place of each cluster.
    """
    places, counts = distinct_rows(values)
    at, weight = (places - REST) / REST, np.sqrt(counts)
    centres = at[counts.argmax()][None]
    while len(centres) < PLACES:
        distance = ((at[:, None] - centres) ** 2).sum(2).min(1)
        centres = np.vstack([centres, at[(distance * weight).argmax()]])
    nearest = np.zeros(len(at), np.int64)
    for _ in range(ROUNDS):
        found = ((at[:, None] - centres) ** 2).sum(2).argmin(1)
        if (found == nearest).all():
            break
        nearest = found
        for k in np.unique(nearest):
            mine = nearest == k
            centres[k] = np.average(at[mine], axis=0, weights=weight[mine])
    kept = [places[nearest == k][counts[nearest == k].argmax()] for k in np.unique(nearest)]
    return np.array(kept)


def main(arguments: list[str]) -> None:
    """Write the table into the package."""
    if len(arguments) != 1:
        raise SystemExit("usage: python -m wmq.rollout.make_controls DATASET")
    try:
        dataset = Dataset.open(arguments[0])
        games = [dataset.load(info, FULL).controllers for info in usable(dataset.select("train"))]
    except WmqError as error:
        raise SystemExit(f"wmq.rollout.make_controls: {error}") from None
    found = tables(np.concatenate([half for pads in games for half in np.hsplit(pads, 2)]))
    rows = [f' "{part}": {json.dumps(table)}' for part, table in found.items()]
    write_atomically(controls.TABLE, "{{\n{}\n}}\n".format(",\n".join(rows)).encode())


if __name__ == "__main__":
    main(sys.argv[1:])
