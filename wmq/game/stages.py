"""Outline the legal stages for drawings: approximations, for display alone.

Game units, y upwards.  Grounds and platforms are where players of the training games stand.
Platforms that move (Fountain of Dreams, Yoshi's Story) stand at one height, and Pokemon
Stadium keeps its first form.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from wmq.game.schema import BLAST_ZONES, LEGAL_STAGES


@dataclass(frozen=True)
class Stage:
    """ground     corners of the surface, from left to right, (x, y)
    platforms  (left, right, height) of each
    """

    ground: tuple[tuple[float, float], ...]
    platforms: tuple[tuple[float, float, float], ...]


DRAWINGS = {
    2: Stage(
        ((-63.4, 0.6), (-53.0, 0.0), (53.0, 0.0), (63.4, 0.6)),
        ((-49.5, -21.0, 20.0), (21.0, 49.5, 20.0), (-14.3, 14.3, 42.8)),
    ),
    3: Stage(
        ((-87.8, 0.0), (87.8, 0.0)),
        ((-55.0, -25.0, 25.0), (25.0, 55.0, 25.0)),
    ),
    8: Stage(
        ((-56.0, -3.5), (-41.5, 0.0), (41.5, 0.0), (56.0, -3.5)),
        ((-59.5, -28.0, 23.5), (28.0, 59.5, 23.5), (-15.8, 15.8, 42.0)),
    ),
    28: Stage(
        ((-77.3, 0.0), (77.3, 0.0)),
        ((-61.4, -31.7, 30.2), (31.7, 63.1, 30.2), (-19.0, 19.0, 51.4)),
    ),
    31: Stage(
        ((-68.4, 0.0), (68.4, 0.0)),
        ((-57.6, -20.0, 27.2), (20.0, 57.6, 27.2), (-18.8, 18.8, 54.4)),
    ),
    32: Stage(((-85.6, 0.0), (85.6, 0.0)), ()),
}


def stage_data(stage: int) -> dict:
    """Return name and drawing; a stage that is not legal is drawn as its blast zones would be."""
    name = LEGAL_STAGES.get(stage, f"stage {stage}")
    blast = BLAST_ZONES.get(stage, (-250.0, 250.0, -150.0, 250.0))
    return {"name": name, **asdict(DRAWINGS.get(stage, Stage((), ()))), "blast": blast}
