"""What is counted in worlds that draw: known answers of frames made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.ruled_frames import RULED, frame, quantum
from wmq.drift.play import DEATHS, DOUBLINGS, MINUTE, pair_bins, play_counts, times_between
from wmq.drift.statistics import DISTRIBUTIONS, measures, world_sums
from wmq.game.schema import ACTIONS, Q16
from wmq.game.transitions import seen_transitions

STANDING, DAMAGED, HANGING, DEAD, STAR = 14, 75, 253, 0, 4


def course(frames: int, **columns: dict[int, object]) -> np.ndarray:
    """Both players stand on Battlefield; a column is {player: values in natural units}."""
    rows = np.repeat(frame({"on_ground": 1}, {"on_ground": 1}), frames, axis=0)
    for name, values in columns.items():
        for player, value in values.items():
            numbers = np.broadcast_to(np.asarray(value, np.float64), frames)
            rows[:, RULED.index(name, player)] = np.round(numbers * quantum(name))
    return rows


def sums(rows: np.ndarray) -> dict[str, np.ndarray]:
    return world_sums(RULED, rows[0], rows[1:])


def figures(rows: np.ndarray) -> dict[str, float]:
    """Every measure of one world, beside equal shares of all bins."""
    found = sums(rows)
    reference = {name: np.ones(len(found[name])) for name in ("actions", *DISTRIBUTIONS)}
    return {m.name: float(m.of(found[m.name])) for m in measures(RULED, reference)}


def at(frames: int, **values: float) -> np.ndarray:
    """0, but for some frames, as f3=5."""
    made = np.zeros(frames)
    for name, value in values.items():
        made[int(name[1:])] = value
    return made


def test_every_sum_has_one_measure():
    found = sums(course(3))
    assert set(figures(course(3))) == set(found)
    assert len(found["actions"]) == ACTIONS


def test_hits_are_rises_of_either_player():
    percent = {0: at(61, f5=7, f9=3.4).cumsum(), 1: at(61, f5=12, f50=12.3).cumsum()}
    found = figures(course(61, percent=percent))
    assert found["hits"] == pytest.approx(4 * MINUTE / 60)
    assert found["damage"] == pytest.approx((7 + 3.4 + 12 + 12.3) * MINUTE / 60, rel=1e-5)
    assert found["median hit"] == 7  # half of 3.4, 7, 12, 12.3 do not exceed it


def test_a_rebirth_is_no_hit():
    found = figures(course(10, percent={0: [80, 80, 80, 0, 0, 0, 0, 0, 0, 0]}))
    assert found["hits"] == 0
    assert np.isnan(found["median hit"]) and np.isnan(found["phantom hits"])


def test_a_phantom_hit_shows_neither_in_the_action_nor_in_hitlag():
    percent = {0: at(40, f5=7, f15=7, f25=7, f35=7).cumsum()}
    action = {0: STANDING + at(40, f5=DAMAGED - STANDING, f16=DAMAGED - STANDING)}
    found = figures(course(40, percent=percent, action=action, hitlag={0: at(40, f25=6, f36=6)}))
    assert found["phantom hits"] == 50  # those at 15 and 35, which are a frame early


def test_stays_at_the_ledge_are_a_share_of_both_players_frames():
    action = {1: [STANDING, 252, HANGING, 263, 264, 251, STANDING, STANDING, STANDING]}
    assert figures(course(9, action=action))["at a ledge"] == pytest.approx(100 * 3 / 16)


def test_players_are_apart_by_the_length_of_the_line_between_them():
    rows = course(5, x={0: [0, 0, 30, 0, 0], 1: [99, 3, 0, 3, 3]}, y={1: [0, 4, 40, 4, 4]})
    assert figures(rows)["apart"] == pytest.approx((5 + 50 + 5 + 5) / 4)


def test_pairs_are_changes_alone_and_unseen_ones_share_a_bin():
    seen = seen_transitions() & ~np.eye(ACTIONS, dtype=bool)
    before, after = np.argwhere(seen)[100]
    unseen = np.argwhere(~seen & ~np.eye(ACTIONS, dtype=bool))[[7, 900]]
    bins = pair_bins()
    assert len(np.unique(bins[seen])) == seen.sum()
    assert {bins[a, b] for a, b in unseen} == {bins.max()} and bins.max() == seen.sum()
    counts = play_counts(RULED, course(6, action={0: [before, before, *[after] * 4]}))
    assert counts["action pairs"][bins[before, after]] == counts["action pairs"].sum() == 1


def test_sizes_go_to_the_nearest_rise():
    rises = np.array(RULED.rules.rises) / Q16
    for k in (1, 17, 32):
        counts = play_counts(RULED, course(4, percent={1: [1, 1, 1 + rises[k] + 0.005, 50]}))
        assert counts["hit sizes"][k - 1] == 1 and counts["hit sizes"].sum() == 2


@pytest.mark.parametrize(("frames", "bin"), [(1, 0), (2, 1), (3, 1), (4, 2), (63, 5), (64, 6),
                                             (3599, 11), (100_000, 15)])  # fmt: skip
def test_times_between_events_double(frames: int, bin: int):
    events = np.zeros((frames + 9, 2), bool)
    events[[4, 4 + frames], [0, 1]] = True
    wanted = np.zeros(DOUBLINGS)
    wanted[bin] = 1
    np.testing.assert_array_equal(times_between(events), wanted)


def test_times_between_hits_are_those_of_both_players():
    percent = {0: at(41, f5=7, f13=7).cumsum(), 1: at(41, f5=1, f7=5).cumsum()}
    counts = play_counts(RULED, course(41, percent=percent))
    assert np.flatnonzero(counts["between hits"]).tolist() == [1, 2]  # 2 and 6 frames


def test_a_death_is_its_first_frame_and_has_the_percent_of_it():
    action = {0: [STANDING, *[DEAD] * 3, 12, 12, *[STANDING] * 4, *[6] * 2, *[7] * 3, 12],
              1: [STANDING] * 3 + [STAR] * 13}  # fmt: skip
    percent = {0: [85] * 4 + [0] * 6 + [119.9] * 5 + [0], 1: 1990}
    counts = play_counts(RULED, course(16, action=action, percent=percent))
    deaths = counts["death percent"]
    assert np.flatnonzero(deaths).tolist() == [4, 5, 49] and deaths.sum() == 3
    assert np.flatnonzero(counts["between deaths"]).tolist() == [1, 2]  # frames 1, 3 and 10
    assert set(RULED.rules.blast.fates) < set(DEATHS)
