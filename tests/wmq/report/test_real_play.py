"""The page of worlds that draw: distances from real play in a table, distributions as charts."""

from __future__ import annotations

import msgspec
import pytest

from tests.support.html_page import Page
from tests.support.made_up import HOSTILE, a_drift, a_statistic
from wmq.errors import WmqError
from wmq.evaluation.bootstrap import Interval
from wmq.evaluation.results import Distance, Drift, RealPlay, WorldHistogram
from wmq.report.drift import check_curves, worlds_section

MODELS = ("float", "int8", "torch dynamic")
KINDS = ("agents", "real")


def sampled_drift() -> Drift:
    statistics = [a_statistic(name, "a minute", kind, value)
                  for kind in KINDS
                  for name, value in (("hits", 35.0), ("damage", 260.0))]  # fmt: skip
    times = {name: Interval(1.5 + k, 1.25 + k, 2.0 + k) for k, name in enumerate(MODELS)}
    distances = [Distance("hits", kind, 2.0, times) for kind in KINDS]
    distances += [Distance("damage", kind, None, dict.fromkeys(MODELS, Interval(None, None, None)))
                  for kind in KINDS]  # fmt: skip
    shares = {name: [12.5, 75.0, 12.5, 0.0, 0.0, 0.0] for name in ("real", *MODELS)}
    histograms = [WorldHistogram(HOSTILE, "%", kind, [0, 2, 4, 6, 8, 10], shares) for kind in KINDS]
    play = RealPlay("agent.wmq", "0" * 64, {kind: times for kind in KINDS}, distances, histograms)
    return msgspec.structs.replace(a_drift("a" * 64), statistics=statistics, real_play=play)


def test_worlds_are_shown_beside_real_play():
    drift = sampled_drift()
    check_curves("drift.json", drift)
    page = Page("".join(map(str, worlds_section(drift))).encode())
    texts = [text.strip() for text in page.texts if text.strip()]
    for heading in ("two agents", "real controllers", "hits, a minute", "2.50 [2.25, 3.00]"):
        assert heading in texts
    captions = [text for text in texts if "distance from real play" in text]
    assert len(captions) == 2 and captions[0].startswith("Worlds of two agents:")
    assert len([a for a in page.all("svg") if "chart" in (a.get("class") or "")]) == 2 * (2 + 1)
    assert not page.all("script") and not page.all("img")


def test_a_drift_survives_its_file_and_one_without_real_play_names_none():
    drift = sampled_drift()
    assert msgspec.json.decode(msgspec.json.encode(drift), type=Drift) == drift
    assert b"real_play" not in msgspec.json.encode(a_drift("a" * 64))


@pytest.mark.parametrize("shares", [[1.0] * 5, [float("1e30")] * 6])
def test_a_damaged_histogram_is_one_line(shares: list[float]):
    drift = sampled_drift()
    damaged = msgspec.structs.replace(drift.real_play.histograms[0], shares={"int8": shares})
    play = msgspec.structs.replace(drift.real_play, histograms=[damaged])
    with pytest.raises(WmqError, match=r"^drift.json: real_play.histograms.*run `wmq drift` again"):
        check_curves("drift.json", msgspec.structs.replace(drift, real_play=play))
