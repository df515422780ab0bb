"""Worlds of all models beside each other, and beside the same stretches of the real games."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec
import numpy as np

from wmq.drift.parts import in_parts
from wmq.drift.play import Sums, play_counts
from wmq.drift.significance import can_differ, exchange_test, holm
from wmq.drift.statistics import Measure, actions_of, world_sums
from wmq.evaluation.bootstrap import Interval, interval
from wmq.evaluation.differences import GameSample
from wmq.evaluation.results import WorldStatistic
from wmq.game.schema import Schema
from wmq.replays.slippi import Game

REAL = "real"  # the track of the real games


def summed(schema: Schema, starts: np.ndarray, frames: np.ndarray) -> Sums:
    """Of worlds (n, frames, frame_size) from starts (n, frame_size): name -> (n, k)."""
    worlds = [world_sums(schema, *world) for world in zip(starts, frames, strict=True)]
    return {name: np.stack([world[name] for world in worlds]) for name in worlds[0]}


def real_counts(schema: Schema, games: Iterable[Game]) -> Sums:
    """Histograms of whole games, float64 each: "actions" (400,), frames of each action.

    In version 2 those of `play_counts` as well.
    """
    at = [schema.index("action", player) for player in (0, 1)]
    found: Sums = {"actions": np.zeros(actions_of(schema))}
    for game in games:
        found["actions"] += np.bincount(game.frames[:, at].ravel(), minlength=actions_of(schema))
        if schema.rules:
            for name, counts in play_counts(schema, game.frames).items():
                found[name] = found.get(name, 0) + counts
    return found


def without_unused(
    tracks: Mapping[str, Mapping[str, Sums]], reference: Sums, name: str
) -> tuple[dict[str, dict[str, Sums]], Sums]:
    """Put all bins of a wide histogram together that no track has any count in.

    No divergence changes: in such bins it is linear in the share of the reference.
    """
    used = np.any([sums[name].any(axis=0) for own in tracks.values() for sums in own.values()], 0)

    def narrow(counts: np.ndarray) -> np.ndarray:
        rest = counts[..., ~used].sum(axis=-1, keepdims=True)
        return np.concatenate([counts[..., used], rest], axis=-1)

    narrowed = {kind: {track: {**sums, name: narrow(sums[name])} for track, sums in own.items()}
                for kind, own in tracks.items()}  # fmt: skip
    return narrowed, {**reference, name: narrow(reference[name])}


def world_statistics(
    sample: GameSample,
    measured: Sequence[Measure],
    tracks: Mapping[str, Mapping[str, Sums]],
    before: str,
) -> list[WorldStatistic]:
    """Return every measure of every track, and the differences of models from the track `before`.

    tracks  controllers -> track -> sums of each world; REAL is compared with nothing
    """
    found = [
        _statistic(sample, measure, controllers, own, before)
        for controllers, own in tracks.items()
        for measure in measured
    ]
    corrected = {model: _corrected(found, model) for model in found[0].p}
    return [
        msgspec.structs.replace(s, holm={model: float(p[k]) for model, p in corrected.items()})
        for k, s in enumerate(found)
    ]


def _corrected(found: Sequence[WorldStatistic], model: str) -> np.ndarray:
    """Return the probabilities after Holm's correction for those that can differ."""
    p = np.array([s.p[model] for s in found])
    family = np.array([can_differ(s.differences[model]) for s in found])
    p[family] = holm(p[family])
    return p


def _statistic(
    sample: GameSample, measure: Measure, controllers: str, tracks: Mapping[str, Sums], before: str
) -> WorldStatistic:
    sums = {name: sample.sums(own[measure.name]) for name, own in tracks.items()}
    drawn = {name: in_parts(measure.of, (sample.weights, own)) for name, own in sums.items()}
    value = {name: float(measure.of(own.sum(axis=0))) for name, own in sums.items()}
    models = [name for name in tracks if name not in (REAL, before)]
    differences: dict[str, Interval] = {
        name: interval(value[name] - value[before], drawn[name] - drawn[before]) for name in models
    }
    return WorldStatistic(
        name=measure.name,
        unit=measure.unit,
        controllers=controllers,
        tracks={name: interval(value[name], drawn[name]) for name in tracks},
        differences=differences,
        p={name: exchange_test(measure.of, sums[before], sums[name]) for name in models},
    )
