"""Where a rollout starts: the first frame of a match, or a frame of a real game.

A stage and two characters, or `GAME.slp@FRAME`, come in; a `Start` leaves, with the given
integer frames, their controllers and what the players did afterwards.  Positions of a match
start are those of real games: `starts.json` holds the commonest first frame of each stage,
`transitions.json` every change of action of the training games.  Both are remade with

    python -m wmq.rollout.starts DATASET
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from wmq.dataset.store import Dataset
from wmq.errors import WmqError
from wmq.files.atomic import write_atomically
from wmq.files.names import printable
from wmq.game.schema import FIRST_FRAME, FULL, LEGAL_STAGES, Field, Schema
from wmq.rollout.controllers import AT_REST

TABLE = Path(__file__).with_name("starts.json")
TRANSITIONS = Path(__file__).with_name("transitions.json")
WARMUP = 240  # frames
STAGES = {  # the option's name -> external id
    "fountain-of-dreams": 2,
    "pokemon-stadium": 3,
    "yoshis-story": 8,
    "dream-land": 28,
    "battlefield": 31,
    "final-destination": 32,
}
CHARACTERS = {  # the option's name -> internal id
    "mario": 0, "fox": 1, "falcon": 2, "donkey-kong": 3, "kirby": 4, "bowser": 5, "link": 6,
    "sheik": 7, "ness": 8, "peach": 9, "pikachu": 12, "samus": 13, "yoshi": 14,
    "jigglypuff": 15, "mewtwo": 16, "luigi": 17, "marth": 18, "zelda": 19, "young-link": 20,
    "dr-mario": 21, "falco": 22, "pichu": 23, "game-and-watch": 24, "ganondorf": 25, "roy": 26,
}  # fmt: skip
OF_THE_CHARACTER = ("character", "jumps")  # fields that a stage does not set


@dataclass(frozen=True)
class Start:
    """What a rollout begins with.

    label        how a person names it
    given        (g, frame_size) int32: real frames, the last of which is the start
    controllers  (g, 26) int32: those of the given frames
    first        frame id of the first new frame
    following    (n, 26) int32: the real controllers of the frames after it, or None
    """

    label: str
    given: np.ndarray
    controllers: np.ndarray
    first: int
    following: np.ndarray | None = None


@cache
def _table() -> dict:
    return json.loads(TABLE.read_text("utf-8"))


def match_start(schema: Schema, stage: str, characters: tuple[str, str]) -> Start:
    """Frame -123 of a match; names are keys of STAGES and CHARACTERS."""
    table = _table()
    frame = np.zeros(schema.frame_size, dtype=np.int32)
    for player, name in enumerate(characters):
        values = dict(table["stages"][stage][player])
        values["jumps"] = table["jumps"].get(name, table["jumps"][""])
        values["character"] = CHARACTERS[name]
        for field, value in values.items():
            frame[schema.index(field, player)] = value
    frame[schema.stage_index] = STAGES[stage]
    label = f"match on {LEGAL_STAGES[STAGES[stage]]}, {characters[0]} against {characters[1]}"
    return Start(label, frame[None], np.tile(AT_REST, (1, 2)), FIRST_FRAME + 1)


def parse_replay_start(text: str) -> tuple[Path, int]:
    """`GAME.slp@FRAME`.  Raises WmqError."""
    path, at, frame = text.rpartition("@")
    if not at or not path or not path.lower().endswith(".slp"):
        raise WmqError(f"--start {text}: neither match nor of the form GAME.slp@FRAME")
    if not re.fullmatch(r"-?[0-9]{1,9}", frame):
        raise WmqError(f"--start {text}: {frame!r} is not a frame number")
    return Path(path), int(frame)


def replay_start(schema: Schema, path: Path, frame: int, warmup: int = WARMUP) -> Start:
    """A frame of a real game, with up to `warmup` frames that end in it.  Raises WmqError."""
    from wmq.replays.guarded import read_guarded

    game = read_guarded(path)
    at = frame - FIRST_FRAME
    if not 0 <= at < game.info.frames:
        last = FIRST_FRAME + game.info.frames - 1
        raise WmqError(f"{path}: has no frame {frame}; choose one of {FIRST_FRAME}..{last}")
    chosen = [FULL.index(f.name, player) for player in (0, 1) for f in schema.fields]
    given = slice(max(0, at + 1 - warmup), at + 1)
    return Start(
        f"{printable(path.name)} at frame {frame}",
        np.ascontiguousarray(game.frames[given][:, [*chosen, FULL.stage_index]]),
        game.controllers[given],
        frame + 1,
        game.controllers[at + 1 :],
    )


def start_table(dataset: Dataset) -> dict:
    """Commonest value of every field in first frames, by stage and player; zeros left out.

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
    """Changes of action in the training games: action -> the actions that followed it."""
    schema = Schema()
    seen = np.zeros((400, 400), dtype=bool)
    for info in dataset.select("train"):
        frames = dataset.load(info, schema).frames
        for player in (0, 1):
            action = frames[:, schema.index("action", player)]
            seen[action[:-1], action[1:]] = True
    np.fill_diagonal(seen, False)
    return {str(a): np.flatnonzero(seen[a]).tolist() for a in range(400) if seen[a].any()}


@cache
def seen_transitions() -> np.ndarray:
    """bool (400, 400): may an action follow another; staying is always allowed."""
    seen = np.eye(400, dtype=bool)
    for action, after in json.loads(TRANSITIONS.read_text("utf-8")).items():
        seen[int(action), after] = True
    return seen


def main(arguments: list[str]) -> None:
    """Write both tables beside this file."""
    if len(arguments) != 1:
        raise SystemExit("usage: python -m wmq.rollout.starts DATASET")
    try:
        dataset = Dataset.open(arguments[0])
        starts = json.dumps(start_table(dataset), indent=1)
        rows = [f' "{key}": {json.dumps(row)}' for key, row in transition_table(dataset).items()]
        write_atomically(TABLE, f"{starts}\n".encode())
        write_atomically(TRANSITIONS, "{{\n{}\n}}\n".format(",\n".join(rows)).encode())
    except WmqError as error:
        raise SystemExit(f"wmq.rollout.starts: {error}") from None


if __name__ == "__main__":
    main(sys.argv[1:])
