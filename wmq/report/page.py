"""Assemble the page: every section, its style, its program and its data in one file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from wmq.report.compare import FLOAT, INT8, Comparison
from wmq.report.drift import drift_section, verdicts_section, worlds_section
from wmq.report.figures import Cell, number, table
from wmq.report.html import Html, data_script, details, tag
from wmq.report.load import COMMANDS, DRIFT, SENSITIVITY, SUITE, Results
from wmq.report.player import player_data, player_section
from wmq.report.sensitivity import sensitivity_section
from wmq.report.suite import suite_section

ASSETS = Path(__file__).with_name("assets")
Found = TypeVar("Found")
TITLE = "What int8 costs a world model"
# The page may run and style itself; it may load nothing from anywhere.
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'"
)


def make_page(results: Results, comparison: Comparison) -> bytes:
    """Make the page, UTF-8; the same results and comparison give the same bytes."""
    suite, drift, sensitivity = results.suite, results.drift, results.sensitivity
    sections = [
        ("measured", "What was measured", measured_section(results, comparison)),
        ("side-by-side", "Side by side", player_section(comparison)),
        ("verdicts", "Verdicts", _or_missing(drift, verdicts_section, DRIFT)),
        ("table", "Every way to run it", _or_missing(suite, suite_section, SUITE)),
        ("drift", "Drift beside chaos", _or_missing(drift, drift_section, DRIFT)),
        ("worlds", "A minute as a world", _or_missing(drift, worlds_section, DRIFT)),
        ("sensitivity", "Sensitivity",
         _or_missing(sensitivity, sensitivity_section, SENSITIVITY)),
    ]  # fmt: skip
    links = [tag("a", title, href=f"#{name}") for name, title, _ in sections]
    lead = [tag("p", drift.sentence, class_="lead")] if drift else []
    page = tag(
        "html",
        _head(),
        tag(
            "body",
            tag("header", tag("h1", TITLE), *lead, tag("nav", *links, aria_label="Sections")),
            tag("main", *(_section(*section) for section in sections)),
            data_script("wmq-data", player_data(comparison)),
            *(tag("script", _asset(name)) for name in ("report.js", "player.js")),
        ),
        lang="en",
    )
    return f"<!doctype html>\n{page}\n".encode("utf-8", "replace")  # file names may hold anything


def _head() -> Html:
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", TITLE),
        tag("style", _asset("report.css")),
    )


def _asset(name: str) -> Html:
    return Html((ASSETS / name).read_text("utf-8"))


def _section(name: str, title: str, parts: list[Html]) -> Html:
    return tag("section", tag("h2", title, id=f"{name}-title"), *parts, id=name,
               aria_labelledby=f"{name}-title")  # fmt: skip


def _or_missing(
    found: Found | None, section: Callable[[Found], list[Html]], name: str
) -> list[Html]:
    if found is not None:
        return section(found)
    return [tag("p", f"{name} is missing; ", tag("code", COMMANDS[name]), " makes it.",
                class_="missing")]  # fmt: skip


def measured_section(results: Results, comparison: Comparison) -> list[Html]:
    """Say which model, games and command: one line for each part of the page."""
    rows = [_suite_row(results), _drift_row(results), _sensitivity_row(results)]
    for name in (FLOAT, INT8):
        rollout = comparison.rollouts[name]
        rows.append([f"player, {name}", rollout.model.name, rollout.model_sha256,
                     comparison.start.label, "wmq report", ""])  # fmt: skip
    titles = ["part", "model", "sha256", "over", "command", "took"]
    listed = [[Cell(tag("code", c) if k == 2 else c) for k, c in enumerate(row)]
              for row in rows if row]  # fmt: skip
    return [table("Models, data and commands", titles, listed), *_games(results)]


def _suite_row(results: Results) -> list[str]:
    suite = results.suite
    if suite is None:
        return []
    over = f"{len(suite.games)} games, {suite.starts:,} starts"
    command = suite.command or COMMANDS[SUITE] + (" --quick" if suite.quick else "")
    return ["table", suite.model, suite.onnx_sha256, over, command, _seconds(suite.seconds)]


def _drift_row(results: Results) -> list[str]:
    drift = results.drift
    if drift is None:
        return []
    over = (f"{drift.starts:,} starts of {drift.horizon:,} frames, {drift.worlds:,} worlds of "
            f"{drift.frames:,}")  # fmt: skip
    return [
        "drift",
        drift.model,
        drift.sha256,
        over,
        drift.command or COMMANDS[DRIFT],
        _seconds(drift.seconds),
    ]


def _sensitivity_row(results: Results) -> list[str]:
    found = results.sensitivity
    if found is None:
        return []
    return ["sensitivity", found.model, found.sha256, f"{found.frames:,} frames",
            found.command or COMMANDS[SENSITIVITY], _seconds(found.seconds)]  # fmt: skip


def _seconds(seconds: float) -> str:
    return (
        f"{number(seconds, 0)}\u00a0s" if seconds < 600 else f"{number(seconds / 60, 0)}\u00a0min"
    )


def _games(results: Results) -> list[Html]:
    """Which replays, by their hash, folded."""
    suite, drift = results.suite, results.drift
    games = {"table": suite.games if suite else [], "drift": drift.games if drift else []}
    return [
        details(f"The {len(found):,} games of the {part}",
                tag("ul", *(tag("li", tag("code", game)) for game in found), class_="plain"))
        for part, found in games.items() if found
    ]  # fmt: skip
