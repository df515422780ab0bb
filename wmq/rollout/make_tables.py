"""Measure tables on real games: first frames, and changes of action.

    python -m wmq.rollout.make_tables DATASET

writes `starts.json` (`wmq.rollout.starts`) and `transitions.json` (`wmq.game.transitions`).
"""

from __future__ import annotations

import json
import sys
from collections import Counter

import numpy as np

from wmq.dataset.store import Dataset
from wmq.errors import WmqError
from wmq.files.atomic import write_atomically
from wmq.game import transitions
from wmq.game.names import CHARACTERS, STAGES
from wmq.game.schema import ACTIONS, FULL, LEGAL_STAGES, Field, Schema
from wmq.rollout import starts

OF_THE_CHARACTER = ("character", "jumps")  # fields that a stage does not set


def start_table(dataset: Dataset) -> dict:
    """Find each field's commonest value in first frames, by stage and player; without zeros.

    `jumps` belongs to the character: "" is what most have, and names are exceptions.
    """
    schema = Schema()
    names = {number: name for name, number in CHARACTERS.items()}
    first: dict[int, list[np.ndarray]] = {stage: [] for stage in STAGES.values()}
    jumps: dict[str, Counter] = {}
    for info in dataset.games:
        frame = dataset.load(info, schema).frames[0]
        if info.stage in first:
            first[info.stage].append(frame)
        for player in (0, 1):
            name = names.get(int(frame[schema.index("character", player)]), "")
            jumps.setdefault(name, Counter())[int(frame[schema.index("jumps", player)])] += 1
    stages = {}
    for stage, number in STAGES.items():
        if not first[number]:
            raise WmqError(f"{dataset.path}: no game on {LEGAL_STAGES[number]}; add some")
        frames = np.stack(first[number])
        stages[stage] = [
            {
                field.name: value
                for field in schema.fields
                if field.name not in OF_THE_CHARACTER
                and (value := _commonest(frames[:, schema.index(field.name, player)], field))
            }
            for player in (0, 1)
        ]
    usual = sum(jumps.values(), Counter()).most_common(1)[0][0]
    own = {name: counts.most_common(1)[0][0] for name, counts in sorted(jumps.items()) if name}
    exceptions = {name: value for name, value in own.items() if value != usual}
    return {"stages": stages, "jumps": {"": usual, **exceptions}}


def _commonest(values: np.ndarray, field: Field) -> int:
    found, counts = np.unique(values, return_counts=True)
    return int(found[counts.argmax()])


def transition_table(dataset: Dataset) -> dict:
    """Collect changes of action in the training games: action -> the actions that followed."""
    schema = FULL
    seen = np.zeros((ACTIONS, ACTIONS), dtype=bool)
    for info in dataset.select("train"):
        frames = dataset.load(info, schema).frames
        for player in (0, 1):
            action = frames[:, schema.index("action", player)]
            seen[action[:-1], action[1:]] = True
    np.fill_diagonal(seen, False)
    return {str(a): np.flatnonzero(seen[a]).tolist() for a in range(ACTIONS) if seen[a].any()}


def main(arguments: list[str]) -> None:
    """Write both tables into the package."""
    if len(arguments) != 1:
        raise SystemExit("usage: python -m wmq.rollout.make_tables DATASET")
    try:
        dataset = Dataset.open(arguments[0])
        frames = json.dumps(start_table(dataset), indent=1)
        rows = [f' "{key}": {json.dumps(row)}' for key, row in transition_table(dataset).items()]
        write_atomically(starts.TABLE, f"{frames}\n".encode())
        write_atomically(transitions.TABLE, "{{\n{}\n}}\n".format(",\n".join(rows)).encode())
    except WmqError as error:
        raise SystemExit(f"wmq.rollout.make_tables: {error}") from None


if __name__ == "__main__":
    main(sys.argv[1:])
